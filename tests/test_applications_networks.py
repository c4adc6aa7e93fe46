"""ResNet and MobileNetV2: structure, results, files and refusals, against real Keras and published numbers."""

from __future__ import annotations

import pathlib
import re
import socket
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import striate
from layer_parity import LACKING
from striate import applications, layers
from striate.applications import mobilenet_v2, residual, resnet, resnet50, resnet_v2

# With 1000 classes: what Keras's documentation and the papers' authors tell of these networks.
PUBLISHED = {
    "ResNet50": 25_636_712, "ResNet101": 44_707_176, "ResNet152": 60_419_944,
    "ResNet50V2": 25_613_800, "ResNet101V2": 44_675_560, "ResNet152V2": 60_380_648, "MobileNetV2": 3_538_984,
}  # fmt: skip
AUTOMATIC = re.compile(r"(input_layer|global_\w+_pooling2d|max_pooling2d)(_\d+)?$")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever wants to go out fails at once."""

    def refused(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.fixture(autouse=True)
def zeros_in_keras(real_keras: ModuleType) -> Iterator[None]:
    """Real Keras compiles a program for each shape that it draws, which takes half a minute per network."""
    zeros = real_keras.initializers.Zeros()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            real_keras.initializers.VarianceScaling,
            "__call__",
            lambda self, shape, dtype=None, **k: zeros(shape, dtype),
        )
        yield


@pytest.fixture(params=["channels_last", "channels_first"])
def layout(request: pytest.FixtureRequest, real_keras: ModuleType) -> Iterator[str]:
    """Runs the test once in each layout, in both packages."""
    for k in (striate, real_keras):
        k.config.set_image_data_format(request.param)
    yield request.param
    for k in (striate, real_keras):
        k.config.set_image_data_format("channels_last")


def both(real_keras: ModuleType, network: str, **arguments: Any) -> tuple[Any, Any]:
    """The network, ours and theirs."""
    ours, theirs = (getattr(k.applications, network)(weights=None, **arguments) for k in (striate, real_keras))
    return ours, theirs


def named(layer: Any) -> str:
    """The layer's name, but for what an automatic one counts."""
    found = AUTOMATIC.match(layer.name)
    return found[1] if found else layer.name


def structure(model: Any) -> list[tuple[Any, ...]]:
    """Names, kinds, shapes, weights and inputs of all layers, in their order."""
    makers = {id(tensor): named(x) for x in model.layers for tensor in [x.output]}
    return [
        (
            named(x),
            type(x).__name__,
            tuple(x.output.shape),
            [(w.name, tuple(w.shape), w.trainable) for w in x.weights],
            [makers[id(t)] for t in (x.input if isinstance(x.input, list) else [x.input])],
        )
        for x in model.layers
    ]


def configs(model: Any, lacking: set[str]) -> list[dict[str, Any]]:
    """Each layer's configuration, with the counted part of automatic names taken away."""
    found = [{k: v for k, v in x.get_config().items() if k not in lacking} for x in model.layers]
    return [{**c, "name": named(x)} for c, x in zip(found, model.layers, strict=True)]


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        ("ResNet50", {"classes": 7, "classifier_activation": None, "name": "mine", "input_shape": (33, 64, 3)}),
        ("ResNet50", {"include_top": False}),
        ("ResNet101", {"include_top": False, "pooling": "max"}),
        ("ResNet152", {"include_top": False, "pooling": "avg"}),
        ("ResNet50V2", {"classes": 7, "input_shape": (64, 47, 3)}),
        ("ResNet101V2", {"include_top": False, "pooling": "avg"}),
        ("ResNet152V2", {"include_top": False, "pooling": "max", "input_shape": (None, 40, 1)}),
        ("MobileNetV2", {}),
        ("MobileNetV2", {"alpha": 0.35, "classes": 7, "input_shape": (33, 46, 3), "classifier_activation": None}),
        ("MobileNetV2", {"alpha": 1.4, "include_top": False, "pooling": "avg"}),
        ("MobileNetV2", {"alpha": 0.1, "include_top": False, "pooling": "max", "input_shape": (96, 96, 3)}),
    ],
)
def test_the_networks_are_keras(network: str, arguments: dict, real_keras: ModuleType) -> None:
    ours, theirs = both(real_keras, network, **arguments)
    assert structure(ours) == structure(theirs)
    known = set(theirs.layers[1].get_config())
    assert configs(ours, LACKING | (set(ours.layers[1].get_config()) - known)) == configs(theirs, LACKING)
    assert (ours.name, type(ours).__name__) == (theirs.name, type(theirs).__name__)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert ours.count_params() == theirs.count_params()


