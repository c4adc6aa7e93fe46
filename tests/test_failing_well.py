"""Wrong uses: each gives the error type that Keras gives, with a message that names the layer, what came, and what
would work.

Each row is run with real Keras as well, so that the type is Keras's own, unless the row says that Keras has no such
thing, or that it fails in another way there (then why stands beside it).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import striate
import wrong_uses_training  # noqa: F401 - adds its rows
from wrong_uses import ROWS, Row, image, row

# Names, activations, initializers -------------------------------------------------------------------------------------


@row(ValueError, "relux")
def unknown_activation(k, tmp):
    k.layers.Conv2D(4, 3, activation="relux")


@row(ValueError, "glorot")
def unknown_initializer(k, tmp):
    k.layers.Conv2D(4, 3, kernel_initializer="glorot")


@row(ValueError, "l3")
def unknown_regularizer(k, tmp):
    k.layers.Conv2D(4, 3, kernel_regularizer="l3")


@row(ValueError, "name", "a/b")
def a_name_with_a_slash(k, tmp):
    k.layers.Conv2D(4, 3, name="a/b")


@row(ValueError, "kernel_sise")
def a_misspelt_argument(k, tmp):
    k.layers.Conv2D(4, 3, kernel_sise=3)


@row(ValueError, "negative_slope")
def a_negative_slope_of_none(k, tmp):
    k.layers.LeakyReLU(negative_slope=None)


# Models ---------------------------------------------------------------------------------------------------------------


@row(ValueError, "isn't built", "build")
def counting_the_parameters_of_an_unbuilt_layer(k, tmp):
    k.layers.Conv2D(4, 3).count_params()


@row(AttributeError, "build")
def the_kernel_of_an_unbuilt_layer(k, tmp):
    k.layers.Conv2D(4, 3).kernel


@row(AttributeError, "c1", "never been called")
def the_output_of_an_uncalled_layer(k, tmp):
    k.layers.Conv2D(4, 3, name="c1").output


@row(ValueError, "disconnected", "Input")
def a_disconnected_graph(k, tmp):
    a, b = k.Input((3,)), k.Input((3,))
    k.Model(a, k.layers.Add()([a, b]))


@row(ValueError, '"twin"', "2 times")
def two_layers_of_one_name(k, tmp):
    x = k.Input((3,))
    k.Model(x, k.layers.Dense(2, name="twin")(k.layers.Dense(2, name="twin")(x)))


@row(ValueError, "unique", "'twin'")
def two_layers_of_one_name_in_a_row(k, tmp):
    k.Sequential([k.layers.Dense(2, name="twin"), k.layers.Dense(2, name="twin")])


@row(ValueError, "Layer", "7")
def a_number_for_a_layer(k, tmp):
    k.Sequential([7])


@row(ValueError, "pop", keras=False)  # a bare IndexError there
def popping_nothing(k, tmp):
    k.Sequential().pop()


@row(ValueError, "no layers")
def building_nothing(k, tmp):
    k.Sequential().build((None, 3))


@row(ValueError, "KerasTensor")
def a_model_of_arrays(k, tmp):
    k.Model(image(1, 3), image(1, 3))


@row(ValueError, "No such layer", "block9", "c1")
def a_layer_that_is_not_there(k, tmp):
    k.Sequential([k.Input((8, 8, 1)), k.layers.Conv2D(1, 3, name="c1")]).get_layer("block9")


@row(ValueError, "index 5")
def a_layer_number_that_is_not_there(k, tmp):
    k.Sequential([k.Input((8, 8, 1)), k.layers.Conv2D(1, 3)]).get_layer(index=5)


@row(ValueError, "length 1", "2 weights")
def too_few_weights(k, tmp):
    layer = k.layers.Dense(2)
    layer.build((None, 3))
    layer.set_weights([image(3, 2)])


@row(ValueError, "(3, 2)", "(2, 3)")
def weights_of_another_shape(k, tmp):
    layer = k.layers.Dense(2)
    layer.build((None, 3))
    layer.set_weights([image(2, 3), image(2)])


@row(ValueError, "(3,)", "(4,)")
def assigning_another_shape(k, tmp):
    k.Variable(image(3)).assign(image(4))


@row(NotImplementedError, "call")
def a_model_without_call(k, tmp):
    class Nothing(k.Model):
        pass

    Nothing()(image(1, 3))


@row(RuntimeError, "super().__init__()")
def a_layer_without_super(k, tmp):
    class Forgetful(k.layers.Layer):
        def __init__(self):
            self.inner = k.layers.Dense(2)

    Forgetful()(image(1, 3))


# Files and images -----------------------------------------------------------------------------------------------------


@row(FileNotFoundError, "nowhere.png")
def a_missing_image(k, tmp):
    k.utils.load_img(tmp / "nowhere.png")


@row(Exception, "not.png")
def a_file_that_is_no_image(k, tmp):
    (tmp / "not.png").write_text("no image")
    k.utils.load_img(tmp / "not.png")


@row(TypeError, "path")
def a_number_for_an_image_path(k, tmp):
    k.utils.load_img(42)


@row(ValueError, "color_mode", "'cmyk'")
def unknown_color_mode(k, tmp):
    k.utils.load_img(_png(), color_mode="cmyk")


@row(ValueError, "nterpolation", "cubist")
def unknown_interpolation_of_an_image(k, tmp):
    k.utils.load_img(_png(), target_size=(4, 4), interpolation="cubist")


@row(ValueError, "shape")
def an_array_that_is_no_image(k, tmp):
    k.utils.array_to_img(image(2, 2, 2, 2))


@row(ValueError, "weights", "imagenett")
def unknown_pretrained_weights(k, tmp):
    k.applications.VGG16(weights="imagenett")


@row(ValueError, "1000", "classes")
def pretrained_weights_for_other_classes(k, tmp):
    k.applications.VGG16(weights="imagenet", classes=10)


@row(ValueError, "32")
def an_image_too_small_for_vgg(k, tmp):
    k.applications.VGG16(weights=None, include_top=False, input_shape=(16, 16, 3))


def _png() -> io.BytesIO:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (2, 2)).save(stream, "PNG")
    stream.seek(0)
    return stream


@row(ValueError, "batch_normalization", "axis 7", "(2, 2)", "axis=-1", keras=False)
def batch_normalization_of_no_axis(keras: Any, tmp: Path) -> Any:
    return keras.layers.BatchNormalization(axis=7)(np.zeros((2, 2), "float32"))


@row(ValueError, "Inputs to a layer should be tensors", "None", "conv2d")
def none_for_an_input(keras: Any, tmp: Path) -> Any:
    return keras.layers.Conv2D(2, 2)(None)


@row(TypeError, "mine", "missing", "inputs")
def a_call_without_inputs(keras: Any, tmp: Path) -> Any:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="mine")()


@pytest.mark.parametrize("case", ROWS, ids=[r.name for r in ROWS])
def test_it_says_what_came_and_what_would_work(case: Row, tmp_path: Path) -> None:
    with pytest.raises(case.error) as caught:
        case.use(striate, tmp_path)
    text = str(caught.value)
    for word in case.words:
        assert word in text, f"{word!r} is missing in: {text}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", [r for r in ROWS if r.keras], ids=[r.name for r in ROWS if r.keras])
def test_it_is_keras_type_of_error(case: Row, tmp_path: Path, real_keras: Any) -> None:
    with pytest.raises(case.error):
        case.use(real_keras, tmp_path)


def test_what_a_layer_raises_is_noted_with_its_name() -> None:
    inner = striate.layers.Lambda(lambda x: x.nothing, name="middle")
    with pytest.raises(AttributeError) as raised:
        striate.Sequential([striate.Input((None, 2)), striate.layers.Dense(3), inner])
    assert raised.value.__notes__ == ["In the call of layer 'middle' (Lambda) with inputs_shape=(None, None, 3)."]


def test_a_sequential_model_is_called_by_its_name() -> None:
    model = striate.Sequential([striate.Input((2,)), striate.layers.Dense(3)], name="mine")
    for call in (model, lambda x: model.predict(x, verbose=0)):
        with pytest.raises(ValueError, match="model 'mine'"):
            call(np.zeros((1, 5)))


def test_there_are_at_least_sixty() -> None:
    assert len({r.name for r in ROWS}) >= 60
