"""Colours, light and dark. Those of cells come from the palette of Okabe and Ito (2008), which stays apart for every
kind of colour vision; signs, dashes and outlines say the same without colour."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from striate.core.errors import message

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#ffffff", "ink": "#1b1f24", "soft": "#59616b", "line": "#b3b9c1", "value": "#56b4e9",
        "negative": "#e69f00", "kernel": "#009e73", "pad": "#ffffff", "gap": "#f0f1f3", "empty": "#ffffff",
        "pixel": "#808080", "mark": "#d55e00",
    }
)  # fmt: skip
DARK: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#15181c", "ink": "#f1f3f6", "soft": "#a6adb7", "line": "#555d68", "value": "#3a8fc4",
        "negative": "#b57d00", "kernel": "#0a8c68", "pad": "#15181c", "gap": "#24282e", "empty": "#15181c",
        "pixel": "#808080", "mark": "#ff7f33",
    }
)  # fmt: skip
THEMES = {"light": LIGHT, "dark": DARK}
FADED = frozenset({"pad", "gap"})  # cells that are not the input's own
KINDS = ("value", "negative", "kernel", "pad", "gap", "empty", "pixel")


def colours(theme: str) -> Mapping[str, str]:
    """The colours of a theme; ValueError for another name."""
    if theme not in THEMES:
        raise ValueError(message("animate", f"there is no theme {theme!r}", "Use 'light' or 'dark'"))
    return THEMES[theme]


def _rules(c: Mapping[str, str], scope: str) -> str:
    kinds = "".join(f"{scope} .{kind}>rect{{fill:{c[kind]}}}" for kind in KINDS if kind != "pixel")
    return (
        f"{scope}{{background:{c['paper']};color:{c['ink']}}}{scope} .paper{{fill:{c['paper']}}}"
        f"{scope} text{{fill:{c['ink']}}}{scope} .soft,{scope} .pad>text,{scope} .gap>text{{fill:{c['soft']}}}"
        f"{scope} .cell>rect{{stroke:{c['line']}}}{kinds}{scope} .window{{stroke:{c['mark']}}}"
        f"{scope} .sparse .on>rect{{stroke:{c['mark']};stroke-width:2}}{scope} .small.pixel>rect{{stroke:none}}"
    )


def style(scope: str, theme: str | None = None) -> str:
    """The rules for the cells under the selector `scope`; without a theme those of the reader's preference."""
    shapes = (
        f"{scope} text{{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
        f"text-anchor:middle;dominant-baseline:central;font-variant-numeric:tabular-nums}}"
        f"{scope} .pad>rect,{scope} .gap>rect{{stroke-dasharray:3 3}}{scope} .on>text{{font-weight:700}}"
        f"{scope} .window{{fill:none;stroke-width:3}}{scope} .start{{text-anchor:start}}"
    )
    if theme is not None:
        return shapes + _rules(colours(theme), scope)
    return f"{shapes}{_rules(LIGHT, scope)}@media (prefers-color-scheme:dark){{{_rules(DARK, scope)}}}"
