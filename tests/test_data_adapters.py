"""Adapters: every kind of data as batches of arrays, in an order that can be had again."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate.training.data import adapt, train_validation_split


def rows(adapter: Any, number: int = 0, seed: int = 0, skip: int = 0) -> list[Any]:
    """The batches of an epoch as lists of numbers."""
    return [tuple(np.asarray(part).tolist() for part in batch) for batch in adapter.epoch(number, seed, skip)]


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from([False, True, "batch"]), st.integers(0, 5))
def test_each_sample_comes_once_an_epoch_and_an_epoch_can_be_gone_on_with(
    total: int, size: int, shuffle: Any, skip: int
) -> None:
    x = np.arange(total)
    adapter = adapt(x, 10 * x, batch_size=size, shuffle=shuffle)
    batches = rows(adapter, 3, 7)
    assert len(batches) == adapter.num_batches == -(-total // size)
    assert sorted(v for b in batches for v in b[0]) == list(range(total))
    assert all(y == [10 * v for v in xs] for xs, y in batches)
    assert sorted(map(len, (b[0] for b in batches)))[1:] == [size] * (len(batches) - 1)
    assert rows(adapter, 3, 7, skip) == batches[skip:]
    assert rows(adapter, 3, 7) == batches


def test_epochs_and_seeds_give_other_orders() -> None:
    adapter = adapt(np.arange(50), batch_size=50, shuffle=True)
    orders = {str(rows(adapter, epoch, seed)) for epoch in range(3) for seed in range(3)}
    assert len(orders) == 9
    assert rows(adapt(np.arange(5), batch_size=2)) == [([0, 1],), ([2, 3],), ([4],)]


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 11))
def test_with_steps_an_epoch_goes_on_where_the_last_one_ended(total: int, size: int, steps: int) -> None:
    whole = rows(adapt(np.arange(total), batch_size=size))
    steps = min(steps, len(whole))
    adapter = adapt(np.arange(total), batch_size=size, steps=steps)
    wanted = (whole * (3 * steps))[: 3 * steps]
    assert [b for epoch in range(3) for b in rows(adapter, epoch)] == wanted
    assert rows(adapter, 1, 0, 1) == wanted[steps + 1 : 2 * steps]


def test_steps_decide_on_the_size_of_batches_and_may_be_too_many() -> None:
    assert rows(adapt(np.arange(10), steps=2)) == [([0, 1, 2, 3, 4],), ([5, 6, 7, 8, 9],)]
    with pytest.warns(UserWarning, match="ran out of data.* 3 batches, not 9"):
        adapter = adapt(np.arange(6), batch_size=2, steps=9)
    assert len(rows(adapter)) == adapter.num_batches == 3
    adapter = adapt(np.arange(7), batch_size=2, steps=2, where="evaluate")
    assert rows(adapter) == [([0, 1],), ([2, 3],)] and adapter.num_samples == 4


def test_nests_none_and_weights() -> None:
    x = {"a": np.arange(3.0), "b": [np.arange(3), None]}
    y = (np.arange(3), np.arange(3) + 1)
    (batch,) = adapt(x, y, (None, np.ones(3))).epoch(0, 0)
    assert batch[0]["a"].dtype == "float32" and batch[0]["b"][1] is None
    assert isinstance(batch[1], tuple) and batch[1][1].tolist() == [1, 2, 3]
    assert [w.tolist() for w in batch[2]] == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    "y", [np.array([0, 1, 2, 5]), np.array([[0], [1], [2], [5]]), np.eye(6)[[0, 1, 2, 5]], np.array([0.0, 1, 2, 5])]
)
def test_class_weights_are_those_of_keras(real_keras: Any, y: np.ndarray) -> None:
    from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights

    table = {0: 2.0, 1: 0.5, 5: 3.0}
    (batch,) = adapt(np.zeros(4), y, class_weight=table).epoch(0, 0)
    np.testing.assert_array_equal(batch[2], class_weight_to_sample_weights(y, table))
    (batch,) = adapt(iter([(np.zeros(4), y)]), class_weight=table).epoch(0, 0)
    np.testing.assert_array_equal(batch[2], class_weight_to_sample_weights(y, table))


class Tensor:
    """A stand-in for another library's tensor: on a graph and on a device until it is detached and brought back."""

    def __init__(self, values: Any, ready: bool = False) -> None:
        self.values, self.ready = np.asarray(values), ready
        self.shape, self.dtype = self.values.shape, "torch.float32"

    def detach(self) -> Tensor:
        return Tensor(self.values)

    def cpu(self) -> Tensor:
        return Tensor(self.values, ready=True)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if not self.ready:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self.values


class Loader:
    """A stand-in for a DataLoader: lists of tensors, again and again, with a length."""

    def __iter__(self) -> Any:
        return iter([[Tensor(np.full((2, 3), i, "float32")), Tensor([i, i])] for i in range(3)])

    def __len__(self) -> int:
        return 3


