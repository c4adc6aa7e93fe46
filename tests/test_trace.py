"""Variables, symbolic tensors, tracing and compiled functions."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import striate
from striate import engines, ops
from striate.ir import Aval
from striate.trace import Cache, NoValueError, Variable, auto_name, infer_spec, name_scope, to_snake_case, trace
from striate.trace.compiled import CompiledFunction


def compiled(fn: Any, *arrays: np.ndarray) -> CompiledFunction:
    return CompiledFunction(trace(fn, [Aval(a.shape, str(a.dtype)) for a in arrays]), engines.get("reference"))


class TestVariables:
    def test_value(self) -> None:
        v = Variable([[1.0, 2.0]], name="v")
        assert (v.shape, v.dtype, v.ndim, v.name, v.path) == ((1, 2), "float32", 2, "v", "v")
        assert np.asarray(v).tolist() == v.numpy().tolist() == [[1, 2]]
        assert np.from_dlpack(v).tolist() == [[1, 2]]

    def test_what_it_hands_out_is_read_only(self) -> None:
        v = Variable(np.ones(3))
        with pytest.raises(ValueError, match="read-only"):
            v.value[0] = 2
        assert v.numpy().tolist() == [1, 1, 1]

    def test_it_keeps_no_foreign_array(self) -> None:
        source = np.ones(3)
        v = Variable(source)
        source[:] = 7
        assert v.numpy().tolist() == [1, 1, 1]
        v.assign(source)
        source[:] = 9
        assert v.numpy().tolist() == [7, 7, 7]

    def test_assigning(self) -> None:
        v = Variable(np.ones((2, 2)), dtype="float32")
        before = v.version
        v.assign_add(np.ones((2, 2)))
        v.assign_sub(np.full((2, 2), 0.5))
        assert v.numpy().tolist() == [[1.5, 1.5]] * 2 and v.dtype == "float32" and v.version > before
        with pytest.raises(ValueError, match="must match"):
            v.assign(np.ones(2))

    def test_operators(self, real_keras: Any) -> None:
        for keras in (striate, real_keras):
            v = keras.Variable([1.0, -2.0])
            found = [
                v + 1,
                1 - v,
                v * v,
                v / 2,
                2 / v,
                v**2,
                -v,
                abs(v),
                v > 0,
                v[0],
                v @ np.ones(2, "float32"),
                np.ones(2) * v,
            ]
            expected = [
                [2, -1],
                [0, 3],
                [1, 4],
                [0.5, -1],
                [2, -1],
                [1, 4],
                [-1, 2],
                [1, 2],
                [True, False],
                1,
                -1,
                [1, -2],
            ]
            for x, y in zip(found, expected, strict=True):
                np.testing.assert_allclose(np.asarray(x), y)

    def test_initializers(self) -> None:
        assert Variable("ones" and (lambda shape, dtype: np.ones(shape, dtype)), shape=(2,)).numpy().tolist() == [1, 1]
        with pytest.raises(ValueError, match="shape"):
            Variable(lambda shape, dtype: np.ones(shape, dtype))
        with pytest.raises(ValueError, match="fully-defined"):
            Variable(lambda shape, dtype: np.ones(shape, dtype), shape=(None, 2))

    def test_paths(self) -> None:
        with name_scope("a"), name_scope("b"):
            assert Variable(0.0, name="v").path == "a/b/v"
        with pytest.raises(ValueError, match="/"):
            Variable(0.0, name="a/b")

    def test_repr_as_keras_prints_it(self, real_keras: Any) -> None:
        for value in (1.5, [1, 2], np.ones((2, 2), "float32"), np.arange(5000.0, dtype="float32")):
            assert repr(striate.Variable(value, name="n")) == repr(real_keras.Variable(value, name="n"))


class TestSymbols:
    def test_repr_as_keras_prints_it(self, real_keras: Any) -> None:
        for arguments in ({"shape": (None, 2)}, {"shape": (3,), "dtype": "int32"}):
            ours, theirs = (k.KerasTensor(**arguments, name="t") for k in (striate, real_keras))
            assert repr(ours) == repr(theirs)

    def test_it_has_no_value(self) -> None:
        x = striate.KerasTensor((None, 2))
        for use in (np.asarray, float, int, lambda t: [0][t]):
            with pytest.raises(ValueError, match="symbolic"):
                use(x)
        for use in (bool, len):
            with pytest.raises(TypeError, match="symbolic"):
                use(x)
        with pytest.raises(NotImplementedError, match="unstack"):
            iter(x)
        with pytest.raises(AttributeError, match="immutable"):
            x.shape = (1,)

    def test_operators_as_in_keras(self, real_keras: Any) -> None:
        def shapes(keras: Any) -> Any:
            x, y = keras.Input((4, 3)), keras.Input((1, 3), dtype="int32")
            found = [
                x + 1,
                1 - x,
                x * y,
                x / y,
                y / 2,
                y // 2,
                x % 2,
                x**2,
                -x,
                abs(x),
                x > y,
                x[:, 0],
                x[..., 1:],
            ]
            found += [x @ keras.ops.transpose(x, (0, 2, 1)), x[:, ::2, None], ~(x > 0), (x > 0) & (x < 1)]
            return [(t.shape, t.dtype) for t in found]

        assert shapes(striate) == shapes(real_keras)

    def test_equality_is_identity(self, real_keras: Any) -> None:
        for keras in (striate, real_keras):
            x, y = keras.Input((2,)), keras.Input((2,))
            assert (x == x) is True and (x == y) is False and x in [y, x] and x not in [y] and len({x, y}) == 2

    @pytest.mark.parametrize("shape", [(1, -2), ("a",), 3, (1.5,), (True,)])
    def test_wrong_shapes(self, shape: Any) -> None:
        with pytest.raises(ValueError, match="shape"):
            striate.KerasTensor(shape)

    def test_inferred_shapes(self) -> None:
        def fn(x: Any) -> Any:
            return {"rows": ops.sum(x, axis=1), "flat": ops.reshape(x, (-1, 6)), "known": ops.ones((2, 3))}

        found = infer_spec(fn, striate.KerasTensor((None, 2, 3)))
        assert {k: v.shape for k, v in found.items()} == {"rows": (None, 3), "flat": (None, 6), "known": (2, 3)}

    def test_names(self) -> None:
        for name, snake in (
            ("Conv2DTranspose", "conv2d_transpose"),
            ("ReLU", "re_lu"),
            ("GlobalMaxPooling1D", "global_max_pooling1d"),
        ):
            assert to_snake_case(name) == snake
        striate.backend.clear_session()
        assert [auto_name("X") for _ in range(3)] == ["x", "x_1", "x_2"]


class TestTracing:
    def test_a_variable_read_is_an_input(self) -> None:
        v = Variable(np.full(2, 3.0, "float32"))
        run = compiled(lambda x: x * v, np.ones(2, "float32"))
        assert run([np.ones(2, "float32")]).tolist() == [3, 3]
        v.assign([5.0, 5.0])
        assert run([np.ones(2, "float32")]).tolist() == [5, 5]

    def test_an_assignment_is_an_output(self) -> None:
        v = Variable(np.zeros((), "float32"))

        def fn(x: Any) -> Any:
            v.assign_add(ops.sum(x))
            v.assign(v * 2)
            return v + 1

        x = np.ones(3, "float32")
        run = compiled(fn, x)
        assert float(v) == 0  # tracing itself changes nothing
        assert float(run([x])) == 7 and float(v) == 6
        assert float(run([x])) == 19 and float(v) == 18

    def test_a_failure_leaves_all_variables(self) -> None:
        v = Variable(np.zeros(2, "float32"))

        def fn(x: Any) -> Any:
            v.assign(x)
            return x

        run = compiled(fn, np.ones(2, "float32"))
        run.executable = _Failing()
        with pytest.raises(KeyboardInterrupt):
            run([np.ones(2, "float32")])
        assert v.numpy().tolist() == [0, 0]

    def test_structures(self) -> None:
        run = compiled(lambda x: {"a": [x, None], "b": (x + 1, 2.0)}, np.ones(1, "float32"))
        found = run([np.zeros(1, "float32")])
        assert found["a"][1] is None and found["b"][0].tolist() == [1] and float(found["b"][1]) == 2

    @pytest.mark.parametrize("use", [bool, float, int, np.asarray, lambda t: [0, 1][t], lambda t: 1 if t > 0 else 2])
    def test_values_that_are_not_there(self, use: Any) -> None:
        with pytest.raises(NoValueError, match="no value"):
            trace(use, [Aval((), "float32")])

    def test_a_symbol_that_escapes(self) -> None:
        kept: list[Any] = []
        trace(kept.append, [Aval((), "float32")])
        with pytest.raises(RuntimeError, match="after the function"):
            trace(lambda x: x + kept[0], [Aval((), "float32")])

    def test_variables_made_while_tracing_have_values(self) -> None:
        made: list[Variable] = []

        def fn(x: Any) -> Any:
            if not made:
                made.append(Variable(striate.initializers.get("ones"), shape=(2,)))
            return x + made[0]

        run = compiled(fn, np.zeros(2, "float32"))
        assert made[0].numpy().tolist() == [1, 1] and run([np.zeros(2, "float32")]).tolist() == [1, 1]


class _Failing:
    def __call__(self, inputs: Any, versions: Any = None) -> Any:
        raise KeyboardInterrupt


class TestCache:
    def test_one_plan_per_signature(self) -> None:
        traced: list[Any] = []

        def fn(x: Any) -> Any:
            traced.append((x.shape, x.dtype))
            return x

        cache = Cache(limit=2)
        with engines.use("reference"):
            for array in (np.ones(2), np.ones(2), np.ones(3), np.ones(2, "int32"), np.ones(2)):
                cache.get("key", fn, [array])
            cache.get("other", fn, [np.ones(2)])
        assert [t[1] for t in traced] == ["float64", "float64", "int32", "float64", "float64"]
        assert len(cache._entries) == 2

    def test_the_budget(self) -> None:
        class Heavy:
            nbytes = 600

        cache = Cache(limit=10, budget=1000)
        with engines.use("reference"):
            for n in range(1, 5):
                cache.get(n, lambda x: x, [np.ones(2)]).executable = Heavy()
        assert len(cache._entries) == 2  # the last one, whose weight is known only after it has run, and one before
        assert cache.nbytes <= 1200

    def test_another_engine_is_another_plan(self) -> None:
        cache = Cache()
        found = []
        for name in ("reference", "float64"):
            with engines.use(name):
                found.append(cache.get(0, lambda x: x, [np.ones(2, "float32")]))
        assert found[0] is not found[1]


@pytest.mark.parametrize("before", [True, False])
def test_garbage_is_not_looked_for_while_tracing(before: bool) -> None:
    """And is again afterwards, if it was before, also where the function fails."""
    seen = []

    def fn(x: Any, fail: bool = False) -> Any:
        seen.append(gc.isenabled())
        if fail:
            raise ValueError("no")
        return x + 1

    (gc.enable if before else gc.disable)()
    try:
        function = striate.jit(fn)
        function(np.ones(3, np.float32))
        with pytest.raises(ValueError, match="no"):
            function(np.ones(3, np.float32), fail=True)
        assert gc.isenabled() is before
    finally:
        gc.enable()
    assert seen == [False, False]
