"""Normalization, losses and attention of `keras.ops.nn`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.core.config import epsilon as fuzz
from striate.ops.base import as_float, axes_of, cast_to, common_dtype, dtype_name, op
from striate.ops.indexing import one_hot
from striate.ops.numpy_linear import einsum
from striate.ops.numpy_reduce import mean_of, variance_of
from striate.ops.numpy_shape import reshape, squeeze
from striate.primitives import activations, elementwise, structural
from striate.primitives import softmax as softmaxes


@op("nn")
def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> tuple[Any, Any]:
    """The mean and the variance along `axes`. Half precision is computed in float32.

    Args:
        keepdims: whether the axes stay, with size 1.
        synchronized: across machines: there is only one here, so True raises NotImplementedError.
    """
    if synchronized:
        raise NotImplementedError("Argument synchronized=True is not supported: there is one machine.")
    x = as_float(x)
    name = dtype_name(x)
    wide = cast_to(x, dtypes.result_type(name, "float32"))
    places = axes_of(axes, x.ndim, "axes")
    mean = mean_of(wide, places, True)
    variance = variance_of(wide, mean, places, True)
    found = (_narrowed(mean, name), _narrowed(variance, name))
    return found if keepdims else (squeeze(found[0], places), squeeze(found[1], places))


def _narrowed(x: Any, name: str) -> Any:
    """`x` in a narrower dtype, cut off at its ends."""
    if dtype_name(x) == name:
        return x
    limit = float(np.finfo(name).max)
    return cast_to(elementwise.minimum(elementwise.maximum(x, -limit), limit), name)


@op("nn")
def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, with vectors along `axis` (arXiv:1502.03167).

    Raises:
        ValueError: vectors whose size is not that of the axis.
    """
    x = as_float(x)
    (place,) = axes_of(axis, x.ndim)
    vectors = {"mean": mean, "variance": variance, "offset": offset, "scale": scale}
    made: dict[str, Any] = {}
    for name, v in vectors.items():
        v = None if v is None else cast_to(v, dtype_name(x))
        if v is not None and tuple(v.shape) != (x.shape[place],):
            raise ValueError(
                f"`{name}` must be a vector with the size of axis {axis} of the inputs. Received: "
                f"{name}.shape={tuple(v.shape)}, "
                f"x.shape={tuple(x.shape)}"
            )
        made[name] = None if v is None else reshape(v, [-1 if i == place else 1 for i in range(x.ndim)])
    factor = elementwise.rsqrt(elementwise.add(made["variance"], epsilon))
    factor = factor if scale is None else elementwise.mul(factor, made["scale"])
    shift = elementwise.neg(elementwise.mul(made["mean"], factor))
    shift = shift if offset is None else elementwise.add(shift, made["offset"])
    return elementwise.add(elementwise.mul(x, factor), shift)


def _along(v: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """A factor over `axes` of `x`, with size 1 elsewhere."""
    v = cast_to(v, dtype_name(x))
    return reshape(v, [n if i in axes else 1 for i, n in enumerate(x.shape)]) if v.ndim < x.ndim else v


@op("nn")
def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None, **kwargs: Any
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, statistics along `axis` (arXiv:1607.06450).

    `epsilon` defaults to `keras.config.epsilon()`.
    """
    kwargs.pop("rms_scaling", None)
    if kwargs:
        raise TypeError(f"layer_normalization got unexpected arguments {sorted(kwargs)}.")
    original = as_float(x)
    x = cast_to(original, dtypes.result_type(dtype_name(original), "float32"))
    axes = axes_of(axis, x.ndim)
    mean, variance = moments(x, axes, keepdims=True)
    factor = elementwise.rsqrt(elementwise.add(variance, fuzz() if epsilon is None else epsilon))
    factor = factor if gamma is None else elementwise.mul(factor, _along(gamma, x, axes))
    made = elementwise.mul(elementwise.sub(x, mean), factor)
    made = made if beta is None else elementwise.add(made, _along(beta, x, axes))
    return cast_to(made, dtype_name(original))


@op("nn")
def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None) -> Any:
    """x / sqrt(mean(x^2) + epsilon) * scale, the mean along `axis` (arXiv:1910.07467).

    `epsilon` defaults to `keras.config.epsilon()`.
    """
    original = as_float(x)
    x = cast_to(original, dtypes.result_type(dtype_name(original), "float32"))
    axes = axes_of(axis, x.ndim)
    power = mean_of(elementwise.square(x), axes, True)
    made = elementwise.mul(x, elementwise.rsqrt(elementwise.add(power, fuzz() if epsilon is None else epsilon)))
    made = made if scale is None else elementwise.mul(made, _along(scale, x, axes))
    return cast_to(made, dtype_name(original))


@op("nn")
def normalize(x: Any, axis: Any = -1, order: Any = 2, epsilon: float | None = None) -> Any:
    """x / max(norm(x), epsilon), the norm of `order` along `axis`.

    Args:
        order: 2 (default) or any other int p of at least 1, for (sum |x|^p)^(1/p).
        epsilon: defaults to `keras.config.epsilon()`.

    Raises:
        ValueError: another order.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"Argument `order` must be an int >= 1. Received: order={order}")
    x = as_float(x)
    axes = axes_of(axis, x.ndim)
    least = fuzz() if epsilon is None else epsilon
    if order == 2:
        power = structural.reduce_sum(elementwise.square(x), axes=axes, keepdims=True)
        return elementwise.mul(x, elementwise.rsqrt(elementwise.maximum(power, least**2)))
    return elementwise.div(x, elementwise.maximum(_p_norm(x, axes, order), least))


