import io
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pictures import encode, picture
from PIL import Image, ImageColor

import agegender
from agegender.data import decode
from agegender.data.decode import Decoded, decode_all, grey
from agegender.errors import Unusable


def plain(image: Image.Image) -> np.ndarray:
    """The definition: convert to RGB, to grey, to 128 x 128."""
    return np.asarray(image.convert("RGB").convert("L").resize((128, 128), Image.Resampling.LANCZOS), np.int16)


def difference(encoded: bytes, image: Image.Image) -> int:
    return int(np.abs(grey(encoded).astype(np.int16) - plain(image)).max())


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "1"])
@pytest.mark.parametrize("size", [(200, 200), (90, 61)])
def test_jpeg_modes(mode: str, size: tuple[int, int]) -> None:
    encoded = encode(picture(1, size).convert(mode), quality=95)
    assert difference(encoded, Image.open(io.BytesIO(encoded))) <= 4
    assert grey(encoded).dtype == np.uint8


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_png_modes(mode: str) -> None:
    image = picture(2, (150, 130)).convert(mode)
    assert difference(encode(image, "PNG"), image) <= 1


@pytest.mark.parametrize("format", ["WEBP", "GIF", "AVIF", "TIFF", "PNG"])
def test_the_first_frame_of_other_formats(format: str) -> None:
    if format not in decode.formats():
        pytest.skip(f"this Pillow does not support {format}")
    first, *others = (picture(seed, (150, 130)).convert("L") for seed in range(3))
    assert difference(encode(first, format, quality=95), first) <= 5
    assert difference(encode(first, format, quality=95, save_all=True, append_images=others), first) <= 5


def half_transparent(hidden: str) -> Image.Image:
    """A picture whose upper half is fully transparent, with a hidden colour."""
    image = picture(8, (128, 128)).point(lambda level: max(level, 8)).convert("RGBA")
    image.paste((*ImageColor.getrgb(hidden), 0), (0, 0, 128, 64))
    return image


def of_one_colour(mode: str) -> Image.Image:
    """A picture whose transparent part is defined by a colour that the rest does not contain."""
    return half_transparent("black").convert("RGB").convert(mode)


@pytest.mark.parametrize(
    ("encoded", "most"),
    [
        (encode(half_transparent("black"), "PNG"), 0),
        (encode(half_transparent("lime"), "PNG"), 0),
        (encode(half_transparent("black"), "TIFF"), 0),
        (encode(half_transparent("black"), "WEBP", lossless=True), 0),
        (encode(half_transparent("black"), "GIF"), 20),
        (encode(half_transparent("black").quantize(256), "PNG"), 20),
        (encode(half_transparent("black").convert("LA"), "PNG"), 0),
        (encode(half_transparent("black").convert("LA"), "TIFF"), 0),
        (encode(of_one_colour("RGB"), "PNG", transparency=(0, 0, 0)), 0),
        (encode(of_one_colour("L"), "PNG", transparency=0), 0),
        (encode(of_one_colour("L"), "GIF", transparency=0), 0),
    ],
)
def test_what_is_transparent_is_white(encoded: bytes, most: int) -> None:
    seen = of_one_colour("L")
    seen.paste(255, (0, 0, 128, 64))
    assert difference(encoded, seen) <= most
    assert grey(encoded)[:64].min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_honoured(orientation: int) -> None:
    upright = picture(3, (120, 80)).convert("L")
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    assert difference(encode(stored, exif=exif, quality=95), upright) <= 5


def test_large_jpeg_decoded_at_reduced_size_looks_the_same() -> None:
    image = picture(4, (1600, 1200))
    assert difference(encode(image, quality=95), image) <= 4


