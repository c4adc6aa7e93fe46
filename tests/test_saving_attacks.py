"""Files that lie, break or attack: each is refused with an error in words; nothing is run, imported or written."""

from __future__ import annotations

import base64
import io
import json
import marshal
import os
import pathlib
import sys
import types
import warnings
import zipfile
from collections.abc import Callable
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

import striate
from striate.saving import load_model, members
from striate.saving.serialization import deserialize_keras_object

layers = striate.layers


def small() -> Any:
    return striate.Sequential([striate.Input((3,)), layers.Dense(2, name="d")], name="small")


@pytest.fixture
def saved(tmp_path: pathlib.Path) -> pathlib.Path:
    small().save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def contents(path: pathlib.Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: pathlib.Path, change: Callable[[dict[str, Any]], Any]) -> pathlib.Path:
    """The file with `change` applied to the dictionary of its members; None takes one out."""
    found: dict[str, Any] = dict(contents(path))
    change(found)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in found.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def with_config(path: pathlib.Path, change: Callable[[Any], Any]) -> pathlib.Path:
    def edit(found: dict[str, Any]) -> None:
        config = json.loads(found["config.json"])
        found["config.json"] = json.dumps(change(config) or config)

    return rewritten(path, edit)


# ---------------------------------------------------------------------------------------------- what files may name

