"""Losses against real Keras: every function with each of its options, every class, reductions, weights, masks."""

from __future__ import annotations

import inspect
import pickle
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate import losses, ops
from striate.losses.reduction import reduce_weighted_values, squeeze_or_expand_to_same_rank
from striate.trace.masks import get_keras_mask, set_keras_mask
from tests.loss_cases import CASES, CLASSES, HOT, SEQUENCE, UNIT, Case, P, Z

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


def _same(found: Any, expected: Any, rtol: float = 2e-6) -> None:
    expected = np.asarray(expected)
    assert (found.shape, str(found.dtype)) == (expected.shape, str(expected.dtype))
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=2e-7)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_functions(real_keras: ModuleType, case: Case) -> None:
    name, args, options = case
    _same(getattr(losses, name)(*args, **options), getattr(real_keras.losses, name)(*args, **options))


def _classes() -> list[tuple[str, dict[str, Any], tuple[np.ndarray, np.ndarray]]]:
    sparse = {"CategoricalGeneralizedCrossEntropy": {"q": 0.4}, "SparseCategoricalCrossentropy": {"ignore_class": 1}}
    options: dict[str, dict[str, Any]] = {
        "Huber": {"delta": 0.2},
        "CosineSimilarity": {"axis": 1},
        "BinaryCrossentropy": {"from_logits": True, "label_smoothing": 0.1},
        "BinaryFocalCrossentropy": {"apply_class_balancing": True, "gamma": 3.0},
        "CategoricalCrossentropy": {"label_smoothing": 0.1},
        "CategoricalFocalCrossentropy": {"alpha": 0.5, "from_logits": True},
        "Dice": {"axis": (1,)},
        "Tversky": {"axis": (1,), "alpha": 0.3},
        "Circle": {"gamma": 4.0},
        **sparse,
    }
    data = {
        "SparseCategoricalCrossentropy": (CLASSES[:, None], P),
        "CategoricalGeneralizedCrossEntropy": (CLASSES, P),
        "Circle": (np.array([0, 1, 0, 2]), UNIT),
        "CTC": (np.array([[1, 2], [3, 0]]), SEQUENCE),
    }
    names = [n for n, x in vars(losses).items() if inspect.isclass(x) and n not in ("Loss", "LossFunctionWrapper")]
    return [(n, options.get(n, {}), data.get(n, (HOT, P))) for n in names]


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", None])
@pytest.mark.parametrize("case", _classes(), ids=lambda c: c[0])
def test_classes(real_keras: ModuleType, case: Any, reduction: str | None) -> None:
    name, options, (y, p) = case
    ours, theirs = (getattr(m.losses, name)(**options, reduction=reduction) for m in (striate, real_keras))
    _same(ours(y, p), theirs(y, p))
    weights = np.linspace(0.5, 2, len(y), dtype=np.float32)
    _same(ours(y, p, sample_weight=weights), theirs(y, p, sample_weight=weights))
    assert ours.name == theirs.name


@pytest.mark.parametrize("case", _classes(), ids=lambda c: c[0])
def test_configs_travel_both_ways(real_keras: ModuleType, case: Any) -> None:
    name, options, (y, p) = case
    ours = getattr(losses, name)(**options, reduction="sum", name="own")
    there = real_keras.saving.deserialize_keras_object(losses.serialize(ours))
    _same(ours(y, p), there(y, p))
    back = losses.deserialize(real_keras.losses.serialize(there))
    assert type(back) is type(ours) and back.reduction == "sum" and back.name == "own"
    again = losses.deserialize(losses.serialize(ours))
    assert again.get_config() == ours.get_config() == type(ours).from_config(ours.get_config()).get_config()
    np.testing.assert_array_equal(again(y, p), ours(y, p))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ours))(y, p), ours(y, p))


def test_a_column_of_labels() -> None:
    loss = losses.CategoricalGeneralizedCrossEntropy()  # Keras mixes up the examples here
    assert loss(CLASSES[:, None], P) == loss(CLASSES, P)


