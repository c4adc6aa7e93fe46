"""Image augmentation: the same transformation as real Keras gives the same images; draws have the right statistics."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import striate
from striate import layers, ops

RNG = np.random.default_rng(7)
LAYOUTS = ["channels_last", "channels_first"]


def images(*shape: int, data_format: str = "channels_last", top: float = 255.0) -> np.ndarray:
    """Random images, of `(batch, height, width, channels)` or without the batch."""
    x = np.random.default_rng(sum(shape)).random(shape).astype("float32") * np.float32(top)
    return x if data_format == "channels_last" else np.ascontiguousarray(np.moveaxis(x, -1, -3))


# name, arguments, the transformation of a batch of 4 images of 9 x 7 and 3 channels
def _per_image(*values: float) -> np.ndarray:
    return np.array(values, "float32").reshape(-1, 1, 1, 1)


FIXED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("RandomFlip", {"mode": m}, {"flips": np.array([1, 0, 1, 0], bool).reshape(-1, 1, 1, 1)})
    for m in ("horizontal", "vertical", "horizontal_and_vertical")
]
FIXED += [
    (
        "RandomTranslation",
        {"height_factor": 0.5, "width_factor": 0.5, "fill_mode": mode, "interpolation": how, "fill_value": 7.0},
        {"translations": np.array([[1, 2], [-2.5, 0.3], [0, 0], [3.1, -4.2]], "float32")},
    )
    for mode in ("reflect", "wrap", "constant", "nearest")
    for how in ("bilinear", "nearest")
]
ZOOM = np.array([[0.7], [1.3], [1.0], [1.9]], "float32")
FIXED += [
    ("RandomZoom", {"height_factor": 0.5}, {"height_zoom": ZOOM, "width_zoom": ZOOM}),
    ("RandomZoom", {"height_factor": 0.5, "fill_mode": "constant"}, {"height_zoom": ZOOM, "width_zoom": ZOOM[::-1]}),
    (
        "RandomShear",
        {"x_factor": 0.5, "y_factor": 0.2},
        {"shear_factor": np.array([[0.3, 0.1], [-0.2, 0], [0, 0], [0.5, -0.4]], "float32")},
    ),
    ("RandomContrast", {"factor": 0.5}, {"contrast_factor": _per_image(0.2, 1.0, 1.5, 2.0)}),
    ("RandomContrast", {"factor": 0.5, "value_range": (0, 90)}, {"contrast_factor": _per_image(0.2, 1.0, 1.5, 2.0)}),
    ("RandomBrightness", {"factor": 0.5}, {"rgb_delta": _per_image(-90.0, 0.0, 14.0, 300.0)}),
    ("RandomBrightness", {"factor": 0.5, "value_range": (200, 0)}, {"rgb_delta": _per_image(-90.0, 0.0, 14.0, 3.0)}),
    ("RandomSaturation", {"factor": 0.5}, {"factor": np.array([0.0, 0.4, 1.0, 1.6], "float32")}),
    ("RandomHue", {"factor": 0.5}, {"factor": np.array([-0.4, 0.0, 0.2, 0.5], "float32")}),
    ("RandomSharpness", {"factor": 0.5}, {"factor": np.array([0.0, 0.5, 0.7, 1.0], "float32")}),
    ("RandomInvert", {"factor": 0.5}, {"apply_inversion": np.array([True, False, False, True])}),
    (
        "Solarization",
        {"addition_factor": 0.5, "threshold_factor": 0.5},
        {"additions": _per_image(0, 20, 100, 30), "thresholds": _per_image(0, 100, 200, 255)},
    ),
    (
        "Solarization",
        {"value_range": (0, 300)},
        {"additions": _per_image(0, 20, 100, 30), "thresholds": _per_image(0, 100, 200, 255)},
    ),
    ("AutoContrast", {}, {}),
    ("AutoContrast", {"value_range": (0, 300)}, {}),
    ("RandomColorDegeneration", {"factor": 0.5}, {"factor": _per_image(0.0, 0.5, 1.0, -0.4)}),
    ("RandomPosterization", {"factor": 3}, {"shift_factor": np.array([5, 0, 7, 3], "uint8")}),
    (
        "RandomGaussianBlur",
        {"factor": 0.5, "kernel_size": (3, 5)},
        {"should_apply_blur": np.array([1, 0, 1, 1], bool), "blur_factor": np.array([0.5, 0.9], "float32")},
    ),
    ("CenterCrop", {"height": 4, "width": 3}, {}),
    ("CenterCrop", {"height": 12, "width": 5}, {}),
    ("Resizing", {"height": 5, "width": 12}, {}),
]


@pytest.mark.parametrize("data_format", LAYOUTS)
@pytest.mark.parametrize("case", FIXED, ids=lambda c: f"{c[0]}-{'-'.join(str(v) for v in c[1].values())}")
def test_the_same_transformation_as_keras(case: Any, data_format: str, real_keras: ModuleType) -> None:
    name, arguments, transformation = case
    ours = getattr(layers, name)(**arguments, data_format=data_format)
    theirs = getattr(real_keras.layers, name)(**arguments, data_format=data_format)
    x = images(4, 9, 7, 3, data_format=data_format)
    given = {**transformation, "input_shape": x.shape}
    want = np.array(theirs.transform_images(x, dict(given)))
    got = ours.transform_images(x, dict(given))
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("fill_mode", ["reflect", "wrap", "constant", "nearest"])
def test_rotation_as_keras(fill_mode: str, real_keras: ModuleType) -> None:
    """The matrix that Keras draws turns our images as it turns Keras's."""
    x = images(4, 9, 7, 3)
    theirs = real_keras.layers.RandomRotation(0.4, fill_mode=fill_mode, fill_value=3.0, seed=5)
    drawn = theirs.get_random_transformation(x)
    rows = np.array(drawn["rotation_matrix"])
    ours = layers.RandomRotation(0.4, fill_mode=fill_mode, fill_value=3.0)
    got = ours.transform_images(x, {"rotation_matrix": rows})
    np.testing.assert_allclose(got, np.array(theirs.transform_images(x, drawn)), rtol=1e-4, atol=2e-3)
    for i, angle in enumerate(np.array(drawn["angle"])):
        exact = layers.RandomRotation((angle / 360, angle / 360))
        np.testing.assert_allclose(exact.get_random_transformation(x)["rotation_matrix"][0], rows[i], atol=1e-4)


