"""Every layer with arguments and an input, for tests that go over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import striate as keras
from striate import layers

Case = tuple[Callable[[], Any], list[tuple[int, ...]], str]


def _cases() -> dict[str, Case]:
    table: dict[str, Case] = {}

    def add(name: str, shapes: Any, *args: Any, dtype: str = "float32", as_: str = "", **kwargs: Any) -> None:
        family = getattr(layers, name)
        table[as_ or name] = (lambda: family(*args, **kwargs), shapes if isinstance(shapes, list) else [shapes], dtype)

    sizes = {1: (9,), 2: (8, 7), 3: (6, 5, 4)}
    for rank, size in sizes.items():
        x = (*size, 4)
        _windows(add, rank, x)
        add(f"UpSampling{rank}D", x, 2)
        add(f"ZeroPadding{rank}D", x, 1 if rank == 1 else tuple((1, 2) for _ in size))
        add(f"Cropping{rank}D", x, 1)
        add(f"SpatialDropout{rank}D", x, 0.5)
    for name, args in _ANY.items():
        add(name, (6, 5, 4), *args)
    _others(add)
    return table


_ANY: dict[str, tuple[Any, ...]] = {
    "Activation": ("gelu",), "ActivityRegularization": (0.1,), "AlphaDropout": (0.3,), "BatchNormalization": (),
    "Dense": (3,), "Dropout": (0.4,), "ELU": (0.5,), "Flatten": (), "GaussianDropout": (0.3,), "GaussianNoise": (0.3,),
    "GroupNormalization": (2,), "Identity": (), "LayerNormalization": (), "LeakyReLU": (0.1,), "Masking": (0.0,),
    "PReLU": (), "Permute": ((3, 1, 2),), "RMSNormalization": (), "ReLU": (6.0, 0.1, 0.2), "Rescaling": (0.5, 1.0),
    "Reshape": ((-1, 2),), "Softmax": (), "UnitNormalization": (),
}  # fmt: skip


def _windows(add: Any, rank: int, x: tuple[int, ...]) -> None:
    add(f"Conv{rank}D", x, 6, 3, padding="same", strides=2, activation="relu")
    add(f"Conv{rank}D", x, 6, 2, groups=2, dilation_rate=2, as_=f"Conv{rank}D groups")
    first = (x[-1], *x[:-1])
    add(f"Conv{rank}D", first, 6, 3, padding="full", data_format="channels_first", as_=f"Conv{rank}D first")
    add(f"Conv{rank}DTranspose", x, 3, 3, strides=2, padding="same")
    add(f"Conv{rank}DTranspose", x, 3, 2, strides=3, output_padding=1, as_=f"Conv{rank}DTranspose extra")
    if rank < 3:
        add(f"DepthwiseConv{rank}D", x, 3, depth_multiplier=2, padding="same")
        add(f"SeparableConv{rank}D", x, 5, 3, activation="elu")
    for kind in ("Max", "Average", "Lp"):
        add(f"{kind}Pooling{rank}D", x, 3, strides=2, padding="same")
        add(f"{kind}Pooling{rank}D", x, 2, as_=f"{kind}Pooling{rank}D valid")
    for kind in ("Max", "Average"):
        add(f"Adaptive{kind}Pooling{rank}D", x, 3)
        add(f"Global{kind}Pooling{rank}D", x)
        add(f"Global{kind}Pooling{rank}D", first, data_format="channels_first", keepdims=True,
            as_=f"Global{kind}Pooling{rank}D first")  # fmt: skip


def _others(add: Any) -> None:
    two = [(6, 4), (6, 4)]
    for name in ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"):
        add(name, two)
    add("Dot", two, 2)
    add("RepeatVector", (4,), 3)
    add("EinsumDense", (6, 4), "abc,cd->abd", (None, 5), bias_axes="d")
    add("Embedding", (6,), 7, 3, dtype="int32")
    add("CategoryEncoding", (1,), 7, "one_hot", dtype="int32")
    add("CategoryEncoding", (5,), 7, "multi_hot", dtype="int32", as_="CategoryEncoding many")
    add("CategoryEncoding", (5,), 7, "count", dtype="int32", as_="CategoryEncoding count")
    add("Discretization", (5,), bin_boundaries=[-1.0, 0.2, 0.7])
    add("Normalization", (5, 4), mean=1.0, variance=2.0)
    add("Lambda", (5, 4), lambda x: keras.ops.sin(x))
    add("TimeDistributed", (5, 6, 6, 3), layers.Conv2D(4, 3))
    add("SpectralNormalization", (6, 6, 3), layers.Conv2D(4, 3))
    add("Pipeline", (8, 8, 3), [layers.CenterCrop(6, 6), layers.Rescaling(0.5)])
    for method in ("nearest", "bilinear", "bicubic", "lanczos3"):
        add("Resizing", (8, 6, 3), 5, 9, interpolation=method, as_=f"Resizing {method}")
    add("UpSampling2D", (4, 5, 3), 2, interpolation="bilinear", as_="UpSampling2D bilinear")
    add("CenterCrop", (8, 7, 3), 5, 4)
    add("AutoContrast", (8, 7, 3), value_range=(0, 1))
    add("Solarization", (8, 7, 3), value_range=(0, 1))
    for name, args in _RANDOM.items():
        add(name, (8, 7, 3), *args)


# What changes pictures at random leaves them as they are at inference (RandomCrop takes the middle).
_RANDOM: dict[str, tuple[Any, ...]] = {
    "RandomBrightness": (0.2,), "RandomColorDegeneration": (0.5,), "RandomColorJitter": ((0, 1), 0.2),
    "RandomContrast": (0.2,), "RandomCrop": (5, 4), "RandomErasing": (0.5,), "RandomFlip": (),
    "RandomGaussianBlur": (0.5,), "RandomGrayscale": (0.5,), "RandomHue": (0.2,), "RandomInvert": (0.5,),
    "RandomPosterization": (4,), "RandomRotation": (0.2,), "RandomSaturation": (0.5,), "RandomSharpness": (0.5,),
    "RandomShear": (0.2,), "RandomTranslation": (0.1, 0.1), "RandomZoom": (0.1,),
}  # fmt: skip

CASES = _cases()