@pytest.mark.parametrize("network", ["ResNet50", "ResNet50V2", "MobileNetV2"])
def test_both_layouts(network: str, layout: str, real_keras: ModuleType) -> None:
    shape = (47, 64, 3) if layout == "channels_last" else (3, 47, 64)
    ours, theirs = both(real_keras, network, include_top=False, input_shape=shape)
    assert structure(ours) == structure(theirs)
    assert [c.get("axis") for c in configs(ours, set())] == [c.get("axis") for c in configs(theirs, set())]


@pytest.mark.parametrize("network", PUBLISHED)
def test_the_published_parameter_counts(network: str) -> None:
    assert getattr(applications, network)(weights=None).count_params() == PUBLISHED[network]


# ------------------------------------------------------------------------------------------------------------- results


def drawn(weight: Any, seed: int) -> np.ndarray:
    """Values that keep signals at a sensible size; variances are positive."""
    rng, shape = np.random.default_rng(seed), tuple(weight.shape)
    if len(shape) > 1:
        fan_in = np.prod(shape[:2]) if weight.path.endswith("depthwise/kernel") else np.prod(shape[:-1])
        return rng.normal(size=shape) * (2 / fan_in) ** 0.5
    positive = weight.name in ("gamma", "moving_variance")
    return rng.uniform(0.5, 1.5, shape) if positive else rng.normal(size=shape) * 0.1


def with_drawn_weights(model: Any) -> Any:
    model.set_weights([drawn(w, i) for i, w in enumerate(model.weights)])
    return model


def agree(ours: Any, theirs: Any, tolerance: float = 1e-4) -> None:
    """Asserts that two models give the same, within `tolerance` of the largest value."""
    shape = [size or 45 for size in theirs.input_shape[1:]]
    x = np.random.default_rng(1).uniform(-1, 1, (2, *shape)).astype("float32")
    a, b = ours.predict(x, verbose=0), theirs.predict(x, verbose=0)
    assert a.shape == b.shape and np.abs(b).max() > 1e-3
    assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        ("ResNet50", {"input_shape": (33, 47, 3), "classes": 9}),
        ("ResNet50V2", {"include_top": False, "pooling": "max", "input_shape": (41, 32, 3)}),
        ("MobileNetV2", {"input_shape": (33, 46, 3), "classes": 9, "alpha": 0.35}),
        ("MobileNetV2", {"include_top": False, "alpha": 1.4}),
    ],
)
def test_the_results_are_keras(network: str, arguments: dict, real_keras: ModuleType) -> None:
    ours, theirs = both(real_keras, network, **arguments)
    ours.set_weights(with_drawn_weights(theirs).get_weights())
    agree(ours, theirs)


# --------------------------------------------------------------------------------------------------------------- files

SMALL = {"input_shape": (33, 46, 3), "classes": 9, "alpha": 0.35}


@pytest.fixture(scope="module")
def trained(real_keras: ModuleType) -> Any:
    """A small MobileNetV2 of real Keras's."""
    return with_drawn_weights(real_keras.applications.MobileNetV2(weights=None, **SMALL))


@pytest.mark.parametrize("file", ["m.weights.h5", "m.h5"])
def test_weights_that_keras_wrote(file: str, trained: Any, tmp_path: pathlib.Path) -> None:
    path = tmp_path / file
    if file.endswith(".weights.h5"):
        trained.save_weights(path)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trained.save(path)
    agree(applications.MobileNetV2(weights=path if file == "m.h5" else str(path), **SMALL), trained)


