"""How wrong uses are written down (see test_failing_well.py), and those of layers: windows, inputs, merging."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """A wrong use: `use(keras, tmp_path)` raises `error` with a message in which each of `words` occurs."""

    name: str
    use: Callable[[Any, Path], Any]
    error: type[Exception]
    words: tuple[str, ...]
    keras: bool = True  # False: only striate is asked


ROWS: list[Row] = []


def row(error: type[Exception], *words: str, keras: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(use: Callable[..., Any]) -> Callable[..., Any]:
        ROWS.append(Row(use.__name__, use, error, words, keras))
        return use

    return decorate


def image(*shape: int) -> np.ndarray:
    return np.zeros(shape, "float32")


# Windows --------------------------------------------------------------------------------------------------------------


@row(
    ValueError, "c1", "5x5 kernel", "3x7 input", "padding='same'", "at most 3", "at least 5x5", keras=False
)  # on arrays
def kernel_larger_than_the_input(k, tmp):
    k.layers.Conv2D(4, 5, name="c1")(image(1, 3, 7, 1))


@row(ValueError, "c1", "5x5")
def kernel_larger_than_the_symbolic_input(k, tmp):
    k.layers.Conv2D(4, 5, name="c1")(k.Input((3, 7, 1)))


@row(ValueError, "c1", "kernel of 9")
def kernel_larger_than_a_sequence(k, tmp):
    k.layers.Conv1D(4, 9, name="c1")(k.Input((8, 2)))


@row(ValueError, "p1", "pooling window")
def pool_larger_than_the_input(k, tmp):
    k.layers.MaxPooling2D(4, name="p1")(k.Input((3, 3, 1)))


@row(ValueError, "c1", "filters", "-4")
def negative_filters(k, tmp):
    k.layers.Conv2D(-4, 3, name="c1")


@row(ValueError, "filters", "0")
def no_filters(k, tmp):
    k.layers.Conv2D(0, 3)


@row(ValueError, "kernel_size", "0")
def empty_kernel(k, tmp):
    k.layers.Conv2D(4, (3, 0))


@row(ValueError, "kernel_size", "(3, 3, 3)")
def kernel_of_another_rank(k, tmp):
    k.layers.Conv2D(4, (3, 3, 3))


@row(ValueError, "kernel_size", "abc")
def kernel_size_of_letters(k, tmp):
    k.layers.Conv2D(4, "abc")


@row(ValueError, "strides", "0")
def no_strides(k, tmp):
    k.layers.Conv2D(4, 3, strides=0)


@row(ValueError, "strides", "-1")
def negative_strides(k, tmp):
    k.layers.Conv2D(4, 3, strides=(1, -1))


@row(ValueError, "strides", "dilation_rate", "(2, 2)")
def strides_with_dilation(k, tmp):
    k.layers.Conv2D(4, 3, strides=2, dilation_rate=2)


@row(ValueError, "dilation_rate", "0")
def no_dilation(k, tmp):
    k.layers.Conv2D(4, 3, dilation_rate=0)


@row(ValueError, "groups=3", "filters=4")
def groups_that_do_not_divide_the_filters(k, tmp):
    k.layers.Conv2D(4, 3, groups=3)


@row(ValueError, "groups=3", "4 channels")
def groups_that_do_not_divide_the_channels(k, tmp):
    k.layers.Conv2D(6, 3, groups=3)(k.Input((8, 8, 4)))


@row(ValueError, "groups", "-1")
def negative_groups(k, tmp):
    k.layers.Conv2D(4, 3, groups=-1)


@row(ValueError, "padding", "'smae'", "'same'")
def unknown_padding(k, tmp):
    k.layers.Conv2D(4, 3, padding="smae")


@row(ValueError, "padding", "'causal'")
def causal_padding_in_two_dimensions(k, tmp):
    k.layers.Conv2D(4, 3, padding="causal")


@row(ValueError, "padding", "-1", keras=False)  # Keras knows no numbers here
def negative_padding(k, tmp):
    k.layers.Conv2D(4, 3, padding=-1)


@row(ValueError, "padding_mode", "'mirror'", "'reflect'", keras=False)
def unknown_padding_mode(k, tmp):
    k.layers.Conv2D(4, 3, padding_mode="mirror")


@row(ValueError, "reflect", "beside an input of 2", keras=False)
def reflecting_more_than_there_is(k, tmp):
    k.layers.Conv2D(1, 7, padding="same", padding_mode="reflect")(image(1, 2, 2, 1))


@row(ValueError, "data_format", "channels_middle")
def unknown_data_format(k, tmp):
    k.layers.Conv2D(4, 3, data_format="channels_middle")


@row(ValueError, "output_padding", "strictly less", "2")
def output_padding_as_large_as_the_stride(k, tmp):
    k.layers.Conv2DTranspose(4, 3, strides=2, output_padding=2)


@row(ValueError, "output size of 9", "Possible: 5, 6", keras=False)
def transposed_output_that_no_input_gives(k, tmp):
    k.layers.Conv2DTranspose(1, 3, strides=2, output_shape=9)(image(1, 2, 2, 1))


@row(ValueError, "depth_multiplier", "0")
def no_depth_multiplier(k, tmp):
    k.layers.DepthwiseConv2D(3, depth_multiplier=0)


@row(ValueError, "pool_size", "0")
def empty_pool(k, tmp):
    k.layers.MaxPooling2D(0)


@row(ValueError, "p=0.5", keras=False)
def a_norm_that_is_none(k, tmp):
    k.layers.LpPooling2D(2, p=0.5)


# Shapes and types of inputs -------------------------------------------------------------------------------------------


@row(ValueError, "c1", "ndim=3", "(8, 8, 3)", "x[None, ...]")
def an_image_without_a_batch_axis(k, tmp):
    k.layers.Conv2D(4, 3, name="c1")(image(8, 8, 3))


@row(ValueError, "ndim=5")
def too_many_axes(k, tmp):
    k.layers.Conv2D(4, 3)(image(1, 1, 8, 8, 3))


@row(ValueError, "c1", "value 3", "(1, 8, 8, 4)")
def another_number_of_channels(k, tmp):
    layer = k.layers.Conv2D(4, 3, name="c1")
    layer(image(1, 8, 8, 3))
    layer(image(1, 8, 8, 4))


@row(ValueError, "channel", keras=False)  # a bare TypeError there
def unknown_channels(k, tmp):
    k.layers.Conv2D(4, 3)(k.Input((8, 8, None)))


@row(ValueError, "last axis", "GlobalAveragePooling2D", keras=False)  # Keras fails later, in the initializer
def dense_behind_an_unknown_size(k, tmp):
    k.layers.Dense(4)(k.layers.Flatten()(k.Input((None, 8, 3))))


@row(ValueError, "m1", "(None, 8, 8, 3)", "x[None, ...]")
def a_model_called_without_a_batch_axis(k, tmp):
    x = k.Input((8, 8, 3))
    k.Model(x, k.layers.Conv2D(4, 3)(x), name="m1")(image(8, 8, 3))


@row(ValueError, "expected", "(None, 8, 8, 3)")
def a_model_called_with_another_size(k, tmp):
    x = k.Input((8, 8, 3))
    k.Model(x, k.layers.Conv2D(4, 3)(x))(image(1, 9, 8, 3))


@row(ValueError, "2 input")
def a_missing_input(k, tmp):
    a, b = k.Input((4,)), k.Input((4,))
    k.Model([a, b], k.layers.Add()([a, b]))([image(1, 4)])


@row(ValueError, "d1", "expected axis -1", "4", "5")
def dense_called_with_other_features(k, tmp):
    layer = k.layers.Dense(2, name="d1")
    layer(image(1, 4))
    layer(image(1, 5))


@row(ValueError, "units", "-2")
def negative_units(k, tmp):
    k.layers.Dense(-2)


@row(ValueError, "numbers", keras=False)  # JAX has a TypeError of its own
def a_string_for_an_image(k, tmp):
    k.layers.Conv2D(1, 3)(np.array("cat.png"))


@row(ValueError, "numbers", keras=False)
def objects_for_an_image(k, tmp):
    k.ops.convert_to_tensor(np.array([object()]))


@row(ValueError, "dtype", "'float33'", keras=False)  # a bare TypeError there
def an_unknown_dtype(k, tmp):
    k.layers.Conv2D(1, 3, dtype="float33")


@row(ValueError, "-3")
def a_negative_input_size(k, tmp):
    k.Input((-3, 4))


@row(ValueError, "shape")
def an_input_size_that_is_nan(k, tmp):
    k.Input((float("nan"), 4))


@row(ValueError, "shape")
def an_input_without_a_shape(k, tmp):
    k.Input()


@row(ValueError, "both")
def an_input_with_two_shapes(k, tmp):
    k.Input((3,), batch_shape=(None, 3))


@row(TypeError, "boolean")
def a_symbolic_tensor_as_a_condition(k, tmp):
    if k.Input((3,)):
        pass


@row(ValueError, "NumPy")
def a_symbolic_tensor_as_an_array(k, tmp):
    np.asarray(k.Input((3,)))


# Merging and reshaping ------------------------------------------------------------------------------------------------


@row(ValueError, "a1", "incompatible", "(3,)", "(4,)")
def adding_other_shapes(k, tmp):
    k.layers.Add(name="a1")([k.Input((3,)), k.Input((4,))])


@row(ValueError, "list")
def adding_one_tensor(k, tmp):
    k.layers.Add()(k.Input((3,)))


@row(ValueError, "matching shapes", "axis 1")
def concatenating_other_shapes(k, tmp):
    k.layers.Concatenate()([k.Input((3, 2)), k.Input((4, 2))])


@row(ValueError, "2 inputs")
def subtracting_three(k, tmp):
    k.layers.Subtract()([k.Input((3,))] * 3)


@row(ValueError, "Incompatible", "3", "4")
def a_dot_product_of_other_lengths(k, tmp):
    k.layers.Dot(axes=1)([k.Input((3,)), k.Input((4,))])


@row(ValueError, "target_shape", "(5, 5)", "24")
def reshaping_to_another_size(k, tmp):
    k.layers.Reshape((5, 5))(k.Input((4, 6)))


@row(ValueError, "dims", "(0, 1)")
def permuting_the_batch(k, tmp):
    k.layers.Permute((0, 1))


@row(ValueError, "cropping", "(5, 5)")
def cropping_everything(k, tmp):
    k.layers.Cropping2D(5)(k.Input((8, 8, 1)))


@row(ValueError, "interpolation", "'cubist'", keras=False)  # an error only when the layer is called there
def unknown_interpolation(k, tmp):
    k.layers.UpSampling2D(2, interpolation="cubist")


@row(ValueError, "rate", "1.5")
def a_dropout_rate_above_one(k, tmp):
    k.layers.Dropout(1.5)


@row(TypeError, "RepeatVector", "integer", "'x'")
def repeating_a_string_of_times(k, tmp):
    k.layers.RepeatVector("x")


# The smallest changes that fit ----------------------------------------------------------------------------------------


@row(ValueError, "d1", "5·5·2 = 50", "there are 72", "GlobalAveragePooling2D", "built for")
def a_dense_layer_behind_a_larger_picture(k, tmp):
    flat, dense = k.layers.Flatten(name="flat"), k.layers.Dense(3, name="d1")
    dense(flat(k.Input((5, 5, 2))))
    dense(flat(image(1, 6, 6, 2)))


@row(ValueError, "plus", "(7, 7, 4)", "(6, 6, 4)", "ZeroPadding2D(((0, 1), (0, 1)))", "Cropping2D", keras=True)
def adding_sizes_that_were_rounded_down(k, tmp):
    x = k.Input((7, 7, 4))
    halved = k.layers.MaxPooling2D(2)(x)
    k.layers.Add(name="plus")([x, k.layers.UpSampling2D(2)(halved)])


@row(ValueError, "plus", "Conv2D(4, 1)", "4 channels")
def adding_other_channels(k, tmp):
    k.layers.Add(name="plus")([k.Input((7, 7, 4)), k.Input((7, 7, 3))])


@row(ValueError, "both", "Cropping1D((0, 1)) on the first", "ZeroPadding1D((0, 1)) on the second")
def joining_sequences_of_other_lengths(k, tmp):
    k.layers.Concatenate(name="both")([k.Input((9, 4)), k.Input((8, 2))])


@row(ValueError, "c1", "made for 3 channels", "np.repeat(x, 3, axis=-1)")
def a_grey_picture_for_a_colour_layer(k, tmp):
    layer = k.layers.Conv2D(2, 3, name="c1")
    layer.build((None, 8, 8, 3))
    layer(image(1, 8, 8, 1))


@row(ValueError, "c1", "np.moveaxis(x, 1, -1)")
def channels_in_front(k, tmp):
    layer = k.layers.Conv2D(2, 3, name="c1")
    layer.build((None, 8, 8, 3))
    layer(image(1, 3, 8, 8))


@row(
    ValueError,
    "o' = 2(2 - 1) + 0 + 2 - 8 = -4",
    "5 less padding (at most 3 in all)",
    "an input of at least 5",
    keras=False,
)
def a_transposed_convolution_that_is_all_padding(k, tmp):
    k.layers.Conv1DTranspose(1, 2, strides=2, padding=4, name="t1")(image(1, 2, 1))


@row(ValueError, "input channels: 3 in the layer, 1 in the file", keras=False)
def weights_of_a_layer_for_grey_pictures(k, tmp):
    saved, model = (k.Sequential([k.Input((8, 8, c)), k.layers.Conv2D(2, 3, name="c1")]) for c in (1, 3))
    saved.save_weights(tmp / "grey.weights.h5")
    model.load_weights(tmp / "grey.weights.h5")


@row(ValueError, "features", "Flatten", "32 in the layer, 50 in the file", keras=False)
def weights_for_another_size_of_pictures(k, tmp):
    made = [k.Sequential([k.Input((n, n, 2)), k.layers.Flatten(), k.layers.Dense(3)]) for n in (5, 4)]
    made[0].save_weights(tmp / "large.weights.h5")
    made[1].load_weights(tmp / "large.weights.h5")
