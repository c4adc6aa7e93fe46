"""Feature maps, filters, equivariance and maximisation against sub-models, NumPy and other programs."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import striate as keras
from striate import explain, layers, ops
from striate.explain.probe import find, layers_in

RNG = np.random.default_rng(0)
WRITE = """
import sys, numpy as np, keras
from keras import layers
keras.utils.set_random_seed(1)
inner = keras.Sequential([layers.Input((8, 8, 4)), layers.Conv2D(5, 3, activation="relu", name="deep"),
                          layers.BatchNormalization()], name="inner")
x = keras.Input((17, 14, 3))
h = layers.Conv2D(4, 3, strides=2, activation="relu", name="first")(x)
h = layers.Resizing(8, 8)(h)
y = layers.Concatenate()([inner(h), inner(h[:, ::-1])])
y = layers.GlobalAveragePooling2D()(y)
model = keras.Model(x, layers.Dense(3, activation="softmax", name="out")(y))
image = np.random.default_rng(2).normal(size=(2, 17, 14, 3)).astype("float32")
maps = keras.Model(x, [model.get_layer("first").output, inner.output if False else model.get_layer("out").output])
first, out = maps.predict(image, verbose=0)
deep = keras.Model(inner.inputs, inner.layers[0].output)
resized = keras.Model(x, h).predict(image, verbose=0)
np.savez(sys.argv[2], image=image, first=first, out=out, deep=deep.predict(resized, verbose=0))
model.save(sys.argv[1])
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A model that a real Keras wrote, and what that Keras computes with it."""
    folder = tmp_path_factory.mktemp("foreign")
    files = [str(folder / "model.keras"), str(folder / "truth.npz")]
    done = subprocess.run([sys.executable, "-c", WRITE, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return keras.models.load_model(files[0]), np.load(files[1])


def small(shape: tuple[int, ...] = (12, 10, 3)) -> Any:
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            layers.Input(shape),
            layers.Conv2D(6, 3, activation="relu", name="one"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(8, 3, activation="relu", name="two"),
            layers.Flatten(),
            layers.Dense(4, name="out"),
        ]
    )


def image(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape or (12, 10, 3)).astype("float32")


class TestFeatureMaps:
    def test_a_file_of_keras(self, foreign: tuple[Any, Any]) -> None:
        """Layers by name, inside a nested model that is called twice, and the output."""
        model, truth = foreign
        maps = explain.feature_maps(model, truth["image"], ["first", "inner/deep", "out"])
        assert list(maps) == ["first", "inner/deep", "inner/deep (call 2)", "out"]
        for name, wanted in (("first", "first"), ("inner/deep", "deep"), ("out", "out")):
            np.testing.assert_allclose(maps[name], truth[wanted], atol=1e-5)
        assert maps["inner/deep"].shape == maps["inner/deep (call 2)"].shape
        assert not np.allclose(maps["inner/deep"], maps["inner/deep (call 2)"], atol=1e-3)

    def test_a_hand_made_sub_model(self) -> None:
        model, x = small(), image(2, 12, 10, 3)
        sub = keras.Model(model.inputs, [layer.output for layer in model.layers])
        maps = explain.feature_maps(model, x, [layer.name for layer in model.layers])
        for array, wanted in zip(maps.values(), sub(x), strict=True):
            np.testing.assert_allclose(array, wanted, atol=1e-6)

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (0, ["one"]), (-1, ["out"]), ("two", ["two"]), (layers.Conv2D, ["one", "two"]), ("Conv2D", ["one", "two"]),
            (["out", "pool"], ["out", "pool"]), (None, ["one", "two"]),
        ],
    )  # fmt: skip
    def test_ways_to_name_layers(self, wanted: Any, found: list[str]) -> None:
        maps = explain.feature_maps(small(), image(), wanted)
        assert sorted(maps) == sorted(found)

    def test_an_unknown_layer_is_answered_with_names_like_it(self) -> None:
        with pytest.raises(ValueError, match=r"no layer answers to 'on'.*one"):
            explain.feature_maps(small(), image(), "on")
        with pytest.raises(ValueError, match="index from 0 to 4"):
            explain.feature_maps(small(), image(), 9)

    def test_inputs_count_as_layers(self) -> None:
        a, b = keras.Input((4, 4, 1), name="a"), keras.Input((4, 4, 1), name="b")
        model, x = keras.Model([a, b], layers.Add(name="sum")([a, b])), [image(1, 4, 4, 1), image(1, 4, 4, 1)]
        maps = explain.feature_maps(model, x, [layer.name for layer in model.layers])
        for name, wanted in (("a", x[0]), ("b", x[1]), ("sum", x[0] + x[1])):
            np.testing.assert_array_equal(maps[name], wanted)
        assert list(explain.feature_maps(model, x, 1)) == ["b"]

    def test_channels_by_chance_and_by_strength(self) -> None:
        model, x = small(), image()
        drawn = [explain.feature_maps(model, x, "two", 3, seed=s).channels["two"] for s in (0, 0, 1, 2, 3)]
        assert drawn[0] == drawn[1]
        assert len(set(drawn)) > 1
        strong = explain.feature_maps(model, x, "two", 3, by="strength")
        means = np.asarray(strong["two"]).mean((0, 1, 2))
        assert list(means[list(strong.channels["two"])]) == sorted(means, reverse=True)[:3]
        np.testing.assert_array_equal(strong.chosen("two"), strong["two"][..., list(strong.channels["two"])])
        assert explain.feature_maps(model, x, "two", [5, 1]).channels["two"] == (5, 1)
        with pytest.raises(ValueError, match="channels 0 to 7"):
            explain.feature_maps(model, x, "two", [8])

    def test_subclassed_models_wrappers_and_branches_on_values(self) -> None:
        class Own(keras.Model):
            def __init__(self) -> None:
                super().__init__()
                self.conv = layers.Conv2D(2, 3, name="conv")
                self.each = layers.TimeDistributed(layers.Dense(3, name="dense"), name="each")

            def call(self, x: Any) -> Any:
                h = self.conv(x)
                return self.each(-h if ops.sum(h) < 0 else h)

        model, x = Own(), image(1, 6, 6, 3)
        model(x)
        maps = explain.feature_maps(model, x, ["conv", "each"])
        np.testing.assert_allclose(maps["conv"], model.conv(x), atol=1e-6)
        np.testing.assert_allclose(maps["each"], model(x), atol=1e-6)
        assert [f.path for f in layers_in(model)] == ["conv", "each", "each/dense"]

    def test_the_model_is_as_it_was_and_other_threads_see_nothing(self) -> None:
        model, x = small(), image(1, 12, 10, 3)
        before = model(x)
        failures: list[Any] = []

        def call() -> None:
            for _ in range(30):
                if not np.array_equal(model(x), before):
                    failures.append(1)

        threads = [threading.Thread(target=call) for _ in range(2)]
        for t in threads:
            t.start()
        for _ in range(10):
            explain.feature_maps(model, x, "one")
        for t in threads:
            t.join()
        assert not failures
        assert all("call" not in vars(layer) for layer in model.layers)

    def test_channels_first_and_one_dimension(self) -> None:
        first = layers.Conv2D(5, 3, data_format="channels_first", name="c")
        x = image(1, 2, 9, 8)
        y = first(x)
        np.testing.assert_allclose(explain.feature_maps(first, x)["c"], np.moveaxis(y, 1, -1), atol=1e-6)
        row = keras.Sequential([layers.Input((16, 2)), layers.Conv1D(4, 5, name="row")])
        maps = explain.feature_maps(row, image(1, 16, 2))
        assert maps["row"].shape == (1, 12, 4)
        assert maps.figure() is not None

    def test_the_figure_has_the_maps_and_their_names(self) -> None:
        model, x = small(), image()
        maps = explain.feature_maps(model, x, ["one", "two"], 3)
        figure = maps.figure()
        drawn = [np.asarray(a.images[0].get_array()) for a in figure.axes if a.images]
        for name in ("one", "two"):
            for channel in maps.channels[name]:
                assert any(np.array_equal(d, maps[name][0, ..., channel]) for d in drawn)
        texts = [t.get_text() for a in figure.axes for t in a.texts]
        assert "one" in texts and "8×8, 6 channels" not in texts and "10×8, 6 channels" in texts
        grid = explain.feature_maps(model, x, ["one", "two"], 1).figure(theme="dark")
        assert [a.get_title() for a in grid.axes if a.get_title()] == ["image", "one", "two"]

    def test_no_pyplot(self) -> None:
        code = (
            "import sys, numpy as np, striate as k\nfrom striate import explain, layers\n"
            "m = k.Sequential([layers.Input((8, 8, 1)), layers.Conv2D(2, 3)])\n"
            "explain.feature_maps(m, np.ones((8, 8, 1)))._repr_html_()\nassert 'matplotlib.pyplot' not in sys.modules"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_find_takes_paths_and_layers() -> None:
    inner = keras.Sequential([layers.Input((4,)), layers.Dense(3, name="d")], name="inner")
    model = keras.Sequential([layers.Input((4,)), inner, layers.Dense(2, name="d2")])
    assert [f.path for f in find(model, "inner/d", "t")] == ["inner/d"]
    assert [f.path for f in find(model, [inner, "d"], "t")] == ["inner", "inner/d"]


class TestFilters:
    def test_kernels(self) -> None:
        model = small()
        drawn = explain.filters(model.layers[2], channels=4)
        np.testing.assert_array_equal(drawn.kernels, model.layers[2].kernel)
        panels = [np.asarray(a.images[0].get_array()) for a in drawn.figure().axes if a.images]
        np.testing.assert_array_equal(panels[4 * 3 + 2], np.asarray(model.layers[2].kernel)[:, :, 2, 3])

    def test_transposed_depthwise_and_none(self) -> None:
        transposed, depthwise = layers.Conv2DTranspose(4, 3), layers.DepthwiseConv2D(3, depth_multiplier=2)
        transposed(image(1, 5, 5, 2))
        depthwise(image(1, 5, 5, 2))
        assert explain.filters(transposed).kernels.shape == (3, 3, 2, 4)
        assert explain.filters(depthwise).kernels.shape == (3, 3, 1, 4)
        with pytest.raises(ValueError, match="has no kernel"):
            explain.filters(small().layers[1])
        with pytest.raises(ValueError, match="not built"):
            explain.filters(layers.Conv2D(2, 3))


class TestEquivariance:
    def test_stride_1_is_exact_inside_and_breaks_at_the_padding(self) -> None:
        layer = layers.Conv2D(3, 5, padding="same", activation="relu", bias_initializer="ones")
        x = image(1, 20, 18, 2)
        y = np.asarray(layer(x))
        found = explain.equivariance(layer, x, (3, -2))
        moved = np.zeros_like(x)
        moved[:, 3:, :-2] = x[:, :-3, 2:]
        error = np.abs(np.asarray(layer(moved))[:, 3:, :-2] - y[:, :-3, 2:]).max(-1)  # by hand
        np.testing.assert_allclose(found.error[:, 3:, :-2], error, atol=1e-6)
        assert np.isnan(found.error[:, :3]).all()
        assert found.interior is not None
        inside = np.zeros((20, 18), bool)
        inside[3 + 2 : 20 - 2, 2 : 18 - 2 - 2] = True  # two cells from the image's part that is in both
        np.testing.assert_array_equal(found.interior, inside)
        assert found.inside is not None and found.inside < 1e-6 < 1e-3 < found.largest
        assert any("padding" in reason for reason in found.reasons)

    def test_valid_padding_breaks_nothing(self) -> None:
        found = explain.equivariance(layers.Conv2D(2, 3), image(16, 16, 1), (0, 4))
        assert found.largest < 1e-6
        assert found.inside is not None
        assert not found.reasons

    @pytest.mark.parametrize(("shift", "works"), [(4, True), (2, False), (1, False), (-8, True)])
    def test_strides(self, shift: int, works: bool) -> None:
        model = keras.Sequential([layers.Input((32, 32, 1)), layers.Conv2D(4, 3, strides=2), layers.MaxPooling2D(2)])
        found = explain.equivariance(model, image(32, 32, 1), shift)
        assert (found.inside is not None) and (found.inside < 1e-6) == works
        assert any("no multiple" in reason and "width" in reason for reason in found.reasons) == (not works)
        if works:
            assert found.output_shift == (0, shift // 4)

    def test_a_transposed_convolution_moves_further(self) -> None:
        found = explain.equivariance(layers.Conv2DTranspose(2, 3, strides=2), image(9, 9, 2), (1, 2))
        assert found.output_shift == (2, 4)
        assert found.inside is not None and found.inside < 1e-6

    def test_what_does_not_move(self) -> None:
        with pytest.raises(ValueError, match="Name a `layer`"):
            explain.equivariance(small(), image(), 1)
        assert explain.equivariance(small(), image(), 2, layer="pool").inside == pytest.approx(0, abs=1e-6)
        with pytest.raises(ValueError, match="does not fit"):
            explain.equivariance(small(), image(), 10, layer="one")

    def test_the_error_is_in_the_figure(self) -> None:
        found = explain.equivariance(layers.Conv2D(2, 3, padding="same"), image(12, 12, 3), 2)
        panel = next(a for a in found.figure().axes if a.get_title().startswith("error"))
        np.testing.assert_array_equal(np.asarray(panel.images[0].get_array().data), found.error[0])


class TestMaximise:
    def test_a_linear_filter_finds_its_kernel(self) -> None:
        """Of all images of one window, a linear filter answers most to its own kernel (Cauchy and Schwarz)."""
        layer = layers.Conv2D(3, 5, use_bias=False)
        layer(image(1, 5, 5, 1))
        found = explain.maximise(layer, [0, 2], steps=60, variation=0, blur=0, jitter=0)
        for made, f in zip(found.images, (0, 2), strict=True):
            kernel = np.asarray(layer.kernel)[..., 0, f].ravel()
            cosine = made.ravel() @ kernel / np.linalg.norm(made) / np.linalg.norm(kernel)
            assert cosine > 0.98
        np.testing.assert_allclose(found.scores, [layer(i[None])[0, 0, 0, f] for i, f in zip(found.images, (0, 2))])

    def test_it_climbs_repeats_and_takes_layers_of_a_model(self) -> None:
        model = small()
        found = explain.maximise(model.get_layer("two"), 1, steps=20)
        again = explain.maximise(model, 1, layer="two", steps=20)
        np.testing.assert_array_equal(found.images, again.images)
        assert found.images.shape == (1, 12, 10, 3)
        assert found.scores[0] > found.history[0, 0] + 0.1
        wanted = np.asarray(explain.feature_maps(model, found.images, "two")["two"])[0, ..., 1].mean()
        assert found.scores[0] == pytest.approx(wanted, rel=1e-5)
        other = explain.maximise(model, 1, layer="two", steps=20, seed=5)
        assert not np.allclose(other.images, found.images)

    def test_open_sizes_and_wrong_filters(self) -> None:
        model = keras.Sequential([layers.Input((None, None, 1)), layers.Conv2D(2, 3)])
        assert explain.maximise(model, 0, size=(20, 24), steps=2).images.shape == (1, 20, 24, 1)
        with pytest.raises(ValueError, match="filters 0 to 1"):
            explain.maximise(model, 2, steps=1)


def test_all_layers_come_of_one_run() -> None:
    model = small()
    calls: list[int] = []
    model.layers[0].call = (lambda inner: lambda x: (calls.append(1), inner(x))[1])(model.layers[0].call)
    explain.feature_maps(model, image(), ["one", "pool", "two"])
    assert len(calls) == 1


def test_several_outputs_and_inputs_in_a_dict() -> None:
    class Two(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv = layers.Conv2D(2, 3, name="conv")
            self.both = Split(name="both")

        def call(self, inputs: Any) -> Any:
            return ops.sum(self.both(self.conv(inputs["a"] + inputs["b"]))[1])

    class Split(layers.Layer):
        def call(self, x: Any) -> Any:
            return x, -x

    model, x = Two(), {"b": image(1, 5, 5, 1), "a": image(1, 5, 5, 1)}
    model(x)
    maps = explain.feature_maps(model, x, ["conv", "both"])
    assert list(maps) == ["conv", "both", "both (output 2)"]
    np.testing.assert_allclose(maps["conv"], model.conv(x["a"] + x["b"]), atol=1e-6)
    np.testing.assert_array_equal(maps["both (output 2)"], -maps["conv"])
