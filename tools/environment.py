"""Makes `.venv` ready: the environment, the packages, the compiled engine; only what is not yet so.

    python tools/environment.py [--is-ready] base|viz|data|test|lint|bench ...
    python tools/environment.py [--is-ready] rivals

`rivals` has an environment of its own, `.venv-bench`, without striate: its packages must not settle striate's versions.

Runs with any Python 3.11+ and nothing installed (tools/setup.sh finds one). What has been done is written to
`striate.json` there: packages count as done while their list in pyproject.toml is unchanged, the engine while its
sources are.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / (".venv-bench" if "rivals" in sys.argv[1:] else ".venv")
PYTHON = VENV / "bin" / "python"
STATE = VENV / "striate.json"
BUILD = ROOT / "build" / f"cp{sys.version_info[0]}{sys.version_info[1]}"
LOG = ROOT / "build" / "setup.log"
PARTS = {"base": "numpy and the other base packages", "viz": "matplotlib", "build": "the build tools"}
PARTS |= {"data": "scikit-learn, for its digits"}
PARTS |= {"test": "the tests' packages (Keras, JAX ...: some 600 MB)", "lint": "the checkers", "bench": "onnx"}
PARTS |= {"rivals": "the rivals (TensorFlow, PyTorch, JAX ...: some 3 GB)"}
COMPILED = {"base", "viz", "data", "test", "bench"}  # `lint` alone needs no engine
HEARTBEAT = 15.0  # seconds between lines where the output is not a terminal


class Failed(Exception):
    """A step that did not work; the text is for the user."""


def say(text: str) -> None:
    print(f"striate: {text}", flush=True)


# --- what is wanted, what is there --------------------------------------------------------------------------------


def project() -> dict:
    with open(ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)


def requirements(table: dict, part: str) -> list[str]:
    """The list of packages of one part, with groups and our own extras that it names put in."""
    if part == "base":
        return list(table["project"].get("dependencies", []))
    if part == "build":
        return list(table["build-system"]["requires"])
    groups, extras = table.get("dependency-groups", {}), table["project"].get("optional-dependencies", {})
    entries = groups[part] if part in groups else extras.get(part, [])
    return [package for entry in entries for package in _expanded(table, entry)]


def _expanded(table: dict, entry: str | dict) -> list[str]:
    if isinstance(entry, dict):
        return requirements(table, entry["include-group"])
    own = re.fullmatch(r"striate\[([\w,\s-]+)\]", entry)
    if own is None:
        return [entry]
    extras = table["project"]["optional-dependencies"]
    return [package for name in own[1].split(",") for e in extras[name.strip()] for package in _expanded(table, e)]


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def engine_digest(table: dict) -> str:
    """Changes with whatever the compiled engine and the package's metadata are made from."""
    files = [ROOT / "CMakeLists.txt", *sorted(p for p in (ROOT / "native").rglob("*") if p.is_file())]
    contents = {str(p.relative_to(ROOT)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.exists()}
    settings = [table["build-system"], table["project"], table.get("tool", {}).get("scikit-build", {})]
    environment = {name: os.environ.get(name) for name in ("CMAKE_ARGS", "CXXFLAGS", "SKBUILD_CMAKE_ARGS")}
    return digest([contents, settings, environment])


def identity() -> str:
    """Which Python this environment is made from, and where it stands: scripts in it hold its full path."""
    return f"{sys.version} {sys.base_prefix} {VENV}"


def read_state() -> dict:
    try:
        return json.loads(STATE.read_text())
    except (OSError, ValueError):
        return {}


def write_state(state: dict) -> None:
    beside = STATE.with_suffix(".new")
    beside.write_text(json.dumps(state, indent=1))
    os.replace(beside, STATE)


def missing_packages(state: dict, table: dict, parts: list[str]) -> list[str]:
    done = state.get("packages", {})
    return [part for part in parts if done.get(part) != digest(requirements(table, part))]


def engine_ready(state: dict, table: dict) -> bool:
    compiler = os.environ.get("CXX")
    return (
        state.get("engine") == engine_digest(table)
        and compiler in (None, "", state.get("compiler"))
        and any(VENV.glob("lib/python*/site-packages/striate/**/_native*"))
    )


def usable(state: dict) -> bool:
    return state.get("identity") == identity() and not state.get("unfinished") and PYTHON.exists()


def wanted(parts: list[str]) -> list[str]:
    """Every part needs `base`; what runs the package needs the build tools too."""
    known = [part for part in parts if part in PARTS]
    if len(known) != len(parts) or not parts:
        raise Failed(f"environment.py: expected some of {', '.join(PARTS)}; received {' '.join(parts) or 'nothing'}")
    if parts == ["rivals"]:
        return parts
    tools = ["build"] if COMPILED & set(parts) else []
    return list(dict.fromkeys(["base", *tools, *parts]))


def is_ready(parts: list[str]) -> bool:
    state, table, parts = read_state(), project(), wanted(parts)
    built = "build" not in parts or engine_ready(state, table)
    return usable(state) and not missing_packages(state, table, parts) and built


# --- running a step, with its progress ----------------------------------------------------------------------------


def progress_of(line: str) -> str | None:
    """The words worth showing in a line of pip's or ninja's output."""
    step = re.match(r"\s*\[(\d+)/(\d+)\]\s+(.*)", line)
    if step:
        target = re.sub(r"^.*\.dir/", "", step[3].split()[-1])
        return f"[{step[1]}/{step[2]}] {target.removesuffix('.o').removesuffix('.obj')}"
    package = re.match(r"\s*(Collecting|Downloading)\s+(\S+)", line)
    if package:
        return f"{package[1].lower()} {package[2].rsplit('/', 1)[-1]}"
    return "installing" if line.lstrip().startswith("Installing collected") else None


class Progress:
    """Shows how far a step is: one line that changes in a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self.latest, self.start, self.shown = "", time.monotonic(), time.monotonic()

    def tick(self) -> None:
        now = time.monotonic()
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            text = f"  {now - self.start:4.0f} s  {self.latest}"
            print(f"\r{text[:width]:<{width}}", end="", flush=True)
        elif now - self.shown >= HEARTBEAT:
            self.shown = now
            print(f"  {now - self.start:4.0f} s  {self.latest}", flush=True)

    def close(self) -> None:
        if self.terminal:
            print("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r", end="", flush=True)


def run(command: list[str], what: str) -> None:
    """Runs one step; its output goes to build/setup.log and, if it fails, its end to the user."""
    LOG.parent.mkdir(exist_ok=True)
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}
    environment["NINJA_STATUS"] = "[%f/%t] "
    environment["PATH"] = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment.pop("PYTHONPATH", None)
    lines: list[str] = []
    progress = Progress()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    )  # fmt: skip

    def read() -> None:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            progress.latest = progress_of(line) or progress.latest

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while reader.is_alive():
            progress.tick()
            reader.join(0.2)
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        progress.close()
        LOG.write_text("\n".join([" ".join(command), *lines, ""]))
    if code:
        end = ending(lines)
        raise Failed(f"{what} failed (exit status {code}). The end of its output:\n\n{end}\n\nAll of it: {LOG}")


def ending(lines: list[str]) -> str:
    """The first compiler errors, if any, then the last lines."""
    errors = [line for line in lines if re.search(r"\berror:|^ERROR|CMake Error|FAILED:", line)][:12]
    return "\n".join(["  " + line for line in [*errors, *(["..."] if errors else []), *lines[-25:]]])


# --- the steps ----------------------------------------------------------------------------------------------------


def make_environment() -> dict:
    """A fresh environment; one that is half made, moved or of another Python is removed first."""
    if VENV.exists() or VENV.is_symlink():
        say(f"removing a {VENV.name} that is incomplete, was moved or belongs to another Python")
        VENV.unlink() if VENV.is_symlink() else shutil.rmtree(VENV)
    say(f"making {VENV.name} with Python {sys.version.split()[0]} ({sys.executable})")
    run([sys.executable, "-m", "venv", str(VENV)], f"Making {VENV.name}")
    state = {"identity": identity(), "packages": {}}
    write_state(state)
    return state


def install(state: dict, table: dict, parts: list[str]) -> None:
    """Installs the packages of `parts` in one go, so that pip can settle the versions together."""
    say("installing " + ", ".join(PARTS[part] for part in parts))
    packages = sorted({package for part in parts for package in requirements(table, part)})
    pip(state, ["--no-warn-script-location", *packages], "Installing packages")
    for part in parts:
        state["packages"][part] = digest(requirements(table, part))
    write_state(state)


def pip(state: dict, arguments: list[str], what: str) -> None:
    """A pip that is cut off may leave half a package behind, which pip takes for a whole one: then all is made anew."""
    write_state(state | {"unfinished": True})
    try:
        run([str(PYTHON), "-m", "pip", "install", *arguments], what)
    except Failed:
        write_state(state)
        raise
    write_state(state)


def build(state: dict, table: dict) -> None:
    """Compiles the engine into the environment; the package's Python files stay where they are (editable)."""
    compiler = os.environ.get("CXX")
    if BUILD.exists() and state.get("compiler") not in (None, compiler):
        shutil.rmtree(BUILD)  # CMake keeps the first compiler that it saw
    ask = "import json, scikit_build_core.build as b; print(json.dumps(b.get_requires_for_build_editable({})))"
    answer = subprocess.run([str(PYTHON), "-c", ask], cwd=ROOT, capture_output=True, text=True)
    if answer.returncode:
        raise Failed(f"scikit-build-core does not answer:\n{answer.stderr}")
    tools = json.loads(answer.stdout.splitlines()[-1])
    if tools:
        say("installing " + " and ".join(tools))
        pip(state, tools, "Installing the build tools")
    say("building the C++ engine")
    start = time.monotonic()
    options = ["--no-build-isolation", "--no-deps", "--verbose", f"--config-settings=build-dir={BUILD}"]
    pip(state, [*options, "--editable", str(ROOT)], "Building the engine")
    say(f"built in {time.monotonic() - start:.0f} s")
    state["engine"], state["compiler"] = engine_digest(table), compiler
    write_state(state)


def prepare(parts: list[str]) -> None:
    parts, table, state = wanted(parts), project(), read_state()
    if not usable(state):
        state = make_environment()
    missing = missing_packages(state, table, parts)
    if missing:
        install(state, table, missing)
    if "build" in parts and not engine_ready(state, table):
        build(state, table)


def main(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["--is-ready"]:
            return 0 if is_ready(arguments[1:]) else 1
        prepare(arguments)
    except Failed as error:
        print(f"striate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstriate: stopped. The same command carries on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
