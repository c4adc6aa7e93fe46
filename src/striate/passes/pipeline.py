"""The passes of the native engine, in order."""

from __future__ import annotations

import os

from striate.ir import Graph, verify
from striate.kernels import attributes
from striate.passes.constants import fold_constants
from striate.passes.cse import merge_common
from striate.passes.fold_affine import fold_affine
from striate.passes.fuse import fuse
from striate.passes.fuse_blocks import fuse_blocks
from striate.passes.pads import merge_pads
from striate.passes.pooling import shrink_pooling
from striate.passes.simplify import simplify
from striate.passes.strides import thin
from striate.primitives import infer_node


def optimize(graph: Graph, stable: frozenset[int]) -> Graph:
    """`graph` made ready for a plan; inputs at `stable` are weights. With STRIATE_VERIFY=1 each pass is checked."""
    activations = frozenset(attributes.ACTIVATION_IDS)
    for step in (
        fold_constants,
        simplify,
        merge_common,
        merge_pads,
        shrink_pooling,
        merge_common,
        lambda g: fold_affine(g, stable),
        fold_constants,
        thin,
        lambda g: fuse(g, stable, activations),
        fuse_blocks,
    ):
        graph = _checked(step(graph))
    return graph


def _checked(graph: Graph) -> Graph:
    return verify(graph, infer_node) if os.environ.get("STRIATE_VERIFY") == "1" else graph