ENTRIES = {
    "os.system": {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"},
    "posix": {"module": "posix", "class_name": "system", "config": {"command": "true"}, "registered_name": None},
    "eval": {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "eval"},
    "class": {"module": "builtins", "class_name": "class", "config": "object", "registered_name": "class"},
    "popen": {"module": "subprocess", "class_name": "Popen", "config": {"args": "true"}, "registered_name": None},
    "not imported": {"module": "antigravity", "class_name": "X", "config": {}, "registered_name": None},
    "keras function": {"module": "keras.utils", "class_name": "function", "config": "get_file"},
    "keras loader": {"module": "keras.saving", "class_name": "load_model", "config": {"filepath": "x"}},
    "keras setting": {
        "module": "keras.config", "class_name": "function", "config": "enable_unsafe_deserialization",
        "registered_name": "enable_unsafe_deserialization",
    },
    "own module": {"module": "striate.utils.files", "class_name": "function", "config": "get_file"},
    "decoder": {"module": "keras.layers", "class_name": "function", "config": "deserialize"},
    "keras source": {"module": "keras.src.utils.python_utils", "class_name": "function", "config": "func_load"},
    "dotted": {"module": "keras.layers", "class_name": "Layer.__init__", "config": {}},
    "dunder": {"module": "striate", "class_name": "__builtins__", "config": {}},
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRIES)
def test_configs_reach_no_function_or_class_but_those_of_models(name: str) -> None:
    before = set(sys.modules)
    with pytest.raises((TypeError, ValueError), match=r"Could not locate|Unable to reconstruct"):
        deserialize_keras_object(ENTRIES[name])
    assert not {"antigravity", "keras.src.utils.python_utils"} & (set(sys.modules) - before)


def test_a_module_that_imports_on_demand_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    module = types.ModuleType("lazy_one")
    module.__getattr__ = lambda name: asked.append(name) or striate.layers.Dense  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lazy_one", module)
    with pytest.raises(TypeError, match="Could not locate"):
        deserialize_keras_object({"module": "lazy_one", "class_name": "Dense", "config": {}, "registered_name": None})
    assert asked == []


def test_of_imported_modules_only_kinds_of_keras_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Pretends:
        @classmethod
        def from_config(cls, config: Any) -> Any:
            made.append(config)

    class Mine(layers.Dense):
        pass

    module = types.ModuleType("of_the_user")
    module.__dict__.update(Pretends=Pretends, Mine=Mine, run=os.getcwd)
    monkeypatch.setitem(sys.modules, "of_the_user", module)
    entry = {"module": "of_the_user", "class_name": "Mine", "config": {"units": 2}, "registered_name": "Mine"}
    assert type(deserialize_keras_object(entry)) is Mine
    for name in ("Pretends", "run", "__dict__"):
        with pytest.raises(TypeError, match="Could not locate"):
            deserialize_keras_object(entry | {"class_name": name, "registered_name": None})
    assert made == []


def bytecode() -> dict[str, Any]:
    code = marshal.dumps(compile("__import__('os').environ.__setitem__('STRIATE_OWNED', '1')", "x", "eval"))
    return {"class_name": "__lambda__", "config": {"code": base64.b64encode(code).decode(), "defaults": None}}


@pytest.mark.parametrize("safe_mode", [True, False])
@pytest.mark.parametrize("key", ["function", "output_shape", "mask"])
def test_bytecode_is_refused_whatever_the_mode(saved: pathlib.Path, key: str, safe_mode: bool) -> None:
    def change(config: Any) -> None:
        named = {"class_name": "function", "config": "relu", "module": "builtins"}
        inner = {"name": "odd_one", "function": named, "arguments": {}, key: bytecode()}
        config["config"]["layers"][1] = {"module": "keras.layers", "class_name": "Lambda", "config": inner}

    with_config(saved, change)
    striate.config.enable_unsafe_deserialization()
    with pytest.raises(ValueError, match=r"Lambda 'odd_one'.*never run here.*custom_objects=\{'odd_one'"):
        load_model(saved, safe_mode=safe_mode)
    assert "STRIATE_OWNED" not in os.environ


def test_bytecode_elsewhere_is_refused(saved: pathlib.Path) -> None:
    with_config(saved, lambda c: c["config"]["layers"][1]["config"].update(activation=bytecode()))
    with pytest.raises(ValueError):
        load_model(saved, safe_mode=False)
    with pytest.raises(ValueError, match="never run"):
        deserialize_keras_object(bytecode(), safe_mode=False)
    assert "STRIATE_OWNED" not in os.environ


def test_a_lambda_of_real_keras_is_loaded_with_its_function_given(
    tmp_path: pathlib.Path, real_keras: ModuleType
) -> None:
    theirs = real_keras.Sequential([real_keras.Input((3,)), real_keras.layers.Lambda(lambda x: 2 * x, name="twice")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match=r"Lambda 'twice'"):
        load_model(tmp_path / "a.keras", safe_mode=False)
    ours = load_model(tmp_path / "a.keras", custom_objects={"twice": lambda x: 2 * x})
    x = np.arange(6, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(ours(x), theirs(x))


def test_pickles_are_not_read(saved: pathlib.Path) -> None:
    def change(found: dict[str, Any]) -> None:
        found["model.weights.npz"] = b"\x80\x04cos\nsystem\n"
        found["model.weights.h5"] = None

    with pytest.raises(ValueError, match=r"holds no 'model.weights.h5'"):
        load_model(rewritten(saved, change))


# --------------------------------------------------------------------------------------------------------- broken files


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_missing_members(saved: pathlib.Path, member: str) -> None:
    with pytest.raises(ValueError, match=rf"holds no '{member}'"):
        load_model(rewritten(saved, lambda found: found.update({member: None})))


@pytest.mark.parametrize(
    ("member", "content", "problem"),
    [
        ("config.json", b"{", "no JSON"),
        ("config.json", b"[1]", "no dictionary"),
        ("config.json", b"\xff\xfe\x00", "no JSON"),
        ("config.json", b"[" * 100_000, "no JSON"),
        ("config.json", b"{}", "expected a model"),
        ("config.json", json.dumps({"class_name": "Sequential", "config": {}}).encode(), "Sequential"),
        ("config.json", json.dumps({"class_name": 3, "config": {}}).encode(), "class_name"),
        ("metadata.json", b"{", "no JSON"),
        ("metadata.json", b'{"keras_version": "4.0.0"}', "Keras 4.0.0, a newer format"),
        ("model.weights.h5", b"", "no HDF5 file"),
        ("model.weights.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "cut short or damaged"),
    ],
)
def test_members_that_are_not_what_they_should_be(
    saved: pathlib.Path, member: str, content: bytes, problem: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=problem):
        load_model(rewritten(saved, lambda found: found.update({member: content})))


def test_the_version_is_named_where_a_newer_file_is_not_understood(saved: pathlib.Path) -> None:
    def change(found: dict[str, Any]) -> None:
        found["metadata.json"] = b'{"keras_version": "3.99.0"}'
        found["config.json"] = found["config.json"].replace(b'"Dense"', b'"HyperDense"')

    with pytest.raises(TypeError, match="Could not locate class 'HyperDense'") as caught:
        load_model(rewritten(saved, change))
    assert "Keras 3.99.0" in caught.value.__notes__[0]


def test_files_cut_anywhere(saved: pathlib.Path) -> None:
    whole = saved.read_bytes()
    for keep in np.linspace(0, len(whole) - 1, 25).astype(int):
        saved.write_bytes(whole[:keep])
        with pytest.raises(ValueError):
            load_model(saved)


def test_flipped_bytes_never_end_in_another_error_than_a_valueerror(saved: pathlib.Path) -> None:
    whole, rng = saved.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 80):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(bytes(broken))
        try:
            load_model(saved)
        except (ValueError, TypeError) as error:
            assert str(error)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello", b"\x89HDF\r\n\x1a\n"])
def test_no_zip_at_all(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "a.keras").write_bytes(content)
    with pytest.raises(ValueError, match=r"no whole `\.keras` file"):
        load_model(tmp_path / "a.keras")


def test_no_file_and_other_names(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="File not found"):
        load_model(tmp_path / "none.keras")
    with pytest.raises(ValueError, match="File format not supported"):
        load_model(tmp_path / "none.pb")
    with pytest.raises(ValueError, match="must be a path"):
        load_model(3)


# -------------------------------------------------------------------------------------------- hostile zips and HDF5


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "assets/../../evil.txt", "assets\\..\\evil", "a//b"])
def test_names_that_lead_out(saved: pathlib.Path, name: str, tmp_path: pathlib.Path) -> None:
    rewritten(saved, lambda found: found.update({name: b"evil"}))
    with pytest.raises(ValueError, match="leads out of its folder"):
        load_model(saved)
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


def test_links_and_members_twice(saved: pathlib.Path) -> None:
    whole = saved.read_bytes()
    with zipfile.ZipFile(saved, "a") as archive:
        info = zipfile.ZipInfo("assets/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="is a link"):
        load_model(saved)
    saved.write_bytes(whole)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(saved, "a") as archive:
            archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match="twice"):
        load_model(saved)


@pytest.mark.parametrize("member", ["model.weights.h5", "config.json", "assets/x"])
def test_zip_bombs(saved: pathlib.Path, member: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "FLOOR", 1 << 20)
    rewritten(saved, lambda found: found.update({member: b"\0" * (3 << 20)}))
    with pytest.raises(ValueError, match="claims 3,145,728 bytes but stores"):
        load_model(saved)


def spoiled(path: pathlib.Path, how: Callable[[Any], None]) -> pathlib.Path:
    def change(found: dict[str, Any]) -> None:
        file = io.BytesIO(found["model.weights.h5"])
        with h5py.File(file, "r+") as root:
            how(root)
        found["model.weights.h5"] = file.getvalue()

    return rewritten(path, change)


def _external(root: Any) -> None:
    del root["layers/dense/vars/0"]
    root["layers/dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")


def _soft(root: Any) -> None:
    del root["layers/dense"]
    root["layers/dense"] = h5py.SoftLink("/layers")


def _other_file(root: Any) -> None:
    del root["layers/dense/vars/0"]
    root["layers/dense/vars"].create_dataset("0", (3, 2), "f4", external=[("/etc/passwd", 0, 24)])


def _virtual(root: Any) -> None:
    del root["layers/dense/vars/0"]
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 2))
    root["layers/dense/vars"].create_virtual_dataset("0", layout)


