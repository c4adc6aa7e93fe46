"""Metrics by name, and as config dictionaries."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from striate.core.errors import message
from striate.core.objects import deserialize_object, serialize_object
from striate.core.registry import export, module_objects
from striate.metrics import (
    accuracy,
    at_value,
    auc,
    confusion,
    correlation,
    f_score,
    hinges,
    iou,
    probabilistic,
    r2,
    reduction,
    regression,
)
from striate.trace import to_snake_case

# Importing those modules has published their metrics.
MODULES = (
    accuracy, at_value, auc, confusion, correlation, f_score, hinges, iou, probabilistic, r2, reduction, regression
)  # fmt: skip
_CLASSES = {name: obj for name, obj in module_objects("keras.metrics").items() if inspect.isclass(obj)}
_SHORT: dict[str, Any] = {
    "bce": probabilistic.BinaryCrossentropy,
    "mse": regression.MeanSquaredError,
    "mae": regression.MeanAbsoluteError,
    "mape": regression.MeanAbsolutePercentageError,
    "msle": regression.MeanSquaredLogarithmicError,
}
NAMES: dict[str, Any] = {
    **_CLASSES,
    **{to_snake_case(name): cls for name, cls in _CLASSES.items()},
    **_SHORT,
    **{name.upper(): cls for name, cls in _SHORT.items()},
}


@export("keras.metrics.serialize")
def serialize(metric: Any) -> dict[str, Any] | None:
    """The config dictionary of a metric, an object or a function."""
    return serialize_object(metric)


@export("keras.metrics.deserialize")
def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The metric that a config dictionary or a name stands for.

    Args:
        config: what `serialize` returned, or a name.
        custom_objects: names and the classes or functions they stand for.

    Raises:
        ValueError: an unknown name.
    """
    functions = {name: obj for name, obj in module_objects("keras.metrics").items() if inspect.isfunction(obj)}
    of_function = isinstance(config, dict) and config.get("class_name") == "function"
    known = {**NAMES, **functions} if of_function else {**functions, **NAMES}
    return deserialize_object(config, known, "metric", custom_objects)


@export("keras.metrics.get")
def get(identifier: Any) -> Any:
    """The metric for a name, a config dictionary, a class, an object or a function; None stays None.

    Raises:
        ValueError: for anything else; close names are suggested.
    """
    if identifier is None:
        return None
    found = deserialize(identifier) if isinstance(identifier, dict) else identifier
    found = NAMES.get(identifier) if isinstance(identifier, str) else found
    if not callable(found):
        near = difflib.get_close_matches(str(identifier), NAMES, n=3)
        fix = f"Did you mean {' or '.join(map(repr, near))}?" if near else None
        raise ValueError(message("", f"Could not interpret metric identifier: {identifier}", fix))
    return found() if inspect.isclass(found) else found
