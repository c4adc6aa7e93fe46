"""What all convolutions share: window arguments, weights, bias and activation, for any number of spatial axes."""

from __future__ import annotations

from typing import Any

from striate import activations, constraints, initializers, ops, regularizers
from striate.core import config, window
from striate.core.errors import message
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer

PADDING_MODES = {"zeros": None, "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


_COUNTS = {
    "filters": "Invalid value for argument `filters`. Expected a strictly positive value. Received filters={!r}",
    "groups": "The number of groups must be a positive integer. Received: groups={!r}",
}


class WindowedLayer(Layer):
    """A layer that slides a window over the spatial axes.

    Attributes:
        rank: the number of spatial axes.
        kernel_size, strides, dilation_rate: one int per spatial axis.
        padding: a name in lower case, or a pair `(lo, hi)` per spatial axis.
    """

    rank = 2
    data_format: str

    def _where(self) -> str:
        return f"{type(self).__name__} '{self.name}'"

    def _tuple(self, value: Any, name: str) -> tuple[int, ...]:
        return window.normalize_tuple(value, self.rank, name, where=self._where())

    def _split(self, shape: Any) -> tuple[tuple[Any, ...], Any]:
        """The spatial sizes and the channels of an input's shape."""
        if len(shape) != self.rank + 2:
            raise ValueError(
                message(
                    self._where(),
                    f"expected an input with {self.rank + 2} axes (batch, {self.rank} spatial, channels), got shape "
                    f"{tuple(shape)}",
                    "A batch axis may be missing: use x[None, ...]" if len(shape) == self.rank + 1 else None,
                )
            )
        if self.data_format == "channels_last":
            return tuple(shape[1:-1]), shape[-1]
        return tuple(shape[2:]), shape[1]

    def _join(self, batch: Any, spatial: Any, channels: Any) -> tuple[Any, ...]:
        if self.data_format == "channels_last":
            return (batch, *spatial, channels)
        return (batch, channels, *spatial)

    def _channels(self, input_shape: Any) -> int:
        """The channels of the input, which must be known; also sets the input spec."""
        _, channels = self._split(input_shape)
        if channels is None:
            raise ValueError(
                message(
                    self._where(),
                    "The channel dimension of the inputs should be defined. "
                    f"The input_shape received is {tuple(input_shape)}, where axis {self._channel_axis} is the "
                    "channel axis",
                    "Give `Input` a number of channels",
                )
            )
        self.input_spec = InputSpec(min_ndim=self.rank + 2, max_ndim=self.rank + 2, axes={self._channel_axis: channels})
        return int(channels)

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1


class BaseConv(WindowedLayer):
    """A convolution (cross-correlation, the chapter's equations (1) to (3)) over `rank` spatial axes.

    Args:
        filters: the number of output channels.
        kernel_size, strides, dilation_rate: an int, or one per spatial axis. Strides and dilation can't both exceed 1.
        padding: "valid", "same", "full" (and "causal" in 1D) in any case, an int, or an int or pair per spatial axis.
        data_format: "channels_last" or "channels_first"; by default `image_data_format()`.
        groups: the channels are split into this many groups, convolved apart.
        activation: a name or a function; None for none.
        use_bias: whether a bias per filter is added.
        padding_mode: what stands outside the input: "zeros", "reflect", "replicate" or "circular".
    """

    _paddings: tuple[str, ...] = ("valid", "same", "full")

    def __init__(
        self,
        rank: int,
        filters: int | None,
        kernel_size: Any,
        strides: Any = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        trainable: bool = True,
        name: str | None = None,
        padding_mode: str = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=trainable, name=name, activity_regularizer=activity_regularizer, **kwargs)
        self.rank, self.filters, self.groups = rank, filters, groups
        self.kernel_size = self._tuple(kernel_size, "kernel_size")
        self.strides = self._tuple(strides, "strides")
        self.dilation_rate = self._tuple(dilation_rate, "dilation_rate")
        self.padding = window.normalize_padding(padding, rank, allowed=self._paddings, where=self._where())
        self.data_format = config.standardize_data_format(data_format, self._where())
        self.padding_mode = self._checked_mode(padding_mode)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=rank + 2, max_ndim=rank + 2)
        self._check_arguments()

    def _checked_mode(self, mode: str) -> str:
        if mode not in PADDING_MODES:
            raise ValueError(
                message(
                    self._where(),
                    f"`padding_mode` must be one of {', '.join(map(repr, PADDING_MODES))}. Received: {mode!r}",
                )
            )
        return mode

    def _check_arguments(self) -> None:
        for name, rule in _COUNTS.items():
            value = getattr(self, name)
            valid = value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0)
            if not valid:
                raise ValueError(message(self._where(), rule.format(value)))
        if self.filters is not None and self.filters % self.groups != 0:
            raise ValueError(
                message(
                    self._where(),
                    "The number of filters must be evenly divisible by the number of groups. "
                    f"Received: groups={self.groups}, filters={self.filters}",
                    f"Use a multiple of {self.groups} filters",
                )
            )
        self._check_dilation()

    def _check_dilation(self) -> None:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                message(
                    self._where(),
                    "`strides > 1` not supported in conjunction with `dilation_rate > 1`. "
                    f"Received: strides={self.strides} and dilation_rate={self.dilation_rate}",
                    "Set one of them to 1",
                )
            )

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        if channels % self.groups != 0:
            raise ValueError(
                message(
                    self._where(),
                    "The number of input channels must be evenly divisible by the number of groups. "
                    f"Received groups={self.groups}, but the input has {channels} channels (full input shape is "
                    f"{tuple(input_shape)})",
                )
            )
        self._kernel = self._add_kernel((*self.kernel_size, channels // self.groups, self.filters))
        self._add_bias(self.filters)
        self.compute_output_shape(input_shape)

    def _add_kernel(self, shape: tuple[Any, ...]) -> Any:
        return self.add_weight(
            name="kernel",
            shape=shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def _add_bias(self, size: Any) -> None:
        self.bias = (
            self.add_weight(
                name="bias",
                shape=(size,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
            if self.use_bias
            else None
        )

    def _explain_axis(self, axis: int, size: int, shape: Any) -> str | None:
        """The channels that the kernel was made for."""
        found = shape[axis]
        kernel = f"Its kernel was made for {size} channel{'' if size == 1 else 's'}, and the input has {found}"
        if size in shape[1:] and size != found and self.data_format == "channels_last" and shape[1] == size:
            return f"{kernel}: axis 1 has {size}. Move it to the end with np.moveaxis(x, 1, -1)"
        if found == 1:
            return f"{kernel}. Repeat it with np.repeat(x, {size}, axis={axis}), or make a new layer for 1 channel"
        return f"{kernel}. Give it {size}, or make a new layer for {found}"

    @property
    def kernel(self) -> Any:
        """The kernel, `(*kernel_size, channels / groups, filters)`."""
        if not self.built:
            raise AttributeError(
                f"You must build the layer before accessing `kernel`. Call layer '{self.name}' on data or an `Input`."
            )
        return self._kernel

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """The convolution alone, without bias and activation."""
        inputs, padding = self._outside(inputs)
        return ops.conv(
            inputs, kernel, strides=list(self.strides), padding=padding, data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )  # fmt: skip

    def _outside(self, inputs: Any) -> tuple[Any, Any]:
        """The input and the padding to convolve with: names become pairs, and what isn't zeros is put around the
        input."""
        if self.padding in ("valid", "same") and self.padding_mode == "zeros":
            return inputs, self.padding
        spatial, _ = self._split(inputs.shape)
        pairs = window.resolve_pads(spatial, self.kernel_size, self.strides, self.padding, self.dilation_rate)
        mode = PADDING_MODES[self.padding_mode]
        if mode is None:
            return inputs, pairs
        self._check_mode_fits(spatial, pairs)
        around = ((0, 0), *pairs, (0, 0)) if self.data_format == "channels_last" else ((0, 0), (0, 0), *pairs)
        return ops.pad(inputs, around, mode=mode), "valid"

    def _check_mode_fits(self, spatial: Any, pairs: Any) -> None:
        limit = {"reflect": -1, "circular": 0}.get(self.padding_mode)
        for size, pair in zip(spatial, pairs, strict=True):
            if limit is not None and max(pair) > size + limit:
                raise ValueError(
                    message(
                        self._where(),
                        f"padding_mode='{self.padding_mode}' can't put {max(pair)} cells beside an input of {size}",
                        "Use padding_mode='zeros' or 'replicate', or less padding",
                    )
                )

    def call(self, inputs: Any) -> Any:
        return self._finish(self.convolution_op(inputs, self.kernel))

    def _finish(self, outputs: Any) -> Any:
        """Adds the bias and applies the activation, equation (2)."""
        if self.use_bias:
            shape = (1, *(1,) * self.rank, -1) if self.data_format == "channels_last" else (1, -1, *(1,) * self.rank)
            outputs = ops.add(outputs, ops.reshape(self.bias, shape))
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The output's shape by formula (6), sizes None where unknown."""
        spatial, _ = self._split(input_shape)
        out = window.output_shape(
            spatial, self.kernel_size, self.strides, self.padding, self.dilation_rate, where=self._where()
        )
        return self._join(input_shape[0], out, self._output_channels(input_shape))

    def _output_channels(self, input_shape: Any) -> Any:
        return self.filters

    def get_config(self) -> dict[str, Any]:
        config_ = super().get_config()
        config_.update(
            {
                "filters": self.filters,
                "kernel_size": self.kernel_size,
                "strides": self.strides,
                "padding": self.padding,
                "data_format": self.data_format,
                "dilation_rate": self.dilation_rate,
                "groups": self.groups,
                "activation": activations.serialize(self.activation),
                "use_bias": self.use_bias,
                "kernel_initializer": initializers.serialize(self.kernel_initializer),
                "bias_initializer": initializers.serialize(self.bias_initializer),
                "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
                "bias_regularizer": regularizers.serialize(self.bias_regularizer),
                "activity_regularizer": regularizers.serialize(self.activity_regularizer),
                "kernel_constraint": constraints.serialize(self.kernel_constraint),
                "bias_constraint": constraints.serialize(self.bias_constraint),
            }
        )
        if self.padding_mode != "zeros":
            config_["padding_mode"] = self.padding_mode
        return config_
