"""Keras 3's `.weights.h5`: a tree of groups that follows the objects, each with its variables in `vars/0`, `vars/1`.

See `saveables` for the paths. What overrides `save_own_variables` or `load_own_variables` (an optimizer, for one) says
itself what its group holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from striate.core.errors import message
from striate.layers.layer import Layer
from striate.saving import h5
from striate.saving.legacy_h5 import fits
from striate.saving.saveables import owners, variables_of
from striate.saving.stores import Reader, Writer

WHERE = "load_weights"


def read_tree(root: Any, model: Any, skip_mismatch: bool = False, skip: Iterable[Any] = (), where: str = WHERE) -> None:
    """Gives the model's variables the values that an open file has for them; on an error it is unchanged.

    Args:
        root: the file.
        model: a built model.
        skip_mismatch: what does not fit keeps its values, with a warning, and is no error.
        skip: objects to leave as they are.

    Raises:
        ValueError: a layer's group is missing, or numbers or shapes of weights differ; the file holds links or no
            plain numbers; an object's own `load_own_variables` failed.
    """
    found = owners(model, skip, lambda path: h5.has(root, path))
    pairs: list[tuple[Any, Any]] = []
    for path, owner in found:
        if _plain(owner) and not _lacks_container(root, path):
            pairs += _match(root, path, owner, skip_mismatch, where)
    values = h5.read_all(pairs, where)
    with h5.unchanged_on_error(variables_of(found)):
        h5.assign_all(values)
        for path, owner in found:
            if not _plain(owner) and hasattr(owner, "load_own_variables"):
                _load_own(root, path, owner, skip_mismatch, where)


def _plain(owner: Any) -> bool:
    """Whether the file holds the owner's weights just as they come."""
    return isinstance(owner, Layer) and type(owner).load_own_variables is Layer.load_own_variables


def _load_own(root: Any, path: str, owner: Any, skip_mismatch: bool, where: str) -> None:
    try:
        owner.load_own_variables(Reader(_vars(root, path, where), where))
    except Exception as error:
        kind, name = type(owner).__name__, getattr(owner, "name", path)
        problem = f"{kind} {name!r} could not be loaded from {h5.file_name(root)}: {error}"
        if not skip_mismatch:
            raise ValueError(message(where, problem)) from error
        h5.warn(message(where, problem) + " Skipped.")


def _match(root: Any, path: str, owner: Any, skip_mismatch: bool, where: str) -> list[tuple[Any, Any]]:
    weights = owner._own_weights()
    group = _vars(root, path, where)
    saved = len(group) if group is not None else 0
    if saved != len(weights):
        _count_mismatch(root, path, owner, weights, saved, skip_mismatch, where)
        return []
    found = [(v, h5.get_dataset(group, str(i), where)) for i, v in enumerate(weights)]
    return [pair for pair in found if fits(*pair, f"layer {owner.name!r}", skip_mismatch)]


def _vars(root: Any, path: str, where: str) -> Any:
    """The group of an object's own variables, or None. A file of a single layer's kind may lack empty groups."""
    full = f"{path}/vars" if path else "vars"
    if h5.has(root, "_layer_checkpoint_dependencies") and not h5.has(root, "layers"):
        full = full.replace("layers", "_layer_checkpoint_dependencies")  # as Keras 2.13 called them
    group = root
    for name in full.split("/"):
        if not h5.has(group, name):
            return None
        group = h5.get_group(group, name, where)
    return group


def _lacks_container(root: Any, path: str) -> bool:
    """Whether `path` leads through a list in a list that the file does not have, as older versions wrote files."""
    parts = path.split("/")
    ends = [i for i, part in enumerate(parts) if i and part.split("_")[0] == "container"]
    lacking = any(not h5.has(root, "/".join(parts[: i + 1])) for i in ends)
    if lacking:
        h5.warn(f"{h5.file_name(root)} has nothing for {path!r}: written by an older version. It keeps its values.")
    return lacking


def _count_mismatch(root: Any, path: str, owner: Any, weights: list[Any], saved: int, skip: bool, where: str) -> None:
    expected = [f"{v.path} {tuple(v.shape)}" for v in weights]
    problem = (
        f"layer {owner.name!r} has {len(weights)} weights {expected}, "
        f"the group {path or '/'!r} of {h5.file_name(root)} has {saved}"
    )
    built = getattr(owner, "built", True)
    fix = "Is this the file of another model?" if built else "Build the model first: call it once, or give it an Input"
    if not built and not weights:
        problem = f"layer {owner.name!r} was never built and thus has no weights, {problem.partition(', ')[2]}"
        fix = "Build it in the `build()` of the layer that holds it, or give it `build_from_config(config)`"
    if not skip:
        raise ValueError(message(where, problem, fix))
    h5.warn(message(where, problem) + " Skipped.")


# ------------------------------------------------------------------------------------------------------------- writing


def save_weights_to_tree(path: str | os.PathLike[str], model: Any, skip: Iterable[Any] = ()) -> None:
    """Write a `.weights.h5` file, beside the target and then moved into place."""
    h5.write(path, lambda root: write_tree(root, model, skip))


def write_tree(root: Any, model: Any, skip: Iterable[Any] = ()) -> None:
    """As `save_weights_to_tree`, into a file that is open."""
    for path, owner in owners(model, skip):
        if hasattr(owner, "save_own_variables"):
            name = getattr(owner, "name", None)
            owner.save_own_variables(Writer(root, path, name if isinstance(name, str) else None))
