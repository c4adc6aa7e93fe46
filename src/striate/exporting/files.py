"""ONNX files from what a `Writer` collected, by the package `onnx`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.core.errors import message
from striate.exporting.control import Inner
from striate.exporting.family import Val
from striate.exporting.writer import Made, Writer
from striate.saving.atomic import replacing

OPSET, IR_VERSION = 19, 9

# Messages of protocol buffers end at 2 GB: from here on the weights go to a file beside.
LARGEST = (1 << 31) - (1 << 25)


def require_onnx() -> Any:
    """The package `onnx`; ImportError that says how to get it."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            message("export", "ONNX files need the package 'onnx'", "pip install 'striate[onnx]'")
        ) from error
    return onnx


class File:
    """A model as ONNX's own objects.

    Args:
        writer: the nodes and weights.
        inputs, outputs: names and values.
        opset: the version of the operator set.
    """

    def __init__(
        self, writer: Writer, inputs: Sequence[tuple[str, Val]], outputs: Sequence[tuple[str, Val]], opset: int
    ) -> None:
        self.onnx, self.opset = require_onnx(), opset
        self.helper = self.onnx.helper
        self.sizes: dict[Any, str] = {}
        self.arrays = writer.weights.arrays
        graph = self.helper.make_graph(
            [self._node(n) for n in writer.nodes],
            "model",
            [self._info(n, v) for n, v in inputs],
            [self._info(n, v) for n, v in outputs],
            [],
        )
        self.model = self.helper.make_model(
            graph, opset_imports=[self.helper.make_opsetid("", opset)], ir_version=IR_VERSION,
            producer_name="striate",
        )  # fmt: skip

    def _type(self, dtype: str) -> int:
        return self.onnx.TensorProto.DataType.Value(_TYPES.get(dtype, dtype.upper()))

    def _info(self, name: str, value: Val) -> Any:
        shape = [n if isinstance(n, int) else self._symbol(n, axis, name) for axis, n in enumerate(value.shape)]
        return self.helper.make_tensor_value_info(name, self._type(value.dtype), shape)

    def _symbol(self, size: Any, axis: int, name: str) -> str:
        """The name of an unknown size: one for all that are alike."""
        return self.sizes.setdefault(size, "batch" if axis == 0 else f"{name}.{axis}")

    def _node(self, made: Made) -> Any:
        attributes = {k: self._attribute(k, v) for k, v in made.attributes.items()}
        return self.helper.make_node(made.kind, made.inputs, made.outputs, made.name, **attributes)

    def _attribute(self, name: str, value: Any) -> Any:
        if isinstance(value, Inner):
            return self._graph(value)
        if name == "to":
            return self._type(value)
        return list(value) if isinstance(value, tuple | list) else value

    def _graph(self, inner: Inner) -> Any:
        infos = [
            [self.helper.make_tensor_value_info(n, self._type(d), [None] * rank) for n, d, rank in side]
            for side in (inner.inputs, inner.outputs)
        ]
        return self.helper.make_graph([self._node(n) for n in inner.nodes], "inner", *infos)

    def write(self, path: str) -> None:
        """Writes the file: all of it or nothing. Beyond 2 GB the weights go to `<path>.data`."""
        total = sum(a.nbytes for a in self.arrays.values())
        if total > LARGEST:
            self._write_in_two(path)
            return
        numpy_helper = self.onnx.numpy_helper
        self.model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in self.arrays.items())
        self.onnx.checker.check_model(self.model)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            file.write(self.model.SerializeToString())

    def _write_in_two(self, path: str) -> None:
        with replacing(f"{path}.data") as temporary, open(temporary, "wb") as data:
            for name, array in self.arrays.items():
                self._refer(name, array, data.tell(), os.path.basename(f"{path}.data"))
                data.write(np.ascontiguousarray(array).tobytes())
        with replacing(path) as temporary, open(temporary, "wb") as file:
            file.write(self.model.SerializeToString())
        self.onnx.checker.check_model(path)

    def _refer(self, name: str, array: np.ndarray, offset: int, location: str) -> None:
        proto = self.model.graph.initializer.add(name=name, dims=array.shape, data_type=self._type(str(array.dtype)))
        proto.data_location = self.onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": offset, "length": array.nbytes}.items():
            proto.external_data.add(key=key, value=str(value))


_TYPES = {"float32": "FLOAT", "float64": "DOUBLE"}
