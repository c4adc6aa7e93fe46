"""Whole models in the HDF5 layout of Keras 1 and 2, which Keras 3 still writes for names that end in `.h5`.

The root has the attributes `model_config` and, for a compiled model, `training_config`, both JSON; the weights stand in
the group `model_weights` (see `legacy_h5`), the optimizer's variables in `optimizer_weights`. Entries of layers have no
module, only a class name.
"""

from __future__ import annotations

import inspect
import json
import os
import warnings
from collections.abc import Mapping
from typing import Any

from striate.core.errors import message
from striate.core.limits import largest_variable
from striate.core.registry import custom_object_scope
from striate.saving import h5
from striate.saving.deserialization import deserialize_keras_object
from striate.saving.legacy_h5 import read_group, save_weights_to_group, write_names
from striate.saving.operations import is_operation
from striate.saving.serialization import serialize_keras_object

WEIGHTS, OPTIMIZER = "model_weights", "optimizer_weights"
_OLD_OF_LAMBDAS = ("module", "function_type", "output_shape_type", "output_shape_module")


# ------------------------------------------------------------------------------------------------------------- writing


def save_model_to_hdf5(model: Any, path: str | os.PathLike[str], include_optimizer: bool = True) -> None:
    """Writes a model as `.h5`, beside the target and then moved into place."""
    warnings.warn(
        "You are saving your model as an HDF5 file. This file format is considered legacy. We recommend using instead "
        "the native Keras format, e.g. `model.save('my_model.keras')`.",
        stacklevel=4,
    )
    h5.write(path, lambda root: _fill(root, model, include_optimizer), "save_model")


def _fill(root: Any, model: Any, include_optimizer: bool) -> None:
    entry = serialize_keras_object(model)
    root.attrs["keras_version"], root.attrs["backend"] = "3.15.1", "striate"
    root.attrs["model_config"] = json.dumps({k: v for k, v in _older(entry).items() if k in ("class_name", "config")})
    save_weights_to_group(root.create_group(WEIGHTS), model)
    training = dict(entry.get("compile_config") or {})
    if not include_optimizer or not training:
        return
    optimizer = training.pop("optimizer", None)
    if optimizer is not None:
        name = optimizer.get("registered_name") or optimizer["class_name"]
        training["optimizer_config"] = {"class_name": name, "config": optimizer["config"]}
        _write_optimizer(root, model.optimizer)
    root.attrs["training_config"] = json.dumps(training)


def _write_optimizer(root: Any, optimizer: Any) -> None:
    variables = optimizer.variables
    group = root.create_group(OPTIMIZER)
    write_names(group, "weight_names", [v.path for v in variables])
    for variable in variables:
        group.create_dataset(variable.path, data=variable.numpy())


def _older(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry of a layer as these files have it."""
    if is_operation(entry):
        return entry  # without its module it could be taken for a layer
    made = {"class_name": entry.get("registered_name") or entry["class_name"], "config": entry["config"]}
    config = entry["config"]
    if isinstance(config, dict) and isinstance(config.get("layers"), list | tuple):
        made["config"] = {**config, "layers": [_older(layer) for layer in config["layers"]]}
    return made | {k: entry[k] for k in ("name", "inbound_nodes") if k in entry}


# ------------------------------------------------------------------------------------------------------------- reading


def load_model_from_hdf5(path: str, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Any:
    """The model in an `.h5` file.

    Raises:
        ValueError: no model in the file, or anything wrong with it.
    """
    try:
        with h5.opened(path, "load_model") as root:
            return _read(root, path, custom_objects, compile)
    except OSError as error:
        if isinstance(error, ValueError):
            raise
        raise ValueError(str(error)) from error


def _read(root: Any, path: str, custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    config = _json(root, "model_config", path)
    if config is None:
        fix = "Build the model and use `load_weights`" if WEIGHTS in root or "layer_names" in root.attrs else None
        raise ValueError(message("load_model", f"No model config found in the file at {path!r}", fix))
    with largest_variable(max(h5.FLOOR, h5.EXPANSION * os.path.getsize(path)) // 4):
        model = deserialize_keras_object(_newer(config), custom_objects)
    if not hasattr(model, "layers"):
        raise ValueError(message("load_model", f"{path!r} describes {model!r}, expected a model"))
    h5.assign_all(read_group(root, model))
    if compile:
        _compile(root, path, model, custom_objects)
    return model


def _json(root: Any, attribute: str, path: str) -> dict[str, Any] | None:
    text = root.attrs.get(attribute)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"the attribute {attribute!r} of {path!r} is no JSON ({error})"
        raise ValueError(message("load_model", problem)) from error
    if not isinstance(found, dict):
        raise ValueError(message("load_model", f"the attribute {attribute!r} of {path!r} holds no dictionary"))
    return found


def _newer(entry: Any) -> Any:
    """The entry of a layer with the arguments that older versions called otherwise."""
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict | list):
        return entry
    config = entry["config"]
    if isinstance(config, list):  # a Sequential of Keras 1
        config = {"name": entry.get("name") or "sequential", "layers": config}
    config = dict(config)
    if isinstance(config.get("layers"), list):
        config["layers"] = [_newer(layer) for layer in config["layers"]]
    shape = config.pop("batch_input_shape", None)
    if shape is not None and entry["class_name"] == "InputLayer":
        config["batch_shape"] = shape
    elif shape is not None:
        config["input_shape"] = shape[1:]
    if entry.get("class_name") == "Lambda":
        config = _newer_lambda(config)
    return {**entry, "config": config}


def _newer_lambda(config: dict[str, Any]) -> dict[str, Any]:
    function = config.get("function")
    if isinstance(function, list):
        config["function"] = {"class_name": "__lambda__", "config": {"code": function[0]}}
    elif config.get("function_type") == "function" and isinstance(function, str):
        config["function"] = {"class_name": "function", "config": function}
    return {k: v for k, v in config.items() if k not in _OLD_OF_LAMBDAS}


def _compile(root: Any, path: str, model: Any, custom_objects: Mapping[str, Any] | None) -> None:
    training = _json(root, "training_config", path)
    if training is None:
        text = "No training configuration found in the save file, so the model was *not* compiled. Compile it manually."
        warnings.warn(text, stacklevel=7)
        return
    optimizer = training.pop("optimizer_config", None)
    known = inspect.signature(model.compile).parameters
    config = {k: v for k, v in training.items() if k in known}
    if optimizer is not None:
        config["optimizer"] = {"module": "keras.optimizers", "registered_name": None, **optimizer}
    with custom_object_scope(custom_objects or {}):
        model.compile_from_config(config)
    if OPTIMIZER in root and model.optimizer is not None:
        _read_optimizer(h5.get_group(root, OPTIMIZER, "load_model"), model.optimizer)


def _read_optimizer(group: Any, optimizer: Any) -> None:
    names = h5.names(group, "weight_names", "load_model")
    variables = optimizer.variables
    found = [h5.get_dataset(group, name, "load_model") for name in names]
    if [tuple(d.shape) for d in found] != [tuple(v.shape) for v in variables]:
        text = "Error in loading the saved optimizer state. As a result, your model is starting with a freshly "
        warnings.warn(text + "initialized optimizer.", stacklevel=7)
        return
    h5.assign_all(h5.read_all(list(zip(variables, found, strict=True)), "load_model"))
