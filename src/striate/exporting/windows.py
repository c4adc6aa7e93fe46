"""Convolutions, poolings, padding and resizing in ONNX, with channels behind the batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from striate.core import window
from striate.exporting.family import Step, Val, Varying, count_of, is_known, known, of_trace
from striate.exporting.rules import rule
from striate.exporting.writer import INT64_MAX, Writer, to_first
from striate.primitives import get, run_reference
from striate.primitives.pad import source
from striate.primitives.resize import weights

Pads = Any  # (lo, hi) per axis


def _kernel(w: Writer, value: Val) -> str:
    """`(*kernel, channels, filters)` as `(filters, channels, *kernel)`."""
    order = [value.rank - 1, value.rank - 2, *range(value.rank - 2)]
    if value.data is not None:
        return w.array(np.transpose(value.data, order), value.name)
    return w.transposed(w.plain(value), order)


def _pads(padding: Pads) -> list[int]:
    return [lo for lo, _ in padding] + [hi for _, hi in padding]


def _padding(step: Step, kernel: Sequence[int]) -> dict[str, Any]:
    """The attribute for the padding: numbers, or that it is TensorFlow's SAME where it follows from the size."""
    padding = step.params["padding"]
    if is_known(padding):
        return {"pads": _pads(padding)}
    spatial = step.inputs[0].shape[1:-1]
    strides, dilation = step.params["strides"], step.params["dilation"]
    for i in range(count_of([*spatial, *padding])):
        sizes = (of_trace(tuple(spatial), i), kernel, strides, "same", dilation)
        if of_trace(padding, i) not in (window.resolve_pads(*sizes), window.kernel_pads(*sizes)):
            known(padding, step, "the padding")
    return {"auto_pad": "SAME_UPPER"}


def _cut(w: Writer, x: str, padding: Pads) -> tuple[str, Pads]:
    """Negative padding cuts off, which ONNX has an operator of its own for."""
    if not is_known(padding) or all(n >= 0 for n in _pads(padding)):
        return x, padding
    starts = [max(-lo, 0) for lo, _ in padding]
    stops = [min(hi, 0) or INT64_MAX for _, hi in padding]
    axes = list(range(2, 2 + len(starts)))
    cut = w.op("Slice", x, w.ints(starts), w.ints(stops), w.ints(axes))
    return cut, tuple((max(lo, 0), max(hi, 0)) for lo, hi in padding)


@rule("conv")
def _conv(w: Writer, s: Step) -> None:
    kernel = known(tuple(s.inputs[1].shape[:-2]), s, "the kernel")
    x, padding = _cut(w, w.first(s.inputs[0]), s.params["padding"])
    padded = {"pads": _pads(padding)} if is_known(padding) else _padding(s, kernel)
    names = [x, _kernel(w, s.inputs[1]), *(w.plain(b) for b in s.inputs[2:])]
    settings = {"kernel_shape": kernel, "strides": s.params["strides"], "dilations": s.params["dilation"]}
    w.put_first(s.outputs[0], w.op("Conv", *names, **settings, **padded, group=s.params["groups"]))


@rule("conv_input_grad")
def _conv_transpose(w: Writer, s: Step) -> None:
    """Output size of ONNX: s (i - 1) + output_padding + k_eff - lo - hi."""
    kernel = known(tuple(s.inputs[1].shape[:-2]), s, "the kernel")
    padding = known(s.params["padding"], s, "the padding")
    strides, dilation = s.params["strides"], s.params["dilation"]
    cut = tuple((max(lo, 0), max(hi, 0)) for lo, hi in padding)
    extra = _output_padding(s, kernel, padding)
    names = [w.first(s.inputs[0]), _kernel(w, s.inputs[1])]
    bias = [w.plain(b) for b in s.inputs[2:]]
    settings = {"kernel_shape": kernel, "strides": strides, "dilations": dilation, "pads": _pads(cut)}
    widened = cut != padding
    y = w.op("ConvTranspose", *names, *([] if widened else bias), **settings, output_padding=extra,
             group=s.params["groups"])  # fmt: skip
    if widened:  # cells that no window meets
        y = _around(w, y, [(0, 0), (0, 0), *((max(-lo, 0), max(-hi, 0)) for lo, hi in padding)])
        for b in s.inputs[2:]:
            y = w.op("Add", y, w.aligned_first(b, s.outputs[0].rank))
    w.put_first(s.outputs[0], y)


