"""Random models and graphs against the float64 engine, hostile inputs, threads, forks, interrupts, memory."""

from __future__ import annotations

import gc
import multiprocessing
import resource
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import striate as keras
from random_graphs import random_graph
from random_models import random_model
from striate import autodiff, config, engines, kernels, layers, ops
from striate.core import tree
from striate.ir import Graph
from striate.trace import Cache
from striate.trace import variable as variables
from striate.trace.variable import Variable

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True)
def checked_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_VERIFY", "1")


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = config.num_threads()
    yield
    config.set_num_threads(before)


def assert_close(found: np.ndarray, wanted: np.ndarray, tolerance: float = 2e-5) -> None:
    """Within `tolerance` of the largest value, or of 1 where all are smaller."""
    assert found.shape == wanted.shape
    if not wanted.size or not np.isfinite(wanted).all():
        return
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(1.0, float(np.abs(wanted).max())))


def at_thread_counts(run: Any) -> list[np.ndarray]:
    """The result of `run`, which must be the same bits with 1, 2 and 3 threads."""
    results = []
    for n in (1, 2, 3):
        config.set_num_threads(n)
        results.append(tree.flatten(run()))
    for other in results[1:]:
        assert [a.tobytes() for a in results[0]] == [a.tobytes() for a in other]
    return results[0]


@settings(max_examples=100)
@given(seed=SEEDS)
def test_random_models(isa: str, seed: int) -> None:
    model, x = random_model(seed)
    with engines.use("float64"):
        wanted = tree.flatten(model(x))
    for found, truth in zip(at_thread_counts(lambda: model(x)), wanted, strict=True):
        assert_close(found, truth)


def on_both(graph: Graph, arrays: list[np.ndarray], stable: frozenset[int]) -> list[np.ndarray]:
    """The float64 engine's outputs, after comparing the native one's with them."""
    wanted = engines.get("float64").compile(graph)(arrays)
    compiled = engines.get("native").compile(graph, stable)
    own = tuple(Variable(0.0).version for _ in stable)
    for versions in (None, own, own):
        for found, truth in zip(at_thread_counts(lambda v=versions: compiled(arrays, v)), wanted, strict=True):
            assert_close(found, truth)
    return wanted


@settings(max_examples=150)
@given(seed=SEEDS, weights=st.sets(st.integers(0, 12)))
def test_random_graphs(isa: str, seed: int, weights: set[int]) -> None:
    graph, arrays = random_graph(seed)
    on_both(graph, arrays, frozenset(i for i in weights if i < len(arrays)))


@settings(max_examples=70)
@given(seed=SEEDS)
def test_gradients_of_random_graphs(isa: str, seed: int) -> None:
    graph, arrays = random_graph(seed, smooth=True)
    rng = np.random.default_rng(seed)
    cotangents = [rng.standard_normal(v.shape).astype("float32") for v in graph.outputs]
    backward = autodiff.vjp(graph, range(len(arrays)))
    gradients = on_both(backward, [*arrays, *cotangents], frozenset())
    directions = [rng.standard_normal(a.shape) for a in arrays]
    expected = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    found = slope(graph, arrays, directions, cotangents)
    assert abs(found - expected) <= 1e-4 * max(1.0, abs(expected))


def slope(graph: Graph, arrays: list[np.ndarray], directions: list[np.ndarray], cotangents: list[np.ndarray]) -> float:
    """The derivative of sum(outputs * cotangents) along `directions`, by central differences in float64."""
    run = engines.get("float64").compile(graph)

    def value(step: float) -> float:
        moved = [a + step * d for a, d in zip(arrays, directions, strict=True)]
        return sum(float((y * c).sum()) for y, c in zip(run(moved), cotangents, strict=True))

    return (value(1e-6) - value(-1e-6)) / 2e-6


# --- hostile inputs ---------------------------------------------------------------------------------------------------


def small_net() -> Any:
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu"), layers.DepthwiseConv2D(2),
         layers.MaxPooling2D(), layers.Flatten(), layers.Dense(5)]
    )  # fmt: skip


