"""`striate run FILE.ipynb`: the notebook in a kernel of its own, with striate in the place of Keras."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .user import INTERRUPTED, UserError

# Run in the kernel before the first cell; it leaves no name behind and no trace in the notebook.
START_UP = ("__import__('striate.alias').alias.install_as_keras()",)


def run_notebook(path: Path, inplace: bool = False, start_up: Sequence[str] = START_UP) -> int:
    """Executes the notebook `path` and writes it with its outputs.

    Args:
        path: a notebook (format 4).
        inplace: write over `path`; by default beside it, to `<name>.out.ipynb`.
        start_up: lines that the kernel runs before the first cell.

    Returns:
        The exit code: 0, 1 after an error in a cell (what ran until then is written), 130 after Ctrl-C.

    Raises:
        UserError: not a Python notebook, or nbclient is not installed.
    """
    nbformat, client_type, errors = _tools()
    notebook = _read(path, nbformat)
    target = path if inplace else path.with_name(f"{path.stem}.out.ipynb")
    interrupt = _Interrupt()
    client = client_type(
        notebook,
        km=_kernel_manager(start_up),
        timeout=None,
        resources={"metadata": {"path": str(path.resolve().parent)}},
        on_notebook_start=interrupt.listen,
        on_cell_start=_Progress(notebook),
    )
    code = _execute(client, notebook, errors, interrupt)
    _write(nbformat.writes(notebook), target)
    print(f"striate: wrote {target}", file=sys.stderr)
    return code


def _tools() -> tuple[Any, Any, Any]:
    try:
        import ipykernel  # noqa: F401
        import nbclient
        import nbformat
    except ImportError as error:
        raise UserError(
            f"run: a notebook needs {error.name}, which is not installed. "
            "Install it with: pip install 'striate[notebook]'"
        ) from None
    return nbformat, nbclient.NotebookClient, nbclient.exceptions


def _read(path: Path, nbformat: Any) -> Any:
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        nbformat.validate(notebook)
    except (
        nbformat.ValidationError,
        nbformat.reader.NotJSONError,
        UnicodeDecodeError,
        KeyError,
        AttributeError,
    ) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"run: '{path}' is not a Jupyter notebook ({reason}).") from None
    metadata = notebook.metadata
    language = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language", "python")
    if language.lower() not in ("python", "ipython"):
        raise UserError(f"run: '{path}' is a notebook in {language}; striate runs Python notebooks.")
    return notebook


def _kernel_manager(start_up: Sequence[str]) -> Any:
    """Starts kernels of this very Python, whatever kernels are registered on the machine."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--IPKernelApp.log_level=50"]
    command += [f"--IPKernelApp.exec_lines={line}" for line in start_up]

    class _OwnPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return KernelSpec(argv=command, language="python", display_name=kernel_name)

    return AsyncKernelManager(kernel_spec_manager=_OwnPython())


def _execute(client: Any, notebook: Any, errors: Any, interrupt: _Interrupt) -> int:
    try:
        client.execute(cleanup_kc=True)  # ends the kernel, too
    except errors.CellExecutionError as error:
        print(_cell_error(notebook, error), file=sys.stderr)
        return 1
    except (errors.DeadKernelError, KeyboardInterrupt, asyncio.CancelledError) as error:
        if interrupt.came or isinstance(error, KeyboardInterrupt):
            print("striate: interrupted", file=sys.stderr)
            return INTERRUPTED
        print("striate: the kernel ended unexpectedly (out of memory, or a cell ended it).", file=sys.stderr)
        return 1
    return 0


class _Interrupt:
    """Ctrl-C cancels the run, which ends the kernel; nbclient alone would make it look like a kernel that died."""

    def __init__(self) -> None:
        self.came = False

    def listen(self, notebook: Any) -> None:
        """Takes over SIGINT from nbclient once the kernel is up."""
        task = asyncio.current_task()
        try:
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._cancel, task)
        except (NotImplementedError, RuntimeError):  # Windows, or not in the main thread: KeyboardInterrupt as usual
            return

    def _cancel(self, task: Any) -> None:
        self.came = True
        task.cancel()


def _cell_error(notebook: Any, error: Any) -> str:
    """The cell that failed and its message; the traceback is in the notebook."""
    number, source = next(
        ((i, c.source) for i, c in enumerate(notebook.cells, 1) if c.cell_type == "code" and _failed(c)), (0, "")
    )
    shown = "\n".join(f"    {line}" for line in source.splitlines())
    return f"striate: cell {number} failed:\n{shown}\n{error.ename}: {error.evalue}"


def _failed(cell: Any) -> bool:
    tags = cell.metadata.get("tags", ())
    return "raises-exception" not in tags and any(o.output_type == "error" for o in cell.outputs)


class _Progress:
    """One line on a terminal, which says which cell is running."""

    def __init__(self, notebook: Any) -> None:
        self.total = len(notebook.cells)
        self.shown = sys.stderr.isatty()

    def __call__(self, cell: Any, cell_index: int, **_: Any) -> None:
        if self.shown:
            end = "\r" if cell_index + 1 < self.total else "\n"
            print(f"cell {cell_index + 1} of {self.total}", end=end, file=sys.stderr, flush=True)


def _write(text: str, target: Path) -> None:
    """Beside the target and then into place, so that a crash loses nothing."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(text + "\n", encoding="utf-8")
        if target.exists():
            part.chmod(target.stat().st_mode & 0o777)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
