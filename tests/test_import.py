"""What `import striate` costs and offers."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest


def run(code: str) -> str:
    """The output of `code` in a new process."""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_import_is_quick() -> None:
    """Against the time that NumPy alone takes, so that a slow machine does not matter."""
    code = (
        "import time; t = time.perf_counter(); import numpy; n = time.perf_counter(); import striate; "
        "print(n - t, time.perf_counter() - n)"
    )
    times = [tuple(map(float, run(code).split())) for _ in range(3)]
    assert min(ours for _, ours in times) < 0.25, times


@pytest.mark.parametrize(
    "what", ["import striate", "import striate, striate.layers, striate.models; striate.Sequential"]
)
def test_import_loads_nothing_heavy(what: str) -> None:
    heavy = ("matplotlib", "h5py", "PIL", "rich", "keras", "tensorflow", "jax", "torch", "typer", "nbclient")
    loaded = run(f"{what}\nimport sys\nprint([m for m in {heavy!r} if m in sys.modules])")
    assert loaded == "[]"


def test_importing_striate_alone_loads_no_layers() -> None:
    assert run("import striate, sys; print('striate.layers' in sys.modules, 'numpy' in sys.modules)").startswith(
        "False"
    )


@pytest.mark.parametrize(
    "path",
    [
        "Sequential", "Model", "Input", "Layer", "KerasTensor", "Variable", "InputSpec", "Function", "Operation",
        "DTypePolicy", "Initializer", "Regularizer", "name_scope",
        "layers.Conv2D", "layers.MaxPool2D", "layers.Input", "models.Model", "models.Sequential", "models.clone_model",
        "ops.sqrt", "initializers.GlorotUniform", "regularizers.L2", "constraints.MaxNorm", "activations.relu",
        "utils.load_img", "utils.set_random_seed", "utils.clear_session", "utils.register_keras_serializable",
        "utils.Progbar", "utils.to_categorical", "utils.get_file", "utils.serialize_keras_object",
        "utils.disable_interactive_logging",
        "random.normal", "config.floatx", "config.set_dtype_policy", "config.enable_interactive_logging",
        "backend.clear_session", "backend.floatx", "backend.backend", "backend.standardize_dtype", "tree.map_structure",
        "tree.flatten", "tree.assert_same_structure", "saving.load_weights", "saving.register_keras_serializable",
        "saving.serialize_keras_object", "saving.custom_object_scope", "dtype_policies.DTypePolicy",
        "mixed_precision.set_global_policy", "preprocessing.image.load_img", "applications.VGG19", "version",
    ],
)  # fmt: skip
def test_public_names_are_those_of_keras(path: str, real_keras: object) -> None:
    def walk(root: object) -> object:
        for part in path.split("."):
            root = getattr(root, part)
        return root

    assert callable(walk(importlib.import_module("striate")))
    if path != "preprocessing.image.load_img":
        assert callable(walk(real_keras))


def test_dir_lists_what_there_is() -> None:
    import striate

    for module in (striate, striate.config, striate.backend, striate.utils, striate.saving):
        names = [n for n in dir(module) if not n.startswith("_")]
        assert names == sorted(names)
        assert [n for n in names if not hasattr(module, n)] == []


def test_a_missing_name_is_an_attribute_error() -> None:
    import striate

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        striate.nothing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        striate.config.nothing
    assert not hasattr(striate.utils, "nothing")


def test_layers_lists_every_layer() -> None:
    """The list of names is the registry's: a new layer that is not listed is found here."""
    import striate.layers
    from striate.core.registry import module_objects

    assert set(striate.layers.__all__) == set(module_objects("keras.layers"))
    assert all(getattr(striate.layers, name) is obj for name, obj in module_objects("keras.layers").items())


def test_version() -> None:
    import striate

    assert striate.__version__ == striate.version() == "0.1.0"
