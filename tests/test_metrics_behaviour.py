"""Metrics: configs, names, resets, errors, masks, dtypes, what they hold, and shapes drawn at random."""

from __future__ import annotations

import inspect
import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from metric_cases import CASES, Case, batch
from striate import backend, engines, initializers, layers, losses, metrics, ops, saving

ONE_OF_EACH = list({case.cls: case for case in reversed(CASES)}.values())


def _close(own: Any, expected: Any, rtol: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(own), np.asarray(expected), rtol=rtol, atol=1e-6)


# Names and configs ----------------------------------------------------------------------------------------------------


def test_every_public_name_and_signature(real_keras: ModuleType) -> None:
    for name in (n for n in dir(real_keras.metrics) if not n.startswith("_")):
        real, own = getattr(real_keras.metrics, name), getattr(metrics, name)
        assert inspect.isclass(real) == inspect.isclass(own)
        wanted = inspect.signature(real).parameters.values()
        found = {p.name: p.default for p in inspect.signature(own).parameters.values()}
        for p in wanted:
            if not (name == "deserialize" or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)):
                assert found[p.name] == p.default, (name, p)
        if inspect.isclass(real):
            assert list(found) == [p.name for p in wanted], name


def _without_name(config: dict[str, Any]) -> dict[str, Any]:
    plain = json.loads(json.dumps(config, default=lambda x: np.asarray(x).tolist()))
    for key, value in plain["config"].items():  # an array in Keras is a list here
        plain["config"][key] = value["config"]["value"] if isinstance(value, dict) else value
    del plain["config"]["name"]
    return plain


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_config_is_keras_s_and_leads_back(real_keras: ModuleType, case: Case) -> None:
    own, real = (getattr(m, case.cls)(**case.kwargs) for m in (metrics, real_keras.metrics))
    made = metrics.serialize(own)
    assert json.dumps(made)
    if case.cls == "CosineSimilarity":  # Keras forgets the axis
        assert made is not None and made["config"]["axis"] == case.kwargs.get("axis", -1)
    else:
        assert _without_name(made) == _without_name(real_keras.metrics.serialize(real))
    for again in (
        metrics.deserialize(made),
        saving.deserialize_keras_object(made),
        type(own).from_config(own.get_config()),
    ):
        assert type(again) is type(own)
        assert again.get_config() == own.get_config()
    assert type(real_keras.metrics.deserialize(made)) is type(real)
    assert type(metrics.deserialize(real_keras.metrics.serialize(real))) is type(own)


@pytest.mark.parametrize("fn", ["mean_squared_error", "huber", "binary_accuracy"])
def test_wrapped_function_in_configs_both_ways(real_keras: ModuleType, fn: str) -> None:
    own = metrics.MeanMetricWrapper(getattr(metrics, fn), name="x")
    real = real_keras.metrics.MeanMetricWrapper(getattr(real_keras.metrics, fn), name="x")
    assert metrics.serialize(own) == real_keras.metrics.serialize(real)
    assert metrics.deserialize(real_keras.metrics.serialize(real))._fn is getattr(metrics, fn)
    assert real_keras.metrics.deserialize(metrics.serialize(own))._fn is getattr(real_keras.metrics, fn)
    assert metrics.deserialize(metrics.serialize(getattr(metrics, fn))) is getattr(metrics, fn)


def test_wrapped_loss_and_arguments() -> None:
    wrapped = metrics.MeanMetricWrapper(losses.Huber(delta=2.0, reduction=None), name="far")
    again = metrics.deserialize(metrics.serialize(wrapped))
    assert (again._fn.get_config()["delta"], again._direction) == (2.0, "down")
    cut = metrics.MeanMetricWrapper(metrics.binary_accuracy, name="cut", threshold=0.9)
    again = metrics.deserialize(metrics.serialize(cut))
    _close(again([1, 0], [0.8, 0.8]), 0.5)
    assert again.get_config() == cut.get_config()


@pytest.mark.parametrize("name", ["mse", "MSE", "accuracy", "AUC", "kl_divergence", "f_beta_score", "r2_score", "bce"])
def test_get_by_name(real_keras: ModuleType, name: str) -> None:
    assert type(metrics.get(name)).__name__ == type(real_keras.metrics.get(name)).__name__
    assert metrics.get(name).name.rstrip("_0123456789") == real_keras.metrics.get(name).name.rstrip("_0123456789")


