"""The command `striate`, run as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat import v4


def striate(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "striate", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def script(folder: Path, text: str, name: str = "script.py") -> str:
    (folder / name).write_text(text)
    return name


def notebook(folder: Path, *cells: str, language: str = "python") -> Path:
    made = v4.new_notebook(cells=[v4.new_code_cell(c) for c in cells])
    made.metadata["kernelspec"] = {"name": "somewhere-else", "display_name": "Other", "language": language}
    path = folder / "note.ipynb"
    nbformat.write(made, path)
    return path


def test_a_script_runs_as_python_would_run_it(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("HERE = 'beside'")
    text = (
        "import sys, keras\nfrom beside import HERE\nfrom keras import ops\n"
        "if __name__ == '__main__':\n    main = sys.modules['__main__']\n"
        "    print(sys.argv, HERE, keras.backend.backend(), main.ops is ops, __file__)"
    )
    done = striate("run", script(tmp_path, text), "--epochs", "3", "-x", cwd=tmp_path)
    assert done.stdout == "['script.py', '--epochs', '3', '-x'] beside striate True script.py\n"
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "code"), [("raise SystemExit(7)", 7), ("import sys; sys.exit()", 0), ("1/0", 1), ("x = (", 1)]
)
def test_exit_codes(tmp_path: Path, text: str, code: int) -> None:
    assert striate("run", script(tmp_path, text), cwd=tmp_path).returncode == code


def test_tracebacks_are_the_script_s(tmp_path: Path) -> None:
    text = "def f():\n    from keras.layers import Nothing\nf()\n"
    lines = striate("run", script(tmp_path, text), cwd=tmp_path).stderr.splitlines()
    frames = [line for line in lines if line.startswith("  File")]
    assert frames == ['  File "script.py", line 3, in <module>', '  File "script.py", line 2, in f']
    assert lines[-1].startswith("ImportError: keras.layers has no 'Nothing'")


def test_interrupted(tmp_path: Path) -> None:
    script(tmp_path, "import time\nprint('go', flush=True)\ntime.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-m", "striate", "run", "script.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    with process:
        assert process.stdout and process.stdout.readline() == b"go\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"striate: interrupted\n")


MISTAKES = [
    (("run", "nowhere.py"), "there is no file 'nowhere.py'"),
    (("run", "."), "is a folder"),
    (("run", "--inplace", "a.py"), "--inplace is for notebooks"),
    (("run", "a.ipynb"), "is not a Jupyter notebook"),
    (("run", "note.ipynb", "extra"), "a notebook takes no arguments"),
    (("tour", "--image", "nowhere.png"), "--image: there is no file"),
    (("tour", "--image", "a.py"), "is not an image"),
    (("tour", "--weights", "nowhere.h5"), "--weights: there is no file"),
]


@pytest.mark.parametrize(("args", "text"), MISTAKES)
def test_mistakes_get_one_line(tmp_path: Path, args: tuple[str, ...], text: str) -> None:
    script(tmp_path, "print(1)", "a.py")
    script(tmp_path, "nonsense", "a.ipynb")
    notebook(tmp_path, "1")
    done = striate(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and text in done.stderr


def test_a_notebook_in_another_language(tmp_path: Path) -> None:
    done = striate("run", notebook(tmp_path, "1", language="julia").name, cwd=tmp_path)
    assert done.returncode == 2 and "notebook in julia" in done.stderr


def test_a_notebook_runs_and_is_otherwise_unchanged(tmp_path: Path) -> None:
    path = notebook(
        tmp_path, "import keras\nkeras.backend.backend()", "sorted(n for n in dir() if n.islower() and n[0] != '_')"
    )
    before = json.loads(path.read_text())
    done = striate("run", path.name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_text()) == before
    out = json.loads((tmp_path / "note.out.ipynb").read_text())
    assert [c["source"] for c in out["cells"]] == [c["source"] for c in before["cells"]]
    assert out["metadata"]["kernelspec"] == before["metadata"]["kernelspec"]
    first, second = (c["outputs"][0]["data"]["text/plain"] for c in out["cells"])
    assert "striate" in "".join(first)
    assert "install_as_keras" not in "".join(second) and "striate" not in "".join(second)


def test_an_error_in_a_cell(tmp_path: Path) -> None:
    path = notebook(tmp_path, "print('one')", "import keras\nkeras.layers.LSTM", "print('three')")
    done = striate("run", path.name, "--inplace", cwd=tmp_path)
    assert done.returncode == 1
    assert "cell 2 failed" in done.stderr and "AttributeError: keras.layers.LSTM is part of Keras" in done.stderr
    one, two, three = nbformat.read(path, as_version=4).cells
    assert one.outputs[0].text == "one\n" and two.outputs[0].ename == "AttributeError" and three.outputs == []


def test_interrupted_in_a_notebook(tmp_path: Path) -> None:
    path = notebook(tmp_path, "open('started', 'w').close()\nimport time\ntime.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-m", "striate", "run", path.name], stderr=subprocess.PIPE, cwd=tmp_path
    )
    with process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and b"striate: interrupted" in err


def test_the_command_starts_light(tmp_path: Path) -> None:
    heavy = "('numpy.testing', 'h5py', 'PIL', 'matplotlib', 'nbclient', 'striate.layers')"
    source = f"import sys, striate.cli\nprint([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr
