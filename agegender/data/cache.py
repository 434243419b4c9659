"""Cache of decoded data sets: decoded once, then opened as a memory map.

Each data set has a folder, ``<cache>/faces/<key>/``, with the pixels in ``images.npy`` and everything else in
``faces.json``, which includes a hash of both: a data set is built again if they were damaged. The folder may be deleted
at any time. ``<cache>`` is ``$MINIDL_CACHE``, or ``minidl`` in the user's cache folder. A data set is built under a
temporary name and then renamed, so a folder named by a key is complete.
"""

import atexit
import hashlib
import json
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from minidl.errors import counted
from minidl.files import expanded, user_cache
from minidl.progress import size

from ..errors import DataError, cause
from .faces import IMAGE_SIZE, Faces, Images, Kind, Record, pixel_digests
from .files import remove_abandoned

FORMAT_VERSION = 4
_ROW_BYTES = IMAGE_SIZE * IMAGE_SIZE
_RECORD_BYTES = 200
_SIZE = f"{_ROW_BYTES / 1000:.0f} kB each"
_WAYS = "make room there, or set MINIDL_CACHE to a folder elsewhere"
_BUILDING, _TEMPORARY = ".building-", "minidl-faces-"


def cached(
    identity: str, build: Callable[[Path], bool | None], *, source: str, kind: Kind, cache: Path | None = None
) -> Faces:
    """The data set with this identity, built only if it is not in the cache.

    ``build(folder)`` writes ``images.npy`` and ``faces.json``, with ``ImageFile`` and ``write_records``. If it returns
    True, the result is used but not kept: the next call builds it again. Two processes may build at the same time; both
    use the result of the first to finish. Raises ``DataError`` if there is no room.

    >>> import tempfile
    >>> def build(folder):
    ...     with ImageFile(folder, 2) as file:
    ...         file.write(1, np.zeros((128, 128), np.uint8))
    ...         file.finish([1])
    ...     write_records(folder, [Record("b", 30, 1, -1, "a5")], [("a", "damaged")])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     faces = cached("mine", build, source="here", kind="mine", cache=Path(folder))
    ...     len(faces), faces.names, faces.skipped
    (1, ['b'], [('a', 'damaged')])
    """
    name = f"v{FORMAT_VERSION}|{IMAGE_SIZE}|{kind}|{identity}"
    key = f"{kind}-{hashlib.blake2b(name.encode('utf-8', 'surrogateescape'), digest_size=12).hexdigest()}"
    root = _writable_root(cache, key)
    faces = _load(root / key, source, kind)
    if faces is None:
        remove_abandoned(root, _BUILDING)
        faces = _build(root / key, build, source, kind)
    if faces is None:
        raise DataError(f"the cache in {root} is not readable: set MINIDL_CACHE to another folder")
    return faces


class ImageFile:
    """Writes ``images.npy`` row by row, in any order, with at most one row in memory.

    It does not use a memory map, because a full disk then kills the process instead of raising an error. The
    constructor raises ``DataError`` if there is no room for ``count`` images. Example: :func:`cached`.
    """

    def __init__(self, folder: Path, count: int) -> None:
        needed, free = count * (_ROW_BYTES + _RECORD_BYTES), shutil.disk_usage(folder).free
        if free < needed:
            raise DataError(
                f"{size(needed)} are needed for {counted(count, 'decoded picture')}, but only {size(free)} are free in "
                f"{folder.parent}: {_WAYS}"
            )
        self._file = (folder / "images.npy").open("w+b")
        self._write_header(count)
        self._start = self._file.tell()
        self._count = count

    def __enter__(self) -> "ImageFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def write(self, row: int, pixels: Images) -> None:
        """Write an image, uint8 ``(128, 128)``, as row ``row``."""
        self._file.seek(self._start + row * _ROW_BYTES)
        self._file.write(pixels.tobytes())

    def finish(self, kept: Sequence[int]) -> None:
        """Keep only the rows ``kept``, in ascending order, and close the gaps."""
        for new, old in enumerate(kept):
            if new != old:
                self._file.seek(self._start + old * _ROW_BYTES)
                pixels = self._file.read(_ROW_BYTES)
                self._file.seek(self._start + new * _ROW_BYTES)
                self._file.write(pixels)
        self._file.truncate(self._start + len(kept) * _ROW_BYTES)
        self._file.seek(0)
        self._write_header(len(kept))  # of the same length: NumPy pads the header so that the count can grow
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write_header(self, count: int) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, IMAGE_SIZE, IMAGE_SIZE)}
        np.lib.format.write_array_header_1_0(self._file, header)