def test_get_of_anything_else() -> None:
    assert metrics.get(None) is None
    assert metrics.get({"class_name": "Precision", "config": {"top_k": 2}}).top_k == 2
    assert isinstance(metrics.get(metrics.Recall), metrics.Recall)
    assert metrics.get(metrics.mean_squared_error) is metrics.mean_squared_error
    for wrong in ("huber", "nonsense", 3):
        with pytest.raises(ValueError, match="Could not interpret metric identifier"):
            metrics.get(wrong)
    with pytest.raises(ValueError, match="'categorical_accuracy'"):
        metrics.get("categorial_accuracy")


@saving.register_keras_serializable("tests")
class Largest(metrics.Metric):
    """The largest prediction so far: a metric of one's own."""

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.largest = self.add_weight(initializer=initializers.Constant(-10.0), name="largest")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.largest.assign(ops.maximum(self.largest, ops.max(y_pred)))

    def result(self) -> Any:
        return self.largest.value


def test_a_metric_of_one_s_own() -> None:
    m = Largest()
    assert m.name.startswith("largest")
    assert repr(m) == f"<Largest name={m.name}>"
    _close(m([0], [-3.0]), -3)
    assert type(metrics.deserialize(metrics.serialize(m))) is Largest
    run = striate.jit(lambda p: m([0], p))
    _close(run(np.float32([4.0, 1.0])), 4)
    assert float(m.largest) == 4


def test_forgotten_super_and_methods() -> None:
    class Empty(metrics.Metric):
        pass

    class Forgetful(metrics.Metric):
        def __init__(self) -> None:
            self.count = self.add_variable((), "zeros")

    with pytest.raises(RuntimeError, match="forgot to call"):
        Forgetful()
    for method in (Empty().update_state, Empty().result):
        with pytest.raises(NotImplementedError, match="Empty"):
            method()


# State ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=lambda c: c.cls)
def test_reset_and_stateless(case: Case) -> None:
    m = getattr(metrics, case.cls)(**case.kwargs)
    first, second = (batch(case.kind, np.random.default_rng(i)) for i in range(2))
    one = np.array(m(*first))
    state = [np.array(v) for v in m.variables]
    after = m.stateless_update_state(state, *second)
    for v, before in zip(m.variables, state, strict=True):
        np.testing.assert_array_equal(v, before)
    _close(m.stateless_result(after), m(*second))
    for v, kept in zip(m.variables, after, strict=True):
        _close(v, kept)
    assert not any(np.any(v) for v in m.stateless_reset_state())
    m.reset_state()
    _close(m(*first), one)
    with pytest.raises(ValueError, match="corresponding 1:1"):
        m.stateless_result(state[:-1])


def test_variables_of_metrics_held() -> None:
    class Several(metrics.Metric):
        def __init__(self) -> None:
            super().__init__(name="several")
            self.first = metrics.Mean(name="a")
            self.rest = [metrics.Sum(name="b"), {"c": metrics.Mean(name="c")}]
            self.own = self.add_variable((2,), "ones", name="own")

    m = Several()
    m.rest.append(metrics.Sum(name="d"))
    paths = ["several/own", "a/total", "a/count", "b/total", "c/total", "c/count", "d/total"]
    assert [v.path for v in m.variables] == paths
    m.reset_state()
    assert float(np.sum(m.own)) == 0