def test_signatures(real_keras: ModuleType) -> None:
    theirs = real_keras.losses
    for name in (n for n in dir(theirs) if not n.startswith("_") and callable(getattr(theirs, n))):
        expected = inspect.signature(getattr(theirs, name)).parameters
        found = inspect.signature(getattr(losses, name)).parameters
        assert [(p.name, p.default) for p in found.values()] == [(p.name, p.default) for p in expected.values()], name


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "shape", [None, (4,), (4, 1), (4, 3), (1, 3), (1,), (4, 3, 1)], ids=lambda s: "none" if s is None else str(s)
)
@pytest.mark.parametrize("masked", [False, True])
def test_weights_and_masks(real_keras: ModuleType, reduction: str | None, shape: Any, masked: bool) -> None:
    rng = np.random.default_rng(3)
    y, p = rng.normal(size=(2, 4, 3, 2)).astype(np.float32)
    if shape in ((4,), (4, 1)):
        y, p = y[:, 0], p[:, 0]  # one value per example
    weights = None if shape is None else rng.uniform(0, 2, shape).astype(np.float32)
    mask = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 1]], bool) if masked else None
    mask = mask[:, 0] if masked and shape in ((4,), (4, 1)) else mask
    results = []
    for module, set_mask in ((real_keras, real_keras.src.backend.set_keras_mask), (striate, set_keras_mask)):
        predicted = module.ops.convert_to_tensor(p)
        if mask is not None:
            set_mask(predicted, module.ops.convert_to_tensor(mask))
        results.append(module.losses.MeanSquaredError(reduction=reduction)(y, predicted, sample_weight=weights))
    _same(results[1], results[0])


def test_masks_of_nothing_and_of_both_sides(real_keras: ModuleType) -> None:
    p = P.copy()
    set_keras_mask(p, np.zeros(4, bool))
    assert losses.MeanSquaredError()(HOT, p) == 0
    assert losses.MeanSquaredError(reduction="mean_with_sample_weight")(HOT, p) == 0
    set_keras_mask(p, np.array([True, True, False, True]))
    loss = losses.SparseCategoricalCrossentropy(ignore_class=1)  # leaves out the second and the fourth
    share = np.log(P[0].astype(float).sum() / P[0, 0])
    np.testing.assert_allclose(loss(CLASSES, p), share, rtol=1e-6)
    np.testing.assert_array_equal(
        get_keras_mask(losses.sparse_categorical_crossentropy(CLASSES, P, ignore_class=1)), CLASSES != 1
    )


def test_zero_weights_and_empty_batches(real_keras: ModuleType) -> None:
    for reduction in REDUCTIONS:
        ours, theirs = (m.losses.MeanSquaredError(reduction=reduction) for m in (striate, real_keras))
        zeros = np.zeros(4, np.float32)
        _same(ours(HOT, P, zeros), theirs(HOT, P, zeros))
        empty = np.zeros((0, 3), np.float32)
        _same(ours(empty, empty), theirs(empty, empty))


@pytest.mark.parametrize("dtype", ["float16", "float32", "mixed_float16", "float64"])
def test_dtypes(dtype: str) -> None:
    policy = striate.dtype_policies.DTypePolicy(dtype)
    for given_dtype in (dtype, policy):
        loss = losses.Huber(dtype=given_dtype)
        assert loss.dtype == policy.compute_dtype
        assert str(loss(HOT, P, sample_weight=np.ones(4)).dtype) == policy.compute_dtype
    assert str(losses.mean_squared_error(HOT, P.astype(policy.compute_dtype)).dtype) == policy.compute_dtype
    assert losses.mean_squared_error([1, 2], [3, 5]).dtype == np.float32


def test_float64_keeps_its_digits() -> None:
    t, p = HOT.astype(np.float64), P.astype(np.float64) + 1e-12
    found = losses.MeanSquaredError(dtype="float64")(t, p)
    np.testing.assert_allclose(found, np.mean((t - p) ** 2), rtol=1e-15)
    shares = p / p.sum(1, keepdims=True)
    found = losses.CategoricalCrossentropy(dtype="float64")(t, p)
    np.testing.assert_allclose(found, -np.mean(np.sum(t * np.log(shares), 1)), rtol=1e-14)


