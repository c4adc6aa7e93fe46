"""`Layer`: building, variables, names, dtypes, training, specs and configs, as the real Keras has them."""

from __future__ import annotations

import inspect
import json
import warnings
from typing import Any

import numpy as np
import pytest

import striate
from striate import layers, ops


class Scale(layers.Layer):
    """Made of everything that a custom layer has."""

    def __init__(self, units: int = 2, factor: float = 3.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.factor = units, factor
        self.inner = [layers.Dense(units, name="first"), {"second": layers.Dense(units, name="second")}]

    def build(self, input_shape: Any) -> None:
        self.offset = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="offset", trainable=False)
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, x: Any) -> Any:
        x = (x + self.offset) * self.scale * self.factor
        return self.inner[1]["second"](self.inner[0](x))


def named(variables: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(v.path, tuple(v.shape)) for v in variables]


class TestBuilding:
    def test_built_at_the_first_call(self) -> None:
        layer = Scale()
        assert not layer.built and layer.weights == []
        assert layer(np.ones((4, 5))).shape == (4, 2)
        assert layer.built and layer.count_params() == 5 + 5 + 12 + 6

    def test_order_names_and_paths_of_weights(self, real_keras: Any) -> None:
        def made(keras: Any) -> Any:
            class Both(keras.layers.Layer):  # type: ignore[name-defined, misc]
                def __init__(self) -> None:
                    super().__init__(name="both")
                    self.listed: list[Any] = []
                    self.last = keras.layers.Dense(2)
                    self.listed.append(keras.layers.Dense(3))
                    self.table = {"k": keras.layers.Dense(4)}

                def build(self, shape: Any) -> None:
                    self.frozen = self.add_weight(shape=(2,), name="frozen", trainable=False)
                    self.free = self.add_weight(shape=(1,), name="free")
                    for layer in (self.last, self.listed[0], self.table["k"]):
                        layer.build(shape)

                def call(self, x: Any) -> Any:
                    return x

            keras.backend.clear_session()
            layer = Both()
            layer.build((None, 5))
            return layer

        ours, theirs = made(striate), made(real_keras)
        for kind in ("weights", "trainable_weights", "non_trainable_weights", "variables"):
            assert named(getattr(ours, kind)) == named(getattr(theirs, kind))
        assert [v.name for v in ours.weights] == [v.name for v in theirs.weights]

    def test_build_is_told_the_shapes(self) -> None:
        seen: list[Any] = []

        class Two(layers.Layer):
            def build(self, query_shape: Any, value_shape: Any) -> None:
                seen.append((query_shape, value_shape))

            def call(self, query: Any, value: Any) -> Any:
                return query

        class Nest(layers.Layer):
            def build(self, shapes: Any) -> None:
                seen.append(shapes)

            def call(self, inputs: Any) -> Any:
                return inputs["a"]

        Two()(np.ones((1, 2)), value=np.ones((3, 4)))
        Nest()({"a": np.ones((1, 2)), "b": [np.ones(3)]})
        assert seen == [((1, 2), (3, 4)), {"a": (1, 2), "b": [(3,)]}]

    def test_build_with_names_that_do_not_match(self) -> None:
        class Wrong(layers.Layer):
            def build(self, one: Any, two: Any) -> None:
                pass

            def call(self, a: Any, b: Any) -> Any:
                return a

        with pytest.raises(ValueError, match="_shape"):
            Wrong()(np.ones(1), np.ones(1))

    def test_unknown_sizes_stay_unknown_while_building(self) -> None:
        seen: list[Any] = []

        class Inner(layers.Layer):
            def build(self, input_shape: Any) -> None:
                seen.append(input_shape)

            def call(self, x: Any) -> Any:
                return x

        class Outer(layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.inner = Inner()

            def call(self, x: Any) -> Any:
                return self.inner(x)

        result = Outer()(layers.Input((None, 4)))
        assert result.shape == (None, None, 4) and seen == [(None, None, 4)]

    def test_super_first(self) -> None:
        class Forgot(layers.Layer):
            def __init__(self) -> None:
                self.dense = layers.Dense(2)

        class Never(layers.Layer):
            def __init__(self) -> None:
                self.units = 3

        with pytest.raises(RuntimeError, match=r"super\(\).__init__"):
            Forgot()
        with pytest.raises(RuntimeError, match=r"super\(\).__init__"):
            Never()(np.ones(2))

    def test_build_config(self) -> None:
        layer = layers.Dense(3)
        layer.build((None, 4))
        assert layer.get_build_config() == {"input_shape": (None, 4)}
        other = layers.Dense(3)
        other.build_from_config(layer.get_build_config() or {})
        assert other.built and [w.shape for w in other.weights] == [(4, 3), (3,)]


class TestWeights:
    def test_defaults_of_add_weight(self) -> None:
        layer = layers.Layer()
        assert layer.add_weight().shape == () and layer.add_weight(shape=3).shape == (3,)
        assert layer.add_weight(shape=(2,), dtype="int32").numpy().tolist() == [0, 0]
        assert layer.add_weight(shape=(9,)).numpy().any()

    def test_get_and_set(self) -> None:
        layer = layers.Dense(2)
        layer.build((None, 3))
        layer.set_weights([np.ones((3, 2)), [1, 2]])
        assert layer.get_weights()[1].tolist() == [1, 2] and layer.get_weights()[0].dtype == "float32"
        for wrong in ([], [np.ones((3, 2))], [np.ones((2, 3)), np.ones(2)]):
            with pytest.raises(ValueError, match=r"weight"):
                layer.set_weights(wrong)

    def test_trainable(self, real_keras: Any) -> None:
        def states(keras: Any) -> Any:
            bn, dense = keras.layers.BatchNormalization(), keras.layers.Dense(2)
            model = keras.Sequential([keras.Input((3,)), dense, bn])
            found = []
            for change in ((model, False), (dense, True), (model, True), (bn, False)):
                change[0].trainable = change[1]
                found.append(
                    [
                        (
                            len(x.trainable_weights),
                            len(x.non_trainable_weights),
                            x.trainable,
                            [v.trainable for v in x.weights],
                        )
                        for x in (model, dense, bn)
                    ]
                )
            return found

        assert states(striate) == states(real_keras)

    def test_lists_may_change(self) -> None:
        class Stack(layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.stack = [layers.Dense(1), layers.Dense(2)]

        layer = Stack()
        layer.stack.append(layers.Dense(3))
        assert [d.units for d in layer._sublayers()] == [1, 2, 3]
        del layer.stack[0]
        assert [d.units for d in layer._sublayers()] == [2, 3]
        del layer.stack
        assert layer._sublayers() == []

    def test_a_replaced_layer_of_a_list_is_forgotten(self) -> None:
        layer = layers.Layer()
        layer.parts = [layers.Dense(1)]
        layer.parts[0] = layers.Dense(5)
        assert [d.units for d in layer._sublayers()] == [5]

    def test_seeds_are_variables_but_no_weights(self) -> None:
        layer = layers.Dropout(0.5, seed=1)
        layer(np.ones((2, 2)), training=True)
        assert layer.weights == [] and len(layer.variables) == 1

    def test_regularizers_add_losses(self) -> None:
        layer = layers.Dense(2, kernel_regularizer="l2", kernel_initializer="ones", activity_regularizer="l1")
        layer(np.ones((4, 3)))
        values = sorted(float(x) for x in layer.losses)
        np.testing.assert_allclose(values, [0.01 * 6, 0.01 * 3 * 8 / 4], rtol=1e-6)

    def test_unbuilt_count(self) -> None:
        with pytest.raises(ValueError, match="isn't built"):
            layers.Dense(2).count_params()


class TestNames:
    def test_automatic(self, real_keras: Any) -> None:
        def names(keras: Any) -> list[str]:
            keras.backend.clear_session()
            L = keras.layers
            made = [L.Conv2D(1, 1), L.Conv2D(1, 1), L.Dense(1), L.Conv2D(1, 1), L.Conv2DTranspose(1, 1), L.MaxPool2D()]
            made += [
                L.GlobalAveragePooling1D(),
                L.BatchNormalization(),
                L.ReLU(),
                L.PReLU(),
                L.LeakyReLU(),
                L.ZeroPadding2D(),
            ]
            made += [
                L.SeparableConv1D(1, 1),
                L.DepthwiseConv2D(1),
                L.UpSampling3D(),
                L.Dense(1, name="dense"),
                L.Dense(1),
            ]
            return [layer.name for layer in (*made, keras.Sequential(), keras.Sequential())]

        assert names(striate) == names(real_keras)

    def test_clear_session_starts_again(self) -> None:
        striate.utils.clear_session()
        assert [layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
        striate.backend.clear_session()
        assert layers.Dense(1).name == "dense"

    @pytest.mark.parametrize("name", ["a/b", 3])
    def test_wrong_names(self, name: Any) -> None:
        with pytest.raises(ValueError, match="name"):
            layers.Dense(1, name=name)

    def test_repr(self, real_keras: Any) -> None:
        striate.backend.clear_session()
        real_keras.backend.clear_session()
        pairs = [(k.layers.Dense(2), k.layers.Conv2D(1, 1, name="x")) for k in (striate, real_keras)]
        assert [repr(x) for x in pairs[0]] == [repr(x) for x in pairs[1]]

    def test_repr_of_variables(self, real_keras: Any) -> None:
        def shown(keras: Any) -> list[str]:
            keras.backend.clear_session()
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, kernel_initializer="ones")])
            return [repr(v) for v in model.weights]

        assert shown(striate) == shown(real_keras)


