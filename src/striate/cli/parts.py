"""What the subcommands call, loaded when it is called: a command starts without what the others need."""

from striate.core.lazy import attach

_NAMES = {
    "Options": "striate.cli.bench",
    "Wanted": "striate.cli.features",
    "run_animate": "striate.cli.animate",
    "run_bench": "striate.cli.bench",
    "run_explain": "striate.cli.explain",
    "run_export": "striate.cli.export",
    "run_features": "striate.cli.features",
    "run_notebook": "striate.cli.notebook",
    "run_script": "striate.cli.script",
    "run_summary": "striate.cli.summary",
    "run_tour": "striate.cli.tour",
}

__getattr__, _dir = attach(__name__, (), _NAMES)


def __dir__() -> list[str]:
    return _dir()
