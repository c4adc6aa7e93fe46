"""Spectral normalization of a layer's kernel (Miyato et al. 2018, arXiv:1802.05957)."""

from __future__ import annotations

from typing import Any

from striate import initializers, ops
from striate.core.errors import message
from striate.core.registry import export
from striate.layers.input_spec import InputSpec
from striate.layers.wrappers import Wrapper


@export("keras.layers.SpectralNormalization")
class SpectralNormalization(Wrapper):
    """Divides the kernel of `layer` by its largest singular value at each call in training.

    The value is estimated by power iteration, from the vector that the calls before arrived at.

    Args:
        layer: a layer with a `kernel` or `embeddings`.
        power_iterations: how many steps of the iteration a call makes.

    Raises:
        ValueError: no positive number of steps; when built, a layer without such a weight.
    """

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        if power_iterations <= 0:
            problem = f"`power_iterations` should be greater than zero. Received: `power_iterations={power_iterations}`"
            raise ValueError(message(f"SpectralNormalization '{self.name}'", problem))
        self.power_iterations = power_iterations

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        name = next((n for n in ("kernel", "embeddings") if hasattr(self.layer, n)), None)
        if name is None:
            problem = f"{type(self.layer).__name__} object has no attribute 'kernel' nor 'embeddings'"
            raise ValueError(message(f"SpectralNormalization '{self.name}'", problem))
        self.kernel = getattr(self.layer, name)
        self.vector_u = self.add_weight(
            shape=(1, self.kernel.shape[-1]), initializer=initializers.TruncatedNormal(stddev=0.02), trainable=False,
            name="vector_u", dtype=self.kernel.dtype,
        )  # fmt: skip

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        if training:
            empty = ops.all(ops.equal(self.kernel.value, 0))
            u, kernel = ops.cond(empty, lambda: (self.vector_u.value, self.kernel.value), self.normalized_weights)
            self.vector_u.assign(u)
            self.kernel.assign(kernel)
        return ops.cast(self.layer(inputs), inputs.dtype)

    def normalized_weights(self) -> tuple[Any, Any]:
        """The next vector of the iteration, and the kernel divided by its largest singular value."""
        kernel, u = self.kernel.value, self.vector_u.value
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        fixed = ops.stop_gradient(matrix)
        for _ in range(self.power_iterations):
            v = ops.normalize(ops.matmul(u, ops.transpose(fixed)), axis=None)
            u = ops.normalize(ops.matmul(v, fixed), axis=None)
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        largest = ops.reshape(ops.matmul(ops.matmul(v, matrix), ops.transpose(u)), ())
        return ops.cast(u, self.vector_u.dtype), ops.cast(ops.divide(kernel, largest), self.kernel.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the layer."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"power_iterations": self.power_iterations}
