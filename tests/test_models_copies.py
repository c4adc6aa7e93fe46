"""Copies of models, and what models hold on to: memory, threads, warnings."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import threading
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import striate
from architectures import built
from model_checks import DEFINED, assert_same, inputs_for
from striate import engines, layers, ops


@pytest.fixture(params=["reference", "native"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with engines.use(request.param):
        yield request.param


class TestCopies:
    @pytest.mark.parametrize("name", DEFINED)
    def test_clone_and_config(self, name: str) -> None:
        with engines.use("reference"):
            for model in built(name, striate):
                made = [striate.models.clone_model(model), type(model).from_config(model.get_config())]
                for other in made if model.built else ():
                    assert not {id(w) for w in other.weights} & {id(w) for w in model.weights}
                    other.set_weights(model.get_weights())
                    x = inputs_for(model)
                    assert_same(other(x), model(x))
                names = {layer.name for layer in model.layers if not isinstance(layer, layers.InputLayer)}
                assert all(names <= {layer.name for layer in m.layers} for m in made)

    def test_json_and_the_base_class(self) -> None:
        model = built("functional", striate)[0]
        x = inputs_for(model)
        for made in (
            striate.models.model_from_json(model.to_json()),
            striate.Model.from_config(json.loads(json.dumps(model.get_config()))),
        ):
            assert made.name == model.name
            made.set_weights(model.get_weights())
            assert_same(made(x), model(x))

    def test_layers_as_configs(self) -> None:
        layer = layers.Conv2D(3, (2, 1), strides=2, activation="relu", kernel_regularizer="l2")
        made = layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))
        assert type(made) is layers.Conv2D
        assert made.get_config() == layer.get_config()
        with pytest.raises(ValueError, match="config of a layer"):
            layers.deserialize({"module": "keras.initializers", "class_name": "Zeros", "config": {}})

    def test_clone_function(self) -> None:
        model = built("functional", striate)[0]

        def widened(layer: Any) -> Any:
            config = layer.get_config()
            return type(layer).from_config(config | {"filters": 3} if "filters" in config else config)

        clone = striate.models.clone_model(model, clone_function=widened)
        assert clone.layers[1].filters == 3
        calls: list[str] = []

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(layer.name)
            return layer(*args, **kwargs)

        striate.models.clone_model(model, call_function=call)
        assert calls == ["conv2d", "max_pooling2d", "flatten", "dense"]

    def test_wrong_clones(self) -> None:
        with pytest.raises(ValueError, match="functional and sequential"):
            striate.models.clone_model(layers.Dense(2))
        assert not striate.models.clone_model(built("subclassed", striate)[1]).built
        with pytest.raises(ValueError, match="KerasTensor"):
            striate.models.clone_model(built("functional", striate)[0], input_tensors=[np.ones(3)])

    def test_custom_layers_by_registered_name(self) -> None:
        @striate.saving.register_keras_serializable("tests_of_models")
        class Scale(layers.Layer):
            def __init__(self, by: float, **kwargs: Any) -> None:
                super().__init__(**kwargs)
                self.by = by

            def call(self, x: Any) -> Any:
                return x * self.by

        model = striate.Sequential([layers.Input((2,)), Scale(3.0)])
        again = striate.Sequential.from_config(json.loads(json.dumps(model.get_config())))
        assert again(np.ones((1, 2))).tolist() == [[3, 3]]

    def test_deepcopy(self) -> None:
        model = built("chapter", striate)[0]
        x = inputs_for(model)
        before = model(x)
        other = copy.deepcopy(model)
        other.set_weights([w * 0 for w in other.get_weights()])
        assert np.array_equal(model(x), before) and not other(x).any()

    def test_pickle(self) -> None:
        model = built("chapter", striate)[0]
        x = inputs_for(model)
        assert np.array_equal(pickle.loads(pickle.dumps(model))(x), model(x))


class TestResources:
    def test_a_model_can_be_freed(self) -> None:
        model = built("chapter", striate)[0]
        x = inputs_for(model)
        model(x)
        model.predict(x, verbose=0)
        gone = weakref.ref(model)
        del model
        gc.collect()
        assert gone() is None

    def test_the_cache_of_plans_is_bounded(self) -> None:
        model = built("vgg_like", striate)[0]
        with engines.use("reference"):
            for size in range(8, 60):
                model(np.ones((1, size, 8, 3), "float32"))
        assert len(model._cache._entries) <= model._cache.limit
        assert len(model._quick) <= 16

    def test_from_several_threads(self, engine: str) -> None:
        model = built("functional", striate)[0]
        xs = [inputs_for(model) for _ in range(4)]
        expected = [model(x) for x in xs]
        wrong: list[int] = []

        def work(i: int) -> None:
            for _ in range(10):
                if not np.array_equal(model(xs[i]), expected[i]):
                    wrong.append(i)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert wrong == []

    def test_names_that_do_not_match_warn(self) -> None:
        a = striate.Input((2,), name="a")
        with pytest.warns(UserWarning, match="all keys in the dict must match"):
            striate.Model({"other": a}, layers.Dense(2)(a))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            striate.Model({"a": a}, ops.relu(a))