def write_records(folder: Path, records: Iterable[Record], skipped: Iterable[tuple[str, str]]) -> None:
    """Write ``faces.json``, see :func:`cached`: a record for each image, in order, and the skipped files.

    The images must have been written before, because their hash is included.
    """
    content = {"columns": Record._fields, "records": list(records), "skipped": list(skipped)}
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    with (folder / "faces.json").open("w", encoding="ascii") as file:
        file.write(json.dumps({"sha256": _checksum(content, pixel_digests(images)), **content}))
        file.flush()
        os.fsync(file.fileno())


def _checksum(content: Any, digests: Iterable[bytes]) -> str:
    """The SHA-256 of the content of ``faces.json`` without the checksum, and of the hashes of the images."""
    checksum = hashlib.sha256(json.dumps(content).encode())
    for digest in digests:
        checksum.update(digest)
    return checksum.hexdigest()


def _load(folder: Path, source: str, kind: Kind) -> Faces | None:
    """The data set in ``folder``; None if it is missing or damaged.

    The hashes of the images are kept for the split, which needs them: to check them costs little.
    """
    try:
        content: Any = json.loads((folder / "faces.json").read_text(encoding="ascii"))
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        digests = pixel_digests(images)
        if content.pop("sha256") != _checksum(content, digests):
            return None
    except (OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    records = [Record(*row) for row in content["records"]]
    skipped = [(name, reason) for name, reason in content["skipped"]]
    faces = Faces.from_records(images, records, source=source, kind=kind, skipped=skipped)
    faces.pixel_digests = digests
    return faces


def _build(target: Path, build: Callable[[Path], bool | None], source: str, kind: Kind) -> Faces | None:
    folder = target.parent / f"{_BUILDING}{uuid.uuid4().hex}"
    try:
        folder.mkdir()
        if build(folder):
            return _load(folder, source, kind)  # the memory map stays valid when the file is deleted
        try:
            folder.rename(target)
        except OSError:
            if _load(target, source, kind) is None:  # damaged, rather than built by another process
                _remove(target)
                folder.rename(target)
    except OSError as error:
        if _load(target, source, kind) is None:
            raise DataError(
                f"cannot write the decoded pictures, {_SIZE}, to {target.parent}: {cause(error)}; {_WAYS}"
            ) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _load(target, source, kind)


def _remove(folder: Path) -> None:
    """Rename the folder, which is atomic, and then delete it."""
    away = folder.with_name(f"{_BUILDING}{uuid.uuid4().hex}")
    folder.rename(away)
    shutil.rmtree(away, ignore_errors=True)


def _writable_root(cache: Path | None, key: str) -> Path:
    """The folder of all data sets; a temporary one if it is not writable and does not contain ``key``."""
    try:
        root = (expanded(cache) if cache else user_cache()) / "faces"
    except RuntimeError:
        return _temporary_root("there is no home folder for the cache")
    try:
        if not (root / key).is_dir():
            root.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=root).close()
    except OSError as error:
        return _temporary_root(f"{root} is not writable ({cause(error)})")
    return root


def _temporary_root(why: str) -> Path:
    way = "Set MINIDL_CACHE to a writable folder"
    try:
        remove_abandoned(Path(tempfile.gettempdir()), _TEMPORARY)
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    except OSError as error:
        raise DataError(f"{why}, and there is no temporary folder ({cause(error)}). {way}") from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    warnings.warn(
        f"{why}: the decoded pictures, {_SIZE}, are stored in {folder} until this process ends. {way} to keep them.",
        stacklevel=6,  # the line that calls open()
    )
    return folder