def misaligned(x: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)


def overlapping(x: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(x.ravel(), x.shape, (4, 8, 4, 4))


def read_only(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


UNUSUAL: dict[str, Any] = {
    "reversed": lambda x: x[:, ::-1, :, ::-1],
    "fortran": np.asfortranarray,
    "read-only": read_only,
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "misaligned": misaligned,
    "overlapping": overlapping,
    "broadcast": lambda x: np.broadcast_to(x[:1, :1, :1, :1], x.shape),
    "float16": lambda x: x.astype("float16"),
    "float64": lambda x: x.astype("float64"),
    "int8": lambda x: (9 * x).astype("int8"),
    "uint64": lambda x: np.abs(9 * x).astype("uint64"),
    "bool": lambda x: x > 0,
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_arrays_in_unusual_forms(name: str) -> None:
    model = small_net()
    x = UNUSUAL[name](np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype("float32"))
    wanted = model(np.ascontiguousarray(x).astype("float32"))
    before = x.tobytes()
    for found in (model(x), model.predict(x, verbose=0)):
        np.testing.assert_array_equal(found, wanted)
    kernel = np.ones((3, 3, 3, 2), x.dtype)
    np.testing.assert_allclose(ops.conv(x, kernel)[0, 0, 0, 0], x[0, :3, :3].astype("float64").sum(), rtol=1e-2)
    assert x.tobytes() == before


def test_more_axes_than_kernels_know() -> None:
    x = np.random.default_rng(0).standard_normal((2,) * 10).astype("float32")
    np.testing.assert_allclose(ops.tanh(np.repeat(x, 8, 0)), np.tanh(np.repeat(x, 8, 0)), rtol=1e-5)
    np.testing.assert_allclose(ops.sum(np.repeat(x, 8, 0), axis=3), np.repeat(x, 8, 0).sum(3), rtol=1e-5, atol=1e-5)
    model = keras.Sequential([keras.Input((2,) * 9), layers.Activation("tanh"), layers.Softmax(), layers.Flatten()])
    grown = np.exp(np.tanh(x))
    np.testing.assert_allclose(model(x), (grown / grown.sum(-1, keepdims=True)).reshape(2, -1), rtol=1e-5)


def test_padding_a_scalar() -> None:
    model = keras.Sequential([keras.Input(()), layers.Lambda(lambda x: ops.pad(ops.sum(x), []))])
    np.testing.assert_array_equal(model.predict(np.ones(3, "float32"), verbose=0), np.float32(3))


@pytest.mark.parametrize(
    "work",
    [
        lambda x: ops.pad(x, [(0, 10**9), (0, 10**9), (0, 10**9), (0, 0)]),
        lambda x: ops.image.resize(x, (2**31, 2**31)),
        lambda x: ops.conv_transpose(x, np.ones((3, 3, 4, 3), "float32"), strides=2**31),
        lambda x: ops.conv(x, np.ones((3, 3, 3, 4), "float32"), padding=[(10**7, 10**7)] * 2),
        lambda x: keras.Sequential([layers.UpSampling2D(10**9), layers.GlobalMaxPooling2D()])(x),
        lambda x: keras.Sequential([layers.UpSampling2D(10**6), layers.GlobalMaxPooling2D()])(x),
    ],
)
def test_what_is_too_large_for_any_memory(work: Any) -> None:
    with pytest.raises(MemoryError):
        work(np.ones((1, 8, 8, 3), "float32"))
    assert small_net()(np.ones((1, 8, 8, 3), "float32")).shape == (1, 5)


@pytest.mark.parametrize("nbytes", [2**45, 2**62, 2**64, 2**80])
def test_memory_that_there_is_not(nbytes: int) -> None:
    with pytest.raises(MemoryError), kernels.arena(nbytes):
        pass


# --- threads, forks, interrupts ---------------------------------------------------------------------------------------


def in_threads(count: int, work: Any) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return [f.result(timeout=60) for f in [pool.submit(work, i) for i in range(count)]]


def test_one_model_in_many_threads_while_their_number_changes() -> None:
    model, plain = small_net(), small_net()
    plain.set_weights(model.get_weights())
    xs = [np.random.default_rng(i).standard_normal((i % 3 + 1, 8, 8, 3)).astype("float32") for i in range(8)]
    wanted = [plain(x) for x in xs]

    def work(i: int) -> None:
        for k in range(30):
            found = model(xs[i]) if k % 2 else model.predict(xs[i], verbose=0)
            np.testing.assert_array_equal(found, wanted[i])
            if k % 10 == 0:
                config.set_num_threads(1 + (i + k) % 4)

    in_threads(8, work)


def test_models_made_and_run_in_many_threads() -> None:
    def work(i: int) -> None:
        model, x = random_model(i, batch=2)
        found = tree.flatten(model(x))
        for a, b in zip(found, tree.flatten(model.predict(x, verbose=0)), strict=True):
            np.testing.assert_array_equal(a, b)

    in_threads(8, work)


def test_weights_assigned_by_another_thread_are_not_missed() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, use_bias=False)])
    x, done = np.eye(4, dtype="float32")[:1], threading.Event()
    model.layers[0].kernel.assign(np.zeros((4, 3)))

    def run() -> None:
        while not done.is_set():
            assert len(set(model(x)[0].tolist())) == 1  # never half of one assignment and half of another

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(run) for _ in range(2)]
        for k in range(3000):
            model.layers[0].kernel.assign(np.full((4, 3), float(k)))
            if k % 50 == 0:
                assert model(x)[0, 0] == k
        done.set()
        for reader in readers:
            reader.result(timeout=60)


