"""From encoded pictures to grey pixels: one at a time, and a whole stream on all cores."""

import hashlib
import io
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
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
_UNREAD_FORMATS = (  # where a file has which bytes, and what it is then
    (4, b"ftypavif", "AVIF that is damaged, or that this Pillow cannot read"),
    (4, b"ftypheic", "HEIC, which is not read: save it as JPEG"),
    (4, b"ftypmif1", "HEIC, which is not read: save it as JPEG"),
    (0, b"II*\0", "a damaged TIFF, or a kind of it that is not read: save it with 8 bits"),
    (0, b"MM\0*", "a damaged TIFF, or a kind of it that is not read: save it with 8 bits"),
    (0, b"version https://git-lfs", "a pointer of Git LFS instead of a picture: git lfs pull"),
)
_TIFF_BITS, _TIFF_PHOTOMETRY, _TIFF_SAMPLES = 258, 262, 339  # tags; in the second 0 is white, in the third 2 signed


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
    into a square. Pixels of more than 8 bits are scaled from the depth that holds the brightest one: 8, 12, 16, 24 or
    32 bits, for many programs write 0 to 255 into 16.

    >>> file = io.BytesIO()
    >>> Image.radial_gradient("L").resize((200, 300)).save(file, "PNG")
    >>> pixels = grey(file.getvalue())
    >>> pixels.shape, pixels.dtype, int(pixels.max())
    ((128, 128), dtype('uint8'), 255)
    """
    if not encoded:
        raise Unusable("empty file")
    try:
        with Image.open(io.BytesIO(encoded), formats=_formats()) as picture:
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
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check(picture: Image.Image) -> None:
    if picture.mode in _UNREAD_MODES:
        raise Unusable(f"{_UNREAD_MODES[picture.mode]}: save it with 8 bits, in RGB or grey")
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large()
    if min(picture.size) < MIN_SIDE:
        raise Unusable(f"smaller than {MIN_SIDE} x {MIN_SIDE} pixels")


def _too_large() -> Unusable:
    return Unusable(f"more than {MAX_PIXELS // 1_000_000} million pixels: save it smaller")


def _unidentified(encoded: bytes) -> str:
    found = (reason for start, magic, reason in _UNREAD_FORMATS if encoded.startswith(magic, start))
    return next(found, "not a picture")


def _shrink(picture: Image.Image) -> Images:
    # A JPEG need not be decoded to colours, nor to its full size where at least twice ours remains.
    picture.draft("L", (2 * IMAGE_SIZE, 2 * IMAGE_SIZE))
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I"):
        picture = _eight_bits(picture)
    elif picture.has_transparency_data:
        colours = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    small = picture.convert("L").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
    return np.asarray(small)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey levels of up to 32 bits, which convert() would clip, as 8 bits."""
    levels = np.asarray(picture)
    tags: Any = getattr(picture, "tag_v2", {})
    full = 16
    if levels.dtype == np.int32:  # as which Pillow gives unsigned ones, too
        signed = tags.get(_TIFF_SAMPLES, (1,))[0] == 2
        levels = levels.clip(0) if signed else levels.view(np.uint32)
        full = tags.get(_TIFF_BITS, (32,))[0] - signed
    depth = next((bits for bits in (8, 12, 16, 24) if bits < full and int(levels.max()) < 1 << bits), full)
    pixels = (levels >> (depth - 8)).astype(np.uint8)
    if tags.get(_TIFF_PHOTOMETRY) == 0:
        pixels = 255 - pixels
    if "transparency" in picture.info:
        pixels[levels == picture.info["transparency"]] = 255
    return Image.fromarray(pixels)


def decode_all(stream: Iterable[_Encoded]) -> Iterator[tuple[int, Decoded]]:
    """Decode numbered files on all cores, in their order, holding only a few chunks of them in memory at a time.

    A file may come as the reason why it could not be read.

    >>> [(number, str(decoded.pixels)) for number, decoded in decode_all([(7, b"no picture")])]
    [(7, 'not a picture')]
    """
    _formats()  # loads them now, rather than while reading a stranger's file
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