def test_resnet_weights_that_keras_wrote(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    theirs = with_drawn_weights(real_keras.applications.ResNet50(weights=None, include_top=False))
    theirs.save_weights(tmp_path / "r.weights.h5")
    ours = applications.ResNet50(weights=str(tmp_path / "r.weights.h5"), include_top=False)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_keras_files_both_ways(trained: Any, tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    trained.save(tmp_path / "theirs.keras")
    ours = striate.models.load_model(tmp_path / "theirs.keras")
    agree(ours, trained)
    ours.save(tmp_path / "ours.keras")
    again = real_keras.models.load_model(tmp_path / "ours.keras")
    assert structure(again) == structure(trained)
    for a, b in zip(again.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_resnet_as_keras_reads_it(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    ours = applications.ResNet50V2(weights=None, include_top=False)
    ours.save(tmp_path / "ours.keras")
    theirs = real_keras.models.load_model(tmp_path / "ours.keras")
    assert structure(theirs) == structure(ours)
    np.testing.assert_array_equal(theirs.get_weights()[-1], ours.get_weights()[-1])
    np.testing.assert_array_equal(theirs.get_weights()[0], ours.get_weights()[0])


# ------------------------------------------------------------------------------------------------------- official files


def asked_of(module: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What real Keras wants to download, filled in when it does."""
    asked: dict[str, Any] = {}

    def get_file(name: str, url: str, **kwargs: Any) -> str:
        asked.update(name=name, url=url, **kwargs)
        raise OSError("enough")

    monkeypatch.setattr(module.file_utils, "get_file", get_file)
    return asked


@pytest.mark.parametrize("network", residual.VARIANTS)
@pytest.mark.parametrize("top", [True, False])
def test_resnet_files_are_those_of_keras(
    network: str, top: bool, keras_home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, real_keras: ModuleType
) -> None:
    module = real_keras.src.applications.resnet
    asked = asked_of(module, monkeypatch)
    with pytest.raises(OSError, match="enough"):
        module.ResNet(lambda x: x, False, True, include_top=top, name="r", weights_name=network.lower())
    variant = residual.VARIANTS[network]
    assert asked["file_hash"] == (variant.md5_top if top else variant.md5_notop)
    place = f"{keras_home}/models/{asked['name']}"
    with pytest.raises(OSError, match=f"failure on {asked['url']}.*put the file here: {place}"):
        residual.weight_file(variant, top)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"alpha": 0.5, "input_shape": (160, 160, 3)},
        {"alpha": 1.4, "include_top": False, "input_shape": (128, 128, 3)},
        {"alpha": 1, "include_top": False},  # with the warning that 224 is taken
        {"alpha": 0.35, "include_top": False, "input_shape": (96, 128, 3)},
    ],
)
def test_mobilenet_files_are_those_of_keras(
    arguments: dict, keras_home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, real_keras: ModuleType
) -> None:
    asked = asked_of(real_keras.src.applications.mobilenet_v2, monkeypatch)
    with warnings.catch_warnings(record=True) as theirs, pytest.raises(OSError, match="enough"):
        warnings.simplefilter("always")
        real_keras.applications.MobileNetV2(**arguments)
    place = f"{keras_home}/models/{asked['name']}"
    with warnings.catch_warnings(record=True) as ours, pytest.raises(OSError) as error:
        warnings.simplefilter("always")
        applications.MobileNetV2(**arguments)
    assert f"failure on {asked['url']}" in str(error.value) and f"put the file here: {place}" in str(error.value)
    said = [w for w in theirs if "loaded as the default" in str(w.message)]
    assert [str(w.message) for w in ours if "224x224 are loaded" in str(w.message)] == [
        f"MobileNetV2: there are no weights of its own for input_shape={shape}; those for 224x224 are loaded."
        for shape in [arguments.get("input_shape", (None, None, 3))] * len(said)
    ]
    assert {w.filename for w in ours} <= {__file__}
    assert "file_hash" not in asked


# --------------------------------------------------------------------------------------------------------- wrong calls


@pytest.mark.parametrize("network", ["ResNet50", "ResNet101V2", "MobileNetV2"])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"weights": "no-such-file.h5"}, "'imagenet' or the path of a file that exists, received 'no-such-file.h5'"),
        ({"weights": "imagenet", "classes": 10}, "received classes=10.*include_top=False"),
        ({"weights": None, "input_shape": (31, 40, 3), "include_top": False}, r"at least 32x32.*\(31, 40, 3\)"),
        ({"weights": None, "input_shape": (40, 40)}, r"three integers, received \(40, 40\)"),
        ({"weights": None, "input_shape": (None, None, 3)}, "all sizes of input_shape must be known"),
        ({"weights": "imagenet", "input_shape": (64, 64, 3)}, r"must be \(224, 224, 3\), received \(64, 64, 3\)"),
        ({"weights": "imagenet", "input_shape": (64, 64, 1), "include_top": False}, "need 3 input channels"),
        ({"weights": "imagenet", "classifier_activation": "relu"}, "classifier_activation must be None or 'softmax'"),
    ],
)
def test_arguments_that_do_not_go_together(
    network: str, arguments: dict, text: str, real_keras: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=f"{network}: .*{text}"):
        getattr(applications, network)(**arguments)
    if "classifier_activation" not in arguments:  # real Keras builds the whole network before it looks at it
        with pytest.raises(ValueError):
            getattr(real_keras.applications, network)(**arguments)


def test_pooling_is_checked() -> None:
    with pytest.raises(ValueError, match="MobileNetV2: pooling must be None, 'avg' or 'max', received 'mean'"):
        applications.MobileNetV2(weights=None, include_top=False, pooling="mean")


def test_an_alpha_without_weights(real_keras: ModuleType) -> None:
    for k in (striate, real_keras):
        with pytest.raises(ValueError, match="alpha") as error:
            k.applications.MobileNetV2(alpha=0.6)
        assert k is real_keras or "0.35, 0.5, 0.75, 1.0, 1.3 or 1.4, received alpha=0.6" in str(error.value)


def test_odd_channel_counts_are_warned_about() -> None:
    for network in ("ResNet50", "MobileNetV2"):
        with pytest.warns(UserWarning, match="1 or 3 input channels, received an input_shape with 5") as caught:
            getattr(applications, network)(weights=None, include_top=False, input_shape=(32, 32, 5))
        assert caught[0].filename == __file__


# ------------------------------------------------------------------------------------------------ tensors to build upon


def test_a_tensor_to_build_upon_brings_its_layers_along(real_keras: ModuleType) -> None:
    found = []
    for k in (striate, real_keras):
        image = k.Input((96, 96, 3))
        model = k.applications.MobileNetV2(
            weights=None, input_tensor=k.layers.Rescaling(2.0, name="scaled")(image), alpha=0.35
        )
        found.append((model.name, structure(model)))
    assert found[0] == found[1]
    assert found[0][0] == "mobilenetv2_0.35_96"


def test_a_tensor_and_a_shape(real_keras: ModuleType) -> None:
    found = []
    for k in (striate, real_keras):
        image = k.Input((64, 96, 3))
        model = k.applications.MobileNetV2(weights=None, input_tensor=image, input_shape=(96, 96, 3), include_top=False)
        assert model.inputs == [image]
        found.append((model.name, structure(model)))
    assert found[0] == found[1]
    assert found[0][0] == "mobilenetv2_1.00_96"


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (lambda k: k.Input((96, 64, 3)), r"shape \(None, 96, 64, 3\).*input_shape=\(96, 96, 3\)"),
        (lambda k: np.zeros((1, 96, 96, 3)), "must be a symbolic tensor, received ndarray"),
    ],
)
def test_a_tensor_and_a_shape_that_differ(tensor: Any, text: str, real_keras: ModuleType) -> None:
    for k in (striate, real_keras):
        with pytest.raises(ValueError, match=text if k is striate else "input_tensor"):
            k.applications.MobileNetV2(weights=None, input_tensor=tensor(k), input_shape=(96, 96, 3))


# --------------------------------------------------------------------------------------------------- what stands beside


@pytest.mark.parametrize(
    ("name", "module"),
    [("resnet", resnet), ("resnet50", resnet50), ("resnet_v2", resnet_v2), ("mobilenet_v2", mobilenet_v2)],
)
def test_the_modules_are_keras(name: str, module: ModuleType, real_keras: ModuleType) -> None:
    theirs = getattr(real_keras.applications, name)
    public = [n for n in dir(theirs) if not n.startswith("_")]
    assert [n for n in public if not callable(getattr(module, n, None))] == []
    x = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype("float32")
    np.testing.assert_array_equal(module.preprocess_input(x.copy()), theirs.preprocess_input(x.copy()))
    with pytest.raises(ValueError, match=r"\(samples, 1000\)"):
        module.decode_predictions(np.zeros((2, 10)))


def test_summary(real_keras: ModuleType) -> None:
    texts = []
    for k in (striate, real_keras):
        k.utils.clear_session()  # automatic names are counted from the start
        lines: list[str] = []
        model = k.applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(96, 96, 3))
        model.summary(line_length=80, print_fn=lambda text, **_: lines.append(text))  # noqa: B023
        texts.append("\n".join(lines))
    assert texts[0] == texts[1]
    assert "block_16_project" in texts[0] and max(map(len, texts[0].splitlines())) <= 80


def test_a_frozen_base_and_a_new_top_learn() -> None:
    """As the guide to transfer learning does it."""
    base = applications.MobileNetV2(weights=None, alpha=0.35, include_top=False, input_shape=(32, 32, 3), pooling="avg")
    base.trainable = False
    model = striate.Sequential([base, layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    before = [w.copy() for w in base.get_weights()]
    x = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3))
    top = model.layers[-1].get_weights()[0].copy()
    model.fit(x, np.arange(8) % 3, epochs=1, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, base.get_weights(), strict=True))
    assert not np.array_equal(top, model.layers[-1].get_weights()[0])
