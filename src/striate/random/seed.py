"""Where random numbers start: seeds, their generators, the one of the whole process."""

from __future__ import annotations

import random as python_random
import threading
from typing import Any

import numpy as np

from striate.core.errors import message
from striate.core.registry import export
from striate.ops.base import OPS, convert
from striate.trace import Variable, name_scope

_LOCK = threading.Lock()
_GLOBAL: dict[str, Any] = {"generator": None, "seed": None}


@export("keras.random.SeedGenerator")
class SeedGenerator:
    """A source of seeds: a state that moves on with each draw, also in compiled functions.

    Its `state` is a variable of two uint32: the seed, and how many draws there were.

    Args:
        seed: an int, so that runs repeat; None for a random one.
        name: the name of the generator.

    Raises:
        ValueError: a seed that is no integer.
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any) -> None:
        kwargs.pop("backend", None)
        if kwargs:
            raise ValueError(message("SeedGenerator", f"Unrecognized keyword arguments: {kwargs}", "Leave them out"))
        seed = make_default_seed() if seed is None else seed
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        self.name = name or "seed_generator"
        self._initial_seed = int(seed)
        with name_scope(self.name):
            self.state = Variable(
                np.array([self._initial_seed & 0xFFFFFFFF, 0], np.uint32),
                trainable=False,
                autocast=False,
                name="seed_generator_state",
            )
        self.state.is_seed = True

    def next(self, ordered: bool = True) -> Any:
        """The next seed, two uint32; the state moves on."""
        with _LOCK:
            state = self.state.value
            # a copy: the array itself is the variable's, and read-only
            seed = np.array(state) if isinstance(state, np.ndarray) else state
            self.state.assign(OPS["add"](state, np.array([0, 1], np.uint32)))
        return seed

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same generator again."""
        return {"seed": self._initial_seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """A generator made from what `get_config` returned."""
        return cls(**config)


def make_default_seed() -> int:
    """A seed from Python's own random numbers, which `set_random_seed` sets."""
    return python_random.randint(1, int(1e9))


def global_seed_generator() -> SeedGenerator:
    """The generator behind calls without a seed."""
    with _LOCK:
        generator = _GLOBAL["generator"]
    if generator is None:
        seed = _GLOBAL["seed"]
        generator = SeedGenerator(make_default_seed() if seed is None else seed, name="global_seed_generator")
        with _LOCK:
            generator = _GLOBAL["generator"] = _GLOBAL["generator"] or generator
    return generator


@export("keras.utils.set_random_seed")
def set_random_seed(seed: int) -> None:
    """Seeds Python's `random`, NumPy and striate together, so that a program repeats.

    Raises:
        ValueError: a seed that is no integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise ValueError(f"Expected `seed` argument to be an integer. Received: seed={seed} (of type {type(seed)})")
    python_random.seed(int(seed))
    np.random.seed(int(seed) % 2**32)
    with _LOCK:
        _GLOBAL.update(generator=None, seed=int(seed))


def draw_seed(seed: Any) -> Any:
    """`seed` as two uint32: an int stands for itself, a generator gives its next one, None asks the global generator.

    Raises:
        ValueError: anything else.
    """
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        return np.array([int(seed) & 0xFFFFFFFF, 0], np.uint32)
    if hasattr(seed, "shape") and tuple(seed.shape) == (2,):
        return OPS["cast"](convert(seed), "uint32")
    raise ValueError(
        f"Argument `seed` must be either an integer or an instance of `SeedGenerator`. Received: seed={seed} (of "
        f"type {type(seed)})"
    )
