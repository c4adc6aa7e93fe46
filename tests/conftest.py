"""What every test gets: a Keras home of its own, the instruction-set levels of this machine, real Keras on JAX."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"  # before anything imports keras
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a shell does to a job in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
logging.getLogger("jax").setLevel(logging.ERROR)

_slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile("default", deadline=None, max_examples=25, suppress_health_check=_slow, print_blob=False)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=300)
settings.load_profile("default")


@pytest.fixture(scope="session")
def real_keras() -> ModuleType:
    """The real Keras, on JAX: the oracle for whatever Keras has. It is one of the tests' packages: never skipped."""
    import keras

    if keras.backend.backend() != "jax":
        found = keras.backend.backend()
        raise RuntimeError(f"real Keras runs on {found!r}; expected 'jax' (KERAS_BACKEND is read at import)")
    return keras


def levels() -> list[str]:
    """The instruction-set levels that this machine runs, lowest first."""
    from striate import kernels

    return list(kernels.available_isas())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "isa" in metafunc.fixturenames:
        metafunc.parametrize("isa", levels(), indirect=True)


@pytest.fixture
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once at each instruction-set level, with that level in force."""
    from striate import kernels

    before = kernels.isa()
    kernels.set_isa(request.param)
    yield request.param
    kernels.set_isa(before)


@pytest.fixture(autouse=True)
def keras_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh KERAS_HOME for each test, so that the user's ~/.keras is neither read nor written."""
    home = tmp_path_factory.mktemp("keras_home", numbered=True)
    monkeypatch.setenv("KERAS_HOME", str(home))
    return home