def _output_padding(s: Step, kernel: Sequence[int], padding: Pads) -> list[int]:
    given, made = s.inputs[0].shape[1:-1], s.outputs[0].shape[1:-1]
    found = []
    for i in range(count_of([*given, *made])):
        sizes = zip(of_trace(tuple(given), i), of_trace(tuple(made), i), kernel, s.params["strides"],
                    s.params["dilation"], padding, strict=True)  # fmt: skip
        found.append(tuple(o - (t * (n - 1) + (k - 1) * d + 1 - lo - hi) for n, o, k, t, d, (lo, hi) in sizes))
    agreed = found[0] if len(set(found)) == 1 else Varying(tuple(found))
    return list(known(agreed, s, "the output padding"))


def _around(w: Writer, x: str, widths: Sequence[tuple[int, int]], value: str = "") -> str:
    if not any(any(pair) for pair in widths):
        return x
    flat = [lo for lo, _ in widths] + [hi for _, hi in widths]
    return w.op("Pad", x, w.ints(flat), *([value] if value else []))


@rule("max_pool")
def _max_pool(w: Writer, s: Step) -> None:
    dtype, x = s.inputs[0].dtype, w.first(s.inputs[0])
    wide = dtype if dtype in ("float16", "float32", "float64", "int8", "uint8") else "float64"
    x = x if wide == dtype else w.op("Cast", x, to=wide)
    lowest = -np.inf if wide.startswith("float") else np.iinfo(wide).min
    y = _pooled(w, s, "MaxPool", x, w.number(lowest, wide))
    w.put_first(s.outputs[0], y if wide == dtype else w.op("Cast", y, to=dtype))


def _pooled(w: Writer, s: Step, kind: str, x: str, value: str, **attributes: Any) -> str:
    """A pooling; where the padding is as large as the window, which ONNX Runtime refuses, `value` is written around."""
    kernel, dilation = s.params["window"], s.params["dilation"]
    padded = _padding(s, kernel)
    if _is_wide(padded, kernel):
        x, padded = _around(w, x, [(0, 0), (0, 0), *s.params["padding"]], value), {}
    if set(dilation) - {1}:
        attributes["dilations"] = dilation
    return w.op(kind, x, kernel_shape=kernel, strides=s.params["strides"], **padded, **attributes)


def _is_wide(padded: dict[str, Any], kernel: Sequence[int]) -> bool:
    return any(p >= k for p, k in zip(padded.get("pads", ()), (*kernel, *kernel), strict=False))


@rule("avg_pool")
def _avg_pool(w: Writer, s: Step) -> None:
    (x,), counted = s.inputs, bool(s.params["count_include_pad"])
    zero = w.number(0, x.dtype)
    if counted or not _is_wide(_padding(s, s.params["window"]), s.params["window"]):
        y = _pooled(w, s, "AveragePool", w.first(x), zero, count_include_pad=int(counted))
    else:  # zeros were averaged as well: by how many the mean is too small
        y = w.op("Mul", _pooled(w, s, "AveragePool", w.first(x), zero), w.array(_shares(s)))
    w.put_first(s.outputs[0], y)


def _shares(s: Step) -> np.ndarray:
    """The cells of a window over those of them that are no padding, `(1, 1, *out)`."""
    (x,) = s.inputs
    ones = np.ones((1, *known(tuple(x.shape[1:-1]), s, "the size"), 1), x.dtype)
    inside = run_reference(get("avg_pool"), [ones], {**s.params, "count_include_pad": True})
    return np.moveaxis(np.divide(1, inside, where=inside > 0, out=np.ones_like(inside)), -1, 1)


@rule("lp_pool")
def _lp_pool(w: Writer, s: Step) -> None:
    """(sum of |x|^p)^(1/p): the average times the number of cells."""
    p, dtype = s.params["p"], s.inputs[0].dtype
    powers = w.op("Pow", w.op("Abs", w.first(s.inputs[0])), w.number(p, dtype))
    mean = _pooled(w, s, "AveragePool", powers, w.number(0, dtype), count_include_pad=1)
    total = w.op("Mul", mean, w.number(prod(s.params["window"]), dtype))
    w.put_first(s.outputs[0], w.op("Pow", total, w.number(1 / p, dtype)))


