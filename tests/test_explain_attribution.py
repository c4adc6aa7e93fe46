"""Attribution against real Keras on JAX, NumPy computations and finite differences, and its sanity checks."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import striate as keras
from striate import explain, layers, ops
from striate.explain import progress
from striate.explain.attribution.cam import stretch

RNG = np.random.default_rng(0)
METHODS = ["saliency", "grad_cam", "grad_cam_plus_plus", "integrated_gradients", "occlusion", "guided", "deconvolution"]
SHAPE = (11, 9, 2)

WRITE = """
import sys, numpy as np, jax, jax.numpy as jnp, keras
from keras import layers
keras.utils.set_random_seed(4)
x = keras.Input((11, 9, 2))
h = layers.Conv2D(6, 3, padding="same", name="c1")(x)
h = layers.BatchNormalization()(h)
h = layers.Activation("relu", name="act")(h)
h = layers.MaxPooling2D(2)(h)
h = layers.Add()([h, layers.Conv2D(6, 3, padding="same", activation="tanh")(h)])
h = layers.Conv2D(5, 2, activation="relu", name="last")(h)
h = layers.AveragePooling2D(2)(h)
z = layers.Dense(4, name="logits")(layers.Flatten()(h))
logits = keras.Model(x, z)
model = keras.Model(x, layers.Activation("softmax")(z))
image = np.random.default_rng(5).normal(size=(2, 11, 9, 2)).astype("float32")
classes = np.array([2, 0])
grad = jax.grad(lambda v: logits(v)[jnp.arange(2), classes].sum())
front = keras.Model(x, model.get_layer("last").output)
back = keras.Model(model.get_layer("last").output, z)
a = front(image)
g = jax.grad(lambda v: back(v)[jnp.arange(2), classes].sum())(a)
np.savez(sys.argv[2], image=image, classes=classes, gradient=grad(image), a=a, g=g, logits=logits(image),
         soft=jax.grad(lambda v: model(v)[jnp.arange(2), classes].sum())(image))
