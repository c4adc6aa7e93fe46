"""Pooling: a summary of each window, per channel. One N-D base per kind, thin names for 1, 2 and 3 spatial axes."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core import config, window
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.convolutional.base import WindowedLayer
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer


class BasePooling(WindowedLayer):
    """Pooling over `rank` spatial axes.

    Args:
        pool_size: an int, or one per spatial axis.
        strides: likewise; by default the pool size, so that windows tile the input.
        padding: "valid", "same", "full" in any case, an int, or an int or pair per spatial axis.
        data_format: "channels_last" or "channels_first"; by default `image_data_format()`.
    """

    _STATELESS = True

    def __init__(
        self, rank: int, pool_size: Any, strides: Any = None, padding: Any = "valid", data_format: str | None = None,
        name: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(name=name, **kwargs)
        self.rank = rank
        self.pool_size = self._tuple(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else self._tuple(strides, "strides")
        self.padding = window.normalize_padding(padding, rank, where=self._where())
        self.data_format = config.standardize_data_format(data_format, self._where())
        self.input_spec = InputSpec(ndim=rank + 2)

    def call(self, inputs: Any) -> Any:
        spatial, _ = self._split(inputs.shape)
        self._check_fits(spatial)
        return self._pool(inputs)

    def _check_fits(self, spatial: Any) -> tuple[Any, ...]:
        return window.output_shape(
            spatial, self.pool_size, self.strides, self.padding, (1,) * self.rank, where=self._where(),
            what="pooling window",
        )  # fmt: skip

    def _pool(self, inputs: Any) -> Any:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The output's shape by formula (6), sizes None where unknown."""
        spatial, channels = self._split(input_shape)
        return self._join(input_shape[0], self._check_fits(spatial), channels)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }


class BaseMaxPooling(BasePooling):
    """The maximum of each window."""

    def _pool(self, inputs: Any) -> Any:
        return ops.max_pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class BaseAveragePooling(BasePooling):
    """The average of each window; cells of the padding don't count."""

    def _pool(self, inputs: Any) -> Any:
        return ops.average_pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class BaseLpPooling(BasePooling):
    """The p-norm of each window, `(sum |x|^p)^(1/p)`: with p = 2 the chapter's l2 pooling.

    Args:
        p: the exponent, at least 1.
    """

    def __init__(
        self, rank: int, pool_size: Any, strides: Any = None, padding: Any = "valid", data_format: str | None = None,
        p: float = 2.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(rank, pool_size, strides, padding, data_format, **kwargs)
        if not isinstance(p, int | float) or not p >= 1:
            raise ValueError(message(self._where(), f"`p` must be a number of at least 1. Received: p={p!r}"))
        self.p = float(p)

    def _pool(self, inputs: Any) -> Any:
        return ops.lp_pool(inputs, self.p, self.pool_size, self.strides, self.padding, self.data_format)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"p": self.p}


class BaseGlobalPooling(WindowedLayer):
    """A summary of each channel over all `rank` spatial axes.

    Args:
        keepdims: whether the spatial axes stay, with size 1.
    """

    _STATELESS = True

    def __init__(self, rank: int, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rank, self.keepdims = rank, keepdims
        self.data_format = config.standardize_data_format(data_format, self._where())
        self.input_spec = InputSpec(ndim=rank + 2)

    @property
    def _axes(self) -> tuple[int, ...]:
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """`(batch, channels)`, or with `keepdims` the input's rank."""
        _, channels = self._split(input_shape)
        if not self.keepdims:
            return (input_shape[0], channels)
        return self._join(input_shape[0], (1,) * self.rank, channels)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"data_format": self.data_format, "keepdims": self.keepdims}


class BaseGlobalMaxPooling(BaseGlobalPooling):
    """The maximum of each channel."""

    def call(self, inputs: Any) -> Any:
        return ops.max(inputs, axis=self._axes, keepdims=self.keepdims)


class BaseGlobalAveragePooling(BaseGlobalPooling):
    """The average of each channel."""

    def call(self, inputs: Any) -> Any:
        return ops.mean(inputs, axis=self._axes, keepdims=self.keepdims)


class MaskedGlobalAveragePooling(BaseGlobalAveragePooling):
    """The average of each channel over the steps that a mask `(batch, steps)` leaves in (all of them without one)."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return super().call(inputs)
        last = self.data_format == "channels_last"
        weights = ops.expand_dims(ops.cast(mask, inputs.dtype), 2 if last else 1)
        total = ops.sum(ops.multiply(inputs, weights), axis=self._axes, keepdims=self.keepdims)
        return ops.divide(total, ops.sum(weights, axis=self._axes, keepdims=self.keepdims))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: the steps are gone."""
        return None


