"""The subcommands and their options."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import parts
from .user import UserError

app = typer.Typer(
    name="striate",
    help="Convolutional networks with the Keras API on a compiled CPU engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Runs the command line; a mistake of the user's is one line on stderr and the exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"striate: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _version(asked: bool) -> None:
    if asked:
        print(f"striate {importlib.metadata.version('striate')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Convolutional networks with the Keras API on a compiled CPU engine."""


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    help="Run a .py or .ipynb FILE that says `import keras`, unchanged, on striate.",
)
def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A Python script or a Jupyter notebook.")],
    args: Annotated[list[str] | None, typer.Argument(metavar="[ARGS]...", help="Handed to the script.")] = None,
    inplace: Annotated[
        bool, typer.Option("--inplace", help="Write a notebook's outputs over FILE, not to FILE.out.ipynb.")
    ] = False,
) -> None:
    """Runs a script or a notebook on striate."""
    path, rest = Path(file), list(args or ())
    if not path.exists():
        raise UserError(f"run: there is no file '{file}'. Give the path of a .py or .ipynb file.")
    if path.is_dir():
        raise UserError(f"run: '{file}' is a folder. Give the path of a .py or .ipynb file.")
    if path.suffix == ".ipynb":
        raise SystemExit(parts.run_notebook(path, inplace or _take_inplace(rest)))
    if inplace:
        raise UserError(f"run: --inplace is for notebooks, and '{file}' is not one (.ipynb).")
    parts.run_script(path, rest)


def _take_inplace(rest: list[str]) -> bool:
    """`striate run FILE.ipynb --inplace`: after FILE too; a notebook takes no other arguments."""
    others = [a for a in rest if a != "--inplace"]
    if others:
        raise UserError(f"run: a notebook takes no arguments, got {' '.join(others)}.")
    return bool(rest)


@app.command(help="Run the chapter, from one convolution to VGG-19's feature maps, and write it as one HTML page.")
def tour(
    image: Annotated[Path | None, typer.Option(help="An image of yours; by default one that matplotlib ships.")] = None,
    weights: Annotated[Path | None, typer.Option(help="VGG-19's weight file without its top (.h5).")] = None,
    out: Annotated[Path, typer.Option(help="The folder for index.html.")] = Path("striate-tour"),
) -> None:
    """Writes the tour."""
    parts.run_tour(image, weights, out)


@app.command(help="Measure MODEL on this machine: time, GFLOP/s, share of the peak, algorithm and traffic per layer.")
def bench(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="vgg16, vgg19, ..., or a .keras or .h5 file.")],
    batch: Annotated[int, typer.Option(help="Samples per call.")] = 1,
    size: Annotated[str | None, typer.Option("--input", metavar="HxWxC", help="An input without its batch.")] = None,
    threads: Annotated[int | None, typer.Option(help="How many threads compute.")] = None,
    rounds: Annotated[int, typer.Option(help="Runs that medians are taken of.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with each step of each layer.")] = False,
    train: Annotated[str | None, typer.Option(metavar="LOSS", help="A step of training with Adam and LOSS.")] = None,
    top: Annotated[bool, typer.Option("--top/--no-top", help="vgg19 and the like: with their classifier?")] = True,
) -> None:
    """Measures a model."""
    parts.run_bench(parts.Options(model, batch, size, threads, rounds, as_json, train, top))


@app.command(help="Show where the sizes of a layer or a model come from: formula (6) with its numbers, padding, cost.")
def explain(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help='"Conv2D(16, 3, strides=2)", FILE.keras, or a name such as vgg19.')
    ],
    size: Annotated[
        str | None, typer.Option("--input", metavar="HxWxC", help="The input without its batch; ? where not known.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Prints a derivation."""
    parts.run_explain(what, size, as_json)


@app.command(help="Show the layers of a model: a .keras or .h5 file, or a name such as vgg19.")
def summary(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .keras or .h5 file, or a name such as vgg19.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    field: Annotated[bool, typer.Option("--receptive-field", help="Show what a unit of each layer sees.")] = False,
) -> None:
    """Prints a summary."""
    parts.run_summary(file, as_json, field)


@app.command(help="Write what a model computes as an ONNX file.")
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A .keras or .h5 file, or a name such as vgg19.")],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The .onnx file.")],
    size: Annotated[str | None, typer.Option("--input", metavar="HxWxC", help="An input without its batch.")] = None,
) -> None:
    """Writes an ONNX file."""
    parts.run_export(model, out, size)


@app.command(help="Write LAYER at work on a picture or on numbers, window by window: a page that plays, a GIF, ...")
def animate(
    layer: Annotated[str, typer.Argument(metavar="LAYER", help='Such as "Conv2D(1, 3, strides=2)".')],
    given: Annotated[str, typer.Option("--input", metavar="FILE|HxWxC", help="A picture, or a size: 7x7x1.")] = "7x7x1",
    out: Annotated[Path, typer.Option(help="A .html, .gif, .mp4, .svg or .png file.")] = Path("animation.html"),
    view: Annotated[str, typer.Option(help="Transposed convolutions: scatter, or zeros (between units).")] = "scatter",
    theme: Annotated[str | None, typer.Option(help="light or dark; pages follow the reader's preference.")] = None,
    frame: Annotated[int | None, typer.Option(help="The frame of a still, from 0; half-way by default.")] = None,
    limit: Annotated[int, typer.Option(help="The most frames.")] = 240,
    seconds: Annotated[float, typer.Option(help="How long a frame is shown.")] = 0.7,
    tall: Annotated[bool, typer.Option("--tall", help="Films and stills for narrow screens.")] = False,
) -> None:
    """Writes an animation."""
    options = {"view": view, "theme": theme, "frame": frame, "limit": limit, "seconds": seconds, "tall": tall}
    parts.run_animate(layer, given, out, options)


@app.command(help="Draw what the layers of a model make of IMAGE, or which parts of it a decision rests on.")
def features(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture: PNG, JPEG, ...")],
    model: Annotated[str, typer.Option(metavar="NAME|FILE", help="vgg19, ..., or a .keras or .h5 file.")] = "vgg19",
    weights: Annotated[str | None, typer.Option(help="Of a NAME: a file, or 'random'; ImageNet's by default.")] = None,
    layers: Annotated[str | None, typer.Option(help="Names, indices or types, with commas between.")] = None,
    channels: Annotated[int, typer.Option(help="How many of each layer.")] = 8,
    by: Annotated[str, typer.Option(help="Which ones: random or strength.")] = "random",
    seed: Annotated[int, typer.Option(help="Of the random choice.")] = 0,
    attribution: Annotated[
        str | None, typer.Option(metavar="METHOD", help="Instead: grad-cam, saliency or integrated-gradients.")
    ] = None,
    target: Annotated[int | None, typer.Option(help="The class that an attribution explains.")] = None,
    scale: Annotated[str, typer.Option(help="The numbers of a pixel: 0-255, 0-1, -1-1 or auto.")] = "auto",
    size: Annotated[int, typer.Option(help="Pixels of a side that the model leaves open.")] = 224,
    theme: Annotated[str, typer.Option(help="light, dark or auto (transparent).")] = "light",
    out: Annotated[Path, typer.Option(help="A .png, .svg, .pdf or .jpg file.")] = Path("features.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Writes feature maps."""
    options = (image, model, weights, layers, channels, by, seed, attribution, target, scale, size, theme, out, as_json)
    parts.run_features(parts.Wanted(*options))