def _p_norm(x: Any, axes: tuple[int, ...], order: Any) -> Any:
    size = elementwise.absolute(x)
    total = structural.reduce_sum(elementwise.power(size, float(order)), axes=axes, keepdims=True)
    return elementwise.power(total, 1 / float(order))


# Losses -----------------------------------------------------------------------------------------------------------
# --------


def _same_shape(target: Any, output: Any) -> None:
    if tuple(target.shape) != tuple(output.shape):
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. Received: "
            f"target.shape={tuple(target.shape)}, output.shape={tuple(output.shape)}"
        )


def _inside(p: Any) -> Any:
    """Probabilities kept away from 0 and 1, so that their logarithms are finite."""
    return elementwise.minimum(elementwise.maximum(p, fuzz()), 1 - fuzz())


@op("nn")
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """-(t log p + (1 - t) log(1 - p)), element by element; with `from_logits` p = sigmoid(output)."""
    wanted = common_dtype(target, output, floating=True)
    t, p = cast_to(target, wanted), cast_to(output, wanted)
    _same_shape(t, p)
    if from_logits:
        yes, no = activations.log_sigmoid(p), activations.log_sigmoid(elementwise.neg(p))
    else:
        p = _inside(p)
        yes, no = elementwise.log(p), elementwise.log(elementwise.sub(1, p))
    made = elementwise.add(elementwise.mul(t, yes), elementwise.mul(elementwise.sub(1, t), no))
    return elementwise.neg(made)


def _log_probabilities(output: Any, from_logits: bool, place: int) -> Any:
    if from_logits:
        return softmaxes.log_softmax(output, axis=place)
    total = structural.reduce_sum(output, axes=(place,), keepdims=True)
    return elementwise.log(_inside(elementwise.div(output, total)))


@op("nn")
def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """-sum(t log p) along `axis`; `output` are probabilities (made to sum to 1), or logits."""
    wanted = common_dtype(target, output, floating=True)
    t, p = cast_to(target, wanted), cast_to(output, wanted)
    _same_shape(t, p)
    if t.ndim < 1:
        raise ValueError(
            f"Arguments `target` and `output` must be at least rank 1. Received: target.shape={tuple(t.shape)}, "
            f"output.shape={tuple(p.shape)}"
        )
    (place,) = axes_of(axis, p.ndim)
    total = elementwise.mul(t, _log_probabilities(p, from_logits, place))
    return elementwise.neg(structural.reduce_sum(total, axes=(place,), keepdims=False))


@op("nn")
def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """-log p of the true class, given as integers; `output` as in `categorical_crossentropy`."""
    classes, p = cast_to(target, "int32"), as_float(output)
    if classes.ndim == p.ndim and classes.shape[-1] == 1:
        classes = squeeze(classes, -1)
    place = axes_of(axis, p.ndim)[0] if p.ndim else 0
    if p.ndim < 1 or tuple(classes.shape) != (*p.shape[:place], *p.shape[place + 1 :]):
        raise ValueError(
            "Arguments `target` and `output` must have the same shape up until the last dimension (or without `axis`): "
            f"target.shape={tuple(classes.shape)}, output.shape={tuple(p.shape)}, axis={axis}"
        )
    hot = one_hot(classes, p.shape[place], axis=place, dtype=dtype_name(p))
    total = elementwise.mul(hot, _log_probabilities(p, from_logits, place))
    return elementwise.neg(structural.reduce_sum(total, axes=(place,), keepdims=False))


