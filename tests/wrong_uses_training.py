"""Wrong uses of training: see wrong_uses.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from wrong_uses import image, row


def model_of(k: Any, **options: Any) -> Any:
    """A small compiled classifier of 4x4 images."""
    model = k.Sequential(
        [k.layers.Input((4, 4, 1)), k.layers.Flatten(), k.layers.Dense(3, activation="softmax")], name="small"
    )
    model.compile(**{"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", **options})
    return model


X, Y = image(6, 4, 4, 1), np.array([0, 1, 2, 0, 1, 2])


def fit(k: Any, x: Any = X, y: Any = Y, options: Any = None, **arguments: Any) -> Any:
    return model_of(k, **(options or {})).fit(x, y, verbose=0, **arguments)


@row(ValueError, "fit", "compile()")
def fit_before_compile(k, tmp):
    k.Sequential([k.layers.Input((2,)), k.layers.Dense(1)]).fit(image(2, 2), image(2, 1))


@row(ValueError, "evaluate", "compile()")
def evaluate_before_compile(k, tmp):
    k.Sequential([k.layers.Input((2,)), k.layers.Dense(1)]).evaluate(image(2, 2), image(2, 1))


@row(ValueError, "adamm", "adam")
def an_unknown_optimizer(k, tmp):
    model_of(k, optimizer="adamm")


@row(ValueError, "crossentropi")
def an_unknown_loss(k, tmp):
    fit(k, options={"loss": "categorical_crossentropi"})


@row(ValueError, "acuracy")
def an_unknown_metric(k, tmp):
    fit(k, options={"metrics": ["acuracy"]})


@row(ValueError, "list, tuple, or dict")
def metrics_that_are_no_list(k, tmp):
    model_of(k, metrics="accuracy")


@row(ValueError, "x", "y", "sizes", "6", "5")
def fewer_labels_than_images(k, tmp):
    fit(k, y=Y[:5])


@row(ValueError, "no samples", keras=False)  # Keras: JAX's error from inside, or none
def no_images(k, tmp):
    fit(k, x=X[:0], y=Y[:0])


@row(ValueError, "labels must be 0 to 2", "[3]", "4 units", keras=False)  # Keras trains on, the loss is wrong
def a_label_too_many(k, tmp):
    fit(k, y=Y + 1)


@row(ValueError, "labels must be 0 to 2", "[-1]", keras=False)
def a_negative_label(k, tmp):
    fit(k, y=Y - 1)


@row(ValueError, "numbers", "<U")
def labels_that_are_words(k, tmp):
    fit(k, y=np.array(["cat", "dog", "ant"] * 2))


@row(ValueError, "shape")
def one_hot_labels_of_another_size(k, tmp):
    fit(k, y=np.zeros((6, 5), "float32"), options={"loss": "categorical_crossentropy"})


@row(ValueError, "no targets", "`y`", keras=False)  # Keras: another type with each loss
def no_labels(k, tmp):
    fit(k, y=None)


@row(ValueError, "(None, 4, 4, 1)", "(6, 3, 3, 1)")
def images_of_another_size(k, tmp):
    fit(k, x=image(6, 3, 3, 1))


@row(ValueError, "batch_size", "0", keras=False)  # Keras: ZeroDivisionError
def a_batch_size_of_nothing(k, tmp):
    fit(k, batch_size=0)


@row(ValueError, "validation_split", "6 samples")
def a_split_that_leaves_nothing(k, tmp):
    fit(k, validation_split=0.9999)


@row(ValueError, "validation_split", "only supported for arrays", keras=False)  # Keras: AttributeError
def a_split_of_a_generator(k, tmp):
    model_of(k).fit(iter([(X, Y)]), validation_split=0.5, verbose=0)


@row(ValueError, "validation_freq")
def a_frequency_in_words(k, tmp):
    fit(k, validation_data=(X, Y), validation_freq="often")


@row(ValueError, "y", "should not be passed")
def labels_beside_a_generator(k, tmp):
    model_of(k).fit(iter([(X, Y)]), Y, verbose=0)


@row(ValueError, "tuple of 4", keras=False)  # Keras: another message with each backend
def a_generator_of_too_much(k, tmp):
    model_of(k).fit(iter([(X, Y, Y, Y)]), verbose=0)


@row(ValueError, "no batches", keras=False)  # Keras: StopIteration's descendants, by backend
def a_generator_of_nothing(k, tmp):
    model_of(k).fit(iter([]), verbose=0)


@row(TypeError, "class_weight", "dict", keras=False)  # Keras: AttributeError
def class_weights_in_a_list(k, tmp):
    fit(k, class_weight=[1.0, 2.0, 1.0])


@row(ValueError, "at the same time")
def weights_of_classes_and_of_samples(k, tmp):
    fit(k, class_weight={0: 1.0}, sample_weight=np.ones(6))


@row(ValueError, "sizes", "sample_weight")
def too_few_sample_weights(k, tmp):
    fit(k, sample_weight=np.ones(4))


@row(TypeError, "callback", keras=False)  # Keras: AttributeError in the middle
def a_callback_that_is_none(k, tmp):
    fit(k, callbacks=[print])


@row(ValueError, "dict", keras=False)  # Keras: by backend
def a_train_step_that_returns_nothing(k, tmp):
    class Silent(k.Sequential):
        def train_step(self, data):
            return None

    model = Silent([k.layers.Input((2,)), k.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(image(4, 2), image(4, 1), verbose=0)


@row(ValueError, "2 losses", "3 weights")
def more_loss_weights_than_losses(k, tmp):
    x = k.Input((2,))
    model = k.Model(x, [k.layers.Dense(1)(x), k.layers.Dense(1)(x)])
    model.compile("sgd", ["mse", "mse"], loss_weights=[1.0, 2.0, 3.0])
    model.fit(image(4, 2), [image(4, 1), image(4, 1)], verbose=0)


@row(ValueError, "clipnorm", "global_clipnorm")
def two_kinds_of_clipping(k, tmp):
    k.optimizers.SGD(clipnorm=1.0, global_clipnorm=1.0)


@row(ValueError, "learning_rate_x")
def a_misspelt_argument_of_an_optimizer(k, tmp):
    k.optimizers.Adam(learning_rate_x=1.0)


@row(ValueError, ".keras", keras=True)
def a_file_name_without_an_ending(k, tmp):
    model_of(k).save(tmp / "model")


@row(ValueError, "nothing.keras")
def loading_what_is_not_there(k, tmp):
    k.models.load_model(tmp / "nothing.keras")
