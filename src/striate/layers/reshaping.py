"""Layers that move data: flatten, reshape, permute, repeat, pad, crop, upsample."""

from __future__ import annotations

import math
from typing import Any

from striate import ops
from striate.core import config, window
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer
from striate.trace import KerasTensor


def _is_int(n: Any) -> bool:
    return isinstance(n, int) and not isinstance(n, bool)


@export("keras.layers.Flatten")
class Flatten(Layer):
    """`(batch, ...)` to `(batch, product of the rest)`; with channels first the channels are moved last before."""

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format, f"Flatten '{self.name}'")
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Any) -> Any:
        rank = len(inputs.shape)
        if self.data_format == "channels_first" and rank > 2:
            inputs = ops.transpose(inputs, (0, *range(2, rank), 1))
        size = math.prod(inputs.shape[1:])
        return ops.reshape(inputs, (inputs.shape[0], size))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """`(batch, size)`; None for the size where one is unknown."""
        rest = tuple(input_shape[1:])
        return (input_shape[0], None if None in rest else math.prod(rest))

    def compute_output_spec(self, inputs: Any) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"data_format": self.data_format}


@export("keras.layers.Reshape")
class Reshape(Layer):
    """`(batch, ...)` to `(batch, *target_shape)`.

    Args:
        target_shape: sizes without the batch axis; one may be -1.
    """

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = self._checked(tuple(target_shape))

    def _checked(self, target: tuple[Any, ...]) -> tuple[Any, ...]:
        problem = None
        if not all(_is_int(n) and n >= -1 for n in target):
            problem = "Each entry of `target_shape` must be a non-negative integer, or -1"
        elif target.count(-1) > 1:
            problem = "There must be at most one unknown dimension (-1) in `target_shape`"
        if problem:
            raise ValueError(message(f"Reshape '{self.name}'", f"{problem}. Received: target_shape={target}"))
        return target

    def _resolved(self, rest: tuple[Any, ...]) -> tuple[Any, ...]:
        if -1 not in self.target_shape:
            self._check(rest, self.target_shape)
            return self.target_shape
        if None in rest:
            return tuple(None if n == -1 else n for n in self.target_shape)
        known = -math.prod(self.target_shape)
        total = math.prod(rest)
        if known == 0 or total % known:
            self._misfit(rest)
        return tuple(total // known if n == -1 else n for n in self.target_shape)

    def _check(self, rest: tuple[Any, ...], target: tuple[Any, ...]) -> None:
        if None not in rest and None not in target and math.prod(rest) != math.prod(target):
            self._misfit(rest)

    def _misfit(self, rest: tuple[Any, ...]) -> None:
        raise ValueError(
            message(
                f"Reshape '{self.name}'",
                "The total size of the tensor must be unchanged. "
                f"Received: input_shape={rest} ({math.prod(rest)} values), target_shape={self.target_shape}",
                f"Use sizes with a product of {math.prod(rest)}, or -1 for one of them",
            )
        )

    def call(self, inputs: Any) -> Any:
        return ops.reshape(inputs, (inputs.shape[0], *self._resolved(tuple(inputs.shape[1:]))))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """`(batch, *target_shape)`."""
        return (input_shape[0], *self._resolved(tuple(input_shape[1:])))

    def compute_output_spec(self, inputs: Any) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)

    def build(self, input_shape: Any) -> None:
        self._resolved(tuple(input_shape[1:]))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"target_shape": self.target_shape}


@export("keras.layers.Permute")
class Permute(Layer):
    """The axes in another order.

    Args:
        dims: an order of 1, 2, ...; the batch axis (0) stays.
    """

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                message(
                    f"Permute '{self.name}'",
                    "Invalid permutation argument `dims` for Permute Layer. The set of indices in `dims` must be "
                    "consecutive "
                    f"and start from 1. Received dims={dims}",
                )
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        return ops.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The sizes in the new order."""
        return (input_shape[0], *(input_shape[d] for d in self.dims))

    def compute_output_spec(self, inputs: Any) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"dims": self.dims}


@export("keras.layers.RepeatVector")
class RepeatVector(Layer):
    """`(batch, features)` to `(batch, n, features)`.

    Args:
        n: how often.
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        where = f"RepeatVector '{self.name}'"
        if not _is_int(n):
            raise TypeError(message(where, f"Expected an integer value for `n`, got {n!r} of type {type(n)}"))
        if n < 1:
            raise ValueError(message(where, f"The `n` argument should be a positive integer. Received: n={n}"))
        self.n = n
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        return ops.repeat(ops.expand_dims(inputs, 1), self.n, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """`(batch, n, features)`."""
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"n": self.n}


