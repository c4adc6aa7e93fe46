"""Building a model of the user's own for the shapes that a file remembers."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core import tree
from striate.layers.layer import Layer
from striate.trace import KerasTensor, NoValueError


def build_by_running(model: Any, config: dict[str, Any]) -> None:
    """Makes the variables of a model without a `build` of its own: its `call` runs once on symbols of the known shapes.

    Where `call` looks at values it runs on zeros. What fails is left unbuilt; loading says then what is missing.

    Args:
        model: what is to be built.
        config: what its `get_build_config` returned.
    """
    shapes = config.get("shapes_dict") or {}
    first = config.get("input_shape")
    if first is None and not shapes:
        return
    args = () if first is None else (_symbols(first),)
    kwargs = {name.removesuffix("_shape"): _symbols(shape) for name, shape in shapes.items()}
    with model._open_scope():
        _run(model, args, kwargs)
    model._build_shapes = dict(shapes) if shapes else {"input_shape": first}


def _run(model: Any, args: Any, kwargs: Any) -> None:
    try:
        model.compute_output_spec(*args, **kwargs)
    except NoValueError:
        zeros = tree.map_structure(_zeros, [args, kwargs])
        model.call(*zeros[0], **zeros[1])


def has_own_build(model: Any) -> bool:
    """Whether the class of `model` has a `build`."""
    owner = next(cls for cls in type(model).__mro__ if "build" in vars(cls))
    return owner is not Layer


def _zeros(x: Any) -> Any:
    return np.zeros([n or 1 for n in x.shape], "float32") if isinstance(x, KerasTensor) else x


def _symbols(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {k: _symbols(v) for k, v in shape.items()}
    if all(n is None or isinstance(n, int) for n in shape):
        return KerasTensor(tuple(shape), "float32")
    return [_symbols(s) for s in shape]
