"""Chains of elementwise ops as one loop over blocks that stay in cache."""

from __future__ import annotations

from collections.abc import Sequence

from striate.ir import Node
from striate.plan.draft import Draft, Var


def lower(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    """The `elementwise` kernel's program for a fused node; None where an op has no code in the kernel."""
    return None
