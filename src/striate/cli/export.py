"""`striate export`: a model as an ONNX file."""

from __future__ import annotations

import os
from pathlib import Path

from striate.layers import InputSpec

from .target import shape_of, target
from .user import UserError, interruptible


def run_export(text: str, out: Path, size: str | None) -> None:
    """Writes the inference of the model that `text` names to `out`.

    Raises:
        UserError: there is no such model, it cannot be written, or it has no equivalent in ONNX.
    """
    with interruptible():
        if "(" in text:
            raise UserError(f"export: '{text[:60]}' is a layer. Give a model's file, or a name such as vgg19")
        model = target(text, "export", size is not None)
        try:
            model.export(out, format="onnx", verbose=False, input_signature=_signature(size))
        except (ValueError, NotImplementedError, ImportError, OSError) as error:
            raise UserError(" ".join(str(error).split())) from None
        print(f"{out}: {os.path.getsize(out) / 1e6:.1f} MB")


def _signature(size: str | None) -> list[InputSpec] | None:
    if size is None:
        return None
    shapes = shape_of(size, "export")
    return [InputSpec(shape=(None, *s)) for s in (shapes if isinstance(shapes, list) else [shapes])]
