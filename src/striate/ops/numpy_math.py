"""Elementwise functions of `keras.ops.numpy`: arithmetic, powers, trigonometry, comparisons, logic and bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.ops.base import as_float, cast_to, common_dtype, convert, dtype_name, host, op, tensors
from striate.primitives import elementwise as prim


def _named(name: str, doc: str, fn: Callable[..., Any], names: tuple[str, ...] = ()) -> Any:
    """Publishes `fn` under `name`: for rows of the tables below."""
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    return op("numpy", names=names)(fn)


def _float_unary(name: str, primitive: Any, doc: str) -> Any:
    """A function whose result is a float of the input's width; integers count as `floatx()`."""

    def fn(x: Any) -> Any:
        return primitive(as_float(x))

    return _named(name, doc, fn)


sqrt = _float_unary("sqrt", prim.sqrt, "The non-negative square root of each element.")
exp = _float_unary("exp", prim.exp, "e to the power of each element.")
expm1 = _float_unary("expm1", prim.expm1, "`exp(x) - 1`, exact for small x.")
log = _float_unary("log", prim.log, "The natural logarithm of each element.")
log1p = _float_unary("log1p", prim.log1p, "`log(1 + x)`, exact for small x.")
log2 = _float_unary("log2", prim.log2, "The logarithm to base 2 of each element.")
log10 = _float_unary("log10", prim.log10, "The logarithm to base 10 of each element.")
sin = _float_unary("sin", prim.sin, "The sine of each element, in radians.")
cos = _float_unary("cos", prim.cos, "The cosine of each element, in radians.")
tan = _float_unary("tan", prim.tan, "The tangent of each element, in radians.")
arcsin = _float_unary("arcsin", prim.arcsin, "The inverse sine of each element, in radians.")
arccos = _float_unary("arccos", prim.arccos, "The inverse cosine of each element, in radians.")
arctan = _float_unary("arctan", prim.arctan, "The inverse tangent of each element, in radians.")
sinh = _float_unary("sinh", prim.sinh, "The hyperbolic sine of each element.")
cosh = _float_unary("cosh", prim.cosh, "The hyperbolic cosine of each element.")
arcsinh = _float_unary("arcsinh", prim.arcsinh, "The inverse hyperbolic sine of each element.")
arccosh = _float_unary("arccosh", prim.arccosh, "The inverse hyperbolic cosine of each element.")
arctanh = _float_unary("arctanh", prim.arctanh, "The inverse hyperbolic tangent of each element.")
floor = _float_unary("floor", prim.floor, "The largest whole number not above each element.")
ceil = _float_unary("ceil", prim.ceil, "The smallest whole number not below each element.")
reciprocal = _float_unary("reciprocal", prim.reciprocal, "1 / x for each element.")
exp2 = _float_unary("exp2", lambda x: prim.exp(prim.mul(x, np.log(2.0))), "2 to the power of each element.")
deg2rad = _float_unary("deg2rad", lambda x: prim.mul(x, np.pi / 180), "Degrees as radians.")
rad2deg = _float_unary("rad2deg", lambda x: prim.mul(x, 180 / np.pi), "Radians as degrees.")
fabs = _float_unary("fabs", prim.absolute, "The absolute value of each element, as a float.")


@op("numpy")
def cbrt(x: Any) -> Any:
    """The cube root of each element, of negative ones too."""
    x = as_float(x)
    return prim.mul(prim.sign(x), prim.power(prim.absolute(x), 1 / 3))


@op("numpy")
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), and 1 at 0."""
    x = as_float(x)
    zero = prim.equal(x, 0)
    angle = prim.mul(prim.where(zero, prim.ones_like(x), x), np.pi)
    return prim.where(zero, prim.ones_like(x), prim.div(prim.sin(angle), angle))


@op("numpy")
def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind, order 0. It has no gradient."""
    return host(lambda a: np.i0(a).astype(a.dtype), as_float(x))


def _arithmetic_input(x: Any) -> Any:
    """`x` as a tensor on which arithmetic is defined: bools become int32."""
    x = convert(x)
    return cast_to(x, "int32") if dtype_name(x) == "bool" else x


@op("numpy", names=("abs",))
def absolute(x: Any) -> Any:
    """The absolute value of each element, in the dtype of `x`."""
    x = convert(x)
    return x if dtype_name(x) in ("bool", "uint8", "uint16", "uint32", "uint64") else prim.absolute(x)


@op("numpy")
def negative(x: Any) -> Any:
    """-x, in the dtype of `x`."""
    return prim.neg(convert(x))


@op("numpy")
def sign(x: Any) -> Any:
    """-1, 0 or 1 with the sign of each element."""
    return prim.sign(_arithmetic_input(x))