def test_contents_decide_not_extensions() -> None:
    image = picture(5)
    assert difference(encode(image, "BMP"), image) <= 1


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "empty file"),
        (b"this is no picture", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "EPS, which is not supported: save it as JPEG"),
        *(
            (encode(picture(6), name), f"^{name}, which is not supported: save it")
            for name in ("TGA", "JPEG2000", "PPM")
        ),
        (encode(picture(6), "JPEG2000", no_jp2=True), "JPEG2000, which is not supported: save it as JPEG"),
        (encode(picture(6).convert("L"), "TGA", compression="tga_rle"), "TGA, which is not supported: save it as JPEG"),
        (b"8BPS\0\1" + bytes(50), "PSD, which is not supported: save it as JPEG"),
        (b"\n", "^not a picture$"),
        (encode(picture(6))[:-2], "truncated or damaged"),
        (encode(picture(6))[:300], "truncated or damaged"),
        (encode(picture(6), "PNG")[:200], "truncated or damaged"),
        (bmp_header(5001, 5000), "25 million pixels: save it with fewer"),
        (bmp_header(12_000, 12_000), "25 million pixels"),  # Pillow warns
        (bmp_header(60_000, 60_000), "25 million pixels"),  # Pillow raises an error
        (bmp_header(5000, 5000), "truncated or damaged"),
        (encode(picture(6, (1, 1)), "PNG"), "smaller than 16 x 16 pixels"),
        (encode(picture(6, (300, 15)), "PNG"), "smaller than 16 x 16 pixels"),
        (encode(Image.new("RGB", (200, 200), "red")), "all pixels are nearly equal"),
        (encode(Image.new("RGBA", (200, 200), (9, 9, 9, 0)), "PNG"), "fully transparent: save it"),
        (encode(picture(6).point(lambda level: 100 + level // 16), "PNG"), "all pixels are nearly equal"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC, which is not supported: save it as JPEG"),
        (b"\0\0\0\x18ftypavif" + bytes(50), "AVIF that is damaged or not supported by this Pillow"),
        (b"RIFF\x30\0\0\0WEBP" + bytes(40), "WebP that is damaged or not supported by this Pillow"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer .* run `git lfs pull`"),
    ],
)
def test_bad_pictures_have_a_reason(encoded: bytes, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        grey(encoded)


def test_the_least_of_a_picture_is_enough() -> None:
    assert grey(encode(picture(6, (16, 16)), "PNG")).shape == (128, 128)
    assert int(np.ptp(grey(encode(picture(6).point(lambda level: 100 + level // 8), "PNG")))) >= 16


def test_a_lack_of_memory_is_no_fault_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode, "_loaded", fail)
    with pytest.raises(MemoryError):
        grey(encode(picture()))


def test_a_stream_keeps_its_order_and_its_reasons() -> None:
    good = [encode(picture(i)) for i in range(5)]
    stream: list[tuple[int, bytes | Unusable]] = [(i * 7, good[i % 5]) for i in range(300)]
    stream[10] = (70, b"broken")
    stream[20] = (140, Unusable("unreadable"))
    results = list(decode_all(stream))
    assert [number for number, _ in results] == [i * 7 for i in range(300)]
    reasons = {number: str(result.pixels) for number, result in results if isinstance(result.pixels, Unusable)}
    assert reasons == {70: "not a picture", 140: "unreadable"}
    assert results[3][1].digest == results[298][1].digest != results[4][1].digest
    assert np.array_equal(results[3][1].pixels, grey(good[3]))


def test_empty_stream() -> None:
    assert list(decode_all([])) == []


def test_a_stream_is_read_only_a_little_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "get_num_threads", lambda: 2)
    monkeypatch.setattr(decode, "_decode", lambda encoded: Decoded("", Unusable("not tried")))
    taken = 0

    def endless() -> Iterator[tuple[int, bytes | Unusable]]:
        nonlocal taken
        while True:
            taken += 1
            yield taken, b"x"

    results = decode_all(endless())
    next(results)
    assert taken <= 6 * decode.CHUNK_PICTURES
    results.close()  # type: ignore[attr-defined]


def test_large_files_make_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "CHUNK_BYTES", 100)
    chunks = decode._chunks([(i, b"x" * 60) for i in range(5)])
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]


def test_odd_metadata_is_no_reason_to_lose_a_picture() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0"  # Pillow warns, and warnings are errors here
    ((_, result),) = decode_all([(0, encode(picture(), exif=exif))])
    assert np.array_equal(result.pixels, grey(encode(picture())))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_with_broken_exif_is_read_as_it_is_stored(format: str) -> None:
    encoded = encode(picture(), format, exif=b"Exif\0\0no TIFF at all")
    assert np.array_equal(grey(encoded), grey(encode(picture(), format)))


def test_an_empty_alpha_channel_of_a_bmp_is_ignored() -> None:
    """Windows programs leave it at zero, and viewers ignore it."""
    image = picture(4, (32, 32))
    pixels = np.dstack([np.asarray(image)[::-1, :, ::-1], np.zeros((32, 32), np.uint8)]).tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"sRGB"[::-1] + bytes(48)
    header = struct.pack("<IiiHHIIiiII", 108, 32, 32, 1, 32, 3, len(pixels), 0, 0, 0, 0) + masks
    encoded = b"BM" + struct.pack("<IHHI", 14 + 108 + len(pixels), 0, 0, 14 + 108) + header + pixels
    assert Image.open(io.BytesIO(encoded)).mode == "RGBA"
    assert difference(encoded, image) <= 1


AUDITED = """
import sys
from agegender.data.decode import decode_all
from agegender.errors import Unusable
hostile = [bytes.fromhex(each) for each in sys.argv[1:]]
forbidden = {"exec", "import", "compile", "subprocess.Popen", "os.system", "os.posix_spawn", "socket.connect"}
started = []
list(decode_all([(0, b"")]))  # load Pillow and start threads
sys.addaudithook(lambda event, arguments: started.append(event) if event in forbidden else None)
results = list(decode_all(enumerate(hostile)))
assert len(results) == 4 and all(isinstance(result.pixels, Unusable) for _, result in results)
print(started)
"""


def test_damaged_pictures_import_nothing_and_start_nothing() -> None:
    hostile = [b"%!PS-Adobe-3.0\n", encode(picture())[:500], encode(picture(), "TIFF")[:100], b"\x89PNG\r\n\x1a\n"]
    run = subprocess.run(
        [sys.executable, "-c", AUDITED, *(each.hex() for each in hostile)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(agegender.__path__[0]).parent)},
    )
    assert (run.stdout, run.stderr) == ("[]\n", "")
