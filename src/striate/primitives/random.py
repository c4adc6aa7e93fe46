"""Random numbers from a counter: Threefry-2x32 with 20 rounds (Salmon et al. 2011), so that every engine draws the
same.

What `random_bits` draws depends on the key and on an element's place alone. The distributions are written with
primitives on top of it; only `random_uniform` is one itself, for speed. A key is a uint32 array of two words; never use
one key twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from striate.core import config
from striate.ir import Aval
from striate.primitives.base import Array, Primitive, register
from striate.primitives.elementwise import (
    add,
    bitwise_or,
    bitwise_xor,
    left_shift,
    maximum,
    minimum,
    mod,
    mul,
    right_shift,
)
from striate.primitives.sort import argsort
from striate.primitives.special import erfinv
from striate.primitives.structural import cast, reshape, slice_axis

Shape = tuple[int, ...]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
# keep derived keys apart from each other and from the numbers drawn with the key
_SPLIT, _FOLD = (0x5B1C7A2D, 0x9E3779B9), (0x2545F491, 0x4F6CDD1D)


def threefry(key: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two words for each counter (low, high), all uint32."""
    words = (key[:1], key[1:], key[:1] ^ key[1:] ^ np.uint32(_PARITY))
    a, b = low + words[0], high + words[1]
    room = np.empty_like(b)
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            a += b
            np.right_shift(b, np.uint32(32 - rotation), out=room)
            b <<= np.uint32(rotation)
            b |= room
            b ^= a
        a += words[(block + 1) % 3]
        b += words[(block + 2) % 3] + np.uint32(block + 1)
    return a, b


def _infer_bits(key: Aval, *, shape: Shape) -> Aval:
    if key.shape != (2,) or key.dtype != "uint32":
        raise ValueError(f"random_bits: a key must be two words of uint32, got {key.dtype} of shape {key.shape}.")
    return Aval(tuple(shape), "uint32")


# So many counters at a time: their words stay in a core's cache.
_CHUNK = 1 << 14


def _bits(key: np.ndarray, *, shape: Shape) -> np.ndarray:
    """Element i, counted through the whole array, is word i % 2 of the block with counter i // 2."""

    def store(part: np.ndarray, words: tuple[np.ndarray, np.ndarray]) -> None:
        part[:, 0], part[:, 1] = words

    return _in_chunks(key, shape, "uint32", store)


def _uniform(key: np.ndarray, *, shape: Shape, dtype: str, scale: float, offset: float) -> np.ndarray:
    def store(part: np.ndarray, words: tuple[np.ndarray, np.ndarray]) -> None:
        for i, word in enumerate(words):
            part[:, i] = word >> np.uint32(8)
        part *= np.asarray(2.0**-24, part.dtype)
        part *= np.asarray(scale, part.dtype)
        part += np.asarray(offset, part.dtype)

    return _in_chunks(key, shape, dtype, store)


Store = Callable[[np.ndarray, tuple[np.ndarray, np.ndarray]], None]


def _in_chunks(key: np.ndarray, shape: Shape, dtype: str, store: Store) -> np.ndarray:
    """An array of `shape`; `store(part, words)` turns the two words of each block into two elements (a row of part)."""
    count = math.prod(shape)
    blocks = (count + 1) // 2
    made = np.empty((blocks, 2), dtype)

    def fill(start: int) -> None:
        counters = np.arange(start, min(start + _CHUNK, blocks), dtype=np.uint64)
        low, high = counters.astype(np.uint32), (counters >> np.uint64(32)).astype(np.uint32)
        store(made[start : start + _CHUNK], threefry(key, low, high))

    _each_in_threads(fill, range(0, blocks, _CHUNK))
    return made.reshape(-1)[:count].reshape(shape)


def _each_in_threads(work: Callable[[int], None], items: range) -> None:
    """Does independent work, in threads where there is much of it: NumPy holds no lock while it computes."""
    worthwhile = len(items) // 16
    threads = min(config.num_threads(), worthwhile) if worthwhile > 1 else 1  # asking for them reads files
    if threads < 2:
        _each(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(_each, work, items[i::threads]) for i in range(threads)]:
            done.result()


def _each(work: Callable[[int], None], items: range) -> None:
    for item in items:
        work(item)