def _bomb(root: Any) -> None:
    del root["layers/dense/vars/0"]
    root["layers/dense/vars"].create_dataset("0", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression="gzip")


def _objects(root: Any) -> None:
    del root["layers/dense/vars/0"]
    root["layers/dense/vars"].create_dataset("0", (3, 2), h5py.string_dtype())


def _group(root: Any) -> None:
    del root["layers/dense/vars/0"]
    root["layers/dense/vars"].create_group("0")


def _fewer(root: Any) -> None:
    del root["layers/dense/vars/1"]


SPOILT = {
    _external: "ExternalLink, which is not allowed",
    _soft: "SoftLink, which is not allowed",
    _other_file: "lie in another file",
    _virtual: "lie in another file",
    _bomb: "shape mismatch",
    _objects: "expected numbers",
    _group: "expected a dataset",
    _fewer: "has 2 weights .* has 1",
}


@pytest.mark.parametrize("how", SPOILT)
def test_hostile_weights(saved: pathlib.Path, how: Callable[[Any], None]) -> None:
    spoiled(saved, how)
    with pytest.raises(ValueError, match=SPOILT[how]):
        load_model(saved)
    model = small()
    before = model.get_weights()
    with pytest.raises(ValueError, match=SPOILT[how]):
        model.load_weights(saved)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_config_of_huge_layers(saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with_config(saved, lambda c: c["config"]["layers"][1]["config"].update(units=1 << 40))
    with pytest.raises(ValueError, match="far more than what it stores"):
        load_model(saved)
    with pytest.warns(UserWarning, match="legacy"):
        small().save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as root:
        root.attrs["model_config"] = root.attrs["model_config"].replace('"units": 2', '"units": 200000000000')
    with pytest.raises(ValueError, match="far more than what it stores"):
        load_model(tmp_path / "m.h5")


def test_a_folder_whose_members_are_links(tmp_path: pathlib.Path) -> None:
    small().save(tmp_path / "m", zipped=False)
    outside = tmp_path / "outside"
    outside.write_bytes((tmp_path / "m" / "model.weights.h5").read_bytes())
    (tmp_path / "m" / "model.weights.h5").unlink()
    (tmp_path / "m" / "model.weights.h5").symlink_to(outside)
    with pytest.raises(ValueError, match="leads out of its folder"):
        load_model(tmp_path / "m")


def test_hostile_legacy_files(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.h5"
    with pytest.warns(UserWarning, match="legacy"):
        small().save(path)
    whole = path.read_bytes()
    for text, problem in (("{", "no JSON"), ("[]", "no dictionary"), (None, "No model config found")):
        path.write_bytes(whole)
        with h5py.File(path, "r+") as root:
            del root.attrs["model_config"]
            if text is not None:
                root.attrs["model_config"] = text
        with pytest.raises(ValueError, match=problem):
            load_model(path)
    for keep in np.linspace(8, len(whole) - 1, 10).astype(int):
        path.write_bytes(whole[:keep])
        with pytest.raises(ValueError):
            load_model(path)
