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


def many_ops(keras: Any) -> Any:
    """Calls of functions whose arguments Keras keeps in different places."""
    ops = keras.ops
    x, image = keras.Input((4, 6), name="x"), keras.Input((8, 8, 3), name="image")
    ints = ops.cast(ops.round(ops.abs(x[..., 0]) * 3), "int32")
    kernel = np.linspace(-1, 1, 3 * 3 * 3 * 2).reshape(3, 3, 3, 2).astype("float32")
    results = [
        1 - x, x**2, -x, x @ ops.transpose(x, (0, 2, 1)), x / 3.0, x // 0.5, x % 0.3, abs(x), x > 0.1,
        ops.sum(x, axis=-1, keepdims=True), ops.max(x, axis=(1, 2)), ops.argmax(x, axis=-1), ops.std(x, axis=1),
        ops.var(x, axis=2, keepdims=True), ops.prod(x, 1), ops.cumsum(x, axis=1), ops.any(x > 1, axis=1),
        ops.reshape(x, (-1, 24)), ops.transpose(x, (0, 2, 1)), ops.swapaxes(x, 1, 2), ops.squeeze(x[:, :1], 1),
        ops.expand_dims(x, -1), ops.pad(x, ((0, 0), (1, 1), (0, 2)), constant_values=2.0), ops.flip(x, axis=1),
        ops.roll(x, 2, axis=-1), ops.repeat(x, 2, axis=1), ops.tile(x, (1, 2, 1)), ops.stack([x, 2 * x], axis=1),
        *ops.split(x, 2, axis=-1), ops.take(x, [0, 2], axis=-1), ops.where(x > 0, x, 0.1 * x), x[:, ::2, 1:-1],
        ops.take_along_axis(x, ops.argsort(x, axis=-1), axis=-1), ops.sort(x, axis=1), ops.clip(x, -0.3, 0.4),
        ops.maximum(x, 0.2), ops.logical_and(x > 0, x < 1), ops.isfinite(x), ops.tensordot(x, np.ones((6, 2), "f4"), 1),
        ops.einsum("bij,bkj->bik", x, x), ops.softmax(x, axis=1), ops.leaky_relu(x, negative_slope=0.3), ops.gelu(x),
        ops.elu(x, alpha=0.5), ops.log_softmax(x), ops.one_hot(ints, 5), ops.normalize(x, axis=-1),
        ops.logsumexp(x, axis=1), ops.rsqrt(x * x + 1.0), ops.erf(x), ops.top_k(x, k=2)[0],
        ops.conv(image, kernel, strides=2, padding="same"), ops.max_pool(image, 2, strides=1),
        ops.average_pool(image, 2, strides=2), ops.image.resize(image, (5, 7)), ops.image.rgb_to_grayscale(image),
        ops.average(x, axis=1), ops.zeros_like(x),
        ops.concatenate([x, x], 1), ops.moveaxis(x, 1, 2), ops.broadcast_to(x[0], (2, 4, 6)), ops.tril(x[:, :, :4]),
        ops.diff(x, axis=1), ops.meshgrid(x[0, 0], x[0, 1], indexing="ij")[1], ops.nan_to_num(x, nan=1.0),
    ]  # fmt: skip
    return keras.Model([x, image], [ops.cast(r, "float32") for r in results], name="many_ops")


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
    many_ops: lambda rng: [rng.normal(size=(5, 4, 6)).astype("float32"), rng.random((5, 8, 8, 3)).astype("float32")],
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
    if isinstance(a, list):
        for x, y in zip(a, b, strict=True):
            same(x, y, tolerance)
        return
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)
