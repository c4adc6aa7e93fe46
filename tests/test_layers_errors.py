"""Layers made or called in a wrong way raise what Keras raises; the message names the layer and the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import striate

# layer, its arguments, the shape it is called on (None: making it fails), words of the message
WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], Any, tuple[str, ...]]] = [
    ("RepeatVector", (0,), {}, None, ("positive integer", "n=0")),
    ("RepeatVector", (2.5,), {}, None, ("`n`", "2.5")),
    ("Reshape", ((-2, 5),), {}, None, ("target_shape=(-2, 5)", "-1")),
    ("Reshape", ((-1, -1),), {}, None, ("at most one",)),
    ("Reshape", ((7,),), {}, (2, 3, 4), ("12 values", "(7,)")),
    ("Permute", ((1, 3),), {}, None, ("dims",)),
    ("UpSampling1D", (0,), {}, None, ("positive integer", "0")),
    ("UpSampling1D", ("2",), {}, None, ("`size`", "'2'")),
    ("UpSampling2D", (), {"interpolation": "square"}, None, ("'square'", "bicubic")),
    ("ZeroPadding1D", ((1, 2, 3),), {}, None, ("padding", "(1, 2, 3)")),
    ("ZeroPadding2D", ((1, 2, 3),), {}, None, ("padding", "2")),
    ("ZeroPadding3D", ("1",), {}, None, ("padding", "'1'")),
    ("Cropping1D", ((1,),), {}, None, ("cropping", "(1,)")),
    ("Cropping1D", ((3, 3),), {}, (2, 6, 1), ("must be smaller", "(2, 6, 1)")),
    ("Cropping2D", (((2, 2), (0, 0)),), {}, (1, 4, 4, 1), ("cropping", "(1, 4, 4, 1)")),
    ("Dropout", (1.5,), {}, None, ("rate=1.5",)),
    ("Dropout", (0.5,), {"noise_shape": (2, -1)}, None, ("noise_shape", "-1")),
    ("ReLU", (), {"threshold": None}, None, ("threshold",)),
    ("ReLU", (), {"max_value": -1}, None, ("max_value", "-1")),
    ("Softmax", (), {"axis": 5}, (2, 3), ("5",)),
    ("Conv2D", (5, 3), {"groups": 0}, None, ("groups=0",)),
    ("Conv2D", (0, 3), {}, None, ("filters=0",)),
    ("Conv2D", (5, (1, 0)), {}, None, ("kernel_size=(1, 0)",)),
    ("Conv2D", (2, 2), {"strides": 2, "dilation_rate": 2}, None, ("strides=(2, 2)", "dilation_rate=(2, 2)")),
    ("Conv2DTranspose", (2, 2), {"strides": 2, "output_padding": 2}, (1, 3, 3, 1), ("output_padding",)),
    ("DepthwiseConv2D", (3,), {"depth_multiplier": 0}, None, ("depth_multiplier",)),
    ("DepthwiseConv1D", (11,), {}, (4, 10, 3), ("kernel of 11", "zero or negative")),
    ("SeparableConv2D", (4, 3), {"padding": "samme"}, None, ("'samme'", "same")),
    ("MaxPooling2D", ((2, 0),), {}, None, ("pool_size",)),
    ("GlobalAveragePooling2D", (), {"data_format": "channel_last"}, None, ("channel_last",)),
    ("Dot", ("1",), {}, None, ("axes", "'1'")),
    ("BatchNormalization", (), {"renorm": True, "renorm_clipping": {"max": 1}}, None, ("renorm_clipping", "max")),
    ("Dense", (-3,), {}, None, ("units=-3",)),
    ("Dense", (3,), {}, (4,), ("min_ndim=2", "batch axis")),
]  # fmt: skip
OTHERWISE = {"Softmax", "Conv2DTranspose", "UpSampling2D"}  # Keras leaves these to its backend, when called


@pytest.mark.parametrize(("name", "args", "kwargs", "shape", "words"), WRONG, ids=lambda v: str(v)[:30])
def test_the_error_is_keras_s_and_says_what_came(
    real_keras: Any, name: str, args: Any, kwargs: Any, shape: Any, words: tuple[str, ...]
) -> None:
    caught = []
    for k in (striate, real_keras):
        with pytest.raises((ValueError, TypeError)) as error:
            layer = getattr(k.layers, name)(*args, name="wrong", **kwargs)
            if shape is not None:
                layer(np.zeros(shape, "float32"))
        caught.append(error)
        if name in OTHERWISE:
            break
    assert len({type(e.value) for e in caught}) == 1
    text = str(caught[0].value)
    assert all(w in text for w in words), text
    assert name in text or "wrong" in text


def test_a_dtype_that_numpy_lacks_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"'bfloat16' has no NumPy form.*Use 'float32'"):
        striate.layers.Dense(3, dtype="mixed_bfloat16")(np.ones((1, 4), "float32"))
