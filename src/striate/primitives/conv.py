"""N-D convolution and its two gradients, closed under differentiation.

`conv` is the cross-correlation of the chapter, equation (1), over any number of spatial axes, channels last:
`x (batch, *spatial, channels)`, `w (*kernel, channels / groups, filters)`, giving `(batch, *out, filters)`. It is
linear in `x` and in `w`, so its gradients are the two other ops here, and theirs lead back: the transposed convolution
is `conv_input_grad` (Dumoulin & Visin 2016, section 4).
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from striate.core import window
from striate.ir import Aval
from striate.primitives.base import Array, Primitive, aval_of, register

Pads = tuple[tuple[int, int], ...]
Ints = tuple[int, ...]


def _check(name: str, x: Ints, w: Ints, groups: int) -> None:
    if len(x) != len(w) or len(x) < 3:
        raise ValueError(f"{name}: expected an input and a kernel of one rank (3 or more), got shapes {x} and {w}.")
    if groups < 1 or x[-1] != w[-2] * groups or w[-1] % groups:
        raise ValueError(
            f"{name}: an input with {x[-1]} channels and a kernel of shape {w} do not fit with groups={groups}: "
            f"the kernel "
            f"must have channels / groups = {x[-1]} / {groups} on its last axis but one, and groups must divide "
            f"its filters."
        )


def _check_dtypes(name: str, a: Aval, b: Aval) -> None:
    if a.dtype != b.dtype:
        raise TypeError(f"{name}: inputs must have one dtype, got {a.dtype} and {b.dtype}. Cast one of them.")


def _infer_conv(x: Aval, w: Aval, *, strides: Ints, padding: Pads, dilation: Ints, groups: int) -> Aval:
    _check("conv", x.shape, w.shape, groups)
    _check_dtypes("conv", x, w)
    out = window.output_shape(x.shape[1:-1], w.shape[:-2], strides, padding, dilation, where="conv")
    return Aval((x.shape[0], *out, w.shape[-1]), x.dtype)  # type: ignore[arg-type]


def _taps(kernel: Ints) -> Any:
    return product(*(range(k) for k in kernel))


def _tap_slices(tap: Ints, out: Ints, strides: Ints, dilation: Ints) -> tuple[slice, ...]:
    """Which padded input cells the kernel's cell `tap` meets, one per output position."""
    return tuple(
        slice(t * d, t * d + (o - 1) * s + 1 if o else t * d, s)
        for t, o, s, d in zip(tap, out, strides, dilation, strict=True)
    )


def _padded(x: np.ndarray, padding: Pads) -> np.ndarray:
    """`x` with zeros around its spatial axes; negative padding crops."""
    crop = tuple(slice(max(-lo, 0), n - max(-hi, 0)) for (lo, hi), n in zip(padding, x.shape[1:-1], strict=True))
    add = [(0, 0), *((max(lo, 0), max(hi, 0)) for lo, hi in padding), (0, 0)]
    return np.pad(x[(slice(None), *crop)], add)


