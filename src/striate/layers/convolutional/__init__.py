"""Convolution layers: one N-D base per kind, thin names for 1, 2 and 3 spatial axes."""
