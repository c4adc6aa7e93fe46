"""Calls of `keras.ops` that are compared with real Keras: (name, arguments, keyword arguments)."""

from __future__ import annotations

import numpy as np

import tests.ops_cases_nn  # noqa: F401 - adds its calls to the same lists
from tests.ops_draws import CASES, IMAGE_CASES, Case, b, case, f, i, p, with_nan

__all__ = ["CASES", "IMAGE_CASES", "Case"]

# Elementwise, of floats, ints and bools
for name in [
    "abs",
    "absolute",
    "negative",
    "sign",
    "square",
    "round",
    "trunc",
    "floor",
    "ceil",
    "sqrt",
    "exp",
    "expm1",
    "exp2",
    "sin",
    "cos",
    "tan",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "isfinite",
    "isinf",
    "isnan",
    "isposinf",
    "isneginf",
    "signbit",
    "cbrt",
    "sinc",
    "fabs",
    "deg2rad",
    "rad2deg",
    "logical_not",
    "real",
    "imag",
    "conj",
    "angle",
    "isreal",
    "nan_to_num",
    "relu",
    "relu6",
    "sigmoid",
    "softplus",
    "silu",
    "swish",
    "log_sigmoid",
    "softsign",
    "elu",
    "celu",
    "selu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "hard_shrink",
    "soft_shrink",
    "tanh_shrink",
    "squareplus",
    "sparse_plus",
    "sparse_sigmoid",
    "leaky_relu",
    "erf",
    "erfc",
]:
    case(name, np.abs(f(3, 4)) if name == "sqrt" else f(3, 4))
for name in [
    "abs",
    "sign",
    "square",
    "round",
    "trunc",
    "floor",
    "ceil",
    "exp",
    "sin",
    "sqrt",
    "negative",
    "isnan",
    "logical_not",
    "tanh",
    "cbrt",
    "fabs",
    "signbit",
]:
    case(name, i(5, low=0))
for name in ["abs", "exp", "floor", "trunc", "logical_not", "isfinite", "tanh", "sin", "square"]:
    case(name, b(5))
for name in ["log", "log1p", "log2", "log10", "rsqrt", "reciprocal", "arcsin", "arccos", "arctanh", "erfinv", "i0"]:
    case(name, p(3, 4))
case("arccosh", p(4) + 1)
case("round", f(6), 2)
case("gelu", f(6), approximate=False)
case("leaky_relu", f(6), 0.3)
case("elu", f(6), 0.5)
case("celu", f(6), 0.5)
case("threshold", f(6), 0.5, -1.0)
case("nan_to_num", with_nan(6), 1.0)
case("square", np.float16([1.5, 2]))
case("exp", np.float16([1.5, 2]))

for name in [
    "add",
    "subtract",
    "multiply",
    "divide",
    "true_divide",
    "floor_divide",
    "mod",
    "maximum",
    "minimum",
    "arctan2",
    "equal",
    "not_equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logaddexp",
    "logaddexp2",
    "hypot",
    "heaviside",
    "fmax",
    "fmin",
    "fmod",
    "divide_no_nan",
    "isclose",
    "allclose",
]:
    case(name, f(3, 4), f(4))
    case(name, f(3, 1), 2)
for name in [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "mod",
    "maximum",
    "minimum",
    "equal",
    "less",
    "logical_and",
    "power",
    "arctan2",
    "divide_no_nan",
]:
    case(name, i(6), i(6, low=1))
    case(name, i(6), f(6) + 3.5)
    case(name, i(6), 2.5)
for name in ["add", "multiply", "maximum", "divide", "equal", "logical_or", "power", "floor_divide", "mod"]:
    case(name, b(6), np.ones(6, bool))
case("add", np.int8([1, 2]), np.uint8([3, 4]))
case("multiply", np.float16([1, 2]), np.float32([3, 4]))
case("add", np.float16([1, 2]), np.int32([3, 4]))
case("power", np.abs(f(5)) + 0.1, f(5))
case("power", f(5), 2)
case("power", i(5), 2)
case("nextafter", f(4), f(4))
case("gcd", i(5), i(5))
case("lcm", i(5), i(5))
case("ldexp", f(5), i(5))
for name in ["bitwise_and", "bitwise_or", "bitwise_xor"]:
    case(name, i(5), i(5))
case("bitwise_not", i(5))
case("left_shift", i(5), i(5, low=0))
case("right_shift", i(5), i(5, low=0))
case("clip", f(6), -0.5, 0.5)
case("clip", i(6), -2, 2)
case("clip", b(6), 0, 1)
case("where", b(3, 4), f(3, 4), 0.0)
case("where", b(3, 4), f(4), i(3, 1))
case("select", [b(4), b(4)], [f(4), f(4)], 3.0)

