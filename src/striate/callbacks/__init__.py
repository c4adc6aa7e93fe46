"""Callbacks: what `fit`, `evaluate` and `predict` call between steps."""
