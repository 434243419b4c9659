"""From encoded pictures to grey pixels: one at a time, and a whole stream on all cores."""

import hashlib
import io
import struct
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from minidl.threads import get_num_threads

from ..errors import Unusable
from .faces import IMAGE_SIZE, Images

MAX_PIXELS = 25_000_000
MIN_SIDE = 16
"""In pixels: a smaller face has no features left, and would be enlarged more than eight times."""
MIN_CONTRAST = 16
"""Grey levels between the darkest pixel and the brightest one; the poorest face of UTKFace has 90."""
CHUNK_PICTURES = 32
CHUNK_BYTES = 4_000_000

# The formats whose header gives the size before anything is decoded. Pillow's others stay out, above all those that
# start a program (EPS). AVIF is missing in some of Pillow's builds.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "AVIF")
_UNREAD_MODES = {"F": "pixels are floating-point numbers", "LAB": "colours are in CIELAB"}
_UNREAD_TIFF = "a damaged TIFF, or a kind of it that is not read: save it with 8 bits"
_NEGATIVE = "pixels may be negative: save it with 8 bits, unsigned"
_UNREAD_FORMATS = (  # where a file has which bytes, and what it is then
    (4, b"ftypavif", "AVIF that is damaged, or that this Pillow cannot read"),
    (8, b"WEBP", "WebP that is damaged, or that this Pillow cannot read"),
    (4, b"ftypheic", "HEIC, which is not read: save it as JPEG"),
    (4, b"ftypmif1", "HEIC, which is not read: save it as JPEG"),
    *((0, bytes([0, 0, kind, 0]), "TGA, which is not read: save it as JPEG") for kind in (2, 3, 10, 11)),
    (0, b"II*\0", _UNREAD_TIFF),
    (0, b"MM\0*", _UNREAD_TIFF),
    (0, b"version https://git-lfs", "a pointer of Git LFS instead of a picture: git lfs pull"),
)
_TIFF_BITS, _TIFF_PHOTOMETRY, _TIFF_SAMPLES = 258, 262, 339  # tags; in the second 0 is white, in the third 2 signed
_BRIGHT = 99
"""The percentile that tells whether pixels fill their range. It is below half of it in 1 of 100 faces of UTKFace, and a
few hot pixels do not reach it."""


class Decoded(NamedTuple):
    """The hash of a file, and the grey pixels uint8 ``(128, 128)`` or the reason why there are none.

    >>> Decoded("a5", Unusable("empty file")).pixels
    Unusable('empty file')
    """

    digest: str
    pixels: Images | Unusable


_Encoded: TypeAlias = tuple[int, bytes | Unusable]