# Reductions
for name in [
    "sum",
    "mean",
    "var",
    "std",
    "max",
    "min",
    "amax",
    "amin",
    "prod",
    "ptp",
    "any",
    "all",
    "argmax",
    "argmin",
    "count_nonzero",
    "median",
    "nansum",
    "nanmean",
    "nanmax",
    "nanmin",
]:
    case(name, f(3, 4, 5))
    case(name, f(3, 4, 5), axis=1)
    if name != "count_nonzero":
        case(name, f(3, 4, 5), axis=-1, keepdims=True)
    if not name.startswith("arg"):
        case(name, f(3, 4, 5), axis=(0, 2))
    case(name, i(3, 4), axis=0)
for name in ["sum", "prod", "any", "all", "max", "cumsum", "cumprod", "mean", "argmax"]:
    case(name, b(3, 4), axis=0)
for name in ["sum", "prod", "cumsum"]:
    case(name, i(6, dtype="int8", low=-2, high=3))
    case(name, i(6, dtype="uint8", low=0, high=3))
for name in [
    "nansum",
    "nanmean",
    "nanstd",
    "nanvar",
    "nanmax",
    "nanmin",
    "nanprod",
    "nanmedian",
    "nanargmax",
    "nanargmin",
    "nancumsum",
    "nancumprod",
]:
    case(name, with_nan(3, 5), axis=1)
case("max", f(3, 4), axis=0, initial=0.5)
case("min", f(3, 4), initial=-0.5)
case("average", f(3, 4), axis=1, weights=p(4))
case("average", f(3, 4), weights=p(3, 4))
case("average", i(3, 4), axis=0)
for name in ["cumsum", "cumprod"]:
    case(name, f(3, 4), axis=1)
    case(name, f(3, 4))
case("quantile", f(5, 6), 0.3, axis=1)
case("quantile", f(5, 6), np.float32([0.2, 0.7]), axis=0, keepdims=True)
case("percentile", f(5, 6), 30.0, axis=1)
case("logsumexp", f(3, 4), axis=1)
case("logsumexp", f(3, 4), axis=(0, 1), keepdims=True)
case("norm", f(3, 4))
case("norm", f(3, 4), axis=1)
case("norm", f(3, 4), ord=1, axis=1)
case("norm", f(3, 4), ord=np.inf, axis=(0, 1))
case("sum", f(0, 3), axis=0)
case("mean", f(1, 3), axis=0)

# Shapes
case("reshape", f(2, 6), (3, -1))
case("reshape", f(2, 6), -1)
case("ravel", f(2, 6))
case("transpose", f(2, 3, 4))
case("transpose", f(2, 3, 4), (1, 0, 2))
case("swapaxes", f(2, 3, 4), 0, -1)
case("moveaxis", f(2, 3, 4), 0, -1)
case("moveaxis", f(2, 3, 4), (0, 1), (2, 0))
case("expand_dims", f(2, 3), 1)
case("expand_dims", f(2, 3), (0, -1))
case("squeeze", f(2, 1, 3, 1))
case("squeeze", f(2, 1, 3, 1), 1)
case("broadcast_to", f(3, 1), (2, 3, 4))
case("concatenate", [f(2, 3), f(4, 3)])
case("concatenate", [f(2, 3), i(2, 1)], axis=-1)
case("stack", [f(2, 3), f(2, 3)], axis=1)
case("append", f(2, 3), f(2, 3))
case("append", f(2, 3), f(1, 3), axis=0)
for name in ["vstack", "hstack", "dstack"]:
    case(name, [f(3), f(3)])
    case(name, [f(2, 3), f(2, 3)])
case("split", f(6, 2), 3)
case("split", f(6, 2), [1, 4])
case("array_split", f(7, 2), 3)
case("hsplit", f(2, 6), 3)
case("vsplit", f(6, 2), 3)
case("dsplit", f(1, 2, 6), 3)
for name in ["flip", "fliplr", "flipud", "rot90"]:
    case(name, f(3, 4))
case("flip", f(3, 4), axis=1)
for k in range(4):
    case("rot90", f(3, 4, 2), k=k, axes=(0, 1))
case("roll", f(3, 4), 2)
case("roll", f(3, 4), 1, axis=1)
case("roll", f(3, 4), (1, 2), axis=(0, 1))
case("tile", f(2, 3), 2)
case("tile", f(2, 3), (2, 1, 3))
case("repeat", f(2, 3), 2)
case("repeat", f(2, 3), 2, axis=1)
case("repeat", f(3, 2), np.array([1, 0, 2]), axis=0)
case("meshgrid", f(3), f(4))
case("meshgrid", f(3), f(4), f(2), indexing="ij")
case("pad", f(3, 4), 1)
case("pad", f(3, 4), ((1, 2), (0, 3)), "constant", 2.5)
for mode in ["reflect", "symmetric", "edge", "wrap"]:
    if mode in ("reflect", "symmetric"):
        case("pad", f(3, 4), ((1, 2), (0, 3)), mode)
