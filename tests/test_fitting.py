"""The changes that errors propose are made, and then it fits; a smaller one would not do."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

import striate
from striate import layers
from striate.cli.target import layer_of


def refusal(use: Any) -> str:
    with pytest.raises(ValueError) as caught:
        use()
    return str(caught.value)


@pytest.mark.parametrize("name", ["Add", "Concatenate"])
@pytest.mark.parametrize("seed", range(12))
def test_the_padding_and_the_cropping_that_merging_layers_propose(seed: int, name: str) -> None:
    rng = random.Random(seed)
    rank = rng.randint(1, 3)
    a = [rng.randint(5, 9) for _ in range(rank)]
    b = [n - rng.randint(0, 2) for n in a]
    a, b = (b, a) if rng.random() < 0.5 else (a, b)
    if a == b:
        a[0] += 1
    inputs = {"first": striate.Input((*a, 2)), "second": striate.Input((*b, 2))}
    text = refusal(lambda: getattr(layers, name)()(list(inputs.values())))
    proposals = re.findall(r"((?:ZeroPadding|Cropping)\dD\(.*?\)) on the (first|second)", text)
    assert len(proposals) == 2
    for call, which in proposals:
        mended = dict(inputs)
        mended[which] = layer_of(call, "test")(mended[which])
        getattr(layers, name)()(list(mended.values()))


@pytest.mark.parametrize("seed", range(20))
def test_the_inputs_and_kernels_that_windows_propose(seed: int) -> None:
    rng = random.Random(seed)
    pad, k, s, d = rng.randint(0, 2), rng.randint(4, 6), rng.randint(1, 3), rng.randint(1, 2)
    s = 1 if d > 1 else s
    i = rng.randint(1, 3)

    def use(size: int, kernel: int, padding: Any) -> Any:
        layer = layers.Conv1D(1, kernel, strides=s, padding=padding, dilation_rate=d)
        return layer.compute_output_shape((None, size, 1))

    if i + 2 * pad >= (k - 1) * d + 1:
        return
    text = refusal(lambda: use(i, k, pad))
    most, least = (int(re.search(rf"{what} (\d+)", text)[1]) for what in ("at most", "input of at least"))
    assert use(i, most, pad)[1] >= 1 and use(least, k, pad)[1] >= 1 and use(i, k, "same")[1] >= 1
    refusal(lambda: use(i, most + 1, pad))
    refusal(lambda: use(least - 1, k, pad))


@pytest.mark.parametrize("seed", range(20))
def test_what_transposed_convolutions_propose(seed: int) -> None:
    rng = random.Random(seed)
    i, k, s = rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 3)
    p = (s * (i - 1) + k + 1 + 1) // 2 + rng.randint(0, 2)

    def use(size: int, kernel: int, pair: tuple[int, int]) -> int:
        layer = layers.Conv1DTranspose(1, kernel, strides=s, padding=(pair,), output_padding=0)
        return layer.compute_output_shape((None, size, 1))[1]

    text = refusal(lambda: use(i, k, (p, p)))
    kernel, least = (int(re.search(rf"{what} of at least (\d+)", text)[1]) for what in ("kernel", "input"))
    assert use(i, kernel, (p, p)) >= 1 and use(least, k, (p, p)) >= 1
    refusal(lambda: use(i, kernel - 1, (p, p)))
    refusal(lambda: use(least - 1, k, (p, p)))
    most = re.search(r"at most (\d+) in all", text)
    if most:
        assert use(i, k, (int(most[1]), 0)) == 1


def test_global_pooling_in_the_place_of_flatten() -> None:
    flat, dense = layers.Flatten(), layers.Dense(3)
    dense(flat(striate.Input((5, 5, 2))))
    text = refusal(lambda: dense(flat(striate.Input((6, 6, 2)))))
    name = re.search(r"put (\w+) in the place", text)[1]
    pooled, head = getattr(layers, name)(), layers.Dense(3)
    for size in (5, 6):
        assert head(pooled(striate.Input((size, size, 2)))).shape == (None, 3)
