"""Steps in ONNX that move, reduce, multiply, sort and look up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.exporting.family import Step, Val, Varying, count_of, is_known, known, of_trace
from striate.exporting.rules import rule
from striate.exporting.writer import INT64_MAX, INT64_MIN, Writer, first_axis, to_first, to_last
from striate.primitives.structural import slices

# --- shapes -----------------------------------------------------------------------------------------------------------


@rule("reshape")
def _reshape(w: Writer, s: Step) -> None:
    (x,), (out,) = s.inputs, s.outputs
    if x.rank > 2 and w.only_first(x) and _ones_only(x):  # the order of the elements is the same in both
        shape = [x.shape[a] for a in to_first(x.rank)]
        w.put(out, w.reshape(w.first(x), shape, out.shape))
        return
    name = w.reshape(w.plain(x), x.shape, out.shape)
    w.put(out, name)
    if out.rank > 2 and _ones_only(out) and not w.has_first(out):
        w.put_first(out, w.reshape(name, out.shape, [out.shape[a] for a in to_first(out.rank)]))


def _ones_only(value: Val) -> bool:
    """Whether all spatial axes have size 1, or the channels."""
    return all(n == 1 for n in value.shape[1:-1]) or value.shape[-1] == 1


@rule("transpose")
def _transpose(w: Writer, s: Step) -> None:
    (x,), (out,) = s.inputs, s.outputs
    axes = list(known(s.params["axes"], s, "the order"))
    if x.rank > 2 and axes == to_last(x.rank):  # an image with channels first becomes one with channels last
        w.put_first(out, w.plain(x))
    elif x.rank > 2 and axes == to_first(x.rank):
        w.put(out, w.first(x))
    else:
        w.put(out, w.transposed(w.plain(x), axes))


def _placed(w: Writer, s: Step) -> tuple[bool, list[int]]:
    """Whether the first input is better read with channels behind the batch, and where its axes are then."""
    x = s.inputs[0]
    moved = x.rank > 2 and any(v.rank == x.rank and w.only_first(v) for v in s.inputs)
    return moved, [first_axis(a, x.rank) if moved else a for a in range(x.rank)]


def _put(w: Writer, s: Step, moved: bool, name: str) -> None:
    (w.put_first if moved else w.put)(s.outputs[0], name)


@rule("concatenate")
def _concatenate(w: Writer, s: Step) -> None:
    moved, places = _placed(w, s)
    names = [w.first(v) if moved else w.plain(v) for v in s.inputs]
    _put(w, s, moved, w.op("Concat", *names, axis=places[s.params["axis"]]))


@rule("slice")
def _slice(w: Writer, s: Step) -> None:
    moved, places = _placed(w, s)
    (x,) = s.inputs
    cuts = []
    for axis, (start, stop, step) in enumerate(zip(*(s.params[k] for k in ("starts", "stops", "steps")), strict=True)):
        if is_known((start, stop)) and not len(range(start, stop, step)):
            cuts.append((0, 0, places[axis], 1))
        elif (start, step) != (0, 1) or stop != x.shape[axis]:
            end = INT64_MIN if step < 0 and stop == -1 else _place(s, stop, x.shape[axis])
            cuts.append((_place(s, start, x.shape[axis]), end, places[axis], step))
    name = w.first(x) if moved else w.plain(x)
    vectors = [w.ints(v) for v in zip(*cuts, strict=True)]
    _put(w, s, moved, w.op("Slice", name, *vectors) if cuts else w.op("Identity", name))


def _place(s: Step, place: Any, size: Any) -> int:
    """A place along an axis; where it follows from the axis's size, counted from its end."""
    if not isinstance(place, Varying):
        return place
    behind = {of_trace(place, i) - of_trace(size, i) for i in range(count_of([place, size]))}
    distance = behind.pop() if len(behind) == 1 else known(place, s, "the place")
    return INT64_MAX if distance == 0 else distance


@rule("unslice")
def _unslice(w: Writer, s: Step) -> None:
    """Zeros around; between the cells as well where there are steps."""
    (x,), p = s.inputs, known(tuple(s.params[k] for k in ("shape", "starts", "stops", "steps")), s, "the place")
    places = np.indices(p[0])[(slice(None), *slices(*p[1:]))]
    zeros = w.array(np.zeros(p[0], x.dtype))
    indices = w.array(np.ascontiguousarray(np.moveaxis(places, 0, -1), np.int64))
    w.put(s.outputs[0], w.op("ScatterND", zeros, indices, w.plain(x)) if x.rank else w.plain(x))


# --- products and reductions ------------------------------------------------------------------------------------------


