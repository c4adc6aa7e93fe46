"""Calls of losses with each of their options: (name of the function, (y_true, y_pred), options)."""

from __future__ import annotations

from typing import Any

import numpy as np

_RNG = np.random.default_rng(0)
HOT = np.eye(3, dtype=np.float32)[[1, 2, 0, 0]]
P = _RNG.uniform(0.05, 1, (4, 3)).astype(np.float32)  # no probabilities: they don't sum to 1
Z = (4 * _RNG.normal(size=(4, 3))).astype(np.float32)
CLASSES = np.array([0, 1, 2, 1])
UNIT = Z / np.linalg.norm(Z, axis=1, keepdims=True)
EDGE = np.array([[0, 1, 0.5], [1, 0, 0], [0, 1, 0], [1e-9, 1, 1]], np.float32)
SEQUENCE = _RNG.normal(size=(2, 6, 4)).astype(np.float32)

Case = tuple[str, tuple[np.ndarray, np.ndarray], dict[str, Any]]

PLAIN = [
    "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error",
    "huber", "log_cosh", "hinge", "squared_hinge", "categorical_hinge", "kl_divergence", "poisson",
    "cosine_similarity", "dice", "tversky",
]  # fmt: skip


def _crossentropies(from_logits: bool) -> list[Case]:
    output, base = (Z if from_logits else P), {"from_logits": from_logits}
    names = [a + b for b in ("_crossentropy", "_focal_crossentropy") for a in ("binary", "categorical")]
    made: list[Case] = [
        (name, (HOT, output), {**base, "label_smoothing": s, "axis": axis})
        for name in names
        for s, axis in ((0.0, -1), (0.2, -1), (0.2, 0))
    ]
    focal = {"alpha": 0.3, "gamma": 1.5}
    made += [
        ("binary_crossentropy", (HOT, output), {**base, "axis": None}),
        ("binary_focal_crossentropy", (HOT, output), {**base, **focal, "apply_class_balancing": True}),
        ("categorical_focal_crossentropy", (HOT, output), {**base, **focal, "alpha": [0.1, 0.2, 0.3]}),
    ]
    labels = {"plain": CLASSES, "column": CLASSES[:, None], "outside": np.array([0, 7, -1, 2])}
    sparse = "sparse_categorical_crossentropy"
    made += [(sparse, (y, output), {**base, "ignore_class": i}) for y in labels.values() for i in (None, -1, 1)]
    return [*made, (sparse, (np.array([[0, 1, 2], [1, 1, 0]]), _cube(from_logits)), {**base, "axis": 1})]


def _cube(from_logits: bool) -> np.ndarray:
    x = np.random.default_rng(1).uniform(0.1, 1, (2, 3, 3)).astype(np.float32)
    return np.log(x) if from_logits else x


OPTIONS: list[Case] = [
    ("huber", (Z[::-1].copy(), Z), {"delta": 0.3}),
    ("cosine_similarity", (Z[::-1].copy(), Z), {"axis": 0}),
    ("cosine_similarity", (Z[::-1] * np.float32(1e-9), Z * np.float32(1e-8)), {}),
    *[("dice", (HOT, P), {"axis": axis}) for axis in (0, 1, (0, 1))],
    *[("tversky", (HOT, P), {"alpha": 0.2, "beta": 0.7, "axis": axis}) for axis in (None, 0, 1)],
    ("categorical_generalized_cross_entropy", (CLASSES, P), {"q": 0.3}),
    ("circle", (np.array([0, 1, 0, 1]), UNIT), {}),
    ("circle", (np.array([[0], [1], [0], [2]]), UNIT), {"gamma": 2.0, "margin": 0.1}),
    ("circle", (np.array([0, 1, 0, 2]), UNIT), {"remove_diagonal": False}),
    ("circle", (np.array([0, 0, 0, 0]), UNIT), {}),
    ("circle", (np.array([0, 1, 0, 1]), Z), {}),
    ("circle", (np.array([0, 1, 0, 1]), UNIT), {"ref_labels": np.array([0, 1]), "ref_embeddings": UNIT[:2]}),
    ("ctc", (np.array([[1, 2, 2, 0], [3, 0, 0, 0]]), SEQUENCE), {}),
    ("ctc", (np.array([[1, 2, 3, 1], [0, 0, 0, 0]]), SEQUENCE), {}),
]

EDGES: list[Case] = [
    *[(n, (HOT, EDGE), {}) for n in ("binary_crossentropy", "binary_focal_crossentropy", "kl_divergence", "poisson")],
    *[(n, (HOT, EDGE), {}) for n in ("categorical_crossentropy", "categorical_focal_crossentropy", "dice", "tversky")],
    ("sparse_categorical_crossentropy", (CLASSES, EDGE), {}),
    ("mean_squared_logarithmic_error", (-HOT, Z), {}),
    ("log_cosh", (HOT, Z * np.float32(1e6)), {}),
]

CASES: list[Case] = [
    *[(name, (HOT, P), {}) for name in PLAIN],
    *[(name, (Z[::-1].copy(), Z), {}) for name in PLAIN if name not in ("poisson", "dice", "tversky")],
    *_crossentropies(False),
    *_crossentropies(True),
    *OPTIONS,
    *EDGES,
]
