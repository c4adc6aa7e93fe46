"""Initializers without chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core import dtypes
from striate.core.registry import export
from striate.initializers.base import Initializer


def _filled(shape: Any, value: Any, dtype: Any) -> np.ndarray:
    made = np.empty(tuple(shape), dtypes.as_numpy(dtype))
    made[...] = np.asarray(value)
    return made


@export("keras.initializers.Constant", "keras.initializers.constant")
class Constant(Initializer):
    """`value` everywhere; an array is broadcast to the shape. `value` defaults to 0."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        return _filled(shape, self.value, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value.tolist() if isinstance(self.value, np.ndarray) else self.value}


@export("keras.initializers.Zeros", "keras.initializers.zeros")
class Zeros(Initializer):
    """0 everywhere."""

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        return _filled(shape, 0, dtype)


@export("keras.initializers.Ones", "keras.initializers.ones")
class Ones(Initializer):
    """1 everywhere."""

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        return _filled(shape, 1, dtype)


@export("keras.initializers.Identity", "keras.initializers.IdentityInitializer", "keras.initializers.identity")
class Identity(Initializer):
    """`gain` on the diagonal of a matrix, 0 elsewhere; ValueError for a shape that is no matrix's.

    Args:
        gain: defaults to 1.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(
                f"Identity matrix initializer can only be used for 2D matrices. Received: shape={shape} of rank "
                f"{len(shape)}."
            )
        return (self.gain * np.eye(*shape)).astype(dtypes.as_numpy(dtype))

    def get_config(self) -> dict[str, Any]:
        # Keras's own has no gain in its config: only what differs from the default is written
        return {} if self.gain == 1 else {"gain": self.gain}


# Coefficients of the cosine sums a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N) - ...; an array is a window by itself.
_WINDOWS = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
}


@export("keras.initializers.STFT", "keras.initializers.STFTInitializer", "keras.initializers.stft")
class STFT(Initializer):
    """Kernels of shape `(time, 1, frequencies)` that compute a short-time Fourier transform by convolution.

    Args:
        side: "real" (default), the cosines, or "imag", the sines.
        window: a name ("hann" by default), its values, or None.
        scaling: "density" (default; the window's L2 norm), "spectrum" (L1) or None.
        periodic: whether the window is one of a period longer by one. Defaults to False, as Keras's.

    Raises:
        ValueError: another side, scaling or window.
    """

    def __init__(
        self, side: str = "real", window: Any = "hann", scaling: str | None = "density", periodic: bool = False
    ) -> None:
        if side not in ("real", "imag"):
            raise ValueError(f"side should be 'real' or 'imag', not {side}")
        if isinstance(window, str) and window not in _WINDOWS:
            raise ValueError(f"Unknown window {window!r}. Use one of {', '.join(_WINDOWS)}, or pass its values.")
        if scaling not in (None, "density", "spectrum"):
            raise ValueError(
                f"Scaling is invalid, it must be `None`, 'density' or 'spectrum'. Received scaling={scaling}"
            )
        self.side, self.window, self.scaling, self.periodic = side, window, scaling, periodic

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        frames, _, bands = shape
        phase = -2 * np.pi * np.outer(np.arange(frames), np.arange(bands) / max(2 * (bands - 1), 1))
        kernel = (np.cos(phase) if self.side == "real" else np.sin(phase))[:, None, :]
        if self.window is not None:
            values = self._values(frames)
            norms = {"density": np.sqrt(np.sum(values**2)), "spectrum": np.sum(np.abs(values))}
            kernel = kernel * values[:, None, None] / norms.get(self.scaling or "", 1.0)
        return kernel.astype(dtypes.as_numpy(dtype))

    def _values(self, frames: int) -> np.ndarray:
        if isinstance(self.window, str):
            # Keras passes `periodic` where SciPy asks for `fftbins`, which says the same
            angles = 2 * np.pi * np.arange(frames) / max(frames if self.periodic else frames - 1, 1)
            terms = enumerate(_WINDOWS[self.window])
            made = sum((-1) ** i * a * np.cos(i * angles) for i, a in terms)
            return np.ones(1) if frames == 1 else np.asarray(made) * np.ones(frames)
        values = np.asarray(self.window, np.float64)
        if values.shape != (frames,):
            raise ValueError(
                f"The shape of `window` must be equal to [frame_length]. Received: window shape={values.shape}"
            )
        return values

    def get_config(self) -> dict[str, Any]:
        return {"side": self.side, "window": self.window, "periodic": self.periodic, "scaling": self.scaling}
