"""Plans: what is computed once, how memory is shared, and that a plan computes what its graph says."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate import engines
from striate.ir import Aval, Graph, verify
from striate.passes.pipeline import optimize
from striate.plan import Place, build
from striate.plan.memory import ALIGNMENT, Life, assign_offsets
from striate.plan.schedule import ordered
from striate.primitives.activations import relu
from striate.primitives.conv import conv
from striate.primitives.elementwise import add, exp, mul
from striate.primitives.matmul import matmul
from striate.primitives.structural import barrier, broadcast_to, reduce_sum, reshape, transpose
from striate.trace import Cache, Variable, trace

WINDOW = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 20), st.integers(0, 10)), max_size=30),
)
def test_buffers_that_live_at_one_time_never_share_memory(rows):
    lives = [Life(i, nbytes, first, first + length) for i, (nbytes, first, length) in enumerate(rows)]
    offsets, total = assign_offsets(lives)
    for a in lives:
        assert offsets[a.slot] % ALIGNMENT == 0
        assert offsets[a.slot] + a.nbytes <= total
        for b in lives:
            if a.slot < b.slot and a.first <= b.last and b.first <= a.last:
                ends_before = offsets[a.slot] + a.nbytes <= offsets[b.slot]
                assert ends_before or offsets[b.slot] + b.nbytes <= offsets[a.slot]


def test_buffers_that_follow_one_another_share_memory():
    lives = [Life(i, 1000, i, i + 1) for i in range(10)]
    _, total = assign_offsets(lives)
    assert total == 2 * 1024


def plan_of(fn, *shapes, stable=frozenset()):
    graph = trace(fn, [Aval(s, "float32") for s in shapes]).graph
    return build(optimize(graph, stable), stable)


def test_packing_weights_is_done_once():
    plan = plan_of(lambda x, w: conv(x, w, **WINDOW), (1, 6, 6, 3), (3, 3, 3, 9), stable=frozenset({1}))
    assert [s.kernel for s in plan.once] == ["conv_pack"]
    assert [s.kernel for s in plan.steps] == ["conv_direct"]


def test_a_reshape_takes_no_step():
    plan = plan_of(lambda x, w: reshape(conv(x, w, **WINDOW), shape=(1, 144)), (1, 4, 4, 3), (3, 3, 3, 9))
    assert [s.kernel for s in plan.steps] == ["conv_pack", "conv_direct"]
    assert plan.outputs[0].shape == (1, 144)
    assert plan.buffers[plan.outputs[0].slot].place is Place.OUTPUT


@pytest.mark.parametrize("rows", [1, 3, 60])
def test_a_product_reads_a_transposed_matrix_as_it_is(rows):
    turn = {"axes": (1, 0)}
    alone = plan_of(lambda x, w: matmul(x, transpose(w, **turn)), (rows, 40), (70, 40))
    assert [s.kernel for s in alone.steps] == ["matmul"]

    def several(x, w):
        turned = transpose(w, **turn)
        return add(matmul(x, turned), 1.0), mul(turned, 2.0), turned, matmul(turned, w)

    graph = trace(several, [Aval((rows, 40), "float32"), Aval((70, 40), "float32")]).graph
    steps = [s.kernel for s in build(optimize(graph, frozenset()), frozenset()).steps]
    assert steps.count("transpose") == 1, steps
    x, w = (np.random.default_rng(0).standard_normal(s, dtype=np.float32) for s in ((rows, 40), (70, 40)))
    wanted = (x @ w.T + 1, 2 * w.T, w.T, w.T @ w)
    for found, expected in zip(engines.get("native").compile(graph)([x, w]), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x,
        lambda x: (x, x),
        lambda x: reshape(x, shape=(12,)),
        lambda x: (add(x, x), add(x, x)),
        lambda x: (np.ones((2, 2), "float32"), x),
        lambda x: (relu(x), reshape(relu(x), shape=(12,))),
        lambda x: transpose(x, axes=(1, 0)),
    ],
)
def test_results_are_the_callers_own(fn):
    x = np.arange(12, dtype="float32").reshape(3, 4) - 5
    results = Cache().get((), fn, [x])([x])
    results = list(results) if isinstance(results, tuple) else [results]
    with engines.use("reference"):
        wanted = Cache().get((), fn, [x])([x])
    wanted = list(wanted) if isinstance(wanted, tuple) else [wanted]
    for i, (found, truth) in enumerate(zip(results, wanted, strict=True)):
        np.testing.assert_array_equal(found, truth)
        assert found.flags.writeable
        assert not np.shares_memory(found, x)
        for other in results[i + 1 :]:
            assert not np.shares_memory(found, other)


def test_a_changed_variable_is_noticed():
    w = Variable(np.ones((1, 1, 2, 2), "float32"), name="w")
    x = np.ones((1, 3, 3, 2), "float32")
    cache = Cache()

    def fn(x):
        return conv(x, w.value, strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)

    assert cache.get((), fn, [x])([x])[0, 0, 0, 0] == 2
    w.assign(np.full((1, 1, 2, 2), 3.0, "float32"))
    assert cache.get((), fn, [x])([x])[0, 0, 0, 0] == 6


def test_an_assigned_variable_changes_after_the_run():
    total = Variable(np.zeros((2,), "float32"), name="total")
    x = np.array([1.0, 2.0], "float32")

    def fn(x):
        total.assign(add(total.value, x))
        return mul(total.value, np.float32(10))

    compiled = Cache().get((), fn, [x])
    assert total.numpy().tolist() == [0, 0]  # tracing assigns nothing
    np.testing.assert_array_equal(compiled([x]), [10, 20])
    np.testing.assert_array_equal(compiled([x]), [20, 40])
    np.testing.assert_array_equal(total.numpy(), [2, 4])


def test_one_plan_serves_several_threads():
    w = Variable(np.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype("float32"), name="w")

    def fn(x):
        return exp(mul(conv(x, w.value, **WINDOW), np.float32(0.01)))

    arrays = [np.full((1, 16, 16, 3), i, "float32") for i in range(8)]
    compiled = Cache().get((), fn, arrays[:1])
    wanted = [compiled([a]) for a in arrays]
    found: dict[int, list[np.ndarray]] = {i: [] for i in range(len(arrays))}

    def work(i: int) -> None:
        for _ in range(20):
            found[i].append(compiled([arrays[i]]))

    threads = [threading.Thread(target=work, args=(i,)) for i in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, results in found.items():
        assert len(results) == 20
        for result in results:
            np.testing.assert_array_equal(result, wanted[i])


@pytest.mark.parametrize(
    "array", [np.ones((4, 3))[:, ::-1], np.asfortranarray(np.ones((4, 3), "float32")), np.ones((4, 3), ">f4")]
)
def test_inputs_of_any_layout(array):
    fn = Cache().get((), lambda x: mul(x, np.float32(2)), [np.ones((4, 3), "float32")])
    np.testing.assert_array_equal(fn([array]), np.full((4, 3), 2.0))


class TestTheOrder:
    """Nodes run in the order of the program, but what frees as much memory as it takes comes early."""

    @staticmethod
    def ops(fn, *shapes):
        graph = trace(fn, [Aval(s, "float32") for s in shapes]).graph
        return graph, [(n.op, n.outputs[0].shape) for n in ordered(graph, frozenset())]

    def test_an_update_follows_its_gradient(self):
        """Both gradients are made before both updates; the first one need not wait."""

        def step(x, w, v):
            dw, dv = mul(exp(x), w), mul(exp(add(x, x)), v)
            return add(w, dw), add(v, dv)

        _, found = self.ops(step, (64,), (64,), (64,))
        assert [op for op, _ in found] == ["exp", "mul", "add", "add", "exp", "mul", "add"]
        arena = plan_of(step, (64,), (64,), (64,)).arena_bytes
        assert arena <= 3 * 256

    def test_what_needs_more_memory_stays_behind(self):
        graph, found = self.ops(lambda x, y: add(exp(broadcast_to(exp(x), shape=(9, 8))), exp(y)), (8,), (9, 8))
        assert [n.op for n in graph.nodes] == [op for op, _ in found]

    def test_a_barrier_stays_where_it_is(self):
        def fn(x, y):
            a = exp(x)
            return add(relu(barrier(a, number=0)), exp(y)), a

        graph = trace(fn, [Aval((8,), "float32")] * 2).graph
        assert [n.op for n in ordered(graph, frozenset())] == ["exp", "barrier", "relu", "exp", "add"]

    @given(st.data())
    def test_every_order_is_one(self, data):
        """Each node once, after what it needs."""
        graph = trace(lambda x: _drawn(data, x), [Aval((4, 4), "float32")]).graph
        order = ordered(graph, frozenset())
        assert {id(n) for n in order} == {id(n) for n in graph.nodes} and len(order) == len(graph.nodes)
        verify(Graph(graph.inputs, order, graph.outputs))


def _drawn(data, x):
    values = [x]
    for _ in range(data.draw(st.integers(1, 12))):
        pick = [values[data.draw(st.integers(0, len(values) - 1))] for _ in range(2)]
        kind = data.draw(st.sampled_from(["add", "exp", "reshape", "sum"]))
        made = {
            "add": lambda a, b: add(a, b),
            "exp": lambda a, b: exp(a),
            "reshape": lambda a, b: reshape(reshape(a, shape=(16,)), shape=(4, 4)),
            "sum": lambda a, b: mul(reduce_sum(a, axes=(0,), keepdims=True), b),
        }[kind](*pick)
        values.append(made)
    return values[-1], values[data.draw(st.integers(0, len(values) - 1))]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 5)), max_size=12))
def test_each_buffer_lies_in_the_lowest_gap(rows):
    """Against a search of every offset, largest buffers first."""
    lives = [Life(i, n * ALIGNMENT, first, first + length) for i, (n, first, length) in enumerate(rows)]
    found, total = assign_offsets(lives)
    taken: dict[int, set[int]] = {}  # by step, the units that are occupied
    for life in sorted(lives, key=lambda item: (-item.nbytes, item.first)):
        units, steps = life.nbytes // ALIGNMENT, range(life.first, life.last + 1)
        free = (u for u in range(999) if all(u + i not in taken.get(s, ()) for s in steps for i in range(units)))
        lowest = next(free)
        assert found[life.slot] == lowest * ALIGNMENT
        for s in steps:
            taken.setdefault(s, set()).update(range(lowest, lowest + units))
    assert total == ALIGNMENT * max((u + 1 for units in taken.values() for u in units), default=0)
