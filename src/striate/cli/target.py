"""What the user names on the command line: a layer as an expression, a model file, or a network by its name.

An expression is parsed, never run: one call of a layer of striate's, whose arguments are plain numbers, strings, tuples
and the like.
"""

from __future__ import annotations

import ast
import difflib
import re
from pathlib import Path
from typing import Any

from striate import applications, layers
from striate.core.errors import listed
from striate.layers.layer import Layer
from striate.saving import load_model

from .user import UserError

_LONGEST, _LARGEST = 2000, 1_000_000  # characters of an expression, and numbers in it
_NETWORKS = {name.lower(): name for name in applications.__all__ if name[0].isupper()}
_SUFFIXES = (".keras", ".h5", ".hdf5")


def target(text: str, command: str, sized: bool = False) -> Any:
    """The layer or the model that `text` names.

    Args:
        text: `"Conv2D(16, 3)"`, `"FILE.keras"` or `"vgg19"`.
        command: for errors. sized: whether sizes of an input are given, which a network with its top may refuse.

    Raises:
        UserError: it is none of them.
    """
    if "(" in text:
        return layer_of(text, command)
    if text.lower() in _NETWORKS:
        return getattr(applications, _NETWORKS[text.lower()])(weights=None, include_top=not sized)
    if Path(text).exists() or text.endswith(_SUFFIXES):
        return model_of(text, command)
    hint = f" Write {text}(...) with its arguments." if _layer_class(text) else ""
    known = listed(sorted(_NETWORKS))
    raise UserError(
        f"{command}: '{text}' is no file, no layer such as \"Conv2D(16, 3)\", and no network ({known}).{hint}"
    )


def model_of(text: str, command: str) -> Any:
    """The model in a file."""
    path = Path(text)
    if not path.exists():
        raise UserError(f"{command}: there is no file '{text}'.")
    if path.is_dir() or path.suffix not in _SUFFIXES:
        raise UserError(f"{command}: '{text}' is no model file. Give a {listed(_SUFFIXES)} file.")
    try:
        return load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise UserError(f"{command}: '{text}': {_one_line(error)}") from None


def layer_of(text: str, command: str) -> Layer:
    """The layer that a call such as `Conv2D(16, 3, padding='same')` would make.

    Raises:
        UserError: another kind of expression, an unknown layer, or arguments that it does not take.
    """
    call = _parsed(text, command)
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    made = _layer_class(name)
    if made is None:
        near = difflib.get_close_matches(name, layers.__all__, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"{command}: there is no layer '{name}'.{hint}")
    args = [_literal(a, command) for a in call.args]
    named = {k.arg or "**": _literal(k.value, command) for k in call.keywords}
    try:
        return made(*args, **named)
    except (ValueError, TypeError) as error:
        raise UserError(f"{command}: {_one_line(error)}") from None


def _layer_class(name: str) -> type[Layer] | None:
    found = getattr(layers, name, None) if name in layers.__all__ else None
    return found if isinstance(found, type) and issubclass(found, Layer) else None


def _parsed(text: str, command: str) -> ast.Call:
    wrong = f"{command}: '{text[:60]}' is not one call of a layer, such as \"Conv2D(16, 3, strides=2)\"."
    if len(text) > _LONGEST:
        raise UserError(wrong)
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UserError(wrong) from None
    plain = isinstance(call, ast.Call) and isinstance(call.func, ast.Name | ast.Attribute)
    if not isinstance(call, ast.Call) or not plain or any(isinstance(a, ast.Starred) for a in call.args):
        raise UserError(wrong)
    return call


def _literal(node: ast.expr, command: str) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError, SyntaxError):
        text = ast.unparse(node)
        problem = f"'{text[:60]}' is no plain value: give numbers, strings, tuples, True, False or None"
        raise UserError(f"{command}: {problem}.") from None
    large = [n for n in ast.walk(node) if isinstance(n, ast.Constant) and _is_large(n.value)]
    if large:
        raise UserError(f"{command}: {large[0].value!r} is too large: numbers up to {_LARGEST:,} are taken.")
    return value


def _is_large(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > _LARGEST


def shape_of(text: str, command: str) -> Any:
    """`(7, 6, 1)` from `7x6x1`; `?` stands for a size that is not known; several inputs are parted by commas.

    Raises:
        UserError: it is something else.
    """
    found = [_one_shape(part.strip(), text, command) for part in text.split(",")]
    return found[0] if len(found) == 1 else found


def _one_shape(part: str, text: str, command: str) -> tuple[int | None, ...]:
    if not re.fullmatch(r"(\d{1,7}|\?)([x×*](\d{1,7}|\?))*", part):
        raise UserError(f"{command}: --input: '{text}' is no size. Write it as 7x6x1 (height, width, channels).")
    sizes = tuple(None if n == "?" else int(n) for n in re.split("[x×*]", part))
    if any(n is not None and not 1 <= n <= _LARGEST for n in sizes):
        raise UserError(f"{command}: --input: '{text}': sizes are from 1 to {_LARGEST:,}.")
    return sizes


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


__all__ = ["layer_of", "model_of", "shape_of", "target"]
