"""From encoded pictures to grey pixels: one at a time, and a whole stream on all cores."""

import hashlib
import io
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from minidl.threads import get_num_threads

from ..errors import Unusable
from .faces import IMAGE_SIZE, Images

MAX_PIXELS = 25_000_000
CHUNK_PICTURES = 32
CHUNK_BYTES = 4_000_000

# The formats whose header gives the size before anything is decoded. Pillow's others stay out, above all those that
# start a program (EPS).
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF")


class Decoded(NamedTuple):
    """The hash of a file, and the grey pixels uint8 ``(128, 128)`` or the reason why there are none.

    >>> Decoded("a5", Unusable("empty file")).pixels
    Unusable('empty file')
    """

    digest: str
    pixels: Images | Unusable


_Encoded: TypeAlias = tuple[int, bytes | Unusable]


def grey(encoded: bytes) -> Images:
    """Decode a picture to grey uint8 ``(128, 128)``; raises ``Unusable`` where that cannot be done.

    Rotates as EXIF says. Grey is the luma of ITU-R BT.601. A picture that isn't square is squeezed into a square.

    >>> file = io.BytesIO()
    >>> Image.new("RGB", (200, 300), "white").save(file, "PNG")
    >>> pixels = grey(file.getvalue())
    >>> pixels.shape, pixels.dtype, int(pixels.min())
    ((128, 128), dtype('uint8'), 255)
    """
    if not encoded:
        raise Unusable("empty file")
    try:
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Unusable(f"more than {MAX_PIXELS // 1_000_000} million pixels")
            return _shrink(picture)
    except Unusable:
        raise
    except UnidentifiedImageError:
        raise Unusable("not a picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unusable(f"more than {MAX_PIXELS // 1_000_000} million pixels") from None
    except Exception:  # Pillow's decoders raise errors of all kinds when a file is damaged
        raise Unusable("truncated or damaged picture") from None


def _shrink(picture: Image.Image) -> Images:
    # A JPEG need not be decoded to colours, nor to its full size where at least twice ours remains.
    picture.draft("L", (2 * IMAGE_SIZE, 2 * IMAGE_SIZE))
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I"):  # 16 bits, which convert() would clip
        picture = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    elif picture.mode == "F":
        raise Unusable("pixels are floating-point numbers")
    small = picture.convert("L").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
    return np.asarray(small)


def decode_all(stream: Iterable[_Encoded]) -> Iterator[tuple[int, Decoded]]:
    """Decode numbered files on all cores, in their order, holding only a few chunks of them in memory at a time.

    A file may come as the reason why it could not be read.

    >>> [(number, str(decoded.pixels)) for number, decoded in decode_all([(7, b"no picture")])]
    [(7, 'not a picture')]
    """
    Image.init()  # loads Pillow's formats now, rather than while reading a stranger's file
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
    digest = hashlib.blake2b(encoded, digest_size=16).hexdigest()
    try:
        return Decoded(digest, grey(encoded))
    except Unusable as reason:
        return Decoded(digest, reason)
