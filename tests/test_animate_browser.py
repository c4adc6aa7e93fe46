"""The page in a real browser: its controls are clicked, its keys pressed, its width and colours measured."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from browser import CHROMIUM, Tab, drive
from striate import explain, layers
from striate.explain.animation.player import document
from striate.explain.animation.themes import DARK, LIGHT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

_SHOWN = "[...document.querySelectorAll('.striate-player')].map(p => +p.dataset.frame)"
_OUTPUT = "[...document.querySelectorAll('[data-plane=y0] .cell')].slice(0, 9).map(c => c.textContent)"


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[n : n + 2], 16)) for n in (1, 3, 5))})"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three on one page; the last one starts by itself."""
    layer = layers.Conv2D(1, 3, strides=2, use_bias=False)
    layer.build((None, 7, 7, 1))
    layer.set_weights([np.arange(9, dtype="float32").reshape(3, 3, 1, 1)])
    x = np.arange(49.0).reshape(7, 7) % 5
    back = layers.Conv2DTranspose(1, 3, strides=2, use_bias=False)
    made = [explain.animate(layer, x), explain.animate(back, x[:2, :2]), explain.animate(layer, x, autoplay=True)]
    path = tmp_path_factory.mktemp("page") / "a.html"
    path.write_text(document("".join(m._repr_html_() for m in made), "three", None))
    return path


def expected() -> list[str]:
    x, k = np.arange(49.0).reshape(7, 7) % 5, np.arange(9.0).reshape(3, 3)
    return [str(int((x[r : r + 3, c : c + 3] * k).sum())) for r in (0, 2, 4) for c in (0, 2, 4)]


def test_the_controls(page: Path) -> None:
    async def steps(tab: Tab) -> None:
        await tab.open(page, prefers_reduced_motion="reduce")
        assert await tab.value(_SHOWN) == [0, 0, 0], "less motion: the third does not start by itself"
        await tab.click("[aria-label='Step forward']")
        await tab.click("[aria-label='Step forward']")
        assert await tab.value(_SHOWN) == [2, 0, 0], "the others on the page stay"
        assert await tab.value(_OUTPUT) == expected()[:3] + [""] * 6
        await tab.click("[aria-label='Step back']")
        assert await tab.value(_OUTPUT) == expected()[:2] + [""] * 7
        assert await tab.value("document.querySelector('output').textContent") == "2 / 9"
        await tab.click("[aria-label='Play']")
        assert await tab.value("document.querySelectorAll('[aria-label=Pause]').length") == 1
        await asyncio.sleep(1.2)
        await tab.click("[aria-label='Pause']")
        at = (await tab.value(_SHOWN))[0]
        await asyncio.sleep(0.9)
        assert (await tab.value(_SHOWN))[0] == at >= 2, "it went on, and rests when paused"
        slide = "(() => {const s = document.querySelector('input'); s.value = 8;"
        await tab.value(slide + "s.dispatchEvent(new Event('input', {bubbles: true}))})()")
        assert await tab.value(_OUTPUT) == expected()
        await tab.click("input", 0)
        assert await tab.value(_SHOWN) == [4, 0, 0], "a click in the middle of the slider"
        assert tab.errors == []

    drive(steps)


def test_the_keyboard_and_autoplay(page: Path) -> None:
    async def steps(tab: Tab) -> None:
        await tab.open(page, prefers_reduced_motion="no-preference")
        await asyncio.sleep(1.2)
        assert (await tab.value(_SHOWN))[2] >= 1, "starts by itself"
        for _ in range(3):
            await tab.key("Tab", 9)
        assert await tab.value("document.activeElement.getAttribute('aria-label')") == "Step forward"
        await tab.key("ArrowRight", 39)
        assert (await tab.value(_SHOWN))[0] == 1
        await tab.key("End", 35)
        assert (await tab.value(_SHOWN))[0] == 8
        await tab.key("ArrowLeft", 37)
        assert (await tab.value(_SHOWN))[0] == 7
        await tab.key("Home", 36)
        assert (await tab.value(_SHOWN))[0] == 0
        await tab.key("Tab", 9)
        await tab.key("ArrowRight", 39)
        assert (await tab.value(_SHOWN))[0] == 1, "on the slider: once, not twice"
        assert tab.errors == []

    drive(steps)


def test_it_fits_a_phone_and_follows_the_theme(page: Path) -> None:
    async def steps(tab: Tab) -> None:
        for width in (320, 390, 1200):
            await tab.open(page, width)
            assert await tab.value("document.documentElement.scrollWidth") <= width
        for scheme, colours in (("light", LIGHT), ("dark", DARK)):
            await tab.open(page, prefers_color_scheme=scheme)
            style = "getComputedStyle(document.querySelector('.striate-player{}')).{}"
            assert await tab.value(style.format("", "backgroundColor")) == rgb(colours["paper"])
            assert await tab.value(style.format(" .window", "stroke")) == rgb(colours["mark"])
            assert await tab.value(style.format(" .value>text", "fill")) == rgb(colours["ink"])

    drive(steps)
