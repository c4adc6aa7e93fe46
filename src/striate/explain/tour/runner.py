"""Runs the tour's cells as a notebook would: what is printed, drawn and returned is kept beside the source."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..figures import png
from .parts import Code

_GREY = "#7b7f87"  # readable on a light and on a dark page
_STYLE: Any = {
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "legend.facecolor": "none",
    "legend.edgecolor": _GREY,
    "legend.fontsize": 13,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _GREY),
    **dict.fromkeys(("axes.labelsize", "xtick.labelsize", "ytick.labelsize"), 13),
    "axes.titlesize": 20,
    "savefig.dpi": 72,
}


_WIDTH = 88  # characters that a line of the page holds


@dataclass(frozen=True)
class Outcome:
    """What came of a cell: `printed` text, `shown` HTML of its last expression, `figures` as PNG files."""

    code: Code
    printed: str = ""
    shown: str = ""
    figures: tuple[bytes, ...] = field(default=())


class Runner:
    """Cells that share one namespace."""

    def __init__(self) -> None:
        import matplotlib

        matplotlib.use("Agg")
        matplotlib.rcParams.update(_STYLE)
        self.namespace: dict[str, Any] = {"__name__": "__tour__"}

    def run(self, code: Code, name: str) -> Outcome:
        """Runs one cell; an exception of its code passes through."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(), _columns(_WIDTH):
            warnings.filterwarnings("ignore", message=".*non-interactive.*")
            value = self._execute(code.source, f"<tour: {name}>")
        text = printed.getvalue()
        html, figures = _html(value), _figures(value)
        if value is not None and not html and not _is_free(value):
            text += f"{value!r}\n"
        return Outcome(code, text, html, tuple(figures))

    def _execute(self, source: str, name: str) -> Any:
        """The value of the last expression, None where the cell ends with a statement."""
        tree = ast.parse(source, name)
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr):
            tree.body.pop()
        exec(compile(tree, name, "exec"), self.namespace)
        if not isinstance(last, ast.Expr):
            return None
        return eval(compile(ast.Expression(last.value), name, "eval"), self.namespace)


@contextlib.contextmanager
def _columns(width: int) -> Iterator[None]:
    """The width that tables are printed for, whatever the terminal's is."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


def _html(value: Any) -> str:
    represent = getattr(value, "_repr_html_", None)
    return represent() or "" if callable(represent) else ""


def _is_free(value: Any) -> bool:
    """Whether it is a matplotlib figure that pyplot does not know."""
    return hasattr(value, "savefig") and not hasattr(value, "number")


def _figures(value: Any = None) -> list[bytes]:
    """The open figures as PNG files, which are closed; and `value`, if it is one that stands by itself."""
    import matplotlib.pyplot as plt

    found = [png(value)] if _is_free(value) else []
    for number in plt.get_fignums():
        buffer = io.BytesIO()
        plt.figure(number).savefig(buffer, format="png", bbox_inches="tight", transparent=True)
        found.append(buffer.getvalue())
    plt.close("all")
    return found
