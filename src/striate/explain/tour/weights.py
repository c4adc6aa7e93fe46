"""Which weights VGG-19 gets on the tour: given, cached, downloaded, or else random ones."""

from __future__ import annotations

import html
import threading
import urllib.error
import urllib.request
from pathlib import Path

from striate.applications.vgg import VGG19_TABLE, WEIGHTS_URL, weight_file
from striate.core import config

_PATIENCE = 4.0  # seconds that an unreachable server may take
_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
_RANDOM = """
rng = np.random.default_rng(0)
vgg.set_weights([
    rng.normal(0, np.sqrt(2 / max(np.prod(w.shape[:-1]), 1)), w.shape) * (len(w.shape) > 1)
    for w in vgg.weights])"""


def choose(given: Path | None) -> tuple[str, str]:
    """The source that makes `vgg`, and a sentence on its weights."""
    if given is not None:
        name = html.escape(given.name)
        return _source(repr(str(given))), f"Its weights are those of the file <code>{name}</code>."
    reason = _fetch()
    if reason is None:
        return _source("'imagenet'"), "Its weights are the ones learned on ImageNet."
    note = f"<strong>Its weights are random here</strong>, from a fixed seed: {html.escape(reason)}"
    return _source("None") + _RANDOM, note


def _source(weights: str) -> str:
    return f"vgg = keras.applications.VGG19(weights={weights}, include_top=False)"


def _fetch() -> str | None:
    """Puts the official file into the cache; None when it is there, otherwise why not."""
    cached = config.keras_home() / "models" / _FILE
    if not cached.exists() and not _reachable():
        return f"the learned ones are not in the cache ({_FILE} in $KERAS_HOME/models) and can't be downloaded now."
    try:
        weight_file(VGG19_TABLE, False)
    except (OSError, ValueError) as error:
        return f"the learned ones could not be had ({str(error).splitlines()[0]})"
    return None


def _reachable() -> bool:
    """Whether the server answers within `_PATIENCE`; in a thread, for looking up a name may take longer."""
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(_answers()), daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return bool(found and found[0])


def _answers() -> bool:
    request = urllib.request.Request(f"{WEIGHTS_URL}/vgg19/{_FILE}", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE):
            return True
    except (OSError, ValueError):
        return False
