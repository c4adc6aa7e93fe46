"""Gradients of `striate.ops` against those of real Keras on JAX: each function, all convolutions."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import pytest

from striate import engines, ops
from striate.autodiff import vjp
from striate.core import tree
from striate.ir import Aval
from striate.trace import trace
from tests.ops_cases import CASES, IMAGE_CASES, Case

# NumPy steps without a gradient, results that are not differentiable, and points at which conventions differ (ties).
WITHOUT = set(
    [
    "floor_divide", "unique", "nonzero",
    "histogram", "correlate", "quantile", "percentile", "nanmedian", "det", "inv", "solve",
    "cholesky", "slogdet", "solve_triangular", "vander", "i0", "geomspace", "nextafter", "fmod",
    "convert_to_tensor", "isin", "repeat", "segment_prod", "segment_max", "segment_min", "norm", "heaviside",
    "bincount",
    ]
)  # fmt: skip
# Values at which the function has a kink on purpose: whole numbers among the drawn ones.
KINKS = set(
    [
    "maximum", "minimum", "fmax", "fmin", "clip", "relu", "relu6", "hard_tanh", "hard_shrink", "soft_shrink",
    "threshold", "abs", "absolute", "fabs", "prod", "cumprod", "nanprod", "nancumprod", "power", "sign", "mod",
    "top_k", "sort", "median", "divide_no_nan", "sparse_plus", "hard_sigmoid", "hard_silu",
    "hard_swish",
    ]
)  # fmt: skip


# Equal maxima share the gradient here, Keras gives it to one of them: a slight slope keeps the drawn numbers apart.
TIED = {"adaptive_max_pool"}


def _numbers(result: Any) -> list[Any]:
    return [v for v in tree.flatten(result) if "float" in str(v.dtype)]


def _weighted(module: Any, result: Any) -> Any:
    """A sum of all float results with weights, so that every element has a gradient of its own."""
    total: Any = 0.0
    for v in _numbers(result):
        weights = np.cos(np.arange(int(np.prod(v.shape)), dtype="float32")).reshape(tuple(v.shape))
        total = module.add(total, module.sum(module.multiply(v, weights)))
    return total


CHOSEN = [("", c) for c in CASES if c[0] not in WITHOUT] + [("image", c) for c in IMAGE_CASES]
CHOSEN = [
    (family, c)
    for family, c in CHOSEN
    if c[1] and isinstance(c[1][0], np.ndarray) and c[1][0].dtype == np.float32 and c[1][0].size
]


# JAX compiles each of them: one call of a function is enough, but windows have many ways to be wrong.
MANY = {"conv", "conv_transpose", "depthwise_conv", "max_pool", "average_pool", "einsum", "matmul"}
FIRST = {c[0]: n for n, (_, c) in reversed(list(enumerate(CHOSEN)))}
CHOSEN = [entry for n, entry in enumerate(CHOSEN) if entry[1][0] in MANY or FIRST[entry[1][0]] == n]


@pytest.mark.parametrize(("family", "case"), CHOSEN, ids=lambda v: v[0] if isinstance(v, tuple) else v)
def test_gradient_by_the_first_argument(family: str, case: Case) -> None:
    name, args, kwargs = case
    x = args[0] + 0.0137 if name in KINKS else args[0]
    if name in TIED:
        x = x + np.linspace(0, 0.01, x.size, dtype=x.dtype).reshape(x.shape)
    ours, theirs = (getattr(m, family) if family else m for m in (ops, keras.ops))
    if not _numbers(getattr(ours, name)(x, *args[1:], **kwargs)):
        pytest.skip("no float result")
    graph = trace(
        lambda v: _weighted(ops, getattr(ours, name)(v, *args[1:], **kwargs)), [Aval(x.shape, "float32")]
    ).graph
    found = engines.get("reference").compile(vjp(graph, [0]))([x, np.ones((), np.float32)])[0]
    expected = jax.grad(lambda v: _weighted(keras.ops, getattr(theirs, name)(v, *args[1:], **kwargs)))(x)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


def test_custom_gradient() -> None:
    scale = np.float32(3)

    @ops.custom_gradient
    def double(x: Any) -> Any:
        return x * 2, lambda g: g * 100

    np.testing.assert_array_equal(double(np.ones(2, np.float32)), [2, 2])
    graph = trace(lambda x: ops.sum(double(x * scale)), [Aval((2,), "float32")]).graph
    run = engines.get("reference").compile(vjp(graph, [0]))
    np.testing.assert_array_equal(run([np.ones(2, np.float32), np.ones((), np.float32)])[0], [300, 300])


def test_stop_gradient_and_cond() -> None:
    def fn(x: Any) -> Any:
        y = ops.cond(ops.sum(x) > 0, lambda: x * x, lambda: x * 5)
        return ops.sum(y + ops.stop_gradient(x * 7))

    run = engines.get("reference").compile(vjp(trace(fn, [Aval((2,), "float32")]).graph, [0]))
    one = np.ones((), np.float32)
    np.testing.assert_array_equal(run([np.array([3, 1], np.float32), one])[0], [6, 2])
    np.testing.assert_array_equal(run([np.array([-3, 1], np.float32), one])[0], [5, 5])