@op("numpy")
def square(x: Any) -> Any:
    """x * x, in the dtype of `x`; bools as int32."""
    return prim.square(_arithmetic_input(x))


@op("numpy")
def round(x: Any, decimals: int = 0) -> Any:
    """Each element rounded to `decimals` places, halves to the even neighbour.

    Args:
        decimals: may be negative: tens, hundreds ... Defaults to 0.
    """
    x = convert(x)
    if not dtypes.is_floating(dtype_name(x)):
        return x if decimals >= 0 else host(lambda a: np.round(a, decimals), x)
    scale = 10.0**decimals
    return prim.rint(x) if decimals == 0 else prim.div(prim.rint(prim.mul(x, scale)), scale)


@op("numpy")
def trunc(x: Any) -> Any:
    """Each element without its fraction; integers as they are."""
    x = convert(x)
    if not dtypes.is_floating(dtype_name(x)):
        return x
    return prim.where(prim.less(x, 0), prim.ceil(x), prim.floor(x))


def _to_bool(name: str, primitive: Any, of_integers: bool, doc: str) -> Any:
    """A test of float values; for integers it has the answer `of_integers` everywhere."""

    def fn(x: Any) -> Any:
        x = convert(x)
        return (
            primitive(x) if dtypes.is_floating(dtype_name(x)) else (prim.equal if of_integers else prim.not_equal)(x, x)
        )

    return _named(name, doc, fn)


isfinite = _to_bool("isfinite", prim.isfinite, True, "Whether each element is neither infinite nor NaN.")
isinf = _to_bool("isinf", prim.isinf, False, "Whether each element is plus or minus infinity.")
isnan = _to_bool("isnan", prim.isnan, False, "Whether each element is NaN.")
isposinf = _to_bool("isposinf", lambda x: prim.equal(x, np.inf), False, "Whether each element is plus infinity.")
isneginf = _to_bool("isneginf", lambda x: prim.equal(x, -np.inf), False, "Whether each element is minus infinity.")
signbit = _to_bool("signbit", lambda x: host(np.signbit, x), False, "Whether the sign bit is set (-0.0 has it, too).")


def _binary(name: str, primitive: Any, doc: str, names: tuple[str, ...] = (), least: str | None = None) -> Any:
    """A function of two tensors in the dtype that they promote to; `least` takes part in the promotion."""

    def fn(x1: Any, x2: Any) -> Any:
        wanted = common_dtype(x1, x2)
        if least == "float" and not dtypes.is_floating(wanted):
            wanted = dtypes.result_type(wanted, float)
        if least == "int" and wanted == "bool":
            wanted = "int32"
        return primitive(cast_to(x1, wanted), cast_to(x2, wanted))

    return _named(name, doc, fn, names)


add = _binary("add", prim.add, "x1 + x2.")
subtract = _binary("subtract", prim.sub, "x1 - x2.")
multiply = _binary("multiply", prim.mul, "x1 * x2.")
divide = _binary("divide", prim.div, "x1 / x2, a float.", ("true_divide",), "float")
true_divide = divide
floor_divide = _binary(
    "floor_divide",
    prim.floor_div,
    "The largest whole number not above x1 / x2.",
    least="int",
)
mod = _binary("mod", prim.mod, "The remainder of x1 / x2, with the sign of x2.", least="int")
maximum = _binary("maximum", prim.maximum, "The larger of x1 and x2, element by element; NaN where either is NaN.")
minimum = _binary("minimum", prim.minimum, "The smaller of x1 and x2, element by element; NaN where either is NaN.")
arctan2 = _binary("arctan2", prim.arctan2, "The angle of the point (x2, x1), in radians from -pi to pi.", least="float")
equal = _binary("equal", prim.equal, "x1 == x2, as bools.")
not_equal = _binary("not_equal", prim.not_equal, "x1 != x2, as bools.")
greater = _binary("greater", prim.greater, "x1 > x2, as bools.")
greater_equal = _binary("greater_equal", prim.greater_equal, "x1 >= x2, as bools.")
less = _binary("less", prim.less, "x1 < x2, as bools.")
less_equal = _binary("less_equal", prim.less_equal, "x1 <= x2, as bools.")
gcd = _binary("gcd", lambda a, b: host(np.gcd, a, b), "The greatest common divisor of integers.")
lcm = _binary("lcm", lambda a, b: host(np.lcm, a, b), "The least common multiple of integers.")
nextafter = _binary(
    "nextafter", lambda a, b: host(np.nextafter, a, b), "The next float after x1 towards x2.", least="float"
)
heaviside = _binary(
    "heaviside",
    lambda a, b: prim.where(prim.equal(a, 0), _spread(b, a), cast_to(prim.greater(a, 0), dtype_name(a))),
    "0 where x1 < 0, x2 where x1 == 0, 1 where x1 > 0.", least="float",
)  # fmt: skip
fmax = _binary(
    "fmax", lambda a, b: _ignoring_nan(prim.maximum, a, b), "The larger of x1 and x2; a NaN loses against a number."
)
fmin = _binary(
    "fmin", lambda a, b: _ignoring_nan(prim.minimum, a, b), "The smaller of x1 and x2; a NaN loses against a number."
)
fmod = _binary(
    "fmod",
    lambda a, b: host(np.fmod, a, b), "The remainder of x1 / x2, with the sign of x1.", least="int",
)  # fmt: skip
divide_no_nan = _binary(
    "divide_no_nan",
    lambda a, b: prim.where(prim.equal(b, 0), prim.zeros_like(prim.add(a, b)), prim.div(a, _nonzero(b))),
    "x1 / x2, and 0 where x2 is 0.", least="float",
)  # fmt: skip
hypot = _binary("hypot", lambda a, b: _hypot(a, b), "sqrt(x1^2 + x2^2), without overflow.", least="float")
logaddexp = _binary(
    "logaddexp", lambda a, b: _logaddexp(a, b), "log(exp(x1) + exp(x2)), without overflow.", least="float"
)
logaddexp2 = _binary(
    "logaddexp2",
    lambda a, b: prim.div(_logaddexp(prim.mul(a, np.log(2.0)), prim.mul(b, np.log(2.0))), np.log(2.0)),
    "log2(2^x1 + 2^x2), without overflow.", least="float",
)  # fmt: skip


