"""The neocognitron (Fukushima 1980, Biological Cybernetics 36, 193-202): S- and C-layers that teach themselves.

S-cells find features, C-cells let them shift. Nobody tells the network what the patterns are: whichever S-cell answers
most strongly takes on what it saw, and all cells of its plane with it, which is weight sharing nine years before it was
called so. At the end each pattern has a C-cell of its own, wherever in the field it appears.

    python examples/neocognitron.py
"""

from __future__ import annotations

import sys

import numpy as np

import striate
from striate import layers, ops

PATTERNS = {
    "0": (".###.", "#...#", "#...#", "#...#", "#...#", "#...#", ".###."),
    "1": ("..#..", ".##..", "..#..", "..#..", "..#..", "..#..", ".###."),
    "2": (".###.", "#...#", "....#", "...#.", "..#..", ".#...", "#####"),
    "3": ("####.", "....#", "....#", ".###.", "....#", "....#", "####."),
    "4": ("#...#", "#...#", "#...#", "#####", "....#", "....#", "....#"),
}
FIELD = 16


def drawn(name: str, row: int = 5, column: int = 6) -> np.ndarray:
    """A pattern on the input layer, `(1, 16, 16, 1)`, its top left corner at (row, column)."""
    field = np.zeros((1, FIELD, FIELD, 1), "float32")
    strokes = np.array([[c == "#" for c in line] for line in PATTERNS[name]], "float32")
    field[0, row : row + len(strokes), column : column + strokes.shape[1], 0] = strokes
    return field


def bell(size: int, width: float) -> np.ndarray:
    """Fixed weights that fall off from the middle, `(size, size)`, with sum 1."""
    r = np.arange(size) - (size - 1) / 2
    made = np.exp(-(r[:, None] ** 2 + r**2) / (2 * width**2))
    return (made / made.sum()).astype("float32")


