"""`keras.preprocessing.sequence`: an older name of `pad_sequences`."""

from striate.utils.sequences import pad_sequences

__all__ = ["pad_sequences"]