def test_erasing_and_grayscale_as_keras(real_keras: ModuleType) -> None:
    x = images(4, 9, 7, 3)
    masks = np.random.default_rng(1).random(x.shape) < 0.3
    drawn = {"apply_erasing": np.array([1, 0, 1, 1], bool), "batch_masks": masks, "fill_value": np.full_like(x, 9)}
    want = real_keras.layers.RandomErasing().transform_images(x, drawn)
    np.testing.assert_array_equal(layers.RandomErasing().transform_images(x, drawn), np.array(want))
    chosen = _per_image(1, 0, 1, 0).astype(bool)
    want = real_keras.layers.RandomGrayscale().transform_images(x, chosen)
    np.testing.assert_allclose(layers.RandomGrayscale().transform_images(x, chosen), np.array(want), rtol=1e-5)


@pytest.mark.parametrize("size", [(4, 3), (9, 3), (12, 3), (4, 20), (9, 7), (1, 1)])
@pytest.mark.parametrize("data_format", LAYOUTS)
def test_random_crop(size: tuple[int, int], data_format: str, real_keras: ModuleType) -> None:
    x = images(2, 9, 7, 3, data_format=data_format)
    ours = layers.RandomCrop(*size, data_format=data_format)
    theirs = real_keras.layers.RandomCrop(*size, data_format=data_format)
    place = (2, 1) if size[0] < 9 and size[1] < 7 else ours.get_random_transformation(x)
    if place != (2, 1):
        assert tuple(place) == tuple(int(n) for n in theirs.get_random_transformation(x))
    want = np.array(theirs.transform_images(x, place))
    np.testing.assert_allclose(ours.transform_images(x, place), want, rtol=1e-5, atol=1e-3)


def test_random_crop_reaches_every_place_and_no_other() -> None:
    x = np.arange(6 * 5, dtype="float32").reshape(1, 6, 5, 1)
    layer = layers.RandomCrop(4, 3, seed=3)
    corners = {float(layer(x)[0, 0, 0, 0]) for _ in range(200)}
    assert corners == {float(5 * i + j) for i in range(3) for j in range(3)}
    np.testing.assert_array_equal(layer(x, training=False), x)


