"""`striate run FILE.py`: the script as Python would run it, with striate in the place of Keras."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from striate.alias import install_as_keras

from .user import UserError, interruptible

_OURS = (os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.dirname(__file__)), "_alias"))


def run_script(path: Path, args: Sequence[str]) -> None:
    """Runs the script `path` as `__main__`; ends the process as Python would after it.

    Args:
        path: a Python source file.
        args: what the script finds in `sys.argv[1:]`.

    Raises:
        SystemExit: the script's own, or with code 1 after an exception of the script, or 130 after Ctrl-C.
        UserError: `path` is not Python source.
    """
    code = _compile(path)
    install_as_keras()
    sys.argv = [str(path), *args]
    sys.path.insert(0, str(path.resolve().parent))
    main = _main_module(path)
    try:
        with interruptible():
            exec(code, vars(main))
    except Exception as error:
        sys.excepthook(type(error), error.with_traceback(_theirs(error)), error.__traceback__)
        raise SystemExit(1) from None


def _compile(path: Path) -> CodeType:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"run: '{path}' can't be read: {error.strerror}.") from None
    try:
        return compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        sys.excepthook(type(error), error.with_traceback(None), None)
        raise SystemExit(1) from None
    except ValueError as error:  # null bytes: not source at all
        raise UserError(f"run: '{path}' is not Python source ({error}). Give a .py or .ipynb file.") from None


def _main_module(path: Path) -> ModuleType:
    main = ModuleType("__main__")
    main.__file__ = str(path)
    vars(main)["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def _theirs(error: BaseException) -> TracebackType | None:
    """The traceback without the frames of this command, of the import hook, and of the import system between them."""
    kept: list[TracebackType] = []
    step = error.__traceback__
    while step is not None:
        if not _is_ours(step.tb_frame.f_code.co_filename, isinstance(error, ImportError)):
            kept.append(step)
        step = step.tb_next
    rest: TracebackType | None = None
    for step in reversed(kept):
        rest = TracebackType(rest, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return rest


def _is_ours(filename: str, importing: bool) -> bool:
    return filename.startswith(_OURS) or (importing and filename.startswith("<frozen importlib"))
