"""`Trainer`: what a model needs to learn: `compile`, `fit`, `evaluate`, `predict`, and the steps to override."""

from __future__ import annotations

import inspect
import warnings
from contextlib import closing
from typing import Any

import numpy as np

from striate import metrics as metrics_module
from striate import optimizers
from striate.core import dtypes, tree
from striate.ir import inside
from striate.layers import call_spec
from striate.saving.serialization import deserialize_keras_object, serialize_keras_object
from striate.trace import OPS, Jit, NoValueError, value_and_grad
from striate.training.compiled_loss import CompileLoss
from striate.training.compiled_metrics import CompileMetrics
from striate.training.data import adapt, unpack_x_y_sample_weight
from striate.training.fitting import Fitting, evaluation
from striate.training.labels import check_labels
from striate.training.limits import limited_steps
from striate.training.predict import Predictor
from striate.training.steps import Step, added_losses, as_logs


class Trainer:
    """Mixed into `Model`."""

    compiled = False
    optimizer: Any = None
    loss: Any = None
    run_eagerly = False  # whether steps run as Python each time, untraced
    jit_compile = True
    steps_per_execution = 1
    stop_training = stop_evaluating = stop_predicting = False
    history: Any = None

    _compile_loss: Any = None
    _compile_metrics: Any = None
    _loss_tracker: Any = None
    _compile_arguments: Any = None
    _predictor: Any = None
    _steps: Any = None
    _position: Any = None  # where `fit` stands: epoch, step, seed of the shuffling
    _resume: Any = None  # where a callback wants `fit` to go on
    _initial_epoch: Any = None

    _OF_TRAINING = frozenset(
        {
            "compiled", "optimizer", "loss", "run_eagerly", "jit_compile", "steps_per_execution", "stop_training",
            "stop_evaluating", "stop_predicting", "history", "_compile_loss", "_compile_metrics", "_loss_tracker",
            "_compile_arguments", "_predictor", "_steps", "_position", "_resume", "_initial_epoch",
        }
    )  # fmt: skip

    # Compiling -------------------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Says how the model is trained.

        Args:
            optimizer: a name or an `Optimizer`.
            loss: a name, a function `(y_true, y_pred) -> values` or a `Loss`; with several outputs also a list or dict.
            loss_weights: numbers that the losses of the outputs are multiplied by.
            metrics: names, functions or `Metric`s in a list; with several outputs a list or dict of those.
            weighted_metrics: metrics that are given the sample weights.
            run_eagerly: whether each step runs as Python, op by op, for debugging.
            steps_per_execution: how many batches there are between two calls of the callbacks' batch methods.
            jit_compile: accepted for Keras's sake: steps are compiled unless `run_eagerly`.
            auto_scale_loss: whether a model of policy "mixed_float16" gets a `LossScaleOptimizer`.

        Raises:
            ValueError: an unknown name, or an argument of the wrong structure.
        """
        _check_steps(steps_per_execution)
        names = getattr(self, "output_names", None)
        made = optimizers.get(optimizer)
        compiled_loss = None if loss is None else CompileLoss(loss, loss_weights, output_names=names)
        asked = metrics is not None or weighted_metrics is not None
        compiled_metrics = CompileMetrics(metrics, weighted_metrics, output_names=names) if asked else None
        self.optimizer = self._scaled(made) if auto_scale_loss else made
        self.loss, self._compile_loss, self._compile_metrics = loss, compiled_loss, compiled_metrics
        self._loss_tracker = metrics_module.Mean(name="loss")
        self.run_eagerly, self.steps_per_execution = bool(run_eagerly), int(steps_per_execution)
        self.jit_compile = not run_eagerly
        self.stop_training, self.compiled = False, True
        self._steps = {}
        self._compile_arguments = {
            "optimizer": made, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
            "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution, "jit_compile": self.jit_compile,
        }  # fmt: skip

    def _scaled(self, optimizer: Any) -> Any:
        half = self.dtype_policy.name == "mixed_float16"  # type: ignore[attr-defined]
        if not half or optimizer is None or isinstance(optimizer, optimizers.LossScaleOptimizer):
            return optimizer
        return optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")

    def get_compile_config(self) -> dict[str, Any]:
        """The arguments of `compile` as plain data; empty for a model that is not compiled."""
        return serialize_keras_object(self._compile_arguments) if self.compiled else {}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model with what `get_compile_config` returned, and makes the optimizer's variables."""
        if type(self).compile is not Trainer.compile:
            warnings.warn(
                "`compile()` was not called as part of model loading because the model's `compile()` method is custom. "
                "Override `get_compile_config()` and `compile_from_config(config)` too, or call `compile()` after "
                "loading.",
                stacklevel=2,
            )
            return
        self.compile(**deserialize_keras_object(config))
        if self.optimizer is not None and self.built:  # type: ignore[attr-defined]
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    def _check_compiled(self, method: str) -> None:
        if not self.compiled:
            raise ValueError(
                f"You must call `compile()` before calling `{method}()`: "
                "model.compile(optimizer='adam', loss='mse'), for example."
            )

    # Metrics ---------------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[Any]:
        """All metrics: of the loss, of `compile`, of the outputs' losses, the model's own, its layers'."""
        found = []
        if self.compiled:
            losses = self._compile_loss.metrics if self._compile_loss is not None else []
            found = [m for m in (self._loss_tracker, self._compile_metrics, *losses) if m is not None]
        own = self._own_metrics()  # type: ignore[attr-defined]
        below = [layer for layer in self._flatten_layers(include_self=False) if not isinstance(layer, Trainer)]  # type: ignore[attr-defined]
        return [*found, *own, *(m for layer in below for m in layer._own_metrics())]

    @property
    def metrics_names(self) -> list[str]:
        """The names of `metrics`."""
        return [m.name for m in self.metrics]

    @property
    def metrics_variables(self) -> list[Any]:
        """The variables of all `metrics`."""
        return [v for m in self.metrics for v in m.variables]

    def reset_metrics(self) -> None:
        """Sets all metrics to their start, as at the beginning of each epoch."""
        for m in self.metrics:
            m.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """The values of all metrics, by name."""
        results: dict[str, Any] = {}
        for m in self.metrics:
            value = m.result()
            results.update(value if isinstance(value, dict) else {m.name: value})
        return results

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Adds a batch to the metrics of `compile` and gives the values of all metrics; subclasses may override it."""
        if self._compile_metrics is not None:
            with inside("(metrics)"):
                self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    # The steps -------------------------------------------------------------------------------------------------------

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss to make small, of shape (): that of `compile`, the added losses and the penalties on weights.

        Subclasses may override it. `x`, `y` and `sample_weight` are the batch, `y_pred` is what the model made of `x`.

        Raises:
            ValueError: there is no loss at all.
        """
        with inside("(loss)"):
            found = None if self._compile_loss is None else self._compile_loss(y, y_pred, sample_weight)
        parts = [] if found is None else [found]
        parts += [_summed(loss) for loss in self.losses]  # type: ignore[attr-defined]
        if not parts:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`, or call `add_loss()`.")
        total = parts[0]
        for part in parts[1:]:
            total = OPS["add"](total, part)
        return total

    def _loss_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        """`compute_loss`, also an override that has no `training` argument."""
        if call_spec.accepts(type(self).compute_loss, "training"):
            return self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        return self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)

    def train_step(self, data: Any) -> dict[str, Any]:
        """What `fit` does with one batch: forward, loss, gradients, update, metrics. Subclasses may override it.

        The gradients come from `striate.value_and_grad`, so `fit` can compile all of it into one plan.

        Args:
            data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            The values to show, by name.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        optimizer, variables = self._needed_optimizer(), self.trainable_variables  # type: ignore[attr-defined]

        def forward() -> Any:
            y_pred = self._forward_pass(x, training=True)
            loss = self._loss_of(x, y, y_pred, sample_weight, training=True)
            return optimizer.scale_loss(loss), (loss, y_pred)

        (_, (loss, y_pred)), gradients = value_and_grad(forward, has_aux=True, variables=variables)()
        self._loss_tracker.update_state(loss, sample_weight=_rows(x))
        if variables:
            with inside("(optimizer)"):
                optimizer.apply(gradients, variables)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """What `evaluate` does with one batch; subclasses may override it. See `train_step`."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self._forward_pass(x, training=False)
        loss = self._loss_of(x, y, y_pred, sample_weight, training=False)
        self._loss_tracker.update_state(loss, sample_weight=_rows(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """What `predict` does with one batch; subclasses may override it."""
        return self._forward_pass(data, training=False)

    def _forward_pass(self, x: Any, training: bool) -> Any:
        if call_spec.names(type(self).call, "training"):  # type: ignore[attr-defined]
            return self(x, training=training)  # type: ignore[operator]
        with call_spec.training_scope(training):
            return self(x)  # type: ignore[operator]

    def _needed_optimizer(self) -> Any:
        if self.optimizer is None:
            raise ValueError("the model has no optimizer. Provide one in `compile()`: optimizer='adam', for example.")
        return self.optimizer

    def _step(self, method: str) -> Step:
        """The compiled form of `train_step` or `test_step`."""
        if method not in self._steps:
            _check_signature(getattr(type(self), method), method)
            self._steps[method] = Step(self, method)
        return self._steps[method]

    def _training_state(self) -> list[Any]:
        """All variables that `fit` changes."""
        own = [*self.variables, *(self.optimizer.variables if self.optimizer is not None else [])]  # type: ignore[attr-defined]
        return [*own, *self.metrics_variables]

    # Fitting ---------------------------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> Any:
        """Trains the model.

        Args:
            x: arrays `(samples, ...)`, a list or dict of them, or batches: a generator, a `PyDataset`, a PyTorch
                `DataLoader`, a `tf.data.Dataset`.
            y: the targets, if `x` holds arrays.
            batch_size: of arrays; 32 by default.
            epochs: the number of the last epoch; with `initial_epoch` not how many there are.
            verbose: "auto" or 1 for a progress bar, 2 for a line per epoch, 0 for nothing.
            callbacks: a list of `striate.callbacks.Callback`.
            validation_split: the fraction of the arrays, taken from their end, that is not trained on.
            validation_data: `(x, y)`, `(x, y, sample_weight)` or batches to evaluate after an epoch.
            shuffle: whether arrays are shuffled before each epoch.
            class_weight: a dict from a class's number to the weight of its samples.
            sample_weight: one weight per sample.
            initial_epoch: where to start.
            steps_per_epoch, validation_steps: how many batches, for endless iterables.
            validation_batch_size: of arrays; `batch_size` by default.
            validation_freq: after every how many epochs to validate, or the list of those epochs.

        Returns:
            A `History`, whose `history` maps each name to a list of values, one per epoch.

        Raises:
            ValueError: the model is not compiled, or the data don't fit it or one another.
        """
        self._check_compiled("fit")
        options = {k: v for k, v in locals().items() if k != "self"}
        return Fitting(self, **options).run()

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The loss and the metrics on data; see `fit` for the arguments.

        Returns:
            A dict by name with `return_dict`, else the loss, or a list in the order of the metrics.
        """
        self._check_compiled("evaluate")
        if kwargs:
            raise ValueError(f"Arguments not recognized: {kwargs}")
        data = adapt(x, y, sample_weight, batch_size=batch_size, steps=limited_steps(steps), where="evaluate")
        with closing(data) as adapter:
            logs = evaluation(self, adapter, callbacks, verbose)
        return logs if return_dict else self._listed(logs)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps: Any = None, callbacks: Any = None
    ) -> Any:
        """The outputs for `x`, computed in batches.

        Args:
            x: an array `(samples, ...)`, a list or dict of them, or an iterable of batches.
            batch_size: 32 by default, for arrays.
            verbose: "auto" or 1 for a progress bar, 0 for none, 2 for one line.
            steps: the number of batches, for an endless iterable.
            callbacks: see `striate.callbacks`.

        Returns:
            Arrays in the nest of the model's outputs.
        """
        return self._predicting()(x, batch_size, verbose, steps, callbacks)

    def _predicting(self) -> Predictor:
        if self._predictor is None:
            self._predictor = Predictor(self)
        return self._predictor

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch: an array, or a nest of arrays."""
        return self._predicting().on_batch(x)

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """One step of training on one batch. The metrics go on from where they were.

        Returns:
            A dict by name with `return_dict`, else the loss, or a list in the order of the metrics.
        """
        self._check_compiled("train_on_batch")
        return self._on_batch("train_step", x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """The loss and metrics on one batch. See `train_on_batch`."""
        self._check_compiled("test_on_batch")
        return self._on_batch("test_step", x, y, sample_weight, None, return_dict)

    def _on_batch(self, method: str, x: Any, y: Any, weight: Any, class_weight: Any, return_dict: bool) -> Any:
        leaf = next((v for v in tree.flatten(x) if v is not None), None)
        rows = len(leaf) if leaf is not None and hasattr(leaf, "__len__") else 1
        where = "train_on_batch" if method == "train_step" else "test_on_batch"
        data = adapt(x, y, weight, batch_size=max(rows, 1), class_weight=class_weight, where=where)
        with closing(data) as adapter:
            batch = next(iter(adapter.epoch(0, 0)))
        self._build_for(batch)
        check_labels(self, batch, where)
        self.reset_metrics()
        logs = as_logs(self._step(method)(batch), method)
        return logs if return_dict else self._listed(logs)

    def _listed(self, logs: dict[str, Any]) -> Any:
        """The values of `logs` in the order of the metrics; the value itself if there is one."""
        names = []
        for m in self.metrics:
            names += [one.name for one in m.metrics] if isinstance(m, CompileMetrics) else [m.name]
        ordered = [logs[n] for n in names if n in logs] + [logs[n] for n in sorted(logs) if n not in names]
        return ordered[0] if len(ordered) == 1 else ordered

    # Building --------------------------------------------------------------------------------------------------------

    def _build_for(self, batch: Any) -> None:
        """Makes all variables that training needs: of layers, losses, metrics and the optimizer."""
        if not self._is_ready():
            self._trace_once(batch)
        optimizer = self.optimizer
        if optimizer is not None and not optimizer.built and _all_built(self):
            optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    def _is_ready(self) -> bool:
        parts = [p for p in (self._compile_loss, self._compile_metrics) if p is not None]
        return _all_built(self) and all(p.built for p in parts)

    def _trace_once(self, batch: Any) -> None:
        """Traces a forward pass, in which layers and metrics make their variables; nothing is computed."""
        try:
            Jit(self._first_look).trace(batch)
        except NoValueError:  # code that looks at values: layers are built by running it, the rest in the first step
            self._forward_pass(unpack_x_y_sample_weight(batch)[0], training=False)
        except Exception:
            if type(self).train_step is Trainer.train_step:
                raise  # a `train_step` of the user's own may well do without `call`

    def _first_look(self, batch: Any) -> Any:
        x, y, sample_weight = unpack_x_y_sample_weight(batch)
        with added_losses(self):
            y_pred = self._forward_pass(x, training=False)
            if self._compile_loss is not None:
                self._loss_of(x, y, y_pred, sample_weight, training=False)
            if self._compile_metrics is not None:
                self.compute_metrics(x, y, y_pred, sample_weight)


def _all_built(model: Any) -> bool:
    return all(layer.built for layer in model._flatten_layers())


def _check_steps(steps: Any) -> None:
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"`steps_per_execution` must be a positive integer. Received: steps_per_execution={steps!r}")


def _check_signature(method: Any, name: str) -> None:
    """Keras has another form of these methods for JAX, with the state as an argument."""
    parameters = list(inspect.signature(method).parameters)
    if parameters[1:2] == ["state"]:
        raise TypeError(
            f"`{name}(self, state, data)` is Keras's form for the JAX backend. Here it is `{name}(self, data)`: read "
            "and assign variables as they are, and take gradients with `striate.value_and_grad(fn, variables=...)`."
        )


def _summed(loss: Any) -> Any:
    if not dtypes.is_floating(dtypes.name_of(loss.dtype)):
        loss = OPS["cast"](loss, dtypes.standardize(None))
    return OPS["sum"](loss) if len(loss.shape) else loss


def _rows(x: Any) -> int:
    return next(v for v in tree.flatten(x) if v is not None).shape[0]