# Exact cases -----------------------------------------------------------------------------------------------------


def test_flips_are_exact() -> None:
    x = images(64, 4, 5, 3)
    y = layers.RandomFlip("horizontal", seed=1)(x)
    turned = [np.array_equal(a, b[:, ::-1]) for a, b in zip(y, x, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(y, x, strict=True)]
    assert all(a != b for a, b in zip(turned, same, strict=True))
    assert 12 < sum(turned) < 52


@pytest.mark.parametrize(("turns", "k"), [(0.25, 1), (0.5, 2), (-0.25, -1), (1.0, 0)])
@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_quarter_turns_are_exact(turns: float, k: int, how: str) -> None:
    """Positive angles turn counter-clockwise, as `np.rot90`."""
    x = images(2, 5, 5, 3)
    y = layers.RandomRotation((turns, turns), interpolation=how)(x)
    np.testing.assert_allclose(y, np.rot90(x, k, axes=(1, 2)), rtol=0, atol=1e-3 if how == "bilinear" else 0)


def test_whole_translations_are_exact() -> None:
    x = images(1, 4, 5, 2)
    y = layers.RandomTranslation((0.25, 0.25), (0.4, 0.4), fill_mode="constant", fill_value=9.0)(x)
    want = np.full_like(x, 9.0)
    want[:, 1:, 2:] = x[:, :-1, :-2]
    np.testing.assert_allclose(y, want, atol=1e-3)


ZERO = [
    ("RandomRotation", (0.0,), {}),
    ("RandomTranslation", (0.0, 0.0), {}),
    ("RandomZoom", (0.0,), {}),
    ("RandomShear", (), {}),
    ("RandomContrast", (0.0,), {}),
    ("RandomBrightness", (0.0,), {}),
    ("RandomHue", (0.0,), {}),
    ("RandomGrayscale", (0.0,), {}),
    ("RandomInvert", (0.0,), {}),
    ("RandomErasing", (0.0,), {}),
    ("RandomSharpness", ((0.5, 0.5),), {}),
    ("RandomSaturation", ((0.5, 0.5),), {}),
    ("RandomColorJitter", (), {}),
]


@pytest.mark.parametrize("case", ZERO, ids=lambda c: c[0])
def test_no_strength_is_the_identity(case: Any) -> None:
    name, args, kwargs = case
    x = images(3, 6, 5, 3)
    np.testing.assert_allclose(getattr(layers, name)(*args, **kwargs)(x), x, rtol=1e-4, atol=2e-3)


ALL: list[tuple[str, tuple[Any, ...]]] = [
    ("RandomFlip", ()),
    ("RandomRotation", (0.3,)),
    ("RandomTranslation", (0.3, 0.3)),
    ("RandomZoom", (0.3, 0.3)),
    ("RandomShear", (0.3, 0.3)),
    ("RandomContrast", (0.5,)),
    ("RandomBrightness", (0.3,)),
    ("RandomSaturation", ((0.1, 0.9),)),
    ("RandomHue", (0.5,)),
    ("RandomGrayscale", (0.5,)),
    ("RandomInvert", (0.5,)),
    ("RandomErasing", (0.9,)),
    ("RandomSharpness", (0.9,)),
    ("RandomColorJitter", ((0, 255), 0.3, 0.3, (0.2, 0.8), 0.3)),
    ("Solarization", (0.5, 0.5)),
    ("RandomColorDegeneration", (0.5,)),
    ("RandomPosterization", (6,)),
    ("RandomGaussianBlur", (0.9, 3, (0.5, 1.0))),
    ("RandomCrop", (4, 3)),
]
DIFFERENT = [c for c in ALL if c[0] not in ("RandomCrop",)]


@pytest.mark.parametrize(("name", "args"), ALL)
def test_training_false_leaves_images(name: str, args: Any) -> None:
    x = images(3, 6, 5, 3)
    np.testing.assert_array_equal(getattr(layers, name)(*args)(x, training=False), x)


@pytest.mark.parametrize(("name", "args"), DIFFERENT)
def test_each_image_has_its_own_draw(name: str, args: Any) -> None:
    one = images(1, 6, 6, 3)
    x = np.repeat(one, 24, axis=0)
    layer = getattr(layers, name)(*args, seed=11)
    y = layer(x)
    least = {
        "RandomFlip": 1,
        "RandomGrayscale": 1,
        "RandomInvert": 1,
        "RandomErasing": 4,
        "RandomPosterization": 3,
        "RandomGaussianBlur": 1,
    }.get(name, 15)
    assert y.shape == x.shape and y.dtype == "float32"
    assert len({row.tobytes() for row in y}) > least
    assert not np.array_equal(layer(x), y)  # nor is a second call the same


@pytest.mark.parametrize(("name", "args"), ALL)
def test_a_single_image_is_a_batch_of_one(name: str, args: Any) -> None:
    x = images(6, 6, 3)
    made = [getattr(layers, name)(*args, seed=3) for _ in range(2)]
    np.testing.assert_allclose(made[0](x), made[1](x[None])[0], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("name", "args"), ALL)
def test_a_seed_and_set_random_seed_repeat_a_run(name: str, args: Any) -> None:
    x = images(4, 6, 6, 3)
    cls = getattr(layers, name)
    np.testing.assert_array_equal(cls(*args, seed=4)(x), cls(*args, seed=4)(x))
    runs = []
    for _ in range(2):
        striate.utils.set_random_seed(31)
        layer = cls(*args)
        runs.append([layer(x), layer(x)])
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.parametrize(("name", "args"), ALL)
@pytest.mark.parametrize("data_format", LAYOUTS)
def test_traced_equals_eager(name: str, args: Any, data_format: str) -> None:
    """Compiled into a plan, with the state of the seed moving on as it does in Python."""
    x = images(4, 6, 6, 3, data_format=data_format)
    eager = getattr(layers, name)(*args, seed=5, data_format=data_format)
    traced = getattr(layers, name)(*args, seed=5, data_format=data_format)
    run = striate.jit(lambda v: traced(v, training=True))
    for _ in range(2):
        np.testing.assert_allclose(run(x), eager(x), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("name", "args"), ALL)
def test_in_a_functional_model_with_unknown_sizes(name: str, args: Any) -> None:
    size = (None, None, 3)
    inputs = striate.Input(size)
    layer = getattr(layers, name)(*args, seed=5)
    outputs = layer(inputs)
    assert outputs.shape == ((None, 4, 3, 3) if name == "RandomCrop" else (None, *size))
    model = striate.Model(inputs, outputs)
    x = images(3, 6, 5, 3)
    twin = getattr(layers, name)(*args, seed=5)
    np.testing.assert_allclose(model(x, training=True), twin(x), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(model(x, training=False), x)
    np.testing.assert_allclose(model.predict(x, verbose=0), x)


@pytest.mark.parametrize("said", [{}, {"training": True}, {"training": False}, {"training": None}], ids=str)
def test_when_images_change_as_keras(said: dict[str, Any], real_keras: ModuleType) -> None:
    """Alone, in a layer that hands `training` on, and in one that does not."""
    x = images(6, 4, 4, 3)

    def changes(keras: Any) -> list[bool]:
        class HandsOn(keras.layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.inner = keras.layers.RandomBrightness((0.3, 0.5))

            def call(self, x: Any, training: Any = None) -> Any:
                return self.inner(x, training=training)

        class Silent(HandsOn):
            def call(self, x: Any, training: Any = None) -> Any:
                return self.inner(x)

        model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.RandomBrightness((0.3, 0.5))])
        made = [f(x, **said) for f in (keras.layers.RandomBrightness((0.3, 0.5)), HandsOn(), Silent(), model)]
        return [not np.array_equal(np.asarray(y), x) for y in made]

    assert changes(striate) == changes(real_keras)


# Statistics of the draws -----------------------------------------------------------------------------------------


def _uniform(values: Any, low: float, high: float) -> None:
    """Each tenth of [low, high) holds a tenth of the values."""
    values = np.asarray(values, "float64").ravel()
    assert values.min() >= low - 1e-6 and values.max() <= high + 1e-6
    counts, _ = np.histogram(values, 10, (low, high))
    n = len(values)
    assert np.abs(counts - n / 10).max() < 6 * np.sqrt(n * 0.09)


def test_draws_are_spread_evenly() -> None:
    x = np.zeros((4000, 2, 4, 3), "float32")

    def drawn(layer: Any) -> Any:
        return layer.get_random_transformation(x)

    _uniform(drawn(layers.RandomRotation((-0.1, 0.3), seed=1))["angle"], -36, 108)
    shift = drawn(layers.RandomTranslation((-0.5, 0.25), 0.5, seed=1))["translations"]
    _uniform(shift[:, 0], -2, 2)
    _uniform(shift[:, 1], -1, 0.5)
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.07
    zoom = drawn(layers.RandomZoom(0.3, (0.1, 0.2), seed=1))
    _uniform(zoom["height_zoom"], 0.7, 1.3)
    _uniform(zoom["width_zoom"], 1.1, 1.2)
    assert np.array_equal(*[drawn(layers.RandomZoom(0.3, seed=1))[k] for k in ("height_zoom", "width_zoom")])
    _uniform(drawn(layers.RandomContrast((0.2, 0.6), seed=1))["contrast_factor"], 0.8, 1.6)
    _uniform(drawn(layers.RandomBrightness((-0.2, 0.6), value_range=(0, 10), seed=1))["rgb_delta"], -2, 6)
    _uniform(drawn(layers.RandomHue(0.8, seed=1))["factor"], -0.4, 0.4)
    u = drawn(layers.RandomSaturation((0.2, 0.7), seed=1))["factor"]
    _uniform(u / (1 + u), 0.2, 0.7)
    shear = drawn(layers.RandomShear(0.3, (0.2, 0.4), seed=1))["shear_factor"]
    _uniform(shear[:, 0], -0.3, 0.3)
    _uniform(np.abs(shear[:, 1]), 0.2, 0.4)


def test_probabilities() -> None:
    x = np.zeros((4000, 6, 8, 3), "float32")
    flips = layers.RandomFlip(seed=1).get_random_transformation(x)["flips"]
    assert abs(flips.mean() - 0.5) < 0.04
    assert abs(layers.RandomGrayscale(0.2, seed=1).get_random_transformation(x).mean() - 0.2) < 0.04
    inverted = layers.RandomInvert((0.6, 0.8), seed=1).get_random_transformation(x)["apply_inversion"]
    assert abs(inverted.mean() - 0.7) < 0.04
    erased = layers.RandomErasing((0.3, 0.3), scale=(0.25, 0.25), seed=1).get_random_transformation(x[:400])
    assert abs(erased["apply_erasing"].mean() - 0.3) < 0.1
    assert set(erased["batch_masks"].reshape(400, -1).sum(1).tolist()) == {12}  # half of 6 times half of 8


# Dtypes, dicts, configs, errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "args"), ALL + [("CenterCrop", (3, 3)), ("Resizing", (3, 3))])
def test_dtypes_as_keras(name: str, args: Any, training: bool, real_keras: ModuleType) -> None:
    for dtype in ("uint8", "float32", "float64"):
        if name in ("RandomSaturation", "RandomColorJitter") and dtype == "uint8":
            continue  # Keras refuses integers there
        x = images(2, 6, 6, 3).astype(dtype)
        want = getattr(real_keras.layers, name)(*args)(x, training=training)
        got = getattr(layers, name)(*args)(x, training=training)
        assert (str(got.dtype), got.shape) == (str(want.dtype), tuple(want.shape)), dtype


def test_small_integers_do_not_overflow() -> None:
    x = np.full((1, 2, 2, 3), 200, "uint8")
    np.testing.assert_array_equal(layers.RandomBrightness((0.5, 0.5))(x), np.full_like(x, 255))
    np.testing.assert_array_equal(layers.RandomBrightness((-1.0, -1.0))(x), np.zeros_like(x))


def test_half_precision() -> None:
    for name, args in ALL:
        layer = getattr(layers, name)(*args, dtype="mixed_float16")
        assert layer(images(2, 6, 6, 3)).dtype == "float16", name


CONFIGS = [*ALL, ("CenterCrop", (3, 4)), ("Resizing", (3, 4))]


@pytest.mark.parametrize(("name", "args"), CONFIGS)
@pytest.mark.parametrize("data_format", LAYOUTS)
def test_configs_go_to_keras_and_back(name: str, args: Any, data_format: str, real_keras: ModuleType) -> None:
    ours = getattr(layers, name)(*args, data_format=data_format, name="a", bounding_box_format="xywh")
    theirs = getattr(real_keras.layers, name).from_config(ours.get_config())
    wanted = getattr(real_keras.layers, name)(*args, data_format=data_format, name="a", bounding_box_format="xywh")
    drop = {"seed"} if name == "RandomCrop" else set()
    assert {k: v for k, v in theirs.get_config().items() if k not in drop} == {
        k: v for k, v in wanted.get_config().items() if k not in drop
    }
    again = getattr(layers, name).from_config(wanted.get_config())
    assert again.get_config() == {**ours.get_config(), **({"seed": again.seed} if drop else {})}


WRONG: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("RandomRotation", {"factor": 1.5}, ValueError, "in the range"),
    ("RandomRotation", {"factor": "x"}, ValueError, "should be a number"),
    ("RandomRotation", {"factor": (0.1, 0.2, 0.3)}, ValueError, "list of two numbers"),
    ("RandomRotation", {"factor": 0.1, "fill_mode": "zero"}, NotImplementedError, "Unknown `fill_mode`"),
    ("RandomRotation", {"factor": 0.1, "interpolation": "cubic"}, NotImplementedError, "Unknown `interpolation`"),
    ("RandomTranslation", {"height_factor": 2.0, "width_factor": 0.1}, ValueError, "should be a number"),
    ("RandomZoom", {"height_factor": -1.0}, ValueError, r"in the range \(-1.0, 1.0\]"),
    ("RandomShear", {"x_factor": -0.2}, ValueError, "x_factor"),
    ("RandomContrast", {"factor": 1.5}, ValueError, "in the range"),
    ("RandomBrightness", {"factor": 0.1, "value_range": 3}, ValueError, "value_range"),
    ("RandomGrayscale", {"factor": 2}, ValueError, "between 0 and 1"),
    ("Solarization", {"addition_factor": 2}, ValueError, "addition_factor"),
    ("RandomFlip", {"factor": 0.3}, ValueError, "does not take a `factor`"),
    ("RandomFlip", {"data_format": "middle"}, ValueError, "data_format"),
    ("CenterCrop", {"height": 0, "width": 3}, ValueError, "positive int"),
    ("RandomErasing", {"fill_value": "red"}, ValueError, "three numbers"),
]


