"""The base of optimizers: from gradients to new values of variables."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from striate import ops
from striate.core.errors import message
from striate.core.registry import export
from striate.optimizers.averaging import WithAverages
from striate.optimizers.clipping import clip_by_global_norm, clip_by_norm, on_each
from striate.optimizers.learning_rate import learning_rate_from_config
from striate.optimizers.state import overwritten
from striate.trace import Variable, auto_name

_SHARED = (
    "learning_rate", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum",
    "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps", "name",
)  # fmt: skip


def shared(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the base class among `arguments`, the `locals()` of a subclass's `__init__`."""
    return {name: arguments[name] for name in _SHARED} | arguments.get("kwargs", {})


@export("keras.optimizers.Optimizer", "keras.Optimizer")
class Optimizer(WithAverages):
    """Base of optimizers. Own ones override `build`, `update_step` and `get_config`, written with `striate.ops`.

    Args:
        learning_rate: a float, a schedule, or a function without arguments.
        weight_decay: the fraction, times the learning rate, by which weights shrink before each step.
        clipnorm: the largest norm that each gradient may have; larger ones are scaled down.
        clipvalue: the largest absolute value of an element of a gradient.
        global_clipnorm: the largest norm that all gradients together may have. Only one of the three can be set.
        use_ema: whether a moving average of the weights is kept, with factor `ema_momentum` (0.99). Every
            `ema_overwrite_frequency` steps, and at the end of `fit`, it takes the place of the weights.
        loss_scale_factor: by which the loss is multiplied and the gradients are divided again.
        gradient_accumulation_steps: how many steps' gradients are averaged for one change of the weights.
        name: by default the class's, numbered.

    Raises:
        ValueError: an argument that is not known, or out of its range; two kinds of clipping.
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        _check_unknown(kwargs, type(self).__name__)
        self._start(name or auto_name(type(self).__name__))
        self.built = False
        self._once: dict[Any, Any] | None = None
        self.weight_decay, self.loss_scale_factor = weight_decay, loss_scale_factor
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum, self.ema_overwrite_frequency = use_ema, ema_momentum, ema_overwrite_frequency
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._check_arguments()
        with self._scope():
            self._iterations = Variable(0, dtype="int32", trainable=False, name="iteration")
        self._set_first_learning_rate(learning_rate)

    def _check_arguments(self) -> None:
        steps, every, momentum = self.gradient_accumulation_steps, self.ema_overwrite_frequency, self.ema_momentum
        if steps and not steps >= 2:
            self._refuse("`gradient_accumulation_steps` must be an integer >= 2", gradient_accumulation_steps=steps)
        if self.use_ema and not 0 <= momentum <= 1:
            self._refuse("`ema_momentum` must be in the range [0, 1]", ema_momentum=momentum)
        if self.use_ema and every and (not isinstance(every, int) or every < 1):
            self._refuse("`ema_overwrite_frequency` must be an integer >= 1 or None", ema_overwrite_frequency=every)
        clips = {n: getattr(self, n) for n in ("clipnorm", "clipvalue", "global_clipnorm")}
        if sum(value is not None for value in clips.values()) > 1:
            self._refuse("Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set", **clips)

    def _refuse(self, problem: str, **received: Any) -> None:
        listed = ", ".join(f"{name}={value}" for name, value in received.items())
        raise ValueError(message(f"{type(self).__name__}: {problem}. Received", listed))

    @property
    def iterations(self) -> Any:
        """How many steps there were; with gradient accumulation, how many changes of the weights."""
        steps = self.gradient_accumulation_steps
        return ops.floor_divide(self._iterations, steps) if steps else self._iterations

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the optimizer's variables for the `variables` that it will train; subclasses add theirs."""
        if self.use_ema:
            self._model_variables_moving_average = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = [
                self.add_variable_from_reference(v, name="gradient_accumulator") for v in variables
            ]
        self._remember(variables)
        self.built = True

    def assign(self, variable: Variable, value: Any) -> None:
        """Gives `variable` a new value."""
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        """Adds `value` to `variable`."""
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Any) -> None:
        """Subtracts `value` from `variable`."""
        variable.assign_sub(value)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Gives one variable its new value; subclasses override it."""
        raise NotImplementedError(
            f"{type(self).__name__} has no `update_step(gradient, variable, learning_rate)` method. Write one."
        )

    def apply_gradients(self, grads_and_vars: Any) -> Variable:
        """One step for pairs of a gradient and its variable. Returns the counter of steps."""
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(grads, variables)
        return self._iterations

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """One step: every variable gets a new value.

        Args:
            grads: one gradient per variable; None for those that the loss does not depend on.
            trainable_variables: which variables; by default those that the optimizer was built with. The first time
                they build it.

        Raises:
            ValueError: other variables than it was built with, another number of gradients, no gradient at all.
        """
        if len(grads) == 0:
            return
        variables = self._variables_for(grads, trainable_variables)
        with self._scope():
            pairs = self._with_gradients(grads, variables)
            pairs = self._overwrite_variables_directly_with_gradients(pairs)
            if pairs:
                self._step(self._unscaled([g for g, _ in pairs]), [v for _, v in pairs])
        self._iterations.assign_add(1)

    def _step(self, grads: list[Any], variables: list[Variable]) -> None:
        self._backend_apply_gradients(grads, variables)
        for variable in variables:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))

    def _unscaled(self, grads: list[Any]) -> list[Any]:
        scale = self.loss_scale_factor
        return grads if scale is None else [ops.divide(g, scale) for g in grads]

    def _variables_for(self, grads: Sequence[Any], variables: Sequence[Variable] | None) -> list[Variable]:
        if variables is not None:
            given = list(variables)
            if not self.built:
                with self._scope():
                    self.build(given)
                self.built = True
            self._check_variables_are_known(given)
            return given
        if not self.built:
            problem = "When passing `grads` without `variables`, the optimizer must already be built on a list of"
            fix = "Call `optimizer.build(trainable_variables)` first"
            raise ValueError(message(f"Optimizer '{self.name}'", problem + " variables", fix))
        if len(grads) != len(self._trainable_variables):
            problem = (
                "When passing `grads` as a list of gradient tensors, there must be one per variable. Received a list "
                f"of {len(grads)} gradients, but the optimizer is tracking {len(self._trainable_variables)} trainable "
                "variables"
            )
            raise ValueError(message(f"Optimizer '{self.name}'", problem, "Put None where there is no gradient"))
        return self._trainable_variables

    def _with_gradients(self, grads: Sequence[Any], variables: Sequence[Variable]) -> list[tuple[Any, Variable]]:
        """The pairs in which there is a gradient; a warning names the other variables."""
        if len(grads) != len(variables):
            problem = f"received {len(grads)} gradients for {len(variables)} variables"
            raise ValueError(message(f"Optimizer '{self.name}'", problem, "Put None where there is no gradient"))
        pairs = list(zip(grads, variables, strict=True))
        missing = [v.path for g, v in pairs if g is None]
        if len(missing) == len(pairs):
            problem = "No gradients provided for any variable"
            fix = "Check that the loss is computed from the variables, with `striate.ops`"
            raise ValueError(message(f"Optimizer '{self.name}'", problem, fix))
        if missing:
            warnings.warn(_MISSING.format(missing), stacklevel=4)
        return [(g, v) for g, v in pairs if g is not None]

    def _backend_apply_gradients(self, grads: list[Any], variables: list[Variable]) -> None:
        """Accumulation, clipping, weight decay, the update and the moving averages."""
        if self.gradient_accumulation_steps:
            self._accumulate(grads, variables)
        else:
            self._change(grads, variables)
        if self.use_ema:
            self._update_moving_averages()

    def _change(self, grads: list[Any], variables: list[Variable]) -> None:
        """Clipping, weight decay, the update."""
        grads = self._clip_gradients(grads)
        self._apply_weight_decay(variables)
        self.__dict__["_once"] = {}
        try:
            self._backend_update_step(grads, variables, self.learning_rate)
        finally:
            self.__dict__["_once"] = None

    def _backend_update_step(self, grads: list[Any], variables: list[Variable], learning_rate: Any) -> None:
        """Calls `update_step` for each variable."""
        for gradient, variable in zip(grads, variables, strict=True):
            self.update_step(gradient, variable, learning_rate)

    def once(self, learning_rate: Any, key: Any, fn: Callable[[], Any]) -> Any:
        """`fn()`, computed once per step for all variables that ask with the same `learning_rate` and `key`."""
        known, full = self._once, (id(learning_rate), key)
        if known is None:
            return fn()
        if full not in known:
            known[full] = fn(), learning_rate  # kept, so that its id stays its own
        return known[full][0]

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        norm, value = self.clipnorm, self.clipvalue
        if norm and norm > 0:
            return on_each(grads, lambda g: clip_by_norm(g, norm))
        if self.global_clipnorm and self.global_clipnorm > 0:
            return clip_by_global_norm(grads, self.global_clipnorm)
        if value and value > 0:
            return on_each(grads, lambda g: ops.clip(g, -value, value))
        return grads

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """The new values that `apply` would give, from values that are passed; no variable changes.

        Args:
            optimizer_variables: values for `variables`.
            grads: the gradients.
            trainable_variables: values for the variables that the optimizer was built with.

        Returns:
            the new values of the latter, and those of the former.

        Raises:
            ValueError: the optimizer is not built, or the numbers of values don't match.
        """
        self._check_stateless(optimizer_variables, trainable_variables)
        trained, own = self._trainable_variables, self.variables
        before = [v.value for v in (*trained, *own)]
        try:
            _assign_all((*trained, *own), (*trainable_variables, *optimizer_variables))
            self.apply(grads)
            return [v.value for v in trained], [v.value for v in own]
        finally:
            _assign_all((*trained, *own), before)

    def _check_stateless(self, optimizer_variables: Sequence[Any], trainable_variables: Sequence[Any]) -> None:
        where = f"Optimizer '{self.name}'"
        if not self.built:
            problem = f"To call `stateless_apply`, {type(self).__name__} must be built"
            raise ValueError(message(where, problem, "Call `optimizer.build(trainable_variables)` first"))
        for name, given, known in (
            ("optimizer_variables", optimizer_variables, self.variables),
            ("trainable_variables", trainable_variables, self._trainable_variables),
        ):
            if len(given) != len(known):
                problem = f"Argument `{name}` must be a list of {len(known)} tensors. Received {len(given)}"
                raise ValueError(message(where, problem, "Pass one value per variable, in their order"))

    def scale_loss(self, loss: Any) -> Any:
        """The loss from which gradients are to be taken: times `loss_scale_factor`, if there is one."""
        return loss if self.loss_scale_factor is None else ops.multiply(loss, self.loss_scale_factor)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same optimizer again, without its state; subclasses add theirs."""
        first = {"name": self.name, "learning_rate": self._learning_rate_config()}
        return first | {name: getattr(self, name) for name in _CONFIG}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """An optimizer made from what `get_config` returned."""
        given = dict(config)
        if "learning_rate" in given:
            given["learning_rate"] = learning_rate_from_config(given["learning_rate"], custom_objects)
        return cls(**given)


_CONFIG = (
    "weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema", "ema_momentum", "ema_overwrite_frequency",
    "loss_scale_factor", "gradient_accumulation_steps",
)  # fmt: skip
_MISSING = (
    "Gradients do not exist for variables {} when minimizing the loss. If using `model.compile()`, did you forget to "
    "provide a `loss` argument?"
)


def _check_unknown(kwargs: dict[str, Any], where: str) -> None:
    if kwargs.pop("decay", None) is not None:
        warnings.warn("Argument `decay` is no longer supported and will be ignored. Use a schedule.", stacklevel=4)
    if kwargs:
        problem = f"Argument(s) not recognized: {kwargs}"
        raise ValueError(message(where, problem, f"Known are those of the class and {', '.join(_SHARED)}"))


def _assign_all(variables: Sequence[Variable], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


__all__ = ["Optimizer", "overwritten", "shared"]
