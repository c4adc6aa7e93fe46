"""From a graph to a frozen plan: kernel choice, schedule, memory."""

from striate.plan.build import build
from striate.plan.plan import Buffer, Operand, Origin, Place, Plan, Step

__all__ = ["Buffer", "Operand", "Origin", "Place", "Plan", "Step", "build"]
