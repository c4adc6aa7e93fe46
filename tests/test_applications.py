"""VGG-16 and VGG-19, their preprocessing and their weight files, against real Keras."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import socket
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

import striate
from striate import applications, layers
from striate.applications import imagenet_utils, vgg16, vgg19

NETWORKS = {"VGG16": (138_357_544, 14_714_688), "VGG19": (143_667_240, 20_024_384)}
TOP_AT_32 = (7 * 7 - 1) * 512 * 4096  # what the first dense layer has less when the image is 32x32 and not 224x224


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever wants to go out fails at once."""

    def refused(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refused)


def structure(model: Any) -> list[tuple[Any, ...]]:
    """Names (but for the automatic ones), kinds, output shapes and weight shapes."""
    automatic = ("Input", "Global")
    return [
        (
            "" if type(x).__name__.startswith(automatic) else x.name,
            type(x).__name__,
            tuple(x.output.shape),
            [tuple(w.shape) for w in x.weights],
            getattr(getattr(x, "activation", None), "__name__", None),
        )
        for x in model.layers
    ]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "arguments",
    [
        {"include_top": False},
        {"include_top": False, "pooling": "avg", "input_shape": (64, 48, 3)},
        {"include_top": False, "pooling": "max", "input_shape": (None, 40, 1)},
        {"input_shape": (32, 32, 3), "classes": 7, "classifier_activation": None, "name": "mine"},
    ],
)
def test_the_networks_are_keras(network: str, arguments: dict, real_keras: ModuleType) -> None:
    ours = getattr(applications, network)(weights=None, **arguments)
    theirs = getattr(real_keras.applications, network)(weights=None, **arguments)
    assert structure(ours) == structure(theirs)
    assert ours.name == theirs.name
    assert ours.count_params() == theirs.count_params()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_published_parameter_counts(network: str) -> None:
    with_top, without = NETWORKS[network]
    make = getattr(applications, network)
    assert make(weights=None, include_top=False).count_params() == without
    assert make(weights=None, input_shape=(32, 32, 3)).count_params() == with_top - TOP_AT_32


def test_a_tensor_to_build_upon_brings_its_layers_along() -> None:
    image = striate.Input((40, 40, 3))
    model = applications.VGG16(weights=None, include_top=False, input_tensor=layers.Rescaling(2.0)(image))
    assert [type(x).__name__ for x in model.layers[:3]] == ["InputLayer", "Rescaling", "Conv2D"]
    assert model.output.shape == (None, 1, 1, 512)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"weights": "no-such-file.h5"}, "'imagenet' or the path of a file that exists, received 'no-such-file.h5'"),
        ({"weights": np.zeros(3)}, "the path of a file"),
        ({"weights": "imagenet", "classes": 10}, "received classes=10.*include_top=False"),
        ({"weights": None, "input_shape": (31, 40, 3), "include_top": False}, r"at least 32x32.*\(31, 40, 3\)"),
        ({"weights": None, "input_shape": (40, 40)}, r"three integers, received \(40, 40\)"),
        ({"weights": None, "input_shape": (None, None, 3)}, "all sizes of input_shape must be known"),
        ({"weights": "imagenet", "input_shape": (64, 64, 3)}, r"must be \(224, 224, 3\), received \(64, 64, 3\)"),
        ({"weights": "imagenet", "input_shape": (64, 64, 1), "include_top": False}, "need 3 input channels"),
        ({"weights": "imagenet", "classifier_activation": "relu"}, "classifier_activation must be None or 'softmax'"),
        ({"weights": None, "include_top": False, "pooling": "mean"}, "pooling must be None, 'avg' or 'max'"),
    ],
)
def test_arguments_that_do_not_go_together(arguments: dict, text: str) -> None:
    with pytest.raises(ValueError, match=f"VGG16: .*{text}"):
        applications.VGG16(**arguments)


def test_odd_channel_counts_are_warned_about() -> None:
    with pytest.warns(UserWarning, match="1 or 3 input channels, received an input_shape with 5"):
        applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 5))


# ------------------------------------------------------------------------------------------------------------- weights


