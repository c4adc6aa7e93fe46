"""Rematerialisation: the same numbers from less memory."""

from __future__ import annotations

import inspect
import threading

import keras as real
import numpy as np
import pytest

import striate as keras
from striate import layers, ops
from striate.models import cutting
from striate.trace import Jit
from striate.trace.remat import current_mode

DEPTH, SIDE, CHANNELS, BATCH = 16, 24, 8, 4
ONE = BATCH * SIDE * SIDE * CHANNELS * 4  # bytes of one activation


def convs(count=DEPTH, dropout=0.0, norm=False):
    made = []
    for i in range(count):
        made.append(layers.Conv2D(CHANNELS, 3, padding="same", activation=None if norm else "relu", name=f"c{i}"))
        made += [layers.BatchNormalization(name=f"n{i}"), layers.ReLU(name=f"r{i}")] if norm else []
        made += [layers.Dropout(dropout, seed=i)] if dropout else []
    return made


def functional(**kwargs):
    image = x = keras.Input((SIDE, SIDE, CHANNELS))
    for layer in convs(**kwargs):
        x = layer(x)
    return keras.Model(image, layers.Dense(10, name="top")(layers.GlobalAveragePooling2D()(x)))


def sequential(**kwargs):
    row = [layers.Input((SIDE, SIDE, CHANNELS)), *convs(**kwargs), layers.GlobalAveragePooling2D()]
    return keras.Sequential([*row, layers.Dense(10, name="top")])


