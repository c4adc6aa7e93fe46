"""Merging layers: sum, product, average ... of several inputs, concatenation, dot products."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from striate import ops
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.fitting import mend_places, mend_shapes
from striate.layers.layer import Layer
from striate.trace import KerasTensor
from striate.trace.masks import get_keras_mask


class Merge(Layer):
    """The base of layers that merge a list of inputs elementwise; inputs broadcast as in NumPy, batch axis included."""

    _MASKED: Callable[[Any, Any], Any] | None = None  # what to put where an input is masked, if its zeros would count

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def _where(self) -> str:
        return f"{type(self).__name__} '{self.name}'"

    def _merge(self, inputs: list[Any]) -> Any:
        raise NotImplementedError

    def build(self, input_shape: Any) -> None:
        shapes = _shapes(input_shape, self._where())
        if len(shapes) < 1:
            raise ValueError(
                message(
                    self._where(),
                    f"A merge layer should be called on a list of at least 1 input. Received {len(shapes)} inputs",
                )
            )
        batches = {s[0] for s in shapes if s} - {None, 1}
        if len(batches) > 1:
            raise ValueError(
                message(
                    self._where(),
                    f"Cannot merge tensors with different batch sizes. Received tensors with shapes {shapes}",
                )
            )
        reduce(self._broadcast, (s[1:] for s in shapes))

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, list | tuple):
            raise ValueError(
                message(
                    self._where(),
                    f"A merge layer should be called on a list of inputs. Received: inputs={inputs} (not a list of "
                    "tensors)",
                )
            )
        masks = [get_keras_mask(x) for x in inputs]
        shown = self._MASKED
        if shown is not None and any(m is not None for m in masks):
            inputs = shown(inputs, masks)
        rank = max(len(x.shape) for x in inputs)
        return self._merge([_at_rank(x, rank) for x in inputs])

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The broadcast shape of the inputs."""
        shapes = _shapes(input_shape, self._where())
        batches = {s[0] for s in shapes if s}
        known = batches - {None, 1}
        batch = next(iter(known)) if known else None if None in batches else 1
        return (batch, *reduce(self._broadcast, (tuple(s[1:]) for s in shapes)))

    def compute_output_spec(self, inputs: Any) -> KerasTensor:
        return KerasTensor(self.compute_output_shape([tuple(x.shape) for x in inputs]), inputs[0].dtype)

    def _broadcast(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        a, b = (b, a) if len(a) < len(b) else (a, b)
        lead, rest = a[: len(a) - len(b)], a[len(a) - len(b) :]
        return (*lead, *(self._size(m, n, a, b) for m, n in zip(rest, b, strict=True)))

    def _size(self, m: Any, n: Any, a: Any, b: Any) -> Any:
        if m is None or n is None:
            return n if m in (None, 1) and n != 1 else m if m != 1 else n
        if m != n and 1 not in (m, n):
            raise ValueError(
                message(
                    self._where(),
                    f"Inputs have incompatible shapes. Received shapes {a} and {b} (without the batch axis)",
                    mend_shapes(a, b),
                )
            )
        return max(m, n) if 0 not in (m, n) else 0

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where the mask of some input is; None if an input has none, and so counts throughout."""
        self._check_masks(inputs, mask)
        if mask is None or any(m is None for m in mask):
            return None
        return reduce(ops.logical_or, mask)

    def _check_masks(self, inputs: Any, mask: Any) -> None:
        if mask is None:
            return
        for name, value in (("mask", mask), ("inputs", inputs)):
            if not isinstance(value, list | tuple):
                raise ValueError(message(self._where(), f"`{name}` should be a list. Received: {type(value).__name__}"))
        if len(mask) != len(inputs):
            problem = "The lists `inputs` and `mask` should have the same length"
            raise ValueError(message(self._where(), f"{problem}. Received: {len(inputs)} inputs, {len(mask)} masks"))


def _shapes(input_shape: Any, where: str) -> list[Any]:
    nested = isinstance(input_shape, list | tuple) and all(isinstance(s, list | tuple) for s in input_shape)
    if not nested:
        raise ValueError(
            message(
                where,
                f"A merge layer should be called on a list of inputs. Received: input_shape={input_shape} (not a "
                "list of shapes)",
            )
        )
    return [tuple(s) for s in input_shape]


def _at_rank(x: Any, rank: int) -> Any:
    """Size-1 axes are put behind the batch axis of an input of lower rank."""
    missing = rank - len(x.shape)
    return ops.expand_dims(x, tuple(range(1, missing + 1))) if missing else x


def _ones_where_masked(inputs: Any, masks: Any) -> list[Any]:
    """Masked entries are 1, so that a product does not see them, and 0 where every input is masked."""
    counts = [_mask_like(m, x) for m, x in zip(masks, inputs, strict=True)]
    some = reduce(ops.logical_or, counts)
    return [ops.where(c, x, ops.cast(some, x.dtype)) for c, x in zip(counts, inputs, strict=True)]


def _others_where_masked(inputs: Any, masks: Any) -> list[Any]:
    """Masked entries are those of an input that is not masked there, so that they don't decide a maximum."""
    made = []
    for i, x in enumerate(inputs):
        for j, other in enumerate(inputs):
            if masks[i] is not None and j != i:
                counts = _mask_like(masks[i], x)
                shown = ops.logical_or(counts, ops.logical_not(_mask_like(masks[j], other)))
                x, masks = ops.where(shown, x, other), _replaced(masks, i, shown)
        made.append(x)
    return made


def _replaced(masks: Any, index: int, mask: Any) -> list[Any]:
    return [mask if k == index else m for k, m in enumerate(masks)]


def _folded(
    name: str, fold: Callable[[list[Any]], Any], doc: str, masked: Callable[[Any, Any], Any] | None = None
) -> type[Merge]:
    def _merge(self: Merge, inputs: list[Any]) -> Any:
        return fold(inputs)

    body: dict[str, Any] = {"_merge": _merge, "__doc__": doc, "__module__": __name__, "__qualname__": name}
    body["_MASKED"] = None if masked is None else staticmethod(masked)
    return export(f"keras.layers.{name}")(type(name, (Merge,), body))


Add = _folded("Add", lambda xs: reduce(ops.add, xs), "The sum of the inputs.")
Multiply = _folded("Multiply", lambda xs: reduce(ops.multiply, xs), "The product of the inputs.", _ones_where_masked)
Maximum = _folded(
    "Maximum", lambda xs: reduce(ops.maximum, xs), "The largest of the inputs, elementwise.", _others_where_masked
)
Minimum = _folded(
    "Minimum", lambda xs: reduce(ops.minimum, xs), "The smallest of the inputs, elementwise.", _others_where_masked
)
Average = _folded("Average", lambda xs: ops.divide(reduce(ops.add, xs), len(xs)), "The mean of the inputs.")


@export("keras.layers.Subtract")
class Subtract(Merge):
    """The first of two inputs minus the second."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if len(input_shape) != 2:
            raise ValueError(
                message(
                    self._where(),
                    f"A `Subtract` layer should be called on exactly 2 inputs. Received: input_shape={input_shape}",
                )
            )

    def _merge(self, inputs: list[Any]) -> Any:
        return ops.subtract(*inputs)


@export("keras.layers.Concatenate")
class Concatenate(Merge):
    """The inputs one behind the other.

    Args:
        axis: along which; sizes of the other axes must agree.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        shapes = _shapes(input_shape, self._where())
        if len(shapes) < 1:
            raise ValueError(
                message(
                    self._where(),
                    "A `Concatenate` layer should be called on a list of at least 1 input. Received: "
                    f"input_shape={input_shape}",
                )
            )
        ranks = {len(s) for s in shapes}
        if len(ranks) != 1:
            raise ValueError(message(self._where(), f"Received inputs with different numbers of axes: {shapes}"))
        axis = self._axis(ranks.pop())
        for i in range(len(shapes[0])):
            sizes = {s[i] for s in shapes} - {None}
            if i != axis and len(sizes) > 1:
                raise ValueError(
                    message(
                        self._where(),
                        "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis. "
                        f"Received: input_shape={input_shape}, which differ on axis {i}",
                        self._mended(shapes, axis),
                    )
                )

    def _mended(self, shapes: list[Any], axis: int) -> str:
        other = next((s for s in shapes if s[1:-1] != shapes[0][1:-1]), shapes[0])
        return mend_places(shapes[0], other) if axis == len(other) - 1 else "Sizes must be equal on all other axes"

    def _axis(self, rank: int) -> int:
        if not -rank <= self.axis < rank:
            raise ValueError(message(self._where(), f"axis={self.axis} is out of range for inputs with {rank} axes"))
        return self.axis % rank

    def _merge(self, inputs: list[Any]) -> Any:
        return ops.concatenate(inputs, axis=self.axis)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The first input's shape with the sizes along `axis` added up."""
        shapes = _shapes(input_shape, self._where())
        axis = self._axis(len(shapes[0]))
        made = [next((s[i] for s in shapes if s[i] is not None), None) for i in range(len(shapes[0]))]
        sizes = [s[axis] for s in shapes]
        made[axis] = None if None in sizes else sum(sizes)
        return tuple(made)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The inputs' masks one behind the other."""
        self._check_masks(inputs, mask)
        if mask is None or all(m is None for m in mask):
            return None
        full = [_mask_like(m, x) for m, x in zip(mask, inputs, strict=True)]
        return ops.any(ops.concatenate(full, axis=self.axis), axis=-1, keepdims=False)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"axis": self.axis}


