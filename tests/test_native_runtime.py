"""The runtime under the kernels: programs, memory, threads, instruction sets, what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kernel_runner import each_level
from striate import kernels
from striate.core import config
from striate.kernels import conv
from striate.kernels.attributes import elementwise, reduce
from striate.kernels.conv import ConvSpec

ADD = elementwise(2, [("add", (0, 1), ())])
DOUBLE = elementwise(1, [("add", (0, 0), ())])
BIG = 1 << 18


def operand(slot: int, *shape: int) -> tuple[int, tuple[int, ...], str]:
    return (slot, shape, "float32")


def addresses(*arrays: np.ndarray) -> np.ndarray:
    return np.array([a.ctypes.data for a in arrays], np.int64)


def doubling(n: int) -> kernels.Program:
    """Slot 1 = 2 * slot 0, slot 2 = slot 1 + slot 0."""
    return kernels.Program(
        [
            ("elementwise", [operand(0, n)], [operand(1, n)], *DOUBLE),
            ("elementwise", [operand(0, n), operand(1, n)], [operand(2, n)], *ADD),
        ],
        3,
    )


def in_child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )


@pytest.mark.parametrize("n", [0, 1, 5, BIG])
def test_a_program_runs_its_steps_in_order(n):
    x = np.arange(n, dtype=np.float32)
    y, z = np.empty_like(x), np.empty_like(x)
    for _ in each_level():
        doubling(n).run(addresses(x, y, z))
        np.testing.assert_array_equal(z, 3 * x)


def test_a_part_of_a_program():
    x, y, z = (np.full(4, v, np.float32) for v in (1, 0, 0))
    program = doubling(4)
    program.run(addresses(x, y, z), 0, 1)
    assert (y.tolist(), z.tolist()) == ([2] * 4, [0] * 4)
    program.run(addresses(x, y, z), begin=1)
    assert z.tolist() == [3] * 4
    assert len(program) == 2


def test_unknown_kernel():
    with pytest.raises(KeyError, match="no_such_kernel"):
        kernels.Program([("no_such_kernel", [], [], [], [])], 0)
    with pytest.raises(KeyError, match="no_such_kernel"):
        kernels.run("no_such_kernel", [], [])


@pytest.mark.parametrize(
    "step",
    [
        ("elementwise", [operand(9, 4)], [operand(1, 4)], *DOUBLE),
        ("elementwise", [operand(0, 4)], [operand(-1, 4)], *DOUBLE),
        ("elementwise", [operand(0, -4)], [operand(1, 4)], *DOUBLE),
        ("elementwise", [operand(0, *[1] * 9)], [operand(1, 4)], *DOUBLE),
        ("elementwise", [(0, (4,), "complex64")], [operand(1, 4)], *DOUBLE),
        ("elementwise", [], [operand(1, 4)], *DOUBLE),
        ("elementwise", [operand(0, 4)], [], *DOUBLE),
    ],
)
def test_steps_that_can_not_run_are_refused_when_the_program_is_made(step):
    with pytest.raises(ValueError):
        kernels.Program([step], 3)


CONV = ConvSpec((1, 5, 5, 3), (3, 3, 3, 8), (1, 1), ((0, 0), (0, 0)), (1, 1), 1, (1, 3, 3, 8))
PACKED = conv.packed_shape("direct", CONV)[0]


def conv_step(x=(1, 5, 5, 3), w=(PACKED,), y=(1, 3, 3, 8), ints=(), bias=None):
    inputs = [operand(0, *x), operand(1, *w), *([] if bias is None else [operand(2, *bias)])]
    return (
        "conv_direct",
        inputs,
        [operand(3, *y)],
        ints or conv.encode("direct", CONV, 0, () if bias is None else ("bias",)),
        (),
    )


def test_a_convolution_that_fits():
    kernels.Program([conv_step(bias=(8,))], 4)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"w": (PACKED - 1,)}, "packed kernel"),
        ({"x": (1, 5, 5, 4)}, "packed kernel"),
        ({"x": (2, 5, 5, 3)}, "batch"),
        ({"x": (5, 3)}, "batch, one to three sizes"),
        ({"ints": (1, 2, 3)}, "18 ints"),
        ({"bias": (7,)}, "bias"),
        ({"ints": conv.encode("direct", CONV, 0, ("bias",))}, "two inputs"),
        ({"ints": conv.encode("direct", CONV, 9999)}, "activation"),
        ({"ints": (0, *conv.encode("direct", CONV)[1:])}, "strides"),
        ({"ints": (*conv.encode("direct", CONV)[:15], 2, 0, 0)}, "groups"),
    ],
)
def test_a_convolution_that_does_not_fit(wrong, problem):
    with pytest.raises(ValueError, match=f"conv_direct.*{problem}"):
        kernels.Program([conv_step(**wrong)], 4)


@pytest.mark.parametrize(
    ("a", "b", "y"),
    [((2, 3), (4, 5), (2, 5)), ((2, 3), (3, 5), (2, 4)), ((2, 2, 3), (3, 3, 5), (2, 2, 5)), ((3,), (3, 5), (5,))],
)
def test_a_product_that_does_not_fit(a, b, y):
    with pytest.raises(ValueError, match="matmul"):
        kernels.Program([("matmul", [operand(0, *a), operand(1, *b)], [operand(2, *y)], (0, 0, 0, 0), ())], 3)


def test_addresses_that_do_not_fit():
    x = np.zeros(4, np.float32)
    program = doubling(4)
    with pytest.raises(ValueError, match="3 slots"):
        program.run(addresses(x))
    with pytest.raises(ValueError, match="slot 1"):
        program.run(np.array([x.ctypes.data, 0, x.ctypes.data], np.int64))
    for begin, end in ((-1, 1), (2, 1), (0, 3)):
        with pytest.raises(IndexError):
            program.run(addresses(x, x, x), begin, end)
    with pytest.raises(TypeError):
        program.run([1, 2, 3.5])


def test_run_refuses_what_kernels_can_not_read():
    x = np.zeros((4, 4), np.float32)
    with pytest.raises(ValueError, match="ascontiguousarray"):
        kernels.run("elementwise", [x.T[:2]], [x[:2].copy()], *DOUBLE)
    with pytest.raises(ValueError, match="float16"):
        kernels.run("elementwise", [x.astype(np.float16)], [x], *DOUBLE)


def test_scratch_follows_the_number_of_threads():
    program = doubling(BIG)
    before = kernels.get_num_threads()
    try:
        kernels.set_num_threads(1)
        one = program.scratch_bytes()
        kernels.set_num_threads(3)
        assert program.scratch_bytes() > one > 0
    finally:
        kernels.set_num_threads(before)


def test_denormals_are_flushed_inside_and_kept_outside():
    tiny = np.full(BIG, 1e-40, np.float32)
    out = np.ones_like(tiny)
    for _ in each_level():
        kernels.run("elementwise", [tiny], [out], *DOUBLE)
        assert not out.any()
        assert np.float32(1e-40) * np.float32(2) > 0


def test_several_python_threads_at_once():
    program, x = doubling(BIG), np.arange(BIG, dtype=np.float32)
    total = np.sum(x, dtype=np.float64)

    def work(seed: int) -> bool:
        mine = x + np.float32(seed)
        y, z, s = np.empty_like(x), np.empty_like(x), np.empty((), np.float32)
        good = True
        for _ in range(20):
            program.run(addresses(mine, y, z))
            kernels.run("reduce", [mine], [s], *reduce("sum", (0,)))
            good &= bool((z == 3 * mine).all()) and abs(s - (total + seed * BIG)) <= 1e-6 * total
        return good

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(work, range(8)))


def test_threads_may_be_set_while_others_run():
    program, x = doubling(BIG), np.arange(BIG, dtype=np.float32)
    stop, failed, before = threading.Event(), [], kernels.get_num_threads()

    def work() -> None:
        y, z = np.empty_like(x), np.empty_like(x)
        while not stop.is_set():
            program.run(addresses(x, y, z))
            if not (z == 3 * x).all():
                failed.append(True)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for count in (1, 2, 3, 4) * 10:
            kernels.set_num_threads(count)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        kernels.set_num_threads(before)
    assert not failed


def test_number_of_threads():
    before = config.num_threads()
    try:
        config.set_num_threads(2)
        assert kernels.get_num_threads() == 2
    finally:
        config.set_num_threads(before)
    for wrong in (0, -1, 10**6):
        with pytest.raises(ValueError, match="threads"):
            kernels.set_num_threads(wrong)


def test_number_of_threads_from_the_environment():
    done = in_child("from striate import kernels; print(kernels.get_num_threads())", STRIATE_NUM_THREADS="3")
    assert done.stdout == "3\n"


FORK = """
import os, numpy as np
from striate import kernels
from striate.kernels.attributes import elementwise
kernels.set_num_threads(3)
x = np.ones(1 << 20, np.float32)
def double():
    y = np.empty_like(x)
    kernels.run("elementwise", [x], [y], *elementwise(1, [("add", (0, 0), ())]))
    return bool((y == 2).all())