def _spread(x: Any, like: Any) -> Any:
    """`x` broadcast against `like`, whose values don't matter."""
    return prim.where(prim.equal(like, like), x, x)


def _nonzero(x: Any) -> Any:
    return prim.where(prim.equal(x, 0), prim.ones_like(x), x)


def _ignoring_nan(better: Any, a: Any, b: Any) -> Any:
    if not dtypes.is_floating(dtype_name(a)):
        return better(a, b)
    return prim.where(prim.isnan(a), b, prim.where(prim.isnan(b), a, better(a, b)))


def _hypot(a: Any, b: Any) -> Any:
    a, b = prim.absolute(a), prim.absolute(b)
    high, low = prim.maximum(a, b), prim.minimum(a, b)
    ratio = prim.div(low, _nonzero(high))
    root = prim.mul(high, prim.sqrt(prim.add(prim.square(ratio), 1)))
    return prim.where(prim.isinf(high), high, root)


def _logaddexp(a: Any, b: Any) -> Any:
    difference = prim.sub(a, b)
    smooth = prim.add(prim.maximum(a, b), prim.log1p(prim.exp(prim.neg(prim.absolute(difference)))))
    # equal infinities: their difference is NaN, their sum is right
    return prim.where(prim.isnan(difference), prim.add(a, b), smooth)


@op("numpy")
def power(x1: Any, x2: Any) -> Any:
    """x1 to the power of x2; bools as int32.

    A Python number 2, 1, 0.5 or -1 as `x2` takes the cheaper way that it has.
    """
    wanted = common_dtype(x1, x2)
    wanted = "int32" if wanted == "bool" else wanted
    base = cast_to(x1, wanted)
    if type(x2) in (int, float) and x2 in (1, 2):
        return prim.square(base) if x2 == 2 else base
    if not dtypes.is_floating(wanted):
        return host(_integer_power, base, cast_to(x2, wanted))
    return prim.power(base, cast_to(x2, wanted))


