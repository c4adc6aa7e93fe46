"""The HDF5 layout of Keras 1 and 2, in which the published ImageNet weights are kept, and which Keras 3 still knows.

The root (or the group `model_weights`) has the attribute `layer_names`; each layer has a group of that name with the
attribute `weight_names`, the paths of its datasets below the group, trainable weights first. A list of names that
needs more than 64,512 bytes is cut into the numbered attributes `layer_names0`, `layer_names1`, ...
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.core.errors import message
from striate.layers.fitting import weight_difference
from striate.saving import h5

ATTRIBUTE_LIMIT = 64512  # bytes that one HDF5 object header can hold
TOP_LEVEL = "top_level_model_weights"
WHERE = "load_weights"

Pairs = list[tuple[Any, Any]]  # a variable and the dataset that it is to be read from


def is_legacy(root: Any) -> bool:
    """Whether the file has the layout that is read here."""
    return _has_names(root) or "model_weights" in root


def _has_names(group: Any) -> bool:
    return "layer_names" in group.attrs or "layer_names0" in group.attrs


def load_weights_from_hdf5(
    path: str | os.PathLike[str], model: Any, by_name: bool = False, skip_mismatch: bool = False
) -> None:
    """Load a file of the legacy layout into a model. On any error the model is unchanged.

    Args:
        path: the file.
        model: a built model.
        by_name: match layers by name and skip those that only one side has; by default layers with weights are
            matched in order.
        skip_mismatch: leave out, with a warning, weights whose shape differs (and by name also layers whose number of
            weights differs); by default an error.

    Raises:
        FileNotFoundError, OSError: no such file; not HDF5, or cut short.
        ValueError: layers, numbers of weights or shapes differ; the file holds links or no plain numbers.
    """
    with h5.opened(path, WHERE) as root:
        values = read_group(root, model, by_name, skip_mismatch)
    h5.assign_all(values)


def read_group(root: Any, model: Any, by_name: bool = False, skip_mismatch: bool = False) -> h5.Values:
    """The variables with the values that an open file has for them; errors as in `load_weights_from_hdf5`."""
    group = root if _has_names(root) or "model_weights" not in root else h5.get_group(root, "model_weights", WHERE)
    layer_names = h5.names(group, "layer_names", WHERE)
    if not _has_names(group):
        problem = f"{h5.file_name(group)} has no attribute 'layer_names', so it is no legacy Keras weight file"
        raise ValueError(message(WHERE, problem))
    match = _match_by_name if by_name else _match_in_order
    pairs = match(group, layer_names, model, skip_mismatch)
    if TOP_LEVEL in group:
        pairs += _top_level(group, model, by_name and skip_mismatch, skip_mismatch)
    return h5.read_all(pairs, WHERE)


# ------------------------------------------------------------------------------------------------------------ matching


def _match_in_order(group: Any, layer_names: list[str], model: Any, skip_mismatch: bool) -> Pairs:
    layers = [layer for layer in model.layers if legacy_weights(layer)]
    saved = {name: h5.names(h5.get_group(group, name, WHERE), "weight_names", WHERE) for name in layer_names}
    used = [name for name in layer_names if saved[name]]
    if len(used) != len(layers):
        raise ValueError(_layer_counts(group, model, layers, used))
    pairs: Pairs = []
    for layer, name in zip(layers, used, strict=True):
        pairs += _match_layer(group, name, saved[name], layer, skip_mismatch)
    return pairs


def _layer_counts(group: Any, model: Any, layers: Sequence[Any], used: Sequence[str]) -> str:
    if not layers:
        problem = f"model {model.name!r} has no weights yet, {h5.file_name(group)} has {len(used)} layers with weights"
        return message(WHERE, problem, "Build the model first: call it once, or give it an Input")
    known = {layer.name for layer in layers}
    missing = [layer.name for layer in layers if layer.name not in set(used)]
    extra = [name for name in used if name not in known]
    problem = (
        f"layer count mismatch: model {model.name!r} has {len(layers)} layers with weights, {h5.file_name(group)} has "
        f"{len(used)}{_some('only in the model', missing)}{_some('only in the file', extra)}"
    )
    return message(WHERE, problem, "Build the model that the file was saved from, or pass by_name=True")


def _some(label: str, found: Sequence[str]) -> str:
    shown = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")
    return f"; {label}: {shown}" if found else ""


def _match_by_name(group: Any, layer_names: list[str], model: Any, skip_mismatch: bool) -> Pairs:
    pairs: Pairs = []
    for name in layer_names:
        for layer in (layer for layer in model.layers if layer.name == name):
            saved = h5.names(h5.get_group(group, name, WHERE), "weight_names", WHERE)
            if skip_mismatch and len(saved) != len(legacy_weights(layer)):
                h5.warn(_weight_counts(group, name, saved, layer) + " Skipped.")
                continue
            pairs += _match_layer(group, name, saved, layer, skip_mismatch)
    return pairs


def _match_layer(group: Any, name: str, saved: Sequence[str], layer: Any, skip_mismatch: bool) -> Pairs:
    weights = legacy_weights(layer)
    if len(saved) != len(weights):
        raise ValueError(_weight_counts(group, name, saved, layer))
    below = h5.get_group(group, name, WHERE)
    found = [(variable, h5.get_dataset(below, path, WHERE)) for variable, path in zip(weights, saved, strict=True)]
    return [pair for pair in found if fits(*pair, f"layer {layer.name!r}", skip_mismatch)]


def _weight_counts(group: Any, name: str, saved: Sequence[str], layer: Any) -> str:
    expected = [f"{variable.path} {tuple(variable.shape)}" for variable in legacy_weights(layer)]
    problem = (
        f"weight count mismatch for layer {layer.name!r} ({name!r} in {h5.file_name(group)}): the layer has "
        f"{len(expected)} weights {expected}, the file has {len(saved)}: {list(saved)[:8]}"
    )
    return message(WHERE, problem)


def fits(variable: Any, dataset: Any, owner: str, skip_mismatch: bool) -> bool:
    """Whether the dataset has the variable's shape; a warning with `skip_mismatch`, else ValueError, if not."""
    if tuple(variable.shape) == tuple(dataset.shape):
        return True
    problem = (
        f"shape mismatch in {owner}: weight {variable.path!r} has shape {tuple(variable.shape)}, "
        f"{dataset.name!r} in {h5.file_name(dataset)} has shape {tuple(dataset.shape)}"
    )
    if not skip_mismatch:
        why = weight_difference(variable.path.rsplit("/", 1)[-1], tuple(variable.shape), tuple(dataset.shape))
        fix = "Build the model that the file was saved from, or skip_mismatch=True"
        raise ValueError(message(WHERE, f"{problem}. {why}", fix))
    h5.warn(message(WHERE, problem) + " Skipped.")
    return False