class BaseAdaptivePooling(WindowedLayer):
    """Pooling to a given output size: the windows follow from `core.window.adaptive_windows`.

    Args:
        output_size: an int, or one per spatial axis.
    """

    def __init__(self, rank: int, output_size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rank = rank
        self.output_size = self._tuple(output_size, "output_size")
        self.data_format = config.standardize_data_format(data_format, self._where())
        self.input_spec = InputSpec(ndim=rank + 2)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The output's shape: `output_size` in the place of the spatial sizes."""
        _, channels = self._split(input_shape)
        return self._join(input_shape[0], self.output_size, channels)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"output_size": self.output_size, "data_format": self.data_format}


class BaseAdaptiveMaxPooling(BaseAdaptivePooling):
    """The maximum of each adaptive window."""

    def call(self, inputs: Any) -> Any:
        return ops.adaptive_max_pool(inputs, self.output_size, self.data_format)


class BaseAdaptiveAveragePooling(BaseAdaptivePooling):
    """The average of each adaptive window."""

    def call(self, inputs: Any) -> Any:
        return ops.adaptive_average_pool(inputs, self.output_size, self.data_format)


_DOC = "{kind} over {axes}: `{shape}`. See `{base}` for the arguments."
_SHAPES = {
    1: "(batch, steps, channels)",
    2: "(batch, height, width, channels)",
    3: "(batch, depth, height, width, channels)",
}


def _window_class(base: type[BasePooling], name: str, alias: str, rank: int, default: Any) -> type[Layer]:
    """`base` for `rank` spatial axes, published under both of Keras's names."""

    def __init__(self: Any, pool_size: Any = default, strides: Any = None, padding: Any = "valid",
                 data_format: str | None = None, name: str | None = None, **kwargs: Any) -> None:  # fmt: skip
        base.__init__(self, rank, pool_size, strides, padding, data_format, name=name, **kwargs)

    made = _published(base, f"{name}{rank}D", __init__, rank)
    return export(f"keras.layers.{name}{rank}D", *([f"keras.layers.{alias}{rank}D"] if alias else []))(made)


def _global_class(base: type[BaseGlobalPooling], name: str, alias: str, rank: int) -> type[Layer]:
    def __init__(self: Any, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        base.__init__(self, rank, data_format, keepdims, **kwargs)

    made = _published(base, f"{name}{rank}D", __init__, rank)
    return export(f"keras.layers.{name}{rank}D", f"keras.layers.{alias}{rank}D")(made)


def _adaptive_class(base: type[BaseAdaptivePooling], name: str, rank: int) -> type[Layer]:
    def __init__(self: Any, output_size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        base.__init__(self, rank, output_size, data_format, **kwargs)

    return export(f"keras.layers.{name}{rank}D")(_published(base, f"{name}{rank}D", __init__, rank))


def _published(base: type[Layer], name: str, init: Any, rank: int) -> type[Layer]:
    axes = {1: "one spatial axis", 2: "two spatial axes", 3: "three spatial axes"}[rank]
    doc = _DOC.format(kind=(base.__doc__ or "").split(".")[0], axes=axes, shape=_SHAPES[rank], base=base.__name__)
    return type(name, (base,), {"__init__": init, "__doc__": doc, "__module__": __name__, "__qualname__": name})


MaxPooling1D, MaxPooling2D, MaxPooling3D = (
    _window_class(BaseMaxPooling, "MaxPooling", "MaxPool", n, (2,) * n if n > 1 else 2) for n in (1, 2, 3)
)
AveragePooling1D, AveragePooling2D, AveragePooling3D = (
    _window_class(BaseAveragePooling, "AveragePooling", "AvgPool", n, (2,) * n if n > 1 else 2) for n in (1, 2, 3)
)
LpPooling1D, LpPooling2D, LpPooling3D = (
    _window_class(BaseLpPooling, "LpPooling", "LpPool", n, (2,) * n if n > 1 else 2) for n in (1, 2, 3)
)
GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D = (
    _global_class(BaseGlobalMaxPooling, "GlobalMaxPooling", "GlobalMaxPool", n) for n in (1, 2, 3)
)
GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D = (
    _global_class(
        MaskedGlobalAveragePooling if n == 1 else BaseGlobalAveragePooling, "GlobalAveragePooling", "GlobalAvgPool", n
    )
    for n in (1, 2, 3)
)
AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D = (
    _adaptive_class(BaseAdaptiveMaxPooling, "AdaptiveMaxPooling", n) for n in (1, 2, 3)
)
AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D = (
    _adaptive_class(BaseAdaptiveAveragePooling, "AdaptiveAveragePooling", n) for n in (1, 2, 3)
)