case("diag", f(3))
case("diag", f(3, 4), k=1)
case("diagflat", f(3), k=-1)
case("diagonal", f(3, 4, 2), offset=1)
case("trace", f(3, 4))
case("tril", f(3, 4))
case("triu", f(2, 3, 4), k=1)
case("unstack", f(3, 2))
case("slice", f(4, 5), (1, 2), (2, 3))
case("slice_update", f(4, 5), (1, 2), f(2, 3))
case("diff", f(3, 5))
case("diff", f(3, 5), n=2, axis=0)
case("trapezoid", f(3, 5))
case("get_item", f(4, 5), (slice(1, 3), -1))

# Creation
case("zeros", (2, 3))
case("ones", (2, 3), "int32")
case("full", (2, 3), 4)
case("zeros_like", i(2, 3))
case("ones_like", f(2, 3), "int32")
case("full_like", f(2, 3), 3)
case("eye", 3, 4, 1)
case("identity", 3)
case("tri", 3, 4, 1)
case("arange", 5)
case("arange", 1, 7, 2)
case("arange", 0.0, 1.0, 0.25)
case("linspace", 0.0, 1.0, 5)
case("linspace", 0, 10, 4, False)
case("linspace", f(3), f(3), 4, axis=1)
case("logspace", 0.0, 2.0, 4)
case("geomspace", 1.0, 100.0, 4)
case("vander", f(4), 3)
for name in ["bartlett", "blackman", "hamming", "hanning"]:
    case(name, 7)
case("kaiser", 7, 3.0)

# Products
for x, y in (
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
):
    case("matmul", f(*x), f(*y))
    case("dot", f(*x), f(*y)) if len(x) < 3 else None
case("matmul", i(2, 3), i(3, 2))
case("dot", f(2, 2, 3), f(4, 3, 2))
case("tensordot", f(2, 3, 4), f(3, 4, 5))
case("tensordot", f(2, 3, 4), f(4, 2, 5), axes=([0, 2], [1, 0]))
case("inner", f(2, 3), f(4, 3))
case("outer", f(2, 3), f(4))
case("vdot", f(2, 3), f(2, 3))
case("kron", f(2, 3), f(2, 2))
case("cross", f(4, 3), f(4, 3))
case("cross", f(4, 2), f(4, 2))
for text, shapes in (
    ("ij,jk->ik", ((2, 3), (3, 4))),
    ("bij,bjk->bik", ((5, 2, 3), (5, 3, 4))),
    ("ij,jk", ((2, 3), (3, 4))),
    ("...ij,jk->...ik", ((2, 2, 3), (3, 4))),
    ("ii->i", ((3, 3),)),
    ("ij->", ((3, 2),)),
    ("i,j,k->kji", ((2,), (3,), (4,))),
    ("bhqd,bkhd->bhqk", ((2, 3, 4, 5), (2, 6, 3, 5))),
    ("ab,cb->a", ((2, 3), (4, 3))),
):
    case("einsum", text, *(f(*s) for s in shapes))

# Indices
case("take", f(4, 5), i(2, 3, low=0, high=4), axis=0)
case("take", f(4, 5), np.array([-1, 0]), axis=1)
case("take", f(4, 5), 3)
case("take_along_axis", f(4, 5), i(4, 2, low=0, high=5), axis=1)
case("one_hot", i(2, 3, low=0, high=4), 4)
case("one_hot", i(2, 3, low=-1, high=6), 4, axis=0)
case("one_hot", i(2, 3, low=0, high=4), 4, axis=1, dtype="int32")
case("multi_hot", i(2, 3, low=0, high=4), 4)
case("scatter", np.array([[0, 1], [1, 0]]), f(2), (2, 3))
case("scatter_update", f(3, 4), np.array([[0, 1], [2, 3]]), f(2))
case("scatter_update", f(3, 4), np.array([[0], [2]]), f(2, 4))
case("sort", f(3, 5))
case("sort", f(3, 5), axis=0)
case("argsort", f(3, 5))
case("top_k", f(3, 5), 2)
case("in_top_k", np.array([0, 2, 9]), f(3, 5), 2)
case("searchsorted", np.sort(f(5)), f(4))
case("digitize", f(4), np.sort(f(5)))
case("isin", i(5), i(3))
case("nonzero", i(3, 4, low=0, high=2))
case("unravel_index", np.int32([1, 5]), (2, 3))
case("bincount", i(7, low=0, high=5))
case("bincount", i(7, low=0, high=5), weights=f(7), minlength=8)
case("histogram", f(20), 5)
case("histogram", f(20), 5, (-1.0, 1.0))
for name in ["segment_sum", "segment_max", "segment_min", "segment_prod"]:
    case(name, f(5, 2), np.array([0, 0, 1, 1, 2]), 3)
case("extract_sequences", f(2, 9), 4, 2)
case("corrcoef", f(3, 6))
case("correlate", f(6), f(3), mode="full")
case("correlate", f(6), f(3))