class S(layers.Layer):
    """S-cells: each plane looks for one feature.

    u_S = r phi((1 + sum a u_C) / (1 + 2r/(1+r) b v_C) - 1), v_C = sqrt(sum c u_C^2), phi(x) = max(x, 0)

    Args:
        planes: the number of features.
        selectivity: r, how much a pattern may differ from the learned one.
        rate: q, how much is learned at once.
    """

    def __init__(self, planes: int, selectivity: float, rate: float, size: int = 5, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.planes, self.r, self.q, self.size = planes, selectivity, rate, size

    def build(self, input_shape: tuple[int, ...]) -> None:
        shape = (self.size, self.size, input_shape[-1], self.planes)
        rng = np.random.default_rng(len(self.name))
        self.a = self.add_weight(shape, lambda s, dtype=None: 1e-4 * rng.uniform(size=s), name="excitatory")
        self.b = self.add_weight((self.planes,), "zeros", name="inhibitory")
        self.c = np.repeat(bell(self.size, 2.0)[..., None, None], input_shape[-1], axis=2) / input_shape[-1]

    def inhibition(self, x: object) -> object:
        """v_C, `(batch, height, width, 1)`."""
        return ops.sqrt(ops.conv(ops.square(x), self.c, padding="same"))

    def call(self, x: object) -> object:
        excited = 1 + ops.conv(x, self.a, padding="same")
        inhibited = 1 + 2 * self.r / (1 + self.r) * self.b * self.inhibition(x)
        return self.r * ops.relu(excited / inhibited - 1)

    def learn(self, x: np.ndarray) -> None:
        """Seed cells take on what they see: da = q c u_C, db = q/2 v_C."""
        u, v = np.asarray(self(x))[0], np.asarray(self.inhibition(x))[0, ..., 0]
        a, b = self.a.numpy().copy(), self.b.numpy().copy()
        half = self.size // 2
        padded = np.pad(x[0], ((half, half), (half, half), (0, 0)))
        for plane, (row, column) in self.seeds(u, v).items():
            seen = padded[row : row + self.size, column : column + self.size]
            a[..., plane] += self.q * self.c[..., 0] * seen
            b[plane] += self.q / 2 * v[row, column]
        self.a.assign(a)
        self.b.assign(b)

    def seeds(self, u: np.ndarray, v: np.ndarray) -> dict[int, tuple[int, int]]:
        """For each plane the place of its seed cell: the strongest in the columns around it, if it is in its plane."""
        rows, columns, _ = u.shape
        found: dict[int, tuple[int, int]] = {}
        around = max(self.size // 2, rows // 4)
        taken = np.zeros((rows, columns), bool)
        for flat in np.argsort(u, axis=None)[::-1]:
            row, column, plane = (int(n) for n in np.unravel_index(flat, u.shape))
            if u[row, column, plane] <= 0 or v[row, column] <= 0:
                break
            if taken[row, column]:
                continue
            found.setdefault(plane, (row, column))  # a plane has one seed; its other columns stay without one
            taken[max(row - around, 0) : row + around + 1, max(column - around, 0) : column + around + 1] = True
        return found


class C(layers.Layer):
    """C-cells: any S-cell of a small area excites one, so that the feature may lie elsewhere.

    u_C = psi((1 + sum d u_S) / (1 + v_S) - 1), v_S the mean over the planes, psi(x) = max(x, 0) / (alpha + max(x, 0))
    """

    def __init__(self, size: int = 5, stride: int = 2, alpha: float = 0.25, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.size, self.stride, self.alpha = size, stride, alpha

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.d = np.repeat(bell(self.size, self.size / 3)[..., None, None], input_shape[-1], axis=2)

    def call(self, x: object) -> object:
        padding = "same" if self.stride > 1 else "valid"
        gathered = ops.depthwise_conv(x, self.d, strides=self.stride, padding=padding)
        lateral = ops.mean(gathered, axis=-1, keepdims=True)
        x = ops.relu((1 + gathered) / (1 + lateral) - 1)
        return x / (self.alpha + x)


class Neocognitron:
    """Three pairs of S- and C-layers; the last C-layer has one cell per plane."""

    def __init__(self) -> None:
        self.simple = [S(8, 4.0, 64.0, name="S1"), S(32, 1.5, 64.0, name="S2"), S(12, 1.5, 64.0, name="S3")]
        self.complex = [C(7, 2, name="C1"), C(7, 2, name="C2"), C(4, 1, name="C3")]

    def __call__(self, x: np.ndarray, upto: int = 3) -> np.ndarray:
        """The output of the first `upto` pairs."""
        for s, c in zip(self.simple[:upto], self.complex[:upto], strict=True):
            x = c(s(x))
        return x

    def train(self, rounds: int = 5) -> None:
        """Shows each pattern `rounds` times to each S-layer in turn, in the middle of the field; no labels."""
        for stage, s in enumerate(self.simple):
            for _ in range(rounds):
                for name in PATTERNS:
                    s.learn(np.asarray(self(drawn(name), stage)))


def answers(network: Neocognitron, row: int = 5, column: int = 6) -> dict[str, np.ndarray]:
    """The last C-cells for each pattern, put at (row, column)."""
    return {name: np.asarray(network(drawn(name, row, column)))[0, 0, 0] for name in PATTERNS}


def main() -> int:
    """Trains, then shifts the patterns and counts how often the same cell answers."""
    striate.utils.set_random_seed(1980)
    network = Neocognitron()
    network.train()
    cells = {name: int(np.argmax(u)) for name, u in answers(network).items()}
    print("The C3-cell that answers to each pattern (it chose itself):", cells)
    print("\nRecognised by that cell when shifted (rows down, columns right):\n")
    shifts = range(-4, 5)
    print("      " + "".join(f"{c:+5d}" for c in shifts))
    right = total = 0
    for r in shifts:
        hits = []
        for c in shifts:
            found = answers(network, 5 + r, 6 + c)
            hits.append(sum(int(np.argmax(u)) == cells[name] and u.max() > 0 for name, u in found.items()))
        print(f"{r:+5d} " + "".join(f"  {h}/{len(PATTERNS)}" for h in hits))
        right, total = right + sum(hits), total + len(hits) * len(PATTERNS)
    own = len(set(cells.values()))
    print(f"\n{right} of {total} shifted patterns recognised; {own} cells for {len(PATTERNS)} patterns.")
    return 0 if own == len(PATTERNS) and right >= 0.9 * total else 1


if __name__ == "__main__":
    sys.exit(main())
