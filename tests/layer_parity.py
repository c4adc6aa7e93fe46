"""A layer of striate beside the same layer of the real Keras: configs, weights, shapes, results."""

from __future__ import annotations

from typing import Any

import numpy as np

import striate

LACKING = {"quantization_config"}  # what Keras's configs hold for things that striate leaves out


def data(shape: Any, seed: int = 0) -> np.ndarray:
    """Float32 numbers between -2 and 2."""
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype("float32")


def pair(real_keras: Any, name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The layer called `name`, ours and theirs, with one name."""
    return tuple(getattr(k.layers, name)(*args, name="layer", **kwargs) for k in (striate, real_keras))  # type: ignore[return-value]


def close(ours: Any, theirs: Any, rtol: float = 1e-5) -> None:
    """Asserts one shape, one dtype and values within `rtol` of the largest one."""
    mine, other = np.asarray(ours), np.asarray(theirs)
    assert mine.shape == other.shape and mine.dtype == other.dtype
    largest = np.abs(other[np.isfinite(other)]).max(initial=1e-6) if other.dtype.kind == "f" else 0
    np.testing.assert_allclose(mine, other, rtol=rtol, atol=rtol * float(largest))


def copy_weights(ours: Any, theirs: Any) -> None:
    """Random weights in both, the same ones; asserts that names, shapes and order agree."""
    assert [(w.name, w.shape) for w in ours.weights] == [(w.name, tuple(w.shape)) for w in theirs.weights]
    assert [w.trainable for w in ours.weights] == [w.trainable for w in theirs.weights]
    values = [np.abs(data(w.shape, seed)) + 0.1 if "var" in w.name else data(w.shape, seed)
              for seed, w in enumerate(ours.weights, 1)]  # fmt: skip
    for layer in (ours, theirs):
        layer.set_weights(values)


def same_config(ours: Any, theirs: Any) -> None:
    """Asserts that what Keras's config holds, ours holds too, and that ours makes the same layer again."""
    mine, other = ours.get_config(), theirs.get_config()
    assert {k: mine.get(k, "nothing") for k in other if k not in LACKING} == {
        k: v for k, v in other.items() if k not in LACKING
    }
    assert type(ours).from_config(mine).get_config() == mine


def same(real_keras: Any, name: str, x: Any, *args: Any, rtol: float = 1e-5, **kwargs: Any) -> Any:
    """Asserts that both layers agree in everything on `x`, an array or a list of arrays; returns our result."""
    ours, theirs = pair(real_keras, name, *args, **kwargs)
    same_config(ours, theirs)
    shape = [v.shape for v in x] if isinstance(x, list) else x.shape
    for layer in (ours, theirs):
        layer.build(shape)
    copy_weights(ours, theirs)
    result = ours(x)
    close(result, theirs(x), rtol)
    same_symbolically(real_keras, x, ours, theirs)
    close(in_a_model(ours, x), result, rtol)
    return result


def in_a_model(layer: Any, x: Any) -> Any:
    """What the layer gives as the only one of a functional model, which is compiled to one plan."""
    inputs = [striate.Input(v.shape[1:], dtype=str(v.dtype)) for v in (x if isinstance(x, list) else [x])]
    model = striate.Model(inputs, layer(inputs if isinstance(x, list) else inputs[0]))
    return model(x if isinstance(x, list) else [x])


def same_symbolically(real_keras: Any, x: Any, ours: Any, theirs: Any) -> None:
    """Asserts that both give the same symbolic shape and dtype, with the batch unknown."""
    made = []
    for k, layer in ((striate, ours), (real_keras, theirs)):
        symbols = [k.KerasTensor((None, *v.shape[1:]), dtype=str(v.dtype)) for v in (x if isinstance(x, list) else [x])]
        made.append(layer(symbols if isinstance(x, list) else symbols[0]))
    assert made[0].shape == tuple(made[1].shape) and made[0].dtype == made[1].dtype
