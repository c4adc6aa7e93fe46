"""Small models of every make, written once and built with striate as well as with the real Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

TABLE: dict[str, Callable[[Any, Any, Any], tuple[Any, ...]]] = {}


def architecture(fn: Callable[[Any, Any, Any], tuple[Any, ...]]) -> Callable[[Any, Any, Any], tuple[Any, ...]]:
    """Puts `fn(keras, layers, ops) -> models` into the table."""
    TABLE[fn.__name__] = fn
    return fn


def built(name: str, keras: Any) -> tuple[Any, ...]:
    """The models of that name, made by `keras` with names counted from the beginning."""
    keras.backend.clear_session()
    return TABLE[name](keras, keras.layers, keras.ops)


@architecture
def chapter(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    model = K.Sequential(
        [
            L.Input(shape=(32, 32, 3)),
            L.Conv2D(8, (3, 5), activation="relu"),
            L.MaxPool2D((2, 2)),
            L.Conv2D(16, 3, activation="relu"),
            L.MaxPool2D(2),
        ]
    )
    return model, K.Sequential([L.Input(shape=(None, None, 1)), L.Conv2D(1, (3, 3), activation=None, use_bias=False)])


@architecture
def added_and_popped(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    model = K.Sequential()
    for layer in (L.Input((8, 8, 3)), L.Conv2D(4, 3), L.Flatten(), L.Dense(3)):
        model.add(layer)
    model.pop()
    return model, K.Sequential([L.Conv1D(4, 3), L.GlobalMaxPooling1D()])


@architecture
def functional(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    inputs = L.Input((32, 32, 3))
    h = L.MaxPool2D(2)(L.Conv2D(8, 3, padding="SAME")(inputs))
    outputs = L.Dense(10)(L.Flatten()(h))
    return K.Model(inputs, outputs), K.Model(inputs=inputs, outputs=[h, outputs])


@architecture
def branched(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    image = L.Input((16, 16, 3), name="img")
    a, b = L.Conv2D(4, 3, padding="same")(image), L.Conv2D(4, 1)(image)
    c = L.Add()([a, b])
    return (K.Model(image, L.GlobalAveragePooling2D()(L.Concatenate()([c, a, b])), name="net"),)


@architecture
def residual(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    inputs = x = L.Input((16, 16, 4))
    for _ in range(2):
        y = L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(x))
        x = L.Add()([x, L.Activation("relu")(y)])
    return (K.Model(inputs, x),)


@architecture
def op_nodes(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    inputs = L.Input((8, 8, 3))
    x = L.Conv2D(4, 3, padding="same")(inputs)
    z = (ops.relu(x) + x) * 2.0
    return (K.Model(inputs, [ops.mean(z, axis=(1, 2)), inputs[:, 1:, ::2]]),)


@architecture
def shared(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    a, b, conv = L.Input((8, 8, 3)), L.Input((8, 8, 3)), L.Conv2D(4, 3)
    return (K.Model([a, b], L.Subtract()([conv(a), conv(b)])),)


@architecture
def repeated(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    inputs, conv = L.Input((8, 8, 3)), L.Conv2D(3, 3, padding="same")
    return (K.Model(inputs, conv(conv(inputs))),)


@architecture
def nested(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    inner = K.Sequential([L.Input((8, 8, 3)), L.Conv2D(4, 3), L.Conv2D(4, 3)], name="inner")
    inputs = L.Input((8, 8, 3))
    middle = K.Model(inputs, L.Flatten()(inner(inputs)))
    outer = L.Input((8, 8, 3))
    return K.Model(outer, L.Dense(2)(middle(outer))), inner


@architecture
def dicts(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    a, b = L.Input((4,), name="a"), L.Input((6,), name="b")
    u, v = L.Dense(3)(a), L.Dense(3, name="v")(b)
    model = K.Model({"a": a, "b": b}, {"sum": L.Add()([u, v]), "v": v})
    return model, K.Model([b, a], [v, u, L.Multiply()([u, v])])


@architecture
def intermediate(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    inputs = L.Input((16, 16, 3))
    x = L.Conv2D(4, 3, name="c1")(inputs)
    z = L.Flatten(name="flat")(L.Conv2D(5, 3, name="c2")(x))
    model = K.Model(inputs, z)
    features = K.Model(model.inputs, [model.get_layer("c1").output, model.get_layer("c2").output])
    return model, features, K.Model(model.get_layer("c1").output, z)


@architecture
def frozen(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    (model,) = residual(K, L, ops)
    model.layers[1].trainable = False
    return (model,)


@architecture
def long_names(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    inputs = L.Input((16, 16, 3))
    conv = L.Conv2D(4, 3, name="a_very_long_name_for_a_layer_that_does_not_fit_in_the_column")
    return (K.Model(inputs, conv(inputs), name="a[b]c"),)


@architecture
def vgg_like(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    inputs = x = L.Input((None, None, 3))
    for block, count in enumerate((2, 2, 4)):
        for conv in range(count):
            name = f"block{block}_conv{conv}"
            x = L.Conv2D(8 * (block + 1), 3, padding="same", activation="relu", name=name)(x)
        x = L.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return (K.Model(inputs, x, name="vgg"),)


@architecture
def unused_input(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    a, b = L.Input((4,)), L.Input((5,))
    return (K.Model([a, b], L.Dense(2)(a)),)


@architecture
def mixed_precision(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    inputs = L.Input((8, 8, 3))
    return (K.Model(inputs, L.Dropout(0.5)(L.Conv2D(4, 3, dtype="mixed_float16")(inputs))),)


@architecture
def transposed(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    conv = L.Conv2DTranspose(1, 3, strides=2, padding="same", output_padding=1)
    return (K.Sequential([L.Input(shape=(4, 4, 1)), conv]),)


@architecture
def subclassed(K: Any, L: Any, ops: Any) -> tuple[Any, ...]:
    class Net(K.Model):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem = L.Conv2D(4, 3)
            self.blocks: list[Any] = []
            self.head = L.Dense(2)
            self.blocks.append(L.Conv2D(4, 3))
            self.blocks.append(L.Conv2D(5, 3))

        def call(self, x: Any) -> Any:
            x = self.stem(x)
            for block in self.blocks:
                x = block(x)
            return self.head(x)

    called = Net()
    called(np.zeros((2, 16, 16, 3), "float32"))
    return Net(), called