model.save(sys.argv[1])
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A model with branches that a real Keras wrote, and its gradients by JAX."""
    folder = tmp_path_factory.mktemp("foreign")
    files = [str(folder / "model.keras"), str(folder / "truth.npz")]
    done = subprocess.run([sys.executable, "-c", WRITE, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return keras.models.load_model(files[0]), np.load(files[1])


def network(closing: str | None = "softmax") -> Any:
    keras.utils.set_random_seed(6)
    return keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.Conv2D(6, 3, activation="relu", padding="same", name="c1"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(5, 3, name="c2"),
            layers.ReLU(name="relu"),
            layers.GlobalAveragePooling2D(name="mean"),
            layers.Dense(4, activation=closing, name="out"),
        ]
    )


def image(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape or SHAPE).astype("float32")


def test_saliency_is_jax_s_gradient(foreign: tuple[Any, Any]) -> None:
    model, truth = foreign
    found = explain.saliency(model, truth["image"], list(truth["classes"]))
    np.testing.assert_allclose(found.values, truth["gradient"], atol=1e-5)
    np.testing.assert_allclose(found.map, np.abs(truth["gradient"]).max(-1), atol=1e-5)
    np.testing.assert_allclose(found.scores, truth["logits"][[0, 1], truth["classes"]], atol=1e-5)
    after = explain.saliency(model, truth["image"], list(truth["classes"]), before_softmax=False)
    np.testing.assert_allclose(after.values, truth["soft"], atol=1e-5)


def test_grad_cam_by_its_formula(foreign: tuple[Any, Any]) -> None:
    model, truth = foreign
    found = explain.grad_cam(model, truth["image"], list(truth["classes"]))
    assert found.more["layer"] == "last"
    assert "'last' (4×3×5)" in found.why
    a, g = truth["a"].astype(float), truth["g"].astype(float)
    cam = np.zeros(a.shape[:3])
    for b, k in np.ndindex(2, 5):
        cam[b] += g[b, :, :, k].sum() / (4 * 3) * a[b, :, :, k]
    np.testing.assert_allclose(found.more["cam"], np.maximum(cam, 0), atol=1e-5)
    signed = explain.grad_cam(model, truth["image"], list(truth["classes"]), layer="last", relu=False)
    np.testing.assert_allclose(signed.more["cam"], cam, atol=1e-5)
    assert found.map.shape == (2, 11, 9)


def test_grad_cam_plus_plus_by_its_formula(foreign: tuple[Any, Any]) -> None:
    model, truth = foreign
    found = explain.grad_cam_plus_plus(model, truth["image"], list(truth["classes"]))
    a, g = truth["a"].astype(float), truth["g"].astype(float)
    for b, k in np.ndindex(2, 5):
        weight = 0.0
        for i, j in np.ndindex(4, 3):
            d = g[b, i, j, k]
            below = 2 * d**2 + a[b, :, :, k].sum() * d**3
            weight += (d**2 / below if below else 0) * max(d, 0)
        assert found.more["weights"][b, k] == pytest.approx(weight, rel=2e-3, abs=1e-5)


def test_grad_cam_on_a_nested_model_and_on_the_layer_asked_for() -> None:
    inner = keras.Sequential(
        [layers.Input(SHAPE), layers.Conv2D(3, 3, name="deep"), layers.ReLU(name="end")], name="in"
    )
    model = keras.Sequential([layers.Input(SHAPE), inner, layers.GlobalAveragePooling2D(), layers.Dense(2)])
    found = explain.grad_cam(model, image(), 1)
    assert found.more["layer"] == "in/end"
    assert explain.grad_cam(model, image(), 1, layer="in/deep").more["cam"].shape == (1, 9, 7)
    with pytest.raises(ValueError, match="has no places"):
        explain.grad_cam(model, image(), 1, layer=-1)
    dense = keras.Sequential([layers.Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="more than one place"):
        explain.grad_cam(dense, image(1, 4), 1)


def test_stretching() -> None:
    rows = np.arange(4.0).reshape(1, 4, 1)
    wanted = np.interp((np.arange(8) + 0.5) / 2 - 0.5, np.arange(4), np.arange(4))
    np.testing.assert_allclose(stretch(rows, (8, 3)), np.repeat(wanted[None, :, None], 3, 2))
    np.testing.assert_allclose(stretch(np.ones((1, 1, 5)), (4, 5)), 1)


class TestIntegratedGradients:
    def test_the_sum_is_the_difference(self) -> None:
        model, x = network(), image(3, *SHAPE)
        found = explain.integrated_gradients(model, x, 1, baseline=0.2, steps=200)
        logits = keras.Model(model.inputs, model.get_layer("mean").output)
        kernel, bias = model.get_layer("out").get_weights()

        def score(v: np.ndarray) -> np.ndarray:
            return (logits(v) @ kernel + bias)[:, 1]

        difference = score(x) - score(np.full_like(x, 0.2))
        np.testing.assert_allclose(found.values.sum((1, 2, 3)), difference, rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(found.more["difference"], difference, atol=1e-5)
        assert found.more["gap"].max() < 2e-3 * max(1, np.abs(difference).max())

    def test_a_polynomial_exactly(self) -> None:
        """Of x1 x2 + x1^3 from 0: x1 x2 / 2 + x1^3 and x1 x2 / 2, whatever the batches."""
        x = np.array([[[[2.0, 3.0]]], [[[-1.0, 4.0]]]], "float32")
        model = layers.Identity()
        found = explain.integrated_gradients(
            model, x, lambda y: ops.sum(y[..., 0] * y[..., 1] + y[..., 0] ** 3, (1, 2)), steps=5, batch_size=3
        )
        np.testing.assert_allclose(found.values[:, 0, 0], [[3 + 8, 3], [-2 - 1, -2]], rtol=1e-5)

    def test_steps_matter_and_wrong_baselines(self) -> None:
        """From another image: on the way from 0 a network without biases has one gradient, whatever the steps."""
        model, x, other = network(), image(), image()
        few, many = (explain.integrated_gradients(model, x, 1, other, steps=n).more["gap"][0] for n in (1, 128))
        assert many < few / 4
        with pytest.raises(ValueError, match="does not fit"):
            explain.integrated_gradients(model, x, baseline=np.zeros((3, 3)))
        with pytest.raises(ValueError, match="at least 1"):
            explain.integrated_gradients(model, x, steps=0)


def test_occlusion_is_a_plain_loop() -> None:
    model, x = network(None), image(2, *SHAPE)
    found = explain.occlusion(model, x, [3, 1], size=(4, 3), strides=(3, 2), baseline=0.5, batch_size=5)
    rows, columns = [0, 3, 6, 7], [0, 2, 4, 6]
    assert found.more["places"] == [rows, columns]
    whole = model(x)
    total, count = np.zeros((2, 11, 9)), np.zeros((11, 9))
    for r in rows:
        for c in columns:
            covered = x.copy()
            covered[:, r : r + 4, c : c + 3] = 0.5
            y = model(covered)
            drop = np.array([whole[0, 3] - y[0, 3], whole[1, 1] - y[1, 1]])
            total[:, r : r + 4, c : c + 3] += drop[:, None, None]
            count[r : r + 4, c : c + 3] += 1
    np.testing.assert_allclose(found.map, total / count, atol=1e-5)
    with pytest.raises(ValueError, match="larger than the image"):
        explain.occlusion(model, x, size=12)


class TestRectifiers:
    """A net of two dense layers, written out; once with activations as arguments, once as layers, once as functions."""

    W1, W2 = RNG.normal(size=(6, 8)).astype("float32"), RNG.normal(size=(8, 5)).astype("float32")
    X = RNG.normal(size=(3, 6)).astype("float32")

    def net(self, how: str) -> Any:
        x = keras.Input((6,))
        given = "relu" if how == "argument" else None
        first, second = layers.Dense(8, given, use_bias=False), layers.Dense(5, given, use_bias=False)

        def rectified(h: Any) -> Any:
            return {"argument": lambda v: v, "layer": layers.ReLU(), "function": ops.relu}[how](h)

        model = keras.Model(x, ops.sum(rectified(second(rectified(first(x)))), -1))
        model.set_weights([self.W1, self.W2])
        return model

    @pytest.mark.parametrize("how", ["argument", "layer", "function"])
    @pytest.mark.parametrize("method", ["guided", "deconvolution", "saliency"])
    def test_by_hand(self, how: str, method: str) -> None:
        a, x = self.X @ self.W1, self.X
        b = np.maximum(a, 0) @ self.W2
        r = np.ones_like(b)
        for pre, weight in ((b, self.W2), (a, self.W1)):
            forward, backward = pre > 0, r > 0
            mask = {"guided": forward & backward, "deconvolution": backward, "saliency": forward}[method]
            r = (r * mask) @ weight.T
        found = getattr(explain, method)(self.net(how), x)
        np.testing.assert_allclose(found.values, r, atol=1e-5)

    def test_a_model_without_rectifiers(self) -> None:
        model = keras.Sequential([layers.Input((8, 8, 1)), layers.Conv2D(2, 3, activation="tanh"), layers.Flatten()])
        with pytest.raises(ValueError, match="no rectifier"):
            explain.guided(model, image(8, 8, 1), 0)

    def test_a_leaky_one_keeps_its_slope(self) -> None:
        model = keras.Sequential([layers.Input((4,)), layers.LeakyReLU(negative_slope=0.5)])
        found = explain.guided(
            model, np.array([[1.0, -1.0, 2.0, -2.0]], "float32"), lambda y: y @ np.float32([1, 1, -1, -1])
        )
        np.testing.assert_allclose(found.values, [[1, 0.5, 0, 0]])


@pytest.mark.parametrize("method", METHODS)
class TestEveryMethod:
    def test_other_weights_give_another_map(self, method: str) -> None:
        """Adebayo et al. 2018: a map that stays the same when the weights are drawn anew explains nothing."""
        model, x = network(), image()
        before = getattr(explain, method)(model, x, 1).map
        again = getattr(explain, method)(model, x, 1).map
        np.testing.assert_array_equal(before, again)
        model.set_weights([RNG.normal(size=w.shape) * 0.5 for w in model.get_weights()])
        after = getattr(explain, method)(model, x, 1).map
        assert np.abs(after - before).max() > 0.05 * max(np.abs(before).max(), np.abs(after).max()) > 0

    def test_a_batch_is_its_images(self, method: str) -> None:
        model, x = network(), image(2, *SHAPE)
        both = getattr(explain, method)(model, x, [0, 3])
        for n, c in enumerate((0, 3)):
            one = getattr(explain, method)(model, x[n], c)
            np.testing.assert_allclose(both.map[n], one.map[0], atol=2e-5)
        assert both.target == ("class 0", "class 3")

    def test_the_likeliest_class_and_functions(self, method: str) -> None:
        model, x = network(), image()
        best = int(np.argmax(model(x[None])))
        found = getattr(explain, method)(model, x)
        assert found.target == (f"class {best}",)

        def other(y: Any) -> Any:
            return ops.log(y[:, best]) - ops.log(y[:, (best + 1) % 4])

        assert getattr(explain, method)(model, x, other).target == ("other",)

    def test_one_of_several_inputs(self, method: str) -> None:
        a, b = keras.Input((6, 6, 1), name="left"), keras.Input((6, 6, 1), name="right")
        h = [layers.Conv2D(3, 3, activation="relu", name=f"of_{t.name}")(t) for t in (a, b)]
        y = layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Add()(h)))
        model, x = keras.Model([a, b], y), [image(6, 6, 1), image(6, 6, 1)]
        left = getattr(explain, method)(model, x, 1, which="left").map
        right = getattr(explain, method)(model, x, 1, which=1).map
        swapped = getattr(explain, method)(model, {"right": x[1], "left": x[0]}, 1, which=0).map
        np.testing.assert_allclose(left, swapped, atol=1e-6)
        assert method.startswith("grad_cam") or not np.allclose(left, right)

    def test_figures(self, method: str) -> None:
        found = getattr(explain, method)(network(), image(), 1)
        for theme in ("light", "dark"):
            figure = found.figure(theme=theme)
            plane = np.asarray(figure.axes[1].images[0].get_array())
            np.testing.assert_array_equal(plane, found.map[0])
        assert found._repr_html_().startswith("<img alt=")

    def test_wrong_targets(self, method: str) -> None:
        with pytest.raises(ValueError, match="classes 0 to 3"):
            getattr(explain, method)(network(), image(), 4)
        with pytest.raises(ValueError, match="one for each of the 1 samples"):
            getattr(explain, method)(network(), image(), [0, 1])


def test_smooth_grad_is_the_mean_over_noise() -> None:
    model, x = network(None), image(1, *SHAPE)
    found = explain.saliency(model, x, 2, samples=4, noise=0.1, seed=3)
    rng, total = np.random.default_rng(3), np.zeros_like(x)
    for _ in range(4):
        noisy = x + rng.normal(size=x.shape).astype("float32") * np.float32(0.1 * (x.max() - x.min()))
        total += explain.saliency(model, noisy, 2).values / 4
    np.testing.assert_allclose(found.values, total, atol=1e-4)


def test_finite_differences_of_a_map_over_places() -> None:
    """A segmentation: the score of a class is its sum over places."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([layers.Input((5, 5, 1)), layers.Conv2D(3, 3, activation="tanh", padding="same")])
    x = image(1, 5, 5, 1)
    found = explain.saliency(model, x, 2)
    step = np.zeros_like(x)
    step[0, 2, 3] = 1e-2
    slope = (model(x + step)[..., 2].sum() - model(x - step)[..., 2].sum()) / 2e-2
    assert found.values[0, 2, 3, 0] == pytest.approx(slope, rel=1e-2)


