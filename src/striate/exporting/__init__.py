"""Models as files of other formats: ONNX."""

from striate.exporting.onnx_export import export_onnx

__all__ = ["export_onnx"]
