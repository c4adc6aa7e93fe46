"""Small callbacks: functions as hooks, the end of a training whose loss is no number, logs sent to a server."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from striate.callbacks.callback import Callback, Logs
from striate.core.interactive import show
from striate.core.registry import export

TIMEOUT = 10.0  # seconds that a server may take to answer


@export("keras.callbacks.LambdaCallback")
class LambdaCallback(Callback):
    """Calls functions as hooks.

    Args:
        on_epoch_begin, on_epoch_end: called with `(epoch, logs)`.
        on_train_begin, on_train_end: called with `(logs)`.
        on_train_batch_begin, on_train_batch_end: called with `(batch, logs=logs)`.
        **kwargs: any other hook by its name.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        named = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        self.__dict__.update(kwargs)
        self.__dict__.update({name: hook for name, hook in named.items() if hook is not None})


@export("keras.callbacks.TerminateOnNaN")
class TerminateOnNaN(Callback):
    """Ends training after a batch whose loss is nan or infinite.

    Args:
        raise_error: whether to raise a RuntimeError, so that no hook for the end of training is called (default False:
            training ends as if it were complete).

    Raises (in `fit`):
        RuntimeError: such a loss, with `raise_error=True`.
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}. Terminating training immediately."
            )
        show(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True


@export("keras.callbacks.RemoteMonitor")
class RemoteMonitor(Callback):
    """Sends the logs of each epoch to a server, by HTTP POST; a server that can't be reached gives a warning.

    Args:
        root: the server (default "http://localhost:9000").
        path: where on it (default "/publish/epoch/end/").
        field: the field of the form that holds the JSON text (default "data").
        headers: further HTTP headers; None (default) for none.
        send_as_json: whether to send JSON in place of a form (default False).
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: dict[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        self.root, self.path, self.field, self.headers, self.send_as_json = root, path, field, headers, send_as_json

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        text = json.dumps({"epoch": epoch, **{k: _plain(v) for k, v in (logs or {}).items()}})
        try:
            with urllib.request.urlopen(self._request(text), timeout=TIMEOUT) as answer:
                answer.read()
        except (OSError, ValueError) as error:
            if not isinstance(error, urllib.error.HTTPError):  # a server that refuses has been reached
                warnings.warn(f"Could not reach RemoteMonitor root server at {self.root}", stacklevel=2)

    def _request(self, text: str) -> urllib.request.Request:
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        body = text if self.send_as_json else urllib.parse.urlencode({self.field: text})
        headers = {"Content-Type": kind, **(self.headers or {})}
        return urllib.request.Request(self.root + self.path, body.encode(), headers, method="POST")


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist() if isinstance(value, np.ndarray | np.generic) else value