class _Spatial(Layer):
    """A layer over `rank` spatial axes in either layout."""

    rank = 2

    _IN_TIME = False  # Keras's 1D cropping and upsampling know no data format: the axis behind the batch is meant

    def _setup(self, data_format: str | None) -> None:
        if self._IN_TIME and self.rank == 1 and data_format is None:
            data_format = "channels_last"
        self.data_format = config.standardize_data_format(data_format, self._where())
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _where(self) -> str:
        return f"{type(self).__name__} '{self.name}'"

    def _shown_format(self) -> dict[str, Any]:
        hidden = self._IN_TIME and self.rank == 1 and self.data_format == "channels_last"
        return {} if hidden else {"data_format": self.data_format}

    @property
    def _first(self) -> int:
        return 1 if self.data_format == "channels_last" else 2

    def _with_spatial(self, shape: Any, spatial: Any) -> tuple[Any, ...]:
        made = list(shape)
        made[self._first : self._first + self.rank] = spatial
        return tuple(made)

    def _spatial(self, shape: Any) -> tuple[Any, ...]:
        if len(shape) != self.rank + 2:
            raise ValueError(
                message(self._where(), f"expected an input with {self.rank + 2} axes, got shape {tuple(shape)}")
            )
        return tuple(shape[self._first : self._first + self.rank])

    def _pairs(self, value: Any, name: str) -> tuple[tuple[int, int], ...]:
        """One (before, after) per spatial axis from an int, one entry per axis, or pairs (of one axis: a pair)."""
        pair = self.rank == 1 and isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_int, value))
        value = [value] if pair else value
        try:
            if self.rank == 1 and isinstance(value, list | tuple) and not isinstance(value[0], list | tuple):
                raise ValueError
            return window.normalize_padding(value, self.rank, allowed=(), where=self._where())  # type: ignore[return-value]
        except ValueError:
            raise ValueError(
                message(
                    self._where(),
                    f"`{name}` should be either an int, a tuple of {self.rank} ints, or a tuple of {self.rank} pairs "
                    f"(before, after) of ints >= 0. Received: {name}={value!r}",
                )
            ) from None


class BaseZeroPadding(_Spatial):
    """Zeros around the spatial axes.

    Args:
        padding: an int, one per axis, or a pair (before, after) per axis.
    """

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._setup(data_format)
        self.padding = self._pairs(padding, "padding")

    def call(self, inputs: Any) -> Any:
        around = [(0, 0)] * (self.rank + 2)
        around[self._first : self._first + self.rank] = self.padding
        return ops.pad(inputs, around)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The spatial sizes grow by the padding."""
        spatial = self._spatial(input_shape)
        grown = [None if n is None else n + lo + hi for n, (lo, hi) in zip(spatial, self.padding, strict=True)]
        return self._with_spatial(input_shape, grown)

    def get_config(self) -> dict[str, Any]:
        shown = self.padding[0] if self.rank == 1 else self.padding
        return super().get_config() | {"padding": shown, "data_format": self.data_format}


class BaseCropping(_Spatial):
    """Cells taken away from the ends of the spatial axes.

    Args:
        cropping: an int, one per axis, or a pair (before, after) per axis; by default 1, and 0 in 2D, as in Keras.
    """

    _IN_TIME = True

    def __init__(self, cropping: Any = None, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._setup(data_format)
        default = 0 if self.rank == 2 else 1
        self.cropping = self._pairs(default if cropping is None else cropping, "cropping")

    def call(self, inputs: Any) -> Any:
        out = self._spatial(self.compute_output_shape(inputs.shape))
        ranges = [slice(lo, lo + n) for (lo, _), n in zip(self.cropping, out, strict=True)]
        return inputs[(*(slice(None),) * self._first, *ranges)]

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The spatial sizes shrink by the cropping.

        Raises:
            ValueError: nothing would be left.
        """
        spatial = self._spatial(input_shape)
        left = [None if n is None else n - lo - hi for n, (lo, hi) in zip(spatial, self.cropping, strict=True)]
        if any(n is not None and n <= 0 for n in left):
            received = f"Received: input_shape={tuple(input_shape)}, cropping={self.cropping}"
            if self.rank == 1:
                problem = "`cropping` parameter of `Cropping1D` layer must be smaller than the input's length"
            else:
                problem = "Values in `cropping` argument should be smaller than the {} of the input"
                problem = problem.format("corresponding spatial dimension")
            raise ValueError(message(self._where(), f"{problem}. {received}", "Crop less"))
        return self._with_spatial(input_shape, left)

    def get_config(self) -> dict[str, Any]:
        shown = self.cropping[0] if self.rank == 1 else self.cropping
        return super().get_config() | {"cropping": shown} | self._shown_format()


