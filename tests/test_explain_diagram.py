"""Diagrams and volumes: what their SVG says is what the model has, and boxes don't lie on each other."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate as keras
from striate import explain, layers
from striate.explain.diagram import Drawn, boxes_in
from striate.explain.layered import arrange

NS = "{http://www.w3.org/2000/svg}"


def branched() -> Any:
    a, b = keras.Input((8, 8, 3), name="photo"), keras.Input((5,), name="facts")
    start = keras.Input((8, 8, 4))
    inner = keras.Model(start, layers.Add(name="sum")([start, layers.Conv2D(4, 3, padding="same", name="in")(start)]),
                        name="inner")  # fmt: skip
    shared = layers.Conv2D(4, 1, name="shared")
    h = inner(layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(a))
    h = layers.Concatenate(name="both")([shared(h), shared(inner(h))])
    y = layers.Dense(2, name="out")(layers.Concatenate()([layers.Flatten()(h), b]))
    return keras.Model([a, b], y, name="branched")


def texts(svg: str) -> list[str]:
    return ["".join(t.itertext()) for t in ET.fromstring(svg).iter(f"{NS}text")]


def test_the_labels_are_the_model_s() -> None:
    model = branched()
    found = texts(explain.model_diagram(model, show_dtype=True, show_trainable=True).svg)
    for layer in model.layers:
        assert any(t == f"{type(layer).__name__}{layer.name}" for t in found), layer.name
    assert "(None, 8, 8, 3) → (None, 8, 8, 4)" in found
    assert "2 of (None, 8, 8, 4) → (None, 8, 8, 8)" in found
    assert "activation: relu" in found
    assert "dtype: float32" in found
    assert "Conv2Dshared (call 2)" in found
    assert found.count("Conv2Din") == 2  # the nested model is called twice


def test_arrows_lead_from_what_is_made_to_what_takes_it() -> None:
    model = branched()
    drawn = explain.model_diagram(model, expand_nested=False).drawn
    ends = set()
    for points in drawn.arrows:
        (x0, y0), (x1, y1) = points[0], points[-1]
        source = next(b for b in drawn.boxes if b.y + b.height == pytest.approx(y0) and b.x < x0 < b.x + b.width)
        target = next(b for b in drawn.boxes if b.y == pytest.approx(y1) and b.x < x1 < b.x + b.width)
        ends.add((source.name, target.name))
    wanted = {
        ("photo", "stem"), ("stem", "inner"), ("inner", "inner (call 2)"), ("inner", "shared"),
        ("inner (call 2)", "shared (call 2)"), ("shared", "both"), ("shared (call 2)", "both"),
    }  # fmt: skip
    assert wanted <= ends
    assert len(ends) == sum(len(n.input_tensors) for n in model._nodes)


@pytest.mark.parametrize("rankdir", ["TB", "LR", "BT", "RL"])
@pytest.mark.parametrize("nested", [True, False])
def test_boxes_do_not_overlap_and_stay_inside(rankdir: str, nested: bool) -> None:
    def check(drawn: Drawn) -> None:
        for box in drawn.boxes:
            assert box.x >= -0.01 and box.x + box.width <= drawn.width + 0.01
            assert box.y >= -0.01 and box.y + box.height <= drawn.height + 0.01
            if box.inside is not None:
                assert box.inside.width < box.width and box.inside.height < box.height
                check(box.inside)
        for a, b in itertools.combinations(drawn.boxes, 2):
            beside = a.x + a.width <= b.x or b.x + b.width <= a.x
            assert beside or a.y + a.height <= b.y or b.y + b.height <= a.y

    drawn = explain.model_diagram(branched(), rankdir=rankdir, expand_nested=nested).drawn
    check(drawn)
    assert len(list(boxes_in(drawn))) == (17 if nested else 11)
    first, last = (next(b for b in drawn.boxes if b.name == n) for n in ("photo", "out"))
    along = (last.y - first.y, last.x - first.x)[rankdir in ("LR", "RL")]
    assert (along > 0) == (rankdir in ("TB", "LR"))


def test_files(tmp_path: Path) -> None:
    model = branched()
    for name in ("m.svg", "m.png", "m.pdf"):
        explain.model_diagram(model, tmp_path / name, dpi=80)
        assert (tmp_path / name).stat().st_size > 1000
    assert "Conv2Dstem" in texts((tmp_path / "m.svg").read_text())
    with Image.open(tmp_path / "m.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    with pytest.raises(ValueError, match=r"ends with \.svg"):
        explain.model_diagram(model, tmp_path / "m.docx")
    with pytest.raises(ValueError, match="rankdir"):
        explain.model_diagram(model, rankdir="up")


def test_plot_model_as_keras_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keras.utils.plot_model(branched(), dpi=60)
    with Image.open("model.png") as picture:
        assert picture.size[1] > 100
    with pytest.raises(ValueError, match="Unrecognized keyword"):
        keras.utils.plot_model(branched(), colour=True)


@pytest.mark.parametrize("nested", [True, False])
def test_graphviz_s_language(nested: bool, tmp_path: Path) -> None:
    model = branched()
    dot = keras.utils.model_to_dot(model, show_shapes=True, expand_nested=nested)
    text = dot.to_string()
    made = re.findall(r"^ *(n[\d_]+) \[label=", text, re.M)
    links = re.findall(r"(n[\d_]+) -> (n[\d_]+);", text)
    assert len(made) == len(set(made)) == (15 if nested else 11)
    assert {name for link in links for name in link} == set(made)
    assert len(links) == sum(len(n.input_tensors) for n in model._nodes) + (6 if nested else 0)
    assert text.count("{") == text.count("}") == (3 if nested else 1)
    assert "Conv2D stem\\n(None, 8, 8, 3) → (None, 8, 8, 4)" in text
    dot.write(tmp_path / "m.dot")
    assert (tmp_path / "m.dot").read_text() == text


def test_models_without_a_graph() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.Dense(2, name="first"), layers.Dense(3, name="second")

        def call(self, x: Any) -> Any:
            return self.second(self.first(x))

    model = Own()
    with pytest.raises(ValueError, match="not built"):
        explain.model_diagram(model)
    model(np.ones((1, 4)))
    diagram = explain.model_diagram(model)
    assert texts(diagram.svg) == ["Densefirst", "Densesecond"]
    assert diagram.drawn.arrows == []


def test_names_are_escaped() -> None:
    model = keras.Sequential([layers.Input((3,)), layers.Dense(1, name="<b>&")])
    assert "Dense<b>&" in texts(explain.model_diagram(model).svg)
    assert "<b>&" in texts(explain.to_svg(model).svg)


def test_layout_keeps_chains_straight_and_ranks_in_order() -> None:
    sizes = [(50, 20), (90, 20), (40, 20), (60, 20), (30, 20)]
    found = arrange(sizes, [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4)])
    xs, ys = zip(*found.centres, strict=True)
    assert max(xs[n] for n in (1, 2, 3, 4)) - min(xs[n] for n in (1, 2, 3, 4)) < 1e-6
    assert list(ys) == sorted(ys)
    assert len(found.bends[3]) == 4  # past two ranks


class TestVolumes:
    def lenet(self) -> Any:
        return keras.Sequential(
            [
                layers.Input((28, 28, 1)),
                layers.Conv2D(6, 5, padding="same", name="c1"),
                layers.AveragePooling2D(name="s2"),
                layers.Conv2D(16, 5, name="c3"),
                layers.ReLU(name="r"),
                layers.Flatten(name="flat"),
                layers.Dense(10, name="out"),
            ],
            name="lenet",
        )

    def test_the_numbers_are_the_output_shapes(self) -> None:
        model = self.lenet()
        svg = explain.to_svg(model).svg
        shown = [t for t in texts(svg) if re.fullmatch(r"[\d×]+", t)]
        kept = [layer for layer in model.layers if layer.name != "r"]
        wanted = ["28×28×1", *("×".join(str(n) for n in layer.output.shape[1:]) for layer in kept)]
        assert shown == wanted
        assert {"c1", "s2", "c3", "flat", "out"} <= set(texts(svg))
        assert "r" not in texts(svg)

    def test_sizes_of_the_boxes_follow_the_maps(self) -> None:
        """Heights as roots of the sizes, lengths as logarithms of the channels."""
        root = ET.fromstring(explain.to_svg(self.lenet()).svg)
        fronts = []
        for group in root.iter(f"{NS}g"):
            faces = group.findall(f"{NS}path")
            if group.find(f"{NS}title") is not None:
                numbers = [float(n) for n in re.findall(r"-?[\d.]+", faces[0].attrib["d"])]
                xs, ys = numbers[::2], numbers[1::2]
                fronts.append((max(xs) - min(xs), max(ys) - min(ys)))
        high = [h - 5 for _, h in fronts[:4]]
        for h, n in zip(high, (28, 28, 14, 10), strict=True):
            assert h / high[0] == pytest.approx(math.sqrt(n / 28), abs=0.01)
        assert fronts[3][0] - fronts[1][0] == pytest.approx(5.2 * math.log2(17 / 7), abs=0.15)

    def test_arcs_go_to_merges_from_further_back(self) -> None:
        x = keras.Input((8, 8, 4))
        h = layers.Conv2D(4, 3, padding="same")(x)
        h = layers.Conv2D(4, 3, padding="same")(h)
        model = keras.Model(x, layers.Add(name="sum")([h, x]))
        drawn = explain.to_svg(model)
        assert drawn.volumes[-1].sources == (2, 0)
        arcs = [p for p in ET.fromstring(drawn.svg).iter(f"{NS}path") if p.attrib.get("stroke") == "#d55e00"
                and "C" in p.attrib["d"]]  # fmt: skip
        assert len(arcs) == 1

    def test_open_sizes_files_and_chosen_layers(self, tmp_path: Path) -> None:
        model = keras.Sequential([layers.Input((None, None, 3)), layers.Conv2D(2, 3, name="a"), layers.Conv2D(4, 3)])
        with pytest.raises(ValueError, match="Give `input_shape`"):
            explain.to_svg(model)
        drawn = explain.to_svg(model, tmp_path / "v.svg", input_shape=(1, 16, 20, 3), layers="a")
        assert [(v.name, v.places, v.channels) for v in drawn.volumes[1:]] == [("a", (14, 18), 2)]
        assert "14×18×2" in texts((tmp_path / "v.svg").read_text())
