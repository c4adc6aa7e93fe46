"""Reverse-mode differentiation, graph to graph. It knows no op by name: rules stand with the primitives."""

from striate.autodiff.reverse import NotDifferentiableError, gradients, vjp

__all__ = ["NotDifferentiableError", "gradients", "vjp"]