@rule("matmul")
def _matmul(w: Writer, s: Step) -> None:
    w.put(s.outputs[0], w.op("MatMul", *(w.plain(v) for v in s.inputs)))


REDUCTIONS = {
    "reduce_sum": "ReduceSum", "reduce_mean": "ReduceMean", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd", "logsumexp": "ReduceLogSumExp",
}  # fmt: skip


@rule(*REDUCTIONS, "reduce_any", "reduce_all")
def _reduce(w: Writer, s: Step) -> None:
    (x,), axes, kept = s.inputs, list(s.params["axes"]), bool(s.params["keepdims"])
    moved, places = _placed(w, s)
    moved = moved and (kept or _same_rest(x.rank, axes))
    name = w.first(x) if moved else w.plain(x)
    reduced = _reduced(w, s, name, w.ints([places[a] if moved else a for a in axes]), int(kept))
    _put(w, s, moved and kept, reduced)


def _same_rest(rank: int, axes: Sequence[int]) -> bool:
    """Whether what is left has the same order in both orders of axes."""
    left = [a for a in range(rank) if a not in axes]
    return left == sorted(left, key=lambda a: first_axis(a, rank))


def _reduced(w: Writer, s: Step, x: str, axes: str, kept: int) -> str:
    if not s.params["axes"]:
        return w.op("Identity", x)
    if s.op in REDUCTIONS:
        return w.op(REDUCTIONS[s.op], x, axes, keepdims=kept)
    flags = w.op("Cast", x, to="bool")
    ones = w.op("Cast", flags if s.op == "reduce_any" else w.op("Not", flags), to="int32")
    found = w.op("Cast", w.op("ReduceSum", ones, axes, keepdims=kept), to="bool")
    return found if s.op == "reduce_any" else w.op("Not", found)


@rule("argmax", "argmin")
def _arg(w: Writer, s: Step) -> None:
    (x,) = s.inputs
    kind = "ArgMax" if s.op == "argmax" else "ArgMin"
    found = w.op(kind, w.plain(x), axis=s.params["axis"], keepdims=int(s.params["keepdims"]))
    w.put(s.outputs[0], w.op("Cast", found, to=s.outputs[0].dtype))


@rule("softmax", "log_softmax")
def _softmax(w: Writer, s: Step) -> None:
    moved, places = _placed(w, s)
    (x,) = s.inputs
    kind = "Softmax" if s.op == "softmax" else "LogSoftmax"
    _put(w, s, moved, w.op(kind, w.first(x) if moved else w.plain(x), axis=places[s.params["axis"]]))


@rule("cumsum")
def _cumsum(w: Writer, s: Step) -> None:
    axis = w.number(s.params["axis"], "int64")
    w.put(s.outputs[0], w.op("CumSum", w.plain(s.inputs[0]), axis, reverse=int(s.params.get("reverse", False))))


@rule("cumprod")
def _cumprod(w: Writer, s: Step) -> None:
    """Row i of a square holds the elements up to i, and ones behind them."""
    (x,), axis = s.inputs, s.params["axis"]
    n = known(x.shape[axis], s, "the size")
    reached = np.triu(np.ones((n, n), bool)) if s.params.get("reverse") else np.tril(np.ones((n, n), bool))
    mask = w.array(reached.reshape((n, n) + (1,) * (x.rank - axis - 1)))
    wide = w.op("Unsqueeze", w.plain(x), w.ints([axis]))
    rows = w.op("Where", mask, wide, w.number(1, x.dtype))
    w.put(s.outputs[0], w.op("ReduceProd", rows, w.ints([axis + 1]), keepdims=0))


@rule("sort", "argsort")
def _sort(w: Writer, s: Step) -> None:
    """The largest k of all: TopK keeps the order of equal elements."""
    (x,), axis = s.inputs, s.params["axis"]
    count = w.ints([known(x.shape[axis], s, "the size")])
    values, places = w.op("TopK", w.plain(x), count, count=2, axis=axis, largest=0, sorted=1)
    w.put(s.outputs[0], values if s.op == "sort" else w.op("Cast", places, to=s.outputs[0].dtype))


@rule("top_k")
def _top_k(w: Writer, s: Step) -> None:
    values, places = w.op("TopK", w.plain(s.inputs[0]), w.ints([s.params["k"]]), count=2, axis=-1, largest=1, sorted=1)
    w.put(s.outputs[0], values)
    w.put(s.outputs[1], w.op("Cast", places, to=s.outputs[1].dtype))