random_bits: Primitive = register(Primitive("random_bits", _infer_bits, _bits))


def _infer_uniform(key: Aval, *, shape: Shape, dtype: str, scale: float, offset: float) -> Aval:
    _infer_bits(key, shape=shape)
    return Aval(tuple(shape), dtype)


# scale * u + offset for the numbers u of `uniform` with float32's resolution, in one go: large weights are drawn so.
random_uniform: Primitive = register(Primitive("random_uniform", _infer_uniform, _uniform))


def fold_in(key: Array, number: int) -> Array:
    """A new key from a key and an integer."""
    mixed = random_bits(bitwise_xor(key, np.asarray(_FOLD, np.uint32)), shape=(2,))
    return random_bits(bitwise_xor(mixed, key_of(number)), shape=(2,))


def split(key: Array, count: int) -> Array:
    """`count` new keys, uint32 (count, 2)."""
    return random_bits(bitwise_xor(key, np.asarray(_SPLIT, np.uint32)), shape=(count, 2))


def _wide_bits(key: Array, shape: Shape) -> Array:
    """uint64 of `shape`."""
    words = cast(random_bits(key, shape=(*shape, 2)), dtype="uint64")
    high, low = (reshape(slice_axis(words, len(shape), i, i + 1), shape=shape) for i in (0, 1))
    return bitwise_or(left_shift(high, 32), low)


def uniform(key: Array, shape: Shape, dtype: str = "float32") -> Array:
    """Uniform in [0, 1), in steps of the distance between the floats below 1."""
    if dtype == "float64":
        return mul(cast(right_shift(_wide_bits(key, shape), 11), dtype=dtype), 2.0**-53)
    bits = {"float16": 11, "bfloat16": 8}.get(dtype, 24)
    drawn = mul(cast(right_shift(random_bits(key, shape=shape), 32 - bits), dtype="float32"), 2.0**-bits)
    return drawn if dtype == "float32" else cast(drawn, dtype=dtype)


def _centred(key: Array, shape: Shape, dtype: str) -> Array:
    """Uniform in (-1, 1), symmetric and never 0, +-1: odd multiples of a power of two, exact in `dtype`."""
    if dtype == "float64":
        k, bits = right_shift(_wide_bits(key, shape), 12), 52
    else:
        k, bits = right_shift(random_bits(key, shape=shape), 9), 23
    return add(mul(add(cast(k, dtype=dtype), 0.5), 2.0 ** (1 - bits)), -1)


def _through_float32(draw: Any, dtype: str) -> Array:
    return draw(dtype) if dtype in ("float32", "float64") else cast(draw("float32"), dtype=dtype)


def normal(key: Array, shape: Shape, dtype: str = "float32") -> Array:
    """Standard normal numbers, by the inverse of their distribution function."""
    return _through_float32(lambda d: mul(erfinv(_centred(key, shape, d)), math.sqrt(2)), dtype)


def truncated_normal(key: Array, shape: Shape, dtype: str = "float32", limit: float = 2.0) -> Array:
    """Standard normal numbers within +-`limit`."""
    part = math.erf(limit / math.sqrt(2))

    def draw(d: str) -> Array:
        drawn = mul(erfinv(mul(_centred(key, shape, d), part)), math.sqrt(2))
        return minimum(maximum(drawn, -limit), limit)

    return _through_float32(draw, dtype)


def randint(key: Array, shape: Shape, low: int, high: int, dtype: str = "int32") -> Array:
    """Integers in [low, high), from 64 bits each (the bias is below span / 2^64); ValueError for an empty range."""
    if low >= high:
        raise ValueError(f"randint: the range from {low} to {high} is empty. `minval` must be below `maxval`.")
    drawn = cast(mod(_wide_bits(key, shape), np.asarray(high - low, np.uint64)), dtype="int64")
    return cast(add(drawn, low), dtype=dtype)


def permutation(key: Array, count: int) -> Array:
    """The numbers 0 ... count - 1 in random order, int32."""
    return argsort(_wide_bits(key, (count,)), axis=0)


def key_of(seed: int) -> np.ndarray:
    """The key of an integer seed: its low and its high 32 bits."""
    return np.asarray([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], np.uint32)
