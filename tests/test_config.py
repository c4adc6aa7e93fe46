"""Settings: setters, keras.json, threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from striate.core import config


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(config, "_settings", dict(config._settings))
    monkeypatch.setattr(config, "_threads", None)
    monkeypatch.setattr(config, "_thread_hooks", [])
    monkeypatch.delenv("STRIATE_NUM_THREADS", raising=False)
    yield


def test_defaults_are_kerass(real_keras: ModuleType) -> None:
    for name in ("floatx", "epsilon", "image_data_format"):
        assert getattr(config, name)() == getattr(real_keras.config, name)()


def test_setters() -> None:
    config.set_floatx("float64")
    config.set_epsilon(1e-5)
    config.set_image_data_format("CHANNELS_FIRST")
    assert (config.floatx(), config.epsilon(), config.image_data_format()) == ("float64", 1e-5, "channels_first")
    assert config.standardize_data_format(None) == "channels_first"
    assert config.standardize_data_format("Channels_Last") == "channels_last"


@pytest.mark.parametrize(
    ("setter", "wrong"),
    [
        ("set_floatx", "float8"),
        ("set_floatx", None),
        ("set_image_data_format", "NHWC"),
        ("set_image_data_format", None),
    ],
)
def test_wrong_values_are_refused_as_keras_does(real_keras: ModuleType, setter: str, wrong: Any) -> None:
    for settings in (config, real_keras.config):
        with pytest.raises(ValueError):
            getattr(settings, setter)(wrong)


def test_wrong_values_that_keras_lets_in() -> None:
    with pytest.raises(ValueError, match="epsilon"):
        config.set_epsilon("small")
    with pytest.raises(ValueError, match=r"Conv2D 'c'.*NCHW"):
        config.standardize_data_format("NCHW", "Conv2D 'c'")


def test_backend_is_striate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert config.backend() == "striate"


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "k"))
    assert config.keras_home() == tmp_path / "k"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.keras_home() == tmp_path / ".keras"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert config.keras_home().name == ".keras" and config.keras_home().parent != tmp_path


def read(tmp_path: Path, text: str | bytes) -> dict[str, Any]:
    path = tmp_path / "keras.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return config.read_settings(path)


def test_a_good_file(tmp_path: Path) -> None:
    wanted = {"floatx": "float16", "epsilon": 1e-3, "image_data_format": "channels_first"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path, json.dumps({**wanted, "backend": "tensorflow", "other": 1})) == wanted
        assert config.read_settings(tmp_path / "nowhere" / "keras.json") == {}


@pytest.mark.parametrize("text", ["{", "", "[1]", b"\xff\xfe", "null"])
def test_a_file_that_cannot_be_read_warns(tmp_path: Path, text: str | bytes) -> None:
    with pytest.warns(UserWarning, match=r"keras\.json: ignored"):
        assert read(tmp_path, text) == {}


@pytest.mark.parametrize(
    "entry",
    [
        {"floatx": "float33"},
        {"floatx": 3},
        {"epsilon": "x"},
        {"epsilon": 0},
        {"epsilon": True},
        {"image_data_format": []},
    ],
)  # fmt: skip
def test_a_wrong_entry_warns_and_leaves_the_others(tmp_path: Path, entry: dict[str, Any]) -> None:
    good = {"floatx": "float64", "epsilon": 1e-4, "image_data_format": "channels_first"}
    with pytest.warns(UserWarning, match=next(iter(entry))):
        found = read(tmp_path, json.dumps({**good, **entry}))
    assert found == {key: value for key, value in good.items() if key not in entry}


def test_a_folder_in_the_files_place_warns(tmp_path: Path) -> None:
    (tmp_path / "keras.json").mkdir()
    with pytest.warns(UserWarning, match="ignored"):
        assert config.read_settings(tmp_path / "keras.json") == {}


def test_the_file_is_read_at_import_and_never_written(tmp_path: Path) -> None:
    ask = "from striate.core import config; print(config.floatx(), config.epsilon(), config.image_data_format())"

    def run(home: Path) -> str:
        environment = {**os.environ, "KERAS_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [sys.executable, "-c", ask], env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert run(tmp_path / "none") == "float32 1e-07 channels_last\n"
    assert not (tmp_path / "none").exists()
    (tmp_path / "keras.json").write_text('{"floatx": "float64", "image_data_format": "channels_first"}')
    assert run(tmp_path) == "float64 1e-07 channels_first\n"


# Threads --------------------------------------------------------------------------------------------------------------


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= config.num_threads() <= (os.cpu_count() or 1)
    monkeypatch.setenv("STRIATE_NUM_THREADS", "3")
    assert config.num_threads() == 3
    told: list[int] = []
    config.on_num_threads(told.append)
    config.set_num_threads(5)
    assert told == [3, 5] and config.num_threads() == 5


@pytest.mark.parametrize("wrong", [0, -2, 1.5, "2", None, True])
def test_wrong_numbers_of_threads(wrong: Any) -> None:
    with pytest.raises(ValueError, match="set_num_threads"):
        config.set_num_threads(wrong)
    assert config._threads is None


@pytest.mark.parametrize("wrong", ["0", "many", "-1", "1.5"])
def test_a_wrong_environment_variable_warns(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("STRIATE_NUM_THREADS", wrong)
    with pytest.warns(UserWarning, match="STRIATE_NUM_THREADS"):
        assert config.num_threads() == config.usable_cores()


@pytest.mark.parametrize(
    ("own", "files", "limits"),
    [
        ("0::/a/b\n", {"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n"}, [2]),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, [1]),
        ("3:cpu,cpuacct:/d\n", {"cpu/d/cpu.cfs_quota_us": "400000", "cpu/d/cpu.cfs_period_us": "100000"}, [4]),
        ("3:cpu:/d\n2:memory:/d\n", {"cpu/d/cpu.cfs_quota_us": "-1", "cpu/d/cpu.cfs_period_us": "100000"}, []),
        ("", {}, []),
        ("0::/x\n", {"x/cpu.max": "junk\n"}, []),
    ],
)
def test_cgroup_limits(tmp_path: Path, own: str, files: dict[str, str], limits: list[int]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert config._cgroup_limits(tmp_path, tmp_path / "own") == limits


def test_cores_are_no_more_than_the_cgroup_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_cgroup_limits", lambda: [1])
    assert config.usable_cores() == 1