@rule("pad")
def _pad(w: Writer, s: Step) -> None:
    (x,), (out,) = s.inputs, s.outputs
    widths, mode = list(known(s.params["widths"], s, "the padding")), s.params.get("mode", "constant")
    moved = x.rank > 2 and w.only_first(x)
    name, axes = (w.first(x), to_first(x.rank)) if moved else (w.plain(x), list(range(x.rank)))
    if mode == "constant":
        value = s.params.get("value", 0)
        name = _around(w, name, [widths[a] for a in axes], w.number(value, x.dtype) if value else "")
    else:
        name = _continued(w, s, name, [(i, x.shape[a], widths[a]) for i, a in enumerate(axes)], mode)
    (w.put_first if moved else w.put)(out, name)


def _continued(w: Writer, s: Step, x: str, axes: Sequence[tuple[int, Any, tuple[int, int]]], mode: str) -> str:
    """Each padded axis reads the cells of the input that it repeats."""
    for axis, size, pair in axes:
        if any(pair):
            cells = source(known(size, s, "the size of a padded axis"), pair, mode)
            x = w.op("Gather", x, w.ints(cells.tolist()), axis=axis)
    return x


@rule("resize")
def _resize(w: Writer, s: Step) -> None:
    (x,), (out,) = s.inputs, s.outputs
    moved = x.rank > 2 and x.shape[0] == out.shape[0] and x.shape[-1] == out.shape[-1]
    order = to_first(x.rank) if moved else list(range(x.rank))
    name = w.first(x) if moved else w.plain(x)
    before, after = [x.shape[a] for a in order], [out.shape[a] for a in order]
    put = w.put_first if moved else w.put
    put(out, _by_operator(w, s, name, before, after) if _has_operator(s) else _by_matrices(w, s, name, before, after))


@rule("repeat")
def _repeat(w: Writer, s: Step) -> None:
    (x,), times = s.inputs, s.params["times"]
    moved = x.rank > 2 and times[0] == times[-1] == 1
    scales = np.asarray([times[a] for a in (to_first(x.rank) if moved else range(x.rank))], np.float32)
    y = w.op("Resize", w.first(x) if moved else w.plain(x), "", w.array(scales), mode="nearest",
             coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    (w.put_first if moved else w.put)(s.outputs[0], y)


def _has_operator(s: Step) -> bool:
    shrinks = any(of_trace(m, 0) < of_trace(n, 0) for n, m in zip(s.inputs[0].shape, s.outputs[0].shape, strict=True))
    return s.params["method"] == "nearest" or (
        s.params["method"] == "bilinear" and not (s.params["antialias"] and shrinks)
    )


def _by_operator(w: Writer, s: Step, x: str, before: Sequence[Any], after: Sequence[Any]) -> str:
    nearest = s.params["method"] == "nearest"
    settings: dict[str, Any] = {"nearest_mode": "round_prefer_ceil"} if nearest else {}
    settings |= {"mode": "nearest" if nearest else "linear", "coordinate_transformation_mode": "half_pixel"}
    if is_known(tuple(after)):
        return w.op("Resize", x, "", "", w.ints(list(after)), **settings)
    scales = [_scale(s, n, m) for n, m in zip(before, after, strict=True)]
    return w.op("Resize", x, "", w.array(np.asarray(scales, np.float32)), **settings)


def _scale(s: Step, n: Any, m: Any) -> float:
    found = {of_trace(m, i) / of_trace(n, i) for i in range(count_of([n, m]))}
    return found.pop() if len(found) == 1 else known(Varying(tuple(found)), s, "the scale")


def _by_matrices(w: Writer, s: Step, x: str, before: Sequence[Any], after: Sequence[Any]) -> str:
    """Each resized axis is a matrix product, as the engine computes it."""
    rank = len(before)
    for axis, (n, m) in enumerate(zip(before, after, strict=True)):
        if n == m:
            continue
        sizes = known((n, m), s, "the size")
        matrix = weights(*sizes, s.params["method"], s.params["antialias"]).astype(s.inputs[0].dtype)
        order = [*(a for a in range(rank) if a != axis), axis]
        y = w.op("MatMul", w.transposed(x, order), w.array(np.ascontiguousarray(matrix.T)))
        x = w.transposed(y, [order.index(a) for a in range(rank)])
    return x
