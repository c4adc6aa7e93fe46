"""`striate explain`: the derivation of a layer's or a model's sizes, in colour."""

from __future__ import annotations

import json
import sys
from typing import Any

from striate.explain import arithmetic

from .target import shape_of, target
from .user import UserError, interruptible


def run_explain(text: str, size: str | None, as_json: bool) -> None:
    """Prints where the sizes come from.

    Raises:
        UserError: what `text` names is not there, or the input does not fit it.
    """
    with interruptible():
        shape = None if size is None else shape_of(size, "explain")
        subject = target(text, "explain", shape is not None)
        try:
            found = arithmetic(subject, shape)
        except (ValueError, TypeError) as error:
            hint = "" if shape is not None else " Give one with --input, such as --input 28x28x1."
            raise UserError(f"explain: {' '.join(str(error).split())}{hint}") from None
        show(found, as_json)


def show(found: Any, as_json: bool) -> None:
    """As JSON, or in a terminal's colours (80 columns of plain text where the output goes elsewhere)."""
    if as_json:
        print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without these signs shows a question mark
    console = Console(highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        console.print(found)
    else:
        print(found)