def test_code_that_branches_on_values_runs_on_a_tape() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x: Any) -> Any:
            y = self.dense(x)
            return y * 3 if ops.sum(y) > -1e9 else y

    model, x = Own(), image(1, 4)
    model(x)
    found = explain.saliency(model, x, 1)
    np.testing.assert_allclose(found.values[0], 3 * np.asarray(model.dense.kernel)[:, 1], rtol=1e-5)


def test_ctrl_c_leaves_the_model_as_it_was() -> None:
    model, x = network(), image()
    before = np.asarray(model(x[None]))

    def interrupted(y: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain.grad_cam(model, x, interrupted)
    assert all("call" not in vars(layer) for layer in model.layers)
    np.testing.assert_array_equal(model(x[None]), before)


def test_a_bar_that_comes_late_and_goes_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    assert list(progress.tracked([1, 2, 3], "counting")) == [1, 2, 3]
    assert capsys.readouterr().err == ""  # no terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress.tracked([1, 2, 3], "counting")) == [1, 2, 3]
    assert "counting" in capsys.readouterr().err


@pytest.mark.parametrize("method", METHODS)
def test_channels_first_is_the_same(method: str) -> None:
    """The same weights in the other layout: the same map."""

    def made(layout: str) -> Any:
        shape = SHAPE if layout == "channels_last" else (SHAPE[-1], *SHAPE[:-1])
        return keras.Sequential(
            [
                layers.Input(shape),
                layers.Conv2D(4, 3, data_format=layout),
                layers.ReLU(),
                layers.GlobalMaxPooling2D(data_format=layout),
                layers.Dense(3),
            ]
        )

    last, first, x = made("channels_last"), made("channels_first"), image()
    first.set_weights(last.get_weights())
    wanted = getattr(explain, method)(last, x, 1)
    found = getattr(explain, method)(first, np.moveaxis(x, -1, 0), 1)
    np.testing.assert_allclose(found.map, wanted.map, atol=1e-5)
    np.testing.assert_array_equal(found.image, wanted.image)


@pytest.mark.parametrize("rank", [1, 3])
def test_figures_of_rows_and_volumes(rank: int) -> None:
    conv = {1: layers.Conv1D, 3: layers.Conv3D}[rank]
    model = keras.Sequential([layers.Input((7,) * rank + (2,)), conv(3, 3, activation="relu"), layers.Flatten()])
    found = explain.saliency(model, image(*(7,) * rank, 2), 0)
    assert found.map.shape == (1, *(7,) * rank)
    drawn = np.asarray(found.figure().axes[1].images[0].get_array())
    np.testing.assert_array_equal(drawn, found.map if rank == 1 else found.map[0, 3])
