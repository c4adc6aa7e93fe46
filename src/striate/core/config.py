"""Settings of the process: default float type, fuzz factor, image layout, threads. Read once from Keras's own
`keras.json`.

The file (in `KERAS_HOME`, else `~/.keras`) is never written; one that cannot be used gives a warning and the defaults.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from striate.core.errors import listed, message
from striate.core.registry import export

_FLOATS = ("bfloat16", "float16", "float32", "float64")
_LAYOUTS = ("channels_last", "channels_first")
_settings: dict[str, Any] = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
_settings["conv_precision"] = "fast"
_threads: int | None = None
_limits: dict[str, int | None] = {}  # of runs of `fit`: what was set, else the environment says it
_thread_hooks: list[Callable[[int], None]] = []


@export("keras.config.floatx", "keras.backend.floatx")
def floatx() -> str:
    """The default float type. Defaults to `"float32"`."""
    return str(_settings["floatx"])


@export("keras.config.set_floatx", "keras.backend.set_floatx")
def set_floatx(value: str) -> None:
    """Sets the default float type: `"bfloat16"`, `"float16"`, `"float32"` or `"float64"`; else ValueError."""
    if value not in _FLOATS:
        raise ValueError(message("", f"Unknown `floatx` value: {value!r}. Expected one of {listed(_FLOATS)}"))
    _settings["floatx"] = str(value)


def conv_precision() -> str:
    """How 3x3 convolutions are computed: `"fast"` (the default) or `"exact"`; see `set_conv_precision`."""
    return str(_settings["conv_precision"])


def set_conv_precision(value: str) -> None:
    """Chooses between speed and the last digits in convolutions.

    Args:
        value: `"fast"` lets convolutions with stride 1 use Winograd's algorithm (Lavin and Gray 2016): 3x3 ones, those
            with such kernels along a third axis, and those along a single one. Their relative L2 error is up to 8e-6 in
            place of 1e-6; a NaN or infinity spreads over its tile of up to 8x8 pixels. `"exact"` sums products as the
            definition does.

    Raises:
        ValueError: another value.
    """
    if value not in ("fast", "exact"):
        raise ValueError(message("set_conv_precision", f"expected 'fast' or 'exact', received {value!r}"))
    _settings["conv_precision"] = value


@export("keras.config.epsilon", "keras.backend.epsilon")
def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite. Defaults to 1e-7."""
    return float(_settings["epsilon"])


@export("keras.config.set_epsilon", "keras.backend.set_epsilon")
def set_epsilon(value: float) -> None:
    """Sets the small number; ValueError when it is not a number."""
    try:
        _settings["epsilon"] = float(value)
    except (TypeError, ValueError):
        raise ValueError(message("", f"`epsilon` must be a number. Received: {value!r}")) from None


@export("keras.config.image_data_format", "keras.backend.image_data_format")
def image_data_format() -> str:
    """The default layout of images: `"channels_last"` (the default) or `"channels_first"`."""
    return str(_settings["image_data_format"])


@export("keras.config.set_image_data_format", "keras.backend.set_image_data_format")
def set_image_data_format(data_format: str) -> None:
    """Sets the default layout of images, in any case; ValueError for anything but the two."""
    _settings["image_data_format"] = _layout(data_format)


def standardize_data_format(data_format: str | None, where: str = "") -> str:
    """`data_format` in lower case, the default for None; ValueError naming `where` for anything but the two layouts."""
    return image_data_format() if data_format is None else _layout(data_format, where)


def _layout(data_format: Any, where: str = "") -> str:
    found = str(data_format).lower()
    if found not in _LAYOUTS:
        problem = f"The `data_format` argument must be one of {listed(_LAYOUTS)}. Received: data_format={data_format!r}"
        raise ValueError(message(where, problem))
    return found


@export("keras.config.backend", "keras.backend.backend")
def backend() -> str:
    """The name of the engine room: always `"striate"`, whatever `KERAS_BACKEND` or `keras.json` say."""
    return "striate"


@export("keras.config.max_epochs")
def max_epochs() -> int | None:
    """The most epochs that any `fit` runs: what was set, else `KERAS_MAX_EPOCHS`; None (the default) for no limit."""
    return _limit("KERAS_MAX_EPOCHS")


@export("keras.config.set_max_epochs")
def set_max_epochs(max_epochs: int | None) -> None:
    """Limits the epochs of all later calls of `fit`, to try a script out quickly; None for no limit."""
    _limits["KERAS_MAX_EPOCHS"] = max_epochs


