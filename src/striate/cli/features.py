"""`striate features`: what the layers of a model make of a picture, written as one picture."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate import applications
from striate.explain.attribution import grad_cam, integrated_gradients, saliency
from striate.explain.features import FeatureMaps, feature_maps
from striate.layers.preprocessing.normalization import Normalization
from striate.models.receptive import graph_of
from striate.utils.image import img_to_array, load_img

from .target import model_of
from .user import UserError, interruptible

_NETWORKS = {name.lower(): name for name in applications.__all__ if name[0].isupper()}
_SCALES = ("auto", "0-255", "0-1", "-1-1")
_METHODS: dict[str, Any] = {
    "grad-cam": grad_cam,
    "saliency": saliency,
    "integrated-gradients": integrated_gradients,
}


@dataclass(frozen=True)
class Wanted:
    """The options of the command."""

    image: Path
    model: str
    weights: str | None
    layers: str | None
    channels: int
    by: str
    seed: int
    attribution: str | None
    target: int | None
    scale: str
    size: int
    theme: str
    out: Path
    as_json: bool


def run_features(wanted: Wanted) -> None:
    """Writes the picture, and says (or prints as JSON) what is on it.

    Raises:
        UserError: the picture, the model, a layer or an option won't do.
    """
    with interruptible():
        _check(wanted)
        model, prepare = _model(wanted)
        image = _picture(wanted, model)
        try:
            found, words, report = _computed(wanted, model, prepare(image))
            figure = found.figure(image=image / 255, theme=wanted.theme)
            wanted.out.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(wanted.out, dpi=110, facecolor=figure.get_facecolor())
        except OSError as error:
            raise UserError(f"features: '{wanted.out}' can't be written: {error.strerror}.") from None
        except (ValueError, TypeError, IndexError) as error:
            raise UserError(f"features: {' '.join(str(error).split())}") from None
    print(json.dumps(report, indent=2) if wanted.as_json else f"{wanted.out}: {words}")


def _check(wanted: Wanted) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            "features: drawing needs matplotlib, which is not installed. Install it with: pip install 'striate[viz]'"
        )
    choices = (
        ("--by", wanted.by, ("random", "strength")),
        ("--scale", wanted.scale, _SCALES),
        ("--attribution", wanted.attribution or "saliency", tuple(_METHODS)),
        ("--theme", wanted.theme, ("light", "dark", "auto")),
        ("--out", wanted.out.suffix, (".png", ".svg", ".pdf", ".jpg")),
    )
    for option, value, allowed in choices:
        if value not in allowed:
            raise UserError(f"features: {option}: '{value}' is none of {', '.join(allowed)}.")
    if not wanted.image.is_file():
        raise UserError(f"features: there is no file '{wanted.image}'.")
    if wanted.channels < 1 or wanted.size < 1:
        raise UserError("features: --channels and --size must be at least 1.")


def _model(wanted: Wanted) -> tuple[Any, Any]:
    """The model, and what its pictures go through first."""
    name = _NETWORKS.get(wanted.model.lower())
    if name is None:
        model = model_of(wanted.model, "features")
        return model, lambda x: _scaled(x, wanted.scale, _scales_itself(model))
    weights = {None: "imagenet", "random": None}.get(wanted.weights, wanted.weights)
    make = getattr(applications, name)
    top = wanted.attribution is not None
    try:
        model = make(weights=weights, include_top=top)
    except (ValueError, OSError) as error:
        fix = "Give a file with --weights FILE, or --weights random"
        raise UserError(
            f"features: {name}'s weights can't be had: {' '.join(str(error).split())[:200]} {fix}."
        ) from None
    prepare = importlib.import_module(make.__module__).preprocess_input
    return model, (lambda x: prepare(x.copy())) if wanted.scale == "auto" else lambda x: _scaled(x, wanted.scale, False)


def _scales_itself(model: Any) -> bool:
    """Whether the model's first layers bring pixels from 0 to 255 to size themselves."""
    graph = graph_of(model)
    first = [n.operation for n in graph._nodes[:4]] if graph is not None else list(model.layers[:3])
    return any(isinstance(layer, Normalization) or type(layer).__name__ == "Rescaling" for layer in first)


def _scaled(x: np.ndarray, scale: str, itself: bool) -> np.ndarray:
    if scale == "0-255" or (scale == "auto" and itself):
        return x
    return x / 255 if scale in ("auto", "0-1") else x / 127.5 - 1


def _picture(wanted: Wanted, model: Any) -> np.ndarray:
    """The picture in the size and the colours that the model takes, from 0 to 255."""
    shape = tuple(model.inputs[0].shape) if graph_of(model) is not None else (None, None, None, 3)
    if len(shape) != 4 or shape[-1] not in (1, 3, 4, None):
        raise UserError(f"features: '{wanted.model}' takes inputs of shape {shape}, which no picture has.")
    mode = {1: "grayscale", 4: "rgba"}.get(shape[-1], "rgb")
    size = tuple(n or wanted.size for n in shape[1:3])
    try:
        return img_to_array(load_img(str(wanted.image), color_mode=mode, target_size=size, interpolation="bilinear"))
    except (OSError, ValueError, SyntaxError):
        raise UserError(f"features: '{wanted.image}' is not an image that Pillow can read (PNG, JPEG, ...).") from None


def _computed(wanted: Wanted, model: Any, x: np.ndarray) -> tuple[Any, str, dict[str, Any]]:
    layers = [_named(part.strip()) for part in wanted.layers.split(",")] if wanted.layers else None
    if wanted.attribution is None:
        maps = feature_maps(model, x, layers, wanted.channels, wanted.by, wanted.seed)
        return maps, f"{len(maps)} layers, {', '.join(maps)}", _report(maps, wanted)
    more = {"layer": layers[0]} if layers and wanted.attribution == "grad-cam" else {}
    found = _METHODS[wanted.attribution](model, x, wanted.target, **more)
    facts = {
        "model": wanted.model, "out": str(wanted.out), "method": found.method, "target": found.target[0],
        "score": float(found.scores[0]), "why": found.why, "map": found.map[0].tolist(),
    }  # fmt: skip
    return found, f"{found.method} of {found.target[0]}" + (f"; {found.why}" if found.why else ""), facts


def _named(text: str) -> Any:
    return int(text) if text.lstrip("-").isdigit() else text


def _report(maps: FeatureMaps, wanted: Wanted) -> dict[str, Any]:
    rows = [
        {
            "name": name,
            "shape": list(values.shape),
            "channels": list(maps.channels[name]),
            "mean": float(values.mean()),
            "largest": float(values.max()),
            "means": [float(values[..., c].mean()) for c in maps.channels[name]],
        }
        for name, values in maps.items()
    ]
    return {"model": wanted.model, "image": str(wanted.image), "out": str(wanted.out), "by": maps.by, "layers": rows}
