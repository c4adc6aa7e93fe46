"""`clone_model`: the same architecture with layers and weights of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from striate.core import tree
from striate.core.registry import custom_object_scope, export, get_registered_name
from striate.layers.input_layer import Input, InputLayer
from striate.models.functional import Functional
from striate.models.model import Model
from striate.models.sequential import Sequential
from striate.trace import FunctionOperation, KerasTensor


@export("keras.models.clone_model")
def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Any], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Any:
    """A model with the layers of `model` made anew, each with fresh weights.

    Args:
        model: functional or sequential.
        input_tensors: what to build the clone on; by default new inputs.
        clone_function: gives the clone of a layer; by default `type(layer).from_config(layer.get_config())`.
        call_function: `fn(layer, *args, **kwargs)` calls a cloned layer; for functional models.
        recursive: also apply `clone_function` to the layers of nested models.

    Raises:
        ValueError: another kind of model, or inputs that do not fit.
    """
    if kwargs:
        raise ValueError(f"Unexpected keyword argument(s): {tuple(kwargs)}")
    if not isinstance(model, Functional | Sequential) and isinstance(model, Model) and clone_function is None:
        return type(model).from_config(model.get_config())
    if not isinstance(model, Functional | Sequential):
        raise ValueError(
            f"`clone_model` takes functional and sequential models, not {type(model).__name__}. Use `from_config`."
        )
    clone = _recursively(clone_function or _cloned, call_function, recursive)
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError(
                "`call_function` argument is not supported with Sequential models. Use a functional model."
            )
        return _compiled_like(model, _sequential(model, clone, input_tensors))
    return _compiled_like(model, _functional(model, clone, input_tensors, call_function))


def _compiled_like(model: Any, made: Any) -> Any:
    """`made`, compiled as `model` is, with an optimizer of its own."""
    if model.compiled:
        given = tree.flatten(model._compile_arguments or {})
        functions = {get_registered_name(fn): fn for fn in given if inspect.isfunction(fn)}
        with custom_object_scope(functions):
            made.compile_from_config(model.get_compile_config())
    return made


def _cloned(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config())


def _recursively(clone: Callable[[Any], Any], call: Callable[..., Any] | None, recursive: bool) -> Callable[[Any], Any]:
    def apply(layer: Any) -> Any:
        if isinstance(layer, FunctionOperation):
            return layer
        if recursive and isinstance(layer, Functional | Sequential):
            inner = call if isinstance(layer, Functional) else None
            return clone_model(layer, clone_function=clone, call_function=inner, recursive=True)
        return clone(layer)

    return apply


def _sequential(model: Sequential, clone: Callable[[Any], Any], input_tensors: Any) -> Sequential:
    layers = [clone(layer) for layer in model.layers]
    tensors = tree.flatten(input_tensors) if input_tensors is not None else []
    if len(tensors) > 1 or not all(isinstance(t, KerasTensor | InputLayer) for t in tensors):
        raise ValueError(f"`input_tensors` of a Sequential model must be one KerasTensor. Received: {input_tensors!r}")
    if tensors:
        source = tensors[0] if isinstance(tensors[0], InputLayer) else Input(tensor=tensors[0])
        return type(model)([source, *layers], name=model.name, trainable=model.trainable)
    row = model._row
    if row and isinstance(row[0], InputLayer):
        layers.insert(0, InputLayer(batch_shape=row[0].batch_shape, dtype=row[0].dtype, name=row[0].name))
    return type(model)(layers, name=model.name, trainable=model.trainable)


def _functional(model: Functional, clone: Any, input_tensors: Any, call_function: Any) -> Any:
    if input_tensors is None:
        inputs = tree.map_structure(lambda t: Input(batch_shape=t.shape, dtype=t.dtype, name=t.name), model.input)
    else:
        inputs = input_tensors
        _check_inputs(inputs, model)
    made: dict[int, Any] = {}

    def call(operation: Any, args: Any, kwargs: Any) -> Any:
        if id(operation) not in made:
            made[id(operation)] = clone(operation)
        layer = made[id(operation)]
        if isinstance(layer, FunctionOperation):
            layer = layer.again()
        return call_function(layer, *args, **kwargs) if call_function else layer(*args, **kwargs)

    outputs = model.run_graph(tree.flatten(inputs), call)
    return Functional(inputs, outputs, name=model.name)


def _check_inputs(inputs: Any, model: Functional) -> None:
    if not all(isinstance(t, KerasTensor) for t in tree.flatten(inputs)):
        raise ValueError(f"All entries in `input_tensors` must be KerasTensors. Received invalid values: {inputs!r}")
    try:
        tree.assert_same_structure(inputs, model.input)
    except ValueError as error:
        raise ValueError(f"`input_tensors` must have the same structure as model.input. {error}") from None
