"""`model.export("model.onnx")`: the inference of a model as an ONNX file."""

from __future__ import annotations

from typing import Any

from striate.core.errors import message
from striate.exporting import elementwise, moves, windows  # noqa: F401 - they fill the table of rules
from striate.exporting.control import rename
from striate.exporting.family import Family
from striate.exporting.files import OPSET, File, require_onnx
from striate.exporting.patterns import merge_patterns
from striate.exporting.prepare import prepared
from striate.exporting.rules import write_steps
from striate.exporting.signature import Signature, output_names, signature_of
from striate.exporting.writer import Writer


def export_onnx(model: Any, path: str, input_signature: Any = None, opset_version: int | None = None) -> None:
    """Writes what `model(x, training=False)` computes as an ONNX file.

    Inputs and outputs have the model's own shapes, channels last; sizes that are None stay open. Batch normalization
    is folded into the weights.

    Args:
        model: a model.
        path: where to write.
        input_signature: None for the model's own inputs, or a nest of objects with `shape` and `dtype`.
        opset_version: version of the operator set, from 19 on (default 19).

    Raises:
        ValueError: nothing says what the model takes, or the program is another one for other sizes.
        NotImplementedError: it uses something that has no equivalent in ONNX.
        ImportError: the package `onnx` is not installed.
    """
    opset = _checked_opset(opset_version)
    signature = signature_of(model, input_signature)
    program, structure = prepared(signature)
    writer = Writer()
    outputs = _written(writer, signature, merge_patterns(program), output_names(model, structure))
    inputs = [(v.name, v) for v in program.inputs]
    File(writer, inputs, outputs, opset).write(path)


def _checked_opset(version: int | None) -> int:
    newest = require_onnx().defs.onnx_opset_version()
    if version is not None and not OPSET <= version <= newest:
        problem = f"opset_version must lie between {OPSET} and {newest}, got {version}"
        raise ValueError(message("export", problem, "Leave it out"))
    return version or OPSET


def _written(writer: Writer, signature: Signature, program: Family, names: list[str]) -> list[Any]:
    """Writes all nodes; names and values of the results."""
    for value in program.inputs:
        writer.weights.names.add(value.name)
        writer.put(value, value.name)
    names = [writer.weights.fresh(name) for name in names]
    write_steps(writer, program)
    writer.where = ""
    taken: dict[str, str] = {}
    for name, value in zip(names, program.outputs, strict=True):
        found = writer.plain(value)
        if found in taken or not any(found in node.outputs for node in writer.nodes):
            writer.op("Identity", found)  # an input, a weight, or a result that is there twice
            found = writer.nodes[-1].outputs[0]
        taken[found] = name
    rename(writer.nodes, taken)
    return list(zip(names, program.outputs, strict=True))
