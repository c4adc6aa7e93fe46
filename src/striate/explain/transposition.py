"""`transposed_of`: the transposed convolution that belongs to a convolution, and the other way round."""

from __future__ import annotations

from typing import Any

from striate import layers
from striate.core import window
from striate.core.errors import message
from striate.layers.convolutional.base import BaseConv
from striate.layers.convolutional.depthwise import BaseDepthwiseConv
from striate.layers.convolutional.separable import BaseSeparableConv
from striate.layers.convolutional.transpose import BaseConvTranspose
from striate.models.windows import Axis, axes_of

from .layer_arithmetic import full_shape


def transposed_of(layer: Any, input_shape: Any = None) -> Any:
    """The transposed convolution associated with `layer`: it gives the input's size back, the connections reversed.

    Along each axis k' = k and s(i' − 1) + a + k − p = i, where p is the layer's padding and a = (i + p − k) mod s what
    its stride leaves over. Names of paddings are chosen where Keras's rule comes to the same, explicit pairs and
    `output_padding=a` else. The layer is built, without bias and activation; if `layer` is, it has the same kernel:
    then it is the transpose of the linear map that `layer` is (its input gradient).

    Of a transposed convolution, the convolution that it belongs to.

    Args:
        layer: a `Conv1D`, `Conv2D`, `Conv3D`, or a transposed one.
        input_shape: of the layer's input, all spatial sizes and the channels known, with or without the batch axis; by
            default what the layer was built for.

    Raises:
        ValueError: a size is not known, or the layer has groups or pads with something other than zeros.

    >>> from striate import layers
    >>> back = transposed_of(layers.Conv2D(8, 3, strides=2, padding=1), (4, 4, 1))
    >>> back.padding, back.output_padding, back.compute_output_shape((None, 2, 2, 8))
    (((1, 1), (1, 1)), (1, 1), (None, 4, 4, 1))
    """
    shape = full_shape(layer, input_shape)
    _check(layer, shape)
    axes = axes_of(layer, shape) or ()
    backwards = isinstance(layer, BaseConvTranspose)
    made = _convolution(layer, shape, axes) if backwards else _transposed(layer, shape, axes)
    made.build(layer.compute_output_shape(shape))
    if layer.built:
        made.set_weights([layer.kernel])
    return made


def _check(layer: Any, shape: tuple[Any, ...]) -> None:
    where = f"transposed_of {type(layer).__name__} '{getattr(layer, 'name', '?')}'"
    if not isinstance(layer, BaseConv) or isinstance(layer, BaseDepthwiseConv | BaseSeparableConv) or layer.groups > 1:
        problem = "there is no layer for its transpose: Keras's transposed convolutions have no groups"
        raise ValueError(message(where, problem, "Take a Conv1D, Conv2D or Conv3D with groups=1"))
    if layer.padding_mode != "zeros":
        problem = f"padding_mode={layer.padding_mode!r}: the transpose of that adds border cells up"
        raise ValueError(message(where, problem, "Use padding_mode='zeros'"))
    if None in shape[1:]:
        problem = f"the sizes that it gives back depend on the input, and {shape} leaves some open"
        raise ValueError(message(where, problem, "Give all sizes, such as input_shape=(28, 28, 1)"))


def _shared(layer: Any, filters: int, **settings: Any) -> dict[str, Any]:
    return {
        "filters": filters,
        "kernel_size": layer.kernel_size,
        "strides": layer.strides,
        "dilation_rate": layer.dilation_rate,
        "data_format": layer.data_format,
        "use_bias": False,
    } | settings


def _transposed(layer: Any, shape: tuple[Any, ...], axes: tuple[Axis, ...]) -> Any:
    padding, extra = _settings(axes)
    channels = layer._split(shape)[1]
    made = getattr(layers, f"Conv{layer.rank}DTranspose")
    name = f"{layer.name}_transposed"
    return made(**_shared(layer, channels, padding=padding, output_padding=extra, name=name))


def _settings(axes: tuple[Axis, ...]) -> tuple[Any, Any]:
    """Padding and output padding: a name if Keras's rule gives the same windows, pairs else."""
    rest = [window.leftover(*_forward(a)) or 0 for a in axes]
    for name in ("valid", "same"):
        for extra in (None, *({tuple(_needed(a, name) for a in axes)} if name == "same" else {tuple(rest)})):
            if _same_windows(axes, name, extra):
                return name, extra
    return tuple(a.pads or (0, 0) for a in axes), tuple(rest)


def _forward(axis: Axis) -> tuple[Any, ...]:
    return axis.i, axis.k, axis.s, axis.padding, axis.d


def _needed(axis: Axis, name: str) -> int:
    """The output padding with which Keras's rule gives the size of the input."""
    return (axis.i or 0) - (window.transposed_size(axis.o, axis.k, axis.s, name, axis.d, 0) or 0)


def _same_windows(axes: tuple[Axis, ...], name: str, extra: Any) -> bool:
    extras = extra or (None,) * len(axes)
    if any(e is not None and not 0 <= e < a.s for a, e in zip(axes, extras, strict=True)):
        return False
    found = zip(axes, extras, strict=True)
    return all(
        window.transposed_size(a.o, a.k, a.s, name, a.d, e) == a.i
        and window.transposed_pads(a.o, a.k, a.s, name, a.d, e)[0] == (a.pads or (0, 0))[0]
        for a, e in found
    )


def _convolution(layer: Any, shape: tuple[Any, ...], axes: tuple[Axis, ...]) -> Any:
    pairs = tuple(a.pads or (0, 0) for a in axes)
    sizes = [a.o or 0 for a in axes]
    padding: Any = pairs
    for name in ("valid", "same"):
        if pairs == tuple(window.pads(name, o, a.k, a.s, a.d) for o, a in zip(sizes, axes, strict=True)):
            padding = name
            break
    made = getattr(layers, f"Conv{layer.rank}D")
    channels = layer._split(shape)[1]
    return made(**_shared(layer, channels, padding=padding, name=f"{layer.name}_convolution"))