def test_softmax_then_loss_uses_the_probabilities(real_keras: ModuleType) -> None:
    logits = np.array([[50.0, -50.0, 0.0]], np.float32)
    label = np.array([[0.0, 1.0, 0.0]], np.float32)
    for activation, name in (("softmax", "categorical_crossentropy"), ("sigmoid", "binary_crossentropy")):
        found, expected = (
            getattr(m.losses, name)(label, getattr(m.activations, activation)(logits)) for m in (striate, real_keras)
        )
        _same(found, expected)


def test_structures() -> None:
    def total(y_true: Any, y_pred: Any, factor: float = 1.0) -> Any:
        return factor * sum(ops.mean(ops.square(y_true[k] - y_pred[k]), axis=-1) for k in y_true)

    wrapper = losses.LossFunctionWrapper(total, factor=2.0, name="total")
    y, p = {"a": HOT[:, 0], "b": HOT}, {"a": P[:, :1], "b": P}
    expected = 2 * (np.mean((HOT[:, 0] - P[:, 0]) ** 2) + np.mean((HOT - P) ** 2))
    np.testing.assert_allclose(wrapper(y, p), expected, rtol=1e-6)
    assert losses.MeanSquaredError()([0.0, 1.0], [1.0, 1.0]) == 0.5
    assert losses.MeanSquaredError()([[0, 1]], np.array([[1.0, 1.0]])) == 0.5
    np.testing.assert_allclose(losses.MeanSquaredError()([HOT], [P]), np.mean((HOT - P) ** 2), rtol=1e-6)
    with pytest.raises(ValueError, match="nested"):
        losses.MeanSquaredError()(HOT, {"a": P})
    with pytest.raises(ValueError, match="nested"):
        losses.MeanSquaredError()({"b": HOT}, {"a": P})


def test_own_losses() -> None:
    class Cubes(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return ops.mean(ops.abs(y_true - y_pred) ** 3, axis=-1)

    expected = np.mean(np.abs(HOT - P) ** 3)
    np.testing.assert_allclose(Cubes()(HOT, P), expected, rtol=1e-6)
    assert Cubes(name="c", reduction="sum").get_config() == {"name": "c", "reduction": "sum"}
    assert Cubes().name.startswith("cubes")
    with pytest.raises(NotImplementedError, match="call"):
        losses.Loss()(HOT, P)


def test_wrapped_functions_come_back(real_keras: ModuleType) -> None:
    wrapper = losses.LossFunctionWrapper(losses.huber, name="h", delta=0.2, reduction="sum")
    config = losses.serialize(wrapper)
    assert config == real_keras.losses.serialize(
        real_keras.src.losses.LossFunctionWrapper(real_keras.losses.huber, name="h", delta=0.2, reduction="sum")
    ) | {"registered_name": None}
    np.testing.assert_array_equal(losses.deserialize(config)(HOT, P), wrapper(HOT, P))

    @striate.saving.register_keras_serializable("tests", "own_error")
    def own(y_true: Any, y_pred: Any) -> Any:
        return ops.mean(y_true - y_pred, axis=-1)

    assert losses.deserialize(losses.serialize(own)) is own
    assert losses.get("tests>own_error") is own
    assert losses.deserialize("mine", custom_objects={"mine": own}) is own


def test_get(real_keras: ModuleType) -> None:
    theirs = real_keras.src.losses.ALL_OBJECTS_DICT
    for name in theirs:
        if name == "LossFunctionWrapper":
            continue
        found, expected = losses.get(name), real_keras.losses.get(name)
        assert inspect.isfunction(found) == inspect.isfunction(expected)
        key = "__name__" if inspect.isfunction(found) else "name"
        assert name == "Loss" or getattr(found, key) == getattr(expected, key)
    assert losses.get(None) is None
    assert losses.get(losses.mse) is losses.mse is losses.MSE
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    assert losses.get({"class_name": "Huber", "config": {"delta": 2.0}}).get_config()["delta"] == 2.0
    assert losses.deserialize(real_keras.losses.serialize(real_keras.losses.log_cosh)) is losses.log_cosh


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("mse1", "'mse'"),
        ("categorical_cross_entropy", "'categorical_crossentropy'"),
        ({"class_name": "Hubr", "config": {}}, "'Huber'"),
        ({"class_name": "function", "config": "hubr"}, "'huber'"),
        (3, "Pass a name"),
        (["mse"], "Pass a name"),
        ("", "Pass a name"),
    ],
)
def test_unknown_names(wrong: Any, hint: str) -> None:
    with pytest.raises(ValueError, match="Could not interpret loss identifier") as error:
        losses.get(wrong)
    assert hint in str(error.value)


WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: losses.MeanSquaredError(reduction="summ"), ValueError, "Did you mean 'sum'"),
    (lambda: losses.MeanSquaredError(reduction=["sum"]), ValueError, "Invalid value for argument `reduction`"),
    (lambda: losses.MeanSquaredError(dtype="flaot"), ValueError, "dtype"),
    (lambda: losses.mean_squared_error(HOT, P[:, :2]), TypeError, "incompatible shapes for broadcasting"),
    (lambda: losses.MeanSquaredError()(HOT, P[:, :2]), TypeError, r"\(4, 3\).*\(4, 2\)"),
    (lambda: losses.huber(HOT[None], P[:2]), ValueError, "labels of the shape of the predictions"),
    (lambda: losses.mean_squared_error(1.0, 2.0), ValueError, "batch axis"),
    (lambda: losses.MeanSquaredError()(HOT, P, np.ones(5)), TypeError, "weights"),
    (lambda: losses.MeanSquaredError()(Z.reshape(4, 3, 1), Z.reshape(4, 3, 1), np.ones(4)), ValueError, r"\(4, 1\)"),
    (lambda: losses.MeanSquaredError()(None, P), ValueError, "y_true.*None"),
    (lambda: losses.CategoricalCrossentropy()(CLASSES, P), ValueError, "SparseCategoricalCrossentropy"),
    (lambda: losses.categorical_focal_crossentropy(CLASSES[:2], P), ValueError, "SparseCategoricalCrossentropy"),
    (lambda: losses.SparseCategoricalCrossentropy()(HOT, P), ValueError, "CategoricalCrossentropy"),
    (lambda: losses.SparseCategoricalCrossentropy()(CLASSES[:3], P), ValueError, "same shape up until the last"),
    (lambda: losses.sparse_categorical_crossentropy(CLASSES, P, axis=5), ValueError, "axis 5"),
    (lambda: losses.binary_crossentropy(HOT[:, :1], P), ValueError, "must have the same shape"),
    (lambda: losses.binary_focal_crossentropy(HOT[:, :2], P), ValueError, "must have the same shape"),
    (lambda: losses.categorical_crossentropy(HOT, P, axis=True), ValueError, "must be of type `int`"),
    (lambda: losses.CategoricalGeneralizedCrossEntropy(q=1.0), ValueError, r"interval \(0, 1\)"),
    (lambda: losses.CategoricalGeneralizedCrossEntropy()(HOT, P), ValueError, "class numbers"),
    (lambda: losses.circle(CLASSES[:3], UNIT), TypeError, "one class number per embedding"),
    (lambda: losses.ctc(CLASSES, SEQUENCE), ValueError, r"\(batch_size, max_length\)"),
    (lambda: losses.ctc(CLASSES[None], SEQUENCE[0]), ValueError, r"\(batch_size, max_length, num_classes\)"),
    (lambda: losses.ctc(np.array([[1], [7]]), SEQUENCE), ValueError, "label 7 is no class"),
    (lambda: losses.ctc(np.array([[1]]), SEQUENCE), ValueError, "batches of different sizes"),
]