def _integer_power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Powers of integers; NumPy refuses negative exponents, whose result is 0 except for 1 and -1."""
    inverse = np.where(np.abs(a) == 1, a, 0).astype(a.dtype)
    return np.where(b < 0, np.power(inverse, np.abs(b)), np.power(a, np.maximum(b, 0))).astype(a.dtype)


@op("numpy")
def ldexp(x1: Any, x2: Any) -> Any:
    """x1 * 2^x2; `x2` must be integers, else TypeError."""
    exponent = convert(x2)
    if not dtypes.is_integer(dtype_name(exponent)):
        raise TypeError(f"ldexp exponent must be an integer type. Received: x2 dtype={exponent.dtype}")
    value = as_float(x1)
    return prim.mul(value, prim.exp(prim.mul(cast_to(exponent, dtype_name(value)), np.log(2.0))))


def _logical(name: str, primitive: Any, doc: str) -> Any:
    def fn(x1: Any, x2: Any) -> Any:
        return primitive(cast_to(x1, "bool"), cast_to(x2, "bool"))

    return _named(name, doc, fn)


logical_and = _logical("logical_and", prim.logical_and, "Whether both are true (not zero).")
logical_or = _logical("logical_or", prim.logical_or, "Whether either is true (not zero).")
logical_xor = _logical("logical_xor", prim.logical_xor, "Whether exactly one is true (not zero).")


@op("numpy")
def logical_not(x: Any) -> Any:
    """Whether each element is zero."""
    return prim.logical_not(cast_to(x, "bool"))


def _bits(name: str, primitive: Any, doc: str, names: tuple[str, ...] = ()) -> Any:
    def fn(x: Any, y: Any) -> Any:
        a, b = tensors(x, y)
        if dtypes.is_floating(dtype_name(a)):
            raise TypeError(
                f"{name} works on integers and bools, got dtypes {dtype_name(a)} and {dtype_name(b)}. Cast them."
            )
        return primitive(a, b)

    return _named(name, doc, fn, names)


bitwise_and = _bits("bitwise_and", prim.bitwise_and, "The bits set in both.")
bitwise_or = _bits("bitwise_or", prim.bitwise_or, "The bits set in either.")
bitwise_xor = _bits("bitwise_xor", prim.bitwise_xor, "The bits set in exactly one.")
left_shift = _bits("left_shift", prim.left_shift, "x with its bits moved left by y.", ("bitwise_left_shift",))
right_shift = _bits("right_shift", prim.right_shift, "x with its bits moved right by y.", ("bitwise_right_shift",))
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


@op("numpy", names=("bitwise_invert",))
def bitwise_not(x: Any) -> Any:
    """x with every bit flipped."""
    return prim.bitwise_not(convert(x))


bitwise_invert = bitwise_not


@op("numpy")
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """Each element moved into [x_min, x_max]; bools become int32. None leaves a side open."""
    x = _arithmetic_input(x)
    wanted = dtype_name(x) if x_min is None or x_max is None else common_dtype(x, x_min, x_max)
    x = cast_to(x, wanted)
    x = x if x_min is None else prim.maximum(x, cast_to(x_min, wanted))
    return x if x_max is None else prim.minimum(x, cast_to(x_max, wanted))


@op("numpy")
def nan_to_num(x: Any, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN as `nan`, infinities as `posinf` and `neginf` (by default the largest and smallest number of the dtype)."""
    x = convert(x)
    if not dtypes.is_floating(dtype_name(x)):
        return x
    info = np.finfo(dtype_name(x))
    x = prim.where(prim.isnan(x), cast_to(nan, dtype_name(x)), x)
    x = prim.where(prim.equal(x, np.inf), cast_to(info.max if posinf is None else posinf, dtype_name(x)), x)
    return prim.where(prim.equal(x, -np.inf), cast_to(info.min if neginf is None else neginf, dtype_name(x)), x)


@op("numpy")
def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether |x1 - x2| <= atol + rtol |x2|, element by element; infinities are close to themselves."""
    a, b = tensors(x1, x2, floating=True)
    near = prim.less_equal(prim.absolute(prim.sub(a, b)), prim.add(prim.mul(prim.absolute(b), rtol), atol))
    near = prim.logical_and(near, prim.logical_and(prim.isfinite(a), prim.isfinite(b)))
    near = prim.logical_or(near, prim.equal(a, b))
    return prim.logical_or(near, prim.logical_and(prim.isnan(a), prim.isnan(b))) if equal_nan else near


# Complex numbers have no place in the engine: these are what they are for real numbers.


@op("numpy")
def real(x: Any) -> Any:
    """The real part: `x` itself, as tensors are real."""
    return convert(x)


@op("numpy")
def imag(x: Any) -> Any:
    """The imaginary part: zeros, as tensors are real."""
    x = convert(x)
    return prim.sub(x, x) if dtype_name(x) != "bool" else prim.logical_xor(x, x)


@op("numpy", names=("conjugate",))
def conj(x: Any) -> Any:
    """The complex conjugate: `x` itself, as tensors are real."""
    return convert(x)


conjugate = conj


@op("numpy")
def isreal(x: Any) -> Any:
    """Whether each element is real: True, as tensors are."""
    x = convert(x)
    return prim.logical_or(cast_to(x, "bool"), prim.logical_not(cast_to(x, "bool")))


@op("numpy")
def angle(x: Any) -> Any:
    """The angle in the complex plane: 0 for numbers >= 0, pi for negative ones, -0.0 among them."""
    x = as_float(x)
    return prim.arctan2(prim.zeros_like(x), x)
