"""Activation functions of `keras.ops.nn`: every entry of the primitives' table, and what has parameters of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from striate.ops.base import OPS, as_float, axes_of, convert, op
from striate.ops.numpy_shape import split
from striate.primitives import elementwise
from striate.primitives.activations import ACTIVATIONS
