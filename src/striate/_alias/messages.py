"""What to say when something is asked of `keras` or `tensorflow` that striate does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .names import KERAS_VERSION, NAMES

_RECURRENT = (
    "striate is for convolutional networks: for sequences it has Conv1D, with padding='causal' where order counts"
)
_INSTEAD = {
    **dict.fromkeys(
        ("layers.LSTM", "layers.GRU", "layers.SimpleRNN", "layers.RNN", "layers.Bidirectional"), _RECURRENT
    ),
    "layers.TFSMLayer": "TensorFlow's SavedModel format needs TensorFlow; save the model as a .keras file there",
    "layers.JaxLayer": "write the layer as a subclass of keras.layers.Layer with keras.ops",
    "layers.FlaxLayer": "write the layer as a subclass of keras.layers.Layer with keras.ops",
    "layers.TorchModuleWrapper": "write the layer as a subclass of keras.layers.Layer with keras.ops",
    "distribution": "striate computes in one process",
    "device": "striate computes on the CPU; there is no device to choose",
}
_WITH_KERAS = "What needs it has to run with Keras itself"
TENSORFLOW_FIX = (
    "striate answers for tensorflow.keras only. Use keras.ops (or NumPy) in its place, or run this file with "
    "TensorFlow itself"
)


def missing(tail: str, here: Iterable[str] = ()) -> str:
    """The text for `keras.<tail>`, which striate lacks.

    Args:
        tail: the dotted name below `keras`, such as `"layers.LSTM"`.
        here: the names that striate has in that namespace, for the suggestion.
    """
    space, _, leaf = tail.rpartition(".")
    if tail.split(".")[0] == "src":
        return f"keras.{tail} is a private part of Keras. Use the public names, such as keras.layers and keras.ops."
    if leaf in NAMES.get(space, ()):
        reason = _INSTEAD.get(tail, _WITH_KERAS)
        return f"keras.{tail} is part of Keras {KERAS_VERSION}, but striate does not have it. {reason}."
    hint = _suggest(leaf, here, space)
    return f"{_dotted(space)} has no '{leaf}', neither in Keras {KERAS_VERSION} nor in striate.{hint}"


def tensorflow(tail: str) -> str:
    """The text for `tensorflow.<tail>`."""
    return f"tensorflow.{tail} was asked for, and {TENSORFLOW_FIX}."


def _dotted(space: str) -> str:
    return f"keras.{space}" if space else "keras"


def _suggest(leaf: str, here: Iterable[str], space: str) -> str:
    public = {n for n in here if not n.startswith("_")}
    close = difflib.get_close_matches(leaf, public, n=3, cutoff=0.7) or _folded(leaf, public)
    if close:
        return " Did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    elsewhere = sorted(s for s, names in NAMES.items() if leaf in names and s != space)
    return f" Did you mean keras.{elsewhere[0] + '.' if elsewhere[0] else ''}{leaf}?" if elsewhere else ""


def _folded(leaf: str, public: set[str]) -> list[str]:
    """Names that differ from `leaf` in case and underscores only."""
    plain = leaf.replace("_", "").lower()
    return sorted(n for n in public if n.replace("_", "").lower() == plain)