class Eager:
    """A stand-in for a tensor of tf.data."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.shape = self.values.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values


class Dataset:
    """A stand-in for a dataset whose length is not known."""

    def __iter__(self) -> Any:
        return iter([(Eager(np.ones((2, 3), "float32")), Eager([0, 1]), Eager([1.0, 2.0]))] * 2)

    def __len__(self) -> int:
        raise TypeError("The dataset length is unknown.")


def test_loaders_and_datasets_of_other_libraries() -> None:
    adapter = adapt(Loader())
    assert adapter.num_batches == 3
    for _ in range(2):
        assert [b[1].tolist() for b in adapter.epoch(0, 0)] == [[0, 0], [1, 1], [2, 2]]
    adapter = adapt(Dataset())
    assert adapter.num_batches is None
    assert [len(b) for b in adapter.epoch(0, 0)] == [3, 3]
    assert adapter.num_batches == 2


def test_the_real_data_loader() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not among the tests' packages")
    data = torch.utils.data.TensorDataset(torch.arange(12.0).reshape(6, 2), torch.arange(6))
    model = striate.Sequential([striate.layers.Input((2,)), striate.layers.Dense(6)])
    model.compile("sgd", striate.losses.SparseCategoricalCrossentropy(from_logits=True))
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    assert len(model.fit(loader, epochs=2, verbose=0).history["loss"]) == 2


def test_frames_and_series_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}, index=[9, 8, 7])
    (batch,) = adapt(frame, frame["a"]).epoch(0, 0)
    assert batch[0].tolist() == [[1, 4], [2, 5], [3, 6]] and batch[0].dtype == "float32"
    assert batch[1].tolist() == [[1], [2], [3]]
    frame["c"] = [True, False, True]
    (batch,) = adapt(frame).epoch(0, 0)
    assert batch[0].tolist() == [[1, 4, 1], [2, 5, 0], [3, 6, 1]]
    with pytest.raises(ValueError, match=r"columns \['d'\] don't hold numbers"):
        adapt(pandas.DataFrame({"a": [1, 2], "d": ["x", "y"]}))


def test_a_generator_is_used_once_and_an_iterable_anew() -> None:
    adapter = adapt((np.full(2, i) for i in range(5)), steps=2)
    assert rows(adapter, 0) == [([0, 0],), ([1, 1],)]
    assert rows(adapter, 1) == [([2, 2],), ([3, 3],)]
    with pytest.warns(UserWarning, match="ran out of data"):
        assert rows(adapter, 2) == [([4, 4],)]
    adapter = adapt(Loader(), steps=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(rows(adapter, 0)) == 2


class Numbers(striate.utils.PyDataset):
    def __init__(self, count: int | None, **options: Any) -> None:
        super().__init__(**options)
        self.count, self.said = count, []

    @property
    def num_batches(self) -> int | None:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if index == 77:
            raise KeyError("no such file")
        return np.full(2, index), np.full(2, -index)

    def on_epoch_begin(self) -> None:
        self.said.append("begin")

    def on_epoch_end(self) -> None:
        self.said.append("end")


@pytest.mark.parametrize("workers", [1, 3])
def test_py_datasets(workers: int) -> None:
    data = Numbers(20, workers=workers)
    adapter = adapt(data, shuffle=True)
    first = [b[0][0] for b in adapter.epoch(0, 5)]
    assert sorted(first) == list(range(20)) and first != sorted(first)
    assert [b[0][0] for b in adapter.epoch(0, 5, 4)] == first[4:]
    assert [b[0][0] for b in adapter.epoch(1, 5)] != first
    endless = adapt(Numbers(None, workers=workers), steps=3)
    assert [b[1][0] for b in endless.epoch(0, 0)] == [0, -1, -2]
    endless.close()
    with pytest.raises(KeyError, match="no such file"):
        list(adapt(Numbers(100, workers=workers)).epoch(0, 0))


def test_py_datasets_are_told_of_epochs_in_fit() -> None:
    model = striate.Sequential([striate.layers.Input(()), striate.layers.Reshape((1,)), striate.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = Numbers(4)
    model.fit(data, epochs=2, verbose=0)
    assert data.said == ["begin", "end"] * 2


def test_the_split_for_validation() -> None:
    x = np.arange(10)
    (train, *_), (held, y, _) = train_validation_split((x, {"k": 2 * x}, None), 0.25)
    assert train.tolist() == list(range(7)) and held.tolist() == [7, 8, 9] and y["k"].tolist() == [14, 16, 18]
    for fraction in (0.999999, 1.0, 2.0, -1.0):
        with pytest.raises(ValueError, match="validation_split"):
            train_validation_split((x, None, None), fraction)
    with pytest.raises(ValueError, match="only supported for arrays"):
        train_validation_split((iter([x]), None, None), 0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"x": None}, ValueError, "no data"),
        ({"x": np.zeros((0, 2))}, ValueError, "no samples"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, ValueError, "'x' sizes: 3; 'y' sizes: 4"),
        ({"x": np.float32(1)}, ValueError, "batch axis"),
        ({"x": np.array(["a"])}, ValueError, "numbers"),
        ({"x": "images"}, ValueError, "Unrecognized data type"),
        ({"x": np.zeros(3), "batch_size": 0}, ValueError, "batch_size"),
        ({"x": np.zeros(3), "batch_size": True}, ValueError, "batch_size"),
        ({"x": np.zeros(3), "steps": -1}, ValueError, "steps"),
        ({"x": np.zeros(3), "shuffle": "rows"}, ValueError, "shuffle"),
        ({"x": iter([]), "y": np.zeros(3)}, ValueError, "should not be passed"),
        ({"x": Numbers(3), "sample_weight": np.zeros(3)}, ValueError, "PyDataset"),
        ({"x": np.zeros(3), "y": np.zeros(3), "class_weight": [1, 2]}, TypeError, "must be a dict"),
        ({"x": np.zeros(3), "class_weight": {0: 1}}, ValueError, "single output"),
        (
            {"x": np.zeros(3), "y": np.zeros(3), "sample_weight": np.ones(3), "class_weight": {0: 1}},
            ValueError,
            "at the same time",
        ),
    ],
)
def test_data_that_do_not_fit(arguments: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        adapt(**arguments)


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        (np.float32(3), "at least rank 1"),
        ((np.zeros(2), np.zeros(3)), "cardinality"),
        ((np.zeros(2),) * 4, "tuple of 4"),
        (np.array(["a", "b"]), "numbers"),
    ],
)
def test_batches_that_do_not_fit(batch: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        list(adapt(iter([batch])).epoch(0, 0))
