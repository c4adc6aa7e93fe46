"""`keras.preprocessing`: older names of the picture functions in `keras.utils`."""

from striate.preprocessing import image

__all__ = ["image"]
