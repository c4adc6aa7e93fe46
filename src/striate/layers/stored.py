"""How a layer's own variables go into files and come back."""

from __future__ import annotations

from typing import Any

from striate.core.errors import message


class Stored:
    """Mixed into `Layer`. Subclasses may override both, and add `save_assets(folder)`, `load_assets(folder)`."""

    name: str
    built: bool
    _own_weights: Any

    def save_own_variables(self, store: Any) -> None:
        """Puts the layer's own variables (not those of the layers in it) into `store`, a dictionary of arrays."""
        for i, variable in enumerate(self._own_weights()):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Takes the layer's own variables from `store`.

        Raises:
            ValueError: another number of arrays, or another shape.
        """
        own = self._own_weights()
        if len(store.keys()) != len(own):
            problem = (
                f"expected {len(own)} variables, but received {len(store.keys())} variables during loading. Expected: "
                f"{[v.name for v in own]}"
            )
            fix = None if self.built else "It was never built: build it in the `build()` of the layer that holds it"
            raise ValueError(message(f"Layer '{self.name}'", problem, fix))
        for i, variable in enumerate(own):
            variable.assign(store[str(i)])
