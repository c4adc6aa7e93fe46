"""Layers at work, frame by frame: a window over real numbers, drawn as SVG, PNG, GIF, MP4 or a page that plays.

The data goes `operation` (a layer and its input as numbers) -> `frames` (what each moment reads and makes) -> `picture`
(which cells show what) -> `layout` (where they stand) -> `svg`, `raster`, `player` and `video` (how they look).
"""