_RESIZERS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


class BaseUpSampling(_Spatial):
    """Each cell repeated along the spatial axes.

    Args:
        size: an int, or one per spatial axis.
    """

    _IN_TIME = True

    def __init__(self, size: Any = 2, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._setup(data_format)
        self.size = window.normalize_tuple(size, self.rank, "size", where=self._where())

    def call(self, inputs: Any) -> Any:
        for axis, times in enumerate(self.size, start=self._first):
            inputs = ops.repeat(inputs, times, axis=axis)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The spatial sizes times `size`."""
        spatial = self._spatial(input_shape)
        return self._with_spatial(
            input_shape, [None if n is None else n * m for n, m in zip(spatial, self.size, strict=True)]
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"size": self.size[0] if self.rank == 1 else self.size} | self._shown_format()


def _ranked(base: type[_Spatial], name: str, rank: int) -> Any:
    axes = {1: "one spatial axis", 2: "two spatial axes", 3: "three spatial axes"}[rank]
    doc = f"`{base.__name__}` over {axes}; see there."
    body = {"rank": rank, "__doc__": doc, "__module__": __name__, "__qualname__": f"{name}{rank}D"}
    return export(f"keras.layers.{name}{rank}D")(type(f"{name}{rank}D", (base,), body))


ZeroPadding1D, ZeroPadding2D, ZeroPadding3D = (_ranked(BaseZeroPadding, "ZeroPadding", n) for n in (1, 2, 3))
Cropping1D, Cropping2D, Cropping3D = (_ranked(BaseCropping, "Cropping", n) for n in (1, 2, 3))
UpSampling3D = _ranked(BaseUpSampling, "UpSampling", 3)


@export("keras.layers.UpSampling1D")
class UpSampling1D(BaseUpSampling):
    """`(batch, steps, features)` to `(batch, steps * size, features)`.

    Args:
        size: an int of at least 1.
    """

    rank = 1

    def __init__(self, size: int = 2, data_format: str | None = None, **kwargs: Any) -> None:
        if not _is_int(size):
            raise TypeError(
                message("UpSampling1D", f"Expected an integer value for `size`, got {size!r} of type {type(size)}")
            )
        if size < 1:
            raise ValueError(
                message("UpSampling1D", f"Argument `size` should be a positive integer. Received: size={size}")
            )
        super().__init__(size, data_format, **kwargs)


@export("keras.layers.UpSampling2D")
class UpSampling2D(BaseUpSampling):
    """`(batch, height, width, channels)` to `(batch, height * size[0], width * size[1], channels)`.

    Args:
        size: an int, or one per axis.
        interpolation: "nearest" (each cell repeated), "bilinear", "bicubic", "lanczos3" or "lanczos5".
    """

    rank = 2

    def __init__(
        self, size: Any = (2, 2), data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(size, data_format, **kwargs)
        if interpolation.lower() not in _RESIZERS:
            raise ValueError(
                message(
                    self._where(), f"`interpolation` argument should be one of {_RESIZERS}. Received: {interpolation!r}"
                )
            )
        self.interpolation = interpolation.lower()

    def call(self, inputs: Any) -> Any:
        if self.interpolation == "nearest":
            return super().call(inputs)
        target = self._spatial(self.compute_output_shape(inputs.shape))
        return ops.image.resize(inputs, target, interpolation=self.interpolation, data_format=self.data_format)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"interpolation": self.interpolation}
