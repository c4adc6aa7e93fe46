"""`striate summary`: the table of a model's layers."""

from __future__ import annotations

import json
import sys

from striate.models.summary import summary_data

from .target import target
from .user import UserError, interruptible


def run_summary(text: str, as_json: bool, receptive_field: bool) -> None:
    """Prints the summary of a model.

    Raises:
        UserError: there is no such file or network, or it is no model file.
    """
    with interruptible():
        if "(" in text:
            raise UserError(f"summary: '{text[:60]}' is a layer. Use: striate explain \"{text[:60]}\" --input ...")
        model = target(text, "summary")
        if as_json:
            print(json.dumps(summary_data(model, receptive_field), indent=2, ensure_ascii=False))
            return
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        model.summary(show_receptive_field=receptive_field)
