"""`grad`, `value_and_grad` and `jit`: against finite differences, closed forms, and themselves compiled."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate import layers, ops


def central(f: Any, x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """The gradient of `f` at `x` by central differences, in float64."""
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        g[i] = (float(f(up)) - float(f(down))) / (2 * h)
    return g


def bumpy(x: Any) -> Any:
    return ops.sum(ops.sin(x) * x) + ops.prod(ops.tanh(x))


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**16))
def test_gradient_is_that_of_finite_differences(rows: int, columns: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(rows, columns))
    with striate.engines.use("float64"):
        value, found = striate.value_and_grad(bumpy)(x)
        np.testing.assert_allclose(found, central(bumpy, x), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(value, np.sum(np.sin(x) * x) + np.prod(np.tanh(x)), rtol=1e-12)
        twice = striate.grad(lambda v: ops.sum(striate.grad(bumpy)(v) ** 2))
        np.testing.assert_allclose(
            twice(x), central(lambda v: np.sum(striate.grad(bumpy)(v) ** 2), x), rtol=1e-5, atol=1e-6
        )


def test_arguments_by_number_and_nests() -> None:
    a, b = np.array([1.0, 2.0], "float32"), {"w": np.array([3.0, 4.0], "float32"), "c": np.float32(2.0)}

    def f(x: Any, p: Any) -> Any:
        return p["c"] * ops.sum(x * p["w"])

    np.testing.assert_allclose(striate.grad(f)(a, b), [6, 8])
    by_b = striate.grad(f, argnums=1)(a, b)
    np.testing.assert_allclose(by_b["w"], [2, 4])
    np.testing.assert_allclose(by_b["c"], 11)
    both = striate.grad(f, argnums=(1, 0))(a, b)
    assert isinstance(both, tuple) and set(both[0]) == {"w", "c"}
    np.testing.assert_allclose(striate.grad(f, argnums=-2)(a, b), [6, 8])


def test_the_argument_alone_counts_not_the_same_array_in_the_closure() -> None:
    x = np.array([2.0, 3.0], "float32")
    np.testing.assert_allclose(striate.grad(lambda v: ops.sum(v * x))(x), x)
    inner = striate.jit(lambda u: striate.grad(lambda v: ops.sum(v * u))(u))
    np.testing.assert_allclose(inner(x), x)


def test_variables_and_both() -> None:
    w = striate.Variable(np.array([2.0, 5.0], "float32"))
    f = lambda x: ops.sum(w * x * x)  # noqa: E731
    x = np.array([1.0, 3.0], "float32")
    value, (gw,) = striate.value_and_grad(f, variables=[w])(x)
    np.testing.assert_allclose(value, 47)
    np.testing.assert_allclose(gw, [1, 9])
    _, (gx, by_name) = striate.value_and_grad(f, argnums=0, variables={"w": w})(x)
    np.testing.assert_allclose(gx, [4, 30])
    np.testing.assert_allclose(by_name["w"], [1, 9])


def test_what_does_not_matter_gets_zeros_that_can_be_written_to() -> None:
    w = striate.Variable(np.ones((2, 3), "float32"))
    (g,) = striate.grad(lambda x: ops.sum(x), variables=[w])(np.ones(2, "float32"))
    g += 1
    np.testing.assert_array_equal(g, np.ones((2, 3)))


def test_aux_stop_gradient_and_custom_gradient() -> None:
    x = np.array([1.0, 2.0], "float32")
    (value, aux), g = striate.value_and_grad(lambda v: (ops.sum(v * ops.stop_gradient(v)), v + 1), has_aux=True)(x)
    assert isinstance(aux, np.ndarray)
    np.testing.assert_allclose(value, 5)
    np.testing.assert_allclose(g, x)
    assert striate.grad(lambda v: (ops.sum(v), "kept"), has_aux=True)(x)[1] == "kept"

    @ops.custom_gradient
    def twice_as_steep(v: Any) -> Any:
        return v * v, lambda upstream: upstream * 4 * v

    np.testing.assert_allclose(striate.grad(lambda v: ops.sum(twice_as_steep(v)))(x), 4 * x)
    np.testing.assert_allclose(striate.jit(striate.grad(lambda v: ops.sum(twice_as_steep(v))))(x), 4 * x)


def test_code_may_branch_on_values_print_and_use_numpy(capsys: Any) -> None:
    def f(x: Any) -> Any:
        y = ops.sum(x * x)
        print(f"{y:.1f}", float(y), np.asarray(y).dtype)
        return y if y > 4 else -y

    np.testing.assert_allclose(striate.grad(f)(np.array([1.0], "float32")), [-2])
    np.testing.assert_allclose(striate.grad(f)(np.array([3.0], "float32")), [6])
    assert capsys.readouterr().out == "1.0 1.0 float32\n9.0 9.0 float32\n"
    with pytest.raises(TypeError, match="has no value while a function is traced"):
        striate.jit(striate.grad(f))(np.array([3.0], "float32"))


def small() -> Any:
    return striate.Sequential(
        [
            layers.Input((6, 6, 2)), layers.Conv2D(3, 3, activation="relu"), layers.BatchNormalization(),
            layers.MaxPooling2D(), layers.Flatten(), layers.Dense(4),
        ]
    )  # fmt: skip


def test_a_model_eager_and_compiled_alike_with_its_statistics() -> None:
    striate.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 2)).astype("float32")
    one = small()
    two = striate.models.clone_model(one)
    two.set_weights(one.get_weights())

    def of(model: Any) -> Any:
        return striate.value_and_grad(
            lambda v: ops.mean(model(v, training=True) ** 2), variables=model.trainable_variables
        )

    eager, compiled = of(one), striate.jit(of(two))
    for _ in range(2):
        (a, ga), (b, gb) = eager(x), compiled(x)
        np.testing.assert_allclose(a, b, rtol=1e-6)
        for p, q in zip(ga, gb, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-6)
    moved = one.layers[1].moving_mean.numpy()
    assert np.abs(moved).max() > 0
    np.testing.assert_allclose(moved, two.layers[1].moving_mean.numpy(), rtol=1e-5, atol=1e-7)


def test_the_gradient_of_a_model_is_that_of_real_keras(real_keras: Any) -> None:
    import jax

    ours = small()
    theirs = real_keras.Sequential(
        [
            real_keras.layers.Input((6, 6, 2)), real_keras.layers.Conv2D(3, 3, activation="relu"),
            real_keras.layers.BatchNormalization(), real_keras.layers.MaxPooling2D(), real_keras.layers.Flatten(),
            real_keras.layers.Dense(4),
        ]
    )  # fmt: skip
    theirs.set_weights(ours.get_weights())
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 2)).astype("float32")
    state = [v.value for v in theirs.non_trainable_variables]

    def loss(trainable: Any) -> Any:
        y, _ = theirs.stateless_call(trainable, state, x, training=True)
        return (y**2).mean()

    expected = jax.grad(loss)([v.value for v in theirs.trainable_variables])
    found = striate.grad(lambda: ops.mean(ours(x, training=True) ** 2), variables=ours.trainable_variables)()
    for g, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=2e-4, atol=2e-6)


def test_jit_keeps_plans_by_shape_and_static_values_and_assigns_variables() -> None:
    calls = []
    count = striate.Variable(np.zeros((), "float32"))

    @striate.jit
    def f(x: Any, n: int, nest: Any = None) -> Any:
        calls.append(x.shape)
        count.assign_add(1.0)
        return {"y": x * n, "z": None if nest is None else nest["a"] + 1}

    x = np.ones(3, "float32")
    for _ in range(3):
        np.testing.assert_allclose(f(x, 2)["y"], [2, 2, 2])
    np.testing.assert_allclose(f(x, 3)["y"], [3, 3, 3])
    assert f(x, 3)["z"] is None
    np.testing.assert_allclose(f(np.ones((2, 2), "float32"), 2, nest={"a": x})["z"], [2, 2, 2])
    assert calls == [(3,), (3,), (2, 2)]
    assert float(count.numpy()) == 6


def test_jit_as_a_method_and_inside_itself() -> None:
    class Scaler:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        @striate.jit
        def scale(self, x: Any) -> Any:
            return x * self.factor

    two, three = Scaler(2.0), Scaler(3.0)
    x = np.ones(2, "float32")
    np.testing.assert_allclose(two.scale(x), [2, 2])
    np.testing.assert_allclose(three.scale(x), [3, 3])
    outer = striate.jit(lambda v: two.scale(v) + three.scale(v))
    np.testing.assert_allclose(outer(x), [5, 5])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: striate.grad(lambda x: x)(np.ones(3, "float32")), ValueError, "shape \\(3,\\)"),
        (lambda: striate.grad(lambda x: ops.sum(x))(np.ones(3, "int32")), TypeError, "dtype int32"),
        (lambda: striate.grad(lambda x: ops.argmax(x))(np.ones(3, "float32")), TypeError, "float tensor"),
        (lambda: striate.grad(lambda x: ops.sum(x), argnums=2)(np.ones(3)), ValueError, "argnums=2"),
        (lambda: striate.grad(lambda x: ops.sum(x), argnums="x"), TypeError, "argnums"),
        (lambda: striate.grad(lambda x: ops.sum(x), variables=[np.ones(2)]), TypeError, "Variables"),
        (lambda: striate.grad(lambda x: ops.sum(x), has_aux=True)(np.ones(2, "float32")), TypeError, "pair"),
        (lambda: striate.jit(lambda x: x)(striate.Input((3,))), TypeError, "no value"),
    ],
)
def test_wrong_uses(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_an_error_leaves_variables_as_they_were() -> None:
    v = striate.Variable(np.zeros(2, "float32"))

    def f(x: Any) -> Any:
        v.assign(x)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="middle"):
        striate.grad(f)(np.ones(2, "float32"))
    np.testing.assert_array_equal(v.numpy(), [0, 0])
    with pytest.raises(RuntimeError, match="used outside the function"):
        kept: list[Any] = []
        striate.grad(lambda x: kept.append(x) or ops.sum(x))(np.ones(2, "float32"))
        ops.add(kept[0], 1)


def test_what_a_step_replaces_is_used_again_unless_somebody_holds_it() -> None:
    w = striate.Variable(np.zeros(20_000, "float32"))

    @striate.jit
    def step(x: Any) -> None:
        w.assign_add(x)

    one = np.ones(20_000, "float32")
    places = set()
    for _ in range(6):
        step(one)
        places.add(w.value.__array_interface__["data"][0])
    assert len(places) <= 3
    held, part, memory = w.value, w.value[3:5], memoryview(w.value)
    for _ in range(3):
        step(one)
    assert held[0] == part[0] == memory[0] == 6
    assert w.value[0] == 9 and not w.value.flags.writeable
    part_only, w_before = w.value[7:], w.value[7]
    for _ in range(3):
        step(one)
    assert part_only[0] == w_before and w.value[0] == 12
    other = copy.deepcopy(w)
    assert "spare" in vars(w) and "spare" not in vars(other) and "spare" not in pickle.loads(pickle.dumps(w)).__dict__
