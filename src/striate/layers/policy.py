"""Dtype policies: in which dtype a layer computes and in which it keeps its variables."""

from __future__ import annotations

from typing import Any

from striate.core import config, dtypes
from striate.core.registry import export


@export("keras.DTypePolicy", "keras.dtype_policies.DTypePolicy", "keras.mixed_precision.Policy")
class DTypePolicy:
    """`"float32"` (and other dtypes), or `"mixed_float16"` / `"mixed_bfloat16"`: compute in 16 bits, variables in
    float32.

    Raises:
        ValueError: an unknown name.
    """

    def __init__(self, name: str | None = None) -> None:
        self._name = name if name is not None else dtypes.standardize(None)
        if not isinstance(self._name, str):
            raise TypeError(f"'name' must be a string, such as 'float32' or 'mixed_float16'. Received: name={name!r}")
        if self._name.startswith("mixed_"):
            if self._name not in ("mixed_float16", "mixed_bfloat16"):
                raise ValueError(f"Cannot convert {self._name!r} to a mixed DTypePolicy. Use 'mixed_float16'.")
            self._compute_dtype, self._variable_dtype = dtypes.standardize(self._name[6:]), "float32"
        else:
            self._compute_dtype = self._variable_dtype = dtypes.standardize(self._name)

    @property
    def name(self) -> str:
        """The policy's name."""
        return self._name

    @property
    def compute_dtype(self) -> str:
        """The dtype that layers compute in and return."""
        return self._compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype of the layers' variables."""
        return self._variable_dtype

    @property
    def quantization_mode(self) -> None:
        """Always None: striate does not quantise."""
        return None

    def get_config(self) -> dict[str, Any]:
        """`{"name": ...}`."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """The policy that `get_config` described."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


_GLOBAL: list[DTypePolicy] = []


@export("keras.dtype_policies.get")
def get(identifier: Any) -> DTypePolicy:
    """The policy that `identifier` (None, a name, a config, a policy) stands for."""
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return DTypePolicy(**identifier.get("config", identifier))
    if isinstance(identifier, str) and identifier.startswith("mixed_"):
        return DTypePolicy(identifier)
    return DTypePolicy(dtypes.standardize(identifier))


@export("keras.dtype_policies.serialize")
def serialize(policy: DTypePolicy) -> dict[str, Any]:
    """`policy` as a config dictionary."""
    return {"module": "keras", "class_name": "DTypePolicy", "config": policy.get_config(), "registered_name": None}


@export("keras.dtype_policies.deserialize")
def deserialize(config: Any) -> DTypePolicy:
    """The policy that `serialize` described."""
    return get(config)


@export("keras.config.dtype_policy", "keras.mixed_precision.dtype_policy", "keras.mixed_precision.global_policy")
def dtype_policy() -> DTypePolicy:
    """The policy of layers that name none: `floatx()` unless `set_dtype_policy` was called."""
    return _GLOBAL[0] if _GLOBAL else DTypePolicy(config.floatx())


@export(
    "keras.config.set_dtype_policy", "keras.mixed_precision.set_dtype_policy", "keras.mixed_precision.set_global_policy"
)
def set_dtype_policy(policy: Any) -> None:
    """Makes `policy` the one of layers that name none."""
    _GLOBAL[:] = [get(policy)]
