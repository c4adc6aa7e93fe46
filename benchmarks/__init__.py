"""Measures striate against other runtimes: `make bench`."""