def _top_level(group: Any, model: Any, skip_count: bool, skip_mismatch: bool) -> Pairs:
    below = h5.get_group(group, TOP_LEVEL, WHERE)
    saved, weights = h5.names(below, "weight_names", WHERE), top_level_weights(model)
    if len(saved) != len(weights):
        problem = f"the model itself has {len(weights)} weights besides its layers', {h5.file_name(group)} {len(saved)}"
        if not skip_count:
            raise ValueError(message(WHERE, problem))
        h5.warn(message(WHERE, problem) + " Skipped.")
        return []
    found = [(variable, h5.get_dataset(below, path, WHERE)) for variable, path in zip(weights, saved, strict=True)]
    return [pair for pair in found if fits(*pair, f"model {model.name!r}", skip_mismatch)]


def legacy_weights(layer: Any) -> list[Any]:
    """The layer's weights in the order of these files: the trainable ones, then the others."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def top_level_weights(model: Any) -> list[Any]:
    """The weights of the model itself, which belong to none of its layers."""
    below = {id(variable) for layer in model.layers for variable in layer.weights}
    return [variable for variable in legacy_weights(model) if id(variable) not in below]


# ------------------------------------------------------------------------------------------------------------- writing


def save_weights_to_hdf5(path: str | os.PathLike[str], model: Any) -> None:
    """Write the model's weights in the legacy layout, beside the target and then moved into place.

    Raises:
        ValueError: two weights of a layer have the same path. RuntimeError: a name is longer than a file can hold.
    """
    h5.write(path, lambda root: save_weights_to_group(root, model))


def save_weights_to_group(group: Any, model: Any) -> None:
    """As `save_weights_to_hdf5`, into a group of a file that is open."""
    write_names(group, "layer_names", [layer.name for layer in model.layers])
    group.attrs["backend"], group.attrs["keras_version"] = b"striate", b"3.15.1"
    for layer in sorted(model.layers, key=lambda layer: layer.name):
        _write_weights(group.create_group(layer.name), legacy_weights(layer), layer.name)
    _write_weights(group.create_group(TOP_LEVEL), top_level_weights(model), model.name)


def _write_weights(group: Any, weights: Sequence[Any], owner: str) -> None:
    paths = [str(variable.path) for variable in weights]
    if len(set(paths)) < len(paths):
        problem = f"two weights of {owner!r} have the same path: {sorted(p for p in paths if paths.count(p) > 1)}"
        raise ValueError(message("save_weights", problem, "Give them different names in add_weight"))
    write_names(group, "weight_names", paths)
    for variable, path in zip(weights, paths, strict=True):
        group.create_dataset(path, data=np.asarray(variable.numpy()))


def write_names(group: Any, attribute: str, texts: Sequence[str]) -> None:
    """Keeps a list of names as an attribute, in numbered chunks where it is too long for one.

    Raises:
        RuntimeError: one name alone is too long.
    """
    encoded = [text.encode("utf-8") for text in texts]
    longest = max([1, *map(len, encoded)])
    if longest > ATTRIBUTE_LIMIT:
        problem = f"a name of {longest:,} bytes does not fit into an HDF5 attribute of {ATTRIBUTE_LIMIT:,}"
        raise RuntimeError(message("save_weights", problem))
    array, per_chunk = np.array(encoded, f"S{longest}"), ATTRIBUTE_LIMIT // longest
    if len(array) <= per_chunk:
        group.attrs[attribute] = array
        return
    for chunk, start in enumerate(range(0, len(array), per_chunk)):
        group.attrs[f"{attribute}{chunk}"] = array[start : start + per_chunk]
