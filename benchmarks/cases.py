"""Convolutions drawn at random: shapes that no network was chosen for."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from striate.core import window

PREFIX = "case "  # of a job's model that is a case
FLOPS = (3e7, 2.5e9)  # of a dense convolution; two cores do some 400 in a nanosecond
FLOPS_OF_GROUPS = (5e6, 3e8)  # where a group has too few channels to fill vectors, memory is the limit
MOST_VALUES, MOST_WEIGHTS = 6_000_000, 3_000_000
LARGEST = {1: 20_000, 2: 320, 3: 64}
CHANNELS = (1, 3, 5, 16, 24, 32, 37, 48, 64, 96, 100, 128, 192, 256, 384, 512)
KERNELS = {1: ((1,), (3,), (5,), (7,), (15,)), 2: ((1, 1), (3, 3), (3, 3), (5, 5), (7, 7), (1, 3), (5, 1), (3, 7)),
           3: ((1, 1, 1), (3, 3, 3), (3, 3, 3), (1, 3, 3), (5, 5, 5), (3, 1, 1))}  # fmt: skip
KINDS = {"dense": 0.42, "grouped": 0.14, "depthwise": 0.2, "dilated": 0.1, "transposed": 0.14}
GRADIENTS = ("input_grad", "kernel_grad")
TRIES = 1000
SHARE = 4  # one case of so many is also measured with its gradients


@dataclass(frozen=True)
class Case:
    """One convolution, with Keras's names. `batch, size, channels` is the input; `kind` one of `KINDS`."""

    kind: str
    batch: int
    size: tuple[int, ...]
    channels: int
    filters: int
    kernel: tuple[int, ...]
    strides: int = 1
    dilation: int = 1
    groups: int = 1
    padding: str = "same"

    @property
    def model(self) -> str:
        """The name of a job's model; `from_model` is its inverse."""
        return PREFIX + json.dumps(asdict(self))

    @classmethod
    def from_model(cls, name: str) -> Case:
        """The case that a job's model names."""
        data = json.loads(name.removeprefix(PREFIX))
        return cls(**{**data, "size": tuple(data["size"]), "kernel": tuple(data["kernel"])})

    @property
    def output(self) -> tuple[int, ...]:
        """The sizes of the output."""
        axes = zip(self.size, self.kernel, strict=True)
        if self.kind == "transposed":
            found = [window.transposed_size(i, k, self.strides, self.padding) for i, k in axes]
        else:
            found = [window.output_size(i, k, self.strides, self.padding, self.dilation) for i, k in axes]
        return tuple(o or 0 for o in found)

    @property
    def flops(self) -> int:
        """Multiplications and additions, those with zeros at the border too."""
        pixels = self.size if self.kind == "transposed" else self.output
        return 2 * self.batch * math.prod(pixels) * self.weights

    @property
    def weights(self) -> int:
        """Without the bias."""
        return math.prod(self.kernel) * (self.channels // self.groups) * self.filters

    @property
    def values(self) -> int:
        """Of the input and the output."""
        return self.batch * (math.prod(self.size) * self.channels + math.prod(self.output) * self.filters)

    @property
    def even(self) -> bool:
        """Padding that PyTorch has: as much at the end of an axis as at its beginning."""
        axes = zip(self.size, self.kernel, strict=True)
        found = [window.resolve_pads((i,), (k,), (self.strides,), self.padding, (self.dilation,)) for i, k in axes]
        return all(low == high for ((low, high),) in found)

    @property
    def title(self) -> str:
        """One line, for tables."""
        text = f"{self.batch} x {'x'.join(map(str, (*self.size, self.channels)))} -> {self.filters}, "
        text += f"{'x'.join(map(str, self.kernel))} {self.padding}"
        for name, value in (("stride", self.strides), ("dilation", self.dilation), ("groups", self.groups)):
            text += f", {name} {value}" if value > 1 else ""
        return text + (", transposed" if self.kind == "transposed" else "")


def drawn(count: int, seed: int = 0) -> list[Case]:
    """`count` different cases, the first ones those of a smaller count. The work of each is within bounds."""
    rng, found = np.random.default_rng(seed), dict[Case, None]()
    while len(found) < count:
        window = _window(rng)
        tries = (_draw(rng, window) for _ in range(TRIES))
        case = next((case for case in tries if _fits(case)), None)
        if case is not None:
            found[case] = None
    return list(found)


def measures(cases: list[Case]) -> list[tuple[Case, str]]:
    """What is measured: each case forward, one of `SHARE` also its gradients, where PyTorch has such a padding."""
    plain = [case for case in cases if case.kind != "transposed" and case.even]
    chosen = set(plain[::SHARE])
    return [(case, kind) for case in cases for kind in ("forward", *(GRADIENTS if case in chosen else ()))]


def _fits(case: Case) -> bool:
    if min(case.output) < 1 or case.values > MOST_VALUES or case.weights > MOST_WEIGHTS:
        return False
    low, high = FLOPS if case.channels // case.groups >= 16 else FLOPS_OF_GROUPS
    return low <= case.flops <= high


def _draw(rng: np.random.Generator, window: dict[str, Any]) -> Case:
    """Sizes and channels for a window; most are too small or too large."""
    rank, groups = len(window["kernel"]), 1
    side = 2 ** rng.uniform(1, np.log2(LARGEST[rank]))
    size = tuple(max(1, round(side * rng.uniform(0.7, 1.3))) for _ in range(rank))
    channels, filters = _pick(rng, CHANNELS), _pick(rng, CHANNELS)
    if window["kind"] == "grouped":
        groups = _pick(rng, (2, 4, 8))
        channels, filters = (-(-n // groups) * groups for n in (channels, filters))
    elif window["kind"] == "depthwise":
        groups = channels = max(channels, 16)
        filters = channels * _pick(rng, (1, 1, 1, 2, 3))
    batch = _pick(rng, (1, 1, 4, 8))
    return Case(batch=batch, size=size, channels=channels, filters=filters, groups=groups, **window)


def _window(rng: np.random.Generator) -> dict[str, Any]:
    """The kind, and everything that has no bound."""
    kind, rank = str(rng.choice(list(KINDS), p=list(KINDS.values()))), int(rng.choice([1, 2, 3], p=[0.2, 0.6, 0.2]))
    kernel, strides = _pick(rng, KERNELS[rank]), _pick(rng, (1, 1, 1, 2, 2, 3))
    if kind == "transposed":
        kernel, strides = (_pick(rng, (2, 3, 4, 5)),) * rank, 2
    dilation = 1 + (kind == "dilated")
    padding = _pick(rng, ("same", "valid"))
    return {
        "kind": kind, "kernel": kernel, "strides": 1 if dilation > 1 else strides, "dilation": dilation,
        "padding": padding,
    }  # fmt: skip


def _pick(rng: np.random.Generator, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def build(keras: Any, name: str) -> Any:
    """The case as a model of one layer with a bias."""
    case = Case.from_model(name)
    rank = len(case.size)
    options: dict[str, Any] = {"strides": case.strides, "padding": case.padding, "bias_initializer": "normal"}
    if case.kind == "transposed":
        layer = getattr(keras.layers, f"Conv{rank}DTranspose")
    else:
        layer = getattr(keras.layers, f"Conv{rank}D")
        options |= {"dilation_rate": case.dilation, "groups": case.groups}
    image = keras.Input((*case.size, case.channels))
    return keras.Model(image, layer(case.filters, case.kernel, **options)(image))
