"""Initializers by name, as config dictionaries, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.core.objects import deserialize_object, lookup, names_of, serialize_object
from striate.core.registry import export
from striate.initializers import constant, random, scaling

_TABLE = names_of(
    constant.Constant,
    constant.Identity,
    constant.Ones,
    constant.STFT,
    constant.Zeros,
    random.Orthogonal,
    random.RandomNormal,
    random.RandomUniform,
    random.TruncatedNormal,
    scaling.GlorotNormal,
    scaling.GlorotUniform,
    scaling.HeNormal,
    scaling.HeUniform,
    scaling.LecunNormal,
    scaling.LecunUniform,
    scaling.VarianceScaling,
    IdentityInitializer=constant.Identity,
    OrthogonalInitializer=random.Orthogonal,
    STFTInitializer=constant.STFT,
    uniform=random.RandomUniform,
    normal=random.RandomNormal,
    one=constant.Ones,
    zero=constant.Zeros,
)


@export("keras.initializers.serialize")
def serialize(initializer: Any) -> dict[str, Any] | None:
    """The config dictionary of an initializer."""
    return serialize_object(initializer)


@export("keras.initializers.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The initializer that a config dictionary or a name stands for; ValueError if it is not known."""
    return deserialize_object(config, _TABLE, "initializer", custom_objects)


@export("keras.initializers.get")
def get(identifier: Any) -> Any:
    """The initializer for a name, a config dictionary, a class, an object or a function; None stays None.

    An array stands for itself: it gives its values to a weight of its shape.

    Raises:
        ValueError: anything else.
    """
    if isinstance(identifier, np.ndarray | np.generic):
        return _fixed(np.asarray(identifier))
    return lookup(identifier, _TABLE, "initializer")


def _fixed(array: np.ndarray) -> Callable[..., np.ndarray]:
    def initialize(shape: Any, dtype: Any = None) -> np.ndarray:
        if tuple(shape) != array.shape:
            raise ValueError(
                f"Expected `shape` to be {array.shape} for direct tensor as initializer. Received shape={shape}"
            )
        return array.astype(dtypes.as_numpy(dtype))

    return initialize
