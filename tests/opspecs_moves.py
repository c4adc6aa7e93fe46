"""The table's second half: reductions, ops that move elements, sorting, indexing, padding, resizing. See `opspecs`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from hypothesis import strategies as st

from opspecs import SPECS, Inputs, Sample, Spec, axes, distinct, floats, rng, shape

Params = dict[str, Any]


def spec(name: str, **settings: Any) -> Callable[[Sample], Sample]:
    """Makes the decorated sampler an entry of the table."""

    def add(sample: Sample) -> Sample:
        SPECS[name] = Spec(sample, **settings)
        return sample

    return add


# --- reductions
# ------------------------------------------------------------------------------------------------------------


def reduced(fn: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    """A function of a list, applied to what meets in each result."""

    def truth(x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> Any:
        kept = [a for a in range(x.ndim) if a not in axes]
        moved = np.transpose(x, (*kept, *axes))
        out = np.empty([x.shape[a] for a in kept], dtype=object)
        for at in np.ndindex(out.shape):
            out[at] = fn(moved[at].ravel().tolist())
        return out.reshape([1 if a in axes else n for a, n in enumerate(x.shape)]) if keepdims else out

    return truth


def reduction(values: Callable[..., np.ndarray] = floats, least: int = 0) -> Sample:
    def sample(draw: Any) -> tuple[Inputs, Params]:
        x = values(draw, shape(draw, least=least))
        return [x], {"axes": axes(draw, x.ndim), "keepdims": draw(st.booleans())}

    return sample


def flags(draw: Any, size: Any) -> np.ndarray:
    return rng(draw).uniform(size=size) < 0.3


def with_zeros(draw: Any, size: Any) -> np.ndarray:
    x = floats(draw, size)
    return np.where(rng(draw).uniform(size=size) < 0.2, 0.0, x)


SPECS["reduce_sum"] = Spec(reduction(), reduced(math.fsum), second=True)


@spec(
    "reduce_deviation",
    truth=lambda x, mean, **k: (
        np.var(x, axis=k["axes"], keepdims=k["keepdims"]) * math.prod(x.shape[a] for a in k["axes"])
    ),
    second=True,
)
def _deviation(draw: Any) -> tuple[Inputs, Params]:
    """With the mean that belongs to x: the gradient is not one for another mean."""
    x = floats(draw, shape(draw, least=1))
    along = axes(draw, x.ndim)
    return [x, x.mean(axis=along, keepdims=True)], {"axes": along, "keepdims": draw(st.booleans())}


SPECS["reduce_max"] = Spec(reduction(distinct, 1), reduced(max))
SPECS["reduce_min"] = Spec(reduction(distinct, 1), reduced(min))
SPECS["reduce_prod"] = Spec(reduction(with_zeros), reduced(math.prod), second=True)
SPECS["reduce_any"] = Spec(reduction(flags), reduced(any), grad=False)
SPECS["reduce_all"] = Spec(reduction(flags), reduced(all), grad=False)
SPECS["logsumexp"] = Spec(
    reduction(least=1), reduced(lambda v: math.log(math.fsum(math.exp(a) for a in v))), second=True
)


def along(fn: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    """A function from list to list, applied along an axis."""

    def truth(x: np.ndarray, axis: int, **params: Any) -> Any:
        moved = np.moveaxis(x, axis, -1)
        out = np.empty(moved.shape, dtype=object)
        for at in np.ndindex(moved.shape[:-1]):
            out[at] = fn(moved[at].tolist(), **params)
        return np.moveaxis(out, -1, axis)

    return truth


def one_axis(values: Callable[..., np.ndarray] = floats, extra: dict[str, Any] | None = None, least: int = 0) -> Sample:
    def sample(draw: Any) -> tuple[Inputs, Params]:
        x = values(draw, shape(draw, 1, 3, least))
        return [x], {"axis": draw(st.integers(0, x.ndim - 1))} | {k: draw(v) for k, v in (extra or {}).items()}

    return sample


for _name, _best in {"argmax": max, "argmin": min}.items():
    SPECS[_name] = Spec(
        one_axis(lambda draw, size: np.round(floats(draw, size)), {"keepdims": st.booleans()}, 1),
        lambda x, axis, keepdims, best=_best: reduced(lambda v: v.index(best(v)))(x, (axis,), keepdims),
        grad=False,
    )


def _softmax(v: list[float]) -> list[float]:
    powers = [math.exp(a) for a in v]
    return [p / math.fsum(powers) for p in powers]


def _running(v: list[float], reverse: bool, fn: Callable[[list[float]], float]) -> list[float]:
    return [fn(v[i:]) if reverse else fn(v[: i + 1]) for i in range(len(v))]


_reverse = {"reverse": st.booleans()}
SPECS["softmax"] = Spec(one_axis(), along(_softmax), second=True)
SPECS["log_softmax"] = Spec(one_axis(), along(lambda v: [math.log(p) for p in _softmax(v)]), second=True)
SPECS["cumsum"] = Spec(one_axis(extra=_reverse), along(lambda v, reverse: _running(v, reverse, math.fsum)), second=True)
SPECS["cumprod"] = Spec(
    one_axis(with_zeros, _reverse), along(lambda v, reverse: _running(v, reverse, math.prod)), second=True
)
SPECS["sort"] = Spec(one_axis(distinct), along(sorted), second=True)
SPECS["argsort"] = Spec(
    one_axis(lambda draw, size: np.round(floats(draw, size))),
    along(lambda v: sorted(range(len(v)), key=v.__getitem__)),
    grad=False,
)


def _truth_top_k(x: np.ndarray, k: int) -> Any:
    order = along(lambda v: sorted(range(len(v)), key=lambda i: -v[i]))(x, x.ndim - 1)[..., :k].astype(int)
    return np.take_along_axis(x, order, -1), order


@spec("top_k", truth=_truth_top_k, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    x = distinct(draw, shape(draw, 1, 3))
    return [x], {"k": draw(st.integers(0, x.shape[-1]))}


@spec(
    "searchsorted",
    grad=False,
    truth=lambda a, v, side: np.vectorize(lambda b: int(((a < b) if side == "left" else (a <= b)).sum()), otypes=[int])(
        v
    ),
)
def _(draw: Any) -> tuple[Inputs, Params]:
    a, v = np.sort(np.round(floats(draw, (5,)))), np.round(floats(draw, shape(draw)))
    return [a, v], {"side": draw(st.sampled_from(["left", "right"]))}


# --- moving elements
# ---------------------------------------------------------------------------------------------------------


def _truth_cast(x: np.ndarray, dtype: str) -> Any:
    convert = {"int32": int, "bool": bool, "float64": float}[dtype]
    return np.array([convert(v) for v in x.ravel().tolist()], dtype).reshape(x.shape)


@spec("cast", truth=_truth_cast, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    return [floats(draw, shape(draw))], {"dtype": draw(st.sampled_from(["int32", "bool", "float64"]))}


@spec("reshape", truth=lambda x, shape: np.array(x.ravel().tolist()).reshape(shape), second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    x = floats(draw, shape(draw))
    return [x], {"shape": draw(st.sampled_from([(x.size,), (1, x.size), x.shape[::-1]]))}


def _truth_transpose(x: np.ndarray, axes: tuple[int, ...]) -> Any:
    out = np.zeros([x.shape[a] for a in axes])
    for at in np.ndindex(x.shape):
        out[tuple(at[a] for a in axes)] = x[at]
    return out


@spec("barrier", truth=lambda x, number: x, second=True)
def _barrier(draw: Any) -> tuple[Inputs, Params]:
    return [floats(draw, shape(draw))], {"number": draw(st.integers(0, 3))}


@spec("transpose", truth=_truth_transpose, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    x = floats(draw, shape(draw))
    return [x], {"axes": tuple(draw(st.permutations(range(x.ndim))))}


@spec("broadcast_to", truth=lambda x, shape: x + np.zeros(shape), second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    full = shape(draw)
    part = tuple(1 if draw(st.booleans()) else n for n in full)[draw(st.integers(0, len(full))) :]
    return [floats(draw, part)], {"shape": full}


def _truth_concatenate(*xs: np.ndarray, axis: int) -> Any:
    return np.moveaxis(np.block([np.moveaxis(x, axis, -1) for x in xs]), -1, axis)


@spec("concatenate", truth=_truth_concatenate, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    size = shape(draw, 1, 3)
    axis = draw(st.integers(0, len(size) - 1))
    parts = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    return [floats(draw, (*size[:axis], n, *size[axis + 1 :])) for n in parts], {"axis": axis}


def _ranges(draw: Any, size: tuple[int, ...]) -> Params:
    made = []
    for n in size:
        step = draw(st.sampled_from([1, 2, -1, -2]))
        ends = sorted((draw(st.integers(0, n)), draw(st.integers(0, n))))
        made.append((*ends, step) if step > 0 else (ends[1] - 1, ends[0] - 1, step))
    return {name: tuple(m[i] for m in made) for i, name in enumerate(("starts", "stops", "steps"))}


def _grid(starts: Any, stops: Any, steps: Any) -> Any:
    return np.ix_(*(np.arange(*s, dtype=int) for s in zip(starts, stops, steps, strict=True)))


@spec("slice", truth=lambda x, **where: x[_grid(**where)] if x.ndim else x, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    x = floats(draw, shape(draw, 0, 3))
    return [x], _ranges(draw, x.shape)


def _truth_unslice(g: np.ndarray, shape: tuple[int, ...], **where: Any) -> Any:
    out = np.zeros(shape)
    out[_grid(**where) if shape else ()] = g
    return out


@spec("unslice", truth=_truth_unslice, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    size = shape(draw, 0, 3)
    where = _ranges(draw, size)
    part = [len(range(*s)) for s in zip(*(where[k] for k in ("starts", "stops", "steps")), strict=True)]
    return [floats(draw, part)], where | {"shape": size}


# --- indices
# -----------------------------------------------------------------------------------------------------------------


def indices(draw: Any, n: int, size: Any) -> np.ndarray:
    return rng(draw).integers(-n, n, size, dtype=np.int32)


def _truth_take(x: np.ndarray, index: np.ndarray, axis: int) -> Any:
    rows = [np.moveaxis(x, axis, 0)[i] for i in index.ravel().tolist()]
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    flat = np.array(rows).reshape((*index.shape, *rest))
    order = range(index.ndim, index.ndim + axis)
    return np.transpose(flat, (*order, *range(index.ndim), *range(index.ndim + axis, flat.ndim)))


def _truth_scatter_add(g: np.ndarray, index: np.ndarray, axis: int, size: int) -> Any:
    rest = (*g.shape[:axis], *g.shape[axis + index.ndim :])
    moved = np.moveaxis(g, range(axis, axis + index.ndim), range(index.ndim)).reshape((index.size, *rest))
    out = np.zeros((size, *rest))
    for i, row in zip(index.ravel().tolist(), moved, strict=True):
        out[i] += row
    return np.moveaxis(out, 0, axis)


@spec("take", truth=_truth_take, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    x = floats(draw, shape(draw, 1, 3, 1))
    axis = draw(st.integers(0, x.ndim - 1))
    return [x, indices(draw, x.shape[axis], shape(draw, 0, 2))], {"axis": axis}


@spec("scatter_add", truth=_truth_scatter_add, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    rest, size = shape(draw, 0, 2), draw(st.integers(1, 4))
    index, axis = indices(draw, size, shape(draw, 0, 2)), draw(st.integers(0, len(rest)))
    return [floats(draw, (*rest[:axis], *index.shape, *rest[axis:])), index], {"axis": axis, "size": size}


def _truth_along(x: np.ndarray, index: np.ndarray, axis: int) -> Any:
    out = np.zeros(index.shape)
    for at in np.ndindex(index.shape):
        out[at] = x[(*at[:axis], index[at], *at[axis + 1 :])]
    return out


def _truth_scatter_along(g: np.ndarray, index: np.ndarray, axis: int, size: int) -> Any:
    out = np.zeros((*g.shape[:axis], size, *g.shape[axis + 1 :]))
    for at in np.ndindex(index.shape):
        out[(*at[:axis], index[at], *at[axis + 1 :])] += g[at]
    return out


@spec("take_along_axis", truth=_truth_along, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    x = floats(draw, shape(draw, 1, 3, 1))
    axis = draw(st.integers(0, x.ndim - 1))
    size = (*x.shape[:axis], draw(st.integers(0, 4)), *x.shape[axis + 1 :])
    return [x, indices(draw, x.shape[axis], size)], {"axis": axis}


@spec("scatter_along_axis", truth=_truth_scatter_along, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    g, size = floats(draw, shape(draw, 1, 3)), draw(st.integers(1, 4))
    return [g, indices(draw, size, g.shape)], {"axis": draw(st.integers(0, g.ndim - 1)), "size": size}


@spec("one_hot", truth=lambda x, depth, dtype: np.array([[float(i == j) for j in range(depth)] for i in x.ravel()])
      .reshape(*x.shape, depth), grad=False)  # fmt: skip
def _(draw: Any) -> tuple[Inputs, Params]:
    return [rng(draw).integers(-2, 6, shape(draw))], {"depth": draw(st.integers(1, 4)), "dtype": "float32"}


def _places(draw: Any, size: tuple[int, ...]) -> np.ndarray:
    lead, depth = shape(draw, 0, 2), draw(st.integers(1, len(size)))
    columns = [indices(draw, n, lead) for n in size[:depth]]
    return np.stack(columns, axis=-1)


def _truth_scatter_update(x: np.ndarray, index: np.ndarray, new: np.ndarray, reduction: str | None) -> Any:
    fn = {None: lambda a, b: b, "add": np.add, "max": np.maximum, "min": np.minimum, "mul": np.multiply}[reduction]
    out = x.copy()
    for at in np.ndindex(index.shape[:-1]):
        out[tuple(index[at])] = fn(out[tuple(index[at])], new[at])
    return out


@spec("gather_nd", truth=lambda x, index: np.array([x[tuple(i)] for i in index.reshape(-1, index.shape[-1])])
      .reshape((*index.shape[:-1], *x.shape[index.shape[-1] :])), second=True)  # fmt: skip
def _(draw: Any) -> tuple[Inputs, Params]:
    x = floats(draw, shape(draw, 1, 3, 1))
    return [x, _places(draw, x.shape)], {}


@spec("scatter_update", truth=_truth_scatter_update, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    x, reduction = floats(draw, shape(draw, 1, 3, 1)), draw(st.sampled_from([None, "add"]))
    index = _places(draw, x.shape)
    if reduction is None:  # each place written once: what else is written there has no derivative
        index = np.unique(index.reshape(-1, index.shape[-1]) % x.shape[: index.shape[-1]], axis=0)
    return [x, index, floats(draw, (*index.shape[:-1], *x.shape[index.shape[-1] :]))], {"reduction": reduction}


def _windowed(draw: Any) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    x = floats(draw, shape(draw, 1, 3))
    sizes = tuple(draw(st.integers(0, n)) for n in x.shape)
    return x, rng(draw).integers(-2, 6, x.ndim), sizes


def _inside(x: np.ndarray, starts: np.ndarray, sizes: tuple[int, ...]) -> Any:
    first = [min(max(int(s), 0), n - k) for s, n, k in zip(starts, x.shape, sizes, strict=True)]
    return np.ix_(*(np.arange(a, a + k) for a, k in zip(first, sizes, strict=True)))


@spec("dynamic_slice", truth=lambda x, starts, sizes: x[_inside(x, starts, sizes)], second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    x, starts, sizes = _windowed(draw)
    return [x, starts], {"sizes": sizes}


def _truth_dynamic_update(x: np.ndarray, new: np.ndarray, starts: np.ndarray) -> Any:
    out = x.copy()
    out[_inside(x, starts, new.shape)] = new
    return out


@spec("dynamic_update_slice", truth=_truth_dynamic_update, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    x, starts, sizes = _windowed(draw)
    return [x, floats(draw, sizes), starts], {}


# --- padding and resizing
# ----------------------------------------------------------------------------------------------------


def _padded_cell(i: int, n: int, mode: str) -> int | None:
    """Which cell of an axis of `n` cells a padded cell at place i (0: the first real one) shows."""
    if mode == "constant":
        return i if 0 <= i < n else None
    if mode == "edge":
        return min(max(i, 0), n - 1)
    if mode == "wrap":
        return i % n
    if mode == "symmetric":
        return (i % (2 * n)) if i % (2 * n) < n else 2 * n - 1 - i % (2 * n)
    period = max(2 * n - 2, 1)
    return (i % period) if i % period < n else period - i % period


def _truth_pad(x: np.ndarray, widths: Any, mode: str, value: float) -> Any:
    out = np.full([n + lo + hi for n, (lo, hi) in zip(x.shape, widths, strict=True)], value)
    for at in np.ndindex(out.shape):
        cell = [_padded_cell(i - lo, n, mode) for i, (lo, _), n in zip(at, widths, x.shape, strict=True)]
        if None not in cell:
            out[at] = x[tuple(cell)]
    return out


@spec("pad", truth=_truth_pad, second=True)
def _(draw: Any) -> tuple[Inputs, Params]:
    mode = draw(st.sampled_from(["constant", "reflect", "symmetric", "edge", "wrap"]))
    x = floats(draw, shape(draw, 0, 3, 0 if mode == "constant" else 1))
    widths = tuple((draw(st.integers(0, 5)), draw(st.integers(0, 5))) for _ in x.shape)
    return [x], {"widths": widths, "mode": mode, "value": 2.5}


METHODS = {
    "nearest": "nearest",
    "bilinear": "linear",
    "bicubic": "cubic",
    "lanczos3": "lanczos3",
    "lanczos5": "lanczos5",
}


def _jax_resize(x: Any, shape: tuple[int, ...], method: str, antialias: bool) -> Any:
    return jax.image.resize(x, shape, METHODS[method], antialias=antialias)


def _jax_resize_grad(g: np.ndarray, shape: tuple[int, ...], method: str, antialias: bool) -> Any:
    _, pull = jax.vjp(lambda x: _jax_resize(x, g.shape, method, antialias), np.zeros(shape, np.float32))
    return pull(g.astype(np.float32))[0]


def _sample_resize(draw: Any) -> tuple[Inputs, Params]:
    a, b, c, d = (draw(st.integers(1, 6)) for _ in range(4))
    settings = {"method": draw(st.sampled_from(sorted(METHODS))), "antialias": draw(st.booleans())}
    return [floats(draw, (2, a, b, 1))], {"shape": (2, c, d, 1)} | settings


SPECS["resize"] = Spec(_sample_resize, _jax_resize, second=True, rtol=2e-5)
SPECS["resize_grad"] = Spec(_sample_resize, _jax_resize_grad, second=True, rtol=2e-5)
