"""The whole state of a picture at one frame: what was there from the start, what has been written, what is new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .scene import Cell, Group, Look, Plane


class View:
    """A scene after some looks, the last of which is the current one."""

    def __init__(self, scene: Group) -> None:
        self.scene, self.look = scene, Look()
        self._cells = {plane.name: list(plane.cells) for plane in scene.planes()}

    def then(self, look: Look) -> View:
        """Goes on by one frame."""
        self.look = look
        for name, index, cell in look.written:
            self._cells[name][index] = cell
        return self

    def cells(self, plane: Plane) -> Sequence[Cell]:
        """A plane's cells as they are now."""
        return self.look.planes.get(plane.name) or self._cells[plane.name]

    def changed(self, look: Look) -> Iterator[tuple[str, int, Cell]]:
        """What of a look's writing is not there yet."""
        return (w for w in look.written if self._cells[w[0]][w[1]] != w[2])


def views(scene: Group, looks: Iterable[Look]) -> Iterator[View]:
    """One view, frame by frame: it is the same object each time."""
    view = View(scene)
    for look in looks:
        yield view.then(look)