@pytest.fixture(scope="module")
def trained(real_keras: ModuleType) -> Any:
    """Real Keras's VGG-16 without top, with seeded weights that keep the features at a sensible size."""
    real_keras.utils.set_random_seed(0)
    model = real_keras.applications.VGG16(weights=None, include_top=False)
    rng = np.random.default_rng(0)
    model.set_weights([w if w.ndim == 4 else rng.normal(size=w.shape) * 0.1 for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def official(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Its weights in a file laid out as the official ones."""
    path = tmp_path_factory.mktemp("weights") / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [x.name.encode() for x in trained.layers]
        for layer in trained.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}_{letter}_1:0" for letter, _ in zip("Wb", layer.get_weights(), strict=False)]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name] = value
    return path


def test_a_weight_file_gives_the_features_of_keras(
    official: pathlib.Path, trained: Any, real_keras: ModuleType
) -> None:
    model = applications.VGG16(weights=official, include_top=False)
    x = vgg16.preprocess_input(np.random.default_rng(1).uniform(0, 255, (2, 48, 40, 3)))
    names = [f"block{i}_conv{n}" for i, n in enumerate((2, 2, 3, 3, 3), start=1)]
    ours = striate.Model(model.input, [model.get_layer(n).output for n in names]).predict(x, verbose=0)
    theirs = real_keras.Model(trained.input, [trained.get_layer(n).output for n in names]).predict(x, verbose=0)
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max(), name


def in_cache(monkeypatch: pytest.MonkeyPatch, keras_home: pathlib.Path, official: pathlib.Path) -> pathlib.Path:
    """Puts the file where Keras keeps it, and its MD5 into the table."""
    digest = hashlib.md5(official.read_bytes()).hexdigest()
    monkeypatch.setattr(vgg16, "VGG16_TABLE", dataclasses.replace(vgg16.VGG16_TABLE, md5_notop=digest))
    (keras_home / "models").mkdir()
    target = keras_home / "models" / official.name
    target.symlink_to(official)
    return target


def test_imagenet_weights_come_from_keras_own_cache(
    monkeypatch: pytest.MonkeyPatch, keras_home: pathlib.Path, official: pathlib.Path, trained: Any
) -> None:
    in_cache(monkeypatch, keras_home, official)
    model = applications.VGG16(weights="imagenet", include_top=False, input_shape=(32, 32, 3))
    np.testing.assert_array_equal(model.get_layer("block5_conv3").get_weights()[0], trained.layers[-2].get_weights()[0])


@pytest.mark.parametrize(("make", "top"), [("VGG16", True), ("VGG16", False), ("VGG19", True), ("VGG19", False)])
def test_offline_it_says_which_file_to_put_where(
    make: str, top: bool, keras_home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, real_keras: ModuleType
) -> None:
    """The names, URLs and hashes are those that Keras asks for."""
    module = getattr(real_keras.src.applications, make.lower())
    asked: dict[str, Any] = {}

    def get_file(name: str, url: str, **kwargs: Any) -> str:
        asked.update(name=name, url=url, **kwargs)
        raise OSError("enough")

    monkeypatch.setattr(module.file_utils, "get_file", get_file)
    monkeypatch.setattr(module.layers, "Dense", lambda *args, **kwargs: lambda x: x)  # no 400 MB of random weights
    with pytest.raises(OSError, match="enough"):
        getattr(module, make)(weights="imagenet", include_top=top, classifier_activation=None)
    table = getattr({"VGG16": vgg16, "VGG19": vgg19}[make], f"{make}_TABLE")
    assert asked["file_hash"] == (table.md5_top if top else table.md5_notop)
    place = f"{keras_home}/models/{asked['name']}"
    with pytest.raises(OSError, match=f"failure on {asked['url']}.*put the file here: {place}"):
        applications.vgg.weight_file(table, top)


def test_a_file_of_another_network_is_refused(official: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"layer count mismatch.*only in the model: block3_conv4, block4_conv4"):
        applications.VGG19(weights=official, include_top=False)


# ------------------------------------------------------------------------------------------- preprocessing, predictions


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_preprocessing_of_arrays_is_keras(
    mode: str, data_format: str | None, dtype: str, batch: tuple[int, ...], real_keras: ModuleType
) -> None:
    """Also in what it does to the array that it is given: floats are written over, integers are not."""
    shape = (*batch, 3, 4, 5) if data_format == "channels_first" else (*batch, 4, 5, 3)
    x = np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)
    given, theirs_given = x.copy(), x.copy()
    ours = imagenet_utils.preprocess_input(given, data_format=data_format, mode=mode)
    theirs = real_keras.applications.imagenet_utils.preprocess_input(theirs_given, data_format=data_format, mode=mode)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(given, theirs_given)


def test_caffe_mode_by_hand() -> None:
    x = np.array([[[10, 20, 30]]], "uint8")
    wanted = np.array([[[30 - 103.939, 20 - 116.779, 10 - 123.68]]], "float32")
    for module in (vgg16, vgg19):
        np.testing.assert_allclose(module.preprocess_input(x), wanted, rtol=1e-6)
    fixed = x.astype("float32")
    fixed.flags.writeable = False
    np.testing.assert_allclose(vgg16.preprocess_input(fixed), wanted, rtol=1e-6)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_preprocessing_of_symbols(mode: str, data_format: str, dtype: str) -> None:
    shape = (4, 5, 3) if data_format == "channels_last" else (3, 4, 5)
    symbol = striate.Input(shape, dtype=dtype)
    model = striate.Model(symbol, imagenet_utils.preprocess_input(symbol, data_format=data_format, mode=mode))
    x = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(dtype)
    wanted = imagenet_utils.preprocess_input(x.astype("float64"), data_format=data_format, mode=mode)
    np.testing.assert_allclose(np.asarray(model(x)), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("x", "arguments", "text"),
    [
        (np.zeros((4, 4, 3)), {"mode": "bgr"}, "'caffe', 'tf' or 'torch', received mode='bgr'"),
        (np.zeros((4, 4, 3)), {"data_format": "nhwc"}, "received data_format='nhwc'"),
        (np.zeros((4, 4, 1)), {}, r"three channels.*\(4, 4, 1\).*color_mode='rgb'"),
        (np.zeros((3, 4, 4)), {}, r"three channels in the layout channels_last, received shape \(3, 4, 4\)"),
    ],
)
def test_what_preprocessing_refuses(x: np.ndarray, arguments: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        imagenet_utils.preprocess_input(x, **arguments)


@pytest.fixture
def class_index(keras_home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A class index of the tests' own in Keras's cache."""
    path = keras_home / "models" / "imagenet_class_index.json"
    path.parent.mkdir()
    path.write_text(json.dumps({str(i): [f"n{i:08d}", f"thing_{i}"] for i in range(1000)}))
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.setattr(imagenet_utils, "_class_index", {})
    return path


@pytest.mark.parametrize("top", [1, 5, 2000])
def test_decoding_is_keras(top: int, class_index: pathlib.Path, monkeypatch: Any, real_keras: ModuleType) -> None:
    monkeypatch.setattr(real_keras.src.applications.imagenet_utils, "CLASS_INDEX", json.loads(class_index.read_text()))
    preds = np.random.default_rng(0).integers(0, 50, (3, 1000)).astype("float32")  # with ties
    ours = imagenet_utils.decode_predictions(preds, top=top)
    assert ours == real_keras.applications.imagenet_utils.decode_predictions(preds, top=top)
    assert ours == vgg16.decode_predictions(preds, top=top) == vgg19.decode_predictions(preds, top)


def test_what_decoding_refuses(class_index: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"\(samples, 1000\), received \(2, 10\)"):
        imagenet_utils.decode_predictions(np.zeros((2, 10)))
    with pytest.raises(ValueError, match="at least 1"):
        imagenet_utils.decode_predictions(np.zeros((2, 1000)), top=0)


def test_without_the_class_names_it_says_where_they_belong(monkeypatch: Any, keras_home: pathlib.Path) -> None:
    monkeypatch.setattr(imagenet_utils, "_class_index", {})
    with pytest.raises(OSError, match=f"put the file here: {keras_home}/models/imagenet_class_index.json"):
        imagenet_utils.decode_predictions(np.zeros((1, 1000)))


def test_a_spoilt_class_index_is_not_used(class_index: pathlib.Path) -> None:
    class_index.write_text("{}")
    with pytest.raises(OSError, match="URL fetch failure"):
        imagenet_utils.decode_predictions(np.zeros((1, 1000)))