@op("nn")
def psnr(x1: Any, x2: Any, max_val: Any) -> Any:
    """The peak signal-to-noise ratio, 20 log10(max_val) - 10 log10(mean((x1 - x2)^2)), in decibels."""
    wanted = common_dtype(x1, x2, floating=True)
    a, b = cast_to(x1, wanted), cast_to(x2, wanted)
    _same_shape(a, b)
    error = mean_of(elementwise.square(elementwise.sub(a, b)), axes_of(None, a.ndim), False)
    peak = elementwise.mul(elementwise.log10(cast_to(max_val, wanted)), 20.0)
    return elementwise.sub(peak, elementwise.mul(elementwise.log10(error), 10.0))


# Attention
# ----------------------------------------------------------------------------------------------------------------


@op("nn")
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    """softmax(q k^T scale + bias) v (arXiv:1706.03762), tensors `(batch, length, heads, size)`.

    Args:
        bias: added to the scores `(batch, heads, q length, k length)`, broadcast.
        mask: bools of that shape; False hides a key.
        scale: defaults to 1 / sqrt(size).
        is_causal: whether a query sees only keys up to its own place.
        flash_attention: True is not supported here (ValueError).
        attn_logits_soft_cap: scores become cap * tanh(score / cap).

    Raises:
        ValueError: another rank, or heads that don't divide.
    """
    if flash_attention:
        raise ValueError("Flash attention is not supported. Leave `flash_attention` out.")
    wanted = common_dtype(query, key, value, floating=True)
    q, k, v = (cast_to(t, wanted) for t in (query, key, value))
    if any(t.ndim != 4 for t in (q, k, v)) or q.shape[2] % k.shape[2]:
        raise ValueError(
            "`dot_product_attention` only supports 4D inputs (batch, length, heads, size). Received: "
            f"query.shape={tuple(q.shape)}, key.shape={tuple(k.shape)}, value.shape={tuple(v.shape)}."
        )
    k, v = _for_heads(k, q.shape[2]), _for_heads(v, q.shape[2])
    scores = einsum("bqhd,bkhd->bhqk", q, k)
    scores = elementwise.mul(scores, 1 / math.sqrt(q.shape[-1]) if scale is None else float(scale))
    scores = scores if bias is None else elementwise.add(scores, cast_to(bias, wanted))
    if attn_logits_soft_cap is not None:
        scores = elementwise.mul(activations.tanh(elementwise.div(scores, attn_logits_soft_cap)), attn_logits_soft_cap)
    lowest = np.asarray(0.7 * np.finfo(wanted).min, wanted)
    for hidden in _masks(mask, is_causal, scores):
        scores = elementwise.where(hidden, scores, lowest)
    return einsum("bhqk,bkhd->bqhd", softmaxes.softmax(scores, axis=3), v)


def _for_heads(x: Any, heads: int) -> Any:
    """Grouped queries: each head of keys and values serves several heads of queries."""
    batch, length, own, size = x.shape
    if own == heads:
        return x
    wide = structural.reshape(x, shape=(batch, length, own, 1, size))
    wide = structural.broadcast_to(wide, shape=(batch, length, own, heads // own, size))
    return structural.reshape(wide, shape=(batch, length, heads, size))


def _masks(mask: Any, is_causal: bool, scores: Any) -> list[Any]:
    found = [] if mask is None else [cast_to(mask, "bool")]
    return [*found, np.tril(np.ones(scores.shape[-2:], bool))] if is_causal else found


@op("math")
def cdist(x: Any, y: Any) -> Any:
    """The Euclidean distance of each row of `x` from each row of `y`."""
    wanted = common_dtype(x, y, floating=True)
    a, b = cast_to(x, wanted), cast_to(y, wanted)
    a = structural.reshape(a, shape=(*a.shape[:-1], 1, a.shape[-1]))
    b = structural.reshape(b, shape=(*b.shape[:-2], 1, *b.shape[-2:]))
    apart = elementwise.sub(a, b)
    total = structural.reduce_sum(elementwise.square(apart), axes=(apart.ndim - 1,), keepdims=False)
    return elementwise.sqrt(total)