@export("keras.config.max_steps_per_epoch")
def max_steps_per_epoch() -> int | None:
    """The most steps in an epoch of `fit` and in `evaluate` and `predict`: what was set, else
    `KERAS_MAX_STEPS_PER_EPOCH`; None (the default) for no limit."""
    return _limit("KERAS_MAX_STEPS_PER_EPOCH")


@export("keras.config.set_max_steps_per_epoch")
def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Limits the steps of all later epochs of `fit`, of `evaluate` and of `predict`; None for no limit."""
    _limits["KERAS_MAX_STEPS_PER_EPOCH"] = max_steps_per_epoch


def _limit(name: str) -> int | None:
    if name in _limits:
        return _limits[name]
    text = os.environ.get(name, "").strip()
    return int(text) if text.isdecimal() else None


def keras_home() -> Path:
    """Where Keras keeps its settings, weights and data: `KERAS_HOME`, else `~/.keras` (the system's temporary
    folder stands in for a home that cannot be written to)."""
    named = os.environ.get("KERAS_HOME")
    if named:
        return Path(named).expanduser()
    home = Path(os.path.expanduser("~"))
    return (home if os.access(home, os.W_OK) else Path(tempfile.gettempdir())) / ".keras"


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a `keras.json` that can be used; a warning for each that cannot. No file: none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        warnings.warn(message(str(path), f"ignored, it cannot be read as settings ({error})"), stacklevel=2)
        return {}
    if not isinstance(found, dict):
        warnings.warn(message(str(path), f"ignored: expected an object, found {type(found).__name__}"), stacklevel=2)
        return {}
    return {key: found[key] for key in _settings if key in found and _usable(path, key, found[key])}


def _usable(path: Path, key: str, value: Any) -> bool:
    expected = {"floatx": f"one of {listed(_FLOATS)}", "image_data_format": f"one of {listed(_LAYOUTS)}"}
    right = {
        "floatx": value in _FLOATS if isinstance(value, str) else False,
        "image_data_format": value in _LAYOUTS if isinstance(value, str) else False,
        "epsilon": isinstance(value, int | float) and not isinstance(value, bool) and value > 0,
    }[key]
    if not right:
        wanted = expected.get(key, "a number above 0")
        warnings.warn(message(str(path), f"`{key}` ignored: expected {wanted}, found {value!r}"), stacklevel=3)
    return right


def num_threads() -> int:
    """How many threads the engine may use.

    What `set_num_threads` said, else `STRIATE_NUM_THREADS`, else the cores this process may use (affinity and
    cgroup limits included).
    """
    return _threads if _threads is not None else _threads_from_environment() or usable_cores()


def set_num_threads(n: int) -> None:
    """Sets the number of threads for all later work; results don't depend on it. ValueError unless `n >= 1`."""
    global _threads
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(message("set_num_threads", f"expected a whole number of at least 1, got {n!r}"))
    _threads = n
    for hook in _thread_hooks:
        hook(n)


def on_num_threads(hook: Callable[[int], None]) -> None:
    """Calls `hook` with the number of threads, now and whenever it is set: how the kernels' pool learns of it."""
    _thread_hooks.append(hook)
    hook(num_threads())


def _threads_from_environment() -> int | None:
    text = os.environ.get("STRIATE_NUM_THREADS", "").strip()
    if not text:
        return None
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    warnings.warn(
        message("STRIATE_NUM_THREADS", f"ignored: expected a whole number of at least 1, got {text!r}"), stacklevel=2
    )
    return None


def usable_cores() -> int:
    """The cores this process may use: those of its affinity mask, no more than its cgroup's share of time."""
    asked = getattr(os, "sched_getaffinity", None)
    cores = len(asked(0)) if asked else os.cpu_count() or 1
    return max(1, min([cores, *_cgroup_limits()]))


def _cgroup_limits(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Whole cores that each enclosing cgroup (version 2, or 1 with its cpu controller) grants; none where unlimited."""
    lines = [line.split(":", 2) for line in _text(own).splitlines() if line.count(":") >= 2]
    limits = []
    for _, controllers, path in lines:
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "cpu" if controllers else root
        inside = Path(path.strip("/"))
        limits += [_quota(base / p) for p in (inside, *inside.parents)]
    return [limit for limit in limits if limit]


def _quota(folder: Path) -> int | None:
    both = _text(folder / "cpu.max").split()
    if not both:
        both = _text(folder / "cpu.cfs_quota_us").split() + _text(folder / "cpu.cfs_period_us").split()
    if len(both) != 2 or not all(part.isdecimal() for part in both) or int(both[1]) == 0:
        return None  # no such file, "max", or -1: unlimited
    return max(1, math.ceil(int(both[0]) / int(both[1])))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


_settings.update(read_settings(keras_home() / "keras.json"))