print(double())
child = os.fork()
if child == 0:
    os._exit(7 if double() and double() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), double())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_of_its_own():
    done = in_child(FORK)
    assert done.stdout == "True\n7 True\n", done.stderr


def test_instruction_sets():
    before = kernels.isa()
    assert before in kernels.available_isas()
    with pytest.raises(ValueError, match=before):
        kernels.set_isa("mmx")
    assert kernels.isa() == before


def test_instruction_set_from_the_environment():
    for name in kernels.available_isas():
        done = in_child("from striate import kernels; print(kernels.isa())", STRIATE_ISA=name)
        assert done.stdout == f"{name}\n", done.stderr


def test_unknown_instruction_set_is_an_error_at_the_first_use():
    done = in_child("from striate import kernels; kernels.Program([('cast', [], [], [], [])], 0)", STRIATE_ISA="mmx")
    assert "ValueError: STRIATE_ISA='mmx'" in done.stderr
    assert kernels.available_isas()[0] in done.stderr


def test_arena_views_keep_their_memory():
    kernels.release_memory()
    memory = kernels.Arena(5 << 20)
    assert memory.address % (2 << 20) == 0
    assert memory.nbytes == 5 << 20
    view, address = memory.view, memory.address
    assert (view.dtype, view.shape, view.ctypes.data) == (np.uint8, (5 << 20,), address)
    del memory
    assert kernels.idle_bytes() == 0
    view[:] = 1
    del view
    assert kernels.idle_bytes() >= 5 << 20
    assert kernels.Arena(5 << 20).address == address
    kernels.release_memory()
    assert kernels.idle_bytes() == 0