def test_layers_hold_metrics_apart() -> None:
    class Watched(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.mean = metrics.Mean(name="seen")
            self.more = {"x": [metrics.Sum(name="more")]}
            self.dense = layers.Dense(2)

        def call(self, x: Any) -> Any:
            self.mean.update_state(x)
            return self.dense(x)

    layer = Watched()
    layer(np.ones((1, 3), "float32"))
    assert [m.name for m in layer._own_metrics()] == ["seen", "more"]
    assert len(layer._sublayers()) == 1
    assert len(layer.weights) == len(layer.variables) == 2
    assert float(layer.mean.result()) == 1
    del layer.mean
    assert [m.name for m in layer._own_metrics()] == ["more"]


# Weights, masks, dtypes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_masks_count_as_weights(real_keras: ModuleType, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    true, pred = rng.random((2, 5, 3)).astype("float32")
    mask = np.array([True, False, True, True, False])
    weights = rng.random(5).astype("float32") if weighted else None
    real = real_keras.metrics.MeanSquaredError()
    masked = real_keras.ops.convert_to_tensor(pred)
    masked._keras_mask = real_keras.ops.convert_to_tensor(mask)
    backend.set_keras_mask(pred, mask)
    _close(metrics.MeanSquaredError()(true, pred, weights), real(true, masked, weights))


def test_ignored_class_with_weights(real_keras: ModuleType) -> None:
    rng = np.random.default_rng(0)
    true, pred = rng.integers(0, 3, (4, 5)), rng.random((4, 5, 3)).astype("float32")
    weights = rng.random((4, 5)).astype("float32")
    own, real = (m.SparseCategoricalCrossentropy(ignore_class=1) for m in (metrics, real_keras.metrics))
    _close(own(true, pred, weights), real(true, pred, weights))


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "mixed_float16", "int32"])
def test_dtypes(real_keras: ModuleType, dtype: str) -> None:
    own, real = metrics.Mean(dtype=dtype), real_keras.metrics.Mean(dtype=dtype)
    assert own.dtype == real.dtype
    assert [v.dtype for v in own.variables] == [own.dtype] * 2
    _close(own(np.array([1, 2, 6])), 3)
    policy = metrics.Sum(dtype=layers.Dense(1, dtype="mixed_float16").dtype_policy)
    assert policy.dtype == "float16"


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=lambda c: c.cls)
def test_double_precision(case: Case) -> None:
    """With float64 throughout, results are those of float32 up to its rounding."""
    true, pred = batch(case.kind, np.random.default_rng(5))
    single = getattr(metrics, case.cls)(**case.kwargs)(true, pred)
    with engines.use("float64"):
        double = getattr(metrics, case.cls)(**case.kwargs)(np.float64(true), np.float64(pred))
    _close(double, single, rtol=1e-4)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
def test_mean_and_sum_of_any_shape(shape: list[int], data: st.DataObject) -> None:
    """Against the definition: each weight stands for the mean (or sum) of what lies below it."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    rank = data.draw(st.integers(0, len(shape)))
    values, weights = rng.normal(size=shape), rng.random(shape[:rank])
    below = tuple(range(rank, len(shape)))
    if rank == 1 and len(shape) == 2 and shape[-1] == 1:
        below = ()
        weights = weights[:, None]
    inner = 1 if rank == 0 else int(np.prod(shape[1:rank]))
    mean = (values.mean(below) * weights).sum() / inner / (weights.sum() / inner)
    own = metrics.Mean(dtype="float64")
    _close(own(values, weights), mean)
    _close(own.count, weights.sum() / inner)
    _close(metrics.Sum(dtype="float64")(values, weights), (values.sum(below) * weights).sum())


@given(st.integers(1, 12), st.integers(2, 5), st.integers(0, 99))
def test_areas_against_sklearn(n: int, count: int, seed: int) -> None:
    """With a threshold between any two scores the area under ROC is the exact one."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    labels = np.concatenate([[0, 1], rng.integers(0, 2, n)])
    scores = (rng.permutation(n + 2) + 1.0) / (n + 4)
    own = metrics.AUC(thresholds=[(i + 0.5) / (n + 4) for i in range(n + 4)])
    weights = rng.integers(1, count, n + 2)
    own.update_state(labels[:2], scores[:2], weights[:2])
    own.update_state(labels[2:], scores[2:], weights[2:])
    _close(own.result(), roc_auc_score(labels, scores, sample_weight=weights))


