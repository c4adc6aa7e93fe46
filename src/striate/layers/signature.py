"""The whole signature of a layer class: what `help` shows, with the arguments that `**kwargs` hands to its bases."""

from __future__ import annotations

import inspect
from typing import Any

_NOT_FOR_USERS = ("self", "rank")


class FullSignature:
    """A class attribute `__signature__` that is worked out when it is asked for."""

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")  # an instance is called by its `__call__`
        return inspect.Signature(list(_parameters(owner).values()))


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Parameters of `cls.__init__`, then those of the bases' as keywords, as long as each passes `**kwargs` on."""
    found: dict[str, inspect.Parameter] = {}
    inits = [base.__dict__["__init__"] for base in cls.__mro__ if base is not object and "__init__" in base.__dict__]
    for depth, init in enumerate(inits):
        parameters = inspect.signature(init).parameters.values()
        for p in parameters:
            if p.name not in _NOT_FOR_USERS and p.kind is not p.VAR_KEYWORD:
                found.setdefault(p.name, _keyword(p) if depth else p)
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return found


def _keyword(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter if parameter.kind is parameter.VAR_POSITIONAL else parameter.replace(kind=parameter.KEYWORD_ONLY)
