"""`import keras` answered by striate: each case in a process of its own, since the import system is what is changed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def python(source: str, install: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs `source` in a fresh Python, after `install_as_keras()` unless told otherwise."""
    first = "from striate.alias import install_as_keras\ninstall_as_keras()\n" if install else ""
    return subprocess.run([sys.executable, "-c", first + source], capture_output=True, text=True, env=dict(os.environ))


def printed(source: str) -> str:
    done = python(source)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_modules_below_keras_are_striates_own() -> None:
    assert (
        printed(
            "import sys, keras, keras.layers, striate.layers, keras.applications.vgg19, striate.applications.vgg19\n"
            "from keras import ops\nimport striate\nfrom keras.layers import Conv2D\n"
            "print(keras.layers is striate.layers is sys.modules['keras.layers'], ops is striate.ops,\n"
            "      Conv2D is striate.layers.Conv2D, keras.applications.vgg19 is striate.applications.vgg19,\n"
            "      keras.Sequential is striate.Sequential)"
        )
        == "True True True True True"
    )


def test_tensorflow_keras_is_the_same() -> None:
    assert (
        printed(
            "import keras, tensorflow as tf, tensorflow.keras.layers as a\nfrom tensorflow import keras as b\n"
            "from tensorflow.keras.layers import Dense\n"
            "from tensorflow.keras.applications.vgg19 import preprocess_input\n"
            "import striate.layers\nprint(tf.keras is keras is b, a is striate.layers, Dense is a.Dense)"
        )
        == "True True True"
    )


def test_keras_src_gives_the_public_modules() -> None:
    source = (
        "import keras.src.layers, striate, striate.layers\nfrom keras.src import backend, ops, Sequential\n"
        "from keras.src.utils import load_img\n"
        "print(keras.src.layers is striate.layers, ops is striate.ops, Sequential is striate.Sequential, backend.cast)"
    )
    assert printed(source).startswith("True True True")


def test_the_version_is_keras_s_and_the_backend_is_striate() -> None:
    out = printed("import keras as k, striate as s\nprint(k.__version__, k.backend.backend(), s.__version__)").split()
    assert out[0].startswith("3.15") and out[1] == "striate" and out[2] != out[0]


def test_nothing_is_imported_that_was_not_asked_for() -> None:
    loaded = printed(
        "import sys, keras.utils\nprint([m for m in ('keras.applications', 'h5py', 'PIL') if m in sys.modules])"
    )
    assert loaded == "[]"


MISSING = [
    ("from keras.layers import LSTM", "ImportError", "keras.layers.LSTM is part of Keras"),
    ("import keras.layers; keras.layers.LSTM", "AttributeError", "Conv1D"),
    ("from keras.layers import Conv2d", "ImportError", "Did you mean 'Conv2D'?"),
    ("import keras; keras.Sequental", "AttributeError", "Did you mean 'Sequential'?"),
    ("import keras; keras.layers.VGG16", "AttributeError", "Did you mean keras.applications.VGG16?"),
    ("import keras.wrappers", "ModuleNotFoundError", "keras.wrappers is part of Keras"),
    ("from keras.src.backend import common", "ImportError", "common"),
    ("import keras.src.engine", "ModuleNotFoundError", "private part of Keras"),
    ("import tensorflow as tf; tf.data", "AttributeError", "tensorflow.keras only"),
    ("from tensorflow import function", "ModuleNotFoundError", "tensorflow.function was asked for"),
    ("import tensorflow.data", "ModuleNotFoundError", "tensorflow.data was asked for"),
]


@pytest.mark.parametrize(("source", "kind", "text"), MISSING)
def test_what_striate_lacks_is_said(source: str, kind: str, text: str) -> None:
    done = python(source)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith(kind) and text in last


def test_asking_whether_a_name_is_there_is_no_error() -> None:
    source = "import keras, tensorflow as tf\nprint(hasattr(keras.layers, 'LSTM'), hasattr(tf, 'data'))"
    assert printed(source) == "False False"


def test_twice_is_as_once_and_real_keras_first_is_an_error() -> None:
    assert printed("install_as_keras()\nimport keras\nprint(keras.backend.backend())") == "striate"
    late = "import sys\nsys.modules['keras'] = type(sys)('keras')\nimport striate\nstriate.install_as_keras()"
    done = python(late, install=False)
    assert "RuntimeError: install_as_keras: keras itself is already imported" in done.stderr


def test_pickles_name_striate() -> None:
    assert printed("import pickle, keras\nprint(pickle.dumps(keras.layers.Conv2D, 0)[1:8].decode())") == "striate"
