"""Decode pictures: one, in grey or colour, or a stream of grey ones on all cores."""

import hashlib
import io
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
"""In pixels: smaller pictures show no features of a face and would be enlarged more than eight times."""
MIN_CONTRAST = 16
"""Difference in grey levels between the darkest and the brightest pixel; the lowest in UTKFace is 90."""
CHUNK_PICTURES = 32
CHUNK_BYTES = 4_000_000

# Formats whose header gives the size before anything is decoded. Pillow's other formats are excluded, above all EPS,
# which starts a program. Some builds of Pillow lack AVIF.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "AVIF")
_UNREAD_MODES = {"F": "pixels are floating-point numbers", "LAB": "colours are in CIELAB"}
_UNREAD_TIFF = "damaged or unsupported TIFF: save it with 8 bits"
_NEGATIVE = "pixels may be negative: save it with 8 bits, unsigned"
_UNREAD_FORMATS = (  # offset, magic bytes, and the reason
    (4, b"ftypavif", "AVIF that is damaged or not supported by this Pillow"),
    (8, b"WEBP", "WebP that is damaged or not supported by this Pillow"),
    (0, b"II*\0", _UNREAD_TIFF),
    (0, b"MM\0*", _UNREAD_TIFF),
    (0, b"version https://git-lfs", "a Git LFS pointer instead of a picture: run `git lfs pull`"),
    *(
        (start, magic, f"{name}, which is not supported: save it as JPEG")
        for name, start, beginnings in (
            ("HEIC", 4, (b"ftypheic", b"ftypmif1")),
            ("JPEG2000", 4, (b"jP  ",)),
            ("JPEG2000", 0, (b"\xffO\xffQ",)),
            ("PPM", 0, (b"P5", b"P6")),
            ("PSD", 0, (b"8BPS",)),
            ("EPS", 0, (b"%!PS",)),
            ("TGA", 0, (b"\0\0\2\0", b"\0\0\3\0", b"\0\0\n\0", b"\0\0\v\0")),
        )
        for magic in beginnings
    ),
)
# Tags: photometry 0 means that 0 is white, sample format 2 means signed.
_TIFF_BITS, _TIFF_PHOTOMETRY, _TIFF_SAMPLES = 258, 262, 339
_BRIGHT = 99
"""The percentile that must be in the upper half of the range, as in 99 of 100 faces of UTKFace. A few hot pixels do not
affect it."""


class Decoded(NamedTuple):
    """The hash of a file, and its grey pixels, uint8 ``(128, 128)``, or the reason to skip it.

    >>> Decoded("a5", Unusable("empty file")).pixels
    Unusable('empty file')
    """

    digest: str
    pixels: Images | Unusable


_Encoded: TypeAlias = tuple[int, bytes | Unusable]


def digest(content: bytes) -> str:
    """The hash that identifies equal files: 32 hex digits.

    >>> digest(b"a picture") == digest(b"another one"), len(digest(b""))
    (False, 32)
    """
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def grey(encoded: bytes) -> Images:
    """Decode a picture to grey uint8 ``(128, 128)``; raises ``Unusable`` if this is impossible.

    Reads JPEG, PNG, BMP, TIFF, WebP, GIF, and AVIF if Pillow supports it; of several frames, the first. Applies the
    EXIF rotation. Transparent pixels become white. Grey is the luma of ITU-R BT.601. A picture that is not square is
    distorted to a square.

    Pixels of more than 8 bits are scaled to 8 only if their brightness is unambiguous; otherwise ``Unusable`` is
    raised, because a camera's 12 bits in a 16-bit file look like a dark picture. It is unambiguous if no level is above
    255 (many programs write 8-bit levels as 16 or 32 bits), or if at least one pixel in a hundred is in the upper half
    of 16 bits (of 32, if the brightest pixel exceeds 16; of 15 or 31, if they are signed). No level may be negative.
    For 16 bits per colour, Pillow reads only the upper 8, and one pixel in a hundred must be in their upper half. An
    alpha channel of zeros is ignored in BMP, because programs leave it empty.

    >>> file = io.BytesIO()
    >>> Image.radial_gradient("L").resize((200, 300)).save(file, "PNG")
    >>> pixels = grey(file.getvalue())
    >>> pixels.shape, pixels.dtype, int(pixels.max())
    ((128, 128), dtype('uint8'), 255)
    """
    picture = _decoded(encoded, "L", 2 * IMAGE_SIZE)
    pixels = np.asarray(picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS))
    if int(pixels.max()) - int(pixels.min()) < MIN_CONTRAST:
        raise Unusable("all pixels are nearly equal")
    return pixels


