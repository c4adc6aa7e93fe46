"""Tracing: symbolic tensors, variables, the layer graph's operations, and compiled functions."""

from striate.trace.compiled import Cache, CompiledFunction
from striate.trace.differentiation import grad, value_and_grad
from striate.trace.jit import Jit, jit
from striate.trace.keras_tensor import KerasTensor, any_symbolic, standardize_shape
from striate.trace.naming import auto_name, to_snake_case, uniquify
from striate.trace.operation import FunctionOperation, KerasHistory, Node, Operation, current_fill, infer_spec
from striate.trace.operators import OPS
from striate.trace.scope import current_path, name_scope
from striate.trace.tracing import NoValueError, Traced, TracedTensor, current_tracer, trace
from striate.trace.variable import Variable, autocast, convert

__all__ = [
    "OPS",
    "Cache",
    "CompiledFunction",
    "FunctionOperation",
    "Jit",
    "KerasHistory",
    "KerasTensor",
    "NoValueError",
    "Node",
    "Operation",
    "Traced",
    "TracedTensor",
    "Variable",
    "any_symbolic",
    "auto_name",
    "autocast",
    "convert",
    "current_fill",
    "current_path",
    "current_tracer",
    "grad",
    "infer_spec",
    "jit",
    "name_scope",
    "standardize_shape",
    "to_snake_case",
    "trace",
    "uniquify",
    "value_and_grad",
]
