"""`summary()`: the text is that of the real Keras, character for character."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import striate
from architectures import TABLE, built
from striate.models.summary import readable_size

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "all": {"expand_nested": True, "show_trainable": True},
    "wide": {"line_length": 120},
    "narrow": {"line_length": 60},
    "positions": {"line_length": 100, "positions": [0.4, 0.7, 0.8, 1.0]},
}


def printed(model: Any, **options: Any) -> list[str]:
    """What `print_fn` is called with."""
    lines: list[str] = []
    model.summary(print_fn=lines.append, **options)
    return lines


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", TABLE)
def test_text_equals_that_of_keras(name: str, options: str, real_keras: Any) -> None:
    ours = [printed(m, **OPTIONS[options]) for m in built(name, striate)]
    theirs = [printed(m, **OPTIONS[options]) for m in built(name, real_keras)]
    assert ours == theirs


@pytest.mark.parametrize("columns", [40, 79, 92, 200])
def test_width_follows_the_terminal(columns: int, real_keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert printed(built("branched", striate)[0]) == printed(built("branched", real_keras)[0])


@pytest.mark.parametrize("span", [("c1", "c2"), ("c2", "flat"), ("c.*", "c.*"), ("flat", "c1")])
def test_layer_range(span: tuple[str, str], real_keras: Any) -> None:
    ours = printed(built("intermediate", striate)[0], layer_range=span)
    assert ours == printed(built("intermediate", real_keras)[0], layer_range=span)


@pytest.mark.parametrize("span", [("c1",), ("zzz", "c1"), ("c1", 3)])
def test_a_layer_range_that_matches_nothing(span: Any, real_keras: Any) -> None:
    for keras in (striate, real_keras):
        with pytest.raises(ValueError, match=r"layer_range|layer_names"):
            printed(built("intermediate", keras)[0], layer_range=span)


def test_too_narrow() -> None:
    with pytest.raises(ValueError, match="Insufficient console width"):
        printed(built("chapter", striate)[0], line_length=9)


def test_goes_to_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    model = built("chapter", striate)[0]
    model.summary()
    text = capsys.readouterr().out
    assert text.splitlines()[0] == 'Model: "sequential"'
    assert "Total params: 1,536 (6.00 KB)" in text
    assert re.search(r"conv2d_1 \(Conv2D\) +│ \(None, 13, 12, 16\) +│ +1,168 │", text)
    assert "\x1b" not in text


def test_goes_to_the_log_when_asked(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="striate")
    striate.config.disable_interactive_logging()
    try:
        built("chapter", striate)[0].summary()
    finally:
        striate.config.enable_interactive_logging()
    assert capsys.readouterr().out == ""
    assert "Total params: 1,536 (6.00 KB)" in caplog.text


def test_html_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich shows the table as HTML where there is an IPython kernel; the text goes through the same console."""
    from rich import console

    shown: list[str] = []
    monkeypatch.setattr(console, "_is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda segments, text: shown.append(text))
    built("chapter", striate)[0].summary()
    assert any("Total params" in text for text in shown)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.00 B"),
        (1023, "1023.00 B"),
        (1024, "1.00 KB"),
        (6144, "6.00 KB"),
        (80097536, "76.39 MB"),
        (2**80, "1073741824.00 PB"),
    ],
)
def test_readable_size(size: int, text: str) -> None:
    assert readable_size(size) == text


def test_the_column_of_receptive_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chapter's VGG-19 by hand: 3 and 2 more per convolution, the jump doubled by each pooling."""
    monkeypatch.setenv("COLUMNS", "140")
    model = striate.applications.VGG19(weights=None, include_top=False)
    text = printed(model, show_receptive_field=True)[0]
    size, jump, wanted = 1, 1, []
    for convolutions in (2, 2, 4, 4, 4):
        for _ in range(convolutions):
            size += 2 * jump
            wanted.append(f"{size}x{size}, jump {jump}")
        size, jump = size + jump, 2 * jump
        wanted.append(f"{size}x{size}, jump {jump}")
    shown = re.sub(r"[│┃]", " ", text)
    assert re.findall(r"\d+x\d+, *jump \d+", " ".join(shown.split())) == ["1x1, jump 1", *wanted]


def test_fields_where_python_code_calls_the_layers() -> None:
    class Own(striate.Model):
        def __init__(self, of_values: bool) -> None:
            super().__init__()
            self.inner, self.of_values = striate.layers.Conv2D(1, 3), of_values

        def call(self, x: Any) -> Any:
            if self.of_values and x.shape[0] is None and float(striate.ops.sum(x)) > 0:
                return x
            return self.inner(x)

    known, unknown = Own(False), Own(True)
    for model in (known, unknown):
        model(np.zeros((2, 8, 8, 1), "float32"))
    assert "3x3, jump 1" in printed(known, show_receptive_field=True)[0]
    assert "?" in printed(unknown, show_receptive_field=True)[0]