@pytest.mark.parametrize(("call", "kind", "text"), WRONG, ids=range(len(WRONG)))
def test_errors_teach(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_one_class_is_warned_of() -> None:
    with pytest.warns(SyntaxWarning, match="num_classes > 1"):
        losses.categorical_crossentropy(HOT[:, :1], P[:, :1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses.categorical_crossentropy(HOT, P)


# Shapes drawn: N values, weights and masks of shapes that broadcast, against the definition in NumPy.


@st.composite
def _weighted(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.normal(size=shape)

    def fitting() -> tuple[int, ...]:
        fits = tuple(1 if draw(st.booleans()) else n for n in shape)
        return (*fits, 1) if draw(st.booleans()) else fits

    weights = rng.uniform(0, 2, fitting()) if draw(st.booleans()) else None
    mask = rng.uniform(size=shape) < draw(st.sampled_from([0.0, 0.5, 1.0])) if draw(st.booleans()) else None
    return values, weights, mask


def _aligned(values: np.ndarray, x: np.ndarray | None) -> np.ndarray:
    if x is None:
        return np.ones(values.shape)
    x = x[..., 0] if x.ndim > values.ndim else x
    return np.broadcast_to(x, values.shape).astype(float)


@given(drawn=_weighted(), reduction=st.sampled_from(REDUCTIONS))
def test_reductions_by_definition(drawn: Any, reduction: str | None) -> None:
    values, weights, mask = drawn
    if weights is not None and weights.ndim > values.ndim == 1:
        values, mask = values[:, None], None if mask is None else mask[:, None]  # Keras takes (n,) as (n, 1) there
    found = reduce_weighted_values(values, weights, mask, reduction, dtype="float64")
    w, m = _aligned(values, weights), _aligned(values, mask)
    each = values * w * m
    if reduction in (None, "none"):
        np.testing.assert_allclose(found, each, rtol=1e-12)
        return
    divisor = {"sum": 1.0, "mean_with_sample_weight": _given_sum(values, weights, mask)}.get(
        str(reduction), values.size if mask is None else m.sum()
    )
    expected = each.sum() / divisor if divisor else 0.0
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def _given_sum(values: np.ndarray, weights: np.ndarray | None, mask: np.ndarray | None) -> float:
    """The sum of the weights as they were given: those that broadcast count once, as in Keras."""
    if weights is None and mask is None:
        return float(values.size)
    if mask is None:
        return float(np.sum(weights))
    return float(np.sum(mask * (1.0 if weights is None else _aligned(values, weights))))


@given(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3), more=st.integers(-2, 2), last=st.integers(1, 2))
def test_same_rank(sizes: list[int], more: int, last: int) -> None:
    short = np.zeros(sizes)
    extra = (*sizes, *([last] * abs(more)))
    long = np.zeros(extra)
    first, second = (long, short) if more > 0 else (short, long)
    a, b = squeeze_or_expand_to_same_rank(first, second)
    if abs(more) == 1 and last == 1:
        assert a.shape == b.shape == (tuple(sizes) if len(sizes) > 1 else (*sizes, 1))
    else:
        assert (a.shape, b.shape) == (first.shape, second.shape)
    a, b = squeeze_or_expand_to_same_rank(first, second, expand_rank_1=False)
    if abs(more) == 1 and last == 1:
        assert a.shape == b.shape == tuple(sizes)


@pytest.mark.parametrize(
    ("labels", "n_labels", "n_steps", "blank"),
    [
        ([[1, 2], [3, 3]], [2, 2], [6, 4], 0),
        ([[1, 2], [0, 1]], [1, 2], [5, 6], 3),
        ([[1, 1], [2, 1]], [0, 1], [3, 1], 0),
    ],
    ids=["lengths", "other blank", "no label"],
)
def test_ctc_with_lengths(real_keras: ModuleType, labels: Any, n_labels: Any, n_steps: Any, blank: int) -> None:
    args = [np.array(x) for x in (labels, n_labels, n_steps)]
    found, expected = (m.ops.ctc_loss(args[0], SEQUENCE, *args[1:], mask_index=blank) for m in (striate, real_keras))
    _same(found, expected)


@pytest.mark.parametrize("symbolic", [losses.mean_squared_error, losses.MeanSquaredError(), losses.Huber(delta=0.1)])
def test_symbolic_tensors(symbolic: Any) -> None:
    y, p = striate.Input((3,)), striate.Input((3,))
    result = symbolic(y, p)
    model = striate.Model([y, p], result if len(result.shape) else ops.reshape(result, (1,)))
    np.testing.assert_allclose(np.ravel(model([HOT, P])), np.ravel(symbolic(HOT, P)), rtol=1e-6)
