"""MP4 by way of ffmpeg: the program itself, or the one that imageio-ffmpeg brings."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from striate.core.errors import message

if TYPE_CHECKING:
    from PIL import Image


def encoder() -> str:
    """The path of an ffmpeg.

    Raises:
        RuntimeError: there is none; the text says what to install, and what works without.
    """
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        fix = "Install ffmpeg, or imageio-ffmpeg with pip; .gif and .html need neither"
        raise RuntimeError(
            message("animate", "an .mp4 needs the encoder ffmpeg, which is not installed", fix)
        ) from None


def save_mp4(path: str, images: Iterable[Image.Image], seconds: float) -> None:
    """Writes H.264 that browsers play.

    Raises:
        RuntimeError: no ffmpeg, or it failed: with its own last words.
    """
    program, size, process = encoder(), None, None
    with tempfile.TemporaryFile() as log:
        try:
            for image in images:
                if process is None:
                    size = image.size
                    process = subprocess.Popen(
                        _command(program, size, seconds, path), stdin=subprocess.PIPE, stderr=log
                    )
                _feed(process, image.tobytes())
        finally:
            if process is not None:
                _close(process)
        if process is not None and process.returncode:
            log.seek(0)
            words = log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(message("animate", f"ffmpeg could not write the film: {' '.join(words)}"))


def _command(program: str, size: tuple[int, int], seconds: float, path: str) -> list[str]:
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", f"{1 / seconds:.4f}", "-i", "-"]
    film = ["-an", "-vf", "fps=25", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    return [program, "-y", "-loglevel", "error", *raw, *film, "-f", "mp4", path]


def _feed(process: subprocess.Popen[bytes], data: bytes) -> None:
    try:
        if process.stdin is not None:
            process.stdin.write(data)
    except BrokenPipeError:
        process.wait()  # it has said why


def _close(process: subprocess.Popen[bytes]) -> None:
    try:
        if process.stdin is not None:
            process.stdin.close()
    except BrokenPipeError:
        pass
    process.wait()