def digest(content: bytes) -> str:
    """The hash by which equal files are known: 32 hex digits.

    >>> digest(b"a picture") == digest(b"another one"), len(digest(b""))
    (False, 32)
    """
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def grey(encoded: bytes) -> Images:
    """Decode a picture to grey uint8 ``(128, 128)``; raises ``Unusable`` where that cannot be done.

    Reads JPEG, PNG, BMP, TIFF, WebP, GIF and, where Pillow does, AVIF; the first frame of several. Rotates as EXIF
    says. What is transparent becomes white. Grey is the luma of ITU-R BT.601. A picture that isn't square is squeezed
    into a square.

    Pixels of more than 8 bits are scaled to 8 only where their brightness is plain, and refused elsewhere, as 12 bits
    of a camera in a file of 16 look like a dark picture. It is plain if no level is above 255, which many programs
    write into 16 or 32 bits of grey, or if one pixel of a hundred lies in the upper half of the 16 bits (of the 32, if
    16 do not hold the brightest; of 15 or 31, if they are signed). No level may be negative. Of 16 bits a colour,
    Pillow reads the upper 8, which must be filled in the same way. An alpha channel of zeros is ignored in BMP, where
    programs leave it empty.

    >>> file = io.BytesIO()
    >>> Image.radial_gradient("L").resize((200, 300)).save(file, "PNG")
    >>> pixels = grey(file.getvalue())
    >>> pixels.shape, pixels.dtype, int(pixels.max())
    ((128, 128), dtype('uint8'), 255)
    """
    if not encoded:
        raise Unusable("empty file")
    try:
        with Image.open(io.BytesIO(encoded), formats=formats()) as picture:
            _check(picture)
            pixels = _shrink(picture)
    except (Unusable, MemoryError):  # the latter says nothing of the picture
        raise
    except UnidentifiedImageError:
        raise Unusable(_unidentified(encoded)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large() from None
    except Exception:  # Pillow's decoders raise errors of all kinds when a file is damaged
        raise Unusable("truncated or damaged picture") from None
    if int(pixels.max()) - int(pixels.min()) < MIN_CONTRAST:
        raise Unusable("one flat value instead of a picture")
    return pixels


@cache
def formats() -> tuple[str, ...]:
    """The formats that are read, by Pillow's names; some depend on how it was built.

    >>> "JPEG" in formats()
    True
    """
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check(picture: Image.Image) -> None:
    if picture.mode in _UNREAD_MODES:
        raise Unusable(f"{_UNREAD_MODES[picture.mode]}: save it with 8 bits, in RGB or grey")
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large()
    tags = _tags(picture)
    if picture.mode == "L" and tags.get(_TIFF_SAMPLES, (1,))[0] == 2:
        raise Unusable(_NEGATIVE)
    if tags.get(_TIFF_BITS, (1,))[0] > 8 and picture.mode[0] != "I" and not _has_sixteen_bits(picture):
        raise Unusable(_UNREAD_TIFF)  # planes of 16 bits, which Pillow takes for 8
    if min(picture.size) < MIN_SIDE:
        raise Unusable(f"smaller than {MIN_SIDE} x {MIN_SIDE} pixels")


def _tags(picture: Image.Image) -> Any:
    return getattr(picture, "tag_v2", {})


def _too_large() -> Unusable:
    return Unusable(f"more than {MAX_PIXELS // 1_000_000} million pixels: save it smaller")


def _unidentified(encoded: bytes) -> str:
    name = _unread_format(encoded)
    found = (reason for start, magic, reason in _UNREAD_FORMATS if encoded.startswith(magic, start))
    return next(found, None) or (f"{name}, which is not read: save it as JPEG" if name else "not a picture")


def _unread_format(encoded: bytes) -> str:
    """The name of one of Pillow's other formats, told by a few bytes; it opens nothing of the file."""
    for name, (_, accepts) in Image.OPEN.items():
        with suppress(IndexError, struct.error):  # for a file of a few bytes
            if name not in _FORMATS and accepts is not None and accepts(encoded[:16]):
                return name
    return ""


def _shrink(picture: Image.Image) -> Images:
    # A JPEG need not be decoded to colours, nor to its full size where at least twice ours remains.
    picture.draft("L", (2 * IMAGE_SIZE, 2 * IMAGE_SIZE))
    sixteen = _has_sixteen_bits(picture)  # which is forgotten in loading
    picture.load()
    _turn(picture)
    if picture.mode[0] == "I":
        picture = _eight_bits(picture)
    elif picture.has_transparency_data or sixteen:
        picture = _on_white(picture, sixteen)
    small = picture.convert("L").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
    return np.asarray(small)


def _turn(picture: Image.Image) -> None:
    """Rotate as EXIF says, if that can be read."""
    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except MemoryError:
        raise
    except Exception:  # of many kinds, as Pillow's decoders raise them
        return


def _has_sixteen_bits(picture: Image.Image) -> bool:
    return picture.format in ("PNG", "TIFF") and ";16" in str(getattr(picture, "tile", ""))


def _on_white(picture: Image.Image, sixteen: bool) -> Image.Image:
    """Colours, with or without transparency, on white; of 16 bits only the upper 8 are left."""
    colours = picture.convert("RGBA")
    visible = np.asarray(colours.getchannel("A")) > 0
    if not visible.any():
        if picture.format != "BMP":
            raise _transparent()
        colours.putalpha(255)
    elif sixteen:
        stored = np.asarray(picture if picture.mode == "CMYK" else colours)
        _require_filled(stored[visible, :3].max(axis=1), 8, stored=16)
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey levels of up to 32 bits, which convert() would clip, as 8 bits."""
    levels = np.asarray(picture)
    tags = _tags(picture)
    signed = tags.get(_TIFF_SAMPLES, (1,))[0] == 2
    if signed and levels.min() < 0:
        raise Unusable(_NEGATIVE)
    if levels.dtype == np.int32:  # as which Pillow gives unsigned ones, too
        levels = levels.view(np.uint32)
    full = tags.get(_TIFF_BITS, (16,))[0] - signed
    hidden = levels == picture.info.get("transparency", -1)
    if hidden.all():
        raise _transparent()
    visible = levels[~hidden]
    depth = next(bits for bits in (8, 16, full) if bits <= full and int(visible.max()) < 1 << bits)
    if depth > 8:
        _require_filled(visible, depth, stored=depth)
    pixels = (levels >> (depth - 8)).astype(np.uint8)
    if tags.get(_TIFF_PHOTOMETRY) == 0:
        pixels = 255 - pixels
    pixels[hidden] = 255
    return Image.fromarray(pixels)


def _require_filled(levels: NDArray[Any], depth: int, stored: int) -> None:
    if np.percentile(levels, _BRIGHT) < 1 << (depth - 1):
        raise Unusable(
            f"the upper of its {stored} bits are hardly used, so its brightness is unclear: save it with 8 bits"
        )


def _transparent() -> Unusable:
    return Unusable("transparent everywhere: save it without an alpha channel")


def decode_all(stream: Iterable[_Encoded]) -> Iterator[tuple[int, Decoded]]:
    """Decode numbered files on all cores, in their order, holding only a few chunks of them in memory at a time.

    A file may come as the reason why it could not be read.

    >>> [(number, str(decoded.pixels)) for number, decoded in decode_all([(7, b"no picture")])]
    [(7, 'not a picture')]
    """
    formats()  # loads them now, rather than while reading a stranger's file
    workers = min(get_num_threads(), 8)
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        warnings.simplefilter("ignore")  # Pillow's remarks about odd pictures; those that fail have their reason
        pending: deque[Future[list[tuple[int, Decoded]]]] = deque()
        for chunk in _chunks(stream):
            pending.append(pool.submit(_decode_chunk, chunk))
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _chunks(stream: Iterable[_Encoded]) -> Iterator[list[_Encoded]]:
    chunk: list[_Encoded] = []
    nbytes = 0
    for number, encoded in stream:
        chunk.append((number, encoded))
        nbytes += len(encoded) if isinstance(encoded, bytes) else 0
        if len(chunk) == CHUNK_PICTURES or nbytes > CHUNK_BYTES:
            yield chunk
            chunk, nbytes = [], 0
    yield chunk


def _decode_chunk(chunk: list[_Encoded]) -> list[tuple[int, Decoded]]:
    return [(number, _decode(encoded)) for number, encoded in chunk]


def _decode(encoded: bytes | Unusable) -> Decoded:
    if isinstance(encoded, Unusable):
        return Decoded("", encoded)
    try:
        return Decoded(digest(encoded), grey(encoded))
    except Unusable as reason:
        return Decoded(digest(encoded), reason)
