"""`SwapEMAWeights`: evaluation with the moving averages of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from striate.callbacks.callback import Callback, Logs
from striate.callbacks.learning_rate import optimizers_of
from striate.core.registry import export


@export("keras.callbacks.SwapEMAWeights")
class SwapEMAWeights(Callback):
    """Puts the moving averages that an optimizer with `use_ema=True` keeps in the place of the model's weights while it
    is evaluated or predicts, and the weights back afterwards.

    Args:
        swap_on_epoch: whether to do so also from the end of each epoch to the beginning of the next (default False), so
            that callbacks behind this one, such as `ModelCheckpoint`, see the averages.

    Raises (in `fit`, `evaluate`, `predict`):
        ValueError: the optimizer has `use_ema=False`.
    """

    _kept = ("_ema_weights_in_model", "_averages")

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._ema_weights_in_model = False
        self._averages: list[Any] = []  # of the last epoch's end

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if self.swap_on_epoch:
            self._weights_in()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if not self.swap_on_epoch or self._ema_weights_in_model:
            return
        self._averages_in()
        self._averages = [variable.numpy() for variable, _ in self._pairs()]
        if epoch == self.params["epochs"] - 1:  # `fit` will assign the averages to the weights
            self._both_averages()

    def on_train_end(self, logs: Logs = None) -> None:
        if self._ema_weights_in_model and self._averages:  # training may have ended before its last epoch
            self._both_averages()
        self._ema_weights_in_model, self._averages = False, []

    def on_test_begin(self, logs: Logs = None) -> None:
        self._averages_in()

    def on_test_end(self, logs: Logs = None) -> None:
        self._weights_in()

    def on_predict_begin(self, logs: Logs = None) -> None:
        self._averages_in()

    def on_predict_end(self, logs: Logs = None) -> None:
        self._weights_in()

    def _averages_in(self) -> None:
        if not self._ema_weights_in_model:
            self._swap()
            self._ema_weights_in_model = True

    def _weights_in(self) -> None:
        if self._ema_weights_in_model:
            self._swap()
            self._ema_weights_in_model = False

    def _swap(self) -> None:
        for variable, average in self._pairs():
            before = variable.numpy()
            variable.assign(average.numpy())
            average.assign(before)

    def _both_averages(self) -> None:
        for (variable, average), value in zip(self._pairs(), self._averages, strict=True):
            variable.assign(value)
            average.assign(value)

    def _pairs(self) -> list[tuple[Any, Any]]:
        """The trained variables, each with its average."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        averaging = [part for _, part in optimizers_of(optimizer) if getattr(part, "use_ema", False)]
        if not averaging:
            raise ValueError(
                "SwapEMAWeights must be used when `use_ema=True` is set on the optimizer. Received: use_ema=False"
            )
        return [pair for part in averaging for pair in _pairs_of(part)]


def _pairs_of(optimizer: Any) -> Iterator[tuple[Any, Any]]:
    averages = getattr(optimizer, "_model_variables_moving_average", None)
    for variable, average in zip(optimizer._trainable_variables, averages) if averages else ():
        if average is not None:
            yield variable, average
