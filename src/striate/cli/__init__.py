"""The command `striate`: thin; each subcommand says what it does and calls the code that does it."""

from .app import main

__all__ = ["main"]
