"""Runs the parts in order and makes the page of them."""

from __future__ import annotations

import html
import platform
import time
from collections.abc import Callable
from pathlib import Path

from striate.core import config
from striate.models.session import clear_session

from . import weights
from .page import Section, page
from .parts import Options, Part, Text, image_source, shrink_source
from .runner import Runner
from .table import PARTS

Watch = Callable[[Part, float | None], None]


def options_for(image: Path | None, weight_file: Path | None) -> Options:
    """The options of a tour; looks for VGG-19's weights, which may take a while to download."""
    source, note = weights.choose(weight_file)
    return Options(image_source(image), source, note, shrink_source(image))


def build_page(options: Options, watch: Watch = lambda part, seconds: None) -> str:
    """The page as HTML. `import keras` must already answer with striate (`install_as_keras`).

    Args:
        options: the picture and the weights.
        watch: told of each part when it starts (None) and when it has ended (its seconds).
    """
    runner, start = Runner(), time.perf_counter()
    clear_session()  # layers are numbered as in the chapter, whatever was made before
    sections = [_run(runner, part, options, watch) for part in PARTS]
    return page(sections, _facts(time.perf_counter() - start))


def _run(runner: Runner, part: Part, options: Options, watch: Watch) -> Section:
    watch(part, None)
    start = time.perf_counter()
    steps = [step if isinstance(step, Text) else runner.run(step, part.id) for step in part.steps(options)]
    seconds = time.perf_counter() - start
    watch(part, seconds)
    return Section(part, steps, seconds)


def _facts(seconds: float) -> str:
    threads = config.num_threads()
    machine = html.escape(f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}")
    return f"Made in {seconds:.1f} s by striate with {threads} thread{'s' * (threads != 1)}: {machine}."
