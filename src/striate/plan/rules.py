"""All lowering rules, gathered: importing a module of rules registers them."""

from striate.plan import lowering_blocks, lowering_moves, lowering_windows
from striate.plan.lowering import RULES

__all__ = ["RULES", "lowering_blocks", "lowering_moves", "lowering_windows"]
