"""Functional, sequential and subclassed models against the real Keras, with its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import striate
from architectures import TABLE, built
from model_checks import DEFINED, RNG, assert_same, inputs_for
from striate import engines, layers


@pytest.fixture(params=["reference", "native"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with engines.use(request.param):
        yield request.param


class TestAgainstKeras:
    @pytest.mark.parametrize("name", DEFINED)
    def test_outputs(self, name: str, engine: str, real_keras: Any) -> None:
        tolerance = 2e-3 if name == "mixed_precision" else 1e-5
        for ours, theirs in zip(built(name, striate), built(name, real_keras), strict=True):
            if not theirs.built:
                continue
            ours.set_weights([RNG.normal(size=w.shape, scale=0.3) ** 2 for w in theirs.get_weights()])
            theirs.set_weights(ours.get_weights())
            x = inputs_for(ours)
            expected = theirs(x)
            assert_same(ours(x), expected, tolerance)
            assert_same(ours.predict(x, batch_size=2, verbose=0), expected, tolerance)

    @pytest.mark.parametrize("name", TABLE)
    def test_names_shapes_and_paths(self, name: str, real_keras: Any) -> None:
        for ours, theirs in zip(built(name, striate), built(name, real_keras), strict=True):
            assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
            for attribute in ("weights", "trainable_weights", "non_trainable_weights"):
                mine, yours = getattr(ours, attribute), getattr(theirs, attribute)
                assert [(w.path, w.shape, w.dtype) for w in mine] == [(w.path, tuple(w.shape), w.dtype) for w in yours]
            assert ours.name == theirs.name
            if theirs.built:
                assert ours.count_params() == theirs.count_params()

    @pytest.mark.parametrize("name", DEFINED)
    def test_symbolic_tensors(self, name: str, real_keras: Any) -> None:
        for ours, theirs in zip(built(name, striate), built(name, real_keras), strict=True):
            if theirs.built:
                assert repr(ours.inputs) == repr(theirs.inputs)
                assert [(t.shape, t.dtype, t.name) for t in ours.outputs] == [
                    (t.shape, t.dtype, t.name) for t in theirs.outputs
                ]
                assert (ours.input_shape, ours.output_shape) == (theirs.input_shape, theirs.output_shape)

    @pytest.mark.parametrize("name", sorted(set(DEFINED) - {"op_nodes"}))
    def test_configs_of_keras_make_the_same_model(self, name: str, real_keras: Any) -> None:
        with engines.use("reference"):
            for sample, theirs in zip(built(name, striate), built(name, real_keras), strict=True):
                if not theirs.built:
                    continue
                ours = type(sample).from_config(theirs.get_config())
                ours.set_weights(theirs.get_weights())
                x = inputs_for(ours)
                assert_same(ours(x), theirs(x), 2e-3 if name == "mixed_precision" else 1e-5)

    @pytest.mark.parametrize("name", sorted(set(DEFINED) - {"op_nodes"}))
    def test_our_configs_open_in_keras(self, name: str, real_keras: Any) -> None:
        for ours, sample in zip(built(name, striate), built(name, real_keras), strict=True):
            theirs = type(sample).from_config(json.loads(json.dumps(ours.get_config())))
            assert [layer.name for layer in theirs.layers] == [layer.name for layer in ours.layers]
            assert [tuple(w.shape) for w in theirs.weights] == [w.shape for w in ours.weights]

    def test_subclassed(self, engine: str, real_keras: Any) -> None:
        x = RNG.normal(size=(2, 16, 16, 3)).astype("float32")
        (fresh, _), (_, theirs) = built("subclassed", striate), built("subclassed", real_keras)
        assert not fresh.built
        fresh(x)
        fresh.set_weights(theirs.get_weights())
        assert_same(fresh(x), theirs(x))
        assert_same(fresh.predict(x, verbose=0), theirs(x))


class TestInputs:
    def model(self) -> Any:
        inputs = layers.Input((6, 6, 3))
        return striate.Model(inputs, layers.Conv2D(2, 3)(inputs))

    @pytest.mark.parametrize("dtype", ["float64", "int32", "uint8", "float16", "bool"])
    def test_other_dtypes(self, dtype: str) -> None:
        model, x = self.model(), RNG.integers(0, 2, (2, 6, 6, 3))
        result = model(x.astype(dtype))
        assert result.dtype == "float32"
        assert np.array_equal(result, model(x.astype("float32")))

    def test_list_of_one_and_order_in_memory(self) -> None:
        model, x = self.model(), RNG.normal(size=(2, 6, 6, 3)).astype("float32")
        expected = model(x)
        assert np.array_equal(model([x]), expected)
        assert np.array_equal(model(np.asfortranarray(x)), expected)
        assert np.array_equal(model(np.repeat(x, 2, axis=0)[::2]), expected)

    def test_missing_and_superfluous_last_axis(self) -> None:
        inputs = layers.Input((4, 1))
        model = striate.Model(inputs, layers.Flatten()(inputs))
        x = RNG.normal(size=(2, 4)).astype("float32")
        assert np.array_equal(model(x), x)
        assert np.array_equal(model(x[..., None]), x)

    def test_dicts_by_name(self) -> None:
        a, b = layers.Input((2,), name="a"), layers.Input((3,), name="b")
        x, y = np.ones((1, 2), "float32"), np.zeros((1, 3), "float32")
        expected = np.concatenate([x, y], axis=1)
        listed = striate.Model([a, b], layers.Concatenate()([a, b]))
        named = striate.Model({"b": b, "a": a}, layers.Concatenate()([a, b]))
        for model in (listed, named):
            assert np.array_equal(model({"b": y, "a": x}), expected)
            with pytest.warns(UserWarning, match="doesn't match the expected structure"):
                assert np.array_equal(model({"b": y, "a": x, "unused": y}), expected)
            with pytest.raises(ValueError, match=r"\['a'\]"):
                model({"b": y})
        assert np.array_equal(listed([x, y]), expected)

    @pytest.mark.parametrize(
        "bad",
        [np.ones((6, 6, 3)), np.ones((2, 5, 6, 3)), np.ones((2, 6, 6, 4)), np.ones((2, 6, 6)), "image.png", [[1.0]]],
    )
    def test_wrong_inputs(self, bad: Any) -> None:
        with pytest.raises(ValueError, match=r"expected|shape"):
            self.model()(bad)

    def test_the_result_is_the_callers_own(self) -> None:
        model, x = self.model(), RNG.normal(size=(2, 6, 6, 3)).astype("float32")
        first = model(x)
        kept = first.copy()
        model(-x)
        assert np.array_equal(first, kept)
        first[:] = 0
        assert np.array_equal(model(x), kept)


class TestWeights:
    def test_a_change_is_seen_at_once(self, engine: str) -> None:
        model = built("functional", striate)[0]
        x, weights = inputs_for(model), model.get_weights()
        before = model(x)
        for change in (
            lambda: model.set_weights([w * 2 for w in weights]),
            lambda: model.layers[1].kernel.assign(weights[0] * 3),
            lambda: model.weights[-1].assign_add(np.ones(10)),
            lambda: model.layers[1].set_weights([weights[0] * 4, weights[1]]),
        ):
            after = model(x)
            change()
            assert not np.allclose(model(x), after)
        model.set_weights(weights)
        assert np.array_equal(model(x), before)

    def test_a_replaced_attribute_is_seen(self) -> None:
        model = built("chapter", striate)[0]
        x = inputs_for(model)
        assert model(x).min() == 0
        model.layers[2].activation = striate.activations.get("linear")
        assert model(x).min() < 0

    def test_trainable_changes_no_result(self) -> None:
        model = built("residual", striate)[0]
        x = inputs_for(model)
        before = model(x)
        model.trainable = False
        assert np.array_equal(model(x), before)
        assert model.trainable_weights == [] and len(model.non_trainable_weights) == 12
        model.trainable = True
        assert len(model.trainable_weights) == 8

    def test_set_weights_changes_all_or_nothing(self) -> None:
        model = built("functional", striate)[0]
        before = model.get_weights()
        bad = [w + 1 for w in before]
        bad[-1] = bad[-1][:-1]
        for wrong in (bad, bad[:-1], [*bad, bad[0]]):
            with pytest.raises(ValueError, match="weight"):
                model.set_weights(wrong)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))

    def test_get_weights_are_copies(self) -> None:
        model = built("functional", striate)[0]
        model.get_weights()[0][:] = 7
        assert not (model.get_weights()[0] == 7).any()

    def test_shared_layers_have_one_set(self) -> None:
        model = built("shared", striate)[0]
        assert len(model.weights) == 2
        features = striate.Model(model.inputs, model.get_layer("conv2d").output)
        assert features.weights[0] is model.weights[0]


class TestSequential:
    def test_deferred(self) -> None:
        model = striate.Sequential([layers.Dense(3), layers.Dense(2)])
        assert (model.built, model.weights) == (False, [])
        with pytest.raises(AttributeError, match="no defined"):
            model.output_shape
        with pytest.raises(ValueError, match="built"):
            model.count_params()
        assert model(np.ones((2, 4))).shape == (2, 2)
        assert model.input_shape == (2, 4) and model.count_params() == 23
        other = striate.Sequential([layers.Dense(3)])
        other.build((None, 5))
        assert other.input_shape == (None, 5)

    def test_deferred_in_predict(self) -> None:
        model = striate.Sequential([layers.Conv2D(2, 3), layers.Flatten()])
        assert model.predict(np.ones((5, 4, 4, 1)), batch_size=2, verbose=0).shape == (5, 8)

    def test_add_and_pop(self) -> None:
        model = striate.Sequential([layers.Input((4,)), layers.Dense(3)])
        x = np.ones((2, 4), "float32")
        three = model(x)
        model.predict(x, verbose=0)
        model.add(layers.Dense(5))
        assert model(x).shape == model.predict(x, verbose=0).shape == (2, 5)
        assert model.pop().units == 5
        assert np.array_equal(model(x), three)
        model.pop()
        with pytest.raises(ValueError, match="no layers"):
            model.pop()

    def test_wrong_use(self) -> None:
        dense = layers.Dense(2, name="d")
        with pytest.raises(ValueError, match="unique names"):
            striate.Sequential([dense, layers.Dense(3, name="d")])
        with pytest.raises(ValueError, match=r"Only instances of `keras.Layer`"):
            striate.Sequential(["dense"])
        with pytest.raises(ValueError, match="already been configured"):
            striate.Sequential([layers.Input((2,)), layers.Input((2,))])
        with pytest.raises(ValueError, match="no layers"):
            striate.Sequential().build((None, 2))
        model = striate.Sequential([layers.Input((2,)), dense])
        with pytest.raises(ValueError, match="configured to use input shape"):
            model.build((None, 3))
        with pytest.raises(AttributeError, match="reserved"):
            model.layers = []
        with pytest.raises(ValueError, match="single required positional"):
            striate.Sequential([layers.Input((2,)), _TwoInputs()])

    def test_code_that_looks_at_values(self) -> None:
        class Flip(layers.Layer):
            def call(self, x: Any) -> Any:
                return -x if float(np.sum(x)) > 0 else x

        model = striate.Sequential([Flip(), layers.Flatten()])
        assert model(np.ones((1, 2))).tolist() == model(-np.ones((1, 2))).tolist() == [[-1, -1]]
        assert model.predict(np.ones((1, 2)), verbose=0).tolist() == [[-1, -1]]

    def test_nested_sequential_without_input(self) -> None:
        model = striate.Sequential(
            [layers.Input((4, 4, 1)), striate.Sequential([layers.Conv2D(2, 3)]), layers.Flatten()]
        )
        assert model(np.ones((1, 4, 4, 1))).shape == (1, 8)


class _TwoInputs(layers.Layer):
    def call(self, a: Any, b: Any) -> Any:
        return a + b


class TestGraphs:
    def test_disconnected(self, real_keras: Any) -> None:
        for keras in (striate, real_keras):
            a, b = keras.Input((2,)), keras.Input((2,))
            with pytest.raises(ValueError, match=r"disconnected|not connected"):
                keras.Model(a, keras.layers.Dense(2)(b))
            with pytest.raises(ValueError, match=r"disconnected|not connected"):
                keras.Model(a, keras.layers.Add()([a, b]))

    def test_duplicate_names(self, real_keras: Any) -> None:
        for keras in (striate, real_keras):
            a = keras.Input((2,))
            x = keras.layers.Dense(2, name="twice")(keras.layers.Dense(2, name="twice")(a))
            with pytest.raises(ValueError, match='"twice" is used 2 times'):
                keras.Model(a, x)

    @pytest.mark.parametrize("bad", [np.ones((2, 2)), "x", None, [], {}])
    def test_no_symbolic_tensors(self, bad: Any, real_keras: Any) -> None:
        for keras in (striate, real_keras):
            a = keras.Input((2,))
            with pytest.raises((ValueError, TypeError, AttributeError)):
                keras.Model(bad, a)
            with pytest.raises((ValueError, TypeError, AttributeError)):
                keras.Model(a, bad)

    def test_get_layer(self) -> None:
        model = built("intermediate", striate)[0]
        assert model.get_layer("c2") is model.get_layer(index=2) is model.layers[2]
        for wrong in ({"name": "c9"}, {"index": 9}, {}, {"name": "c1", "index": 1}):
            with pytest.raises(ValueError, match=r"layer"):
                model.get_layer(**wrong)

    def test_a_model_from_the_middle(self) -> None:
        model, features, tail = built("intermediate", striate)
        x = inputs_for(model)
        first, _ = features(x)
        assert tail.input_shape == (None, 14, 14, 4)
        assert [layer.name for layer in tail.layers[1:]] == ["c2", "flat"]
        np.testing.assert_allclose(tail(first), model(x), atol=1e-6)
        assert tail.weights[0] is model.weights[2]

    def test_called_on_symbols_it_becomes_a_layer(self) -> None:
        model = built("functional", striate)[0]
        inputs = striate.Input((32, 32, 3))
        twice = striate.Model(inputs, layers.Add()([model(inputs), model(inputs)]))
        x = inputs_for(model)
        np.testing.assert_allclose(twice(x), 2 * model(x), rtol=1e-5, atol=1e-6)
        assert len(twice.layers) == 3

    def test_function(self) -> None:
        a, b = striate.Input((2,)), striate.Input((2,))
        function = striate.Function([a, b], {"sum": a + b})
        result = function([np.ones((1, 2)), np.ones((1, 2))])
        assert result["sum"].tolist() == [[2, 2]]
        with pytest.raises(ValueError, match="expected 2 input"):
            function([np.ones((1, 2))])

    def test_unknown_sizes(self) -> None:
        model = built("vgg_like", striate)[0]
        for size in ((8, 8), (17, 30), (64, 9)):
            assert model(np.ones((1, *size, 3))).shape == (1, size[0] // 8, size[1] // 8, 24)
        assert model.compute_output_shape((2, 32, None, 3)) == (2, 4, None, 24)

    def test_a_deep_graph(self) -> None:
        inputs = x = striate.Input((2,))
        for _ in range(1500):
            x = layers.Activation("relu")(x)
        model = striate.Model(inputs, x)
        assert len(model.layers) == 1501


class TestCustomCode:
    def test_runs_as_python_each_time(self) -> None:
        seen: list[Any] = []

        class Spy(layers.Layer):
            def call(self, x: Any) -> Any:
                seen.append(type(x))
                return x * 2

        inputs = striate.Input((2,))
        model = striate.Model(inputs, Spy()(inputs))
        seen.clear()
        for _ in range(3):
            assert model(np.ones((1, 2))).tolist() == [[2, 2]]
        assert seen == [np.ndarray] * 3

    def test_lambda_with_numpy(self) -> None:
        model = striate.Sequential([layers.Lambda(lambda x: np.sort(np.asarray(x)))])
        assert model(np.array([[2.0, 1.0]])).tolist() == [[1, 2]]

    def test_a_custom_activation_with_numpy(self) -> None:
        model = striate.Sequential([layers.Input((2,)), layers.Dense(2, use_bias=False)])
        model.layers[0].activation = lambda x: np.maximum(x, 0)
        wrapped = striate.Sequential([layers.Dense(2, use_bias=False, activation=lambda x: np.maximum(x, 0))])
        assert wrapped(np.ones((1, 2))).min() >= 0

    def test_training_argument(self) -> None:
        seen: list[Any] = []

        class Inner(layers.Layer):
            def call(self, x: Any, training: Any = None) -> Any:
                seen.append(training)
                return x

        class Outer(striate.Model):
            def __init__(self) -> None:
                super().__init__()
                self.inner = Inner()

            def call(self, x: Any, training: bool = False) -> Any:
                return self.inner(x)

        model, x = Outer(), np.ones((1, 2))
        model(x)
        model(x, training=True)
        model.predict(x, verbose=0)
        striate.Sequential([Inner()])(x, training=True)
        assert seen[:3] == [False, True, False] and seen[-1] is True

    def test_functional_subclass(self) -> None:
        class Net(striate.Model):
            def __init__(self, units: int) -> None:
                inputs = striate.Input((3,))
                super().__init__(inputs=inputs, outputs=layers.Dense(units)(inputs), name="net")
                self.units = units

        model = Net(2)
        assert isinstance(model, striate.models.Functional) and model.name == "net"
        assert model(np.ones((1, 3))).shape == (1, 2)
        assert Net(4)(np.ones((1, 3))).shape == (1, 4)

    def test_no_call(self) -> None:
        with pytest.raises(NotImplementedError, match="call"):
            striate.Model()(np.ones((1, 2)))
        with pytest.raises(TypeError, match="positional"):
            striate.Model(3)

    def test_super_was_not_called(self) -> None:
        class Forgot(striate.Model):
            def __init__(self) -> None:
                self.dense = layers.Dense(2)

        with pytest.raises(RuntimeError, match=r"super\(\).__init__"):
            Forgot()
