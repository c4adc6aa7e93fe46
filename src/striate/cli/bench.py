"""`striate bench MODEL`: what a model costs on this machine, layer by layer."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import striate  # its parts are loaded when they are used: the command starts without them
from striate.core import tree

from .bench_table import show
from .user import UserError, interruptible

if TYPE_CHECKING:
    from striate.explain.profiling import Profile

FILES = (".keras", ".h5", ".hdf5")
_IMAGE = (224, 224, 3)  # what applications without their classifier are measured on, which take any size


@dataclass(frozen=True)
class Options:
    """The command line's.

    Attributes:
        model: the name of one of `striate.applications`, or a file.
        size: an input without its batch axis, such as `224x224x3`; by default the model's own.
        loss: the name of a loss, to measure a step of training; None: inference.
        top: whether an application has its classifier.
    """

    model: str
    batch: int = 1
    size: str | None = None
    threads: int | None = None
    rounds: int = 10
    as_json: bool = False
    loss: str | None = None
    top: bool = True


def run_bench(options: Options) -> None:
    """Measures the model and prints a table, or JSON.

    Raises:
        UserError: no such model, file or loss, or an input that the model cannot take.
    """
    for name in ("batch", "rounds", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"bench: --{name} must be at least 1, got {value}.")
    shape, find = _parsed(options.size), _finder(options)
    if options.threads is not None:
        striate.config.set_num_threads(options.threads)
    with interruptible():
        found, title = _measured(options, shape, find)
        if options.as_json:
            print(json.dumps({"model": title, "batch": options.batch, **found.as_dict()}, indent=1))
        else:
            show(found, title, options.batch)


def _measured(options: Options, shape: tuple[int, ...] | None, find: Any) -> tuple[Profile, str]:
    from rich.console import Console

    with Console(stderr=True).status("Making the model") as status:
        with _mistakes(f"'{options.model}' can't be loaded"):
            model = find(shape)
        x = _inputs(model, shape, options.batch)
        status.update("Tracing, planning, packing weights")
        with _mistakes(f"'{model.name}' can't run"):
            y = None if options.loss is None else _compiled(model, x, options.loss)
            watch = lambda done: status.update(f"Round {done + 1} of {options.rounds}")  # noqa: E731
            return striate.explain.profile(model, x, y, options.rounds, watch), model.name


@contextmanager
def _mistakes(what: str) -> Iterator[None]:
    """What striate finds wrong with a file or an input, in one line."""
    try:
        yield
    except (ValueError, TypeError, OSError, KeyError, AttributeError) as error:
        raise UserError(f"bench: {what}: {' '.join(str(error).split())}") from None


# ------------------------------------------------------------------------------------------------------- the arguments


def _parsed(size: str | None) -> tuple[int, ...] | None:
    if size is None:
        return None
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", size):
        raise UserError(f"bench: --input: '{size}' is no size. Write it as HxWxC, such as 224x224x3.")
    return tuple(map(int, size.split("x")))


def _finder(options: Options) -> Any:
    """A function from the input's shape to the model."""
    path, name = Path(options.model), options.model
    if path.suffix.lower() in FILES or path.exists():
        if not path.exists():
            raise UserError(f"bench: there is no file '{name}'. Give a model's file ({', '.join(FILES)}) or name.")
        if path.suffix.lower() not in FILES:
            raise UserError(f"bench: '{name}' is not a model's file ({', '.join(FILES)}).")
        return lambda shape: striate.saving.load_model(path, compile=False)
    known = known_applications()
    make = known.get(_plain(name))
    if make is None:
        near = difflib.get_close_matches(_plain(name), known, n=1)
        listed = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(sorted(known))}, and files."
        raise UserError(f"bench: there is no model '{name}'. {listed}")
    default = None if options.top else _IMAGE
    return lambda shape: make(weights=None, include_top=options.top, input_shape=shape or default)


def known_applications() -> dict[str, Any]:
    """What makes each of `striate.applications`, by its name in small letters."""
    names = [name for name in striate.applications.__all__ if name[0].isupper()]
    made = {name: getattr(striate.applications, name) for name in names}
    return {_plain(name): make for name, make in made.items()}


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name).lower()


# ------------------------------------------------------------------------------------------------------------ the data


def _inputs(model: Any, shape: tuple[int, ...] | None, batch: int) -> Any:
    """Random arrays for the model's inputs."""
    inputs = getattr(model, "inputs", None) or []
    if shape is not None:
        if len(inputs) > 1:
            raise UserError(f"bench: --input is for models with one input, '{model.name}' has {len(inputs)}.")
        return _random((batch, *shape), inputs[0].dtype if inputs else "float32")
    sizes = [t.shape[1:] for t in inputs]
    if not sizes or any(None in s for s in sizes):
        known = ", ".join(str(t.shape) for t in inputs) or "unknown"
        raise UserError(f"bench: '{model.name}' does not say its input's size ({known}). Give --input HxWxC.")
    arrays = [_random((batch, *s), t.dtype) for s, t in zip(sizes, inputs, strict=True)]
    return arrays[0] if len(arrays) == 1 else arrays


def _random(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random(shape, np.float32).astype(dtype if dtype != "bfloat16" else "float32")


def _compiled(model: Any, x: Any, loss: str) -> Any:
    """Compiles the model with Adam and the loss; targets of the kind that the loss takes."""
    try:
        striate.losses.get(loss)
    except ValueError:
        raise UserError(f"bench: --train: there is no loss '{loss}'. Known: {', '.join(_loss_names())}.") from None
    outputs = model.predict_on_batch(x)
    model.compile(optimizer="adam", loss=loss)
    return tree.map_structure(lambda a: _targets(a, loss), outputs)


def _loss_names() -> list[str]:
    return ["mse", "mae", "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"]


def _targets(output: np.ndarray, loss: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    if "sparse" in loss.lower():
        return rng.integers(0, output.shape[-1], output.shape[:-1])
    if "categorical" in loss.lower():
        classes = rng.integers(0, output.shape[-1], output.shape[:-1])
        return np.eye(output.shape[-1], dtype=np.float32)[classes]
    return rng.integers(0, 2, output.shape).astype(np.float32)