def colour(encoded: bytes, longest: int) -> tuple[Image.Image, float]:
    """Decode a picture as :func:`grey` does, but to RGB, with its shape kept and no side above ``longest``.

    Also returns the factor by which its sides were reduced.

    >>> file = io.BytesIO()
    >>> Image.radial_gradient("L").resize((200, 300)).save(file, "PNG")
    >>> picture, factor = colour(file.getvalue(), 150)
    >>> picture.mode, picture.size, factor
    ('RGB', (100, 150), 2.0)
    """
    picture = _decoded(encoded, "RGB", 2 * longest)
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    with Image.open(io.BytesIO(encoded), formats=formats()) as whole:
        return picture, max(whole.size) / max(picture.size)


def _decoded(encoded: bytes, mode: str, least: int) -> Image.Image:
    """The upright picture in this mode; a JPEG may be reduced, to sides of at least ``least``."""
    if not encoded:
        raise Unusable("empty file")
    try:
        with Image.open(io.BytesIO(encoded), formats=formats()) as picture:
            _check(picture)
            return _loaded(picture, mode, least).convert(mode)
    except (Unusable, MemoryError):  # the latter is unrelated to the picture
        raise
    except UnidentifiedImageError:
        raise Unusable(_unidentified(encoded)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large() from None
    except Exception:  # Pillow's decoders raise errors of all kinds when a file is damaged
        raise Unusable("truncated or damaged picture") from None


@cache
def formats() -> tuple[str, ...]:
    """The supported formats by Pillow's names; some depend on its build.

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
        raise Unusable(_UNREAD_TIFF)  # planes of 16 bits, which Pillow reads as 8
    if min(picture.size) < MIN_SIDE:
        raise Unusable(f"smaller than {MIN_SIDE} x {MIN_SIDE} pixels")


def _tags(picture: Image.Image) -> Any:
    return getattr(picture, "tag_v2", {})


def _too_large() -> Unusable:
    return Unusable(f"more than {MAX_PIXELS // 1_000_000} million pixels: save it with fewer")


def _unidentified(encoded: bytes) -> str:
    found = (reason for start, magic, reason in _UNREAD_FORMATS if encoded.startswith(magic, start))
    return next(found, "not a picture")


def _loaded(picture: Image.Image, mode: str, least: int) -> Image.Image:
    picture.draft(mode, (least, least))  # a JPEG can be decoded directly to grey, and at a reduced size
    sixteen = _has_sixteen_bits(picture)  # before load() discards this information
    picture.load()
    _turn(picture)
    if picture.mode[0] == "I":
        return _eight_bits(picture)
    if picture.has_transparency_data or sixteen:
        return _on_white(picture, sixteen)
    return picture


def _turn(picture: Image.Image) -> None:
    """Apply the EXIF rotation, if readable."""
    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except MemoryError:
        raise
    except Exception:  # of any type, as in grey()
        return


def _has_sixteen_bits(picture: Image.Image) -> bool:
    return picture.format in ("PNG", "TIFF") and ";16" in str(getattr(picture, "tile", ""))


def _on_white(picture: Image.Image, sixteen: bool) -> Image.Image:
    """Blend colours with white by their transparency; of 16 bits, only the upper 8 are kept."""
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
    """Convert grey levels of up to 32 bits to 8; convert() would clip them."""
    levels = np.asarray(picture)
    tags = _tags(picture)
    signed = tags.get(_TIFF_SAMPLES, (1,))[0] == 2
    if signed and levels.min() < 0:
        raise Unusable(_NEGATIVE)
    if levels.dtype == np.int32:  # Pillow returns unsigned levels as int32, too
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
        raise Unusable(f"unclear brightness (upper half of the {stored}-bit range hardly used): save it with 8 bits")


def _transparent() -> Unusable:
    return Unusable("fully transparent: save it without an alpha channel")


def decode_all(stream: Iterable[_Encoded]) -> Iterator[tuple[int, Decoded]]:
    """Decode numbered files on all cores, in order, with only a few chunks in memory at a time.

    The content of a file may be the reason why it could not be read.

    >>> [(number, str(decoded.pixels)) for number, decoded in decode_all([(7, b"no picture")])]
    [(7, 'not a picture')]
    """
    formats()  # loads Pillow's plugins before any untrusted file is read
    workers = min(get_num_threads(), 8)
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        warnings.simplefilter("ignore")  # of Pillow, about irregular pictures; failures have a reason
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
