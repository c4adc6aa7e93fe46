"""What a layer expects of its inputs, and the check that names the layer when they differ."""

from __future__ import annotations

from typing import Any

from striate.core import dtypes, tree
from striate.core.registry import export
from striate.trace import standardize_shape


@export("keras.InputSpec", "keras.layers.InputSpec")
class InputSpec:
    """Rank, dtype, shape (None: any size) or single sizes (`axes={-1: 3}`) that an input must have."""

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = dtypes.standardize(dtype) if dtype is not None else None
        self.shape = standardize_shape(shape) if shape is not None else None
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim, self.min_ndim, self.name, self.optional = max_ndim, min_ndim, name, optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.axes = {int(k): v for k, v in (axes or {}).items()}
        limit = ndim or max_ndim
        if self.axes and limit is not None and max(self.axes) > limit - 1:
            raise ValueError(f"Axis {max(self.axes)} is greater than the maximum allowed value: {limit - 1}")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same spec again."""
        names = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes")
        return {k: getattr(self, k) for k in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """The spec that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        shown = {k: v for k, v in self.get_config().items() if v}
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in shown.items())})"


def check_inputs(specs: Any, inputs: Any, layer: Any) -> None:
    """Raises ValueError that names the layer unless each input fits its spec."""
    wanted = tree.flatten(specs)
    given = _matched(specs, inputs)
    if len(given) != len(wanted):
        raise ValueError(
            f"Layer '{layer.name}' expected {len(wanted)} input(s). Received {len(given)} instead: "
            f"{[tuple(x.shape) if hasattr(x, 'shape') else x for x in given]}."
        )
    for index, (x, spec) in enumerate(zip(given, wanted, strict=True)):
        if x is not None and spec is not None:
            where = f"Input {index} of layer '{layer.name}' ({type(layer).__name__}) is incompatible with the layer"
            _check(x, spec, where, layer)


def _matched(specs: Any, inputs: Any) -> list[Any]:
    """Inputs in the order of the specs; dicts by name when all specs are named."""
    if isinstance(inputs, dict):
        names = [s.name for s in tree.flatten(specs) if s is not None]
        if names and all(n in inputs for n in names):
            return [inputs[n] for n in names]
    return tree.flatten(inputs)


def _check(x: Any, spec: InputSpec, where: str, layer: Any) -> None:
    if not hasattr(x, "shape"):
        raise ValueError(
            f"{where}: inputs to a layer should be tensors. Got '{x}' (of type {type(x)}). Pass a NumPy array."
        )
    shape = tuple(x.shape)
    ndim = len(shape)
    _check_rank(shape, ndim, spec, where)
    if spec.dtype is not None and dtypes.standardize(x.dtype) != spec.dtype:
        raise ValueError(f"{where}: expected dtype={spec.dtype}, found dtype={x.dtype}.")
    for axis, size in spec.axes.items():
        if size is not None and shape[axis] not in (size, None):
            raise ValueError(
                f"{where}: expected axis {axis} of input shape to have value {size}, but received input with shape "
                f"{shape}."
                f" {_mended(layer, axis, size, shape)}."
            )
    _check_shape(shape, spec, where)


def _mended(layer: Any, axis: int, size: int, shape: Any) -> str:
    """What a layer itself has to say of another size on an axis, or what holds for every layer."""
    own = getattr(layer, "_explain_axis", None)
    told = own(axis, size, shape) if own is not None else None
    return told or f"Give it an input with {size} there, or make a new layer for {shape[axis]}"


def _check_rank(shape: Any, ndim: int, spec: InputSpec, where: str) -> None:
    full = f"Full shape received: {shape}"
    squeezed = spec.allow_last_axis_squeeze and spec.ndim is not None and abs(ndim - spec.ndim) == 1
    if spec.ndim is not None and ndim != spec.ndim and not squeezed:
        raise ValueError(f"{where}: expected ndim={spec.ndim}, found ndim={ndim}. {full}{_hint(spec.ndim, ndim)}")
    if spec.max_ndim is not None and ndim > spec.max_ndim:
        raise ValueError(f"{where}: expected max_ndim={spec.max_ndim}, found ndim={ndim}. {full}")
    if spec.min_ndim is not None and ndim < spec.min_ndim:
        raise ValueError(
            f"{where}: expected min_ndim={spec.min_ndim}, found ndim={ndim}. {full}{_hint(spec.min_ndim, ndim)}"
        )


def _hint(wanted: int, found: int) -> str:
    return ". A batch axis seems to be missing: use x[None, ...]." if wanted == found + 1 else ""


def _check_shape(shape: Any, spec: InputSpec, where: str) -> None:
    if spec.shape is None:
        return
    if len(spec.shape) != len(shape) or any(
        want is not None and got is not None and want != got for want, got in zip(spec.shape, shape, strict=True)
    ):
        raise ValueError(f"{where}: expected shape={spec.shape}, found shape={shape}.")