@rule("searchsorted")
def _searchsorted(w: Writer, s: Step) -> None:
    """How many of the ordered numbers lie before each value."""
    ordered, values = s.inputs
    last = w.op("Unsqueeze", w.plain(values), w.ints([-1]))
    before = w.op("Less" if s.params["side"] == "left" else "LessOrEqual", w.plain(ordered), last)
    count = w.op("ReduceSum", w.op("Cast", before, to="int32"), w.ints([-1]), keepdims=0)
    w.put(s.outputs[0], count)


# --- reading and writing by index -------------------------------------------------------------------------------------


@rule("take")
def _take(w: Writer, s: Step) -> None:
    x, indices = s.inputs
    moved = x.rank > 2 and indices.rank == 1 and w.only_first(x)
    axis = first_axis(s.params["axis"], x.rank) if moved else s.params["axis"]
    _put(w, s, moved, w.op("Gather", w.first(x) if moved else w.plain(x), w.plain(indices), axis=axis))


@rule("take_along_axis")
def _take_along_axis(w: Writer, s: Step) -> None:
    w.put(s.outputs[0], w.op("GatherElements", *(w.plain(v) for v in s.inputs), axis=s.params["axis"]))


@rule("gather_nd")
def _gather_nd(w: Writer, s: Step) -> None:
    x, indices = s.inputs
    w.put(s.outputs[0], w.op("GatherND", w.plain(x), w.op("Cast", w.plain(indices), to="int64")))


@rule("scatter_update")
def _scatter_update(w: Writer, s: Step) -> None:
    x, indices, updates = s.inputs
    names = [w.plain(x), w.op("Cast", w.plain(indices), to="int64"), w.plain(updates)]
    w.put(s.outputs[0], w.op("ScatterND", *names, reduction=s.params["reduction"] or "none"))


@rule("scatter_add")
def _scatter_add(w: Writer, s: Step) -> None:
    """Adds to zeros, along the first axis."""
    (g, indices), (out,), axis = s.inputs, s.outputs, s.params["axis"]
    rank, size = indices.rank, s.params["size"]
    order = [*range(axis, axis + rank), *range(axis), *range(axis + rank, g.rank)]
    rest = [g.shape[a] for a in order[rank:]]
    zeros = w.op("Expand", w.number(0, g.dtype), w.ints([size, *known(tuple(rest), s, "the size")]))
    places = w.op("Unsqueeze", w.op("Cast", w.plain(indices), to="int64"), w.ints([-1]))
    total = w.op("ScatterND", zeros, places, w.transposed(w.plain(g), order), reduction="add")
    back = [*range(1, axis + 1), 0, *range(axis + 1, out.rank)]
    w.put(out, w.transposed(total, back))


@rule("scatter_along_axis")
def _scatter_along_axis(w: Writer, s: Step) -> None:
    g, indices = s.inputs
    zeros = w.op("Expand", w.number(0, g.dtype), w.ints(known(tuple(s.outputs[0].shape), s, "the size")))
    places = w.op("Cast", w.plain(indices), to="int64")
    added = w.op("ScatterElements", zeros, places, w.plain(g), axis=s.params["axis"], reduction="add")
    w.put(s.outputs[0], added)


@rule("one_hot")
def _one_hot(w: Writer, s: Step) -> None:
    (x,) = s.inputs
    depth = w.array(np.arange(s.params["depth"], dtype=x.dtype))
    equal = w.op("Equal", w.op("Unsqueeze", w.plain(x), w.ints([-1])), depth)
    w.put(s.outputs[0], w.op("Cast", equal, to=s.params["dtype"]))


@rule("dynamic_slice")
def _dynamic_slice(w: Writer, s: Step) -> None:
    x, starts = s.inputs
    sizes = known(tuple(s.params["sizes"]), s, "the window")
    first = _inside(w, starts, known(tuple(x.shape), s, "the size"), sizes)
    w.put(s.outputs[0], w.op("Slice", w.plain(x), first, w.op("Add", first, w.ints(sizes))))


@rule("dynamic_update_slice")
def _dynamic_update(w: Writer, s: Step) -> None:
    x, update, starts = s.inputs
    sizes = known(tuple(update.shape), s, "the window")
    first = _inside(w, starts, known(tuple(x.shape), s, "the size"), sizes)
    grid = w.array(np.ascontiguousarray(np.moveaxis(np.indices(sizes, np.int64), 0, -1)))
    w.put(s.outputs[0], w.op("ScatterND", w.plain(x), w.op("Add", grid, first), w.plain(update)))


def _inside(w: Writer, starts: Val, shape: Sequence[int], sizes: Sequence[int]) -> str:
    """The starts of a window that is moved inside where it stands out."""
    first = w.op("Max", w.op("Cast", w.plain(starts), to="int64"), w.ints([0] * len(shape)))
    return w.op("Min", first, w.ints([n - m for n, m in zip(shape, sizes, strict=True)]))
