"""How masks go through a layer: from its inputs to the `mask` argument of `call`, and on to its outputs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from striate.core import tree
from striate.layers import call_spec
from striate.trace.masks import get_keras_mask, set_keras_mask


def masks_of(inputs: Any) -> Any:
    """The masks of a nest of tensors, in the same nest; None if there is none at all."""
    if isinstance(inputs, np.ndarray):
        return get_keras_mask(inputs)
    found = tree.map_structure(get_keras_mask, inputs)
    return found if any(m is not None for m in tree.flatten(found)) else None


def with_masks(call: Any, spec: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """`kwargs` with the masks of the inputs as `mask`, or as `<name>_mask` where there are several tensor arguments."""
    tensors = [k for k in spec.tensors if k != "mask" and not k.endswith("_mask")]
    for name in tensors:
        argument = "mask" if len(tensors) == 1 and call_spec.names(call, "mask") else f"{name}_mask"
        if call_spec.names(call, argument) and spec.arguments.get(argument) is None:
            found = masks_of(spec.tensors[name])
            kwargs = kwargs if found is None else {**kwargs, argument: found}
    return kwargs


def pass_on(layer: Any, inputs: Any, outputs: Any, before: Any, own: bool) -> None:
    """Gives the outputs the masks that `layer.compute_mask` makes of those before, or warns that they end here.

    Args:
        own: whether the layer has a `compute_mask` of its own, which may make masks from nothing.
    """
    if not layer.supports_masking:
        if before is not None and not call_spec.names(type(layer).call, "mask"):
            _warn(layer)
        return
    leaves = tree.flatten(outputs)
    if (before is None and not own) or all(get_keras_mask(x) is not None for x in leaves):
        return
    nest = tree.map_structure(lambda _: None, inputs) if before is None else before
    made = layer.compute_mask(inputs, nest)
    if made is not None:
        for x, mask in zip(leaves, tree.flatten(made), strict=False):
            if mask is not None and get_keras_mask(x) is None:
                set_keras_mask(x, mask)


def _warn(layer: Any) -> None:
    warnings.warn(
        f"Layer '{layer.name}' (of type {type(layer).__name__}) was passed an input with a mask attached to it. "
        "However, this layer does not support masking and will therefore destroy the mask information. Downstream "
        "layers will not see the mask.",
        stacklevel=4,
    )