class Written(keras.Model):
    """A model whose `call` is Python, of blocks that are layers."""

    def __init__(self, **kwargs):
        super().__init__()
        row = convs(**kwargs)
        self.blocks = [Block(row[i : i + len(row) // 4]) for i in range(0, len(row), len(row) // 4)]
        self.pool, self.top = layers.GlobalAveragePooling2D(), layers.Dense(10)

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.top(self.pool(x))


class Block(keras.Layer):
    def __init__(self, row):
        super().__init__()
        self.row = row

    def call(self, x):
        for layer in self.row:
            x = layer(x)
        return x


def trained(make, again, steps=3, **kwargs):
    """(losses, variables, bytes of the arena, calls of convolutions) of a few steps."""
    keras.utils.set_random_seed(0)
    model = make(**kwargs)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(BATCH, SIDE, SIDE, CHANNELS)).astype("float32"), np.arange(BATCH)
    if again:
        keras.remat(model)
    losses = [model.train_on_batch(x, y) for _ in range(steps)]
    plan = model._step("train_step").compiled((x, y))[0].executable.plan
    count = sum(s.kernel in ("conv_direct", "conv_few") for s in plan.steps)
    return losses, [np.array(v) for v in model.variables], plan.arena_bytes, count


@pytest.mark.parametrize("make", [functional, sequential, Written])
@pytest.mark.parametrize("kwargs", [{}, {"dropout": 0.3}, {"norm": True}], ids=["plain", "dropout", "norm"])
def test_less_than_half_the_memory_and_the_same_numbers(make, kwargs):
    """Weights, statistics and seeds after three steps; dropout draws the same masks, statistics move once a step."""
    losses, weights, arena, count = trained(make, False, **kwargs)
    again_losses, again_weights, again_arena, again_count = trained(make, True, **kwargs)
    assert again_arena <= 0.5 * arena + (0.5 * ONE if make is Written else 0)  # its blocks are four by four
    assert count < again_count <= 2 * count
    assert make is Written or again_count < 2 * count  # the last segment is not computed twice
    np.testing.assert_allclose(again_losses, losses, rtol=1e-6)
    for a, b in zip(again_weights, weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_moving_statistics_are_updated_once():
    """Against the formula: momentum 0.5 and a batch whose mean is known."""
    model = keras.Sequential([layers.Input((4,)), layers.BatchNormalization(momentum=0.5), layers.Dense(1)])
    model.compile("sgd", "mse")
    keras.remat(model.layers[0])
    x = np.full((6, 4), 3.0, "float32") + np.array([[-1.0], [1.0]] * 3, "float32")
    model.train_on_batch(x, np.ones((6, 1)))
    np.testing.assert_allclose(model.layers[0].moving_mean, 1.5)
    np.testing.assert_allclose(model.layers[0].moving_variance, 0.5 * 1 + 0.5 * 1, rtol=1e-6)


# ------------------------------------------------------------------------------------------------ functions


def chain(x):
    for _ in range(12):
        x = ops.sin(x) * 1.1
    return x


def plan_of(fn, x):
    f = Jit(fn)
    return f(x), f.compiled(x)[0].executable.plan


def test_functions():
    x = np.linspace(-2, 2, 4096, dtype="float32")
    twice = lambda f: lambda x: ops.sum(f(f(x)))  # noqa: E731
    (plain, plan), (again, small) = (plan_of(keras.grad(twice(f)), x) for f in (chain, keras.remat(chain)))
    np.testing.assert_allclose(again, plain, rtol=1e-6)
    assert small.arena_bytes < 0.7 * plan.arena_bytes
    np.testing.assert_allclose(keras.grad(twice(keras.remat(chain)))(x), plain, rtol=1e-5)  # op by op, nothing changes
    np.testing.assert_array_equal(keras.remat(chain)(x), chain(x))


def test_second_derivatives():
    """d2/dx2 of sin(sin(x)), by hand."""
    x = np.linspace(-1, 1, 5, dtype="float32")
    f = keras.remat(lambda x: ops.sin(ops.sin(x)))
    second = keras.jit(keras.grad(lambda x: ops.sum(keras.grad(lambda z: ops.sum(f(z)))(x))))
    s, c = np.sin(x), np.cos(x)
    np.testing.assert_allclose(second(x), -np.sin(s) * c**2 - np.cos(s) * s, rtol=1e-5, atol=1e-6)


def test_random_numbers_are_drawn_again():
    seeds = keras.random.SeedGenerator(3)

    def noisy(x):
        return ops.sin(x) * keras.random.normal(x.shape, seed=seeds)

    x = np.linspace(-2, 2, 64, dtype="float32")
    start = np.array(seeds.state)
    results = []
    for f in (noisy, keras.remat(noisy)):
        seeds.state.assign(start)
        results.append((keras.jit(keras.grad(lambda x, f=f: ops.sum(f(x) ** 2)))(x), np.array(seeds.state)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert not np.array_equal(results[0][1], start)


def test_two_gradients_of_one_segment():
    f = keras.remat(chain)
    both = lambda x: keras.grad(lambda z: ops.sum(f(z)))(x) + keras.grad(lambda z: ops.sum(f(z) ** 2))(x)  # noqa: E731
    plain = lambda x: keras.grad(lambda z: ops.sum(chain(z)))(x) + keras.grad(lambda z: ops.sum(chain(z) ** 2))(x)  # noqa: E731
    x = np.linspace(-2, 2, 64, dtype="float32")
    np.testing.assert_allclose(keras.jit(both)(x), keras.jit(plain)(x), rtol=1e-6)


def test_wrong_uses():
    with pytest.raises(TypeError, match="expected a function or a layer"):
        keras.remat(3)
    with pytest.raises(TypeError, match="symbolic"):
        keras.remat(chain)(keras.Input((3,)))
    with pytest.raises(ValueError, match="Invalid mode 'all'"):
        keras.RematScope("all")


# ------------------------------------------------------------------------------------------------ scopes


def test_signatures_are_those_of_keras():
    for name in ("RematScope", "remat"):
        ours, theirs = (inspect.signature(getattr(m, name)).parameters for m in (keras, real))
        assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]


def arena_in(scope):
    """The memory of a step of a model of two blocks, made inside `scope`, in activations, and its losses."""
    keras.utils.set_random_seed(0)
    with scope:
        row = [Block(convs(4)) for _ in range(4)]
        for i, block in enumerate(row):
            block.name = f"block{i}"
        model = keras.Sequential([layers.Input((SIDE, SIDE, CHANNELS)), *row, layers.GlobalAveragePooling2D()])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(BATCH, SIDE, SIDE, CHANNELS)).astype("float32")
    y = np.zeros((BATCH, CHANNELS), "float32")
    losses = [model.train_on_batch(x, y) for _ in range(2)]
    return model._step("train_step").compiled((x, y))[0].executable.plan.arena_bytes / ONE, losses


def test_modes():
    full, losses = arena_in(keras.RematScope(None))
    blocks, again = arena_in(keras.RematScope("list_of_layers", layer_names=[f"block{i}" for i in range(4)]))
    assert full > 16 and blocks < 9  # four blocks' results, three convolutions inside, two gradients
    assert again == pytest.approx(losses, rel=1e-6)
    size = BATCH * SIDE * SIDE * CHANNELS
    assert arena_in(keras.RematScope("larger_than", output_size_threshold=size - 1))[0] == blocks
    assert arena_in(keras.RematScope("larger_than", output_size_threshold=size))[0] == full
    assert arena_in(keras.RematScope("list_of_layers"))[0] == full
    assert arena_in(keras.RematScope("full"))[0] < full


def test_the_innermost_scope_counts_and_ends():
    with keras.RematScope("larger_than", 5):
        with keras.RematScope(None):
            off = layers.ReLU()
        on = layers.ReLU()
    assert (off._remat_mode.mode, on._remat_mode[:2]) == (None, ("larger_than", 5))
    assert layers.ReLU()._remat_mode is None and current_mode() is None
    seen = []
    with keras.RematScope():
        thread = threading.Thread(target=lambda: seen.append(current_mode()))
        thread.start()
        thread.join()
    assert seen == [None]  # another thread's layers are its own


def test_only_the_activation():
    """What an activation computes inside is not kept: of each layer its product and its result stay."""

    def make(scope):
        with scope:
            row = [layers.Dense(256, activation=lambda x: ops.sin(ops.cos(ops.sin(ops.cos(x))))) for _ in range(6)]
        model = keras.Sequential([layers.Input((256,)), *row])
        model.compile("sgd", "mse")
        x = np.ones((512, 256), "float32")
        model._build_for((x, x))
        before = [layer.activation for layer in row]
        plan = model._step("train_step").compiled((x, x))[0].executable.plan
        assert [layer.activation for layer in row] == before
        return plan.arena_bytes

    assert make(keras.RematScope("activations")) < 0.75 * make(keras.RematScope(None))


# ------------------------------------------------------------------------------------------------ cutting


def nodes_of(model):
    return [n for n in model._nodes if not n.is_input]


def test_a_chain_is_cut_into_ever_shorter_segments():
    """15 = 5 + 4 + 3 + 2 + 1 layers of one size: five are there at a time."""
    image = x = keras.Input((4, 4, 2))
    for _ in range(15):
        x = layers.ReLU()(x)
    sizes = cutting._Sizes(nodes_of(keras.Model(image, x)))
    ends = cutting.best(sizes)
    assert cutting.peak(sizes, ends) <= 6 * 32
    assert cutting.peak(sizes, [5, 9, 12, 14, 15]) == 5 * 32
    assert cutting.peak(sizes, [15]) == 15 * 32


def test_cuts_keep_what_skips_over_them():
    image = keras.Input((4, 4, 2))
    x = first = layers.ReLU()(image)
    for _ in range(3):
        x = layers.ReLU()(x)
    sizes = cutting._Sizes(nodes_of(keras.Model(image, layers.Add()([x, first]))))
    assert sizes.kept([2]) == 2 * 32  # what the second layer made, and the first one's, which the sum needs
    assert sizes.kept([1, 2]) == 2 * 32
    assert cutting.peak(sizes, [2, 5]) == 2 * 32 + 3 * 32


def test_a_model_in_a_model_cuts_itself():
    def make():
        inner = functional(count=12)
        image = keras.Input((SIDE, SIDE, CHANNELS))
        return keras.Model(image, layers.Dense(10)(inner(image)))

    plain, again = trained(make, False), trained(make, True)
    assert again[2] < 0.6 * plain[2]
    np.testing.assert_allclose(again[0], plain[0], rtol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_small_graphs(count):
    image = x = keras.Input((4,))
    for _ in range(count):
        x = layers.ReLU()(x)
    model = keras.remat(keras.Model(image, x))
    grad = keras.jit(keras.grad(lambda v: ops.sum(model(v))))
    np.testing.assert_array_equal(grad(np.ones((2, 4), "float32")), np.ones((2, 4)))
