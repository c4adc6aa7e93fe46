"""Models for the tests of saving, each made with real Keras or with striate."""

from __future__ import annotations

from typing import Any

import numpy as np


def functional(keras: Any) -> Any:
    """Batch norm, dropout, a nested model, a shared layer, calls of ops with and without arguments."""
    layers, ops = keras.layers, keras.ops
    image = keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(3, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3))(image)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = ops.mean(x, axis=(1, 2)) + 1.0
    inner = keras.Sequential([layers.Dense(4, "tanh"), layers.Dropout(0.0), layers.Dense(4)], name="inner")
    shared = layers.Dense(4, name="shared")
    x = shared(shared(inner(x)))
    parts = [x, ops.relu(x[:, 1:3]), 2 * x, ops.reshape(x, (-1, 4)), x[..., None][:, :, 0]]
    x = ops.concatenate(parts, axis=-1)
    x = ops.einsum("bi,bi->bi", x, ops.softmax(x, axis=-1))
    x = layers.Add()([x, ops.clip(x, -0.5, 0.5), ops.expand_dims(x, 1)[:, 0]])
    return keras.Model(image, layers.Dense(3, activation="softmax", name="out")(x), name="of_layers_and_ops")


def two_ends(keras: Any) -> Any:
    """Dictionaries of inputs and outputs."""
    layers = keras.layers
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((3,), name="b")}
    x = layers.Concatenate()([inputs["a"], inputs["b"]])
    outputs = {"u": layers.Dense(2, name="u")(x), "v": layers.Dense(1, name="v")(x)}
    return keras.Model(inputs, outputs, name="two_ends")


def sequential(keras: Any) -> Any:
    layers = keras.layers
    row = [keras.Input((8, 8, 2)), layers.Conv2D(3, 3, strides=2, activation="relu"), layers.BatchNormalization()]
    return keras.Sequential([*row, layers.Flatten(), layers.Dense(3)], name="row")


def classes(keras: Any) -> tuple[Any, Any]:
    """A layer with layers in lists and dictionaries, and a model of them: registered for both packages alike."""
    layers = keras.layers

    class Block(layers.Layer):
        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units
            self.row = [layers.Dense(units), layers.Dense(units)]
            self.nested = {"a": layers.Dense(units), "b": [layers.Dropout(0.0), layers.Dense(units)]}
            self.norm = layers.LayerNormalization()
            self.seeds = keras.random.SeedGenerator(5)

        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(shape[-1],), name="w", initializer="ones")
            for layer in [*self.row, self.nested["a"], self.nested["b"][1], self.norm]:
                layer.build((*shape[:-1], self.units))

        def call(self, x: Any, training: Any = None) -> Any:
            x = x * self.w
            for layer in [*self.row, self.nested["a"], self.nested["b"][1]]:
                x = layer(x)
            return self.norm(self.nested["b"][0](x, training=training))

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    class Sub(keras.Model):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.block = block(4, name="blk")
            self.head = layers.Dense(3)
            self.many = [layers.Dense(4), layers.Dense(4)]

        @property
        def first(self) -> Any:
            return self.many[0]

        def build(self, shape: Any) -> None:
            self.block.build(shape)
            for layer in [self.head, *self.many]:
                layer.build((*shape[:-1], 4))

        def call(self, x: Any, training: Any = None) -> Any:
            x = self.block(x, training=training)
            for layer in self.many:
                x = layer(x)
            return self.head(x)

    register = keras.saving.register_keras_serializable("saving_tests")
    block = register(Block)
    return block, register(Sub)


def subclassed(keras: Any) -> Any:
    model = classes(keras)[1](name="sub")
    model(np.zeros((2, 4), "float32"))
    return model


INPUTS: dict[Any, Any] = {
    functional: lambda rng: rng.normal(size=(5, 8, 8, 2)).astype("float32"),
    sequential: lambda rng: rng.normal(size=(5, 8, 8, 2)).astype("float32"),
    subclassed: lambda rng: rng.normal(size=(5, 4)).astype("float32"),
    two_ends: lambda rng: {k: rng.normal(size=(5, 3)).astype("float32") for k in "ab"},
}


def x_for(make: Any) -> Any:
    return INPUTS[make](np.random.default_rng(1))


def scrambled(model: Any, seed: int = 0) -> Any:
    """The model with weights that no initializer gives; variances stay positive."""
    rng = np.random.default_rng(seed)
    model.set_weights([np.abs(rng.normal(size=w.shape)).astype(w.dtype) * 0.5 for w in model.get_weights()])
    return model


def same(a: Any, b: Any, tolerance: float = 1e-5) -> None:
    """Equal outputs, dictionaries by their keys."""
    if isinstance(a, dict):
        assert set(a) == set(b)
        for key in a:
            same(a[key], b[key], tolerance)
        return
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)