class TestCalls:
    def test_only_tensors_by_position(self) -> None:
        for bad in ("x", 3, [1.0, 2.0], object()):
            with pytest.raises(ValueError, match="positional arguments"):
                layers.Dense(2)(bad)

    def test_input_spec(self) -> None:
        conv = layers.Conv2D(2, 3, name="the_conv")
        conv(np.ones((1, 8, 8, 3)))
        with pytest.raises(ValueError, match=r"'the_conv'.*expected axis -1.*value 3"):
            conv(np.ones((1, 8, 8, 4)))
        with pytest.raises(ValueError, match=r"the_conv"):
            conv(np.ones((8, 8, 3)))
        layer = layers.Layer()
        layer.input_spec = striate.InputSpec(ndim=2, dtype="int32")
        with pytest.raises(ValueError, match="ndim=2"):
            layer(np.ones(3, "int32"))
        with pytest.raises(TypeError, match="InputSpec"):
            layer.input_spec = "two axes"

    @pytest.mark.parametrize(
        ("spec", "bad"),
        [
            ({"ndim": 3}, (2, 2)),
            ({"min_ndim": 3}, (2, 2)),
            ({"max_ndim": 1}, (2, 2)),
            ({"axes": {-1: 3}}, (2, 2)),
            ({"shape": (None, 3)}, (2, 2)),
            ({"dtype": "int32"}, (2, 2)),
        ],
    )
    def test_specs_as_in_keras(self, spec: Any, bad: Any, real_keras: Any) -> None:
        for keras in (striate, real_keras):

            class Plain(keras.layers.Layer):  # type: ignore[name-defined, misc]
                def call(self, x: Any) -> Any:
                    return x

            layer = Plain()
            layer.input_spec = keras.InputSpec(**spec)
            with pytest.raises(ValueError, match="incompatible with the layer"):
                layer(np.ones(bad, "float32"))

    def test_training_default_of_call(self) -> None:
        seen: list[Any] = []

        class Inner(layers.Layer):
            def call(self, x: Any, training: Any = None) -> Any:
                seen.append(training)
                return x

        class Outer(layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.inner = Inner()

            def call(self, x: Any, training: bool = True) -> Any:
                return self.inner(x)

        x = np.ones(2)
        Inner()(x)
        Outer()(x)
        Outer()(x, training=False)
        Outer()(x, training=None)
        assert seen == [None, True, False, None]  # None said in words stays, as in Keras

    def test_shapes_of_results(self) -> None:
        class Wide(layers.Layer):
            def call(self, x: Any) -> Any:
                return ops.concatenate([x, x], axis=-1), ops.sum(x, axis=1)

        a, b = Wide()(layers.Input((None, 3)))
        assert (a.shape, b.shape) == ((None, None, 6), (None, 3))
        assert Wide().compute_output_shape((2, None, 3)) == ((2, None, 6), (2, 3))

    def test_own_output_shape_is_used(self) -> None:
        class Opaque(layers.Layer):
            def call(self, x: Any) -> Any:
                return np.repeat(np.asarray(x), 2, axis=-1)

            def compute_output_shape(self, input_shape: Any) -> Any:
                return (*input_shape[:-1], input_shape[-1] * 2)

        inputs = layers.Input((3,))
        model = striate.Model(inputs, Opaque()(inputs))
        assert model.output_shape == (None, 6) and model(np.ones((2, 3))).shape == (2, 6)

    def test_print_and_branch_on_arrays(self, capsys: pytest.CaptureFixture[str]) -> None:
        class Loud(layers.Layer):
            def call(self, x: Any) -> Any:
                print("sum is", float(ops.sum(x)))
                return x if ops.max(x) > 1 else -x

        layer = Loud()
        assert layer(np.ones(2)).tolist() == [-1, -1]
        assert layer(np.full(2, 2.0)).tolist() == [2, 2]
        assert capsys.readouterr().out == "sum is 2.0\nsum is 4.0\n"

    def test_no_call_method(self) -> None:
        with pytest.raises(NotImplementedError, match="call"):
            layers.Layer()(np.ones(2))


class TestDtypes:
    @pytest.mark.parametrize("policy", ["float32", "float16", "float64", "mixed_float16"])
    def test_policies(self, policy: str, real_keras: Any) -> None:
        def kinds(keras: Any) -> Any:
            layer = keras.layers.Dense(2, dtype=policy)
            result = layer(np.ones((1, 3), "float32"))
            return str(result.dtype), layer.dtype, layer.compute_dtype, layer.variable_dtype, layer.kernel.dtype

        # JAX has float64 switched off
        assert kinds(striate) == (("float64",) * 5 if policy == "float64" else kinds(real_keras))

    def test_integers_are_left_alone(self) -> None:
        class Plain(layers.Layer):
            def call(self, x: Any) -> Any:
                return x

        assert Plain()(np.ones(2, "int32")).dtype == "int32"
        assert Plain()(np.ones(2, "float64")).dtype == "float32"
        assert Plain(autocast=False)(np.ones(2, "float64")).dtype == "float64"

    def test_the_global_policy(self) -> None:
        striate.config.set_dtype_policy("mixed_float16")
        try:
            layer = layers.Dense(2)
            assert (layer.compute_dtype, layer.variable_dtype) == ("float16", "float32")
        finally:
            striate.config.set_dtype_policy("float32")
        assert layers.Dense(2).compute_dtype == "float32"

    @pytest.mark.parametrize("bad", ["float31", "mixed_int8", 3.5])
    def test_wrong_policies(self, bad: Any) -> None:
        with pytest.raises((ValueError, TypeError)):
            layers.Dense(2, dtype=bad)


class TestConfigs:
    def test_automatic_config(self) -> None:
        layer = Scale(5, factor=0.5, name="s", trainable=False)
        config = json.loads(json.dumps(layer.get_config()))
        assert config == {
            "name": "s",
            "units": 5,
            "factor": 0.5,
            "trainable": False,
            "dtype": {
                "module": "keras",
                "class_name": "DTypePolicy",
                "config": {"name": "float32"},
                "registered_name": None,
            },
        }
        again = Scale.from_config(config)
        assert (again.units, again.factor, again.name, again.trainable) == (5, 0.5, "s", False)

    def test_extended_config(self) -> None:
        class Wrapped(Scale):
            def get_config(self) -> dict[str, Any]:
                return super().get_config() | {"units": self.units}

        assert Wrapped.from_config(Wrapped(7).get_config()).units == 7

    @pytest.mark.parametrize("bad", [{"unknown": 1}, {"input_sape": (2,)}, {"trainable": 3}])
    def test_unknown_arguments(self, bad: Any) -> None:
        with pytest.raises(ValueError, match=r"Unrecognized|boolean"):
            layers.Dense(2, **bad)

    def test_input_shape_of_a_first_layer(self) -> None:
        with pytest.warns(UserWarning, match="input_shape"):
            model = striate.Sequential([layers.Dense(2, input_shape=(3,))])
        assert model.input_shape == (None, 3)

    @pytest.mark.parametrize(
        "arguments", [{}, {"shape": (2,), "batch_shape": (1, 2)}, {"shape": (-1,)}, {"shape": ("a",)}]
    )
    def test_wrong_inputs(self, arguments: Any, real_keras: Any) -> None:
        for keras in (striate, real_keras):
            with pytest.raises((ValueError, TypeError)):
                keras.Input(**arguments)

    def test_input_tensor(self) -> None:
        tensor = striate.KerasTensor((None, 3), name="given")
        assert striate.Input(tensor=tensor) is tensor
        with pytest.raises(ValueError, match="KerasTensor"):
            striate.Input(tensor=np.ones(3))

    def test_arguments_stand_in_the_order_of_keras(self, real_keras: Any) -> None:
        for cls in (layers.InputLayer, striate.InputSpec, striate.Input):
            theirs = getattr(real_keras.layers, cls.__name__)
            names = [p for p in inspect.signature(theirs).parameters if p != "kwargs"]
            assert [p for p in inspect.signature(cls).parameters if p != "kwargs"][: len(names)] == names

    def test_no_warnings_in_everyday_use(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Scale()(np.ones((1, 2)))


class TestSignature:
    """`help` names what Keras's does."""

    @pytest.mark.parametrize(
        "name",
        ["Conv2D", "Conv1DTranspose", "DepthwiseConv2D", "SeparableConv1D", "MaxPooling2D", "Dense", "Layer", "Add"],
    )
    def test_all_of_keras_arguments_are_named(self, name: str, real_keras: Any) -> None:
        ours = set(inspect.signature(getattr(striate.layers, name)).parameters)
        theirs = set(inspect.signature(getattr(real_keras.layers, name).__init__).parameters) - {"self", "kwargs"}
        known = {"quantization_config", "lora_rank", "lora_alpha"}  # not offered
        assert theirs - ours <= known
        assert "rank" not in ours

    def test_an_instance_is_called_by_its_call(self) -> None:
        assert "args" in inspect.signature(striate.layers.Dense(2)).parameters

    def test_a_class_that_passes_nothing_on_has_its_own_arguments_only(self) -> None:
        class Own(striate.layers.Layer):
            def __init__(self, units: int = 3) -> None:
                super().__init__()

        assert list(inspect.signature(Own).parameters) == ["units"]