def test_prepared_weights_are_never_newer_than_their_version(monkeypatch: pytest.MonkeyPatch) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, use_bias=False)])
    x, kernel = np.eye(4, dtype="float32")[:1], model.layers[0].kernel
    kernel.assign(np.ones((4, 3)))
    between = [np.full((4, 3), 2.0, "float32")]

    def array(variable: Any) -> np.ndarray:
        found = variable._array
        if variable is kernel and between:
            kernel.commit(between.pop())  # another thread's assignment, at the worst moment
        return found

    monkeypatch.setattr(keras.Variable, "array", property(array))
    model(x)
    np.testing.assert_array_equal(model(x), np.full((1, 3), 2.0))


def _in_child(model: Any, x: np.ndarray, wanted: np.ndarray, say: Any) -> None:
    config.set_num_threads(2)
    again = [model(x), model.predict(x, verbose=0)]
    say.put(all(np.array_equal(y, wanted) for y in again) and small_net()(x).shape == wanted.shape)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:.*fork.*:RuntimeWarning")
def test_forking_after_use() -> None:
    config.set_num_threads(2)
    model, x = small_net(), np.ones((64, 8, 8, 3), "float32")
    wanted = model(x)
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        say = context.SimpleQueue()
        child = context.Process(target=_in_child, args=(model, x, wanted, say))
        child.start()
        child.join(30)
        if child.is_alive():
            child.kill()
            pytest.fail("the child hangs")
        assert child.exitcode == 0 and say.get()
    np.testing.assert_array_equal(model(x), wanted)


INTERRUPTED = """
import signal, sys, threading, time
import numpy as np
import striate as keras
from striate import layers

signal.signal(signal.SIGINT, signal.default_int_handler)
rows = [layers.Conv2D(64, 3, padding="same") for _ in range(24)]
model = keras.Sequential([keras.Input((96, 96, 3)), *rows, layers.GlobalMaxPooling2D()])
x = np.ones((48, 96, 96, 3), "float32")
wanted = model(x[:1])
threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
start = time.perf_counter()
try:
    for _ in range(100):  # one call takes seconds; on a fast machine there are several
        model(x) if sys.argv[1] == "call" else model.predict(x, batch_size=4, verbose=0)
except KeyboardInterrupt:
    print("stopped", time.perf_counter() - start < 10, np.array_equal(model(x[:1]), wanted))
"""


