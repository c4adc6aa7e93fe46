"""Whether progress bars and summaries are shown on the terminal or go to the log, as `keras.config` has it."""

from __future__ import annotations

import logging
import sys

from striate.core.registry import export

_state = {"interactive": True, "filtered": True}


@export("keras.config.enable_interactive_logging", "keras.utils.enable_interactive_logging")
def enable_interactive_logging() -> None:
    """Shows progress on the standard output (the default)."""
    _state["interactive"] = True


@export("keras.config.disable_interactive_logging", "keras.utils.disable_interactive_logging")
def disable_interactive_logging() -> None:
    """Sends progress to the log instead."""
    _state["interactive"] = False


@export("keras.config.is_interactive_logging_enabled", "keras.utils.is_interactive_logging_enabled")
def is_interactive_logging_enabled() -> bool:
    """Whether progress goes to the standard output."""
    return _state["interactive"]


@export("keras.config.enable_traceback_filtering")
def enable_traceback_filtering() -> None:
    """Remembered for programs that ask; striate's tracebacks are short and always whole."""
    _state["filtered"] = True


@export("keras.config.disable_traceback_filtering")
def disable_traceback_filtering() -> None:
    """The opposite of `enable_traceback_filtering`."""
    _state["filtered"] = False


@export("keras.config.is_traceback_filtering_enabled")
def is_traceback_filtering_enabled() -> bool:
    """What was last asked for."""
    return _state["filtered"]


def show(text: str, end: str = "\n") -> None:
    """Writes `text` where progress goes; characters that the terminal's encoding lacks become question marks."""
    if not _state["interactive"]:
        logging.getLogger("striate").info(text)
        return
    try:
        sys.stdout.write(text + end)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write((text + end).encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
