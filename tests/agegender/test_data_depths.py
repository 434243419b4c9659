"""Pixels of more than 8 bits give the correct brightness or a reason, never a wrong brightness."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from pictures import encode
from PIL import Image

from agegender.data.decode import grey
from agegender.errors import Unusable


def tiff(levels: np.ndarray, photometry: int = 1) -> bytes:
    """A grey TIFF of any depth; Pillow writes only some. Photometry 0 means that 0 is white."""
    (height, width), data = levels.shape, levels.tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[levels.dtype.kind]
    tags = {
        256: width, 257: height, 258: 8 * levels.itemsize, 259: 1, 262: photometry, 273: 8, 277: 1, 278: height,
        279: len(data), 339: kind,
    }  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(format: str) -> None:
    ramp = np.linspace(0, 65535, 128 * 128).reshape(128, 128)
    pixels = grey(encode(Image.fromarray(ramp.astype(np.uint16)), format))
    assert np.abs(pixels - ramp / 257).max() < 1.5


def levels_of(dtype: type, bits: int) -> np.ndarray:
    """A ramp that fills the lower ``bits`` bits of a dtype."""
    ramp = np.linspace(0, 255, 128 * 128).reshape(128, 128).astype(np.uint64)
    return (ramp << (bits - 8) | ramp >> max(0, 16 - bits)).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        (np.uint16, 8), (np.uint16, 16), (np.int16, 8), (np.int16, 15), (np.int32, 8), (np.int32, 16),
        (np.int32, 31), (np.uint32, 8), (np.uint32, 16), (np.uint32, 32),
    ],
)  # fmt: skip
def test_pixels_that_fill_8_16_or_all_bits_are_read(dtype: type, bits: int) -> None:
    """Some programs write 0 to 255 into 16 or 32 bits."""
    pixels = grey(tiff(levels_of(dtype, bits)))
    assert np.abs(pixels.astype(int) - levels_of(np.uint8, 8).astype(int)).max() <= 1


UNCLEAR = r"unclear brightness \(upper half of the (15|16|31|32)-bit range hardly used\): save it with 8 bits"


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [*((np.uint16, bits) for bits in range(9, 16)), (np.int16, 12), (np.int32, 12), (np.uint32, 15), (np.uint32, 24)],
)
def test_depths_that_look_like_a_dark_picture_are_refused(dtype: type, bits: int) -> None:
    with pytest.raises(Unusable, match=UNCLEAR):
        grey(tiff(levels_of(dtype, bits)))


def hot(levels: np.ndarray, value: int, count: int = 1) -> np.ndarray:
    levels.reshape(-1)[:count] = value
    return levels


@pytest.mark.parametrize(
    "levels",
    [
        hot(levels_of(np.uint16, 8), 65535),
        hot(levels_of(np.uint16, 8), 4096),
        hot(levels_of(np.uint16, 8) // 20, 4096),
        hot(levels_of(np.uint16, 14), 65535, count=100),
        hot(levels_of(np.uint32, 16), 1 << 31),
        levels_of(np.uint16, 16) // 17,
    ],
    ids=["8 bits", "8 bits, less", "one pixel", "14 bits", "16 of 32 bits", "dark"],
)
def test_single_bright_pixels_and_dark_pictures_change_no_brightness(levels: np.ndarray) -> None:
    as_png = [encode(Image.fromarray(levels), "PNG")] if levels.dtype == np.uint16 else []
    for encoded in (tiff(levels), *as_png):
        with pytest.raises(Unusable, match=UNCLEAR):
            grey(encoded)


def test_hot_pixels_of_a_picture_that_fills_its_range_are_bright_and_nothing_else() -> None:
    pixels = grey(tiff(hot(levels_of(np.uint16, 16), 65535, count=20)))
    assert np.abs(pixels.astype(int) - hot(levels_of(np.uint8, 8), 255, count=20)).max() <= 1


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_negative_pixels_are_refused(dtype: type) -> None:
    levels = np.linspace(np.iinfo(dtype).min, np.iinfo(dtype).max, 32 * 32).reshape(32, 32).astype(dtype)
    with pytest.raises(Unusable, match="pixels may be negative: save it with 8 bits, unsigned"):
        grey(tiff(levels))


def wide_png(levels: np.ndarray) -> bytes:
    """A PNG of 16 bits per colour from uint16 ``(height, width, colours)``; Pillow cannot write it."""
    height, width, colours = levels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[colours], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def wide_tiff(levels: np.ndarray, photometry: int = 2, planes: bool = False) -> bytes:
    """A TIFF of 16 bits per colour, in one strip or in one plane per colour."""
    height, width, colours = levels.shape
    data = (levels.transpose(2, 0, 1) if planes else levels).astype("<u2").tobytes()
    strips = colours if planes else 1
    starts = [8 + i * (len(data) // strips) for i in range(strips)]
    at, values = 8 + len(data), {258: [16] * colours, 273: starts, 279: [len(data) // strips] * strips}
    tags = {256: [width], 257: [height], 259: [1], 262: [photometry], 277: [colours], 278: [height], 284: [1 + planes]}
    entries, beside = b"", b""
    for tag, numbers in sorted((tags | values).items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        place = numbers[0] if len(numbers) == 1 else at + len(beside)
        beside += packed if len(numbers) > 1 else b""
        entries += struct.pack("<HHII", tag, 4, len(numbers), place)
    ifd = struct.pack("<H", len(tags | values)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", at + len(beside)) + data + beside + ifd


@pytest.mark.parametrize("write", [wide_png, wide_tiff])
def test_sixteen_bits_a_colour_are_read_where_they_are_filled(write: Callable[[np.ndarray], bytes]) -> None:
    full = np.dstack([levels_of(np.uint16, 16)] * 3)
    assert np.abs(grey(write(full)).astype(int) - levels_of(np.uint8, 8)).max() <= 1
    for lower in (full >> 8, full >> 4, full >> 2, full >> 1, hot(full >> 8, 65535, count=30)):
        with pytest.raises(Unusable, match=UNCLEAR):
            grey(write(lower))


def test_sixteen_bits_with_alpha_are_judged_by_what_is_visible() -> None:
    level, alpha = levels_of(np.uint16, 16), np.full((128, 128), 65535, np.uint16)
    assert np.abs(grey(wide_png(np.dstack([level, alpha]))).astype(int) - levels_of(np.uint8, 8)).max() <= 1
    alpha[:40], level[:40] = 0, 65535
    with pytest.raises(Unusable, match=UNCLEAR):
        grey(wide_png(np.dstack([*[np.where(alpha > 0, level >> 4, level)] * 3, alpha])))


def test_ink_of_sixteen_bits_must_fill_them_too() -> None:
    ink = np.dstack([levels_of(np.uint16, 16)] * 3 + [np.zeros((128, 128), np.uint16)])
    assert np.abs(grey(wide_tiff(ink, photometry=5)).astype(int) - (255 - levels_of(np.uint8, 8))).max() <= 1
    with pytest.raises(Unusable, match=UNCLEAR):
        grey(wide_tiff(ink >> 2, photometry=5))


def test_planes_of_sixteen_bits_are_refused() -> None:
    """Pillow reads them as 8 bits."""
    with pytest.raises(Unusable, match="damaged or unsupported TIFF: save it with 8 bits"):
        grey(wide_tiff(np.dstack([levels_of(np.uint16, 16)] * 3), planes=True))


def test_white_may_be_zero() -> None:
    ramp = np.linspace(0, 65535, 128 * 128).reshape(128, 128).astype(np.uint16)
    assert np.abs(grey(tiff(65535 - ramp, photometry=0)) - ramp / 257).max() < 1.5


def test_sixteen_bits_may_have_a_transparent_level() -> None:
    ramp = np.linspace(0, 65535, 128 * 128).reshape(128, 128).astype(np.uint16)
    ramp[:40] = 7
    png = encode(Image.fromarray(ramp), "PNG")
    before = png.index(b"IDAT") - 4
    png = png[:before] + chunk(b"tRNS", struct.pack(">H", 7)) + png[before:]
    assert grey(png)[:36].min() == 255


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (tiff(np.zeros((32, 32), np.float32)), "floating-point numbers: save it with 8 bits, in RGB or grey"),
        (tiff(np.zeros((32, 32), np.float64)), "damaged or unsupported TIFF"),
        (encode(Image.new("LAB", (32, 32)), "TIFF"), "colours are in CIELAB: save it"),
    ],
)
def test_pixels_of_kinds_that_are_not_read_have_a_reason(encoded: bytes, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        grey(encoded)
