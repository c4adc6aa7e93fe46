"""`Input`: where a graph of layers starts."""

from __future__ import annotations

import warnings
from typing import Any

from striate.core import dtypes
from striate.core.registry import export
from striate.layers.layer import Layer
from striate.trace import KerasTensor, Node, standardize_shape


@export("keras.layers.InputLayer")
class InputLayer(Layer):
    """The layer behind an `Input` tensor.

    Args:
        shape: without the batch axis; sizes may be None.
        batch_size: a fixed batch size.
        dtype: of the input, `floatx()` by default.
        batch_shape: the whole shape, in the place of `shape` and `batch_size`.
        input_tensor: an existing symbolic tensor to use.
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: KerasTensor | None = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name)
        if "input_shape" in kwargs:
            warnings.warn("Argument `input_shape` is deprecated. Use `shape` instead.", stacklevel=2)
            shape = kwargs.pop("input_shape")
        batch_shape = kwargs.pop("batch_input_shape", batch_shape)
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to Input: {kwargs}. Check their spelling.")
        if input_tensor is not None:
            _check_tensor(input_tensor, shape, batch_size, batch_shape, dtype, sparse)
            shape, batch_size, batch_shape, dtype = None, None, input_tensor.shape, input_tensor.dtype
        _check_dense(sparse, ragged)
        self.sparse, self.ragged = False, False
        self.batch_shape = _batch_shape(shape, batch_size, batch_shape)
        self._dtype = dtypes.standardize(dtype)
        self.optional, self.built = bool(optional), True
        output = input_tensor if input_tensor is not None else KerasTensor(self.batch_shape, self._dtype, name=name)
        Node(self, outputs=output)

    def call(self) -> Any:
        """Never computed: a model puts its input here."""
        return None

    @property
    def dtype(self) -> str:
        """The dtype of the input."""
        return self._dtype

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }


def _check_dense(sparse: bool | None, ragged: bool | None) -> None:
    for name, value in (("sparse", sparse), ("ragged", ragged)):
        if value:
            raise ValueError(f"`{name}=True` is not supported: striate has dense arrays only. Leave it out.")


def _check_tensor(tensor: Any, shape: Any, batch_size: Any, batch_shape: Any, dtype: Any, sparse: Any) -> None:
    """ValueError unless the other arguments say of `tensor` what it is."""
    if not isinstance(tensor, KerasTensor):
        raise ValueError(
            f"Argument `input_tensor` must be a KerasTensor. Received: input_tensor={tensor!r}. Arrays go to the model "
            "when it is called."
        )
    wrong = {
        "batch_size": batch_size is not None and tensor.shape[:1] != (batch_size,),
        "shape": shape is not None and tuple(shape) != tensor.shape[1:],
        "batch_shape": batch_shape is not None and tuple(batch_shape) != tensor.shape,
        "dtype": dtype is not None and dtypes.standardize(dtype) != tensor.dtype,
        "sparse": sparse is not None and bool(sparse) != bool(tensor.sparse),
    }
    for name, differs in wrong.items():
        if differs:
            raise ValueError(
                f"When providing the `input_tensor` argument, you cannot provide an incompatible `{name}` "
                "argument. The "
                f"tensor is {tensor}. Leave `{name}` out."
            )


def _batch_shape(shape: Any, batch_size: int | None, batch_shape: Any) -> tuple[int | None, ...]:
    if shape is not None and batch_shape is not None:
        raise ValueError(
            f"You cannot pass both `shape` and `batch_shape`. Received: shape={shape}, batch_shape={batch_shape}"
        )
    if batch_shape is not None:
        if batch_size is not None:
            raise ValueError("You cannot pass both `batch_size` and `batch_shape` at the same time.")
        return standardize_shape(batch_shape)
    if shape is None:
        raise ValueError("You must pass a `shape` argument, such as shape=(32, 32, 3).")
    return (batch_size, *standardize_shape(shape))


@export("keras.Input", "keras.layers.Input")
def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: KerasTensor | None = None,
    optional: bool = False,
) -> KerasTensor:
    """A symbolic tensor at which a graph of layers starts.

    Args:
        shape: without the batch axis, such as `(height, width, channels)`; sizes may be None.
        batch_size: a fixed batch size, else None.
        dtype: of the arrays that will come, `floatx()` by default.
        batch_shape: the whole shape, in the place of `shape` and `batch_size`.
        name: of the input layer.
        tensor: an existing symbolic tensor to use.

    Returns:
        A KerasTensor `(batch_size, *shape)`.
    """
    layer = InputLayer(
        shape, batch_size, dtype, sparse, ragged, batch_shape, input_tensor=tensor, optional=optional, name=name
    )
    return layer.output
