"""Random functional models: layers of all families, branches, odd sizes, both data formats; shapes are kept small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import striate as keras
from striate import layers

ACTIVATIONS = [None, "relu", "tanh", "sigmoid", "elu", "gelu", "silu", "softplus", "hard_sigmoid", "selu", "mish"]
MAX_SIZE = 24
MAX_CHANNELS = 24


class Maker:
    """Draws layers for a tensor with `rank` spatial axes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.rank = self.pick([1, 2, 2, 2, 3])
        self.format = self.pick(["channels_last", "channels_last", "channels_first"])

    def pick(self, choices: list[Any]) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def some(self, lo: int, hi: int) -> int:
        return int(self.rng.integers(lo, hi + 1))

    def layer(self, name: str) -> Any:
        return getattr(layers, f"{name}{self.rank}D")

    def spatial(self, x: Any) -> tuple[int, ...]:
        return x.shape[1:-1] if self.format == "channels_last" else x.shape[2:]

    def channels(self, x: Any) -> int:
        return x.shape[-1] if self.format == "channels_last" else x.shape[1]

    def window(self, x: Any) -> dict[str, Any]:
        """Kernel, strides and dilation, of which only one of the last two is more than 1."""
        sizes = [self.some(1, min(4, n)) for n in self.spatial(x)]
        strides, dilation = [1] * self.rank, [1] * self.rank
        if self.rng.random() < 0.35:
            strides = [self.some(1, 3) for _ in sizes]
        elif self.rng.random() < 0.3:
            dilation = [self.some(1, max(1, (n - 1) // (k - 1))) if k > 1 else 1
                        for n, k in zip(self.spatial(x), sizes, strict=True)]  # fmt: skip
        return {"kernel_size": sizes, "strides": strides, "dilation_rate": dilation}

    def padding(self) -> Any:
        pairs = [(self.some(0, 2), self.some(0, 2)) for _ in range(self.rank)]
        return self.pick(["valid", "same", "same", "full", self.some(0, 2), pairs])

    def common(self) -> dict[str, Any]:
        return {"data_format": self.format, "activation": self.pick(ACTIVATIONS), "use_bias": self.rng.random() < 0.7}

    # One method per family; each takes a symbolic tensor and returns another ----------------------------------------

    def conv(self, x: Any) -> Any:
        n = self.channels(x)
        groups = self.pick([g for g in range(1, n + 1) if n % g == 0]) if self.rng.random() < 0.3 else 1
        filters = groups * self.some(1, max(1, MAX_CHANNELS // groups))
        return self.layer("Conv")(filters, groups=groups, padding=self.padding(), **self.window(x), **self.common())(x)

    def causal(self, x: Any) -> Any:
        if self.rank != 1 or self.format != "channels_last":
            return self.conv(x)
        return layers.Conv1D(self.some(1, 9), padding="causal", **self.window(x), **self.common())(x)

    def pointwise(self, x: Any) -> Any:
        return self.layer("Conv")(self.some(1, 70), 1, **self.common())(x)

    def depthwise(self, x: Any) -> Any:
        if self.rank == 3 or self.channels(x) > 32:
            return self.conv(x)
        settings = self._equal_strides(self.window(x)) | self.common()
        family = self.layer("DepthwiseConv")
        return family(depth_multiplier=self.some(1, 3), padding=self.pick(["valid", "same"]), **settings)(x)

    def separable(self, x: Any) -> Any:
        if self.rank == 3 or self.channels(x) > 32:
            return self.conv(x)
        settings = self._equal_strides(self.window(x)) | self.common()
        family = self.layer("SeparableConv")
        multiplier, padding = self.some(1, 2), self.pick(["valid", "same"])
        return family(self.some(1, 12), depth_multiplier=multiplier, padding=padding, **settings)(x)

    def _equal_strides(self, settings: dict[str, Any]) -> dict[str, Any]:
        return settings | {"strides": [settings["strides"][0]] * self.rank}

    def transposed(self, x: Any) -> Any:
        settings = {"kernel_size": [self.some(1, 4) for _ in range(self.rank)], "strides": self.some(1, 3)}
        family = self.layer("Conv")
        family = getattr(layers, f"Conv{self.rank}DTranspose")
        return family(self.some(1, 20), padding=self.pick(["valid", "same"]), **settings, **self.common())(x)

    def pool(self, x: Any) -> Any:
        size = [self.some(1, min(3, n)) for n in self.spatial(x)]
        family = self.layer(self.pick(["MaxPooling", "AveragePooling", "LpPooling"]))
        strides = self.pick([None, 1, 2])
        return family(size, strides=strides, padding=self.pick(["valid", "same"]), data_format=self.format)(x)

    def norm(self, x: Any) -> Any:
        return layers.BatchNormalization(axis=-1 if self.format == "channels_last" else 1)(x)

    def activation(self, x: Any) -> Any:
        if self.rng.random() < 0.2:
            return layers.Softmax()(x)
        return self.pick([layers.LeakyReLU(0.1), layers.ReLU(), layers.PReLU(), layers.Activation("exponential"),
                          layers.ELU(), layers.ReLU(6.0, 0.1, 0.3)])(layers.Activation("tanh")(x))  # fmt: skip

    def pad(self, x: Any) -> Any:
        pairs = [(self.some(0, 2), self.some(0, 2)) for _ in range(self.rank)]
        if self.rank == 1:
            return layers.ZeroPadding1D(pairs[0], data_format=self.format)(x)
        return self.layer("ZeroPadding")(pairs, data_format=self.format)(x)

    def upsample(self, x: Any) -> Any:
        if self.rank == 1:
            return x if self.format == "channels_first" else layers.UpSampling1D(2)(x)
        return self.layer("UpSampling")([self.some(1, 2) for _ in range(self.rank)], data_format=self.format)(x)

    def crop(self, x: Any) -> Any:
        pairs = [(self.some(0, (n - 1) // 2), 0) for n in self.spatial(x)]
        if self.rank == 1:
            return x if self.format == "channels_first" else layers.Cropping1D(pairs[0])(x)
        return self.layer("Cropping")(pairs, data_format=self.format)(x)

    def residual(self, x: Any) -> Any:
        settings = {"padding": "same", "data_format": self.format, "activation": self.pick(ACTIVATIONS)}
        y = self.layer("Conv")(self.channels(x), [self.some(1, 3)] * self.rank, **settings)(x)
        y = layers.BatchNormalization(axis=-1 if self.format == "channels_last" else 1)(y)
        return self.pick([layers.Add(), layers.Multiply(), layers.Subtract(), layers.Maximum(), layers.Average()])(
            [x, y]
        )

    def concatenated(self, x: Any) -> Any:
        y = self.layer("Conv")(self.some(1, 9), 1, **self.common())(x)
        return layers.Concatenate(axis=-1 if self.format == "channels_last" else 1)([x, y, x])

    def families(self) -> list[Callable[[Any], Any]]:
        return [self.conv, self.conv, self.causal, self.pointwise, self.depthwise, self.separable, self.transposed,
                self.pool, self.norm, self.activation, self.pad, self.upsample, self.crop, self.residual,
                self.concatenated]  # fmt: skip

    def head(self, x: Any) -> Any:
        kind = self.some(0, 3)
        if kind == 0:
            x = layers.Flatten(data_format=self.format)(x)
        elif kind == 1:
            x = self.layer("GlobalAveragePooling")(data_format=self.format)(x)
        elif kind == 2:
            x = self.layer("GlobalMaxPooling")(data_format=self.format, keepdims=self.rng.random() < 0.5)(x)
        return layers.Dense(self.some(1, 40), activation=self.pick([*ACTIVATIONS, "softmax"]))(x)


def random_model(seed: int, depth: int = 14, batch: int | None = None) -> tuple[Any, np.ndarray]:
    """A model with random weights and statistics, and an input for it."""
    make = Maker(seed)
    spatial = [make.some(3, MAX_SIZE // 2 + 1) for _ in range(make.rank)]
    sizes = [*spatial, make.some(1, 9)] if make.format == "channels_last" else [make.some(1, 9), *spatial]
    inputs = x = keras.Input(tuple(sizes))
    taps = []
    for _ in range(make.some(depth // 2, depth)):
        new = make.pick(make.families())(x)
        small = max(make.spatial(new)) <= MAX_SIZE and make.channels(new) <= 3 * MAX_CHANNELS
        if small and np.prod(new.shape[1:]) <= 20_000 * (MAX_CHANNELS // 24):
            x = new
        if make.rng.random() < 0.1:
            taps.append(x)
    outputs = [make.head(x) if make.rng.random() < 0.7 else x, *taps[:2]]
    model = keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])
    randomize(model, make.rng)
    samples = make.pick([0, 1, 1, 2, 3]) if batch is None else batch
    return model, make.rng.standard_normal((samples, *sizes)).astype("float32")


def randomize(model: Any, rng: np.random.Generator) -> None:
    """Random weights that keep values of order 1, and statistics of every normalization."""
    for weight in model.weights:
        if "variance" in weight.path:
            value = rng.uniform(0.3, 2, weight.shape)
        elif "gamma" in weight.path:
            value = rng.uniform(0.5, 1.5, weight.shape)
        elif len(weight.shape) > 1 and "alpha" not in weight.path:
            fan = max(1, int(np.prod(weight.shape[:-1])))
            value = rng.standard_normal(weight.shape) * (1.5 / fan) ** 0.5
        else:
            value = rng.standard_normal(weight.shape) * 0.3
        weight.assign(value.astype("float32"))
