"""`CallbackList`: many callbacks behind the hooks of one."""

from __future__ import annotations

from typing import Any

from striate.callbacks.callback import Callback, Logs
from striate.callbacks.history import History
from striate.callbacks.progbar_logger import ProgbarLogger
from striate.core import tree
from striate.core.errors import message
from striate.core.registry import export


@export("keras.callbacks.CallbackList")
class CallbackList(Callback):
    """Calls each hook of several callbacks, in their order, with logs made of Python numbers. Only `BackupAndRestore`
    comes before the others at beginnings, and after them when training ends, wherever it stands.

    Args:
        callbacks: a callback or a nest of them; None (default) for none.
        add_history: whether to add a `History` unless there is one (default False).
        add_progbar: whether to add a `ProgbarLogger` unless there is one (default False).
        model: given to each callback; None (default) to call `set_model` later.
        **params: given to each callback's `set_params`, if there are any.

    Raises:
        TypeError: something among `callbacks` is no callback.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks: list[Any] = [_checked(c) for c in tree.flatten(callbacks)] if callbacks else []
        self._runs = 0  # of fit, evaluate, predict, one within the other
        self._history = self._find(History) or (self._add(History()) if add_history else None)
        self._progbar = self._find(ProgbarLogger) or (self._add(ProgbarLogger()) if add_progbar else None)
        self.set_model(model)
        self.set_params(params)

    def _find(self, kind: type) -> Any:
        return next((c for c in reversed(self.callbacks) if isinstance(c, kind)), None)

    def _add(self, callback: Callback) -> Callback:
        self.callbacks.append(callback)
        return callback

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        for callback in self.callbacks if params else ():
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        if model is None:
            return
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)
            if hasattr(callback, "_siblings"):
                callback._siblings = self.callbacks

    def _at_begin(self) -> list[Any]:
        return sorted(self.callbacks, key=lambda callback: not getattr(callback, "_outermost", False))

    def _at_end(self) -> list[Any]:
        return sorted(self.callbacks, key=lambda callback: getattr(callback, "_outermost", False))

    def _begin(self) -> None:
        self._runs += 1

    def _end(self) -> None:
        self._runs -= 1
        if self._runs < 0:
            raise ValueError("`on_xxx_end` called without corresponding `on_xxx_begin`")

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_batch_begin(batch, logs=logs)

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_batch_end(batch, logs=logs)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self._at_begin():
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)
        for callback in self.callbacks:
            if getattr(callback, "_outermost", False):
                callback._after_epoch()

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self._at_begin():
            callback.on_train_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_test_batch_begin(batch, logs=logs)

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_test_batch_end(batch, logs=logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_predict_batch_begin(batch, logs=logs)

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_predict_batch_end(batch, logs=logs)

    def on_train_begin(self, logs: Logs = None) -> None:
        self._begin()
        logs = python_logs(logs)
        for callback in self._at_begin():
            callback.on_train_begin(logs)

    def on_train_end(self, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self._at_end():
            callback.on_train_end(logs)
        self._end()

    def on_test_begin(self, logs: Logs = None) -> None:
        self._begin()
        logs = python_logs(logs)
        for callback in self._at_begin():
            callback.on_test_begin(logs)

    def on_test_end(self, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_test_end(logs)
        self._end()

    def on_predict_begin(self, logs: Logs = None) -> None:
        self._begin()
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_predict_begin(logs)

    def on_predict_end(self, logs: Logs = None) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            callback.on_predict_end(logs)
        self._end()


def _checked(callback: Any) -> Any:
    if isinstance(callback, type):
        fix = f"Write {callback.__name__}(...)"
        raise TypeError(message("callbacks", f"expected an object, received the class {callback.__name__}", fix))
    if not hasattr(callback, "set_model"):
        problem = f"expected callbacks, received {callback!r} of type {type(callback).__name__}"
        raise TypeError(message("callbacks", problem, "Derive its class from `striate.callbacks.Callback`"))
    return callback


def python_logs(logs: Logs) -> dict[str, Any]:
    """A new dict of the logs in the order of their names: nested dicts flattened, numbers as Python floats."""
    found: dict[str, Any] = {}
    for name, value in sorted((logs or {}).items()):
        if isinstance(value, dict):
            found.update(python_logs(value))
        else:
            found[name] = _python_value(value)
    return found


def _python_value(value: Any) -> Any:
    if getattr(value, "ndim", 0):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):  # no number: a text, an object
        return value