def _mask_like(mask: Any, x: Any) -> Any:
    """`mask`, or all True, with the shape of `x`."""
    if mask is None:
        return ops.ones_like(x, dtype="bool")
    if len(mask.shape) == len(x.shape):
        return mask
    return ops.logical_or(ops.expand_dims(mask, -1), ops.zeros_like(x, dtype="bool"))


@export("keras.layers.Dot")
class Dot(Merge):
    """The dot product of two inputs along axes.

    Args:
        axes: an int for both inputs, or one for each; not the batch axis.
        normalize: whether inputs are scaled to length 1 along the axis first (cosine proximity).
    """

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axes, int) and not (
            isinstance(axes, list | tuple) and len(axes) == 2 and all(isinstance(a, int) for a in axes)
        ):
            raise (TypeError if not isinstance(axes, list | tuple) else ValueError)(
                message(
                    self._where(),
                    "Invalid type for argument `axes`: it should be a list or an int, of 2 entries. Received: "
                    f"axes={axes!r}",
                )
            )
        self.axes, self.normalize = axes, normalize

    def _pair(self, shapes: Any) -> tuple[int, int]:
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else tuple(self.axes)
        return axes[0] % len(shapes[0]), axes[1] % len(shapes[1])

    def build(self, input_shape: Any) -> None:
        shapes = _shapes(input_shape, self._where())
        if len(shapes) != 2:
            raise ValueError(
                message(
                    self._where(),
                    f"A `Dot` layer should be called on a list of 2 inputs. Received: input_shape={input_shape}",
                )
            )
        a, b = self._pair(shapes)
        m, n = shapes[0][a], shapes[1][b]
        if m is not None and n is not None and m != n:
            raise ValueError(
                message(
                    self._where(),
                    f"Incompatible input shapes: axis values {m} (at axis {a}) != {n} (at axis {b}). Full input "
                    "shapes: "
                    f"{shapes[0]}, {shapes[1]}",
                )
            )

    def call(self, inputs: Any) -> Any:
        return self._merge(list(inputs))

    def _merge(self, inputs: list[Any]) -> Any:
        x, y = inputs
        a, b = self._pair([x.shape, y.shape])
        if self.normalize:
            x, y = (ops.normalize(t, axis=i) for t, i in ((x, a), (y, b)))
        return _batch_dot(x, y, a, b)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The inputs' shapes without the axes that are summed over; at least `(batch, 1)`."""
        first, second = _shapes(input_shape, self._where())
        a, b = self._pair([first, second])
        rest = (*(n for i, n in enumerate(first) if i != a), *(n for i, n in enumerate(second) if i not in (0, b)))
        return (*rest, 1) if len(rest) == 1 else rest

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"axes": self.axes, "normalize": self.normalize}


