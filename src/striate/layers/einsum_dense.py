"""`EinsumDense`: a trained tensor and its input, multiplied and summed as an einsum equation says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from striate import activations, constraints, initializers, ops, regularizers
from striate.core.errors import message
from striate.core.registry import export
from striate.initializers import VarianceScaling
from striate.layers.input_spec import InputSpec
from striate.layers.layer import Layer

_EQUATION = re.compile(
    r"(?P<left>\.\.\.)?(?P<input>[a-zA-Z]+)(?P<right>\.\.\.)?,(?P<kernel>[a-zA-Z]+)"
    r"->(?P<left_out>\.\.\.)?(?P<output>[a-zA-Z]+)(?P<right_out>\.\.\.)?"
)


@export("keras.layers.EinsumDense")
class EinsumDense(Layer):
    """`activation(einsum(equation, inputs, kernel) + bias)`.

    Args:
        equation: "ab,bc->ac" and its like; axes that stay can be written "..." on one side of inputs and outputs.
        output_shape: the output's sizes without the batch axis and without those that "..." stands for; None for those
            of the input.
        activation: a name or a function; None for none.
        bias_axes: the letters of the output that the bias has axes for; None for no bias.
        kernel_*, bias_*: initializer, regularizer and constraint of each.

    Raises:
        ValueError: when built, an equation of another form, or one that the shapes don't fit.
    """

    def __init__(
        self, equation: str, output_shape: Any, activation: Any = None, bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        bias_regularizer: Any = None, kernel_constraint: Any = None, bias_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.equation, self.bias_axes = equation, bias_axes
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def _shapes(self, input_shape: Any) -> _Shapes:
        where = f"EinsumDense '{self.name}'"
        return _analyzed(where, self.equation, self.bias_axes, tuple(input_shape), self.partial_output_shape)

    def build(self, input_shape: Any) -> None:
        shapes = self._shapes(input_shape)
        self.input_spec = InputSpec(ndim=len(input_shape))
        self._kernel = self.add_weight(
            name="kernel", shape=shapes.kernel, initializer=self._for_axes(shapes),
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        self.bias = None
        if shapes.bias is not None:
            self.bias = self.add_weight(
                name="bias", shape=shapes.bias, initializer=self.bias_initializer,
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip

    def _for_axes(self, shapes: _Shapes) -> Any:
        """The kernel's initializer, told which axes are summed over: its scale depends on their sizes."""
        made = self.kernel_initializer
        if not isinstance(made, VarianceScaling) or None not in (made.input_axes, made.output_axes):
            return made
        axes = {"seed": made.seed, "input_axes": shapes.summed, "output_axes": shapes.kept}
        return type(made).from_config(made.get_config() | axes)

    @property
    def kernel(self) -> Any:
        """The kernel."""
        if not self.built:
            raise AttributeError(
                f"You must build the layer before accessing `kernel`. Call layer '{self.name}' on data or an `Input`."
            )
        return self._kernel

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = ops.einsum(self.equation, inputs, self.kernel)
        x = x if self.bias is None else ops.add(x, self.bias)
        return x if self.activation is None else self.activation(x)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The output's shape."""
        return self._shapes(input_shape).output

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "output_shape": self.partial_output_shape,
            "equation": self.equation,
            "activation": activations.serialize(self.activation),
            "bias_axes": self.bias_axes,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


@dataclass(frozen=True)
class _Shapes:
    """Of the kernel, the bias or None, the output; the kernel's axes that are summed over, and the others."""

    kernel: tuple[Any, ...]
    bias: tuple[Any, ...] | None
    output: tuple[Any, ...]
    summed: list[int]
    kept: list[int]


def _analyzed(where: str, equation: str, bias_axes: str | None, shape: Any, partial: Any) -> _Shapes:
    found = _EQUATION.fullmatch(equation)
    sides = found and [bool(found[k]) for k in ("left", "right", "left_out", "right_out")]
    if found is None or sides is None or sides[:2] != sides[2:] or sides[:2] == [True, True]:
        rule = "Equations must be in the form [X],[Y]->[Z], ...[X],[Y]->...[Z], or [X]...,[Y]->[Z]..."
        raise ValueError(message(where, f"Invalid einsum equation '{equation}'. {rule}"))
    free = len(shape) - len(found["input"])
    if free < 0 or (free and not (sides[0] or sides[1])):
        raise ValueError(message(where, f"equation '{equation}' does not fit an input of shape {shape}"))
    before, after = (max(free, 1), 0) if sides[0] else (1, free)
    output = (*shape[:before], *partial, *shape[len(shape) - after :])
    skipped = free if sides[0] else 0  # axes before the letters
    of_input = dict(zip(found["input"], shape[skipped:], strict=False))
    if len(output) != len(found["output"]) + free:
        rest = len(found["output"]) + free - before - after
        problem = f"output_shape={tuple(partial)} has {len(partial)} sizes, the equation '{equation}' needs {rest}"
        raise ValueError(message(where, problem))
    of_output = dict(zip(found["output"], output[skipped:], strict=False))
    _check_letters(where, found, of_input, of_output)
    kernel = tuple(of_output.get(c, of_input.get(c)) for c in found["kernel"])
    kept = [i for i, c in enumerate(found["kernel"]) if c in of_output]
    summed = [i for i in range(len(kernel)) if i not in kept]
    bias = None if bias_axes is None else _bias_shape(where, bias_axes, found["output"], of_output, after)
    return _Shapes(kernel, bias, output, summed, kept)


def _check_letters(where: str, found: Any, of_input: dict[str, Any], of_output: dict[str, Any]) -> None:
    for c, n in of_input.items():
        if of_output.get(c) is not None and of_output[c] != n:
            problem = (
                f"Input shape and output shape do not match at shared dimension '{c}'. Input shape is {n}, and output "
                f"shape is {of_output[c]}"
            )
            raise ValueError(message(where, problem))
    for c in of_output:
        if c not in found["input"] and c not in found["kernel"]:
            problem = (
                f"Dimension '{c}' was specified in the output '{found['output']}' but has no corresponding dim in the "
                f"input spec '{found['input']}' or weight spec '{found['kernel']}'"
            )
            raise ValueError(message(where, problem))
    for c in found["kernel"]:
        if c not in of_input and c not in of_output:
            problem = (
                f"Weight dimension '{c}' did not have a match in either the input spec '{found['input']}' or the "
                f"output spec '{found['output']}'. For this layer, the weight must be fully specified"
            )
            raise ValueError(message(where, problem))


def _bias_shape(where: str, axes: str, letters: str, sizes: dict[str, Any], after: int) -> tuple[Any, ...]:
    """Sizes at the bias's axes and 1 at the others behind its first one."""
    for c in axes:
        if c not in letters:
            problem = f"Bias dimension '{c}' was requested, but is not part of the output spec '{letters}'"
            raise ValueError(message(where, problem))
    first = min(letters.index(c) for c in axes)
    return (*(sizes[c] if c in axes else 1 for c in letters[first:]), *(1,) * after)
