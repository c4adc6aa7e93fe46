"""The intermediate representation: pure data, no knowledge of what an op does."""

from striate.ir.builder import Builder, building, current, paused
from striate.ir.graph import Aval, Graph, Node, Value, toposort
from striate.ir.verify import GraphError, verify

__all__ = [
    "Aval",
    "Builder",
    "Graph",
    "GraphError",
    "Node",
    "Value",
    "building",
    "current",
    "paused",
    "toposort",
    "verify",
]