def _batch_dot(x: Any, y: Any, a: int, b: int) -> Any:
    """Sums over axis `a` of `x` and axis `b` of `y`, batch entry by batch entry, as one batched matrix product."""
    x = ops.moveaxis(x, a, -1)
    y = ops.moveaxis(y, b, 1)
    left, right = tuple(x.shape[1:-1]), tuple(y.shape[2:])
    rows = ops.reshape(x, (x.shape[0], -1, x.shape[-1])) if left else ops.expand_dims(x, 1)
    columns = ops.reshape(y, (y.shape[0], y.shape[1], -1)) if right else ops.expand_dims(y, 2)
    product = ops.matmul(rows, columns)
    shape = (*left, *right) or (1,)
    return ops.reshape(product, (x.shape[0], *shape))


def _function(name: str, layer: type[Merge], arguments: str = "") -> Callable[..., Any]:
    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return layer(*args, **kwargs)(inputs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`{layer.__name__}` as a function of a list of tensors."
    return export(f"keras.layers.{name}")(call)


add = _function("add", Add)
subtract = _function("subtract", Subtract)
multiply = _function("multiply", Multiply)
maximum = _function("maximum", Maximum)
minimum = _function("minimum", Minimum)
average = _function("average", Average)


@export("keras.layers.concatenate")
def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """`Concatenate` as a function of a list of tensors."""
    return Concatenate(axis=axis, **kwargs)(inputs)


@export("keras.layers.dot")
def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """`Dot` as a function of a list of two tensors."""
    return Dot(axes=axes, **kwargs)(inputs)
