"""`TensorBoard`: values, histograms and pictures of weights for TensorBoard, without TensorFlow."""

from __future__ import annotations

import os
import re
import time
import warnings
from typing import Any

import numpy as np

from striate.callbacks.callback import Callback, Logs
from striate.callbacks.event_writer import EventWriter, picture_of, tensorboard_package
from striate.callbacks.learning_rate import learning_rates
from striate.core.errors import message
from striate.core.registry import export

WHERE = "TensorBoard"


@export("keras.callbacks.TensorBoard")
class TensorBoard(Callback):
    """Writes what TensorBoard shows (`tensorboard --logdir logs`). It needs the package `tensorboard`, which the extra
    "striate[tensorboard]" installs.

    The names are Keras's: `epoch_<name>` over epochs and `batch_<name>` over batches for training, `epoch_<name>` and
    `evaluation_<name>_vs_iterations` for validation, `<path of the weight>/histogram` and `.../image`.

    Args:
        log_dir: the folder (default "logs"); in it come "train" and "validation".
        histogram_freq: after how many epochs to write histograms of the weights; 0 (default) for never.
        write_graph: whether to write the layers of a functional or sequential model as a graph (default True).
        write_images: whether to write pictures of the weights with the histograms, kernels of convolutions as tiles
            (default False).
        write_steps_per_second: whether to write the speed (default False).
        update_freq: "epoch" (default), "batch", or after how many batches to write values of batches.
        profile_batch: 0 (default); there is no profiler.
        embeddings_freq: after how many epochs to save the tables of embeddings; 0 (default) for never.
        embeddings_metadata: a file with a line per row of the tables, or a dict of them by the layer's name.

    Raises:
        ImportError: the package `tensorboard` is missing. ValueError: another `update_freq` or `profile_batch`; in
            `fit`, `embeddings_metadata` for a layer that is no embedding.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        tensorboard_package()
        _check_profile(profile_batch)
        self.log_dir, self.histogram_freq = os.fspath(log_dir), histogram_freq
        self.write_graph, self.write_images = write_graph, write_images
        self.write_steps_per_second, self.update_freq = write_steps_per_second, _checked_freq(update_freq)
        self.embeddings_freq, self.embeddings_metadata = embeddings_freq, embeddings_metadata
        self._writers: dict[str, EventWriter] = {}
        self._training = False
        self._batch = 0  # of the whole training, from 1
        self._epoch_start, self._batch_start, self._iterations_before = 0.0, 0.0, 0

    def set_model(self, model: Any) -> None:
        self._model, self._training = model, False
        self._close()
        if self.write_graph and type(model).__name__ in ("Functional", "Sequential"):
            self._write_model()
        if self.embeddings_freq:
            _configure_projector(self._embeddings(), self.embeddings_metadata, self.log_dir)

    def on_train_begin(self, logs: Logs = None) -> None:
        self._training, self._batch = True, 0

    def on_train_end(self, logs: Logs = None) -> None:
        self._close()

    def on_test_end(self, logs: Logs = None) -> None:
        iterations: Any = getattr(self.model.optimizer, "iterations", None)
        for name, value in (logs or {}).items() if iterations is not None else ():
            self._scalar("validation", f"evaluation_{name}_vs_iterations", value, int(iterations))
        if self._training:
            self._flush()
        else:
            self._close()

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._batch += 1
        self._batch_start = time.time()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self.update_freq == "epoch" or self._batch % self.update_freq:
            return
        if self.write_steps_per_second:
            self._scalar("train", "batch_steps_per_second", 1 / _since(self._batch_start), self._batch)
        for name, value in (logs or {}).items():
            self._scalar("train", f"batch_{name}", value, self._batch)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch_start = time.time()
        if self.write_steps_per_second:
            self._iterations_before = int(self.model.optimizer.iterations)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs:
            self._write_epoch(epoch, logs)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings(epoch)
        self._flush()

    # Writing ---------------------------------------------------------------------------------------------------------

    def _writer(self, run: str) -> EventWriter:
        if run not in self._writers:
            self._writers[run] = EventWriter(os.path.join(self.log_dir, run))
        return self._writers[run]

    def _flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def _close(self) -> None:
        writers, self._writers = self._writers, {}
        for writer in writers.values():
            writer.close()

    def _scalar(self, run: str, tag: str, value: Any, step: int) -> None:
        if np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biuf":
            self._writer(run).scalar(tag, value, step)

    def _write_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        training = {k: v for k, v in logs.items() if not k.startswith("val_")} | self._rates()
        if self.write_steps_per_second:
            steps = int(self.model.optimizer.iterations) - self._iterations_before
            training["steps_per_second"] = steps / _since(self._epoch_start)
        for name, value in training.items():
            self._scalar("train", f"epoch_{name}", value, epoch)
        for name, value in logs.items():
            if name.startswith("val_"):
                self._scalar("validation", f"epoch_{name.removeprefix('val_')}", value, epoch)

    def _rates(self) -> dict[str, float]:
        optimizer = getattr(self.model, "optimizer", None)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        known = hasattr(optimizer, "learning_rate") or hasattr(optimizer, "optimizers")
        return learning_rates(optimizer) if known else {}

    def _write_model(self) -> None:
        try:
            text = self.model.to_json()
        except Exception as error:  # a layer of the user's own without a config must not keep the model from training
            warnings.warn(f"Model failed to serialize as JSON. Ignoring... {error}", stacklevel=5)
            return
        self._writer("train").model("keras", text, 0)

    def _write_weights(self, epoch: int) -> None:
        writer = self._writer("train")
        for weight in (w for layer in self.model.layers for w in layer.weights):
            name, value = weight.path.replace(":", "_"), weight.numpy()
            writer.histogram(f"{name}/histogram", value, epoch)
            picture = picture_of(value) if self.write_images else None
            if picture is not None:
                writer.image(f"{name}/image", picture, epoch)

    # Embeddings ------------------------------------------------------------------------------------------------------

    def _embeddings(self) -> list[Any]:
        return [layer for layer in self.model.layers if type(layer).__name__ == "Embedding"]

    def _write_embeddings(self, epoch: int) -> None:
        folder = os.path.join(self.log_dir, "train")
        os.makedirs(folder, exist_ok=True)
        self.model.save_weights(os.path.join(folder, f"keras_embedding.ckpt-{epoch}.weights.h5"))
        for layer in self._embeddings():
            np.savetxt(os.path.join(self.log_dir, _table(layer)), layer.weights[0].numpy(), "%.7g", "\t")


def _table(layer: Any) -> str:
    """The file that TensorBoard's projector reads a layer's table from."""
    return f"{layer.name}.tsv"


def _configure_projector(layers: list[Any], metadata: Any, folder: str) -> None:
    """Writes which tables there are, and where their rows' names stand, for TensorBoard's projector."""
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    by_name = {layer.name: metadata for layer in layers} if isinstance(metadata, str) else dict(metadata or {})
    unknown = sorted(set(by_name) - {layer.name for layer in layers})
    if unknown:
        problem = f"unrecognized `Embedding` layer names passed in `embeddings_metadata`: {unknown}"
        raise ValueError(message(WHERE, problem, f"There are {[layer.name for layer in layers]}"))
    config = ProjectorConfig()
    for layer in layers:
        config.embeddings.add(
            tensor_name=layer.name, tensor_path=_table(layer), metadata_path=by_name.get(layer.name, "")
        )
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "projector_config.pbtxt"), "w", encoding="utf-8") as file:
        file.write(text_format.MessageToString(config))


def _since(start: float) -> float:
    return max(time.time() - start, 1e-9)


def _checked_freq(update_freq: Any) -> Any:
    if update_freq == "batch":
        return 1
    if update_freq != "epoch" and not (isinstance(update_freq, int) and update_freq > 0):
        raise ValueError(message(WHERE, f"update_freq must be 'epoch', 'batch' or a number, received {update_freq!r}"))
    return update_freq


def _check_profile(profile_batch: Any) -> None:
    text = ",".join(map(str, profile_batch)) if isinstance(profile_batch, tuple | list) else str(profile_batch)
    numbers = [int(n) for n in text.split(",")] if re.fullmatch(r"\d+(,\d+)?", text.replace(" ", "")) else [-1]
    if numbers[0] < 0 or numbers != sorted(numbers):
        raise ValueError(
            "profile_batch must be a non-negative integer or 2-tuple of positive integers. A pair of positive integers "
            f"signifies a range of batches to profile. Found: {profile_batch}"
        )
    if any(numbers):
        problem = f"there is no profiler. Received: profile_batch={profile_batch} (must be 0)"
        raise ValueError(message(WHERE, problem, "Use `write_steps_per_second=True` to see the speed"))
