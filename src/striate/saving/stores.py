"""What `save_own_variables(store)` and `load_own_variables(store)` get: one group of an HDF5 file as a dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from striate.saving import h5


class Writer:
    """Takes arrays by name; the group is made with the first of them, or at once if the owner has a name."""

    def __init__(self, root: Any, path: str, name: str | None) -> None:
        self._root, self._path = root, f"{path}/vars" if path else "vars"
        self._group: Any = None
        if name is not None:
            self._made().attrs["name"] = name

    def _made(self) -> Any:
        if self._group is None:
            self._group = self._root.create_group(self._path)
        return self._group

    def __setitem__(self, key: str, value: Any) -> None:
        array = np.asarray(value)
        dataset = self._made().create_dataset(key, data=array)
        if array.dtype.kind == "V":
            dataset.attrs["dtype"] = array.dtype.name

    def __delitem__(self, key: str) -> None:
        del self._made()[key]

    def __contains__(self, key: object) -> bool:
        return self._group is not None and key in self._group

    def keys(self) -> list[str]:
        """The names so far."""
        return [] if self._group is None else list(self._group.keys())

    def __len__(self) -> int:
        return len(self.keys())


class Reader(Mapping[str, Any]):
    """The arrays of a group; empty where the file has no such group.

    Raises:
        KeyError: no such array. ValueError: links, or no plain numbers. OSError: a damaged file.
    """

    def __init__(self, group: Any, where: str) -> None:
        self._group, self._where = group, where

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self:
            raise KeyError(key)
        return h5.read(h5.get_dataset(self._group, key, self._where, kinds="fiubVcS"), self._where)

    def __contains__(self, key: object) -> bool:
        return self._group is not None and isinstance(key, str) and h5.has(self._group, key)

    def __iter__(self) -> Iterator[str]:
        return iter(() if self._group is None else self._group.keys())

    def __len__(self) -> int:
        return 0 if self._group is None else len(self._group)