@pytest.mark.parametrize("case", WRONG, ids=lambda c: f"{c[0]}-{'-'.join(str(v) for v in c[1].values())}")
def test_wrong_arguments(case: Any) -> None:
    name, arguments, kind, text = case
    with pytest.raises(kind, match=text):
        getattr(layers, name)(**arguments)


def test_wrong_ranks() -> None:
    for name, args in ALL:
        with pytest.raises(ValueError, match="rank 3 or 4"):
            getattr(layers, name)(*args)(np.zeros((4, 4), "float32"))


@given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(1, 9), st.integers(1, 9))
def test_center_crop_of_any_sizes(channels: int, height: int, width: int, tall: int, wide: int) -> None:
    x = images(2, height, width, channels)
    layer = layers.CenterCrop(tall, wide)
    y = layer(x)
    assert y.shape == (2, tall, wide, channels) == layer.compute_output_shape(x.shape)
    if tall <= height and wide <= width:
        top, left = (height - tall) // 2, (width - wide) // 2
        np.testing.assert_array_equal(y, x[:, top : top + tall, left : left + wide])


def test_gradients_go_through() -> None:
    """Augmentation inside a model: the gradient of a bilinear rotation against finite differences."""
    layer = layers.RandomRotation((0.1, 0.1), fill_mode="constant")
    x, w = images(1, 4, 4, 1, top=1.0), RNG.random((1, 4, 4, 1)).astype("float32")

    def loss(v: Any) -> Any:
        return ops.sum(layer(v, training=True) * w)

    found = striate.grad(loss)(x)
    for place in [(0, 1, 2, 0), (0, 3, 0, 0)]:
        step = np.zeros_like(x)
        step[place] = 0.5
        assert abs(float(found[place]) - float(loss(x + step) - loss(x - step))) < 1e-4
