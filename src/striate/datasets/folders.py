"""Which files a folder holds, their labels, and the split into training and validation: as Keras counts them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Files(NamedTuple):
    """Paths, the number of each one's class (or None), and the names of the classes."""

    paths: list[str]
    labels: list[int] | None
    class_names: list[str] | None


def find(
    directory: Any, labels: Any, formats: Sequence[str], class_names: Any, follow_links: bool, verbose: bool
) -> Files:
    """The files of these `formats` below `directory`, in the order of their names.

    Args:
        labels: "inferred" (a class is a folder), None, or one number per file.
        class_names: which folders, in which order; None for all.

    Raises:
        ValueError: no such folder, names that are no folders, another number of labels than of files.
    """
    if not os.path.isdir(directory):
        raise ValueError(f"there is no folder {os.fspath(directory)!r}. Check the path.")
    if isinstance(labels, str):
        found = _by_folder(os.fspath(directory), formats, class_names, follow_links)
    else:
        found = _given(_below(os.fspath(directory), formats, follow_links), labels, class_names)
    if verbose:
        kinds = f" belonging to {len(found.class_names)} classes" if found.class_names is not None else ""
        print(f"Found {len(found.paths)} files{kinds}.")
    return found


def _by_folder(directory: str, formats: Sequence[str], class_names: Any, follow_links: bool) -> Files:
    folders = sorted(e.name for e in os.scandir(directory) if e.is_dir() and not e.name.startswith("."))
    if class_names is not None:
        if not set(class_names) <= set(folders):
            raise ValueError(
                "The `class_names` passed did not match the names of the subdirectories of the target directory. "
                f"Expected: {folders} (or a subset of it), but received: class_names={class_names}"
            )
        folders = list(class_names)
    each = [_below(os.path.join(directory, name), formats, follow_links) for name in folders]
    labels = [number for number, paths in enumerate(each) for _ in paths]
    return Files([p for paths in each for p in paths], labels, folders)


def _given(paths: list[str], labels: Any, class_names: Any) -> Files:
    if class_names is not None:
        raise ValueError('You can only pass `class_names` if `labels="inferred"`.')
    if labels is None:
        return Files(paths, None, None)
    if len(labels) != len(paths):
        raise ValueError(
            "Expected the lengths of `labels` to match the number of files in the target directory. len(labels) is "
            f"{len(labels)} while we found {len(paths)} files."
        )
    return Files(paths, [int(n) for n in labels], [str(n) for n in sorted(set(labels))])


def _below(folder: str, formats: Sequence[str], follow_links: bool) -> list[str]:
    found = []
    for root, folders, names in os.walk(folder, followlinks=follow_links):
        folders.sort()
        found += [(root, name) for name in sorted(names) if Path(name).suffix.lower() in formats]
    return [os.path.join(root, name) for root, name in sorted(found, key=lambda both: both[0])]


def shuffled(files: Files, seed: int) -> Files:
    """The files in an order that follows from `seed`; Keras's."""
    order = np.arange(len(files.paths))
    np.random.RandomState(seed).shuffle(order)
    return chosen(files, order.tolist())


def chosen(files: Files, numbers: Sequence[int]) -> Files:
    """The files with these numbers."""
    labels = None if files.labels is None else [files.labels[i] for i in numbers]
    return Files([files.paths[i] for i in numbers], labels, files.class_names)


def check_split(fraction: Any, subset: Any, shuffle: bool, seed: Any) -> None:
    """ValueError unless the arguments of a split fit one another."""
    if fraction is not None and not 0 < fraction < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1, received: {fraction}")
    if (fraction is None) != (subset is None):
        raise ValueError(
            "If `subset` is set, `validation_split` must be set, and inversely. Received: "
            f"validation_split={fraction}, subset={subset!r}"
        )
    if subset not in ("training", "validation", "both", None):
        raise ValueError(f'`subset` must be either "training", "validation" or "both", received: subset={subset}')
    if fraction is not None and shuffle and seed is None:
        raise ValueError(
            "If using `validation_split` and shuffling the data, you must provide a `seed` argument, to make sure that "
            "there is no overlap between the training and validation subset."
        )


def part(files: Files, fraction: float | None, subset: str | None, verbose: bool) -> Files:
    """The training or the validation part: the latter is the last `fraction` of the files."""
    if fraction is None or subset is None:
        return files
    held = int(fraction * len(files.paths))
    numbers = range(len(files.paths))
    numbers = numbers[: len(numbers) - held] if subset == "training" else numbers[len(numbers) - held :]
    if verbose:
        print(f"Using {len(numbers)} files for {subset}.")
    return chosen(files, numbers)
