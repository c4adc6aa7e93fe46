"""The only window arithmetic there is: sizes, padding, transposed convolutions, receptive fields.

Everything rests on two lines. With input size i, padding p = lo + hi, stride s and a kernel that spans
k_eff = (k - 1) d + 1,

    formula (6)         o  = floor((i + p - k_eff) / s) + 1               `_count`
    its inverse         o' = s (i' - 1) + a + k_eff - p                   `_span`,  a = (i + p - k_eff) mod s

as the chapter numbers them; formulas (4) `o = i - k + 1` and (5) `o = i + p - k + 1` are (6) without padding or stride.
Source: Dumoulin & Visin (2016), "A guide to convolution arithmetic for deep learning", relationships 6, 14 and 15.

Throughout, one axis has the size `i`, kernel `k`, stride `s`, dilation `d`; `padding` is a name or a pair `(lo, hi)`. A
size that is not known is None, and so is whatever depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from striate.core.errors import message
from striate.core.window_arguments import normalize_output_padding as normalize_output_padding
from striate.core.window_arguments import normalize_padding as normalize_padding
from striate.core.window_arguments import normalize_tuple as normalize_tuple
from striate.core.window_arguments import unknown_padding

Size: TypeAlias = int | None
Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = str | Pair
Paddings: TypeAlias = str | Sequence[Pair]


def _count(i: int, p: int, k_eff: int, s: int) -> int:
    """How many windows fit: formula (6), o = floor((i + p - k_eff) / s) + 1."""
    return (i + p - k_eff) // s + 1


def _span(n: int, p: int, k_eff: int, s: int, a: int = 0) -> int:
    """What `n` windows cover, without the padding: o' = s (i' - 1) + a + k_eff - p, the inverse of (6)."""
    return s * (n - 1) + a + k_eff - p


def _halves(p: int) -> Pair:
    """Padding shared out as TensorFlow does: an odd zero goes to the end."""
    return p // 2, p - p // 2


def effective_kernel(k: int, d: int = 1) -> int:
    """The span of a kernel with d - 1 gaps between its k entries: k_eff = (k - 1) d + 1."""
    return (k - 1) * d + 1


# Sizes and padding ----------------------------------------------------------------------------------------------------


def pads(padding: Padding, i: Size, k: int, s: int = 1, d: int = 1) -> Pair | None:
    """Zeros before and after one axis; None where they depend on an unknown size.

    `"valid"` none; `"full"` k_eff - 1 on either side (p = 2 (k - 1) in the chapter); `"causal"` k_eff - 1 before;
    `"same"` just enough for ceil(i / s) windows (p = k - 1 at stride 1), half on either side.

    Raises:
        ValueError: for an unknown name.
    """
    if not isinstance(padding, str):
        return padding[0], padding[1]
    reach = effective_kernel(k, d) - 1
    if padding == "same":
        return _same(i, reach + 1, s)
    fixed = {"valid": (0, 0), "full": (reach, reach), "causal": (reach, 0)}
    if padding not in fixed:
        raise ValueError(unknown_padding(padding, (*fixed, "same"), ""))
    return fixed[padding]


def _same(i: Size, k_eff: int, s: int) -> Pair | None:
    if s == 1:
        return _halves(k_eff - 1)
    if i is None:
        return None
    windows = _count(i, k_eff - 1, k_eff, s)  # ceil(i / s)
    return _halves(max(_span(windows, 0, k_eff, s) - i, 0))


def output_size(i: Size, k: int, s: int = 1, padding: Padding = (0, 0), d: int = 1) -> Size:
    """The output size of a convolution or pooling along one axis, formula (6); below 1 where the window does not fit.

        o = floor((i + p - k_eff) / s) + 1

    >>> output_size(7, 3, s=2, padding="same"), output_size(128, 5, s=3)
    (4, 42)
    """
    both = pads(padding, i, k, s, d)
    return None if i is None or both is None else _count(i, sum(both), effective_kernel(k, d), s)


def resolve_pads(
    spatial: Sequence[Size], kernel: Sequence[int], strides: Sequence[int], padding: Paddings, dilation: Sequence[int]
) -> tuple[Pair | None, ...]:
    """`pads` for each axis: every kind of padding as explicit pairs."""
    axes = zip(_per_axis(padding, len(kernel)), spatial, kernel, strides, dilation, strict=True)
    return tuple(pads(p, i, k, s, d) for p, i, k, s, d in axes)


def kernel_pads(
    spatial: Sequence[Size], kernel: Sequence[int], strides: Sequence[int], padding: Paddings, dilation: Sequence[int]
) -> tuple[Pair | None, ...]:
    """`resolve_pads` as kernels take it: so much that all windows which formula (6) counts fit."""
    found = resolve_pads(spatial, kernel, strides, padding, dilation)
    axes = zip(found, spatial, kernel, strides, dilation, strict=True)
    return tuple(_reached(both, i, effective_kernel(k, d), s) for both, i, k, s, d in axes)


def _reached(both: Pair | None, i: Size, k_eff: int, s: int) -> Pair | None:
    """Padding up to the end of the last window: no more where sizes are rounded down, as they are in (6)."""
    if both is None or i is None:
        return both
    p = sum(both)
    return both[0], both[1] + max(_span(_count(i, p, k_eff, s), p, k_eff, s) - i, 0)


def output_shape(
    spatial: Sequence[Size],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Paddings,
    dilation: Sequence[int],
    *,
    where: str = "",
    what: str = "kernel",
) -> tuple[Size, ...]:
    """`output_size` for each axis.

    Args:
        spatial: sizes of the spatial axes, None where unknown.
        kernel, strides, dilation: one int per axis.
        padding: a name, or a pair `(lo, hi)` per axis.
        where: the layer, for the error; `what`: `"kernel"` or `"pooling window"`, likewise.

    Raises:
        ValueError: where the window does not fit, with the formula's numbers and what would fit.
    """
    axes = list(zip(spatial, kernel, strides, _per_axis(padding, len(kernel)), dilation, strict=True))
    sizes = tuple(output_size(*axis) for axis in axes)
    bad = [n for n, size in enumerate(sizes) if size is not None and size < 1]
    if bad:
        raise ValueError(_does_not_fit(axes, bad, padding, where, what))
    return sizes


def leftover(i: Size, k: int, s: int = 1, padding: Padding = (0, 0), d: int = 1) -> Size:
    """a = (i + p - k_eff) mod s: the cells at the end, padding among them, that no window reaches."""
    both = pads(padding, i, k, s, d)
    return None if i is None or both is None else (i + sum(both) - effective_kernel(k, d)) % s


def alike(i: int, k: int, s: int = 1, padding: Padding = (0, 0), d: int = 1) -> tuple[int, ...]:
    """The input sizes that give the output size of `i`, `i` among them: with stride s there are up to s."""
    size = output_size(i, k, s, padding, d)
    return tuple(n for n in range(max(i - s, 1), i + s + 1) if output_size(n, k, s, padding, d) == size)


def formula(i: int, k: int, s: int = 1, padding: Padding = (0, 0), d: int = 1) -> str:
    """Formula (6) with its numbers: `"o = floor((7 + 2 - 3)/2) + 1 = 4"`."""
    p = sum(pads(padding, i, k, s, d) or (0, 0))
    return f"o = floor(({i} + {p} - {effective_kernel(k, d)})/{s}) + 1 = {output_size(i, k, s, padding, d)}"


def adaptive_windows(i: int, o: int) -> tuple[Pair, ...]:
    """The `o` windows `(start, end)` that adaptive pooling takes from size `i`: floor(n i / o) up to
    ceil((n + 1) i / o)."""
    return tuple((n * i // o, -(-(n + 1) * i // o)) for n in range(o))


# Transposed convolutions ----------------------------------------------------------------------------------------------


def transposed_size(
    i: Size, k: int, s: int = 1, padding: Padding = (0, 0), d: int = 1, output_padding: Size = None
) -> Size:
    """The output size of a transposed convolution along one axis.

        o' = s (i' - 1) + a + k_eff - p

    For a pair, `"full"` and `"causal"`, p is their sum and a is `output_padding` (None: 0). Keras's two names choose p
    and a:

    - `"valid"`: p = 0, a = `output_padding`, or with None just enough that every stride is whole: max(s - k_eff, 0),
      so that o' = s (i' - 1) + max(k_eff, s);
    - `"same"`: o' = s i' with None, else s (i' - 1) + k_eff mod 2 + `output_padding`. p and a follow from o': see
      `transposed_pads`.
    """
    if i is None:
        return None
    lo, hi, a = transposed_terms(k, s, padding, d, output_padding)
    return _span(i, lo + hi, effective_kernel(k, d), s, a)


def transposed_pads(
    i: Size, k: int, s: int = 1, padding: Padding = (0, 0), d: int = 1, output_padding: Size = None
) -> Pair:
    """The padding of the associated forward convolution: the one from size o' (`transposed_size`) to size i'.

    With it, `transposed(y)[o]` is the sum of `y[j] w[t]` over all j, t with `o = j s + t d - lo`. It never depends on
    `i`. For `"same"` it is what makes i' windows cover o', half on either side: p = max(s (i' - 1) + k_eff - o', 0).
    `hi` is negative only where
    `output_padding >= s`, so that the forward convolution still gives i'.
    """
    lo, hi, a = transposed_terms(k, s, padding, d, output_padding)
    return lo, hi - a // s * s


def transposed_terms(k: int, s: int, padding: Padding, d: int, output_padding: Size) -> tuple[int, int, int]:
    """lo, hi and a of o' = s (i' - 1) + a + k_eff - (lo + hi), as `transposed_size` chooses them."""
    k_eff = effective_kernel(k, d)
    if padding == "same":
        tail = s if output_padding is None else k_eff % 2 + output_padding  # o' - s (i' - 1)
        return *_halves(max(k_eff - tail, 0)), max(tail - k_eff, 0)
    if padding == "valid" and output_padding is None:
        return 0, 0, max(s - k_eff, 0)
    lo, hi = pads(padding, None, k, s, d) or (0, 0)
    return lo, hi, output_padding or 0


def spread_pads(k: int, s: int = 1, padding: Padding = (0, 0), d: int = 1, output_padding: Size = None) -> Pair:
    """The zeros before and after the spread input (s - 1 zeros between its units), p' = 2 (k_eff - 1) - p + a in all.

    Over it an ordinary convolution with stride 1 gives the transposed one. A negative number takes cells away.
    """
    lo, hi, a = transposed_terms(k, s, padding, d, output_padding)
    reach = effective_kernel(k, d) - 1
    return reach - lo, reach - hi + a


def transposed_shape(
    spatial: Sequence[Size],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Paddings,
    dilation: Sequence[int],
    output_padding: Sequence[int] | None = None,
    *,
    where: str = "",
) -> tuple[Size, ...]:
    """`transposed_size` for each axis; ValueError naming `where` for an axis of size below 1."""
    axes = list(_transposed_axes(spatial, kernel, strides, padding, dilation, output_padding))
    sizes = tuple(transposed_size(*axis) for axis in axes)
    for axis, size in zip(axes, sizes, strict=True):
        if size is not None and size < 1:
            raise ValueError(_transposed_empty(*axis, where=where))
    return sizes


def resolve_transposed_pads(
    spatial: Sequence[Size],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Paddings,
    dilation: Sequence[int],
    output_padding: Sequence[int] | None = None,
) -> tuple[Pair, ...]:
    """`transposed_pads` for each axis."""
    axes = _transposed_axes(spatial, kernel, strides, padding, dilation, output_padding)
    return tuple(transposed_pads(*axis) for axis in axes)


def _transposed_axes(spatial: Any, kernel: Any, strides: Any, padding: Any, dilation: Any, extra: Any) -> Any:
    extras = (None,) * len(kernel) if extra is None else tuple(extra)
    return zip(spatial, kernel, strides, _per_axis(padding, len(kernel)), dilation, extras, strict=True)


def output_padding_for(
    size: int, i: int, k: int, s: int = 1, padding: Padding = (0, 0), d: int = 1, *, where: str = ""
) -> int:
    """The `output_padding` with which a transposed convolution of size `i` gives `size`.

    Raises:
        ValueError: when the forward convolution does not bring `size` back to `i`; the sizes that it does are named.
    """
    zero = transposed_size(i, k, s, padding, d, 0) or 0
    possible = [n for n in range(zero, zero + s + 1) if n >= 1 and output_size(n, k, s, padding, d) == i]
    if size not in possible:
        problem = (
            f"an output size of {size} cannot come from an input of {i} (kernel {k}, stride {s}, {_shown(padding)})"
        )
        raise ValueError(message(where, problem, f"Possible: {', '.join(map(str, possible)) or 'none'}"))
    return size - zero


class Transpose(NamedTuple):
    """A transposed convolution as an ordinary one, over the input with s - 1 zeros between its units (the chapter's
    primes)."""

    kernel: int
    stride: int
    padding: int
    a: int


def associated_transpose(i: int, k: int, s: int = 1, padding: Padding = (0, 0), d: int = 1) -> Transpose:
    """k', s', p' and a of the transposed convolution that undoes the sizes of a convolution of an input of size i:

        k' = k,   s' = 1,   p' = 2 (k_eff - 1) - p + a,   a = (i + p - k_eff) mod s

    (Dumoulin & Visin 2016, relationships 8 to 15.) With it, o' = s (o - 1) + a + k_eff - p = i.
    """
    p = sum(pads(padding, i, k, s, d) or (0, 0))
    k_eff = effective_kernel(k, d)
    a = i - _span(_count(i, p, k_eff, s), p, k_eff, s)
    return Transpose(k, 1, 2 * (k_eff - 1) - p + a, a)


# Receptive fields -----------------------------------------------------------------------------------------------------


Span: TypeAlias = tuple[float, float]  # the first and the last position; nothing where they are the wrong way round


def seen(span: Span, k: int, s: int = 1, lo: int = 0, d: int = 1) -> Span:
    """The input positions that the outputs in `span` see through a window with `lo` cells of padding before."""
    return span[0] * s - lo, span[1] * s - lo + effective_kernel(k, d) - 1


def seen_transposed(span: Span, k: int, s: int = 1, lo: int = 0, d: int = 1) -> Span:
    """Likewise through a transposed convolution: output o sees all j with o = j s + t d - lo for some tap t."""
    first, last = span[0] + lo - effective_kernel(k, d) + 1, span[1] + lo
    return -(-first // s), last // s


def seen_adaptive(span: Span, i: int, o: int) -> Span:
    """Likewise through the windows of `adaptive_windows`."""
    return span[0] * i // o, -(-(span[1] + 1) * i // o) - 1


class Receptive(NamedTuple):
    """What one output unit sees of the input, along one axis, after a stack of windows.

    Unit n sees the positions `start + n jump` to `start + n jump + size - 1`; those outside the input are padding.
    `start` is None where a padding is unknown. A dilated stack may skip positions in between. Behind a transposed
    convolution the jump is a fraction, and `size` is that of the units that see most;
    where a unit sees everything it is infinite.
    """

    size: int | float = 1
    jump: int | Fraction = 1
    start: Size = 0

    def then(self, k: int, s: int = 1, padding: Pair | None = (0, 0), d: int = 1) -> Receptive:
        """With one more window on top: size + (k_eff - 1) jump, jump s, start - lo jump."""
        start = None if self.start is None or padding is None else int(self.start - padding[0] * self.jump)
        size = self.size if math.isinf(self.size) else int(self.size + (effective_kernel(k, d) - 1) * self.jump)
        return Receptive(size, self.jump * s, start)

    def span(self, n: int) -> Span | None:
        """The first and the last input position that unit `n` sees."""
        first = None if self.start is None else int(self.start + n * self.jump)
        return None if first is None else (first, first + self.size - 1)


def _per_axis(padding: Paddings, rank: int) -> tuple[Padding, ...]:
    return (padding,) * rank if isinstance(padding, str) else tuple(padding)


# Words for what does not fit ------------------------------------------------------------------------------------------


def _does_not_fit(axes: Sequence[Any], bad: Sequence[int], padding: Paddings, where: str, what: str) -> str:
    spatial, kernel, _, _, dilation = zip(*axes, strict=True)
    spread = f" with dilation {_times(dilation)}" if any(d > 1 for d in dilation) else ""
    first, second = _sized(kernel, what), _sized(spatial, "input")
    numbers = formula(*axes[bad[0]])
    problem = f"{first}{spread} does not fit {second} with {_shown(padding)} ({numbers})"
    keras_says = "Computed output size would be zero or negative"  # what users know and search for
    return message(where, f"{problem}. {keras_says}", _what_fits(axes, bad, what))


def _what_fits(axes: Sequence[Any], bad: Sequence[int], what: str) -> str:
    ways = [f"an input of at least {_times([_smallest_input(*axis) for axis in axes])}"]
    if all(axes[n][0] >= 1 for n in bad):  # an empty input takes neither
        largest = min(_largest_kernel(*axes[n]) for n in bad)
        ways = ["padding='same'", f"a {what} of at most {largest}", *ways]
    use = ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}, or {ways[-1]}"
    return f"Use {use}"


def _largest_kernel(i: int, k: int, s: int, padding: Padding, d: int) -> int:
    both = pads(padding, i, k, s, d) or (0, 0)
    return (i + sum(both) - 1) // d + 1


def _smallest_input(i: Size, k: int, s: int, padding: Padding, d: int) -> int:
    both = (0, 0) if isinstance(padding, str) and padding == "valid" else pads(padding, 1, k, s, d) or (0, 0)
    return max(_span(1, sum(both), effective_kernel(k, d), s), 1)


def _transposed_empty(i: int, k: int, s: int, padding: Padding, d: int, output_padding: Size, *, where: str) -> str:
    lo, hi, a = transposed_terms(k, s, padding, d, output_padding)
    size = transposed_size(i, k, s, padding, d, output_padding)
    numbers = f"o' = {s}({i} - 1) + {a} + {effective_kernel(k, d)} - {lo + hi} = {size}"
    problem = f"a transposed convolution of an input of {i} with {_shown(padding)} has no output ({numbers})"
    short = 1 - (size or 0)
    input_ = f"an input of at least {i - (-short // s)}"
    padding_ = f"{short} less padding (at most {lo + hi - short} in all)" if lo + hi >= short else ""
    kernel = "" if isinstance(padding, str) else f"a kernel of at least {k - (-short // d)}"
    ways = [w for w in (padding_, kernel, input_) if w]
    return message(where, problem, f"Use {' or '.join(ways)}")


def _shown(padding: Any) -> str:
    return f"padding={padding!r}"


def _sized(sizes: Sequence[Any], what: str) -> str:
    """`a 5x5 kernel`, but `a kernel of 5`: with one axis a bare number before the noun reads badly."""
    if len(sizes) == 1:
        return f"{'an' if what[0] in 'aeiou' else 'a'} {what} of {sizes[0]}"
    vowel = str(sizes[0]).startswith("8") or sizes[0] in (11, 18)
    return f"{'an' if vowel else 'a'} {_times(sizes)} {what}"


def _times(sizes: Sequence[Any]) -> str:
    return "x".join(map(str, sizes))
