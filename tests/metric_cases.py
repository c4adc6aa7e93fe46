"""Every metric with its options, and batches to feed them: shared by the tests of metrics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

N, C = 7, 4


class Case(NamedTuple):
    """A metric: its class, arguments, and the kind of batch it takes."""

    cls: str
    kwargs: dict[str, Any]
    kind: str

    @property
    def id(self) -> str:
        shown = ",".join(f"{k}={v}" for k, v in self.kwargs.items())
        return f"{self.cls}({shown})-{self.kind}"


def _one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(C, dtype="float32")[labels]


def batch(kind: str, rng: np.random.Generator) -> tuple[Any, Any]:
    """Targets and predictions of a kind."""
    labels = rng.integers(0, C, N)
    scores = rng.random((N, C)).astype("float32")
    share = (scores / scores.sum(-1, keepdims=True)).astype("float32")
    reals = rng.normal(size=(2, N, C)).astype("float32")
    return {
        "equal": (rng.integers(0, 3, (N, 1)), rng.integers(0, 3, (N, 1))),
        "binary": (rng.integers(0, 2, N), rng.random(N).astype("float32")),
        "binary column": (rng.integers(0, 2, (N, 1)), rng.random((N, 1)).astype("float32")),
        "binary mixed": (rng.integers(0, 2, N), rng.random((N, 1)).astype("float32")),
        "many": (rng.integers(0, 2, (N, C)), scores),
        "quarters": (rng.integers(0, 2, (N, C)), rng.integers(0, 5, (N, C)).astype("float32") / 4),
        "logits": (rng.integers(0, 2, (N, C)), 3 * reals[0]),
        "sparse": (labels, share),
        "sparse column": (labels[:, None], share),
        "sparse map": (rng.integers(0, C, (N, 3)), rng.random((N, 3, C)).astype("float32")),
        "one-hot": (_one_hot(labels), share),
        "one-hot map": (_one_hot(rng.integers(0, C, (N, 3))), rng.random((N, 3, C)).astype("float32")),
        "sorted ids": (labels, np.argsort(-scores, -1)[:, :3]),
        "real": (reals[0], reals[1]),
        "real mixed": (reals[0, :, 0], reals[1, :, :1]),
        "real column": (reals[0, :, :1], reals[1, :, :1]),
        "positive": (scores, rng.random((N, C)).astype("float32")),
        "signs": (np.sign(reals[0]), reals[1]),
        "classes": (labels, rng.integers(0, C, N)),
        "class map": (rng.integers(0, C, (N, 3)), rng.integers(0, C, (N, 3))),
        "stray classes": (rng.integers(-1, C + 2, N), rng.integers(-1, C + 1, N)),
    }[kind]


def weights(kind: str, which: str, rng: np.random.Generator) -> Any:
    """No weights, one per example, or one per value."""
    if which == "none":
        return None
    shape = (N,)
    if which == "all":
        shape = np.shape(batch(kind, rng)[0 if kind in PLACES else 1])
    made = rng.integers(0, 3, shape).astype("float32") / 2
    return made * 2 if kind in ("classes", "class map", "stray classes") else made


PLACES = ("sparse map", "class map", "classes", "stray classes")  # one weight per label

_CUTS = [
    {}, {"thresholds": 0.3}, {"thresholds": [0.2, 0.6, 0.9]}, {"thresholds": [0.0, 0.5, 1.0]},
    {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]},
]  # fmt: skip


def _every() -> list[Case]:
    found = [Case(*c) for c in _MEANS]
    for cls in ("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives", "Precision", "Recall"):
        found += [Case(cls, k, "quarters") for k in _CUTS] + [Case(cls, {}, "binary mixed")]
    for cls in ("Precision", "Recall"):
        found += [Case(cls, k, "many") for k in ({"top_k": 2}, {"class_id": 1}, {"top_k": 3, "class_id": 2})]
        found += [Case(cls, {"top_k": 2, "thresholds": 0.5}, "many")]
    for cls in ("SensitivityAtSpecificity", "SpecificityAtSensitivity", "PrecisionAtRecall", "RecallAtPrecision"):
        name = {"Sens": "specificity", "Spec": "sensitivity", "Prec": "recall", "Reca": "precision"}[cls[:4]]
        more: list[dict[str, Any]] = [{}, {"num_thresholds": 1}, {"num_thresholds": 10}, {"class_id": 1}]
        found += [Case(cls, {name: 0.4 if i % 2 else 0.8} | m, "many") for i, m in enumerate(more)]
    for curve in ("ROC", "PR", "PRGAIN"):
        for method in ("interpolation", "minoring", "majoring"):
            base = {"curve": curve, "summation_method": method}
            found += [Case("AUC", base, "many"), Case("AUC", base | {"thresholds": [0.1, 0.5, 0.6]}, "many")]
            labels = {"multi_label": True, "num_thresholds": 9}
            found.append(Case("AUC", base | {"num_thresholds": 5}, "quarters"))
            found.append(Case("AUC", base | labels | {"label_weights": [1.0, 0.5, 2.0, 0.0]}, "many"))
            found.append(Case("AUC", base | {"thresholds": [0.3, 0.4], "multi_label": True, "num_labels": C}, "many"))
    found += [Case("AUC", {"thresholds": [0.5]}, "quarters"), Case("AUC", {"multi_label": True}, "many")]
    found += [Case("AUC", {"from_logits": True}, "logits"), Case("AUC", {}, "binary")]
    found += [Case("AUC", {"label_weights": [1.0, 0.5, 2.0, 0.0]}, "many")]
    found += [
        Case("AUC", {"label_weights": [1.0, 0.5, 2.0, 0.0], "thresholds": [0.3, 0.4]}, "many"),
        Case("AUC", {"curve": "PRGAIN", "num_thresholds": 3}, "binary"),
    ]
    for average in (None, "micro", "macro", "weighted"):
        for threshold in (None, 0.5):
            kwargs = {"average": average, "threshold": threshold}
            found += [Case("F1Score", kwargs, "many"), Case("FBetaScore", kwargs | {"beta": 2.0}, "many")]
    return found + [Case(*c) for c in _IOUS]


_MEANS: list[tuple[str, dict[str, Any], str]] = [
    ("Accuracy", {}, "equal"), ("Accuracy", {}, "classes"),
    *(("BinaryAccuracy", k, kind) for k in ({}, {"threshold": 0.3}) for kind in ("binary", "many", "binary mixed")),
    ("CategoricalAccuracy", {}, "one-hot"), ("CategoricalAccuracy", {}, "one-hot map"),
    *(("SparseCategoricalAccuracy", {}, kind) for kind in ("sparse", "sparse column", "sparse map")),
    *(("TopKCategoricalAccuracy", {"k": k}, kind) for k in (1, 2, 5) for kind in ("one-hot", "one-hot map")),
    *(("SparseTopKCategoricalAccuracy", {"k": k}, kind) for k in (1, 3) for kind in ("sparse", "sparse column")),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "sparse map"),
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, "sorted ids"),
    *((cls, {}, kind) for cls in ("MeanSquaredError", "MeanAbsoluteError", "RootMeanSquaredError", "LogCoshError")
      for kind in ("real", "real mixed", "real column")),
    ("MeanAbsolutePercentageError", {}, "positive"), ("MeanSquaredLogarithmicError", {}, "positive"),
    ("CosineSimilarity", {}, "real"), ("CosineSimilarity", {"axis": 0}, "real"),
    ("PearsonCorrelation", {}, "real"), ("PearsonCorrelation", {"axis": (0, 1)}, "real"),
    ("ConcordanceCorrelation", {}, "real"), ("ConcordanceCorrelation", {"axis": 0}, "real"),
    ("Hinge", {}, "signs"), ("SquaredHinge", {}, "signs"), ("Hinge", {}, "many"), ("CategoricalHinge", {}, "one-hot"),
    ("KLDivergence", {}, "positive"), ("Poisson", {}, "positive"),
    ("BinaryCrossentropy", {}, "many"), ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "logits"),
    ("CategoricalCrossentropy", {}, "one-hot"), ("CategoricalCrossentropy", {"label_smoothing": 0.2}, "one-hot"),
    ("CategoricalCrossentropy", {"from_logits": True}, "one-hot map"),
    ("SparseCategoricalCrossentropy", {}, "sparse"), ("SparseCategoricalCrossentropy", {"from_logits": True}, "sparse"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, "sparse map"),
    *(("R2Score", {"class_aggregation": a}, "real") for a in (None, "uniform_average", "variance_weighted_average")),
    ("R2Score", {"num_regressors": 3}, "real"), ("R2Score", {}, "real column"),
]  # fmt: skip

_IOUS: list[tuple[str, dict[str, Any], str]] = [
    *(("IoU", {"num_classes": C, "target_class_ids": ids}, kind) for ids in ([0], [1, 3])
      for kind in ("classes", "class map", "stray classes")),
    ("IoU", {"num_classes": C, "target_class_ids": [0, 1], "sparse_y_pred": False}, "sparse"),
    ("IoU", {"num_classes": C, "target_class_ids": [0, 1], "ignore_class": 1, "dtype": "float32"}, "classes"),
    ("MeanIoU", {"num_classes": C}, "classes"), ("MeanIoU", {"num_classes": C + 3}, "class map"),
    ("MeanIoU", {"num_classes": C, "ignore_class": -1, "dtype": "float32"}, "stray classes"),
    ("BinaryIoU", {}, "binary"), ("BinaryIoU", {"target_class_ids": [1], "threshold": 0.3, "dtype": "float32"}, "many"),
    ("OneHotIoU", {"num_classes": C, "target_class_ids": [0, 2]}, "one-hot"),
    ("OneHotIoU", {"num_classes": C, "target_class_ids": [1], "ignore_class": 0}, "one-hot map"),
    ("OneHotMeanIoU", {"num_classes": C, "dtype": "float32"}, "one-hot"),
]  # fmt: skip

CASES = _every()