@given(st.integers(1, 20), st.integers(2, 5), st.integers(0, 99))
def test_iou_f1_and_top_k_against_sklearn(n: int, classes: int, seed: int) -> None:
    from sklearn.metrics import f1_score, jaccard_score, top_k_accuracy_score

    rng = np.random.default_rng(seed)
    true, pred = rng.integers(0, classes, (2, n))
    present = np.unique(np.concatenate([true, pred]))
    _close(metrics.MeanIoU(classes)(true, pred), jaccard_score(true, pred, labels=present, average="macro"))
    rows = np.eye(classes)[true], np.eye(classes)[pred]
    exact = f1_score(true, pred, labels=range(classes), average=None, zero_division=0)
    _close(metrics.F1Score()(*rows), exact)
    scores = rng.random((n, classes))
    if classes > 2:
        best = top_k_accuracy_score(true, scores, k=2, labels=range(classes))
        _close(metrics.SparseTopKCategoricalAccuracy(k=2)(true, scores), best)


# Errors ---------------------------------------------------------------------------------------------------------------

_WRONG: list[tuple[str, dict[str, Any]]] = [
    ("TruePositives", {"thresholds": [0.5, 2.0]}), ("Precision", {"thresholds": -1.0}),
    ("Recall", {"thresholds": [None]}), ("AUC", {"num_thresholds": 1}), 
    ("AUC", {"curve": "roc curve"}), ("AUC", {"summation_method": "best"}), ("AUC", {"num_labels": 2}),
    ("SensitivityAtSpecificity", {"specificity": -1}), ("SpecificityAtSensitivity", {"sensitivity": 2}),
    ("PrecisionAtRecall", {"recall": 1.5}), ("RecallAtPrecision", {"precision": 1.5}),
    ("PrecisionAtRecall", {"recall": 0.5, "num_thresholds": 0}), ("F1Score", {"average": "mean"}),
    ("FBetaScore", {"beta": 1}), ("FBetaScore", {"beta": -1.0}), ("F1Score", {"threshold": 1}),
    ("F1Score", {"threshold": 2.0}), ("R2Score", {"class_aggregation": "sum"}), ("R2Score", {"num_regressors": -1}),
    ("IoU", {"num_classes": 2, "target_class_ids": [2]}), ("BinaryIoU", {"target_class_ids": [2]}),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "kwargs"), _WRONG)
def test_wrong_arguments(real_keras: ModuleType, cls: str, kwargs: dict[str, Any]) -> None:
    with pytest.raises(Exception) as real:
        getattr(real_keras.metrics, cls)(**kwargs)
    with pytest.raises(real.type):
        getattr(metrics, cls)(**kwargs)


@pytest.mark.filterwarnings("ignore:You are passing weight")
@pytest.mark.parametrize("case", ONE_OF_EACH, ids=lambda c: c.cls)
@pytest.mark.parametrize("wrong", ["targets", "weights"])
def test_shapes_that_do_not_fit(real_keras: ModuleType, case: Case, wrong: str) -> None:
    true, pred = batch(case.kind, np.random.default_rng(0))
    given = (true[:4], pred) if wrong == "targets" else (true, pred, np.ones(4))
    with pytest.raises((ValueError, TypeError)) as real:
        getattr(real_keras.metrics, case.cls)(**case.kwargs).update_state(*given)
    with pytest.raises((ValueError, TypeError), match=r"\(4|4 labels") as own:
        getattr(metrics, case.cls)(**case.kwargs).update_state(*given)
    assert own.type is real.type or case.kwargs.get("from_sorted_ids")


def test_ranks_that_do_not_fit() -> None:
    flat = np.ones(3)
    with pytest.raises(ValueError, match="class_id"):
        metrics.Precision(class_id=1)(flat, flat)
    with pytest.raises(ValueError, match="rank 2"):
        metrics.AUC(multi_label=True)(flat, flat)
    for cls in (metrics.F1Score, metrics.R2Score):
        with pytest.raises(ValueError, match="expects 2D inputs"):
            cls()(flat, flat)


def test_warnings(real_keras: ModuleType) -> None:
    with pytest.warns(UserWarning, match="passing weight as `float`"):
        metrics.MeanIoU(2)([0, 1], [0, 1], np.float32([0.5, 0.5]))
    pair = np.float32([[1], [2], [3]]), np.float32([[1], [2], [4]])
    for number, text in ((2, "Division by zero"), (5, "More independent")):
        own, real = (m.R2Score(num_regressors=number) for m in (metrics, real_keras.metrics))
        with pytest.warns(UserWarning, match=text):
            value = own(*pair)
        with pytest.warns(UserWarning, match=text):
            _close(value, real(*pair))
