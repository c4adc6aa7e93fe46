"""Passes: graph to graph, one file each. Tests verify the graph after each."""
