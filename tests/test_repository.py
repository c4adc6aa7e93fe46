"""The house rules that a tool can hold: what every file of the package, the engine and the repository keeps to."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "striate"
MODULES = sorted(PACKAGE.rglob("*.py"))
NATIVE = sorted(p for p in (ROOT / "native").rglob("*") if p.suffix in {".cpp", ".h", ".inc"})
LIMIT = 500  # lines of a file
# Written in two parts so that this file keeps to its own rule.
BANNED = [
    ("a package registry's host", re.compile(r"\b(" + "py" + r"pi|files\.python" + r"hosted)\.(org|io)", re.I)),
    ("another registry's host", re.compile(r"\b(registry\." + r"npmjs|conda\.ana" + r"conda|crates)\.(org|io)", re.I)),
    ("a path of one machine", re.compile(r"(?<![\w.~/-])/(" + "tmp|wo" + "rk|ro" + r"ot|home/\w+|Users/\w+)/")),
    ("the compiler's guess at the machine", re.compile("-march=" + "native|-mcpu=" + "native|-mtune=" + "native")),
    ("an unfinished place", re.compile("TO" + r"DO\b|FIX" + r"ME\b|\bXX" + r"X\b")),
]
TEXT = {".py", ".pyi", ".md", ".toml", ".txt", ".cpp", ".h", ".inc", ".cmake", ".sh", ".ipynb", ".yml", ".json", ""}


def tracked() -> list[Path]:
    """The repository's files; in a copy without git, those that would be."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode == 0 and listing.stdout:
        return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]
    made = {".git", ".venv", "build", "dist", "striate-tour", "__pycache__"}
    return [p for p in sorted(ROOT.rglob("*")) if p.is_file() and not made & set(p.relative_to(ROOT).parts)]


def imported(node: ast.AST, module: str = "striate") -> list[str]:
    """The absolute names that an import statement takes from the package; relative ones are counted from `module`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name.split(".")[0] == "striate"]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        above = module.split(".")[: -node.level] or ["striate"]
        base = ".".join([*above, *([base] if base else [])])
    return [f"{base}.{alias.name}" for alias in node.names] if base.split(".")[0] == "striate" else []


def asserts(tree: ast.AST) -> list[int]:
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def local_imports(tree: ast.AST) -> list[int]:
    """Lines where a function imports the package's own modules."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return sorted({n.lineno for f in functions for n in ast.walk(f) if imported(n)})


def native_imports(tree: ast.AST) -> list[int]:
    """Lines that import the extension module, however it is spelled."""
    return [n.lineno for n in ast.walk(tree) if any("_native" in name.split(".") for name in imported(n))]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def banned(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        for what, pattern in BANNED:
            if pattern.search(line):
                yield f"{number}: {what}: {line.strip()[:100]}"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_rules_look_at_something() -> None:
    assert len(MODULES) > 20
    assert len(NATIVE) > 3
    assert len(tracked()) > 40


def test_no_assert_in_the_package() -> None:
    """`python -O` removes them, and users deserve a message."""
    found = [f"{named(p)}:{line}" for p in MODULES for line in asserts(ast.parse(p.read_text()))]
    assert not found


def test_no_function_imports_our_own_modules() -> None:
    """They hide cycles. The lazy `__init__` files are the exception."""
    modules = [p for p in MODULES if p.name != "__init__.py"]
    found = [f"{named(p)}:{line}" for p in modules for line in local_imports(ast.parse(p.read_text()))]
    assert not found


def test_only_kernels_imports_the_extension_module() -> None:
    modules = [p for p in MODULES if PACKAGE / "kernels" not in p.parents]
    found = [f"{named(p)}:{line}" for p in modules for line in native_imports(ast.parse(p.read_text()))]
    assert not found


def test_files_stay_within_their_length() -> None:
    code = [*MODULES, *NATIVE, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "tools").glob("*"))]
    lengths = {named(p): len(p.read_text().splitlines()) for p in code if p.is_file()}
    assert {name: length for name, length in lengths.items() if length > LIMIT} == {}


def test_no_banned_words() -> None:
    files = [p for p in tracked() if p.suffix in TEXT]
    found = [f"{named(p)}:{hit}" for p in files for hit in banned(p.read_text(errors="replace"))]
    assert not found


def test_every_layer_is_in_the_contract() -> None:
    """A new folder of the package takes its place in the list of layers, so that its imports are checked."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    listed = {name for layer in contracts[0]["layers"] for name in re.findall(r"\w+", layer)}
    folders = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert folders <= listed


def test_layers_stand_in_the_documented_order() -> None:
    """The list in docs/architecture.md and the one that is checked are the same."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    checked = [re.findall(r"\w+", layer)[0] for layer in contracts[0]["layers"]]
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert re.findall(r"^\| `(\w+)/` \|", text, re.M) == checked


class TestTheRulesCanFail:
    """Each check is shown something that it has to find."""

    @pytest.mark.parametrize(
        "source",
        [
            "def f():\n    import striate.core.window",
            "def f():\n    from striate import ops",
            "def f():\n    from ..core import window",
            "class A:\n    def f(self):\n        if 1:\n            from . import base",
            "async def f():\n    from striate.core.window import pads",
        ],
    )
    def test_local_import(self, source: str) -> None:
        assert local_imports(ast.parse(source))

    def test_imports_that_are_fine(self) -> None:
        assert not local_imports(ast.parse("from striate.core import window\ndef f():\n    import h5py"))

    def test_assert(self) -> None:
        assert asserts(ast.parse("def f(x):\n    assert x")) == [2]

    @pytest.mark.parametrize(
        "source",
        [
            "from striate.kernels import _native",
            "import striate.kernels._native as n",
            "from ..kernels._native import run",
        ],
    )
    def test_native_import(self, source: str) -> None:
        assert native_imports(ast.parse(source))

    @pytest.mark.parametrize(
        "text",
        [
            "https://py" + "pi.org/simple",
            "open('/tm" + "p/x')",
            "cd /wo" + "rk/main",
            "-march=" + "native",
            "# TO" + "DO: later",
        ],
    )
    def test_banned(self, text: str) -> None:
        assert list(banned(text))

    @pytest.mark.parametrize("text", ["path/tmp/x", "a framework/", "-march=x86-64-v3", "$TMPDIR/x", "~/.keras/models"])
    def test_not_banned(self, text: str) -> None:
        assert not list(banned(text))
