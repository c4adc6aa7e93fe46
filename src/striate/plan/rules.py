"""All lowering rules, gathered."""

from striate.plan import lowering
from striate.plan.lowering import RULES

__all__ = ["RULES", "lowering"]