def test_idle_memory_has_a_bound():
    kernels.release_memory()
    kernels.set_idle_bound(16 << 20)
    try:
        held = [kernels.Arena(8 << 20) for _ in range(6)]
        held.clear()
        assert 0 < kernels.idle_bytes() <= 16 << 20
    finally:
        kernels.set_idle_bound(512 << 20)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_large_results_take_the_memory_of_those_that_nobody_holds(dtype):
    kernels.release_memory()
    shape, wanted = (3, 1 << 17), np.dtype(dtype)
    first = kernels.empty(shape, wanted)
    assert (first.shape, first.dtype, first.flags.c_contiguous, first.flags.writeable) == (shape, wanted, True, True)
    address, view = first.ctypes.data, first[1:]
    assert view.base is first  # whoever counts references to a result counts its views
    first[...] = view[...] = 1
    del first
    assert kernels.empty(shape, wanted).ctypes.data != address, "the view still refers to it"
    del view
    assert kernels.empty(shape, wanted).ctypes.data == address
    assert kernels.empty((3, 1 << 16), wanted).ctypes.data != address, "much too large"
    assert kernels.Arena(3 << 17).address != address, "what a caller may keep for long is no scratch memory"
    kernels.release_memory()
    assert kernels.idle_bytes() == 0


def test_small_and_unusual_results_are_arrays_of_numpy():
    assert kernels.empty((4,), np.dtype("float32")).flags.owndata
    assert kernels.empty((1 << 20,), np.dtype("float16")).flags.owndata
    assert kernels.empty((0, 1 << 20), np.dtype("float32")).shape == (0, 1 << 20)


def test_arena_of_a_running_call():
    with kernels.arena(0) as memory:
        assert memory.address % 64 == 0
    with pytest.raises(MemoryError):
        kernels.Arena(1 << 62)


def test_aligned_empty():
    array = kernels.aligned_empty((3, 5), np.float32)
    assert (array.shape, array.dtype, array.ctypes.data % 64) == ((3, 5), np.float32, 0)
    assert kernels.aligned_empty((0, 5), np.float32).shape == (0, 5)


def test_names():
    assert {"conv_direct", "elementwise", "matmul", "max_pool", "reduce"} <= set(kernels.names())
    ids = kernels.activation_ids()
    assert (ids["linear"], ids["relu"]) == (0, 1)
    assert sorted(ids.values()) == list(range(len(ids)))


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_arrays_together_start_at_cache_lines_of_one_memory(size):
    shapes = {"float32": (size, 3), "int64": (0,), "float64": (), "uint8": (5,)}
    kinds = [(shape, np.dtype(name)) for name, shape in shapes.items()]
    arrays = kernels.together(kinds)
    assert [(a.shape, a.dtype) for a in arrays] == kinds
    assert all(a.ctypes.data % 64 == 0 and a.flags.c_contiguous and a.flags.aligned for a in arrays)
    assert len({id(a.base) for a in arrays}) == 1
    for i, a in enumerate(arrays):
        a[...] = i
    assert all((a == i).all() for i, a in enumerate(arrays)), "they do not overlap"
    assert kernels.together([]) == []


def test_addresses_are_those_of_the_arrays():
    arrays = {0: np.zeros((2, 3), np.float32), 2: np.zeros((), np.int64), 3: np.zeros((0, 4), bool)}
    arrays[2].flags.writeable = False
    found = np.full(5, -1, np.int64)
    kernels.place_arrays(found, arrays)
    kernels.place_buffers(found, np.array([4]), np.array([64]), 4096)
    assert found.tolist() == [arrays[0].ctypes.data, -1, arrays[2].ctypes.data, arrays[3].ctypes.data, 4160]


@pytest.mark.parametrize(
    ("arrays", "error"),
    [
        ({5: np.zeros(1)}, IndexError),
        ({-1: np.zeros(1)}, IndexError),
        ({"x": np.zeros(1)}, (IndexError, TypeError)),
        ({0: np.zeros((4, 4))[:, ::2]}, (BufferError, ValueError)),
        ({0: "no array"}, (BufferError, TypeError)),
    ],
)
def test_addresses_of_what_does_not_fit_are_refused(arrays, error):
    with pytest.raises(error):
        kernels.place_arrays(np.zeros(5, np.int64), arrays)
    with pytest.raises(IndexError, match="no slot 9"):
        kernels.place_buffers(np.zeros(5, np.int64), np.array([9]), np.array([0]), 1)
