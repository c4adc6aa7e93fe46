"""Pictures: `load_img`, `img_to_array`, `array_to_img` and `save_img` against real Keras, and what they refuse."""

from __future__ import annotations

import io
import pathlib
import struct
import subprocess
import sys
import zlib
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from striate import utils

SIZES = [(1, 1), (7, 5), (16, 33)]  # width, height
MODES = ["1", "L", "LA", "I", "I;16", "F", "P", "RGB", "RGBA", "CMYK", "YCbCr"]
SUFFIX = {"I": "tiff", "F": "tiff", "CMYK": "jpg", "YCbCr": "jpg"}


def picture(mode: str, size: tuple[int, int]) -> Image.Image:
    """Noise in the given mode."""
    rng = np.random.default_rng(len(mode) + size[0])
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    if mode in ("I", "I;16"):
        return Image.fromarray((pixels[..., 0].astype("uint16") * 257).astype("int32" if mode == "I" else "uint16"))
    if mode == "F":
        return Image.fromarray(pixels[..., 0].astype("float32"))
    if mode in ("LA", "RGBA"):
        made = Image.fromarray(pixels).convert(mode)
        made.putalpha(Image.fromarray(pixels[..., 1]))
        return made
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture(params=[(m, s) for m in MODES for s in SIZES], ids=lambda p: f"{p[0]}-{p[1][0]}x{p[1][1]}")
def file(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> pathlib.Path:
    mode, size = request.param
    path = tmp_path / f"picture.{SUFFIX.get(mode, 'png')}"
    picture(mode, size).save(path)
    return path


def same(ours: Image.Image, theirs: Image.Image) -> None:
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
def test_load_img_of_every_mode_is_keras(file: pathlib.Path, color_mode: str, real_keras: ModuleType) -> None:
    ours = utils.load_img(file, color_mode=color_mode)
    theirs = real_keras.utils.load_img(file, color_mode=color_mode)
    same(ours, theirs)
    for data_format in (None, "channels_first", "Channels_Last"):
        for dtype in (None, "uint8", "float64"):
            a = utils.img_to_array(ours, data_format=data_format, dtype=dtype)
            b = real_keras.utils.img_to_array(theirs, data_format=data_format, dtype=dtype)
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"])
@pytest.mark.parametrize("target", [(5, 9), (31, 8), (16, 33), (1, 1)])
@pytest.mark.parametrize("keep", [False, True])
def test_resizing_is_keras(
    tmp_path: pathlib.Path, interpolation: str, target: tuple[int, int], keep: bool, real_keras: ModuleType
) -> None:
    path = tmp_path / "a.png"
    picture("RGB", (33, 16)).save(path)
    arguments = {"target_size": target, "interpolation": interpolation, "keep_aspect_ratio": keep}
    ours, theirs = utils.load_img(path, **arguments), real_keras.utils.load_img(path, **arguments)
    assert ours.size == target[::-1]
    same(ours, theirs)


def test_a_long_thin_picture_can_be_cut_to_its_last_pixel(tmp_path: pathlib.Path) -> None:
    picture("RGB", (1, 50)).save(tmp_path / "a.png")  # Keras cuts an empty box here and fails
    made = utils.load_img(tmp_path / "a.png", target_size=(2, 30), keep_aspect_ratio=True)
    assert made.size == (30, 2)


def test_the_orientation_in_exif_is_left_alone_as_in_keras(tmp_path: pathlib.Path, real_keras: ModuleType) -> None:
    image = picture("RGB", (8, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert utils.load_img(tmp_path / "a.jpg").size == (8, 4)
    same(utils.load_img(tmp_path / "a.jpg"), real_keras.utils.load_img(tmp_path / "a.jpg"))


def test_every_kind_of_path(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ä b.png"
    picture("RGB", (3, 2)).save(path)
    wanted = np.asarray(picture("RGB", (3, 2)))
    for given in (path, str(path), str(path).encode(), io.BytesIO(path.read_bytes())):
        np.testing.assert_array_equal(np.asarray(utils.load_img(given)), wanted)
    with pytest.raises(TypeError, match=r"str, bytes, pathlib.Path or io.BytesIO, received int"):
        utils.load_img(3)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------------------- bad files


def test_missing_files_and_folders(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.png.*Check the path"):
        utils.load_img(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match="get_file"):
        utils.load_img("https://example.org/cat.png")
    with pytest.raises(IsADirectoryError, match="cannot read"):
        utils.load_img(tmp_path)


@pytest.mark.parametrize("content", [b"", b"I am a text\n" * 9, b"\x89PNG\r\n\x1a\n"], ids=["empty", "text", "head"])
def test_what_is_no_picture(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(OSError, match=r"a\.png.*(not a picture|damaged)"):
        utils.load_img(tmp_path / "a.png")
    if not content.startswith(b"\x89PNG"):
        with pytest.raises(UnidentifiedImageError):
            utils.load_img(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tiff"])
@pytest.mark.parametrize("color_mode", ["rgb", "grayscale"])
def test_a_picture_cut_short_is_found_when_it_is_loaded(tmp_path: pathlib.Path, suffix: str, color_mode: str) -> None:
    path = tmp_path / f"a.{suffix}"
    picture("RGB", (64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(OSError, match=rf"load_img: .*a\.{suffix}"):
        utils.load_img(path, color_mode=color_mode)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def test_a_decompression_bomb_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    with pytest.raises(Image.DecompressionBombError, match=r"bomb\.png.*refused.*MAX_IMAGE_PIXELS"):
        utils.load_img(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"color_mode": "bgr"}, ValueError, "'grayscale', 'rgb' or 'rgba', received 'bgr'"),
        ({"target_size": (4, 4), "interpolation": "cubic"}, ValueError, "'bicubic'.*received 'cubic'"),
        ({"target_size": 224}, TypeError, r"target_size=\(224, 224\)"),
        ({"target_size": (224,)}, ValueError, "integers of at least 1"),
        ({"target_size": (0, 5)}, ValueError, "integers of at least 1"),
        ({"target_size": (5, -1)}, ValueError, "integers of at least 1"),
        ({"target_size": "big"}, TypeError, "received 'big'"),
    ],
)
def test_wrong_arguments(tmp_path: pathlib.Path, arguments: dict, error: type[Exception], text: str) -> None:
    picture("RGB", (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(error, match=text):
        utils.load_img(tmp_path / "a.png", **arguments)


# -------------------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", [None, "float64"])
def test_array_to_img_is_keras(
    channels: int, scale: bool, data_format: str, dtype: str, real_keras: ModuleType
) -> None:
    shape = (channels, 5, 6) if data_format == "channels_first" else (5, 6, channels)
    x = np.random.default_rng(0).uniform(0, 255, shape)
    before = x.copy()
    ours = utils.array_to_img(x, data_format=data_format, scale=scale, dtype=dtype)
    same(ours, real_keras.utils.array_to_img(x, data_format=data_format, scale=scale, dtype=dtype))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "x", [np.zeros((2, 3, 1)), np.full((2, 3, 3), 7), [[[0.0], [1.0]]], np.ones((2, 2, 1), "uint8")]
)
def test_constant_and_integer_arrays_are_keras(x: object, real_keras: ModuleType) -> None:
    same(utils.array_to_img(x), real_keras.utils.array_to_img(x))


def test_grey_above_255_becomes_a_32_bit_picture(real_keras: ModuleType) -> None:
    x = np.arange(6).reshape(2, 3, 1) * 1000
    ours = utils.array_to_img(x, scale=False)
    assert ours.mode == "I"
    same(ours, real_keras.utils.array_to_img(x, scale=False))


@pytest.mark.parametrize(
    ("x", "arguments", "error", "text"),
    [
        (np.zeros((2, 2)), {}, ValueError, r"rank 3.*\(2, 2\)"),
        (np.zeros((1, 2, 2, 3)), {}, ValueError, r"x\[0\]"),
        (np.zeros((0, 2, 3)), {}, ValueError, "not empty"),
        (np.zeros((2, 2, 2)), {}, ValueError, "1, 3 or 4 channels, received 2"),
        (np.zeros((3, 4, 5)), {}, ValueError, "received 5.*channels_last"),
        (np.zeros((4, 4, 3)), {"dtype": "uint8"}, TypeError, "scale=False"),
        (np.zeros((4, 4, 3)), {"data_format": "nhwc"}, ValueError, "data_format"),
        ("cat.png", {}, ValueError, "float"),
    ],
)
def test_what_array_to_img_refuses(x: object, arguments: dict, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        utils.array_to_img(x, **arguments)


def test_what_img_to_array_refuses() -> None:
    with pytest.raises(ValueError, match=r"two or three axes, received shape \(1, 2, 3, 4\)"):
        utils.img_to_array(np.zeros((1, 2, 3, 4)))
    with pytest.raises(TypeError, match=r"img_to_array\(load_img\(path\)\)"):
        utils.img_to_array("cat.png")


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.jpg", "a.JPEG", "a.tiff", "a.gif"])
def test_save_img_is_keras(tmp_path: pathlib.Path, name: str, real_keras: ModuleType) -> None:
    x = np.random.default_rng(1).uniform(0, 1, (9, 7, 3))
    utils.save_img(tmp_path / name, x)
    (tmp_path / "keras").mkdir()
    real_keras.utils.save_img(tmp_path / "keras" / name, x)
    assert (tmp_path / name).read_bytes() == (tmp_path / "keras" / name).read_bytes()


def test_save_img_to_a_file_object_and_with_options(tmp_path: pathlib.Path) -> None:
    x = np.random.default_rng(1).integers(0, 256, (9, 7, 3)).astype("uint8")
    stream = io.BytesIO()
    utils.save_img(stream, x, file_format="png", scale=False)
    np.testing.assert_array_equal(utils.img_to_array(utils.load_img(stream), dtype="uint8"), x)
    utils.save_img(tmp_path / "low.jpg", x, quality=5)
    utils.save_img(tmp_path / "high.jpg", x, quality=95)
    assert (tmp_path / "low.jpg").stat().st_size < (tmp_path / "high.jpg").stat().st_size
    utils.save_img(tmp_path / "a.tif", x, data_format="channels_last")  # the short ending, which fails in Keras
    with Image.open(tmp_path / "a.tif") as image:
        assert image.format == "TIFF"


def test_jpeg_drops_alpha_with_a_warning(tmp_path: pathlib.Path) -> None:
    with pytest.warns(UserWarning, match="alpha"):
        utils.save_img(tmp_path / "a.jpg", np.random.default_rng(0).uniform(size=(4, 4, 4)))
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.mode == "RGB"


@pytest.mark.parametrize("arguments", [{"path": "a.xyz"}, {"path": "noending"}, {"path": io.BytesIO()}])
def test_an_unknown_format_says_what_to_pass(arguments: dict, tmp_path: pathlib.Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="file_format='png'"):
        utils.save_img(x=np.zeros((2, 2, 3)), **arguments)
    assert not list(tmp_path.iterdir())


def test_pillow_is_imported_with_the_first_picture_and_not_before() -> None:
    code = "import sys, striate.utils; print(sorted({'PIL', 'h5py', 'rich', 'ssl'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
