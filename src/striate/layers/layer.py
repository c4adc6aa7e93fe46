"""`Layer`: variables, a `build` that makes them when the input's shape is known, and a `call` that uses them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from striate import constraints, initializers, regularizers
from striate.core import dtypes, tree
from striate.core.registry import export
from striate.ir import paused
from striate.layers import added_losses, call_spec
from striate.layers import policy as policies
from striate.layers.call_spec import CallSpec, ambient_training, shape_of, training_scope
from striate.layers.input_spec import InputSpec, check_inputs
from striate.layers.masks import masks_of, pass_on, with_masks
from striate.layers.shapes import input_shape_argument, specs_of
from striate.layers.signature import FullSignature
from striate.layers.stored import Stored
from striate.layers.tracking import Tracked, unique
from striate.trace import (
    KerasTensor,
    Node,
    Operation,
    Variable,
    any_symbolic,
    autocast,
    convert,
    current_path,
    name_scope,
)
from striate.trace.masks import get_keras_mask, set_keras_mask
from striate.trace.operators import OPS


@export("keras.Layer", "keras.layers.Layer")
class Layer(Stored, Tracked, Operation):
    """The base of all layers.

    Args:
        activity_regularizer: penalty on the output.
        trainable: whether the variables may be trained.
        dtype: a dtype or a `DTypePolicy`; by default the global policy.
        autocast: whether float inputs are cast to the compute dtype.
        name: by default the class name in snake case, numbered.
    """

    _STATELESS = False  # set in layers that count as built from the start, as Keras has it

    __signature__ = FullSignature()

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._begin_tracking()
        super().__init__(name=name)
        if not isinstance(trainable, bool | np.bool_):
            raise ValueError(
                f"Expected `trainable` to be a boolean. Received: trainable={trainable!r} (of type {type(trainable)})"
            )
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self._input_shape_arg = input_shape_argument(kwargs, type(self).__name__)
        self.built, self.autocast = self._STATELESS and type(self).build is Layer.build, autocast
        self.supports_masking = type(self).compute_mask is not Layer.compute_mask
        self._trainable = bool(trainable)
        self._path: str | None = None
        self._losses: list[Any] = []
        self._build_shapes: dict[str, Any] | None = None
        self._convert_inputs = True
        self._input_spec: Any = None
        self.dtype_policy = policies.get(dtype)

    # Variables -------------------------------------------------------------------------------------------------------

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """Makes a variable of this layer.

        Args:
            shape: all sizes known; `()` by default.
            initializer: a name, an object, or an array-like; `"glorot_uniform"` for floats, `"zeros"` else, by default.
            dtype: by default the policy's variable dtype.
        """
        self._check_super_called()
        wanted = dtypes.standardize(dtype) if dtype is not None else self.variable_dtype
        if initializer is None:
            initializer = "glorot_uniform" if dtypes.is_floating(wanted) else "zeros"
        with self._open_scope():
            variable = Variable(
                initializers.get(initializer), tuple(shape) if isinstance(shape, list | tuple) else () if shape is None
                else (shape,), wanted, trainable, autocast, aggregation, name=name,
            )  # fmt: skip
        variable.regularizer, variable.constraint = regularizers.get(regularizer), constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._track(variable)
        return variable

    def add_variable(self, *args: Any, **kwargs: Any) -> Variable:
        """Another name of `add_weight`."""
        return self.add_weight(*args, **kwargs)

    @property
    def path(self) -> str:
        """The names of the enclosing layers and of this one, joined by `/`, as of its first call or building."""
        return self._path or self.name

    @contextmanager
    def _open_scope(self) -> Iterator[None]:
        if self._path is None:
            outer = current_path()
            self._path = f"{outer}/{self.name}" if outer else self.name
        with name_scope(self._path, absolute=True):
            yield

    @property
    def variables(self) -> list[Variable]:
        """All variables, seeds included."""
        seeds = [v for v in self._own_variables() if v.is_seed]
        return unique([*self._own_weights(), *seeds, *(v for sub in self._sublayers() for v in sub.variables)])

    @property
    def weights(self) -> list[Variable]:
        """The variables that `get_weights` returns: per layer the trainable ones first."""
        return unique([*self._own_weights(), *(v for sub in self._sublayers() for v in sub.weights)])

    def _own_weights(self) -> list[Variable]:
        own = [v for v in self._own_variables() if not v.is_seed]
        return [v for v in own if v.born_trainable] + [v for v in own if not v.born_trainable]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes; none if the layer is not trainable."""
        if not self._trainable:
            return []
        own = [v for v in self._own_variables() if v.trainable]
        return unique([*own, *(v for sub in self._sublayers() for v in sub.trainable_variables)])

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The other variables."""
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.weights if id(v) in trained]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The other weights."""
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.weights if id(v) not in trained]

    @property
    def trainable(self) -> bool:
        """Whether training may change this layer's variables; setting it goes to the sublayers as well."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = bool(value)
        self._trainable = value
        for variable in self._own_variables():
            if variable.born_trainable:
                variable.trainable = value
        for sub in self._sublayers():
            sub.trainable = value

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights' values."""
        return [np.array(v.array) for v in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Sets all weights; none is changed if one does not fit.

        Raises:
            ValueError: another number of arrays, or another shape.
        """
        own = self.weights
        if len(own) != len(weights):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of length "
                f"{len(weights)}, "
                f"but the layer was expecting {len(own)} weights: {[f'{v.path} {v.shape}' for v in own]}."
            )
        arrays = [convert(w) for w in weights]
        for variable, array in zip(own, arrays, strict=True):
            if tuple(variable.shape) != tuple(array.shape):
                raise ValueError(
                    f"Layer {self.name} weight shape {variable.shape} is not compatible with provided weight shape "
                    f"{tuple(array.shape)} (for '{variable.path}')."
                )
        for variable, array in zip(own, arrays, strict=True):
            variable.assign(array)

    def count_params(self) -> int:
        """The number of values in the weights.

        Raises:
            ValueError: the layer is not built.
        """
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. You can build it "
                f"manually via: `layer.build(input_shape)`."
            )
        return sum(int(np.prod(v.shape, dtype=np.int64)) for v in self.weights)

    # Losses and metrics ----------------------------------------------------------------------------------------------

    def add_loss(self, loss: Any) -> None:
        """Adds a value (or several) to the losses of the current call.

        Raises:
            ValueError: what is no tensor.
        """
        added_losses.add(self, loss)

    @property
    def losses(self) -> list[Any]:
        """The values added by `add_loss` and the penalties of the weights' regularizers."""
        added = [x for layer in self._flatten_layers() for x in added_losses.added(layer)]
        penalties = [v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None]
        return [*added, *penalties]

    # Dtypes and input specs ------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> str:
        """The dtype of the variables."""
        return self.variable_dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype that the layer computes in."""
        return self.dtype_policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype of the variables."""
        return self.dtype_policy.variable_dtype

    @property
    def input_dtype(self) -> str:
        """The dtype that inputs are cast to."""
        return self.compute_dtype

    @property
    def quantization_mode(self) -> None:
        """Always None: striate does not quantise."""
        return None

    @property
    def input_spec(self) -> Any:
        """What the inputs must look like: an `InputSpec`, a nest of them, or None."""
        return self._input_spec

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        for spec in tree.flatten(value):
            if spec is not None and not isinstance(spec, InputSpec):
                raise TypeError(f"Layer input_spec must be an instance of InputSpec. Got: {spec}")
        self._input_spec = value

    # Calling ---------------------------------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Makes the variables for inputs of `input_shape`; subclasses override it. By default there are none."""
        self.built = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._check_super_called()
        if call_spec.outermost():
            added_losses.clear(self)
        given = (args, kwargs)
        if self._convert_inputs:
            args = tuple(tree.map_structure(self._to_input, a) for a in args)
            kwargs = {k: tree.map_structure(self._to_input, v) for k, v in kwargs.items()}
            self._check_positional(args)
        kwargs, told = call_spec.without_training(type(self).call, kwargs)
        spec = CallSpec(self, args, kwargs)
        self._check_spec(spec)
        with self._open_scope():
            self._maybe_build(spec)
            training = self._training_for(spec) if told is None else told
            if training is not None and call_spec.names(type(self).call, "training"):
                kwargs = {**kwargs, "training": training}
            before = kwargs.get("mask") if kwargs.get("mask") is not None else masks_of(spec.first)
            kwargs = kwargs if before is None else with_masks(type(self).call, spec, kwargs)
            with training_scope(training), autocast(self._autocast_dtype()):
                outputs = self._computed(spec, args, kwargs)
            if before is not None or self.supports_masking:
                pass_on(self, spec.first, outputs, before, type(self).compute_mask is not Layer.compute_mask)
        if any_symbolic(given):
            Node(self, *given, outputs)
        elif self.activity_regularizer is not None:
            self.add_loss([self._activity_loss(x) for x in tree.flatten(outputs) if x is not None])
        return outputs

    def _computed(self, spec: CallSpec, args: Any, kwargs: Any) -> Any:
        """What `call` gives; its errors say which layer was called, on what shapes."""
        try:
            return super().__call__(*args, **kwargs)
        except Exception as error:
            spec.explain(error, self)
            raise

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """The symbolic results for symbolic arguments."""
        return self.compute_output_spec(*args, **kwargs)

    def _check_positional(self, args: Any) -> None:
        for x in tree.flatten(args):
            if x is not None and not call_spec.is_tensor(x):
                raise ValueError(
                    "Only input tensors may be passed as positional arguments. The following argument value should be "
                    f"passed as a keyword argument: {x!r} (of type {type(x)}, to layer '{self.name}'). Convert data to "
                    "a NumPy array."
                )

    def _check_spec(self, spec: CallSpec) -> None:
        if self.input_spec is None or not spec.arguments:
            return
        if spec.first is None:
            raise ValueError(
                f"Inputs to a layer should be tensors. Got 'None' as input for layer '{self.name}' "
                f"({type(self).__name__}). Pass a NumPy array or a symbolic tensor."
            )
        check_inputs(self.input_spec, spec.first, self)

    def _activity_loss(self, x: Any) -> Any:
        """The penalty on an output, per sample."""
        loss = self.activity_regularizer(x)
        return OPS["true_divide"](loss, x.shape[0]) if x.ndim and x.shape[0] else loss

    def _autocast_dtype(self) -> str | None:
        policy = self.dtype_policy
        return policy.compute_dtype if policy.compute_dtype != policy.variable_dtype else None

    def _training_for(self, spec: CallSpec) -> bool | None:
        """What the caller says of `training` (None as well), else the enclosing call, else the default of `call`."""
        if "training" in spec.arguments:
            return spec.arguments["training"]
        ambient = ambient_training()
        return ambient if ambient is not None else call_spec.default(type(self).call, "training")

    def _to_input(self, x: Any) -> Any:
        if not call_spec.is_tensor(x) and not hasattr(x, "__array__"):
            return x
        if isinstance(x, KerasTensor):
            if self.autocast and dtypes.is_floating(x.dtype) and x.dtype != self.input_dtype:
                return _masked(KerasTensor(x.shape, self.input_dtype), x)
            return x
        x = convert(x)
        name = dtypes.name_of(x.dtype)
        wanted = self.autocast and name != self.input_dtype and dtypes.is_floating(name)
        return _masked(OPS["cast"](x, self.input_dtype), x) if wanted else x

    def _maybe_build(self, spec: CallSpec) -> None:
        if self.built:
            return
        with autocast(None):
            self.build(**self._shapes_for(type(self).build, spec))
        self.built = True
        self._check_spec(spec)

    def _shapes_for(self, method: Any, spec: CallSpec) -> dict[str, Any]:
        """The shapes of the call's tensors as arguments of `method` (`build` or `compute_output_shape`)."""
        shapes, names = spec.shapes(), _parameters(method)
        if len(names) == 1:
            return {names[0]: next(iter(shapes.values()), None)}
        for name in names:
            if not name.endswith("_shape") or not call_spec.names(type(self).call, name.removesuffix("_shape")):
                raise ValueError(
                    f"For a `{method.__name__}()` method with more than one argument, all arguments should have a "
                    "`_shape` "
                    f"suffix and match an argument from `call()`. Layer '{self.name}' ({type(self).__name__}) has the "
                    f"argument `{name}`. Rename it, or the argument of `call()`."
                )
        return {k: v for k, v in shapes.items() if k in names}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _recorded(cls.__dict__["build"])  # type: ignore[method-assign]

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        if type(self).compute_output_shape is Layer.compute_output_shape:
            return super().compute_output_spec(*args, **kwargs)
        method = type(self).compute_output_shape
        shape = self.compute_output_shape(**self._shapes_for(method, CallSpec(self, args, kwargs)))
        return specs_of(shape, self.compute_dtype)

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shape of the output for a shape of the input; sizes may be None."""
        named = {k.removesuffix("_shape"): specs_of(v, self.compute_dtype) for k, v in kwargs.items()}
        return shape_of(Operation.compute_output_spec(self, *(specs_of(a, self.compute_dtype) for a in args), **named))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the output: by default that of the input."""
        return previous_mask

    def stateless_call(self, *args: Any, **kwargs: Any) -> Any:
        """Not offered: variables are inputs and outputs of a traced function anyway."""
        raise AttributeError("striate has no `stateless_call`: trace a function with `striate.grad` or call the layer.")

    # Configuration ---------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        base: dict[str, Any] = {"trainable": self.trainable, "dtype": policies.serialize(self.dtype_policy)}
        if self.activity_regularizer is not None:
            base["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        if type(self).get_config is not Layer.get_config or type(self).__init__ is Layer.__init__:
            return {"name": self.name, **base}
        parameters = call_spec.signature_of(type(self).__init__).parameters
        free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        return {k: v for k, v in {**super().get_config(), **base}.items() if free or k in parameters}

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes that the layer was built with."""
        shapes = self._build_shapes
        if shapes is None:
            return None
        return {"input_shape": next(iter(shapes.values()))} if len(shapes) == 1 else {"shapes_dict": dict(shapes)}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds the layer for the shapes in `config`."""
        if config.get("input_shape") is not None:
            self.build(config["input_shape"])
        elif config.get("shapes_dict"):
            self.build(**config["shapes_dict"])
        self.built = True

    def _check_super_called(self) -> None:
        if "_build_shapes" not in self.__dict__:
            raise RuntimeError(
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as the first statement in "
                "the `__init__()` method. Go add it!"
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _masked(x: Any, source: Any) -> Any:
    """`x` with the mask of `source`."""
    mask = get_keras_mask(source)
    if mask is not None:
        set_keras_mask(x, mask)
    return x


def _parameters(fn: Any) -> list[str]:
    return list(call_spec.signature_of(inspect.unwrap(fn)).parameters)[1:]


def _recorded(build: Any) -> Any:
    """`build` in the layer's name scope; afterwards the layer counts as built and remembers the shapes."""

    @functools.wraps(build)
    def wrapper(self: Layer, *args: Any, **kwargs: Any) -> None:
        self._check_super_called()
        with self._open_scope(), paused():
            build(self, *args, **kwargs)
        bound = call_spec.signature_of(build).bind(self, *args, **kwargs).arguments
        self._build_shapes = dict(list(bound.items())[1:])
        self.built = True

    return wrapper


Layer.build = _recorded(Layer.build)  # type: ignore[method-assign]