@pytest.mark.parametrize("how", ["call", "predict"])
def test_ctrl_c_in_a_long_run(how: str) -> None:
    # In a process of its own: Hypothesis hooks into collections of garbage, and Python drops what is raised in a hook.
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, how], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("stopped True True\n", "")


def test_an_interrupt_between_assignments_undoes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layers.BatchNormalization(momentum=0.5)
    layer.build((None, 2))
    compiled = Cache().get(0, lambda x: layer(x, training=True), [np.ones((4, 2), "float32")])
    before = layer.get_weights()

    class Stopped:
        """Numbers of versions; after the first one Ctrl-C comes."""

        given = 0

        def __next__(self) -> int:
            self.given += 1
            if self.given == 2:
                raise KeyboardInterrupt
            return -self.given

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(variables, "_VERSIONS", Stopped())
        compiled([np.full((4, 2), 9, "float32")])
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    compiled([np.full((4, 2), 9, "float32")])
    np.testing.assert_allclose(layer.moving_mean.numpy(), [4.5, 4.5])


# --- memory -----------------------------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes of this process in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def alone(body: Callable[[], None]) -> None:
    """Runs `body` of this file in a process of its own, where nothing else takes or gives back memory."""
    done = subprocess.run([sys.executable, __file__, body.__name__], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")


@needs_proc
def test_many_calls_take_no_memory() -> None:
    alone(many_calls_take_no_memory)


def many_calls_take_no_memory() -> None:
    model, x = small_net(), np.ones((1, 8, 8, 3), "float32")
    for _ in range(300):
        model(x), model.predict(x, verbose=0)
    before = resident()
    for _ in range(10_000):
        model(x)
    for _ in range(2000):
        model.predict(x, verbose=0)
    assert resident() - before < 4 << 20


@needs_proc
def test_many_shapes_take_bounded_memory() -> None:
    alone(many_shapes_take_bounded_memory)


def many_shapes_take_bounded_memory() -> None:
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(8, 3), layers.GlobalMaxPooling2D()])
    kernels.set_idle_bound(16 << 20)
    try:
        for n in range(50):
            model(np.ones((1, 100 + n, 100, 3), "float32"))
        before = resident()
        for n in range(200):
            model(np.ones((1, 100 + n, 101, 3), "float32"))
        assert resident() - before < 24 << 20
    finally:
        kernels.set_idle_bound(512 << 20)
    kernels.release_memory()
    assert kernels.idle_bytes() == 0


@needs_proc
def test_models_in_a_loop_are_freed_in_time() -> None:
    alone(models_in_a_loop_are_freed_in_time)


def models_in_a_loop_are_freed_in_time() -> None:
    def use() -> None:
        keras.Sequential([keras.Input((1000,)), layers.Dense(8000)])(np.ones((1, 1000), "float32"))

    use()
    before = resident()
    most = 0
    for _ in range(20):
        use()
        most = max(most, resident() - before)
    assert most < 700 << 20  # 64 MB each


def test_a_deleted_model_is_freed() -> None:
    model = small_net()
    model(np.ones((1, 8, 8, 3), "float32")), model.predict(np.ones((2, 8, 8, 3), "float32"), verbose=0)
    gone = [weakref.ref(model), weakref.ref(model.layers[0].kernel)]
    del model
    gc.collect()
    assert [r() for r in gone] == [None, None]


def test_initial_values_belong_to_their_variable() -> None:
    class Kept(keras.initializers.VarianceScaling):
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            self.made = np.ones(shape, dtype)
            return self.made

    initializer = Kept()
    variable = keras.Variable(initializer, shape=(2, 2), dtype="float32")
    initializer.made[...] = 5
    np.testing.assert_array_equal(variable.numpy(), np.ones((2, 2)))
    drawn = [keras.Variable(keras.initializers.GlorotUniform(seed=1), shape=(2, 2), dtype="float32") for _ in range(2)]
    drawn[0].assign(np.zeros((2, 2)))
    assert np.count_nonzero(drawn[1].numpy()) == 4 and not drawn[1].numpy().flags.writeable


if __name__ == "__main__":
    globals()[sys.argv[1]]()
