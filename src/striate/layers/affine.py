"""What normalizations share: the trained scale `gamma` and offset `beta`."""

from __future__ import annotations

from typing import Any

from striate import constraints, initializers, regularizers
from striate.core.errors import message
from striate.layers.layer import Layer
from striate.trace import Variable


class Affine(Layer):
    """A layer that ends with `x * gamma + beta`, where `scale` and `center` ask for them.

    Args:
        center, scale: whether there is a beta, a gamma.
        beta_*, gamma_*: initializer, regularizer and constraint of each.
    """

    def __init__(
        self, center: bool = True, scale: bool = True, beta_initializer: Any = "zeros", gamma_initializer: Any = "ones",
        beta_regularizer: Any = None, gamma_regularizer: Any = None, beta_constraint: Any = None,
        gamma_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.center, self.scale = center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None
        self.supports_masking = True
        self.autocast = False  # statistics are computed in the dtype that the input comes in

    def _add(self, name: str, shape: tuple[int, ...]) -> Variable:
        """The weight `name`, "beta" or "gamma"."""
        return self.add_weight(
            shape, getattr(self, f"{name}_initializer"), name=name, autocast=False,
            regularizer=getattr(self, f"{name}_regularizer"), constraint=getattr(self, f"{name}_constraint"),
        )  # fmt: skip

    def _affine_config(self) -> dict[str, Any]:
        made: dict[str, Any] = {"center": self.center, "scale": self.scale}
        for name in ("beta", "gamma"):
            made[f"{name}_initializer"] = initializers.serialize(getattr(self, f"{name}_initializer"))
            made[f"{name}_regularizer"] = regularizers.serialize(getattr(self, f"{name}_regularizer"))
            made[f"{name}_constraint"] = constraints.serialize(getattr(self, f"{name}_constraint"))
        return made


def sizes_at(layer: Layer, shape: Any, axes: list[int]) -> tuple[int, ...]:
    """The sizes of `axes`, which must exist and be known.

    Raises:
        ValueError: they don't, or they aren't.
    """
    check_axes(layer, shape, axes)
    found = tuple(shape[axis] for axis in axes)
    if None in found:
        where = f"{type(layer).__name__} '{layer.name}'"
        problem = (
            f"Axis {axes[found.index(None)]} of input tensor should have a defined dimension but the layer received an "
            f"input with shape {tuple(shape)}"
        )
        raise ValueError(message(where, problem, "Give `Input` that size"))
    return found


def check_axes(layer: Layer, shape: Any, axes: list[int]) -> None:
    """ValueError unless an input of `shape` has all `axes`."""
    for axis in axes:
        if not -len(shape) <= axis < len(shape):
            problem = f"Axis {axis} is out of bounds for input shape {tuple(shape)}. Received: axis={axes}"
            fix = "Use axis=-1 for the last axis"
            raise ValueError(message(f"{type(layer).__name__} '{layer.name}'", problem, fix))


_AXIS_RULE = "Expected an int or a list/tuple of ints for the argument 'axis', but received:"


def axes_list(axis: Any) -> list[int]:
    """One axis or several as a list."""
    return list(axis) if isinstance(axis, list | tuple) else [axis]


def checked_axis(axis: Any, where: str, rule: str = _AXIS_RULE) -> Any:
    """An int as it is, several as a list.

    Raises:
        TypeError: anything else.
    """
    several = isinstance(axis, list | tuple)
    if not all(isinstance(a, int) and not isinstance(a, bool) for a in (axis if several else [axis])):
        raise TypeError(message(where, f"{rule} {axis!r}", "Use axis=-1 for the last axis"))
    return list(axis) if several else axis
