"""Public names, registered objects and scopes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import ModuleType

import pytest

from striate.core import registry


class Thing:
    def get_config(self) -> dict[str, int]:
        return {}


class Other(Thing):
    pass


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for table in ("_exports", "_first_path", "_registered", "_registered_names"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    yield


def test_export() -> None:
    assert registry.export("keras.zoo.Thing", "keras.zoo.deep.Thing", "keras.zoo.Alias")(Thing) is Thing
    assert registry.exports()["keras.zoo.Alias"] is Thing
    assert registry.public_name(Thing) == "keras.zoo.Thing"
    assert registry.public_name(Other) is None  # a subclass is not its base
    assert registry.public_name([]) is None
    assert registry.module_objects("keras.zoo") == {"Thing": Thing, "Alias": Thing}
    with pytest.raises(TypeError):
        registry.exports()["x"] = 1  # type: ignore[index]


def test_a_path_has_one_owner() -> None:
    registry.export("keras.zoo.Thing")(Thing)
    with pytest.raises(ValueError, match=r"keras\.zoo\.Thing"):
        registry.export("keras.zoo.Thing")(Other)
    again = type("Thing", (), {"__module__": Thing.__module__, "__qualname__": Thing.__qualname__})
    registry.export("keras.zoo.Thing")(again)  # the same definition, executed again
    assert registry.exports()["keras.zoo.Thing"] is again
    with pytest.raises(ValueError):
        registry.export()


def test_registration_is_as_in_keras(real_keras: ModuleType) -> None:
    def function() -> None:
        """Something to register."""

    for saving in (registry, real_keras.saving):
        assert saving.register_keras_serializable("zoo", "Named")(Thing) is Thing
        saving.register_keras_serializable()(function)
        assert saving.get_registered_name(Thing) == "zoo>Named"
        assert saving.get_registered_name(function) == "Custom>function"
        assert saving.get_registered_name(Other) == "Other"
        assert saving.get_registered_object("zoo>Named") is Thing
        assert saving.get_registered_object("Thing") is None
        assert saving.get_registered_object("Thing", {"Thing": Other}, {"Thing": Thing}) is Other
        assert saving.get_registered_object("Thing", None, {"Thing": Thing}) is Thing
        assert saving.get_custom_objects()["Custom>function"] is function
        saving.get_custom_objects()["Mine"] = Other
        assert saving.get_registered_object("Mine") is Other
        with pytest.raises(ValueError, match="get_config"):
            saving.register_keras_serializable()(type("Bare", (), {}))


def test_scope() -> None:
    with registry.custom_object_scope({"Thing": Thing}) as scope:
        assert scope.custom_objects == {"Thing": Thing}
        assert registry.get_registered_object("Thing", {"Thing": Other}) is Thing
        assert "Thing" not in registry.get_custom_objects()
        with registry.CustomObjectScope({"Thing": Other, "New": Other}):
            assert registry.get_registered_object("Thing") is Other
        with registry.CustomObjectScope(None):
            assert registry.get_registered_object("Thing") is Thing
        assert registry.get_registered_object("New") is None
    assert registry.get_registered_object("Thing") is None


def test_scope_ends_with_an_error_and_can_be_entered_twice() -> None:
    scope = registry.custom_object_scope({"Thing": Thing})
    with pytest.raises(RuntimeError), scope, scope:
        raise RuntimeError
    assert registry.get_registered_object("Thing") is None


def test_scope_belongs_to_its_thread() -> None:
    found: list[object] = []
    with registry.custom_object_scope({"Thing": Thing}):
        thread = threading.Thread(target=lambda: found.append(registry.get_registered_object("Thing")))
        thread.start()
        thread.join()
    assert found == [None]
