"""All lowering rules, gathered."""

from striate.plan import lowering, lowering_elementwise, lowering_moves, lowering_windows
from striate.plan.lowering import RULES

__all__ = ["RULES", "lowering", "lowering_elementwise", "lowering_moves", "lowering_windows"]
