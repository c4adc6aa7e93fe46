"""The intermediate representation: pure data, no knowledge of what an op does."""

from striate.ir.builder import Builder, building, current, paused
from striate.ir.graph import Aval, Graph, Node, Segment, Value, toposort
from striate.ir.verify import GraphError, verify
from striate.ir.where import at, inside

__all__ = [
    "Aval",
    "Builder",
    "Graph",
    "GraphError",
    "Node",
    "Segment",
    "Value",
    "at",
    "building",
    "current",
    "inside",
    "paused",
    "toposort",
    "verify",
]