def _split(a: np.ndarray, groups: int) -> np.ndarray:
    """Channels (last axis) as (groups, channels / groups)."""
    return a.reshape(*a.shape[:-1], groups, a.shape[-1] // groups)


def _conv(x: np.ndarray, w: np.ndarray, *, strides: Ints, padding: Pads, dilation: Ints, groups: int) -> np.ndarray:
    out: Any = tuple(window.output_shape(x.shape[1:-1], w.shape[:-2], strides, padding, dilation, where="conv"))
    xg, wg = _split(_padded(x, padding), groups), _split(w, groups)
    y = np.zeros((x.shape[0], *out, groups, w.shape[-1] // groups), np.result_type(x, w))
    for tap in _taps(w.shape[:-2]):
        cells = xg[(slice(None), *_tap_slices(tap, out, strides, dilation))]
        y += np.einsum("...gc,cgf->...gf", cells, wg[tap], optimize=True)
    return y.reshape(x.shape[0], *out, w.shape[-1])


def _conv_vjp(g: Array, y: Array, x: Array, w: Array, **params: Any) -> tuple[Array, Array]:
    return (
        conv_input_grad(g, w, input_shape=tuple(aval_of(x).shape), **params),
        conv_kernel_grad(x, g, kernel_shape=tuple(aval_of(w).shape), **params),
    )


conv: Primitive = register(Primitive("conv", _infer_conv, _conv, _conv_vjp, "conv"))


def _infer_input_grad(g: Aval, w: Aval, *, input_shape: Ints, **params: Any) -> Aval:
    _check_dtypes("conv_input_grad", g, w)
    expected = _infer_conv(Aval(tuple(input_shape), g.dtype), w, **params)
    if expected.shape != tuple(g.shape):
        raise ValueError(f"conv_input_grad: a convolution of {input_shape} gives {expected.shape}, but got {g.shape}.")
    return Aval(tuple(input_shape), g.dtype)


def _input_grad(
    g: np.ndarray, w: np.ndarray, *, input_shape: Ints, strides: Ints, padding: Pads, dilation: Ints, groups: int
) -> np.ndarray:
    spatial = tuple(n + lo + hi for n, (lo, hi) in zip(input_shape[1:-1], padding, strict=True))
    gg, wg = _split(g, groups), _split(w, groups)
    padded = np.zeros((input_shape[0], *spatial, groups, input_shape[-1] // groups), np.result_type(g, w))
    for tap in _taps(w.shape[:-2]):
        cells = (slice(None), *_tap_slices(tap, g.shape[1:-1], strides, dilation))
        padded[cells] += np.einsum("...gf,cgf->...gc", gg, wg[tap], optimize=True)
    whole = padded.reshape(input_shape[0], *spatial, input_shape[-1])
    return _padded(whole, tuple((-lo, -hi) for lo, hi in padding))


def _input_grad_vjp(
    gg: Array, y: Array, g: Array, w: Array, *, input_shape: Ints, **params: Any
) -> tuple[Array, Array]:
    return conv(gg, w, **params), conv_kernel_grad(gg, g, kernel_shape=tuple(aval_of(w).shape), **params)


conv_input_grad: Primitive = register(
    Primitive("conv_input_grad", _infer_input_grad, _input_grad, _input_grad_vjp, "conv")
)


def _infer_kernel_grad(x: Aval, g: Aval, *, kernel_shape: Ints, **params: Any) -> Aval:
    _check_dtypes("conv_kernel_grad", x, g)
    expected = _infer_conv(x, Aval(tuple(kernel_shape), x.dtype), **params)
    if expected.shape != tuple(g.shape):
        raise ValueError(f"conv_kernel_grad: a convolution of {x.shape} gives {expected.shape}, but got {g.shape}.")
    return Aval(tuple(kernel_shape), x.dtype)


def _kernel_grad(
    x: np.ndarray, g: np.ndarray, *, kernel_shape: Ints, strides: Ints, padding: Pads, dilation: Ints, groups: int
) -> np.ndarray:
    xg, gg = _split(_padded(x, padding), groups), _split(g, groups)
    shape = (*kernel_shape[:-1], groups, kernel_shape[-1] // groups)
    dw = np.zeros(shape, np.result_type(x, g))
    axes = "abdeh"[: x.ndim - 1]  # the batch and the spatial axes, all summed
    for tap in _taps(kernel_shape[:-2]):
        cells = xg[(slice(None), *_tap_slices(tap, g.shape[1:-1], strides, dilation))]
        dw[tap] = np.einsum(f"{axes}gc,{axes}gf->cgf", cells, gg, optimize=True)
    return dw.reshape(kernel_shape)


def _kernel_grad_vjp(
    gg: Array, y: Array, x: Array, g: Array, *, kernel_shape: Ints, **params: Any
) -> tuple[Array, Array]:
    return conv_input_grad(g, gg, input_shape=tuple(aval_of(x).shape), **params), conv(x, gg, **params)


conv_kernel_grad: Primitive = register(
    Primitive("conv_kernel_grad", _infer_kernel_grad, _kernel_grad, _kernel_grad_vjp, "conv")
)
