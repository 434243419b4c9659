"""The data of the system: UTKFace from wherever it lies, or faces drawn from a seed."""

import hashlib
from dataclasses import replace
from pathlib import Path

from minidl import plugins

from ..errors import DataError
from . import drawn as _artist  # before the function of the same name, which is the public one
from .cache import ImageFile, cached, write_records
from .faces import Faces, Record, write_skipped
from .sources import data_sets
from .split import Split, sample, split
from .utkface import Progress, find, read

__all__ = ["DataError", "Faces", "Record", "Split", "drawn", "find", "open", "sample", "split", "write_skipped"]


def open(source: str | Path | None = None, *, cache: Path | None = None, progress: Progress | None = None) -> Faces:
    """Open a data set: UTKFace as a folder or a ``.tar.gz``, ``.tar`` or ``.zip`` archive, ``"drawn"``, or one that an
    installed package brings, by its name (unless a file or folder bears it).

    Without a source, UTKFace is looked for (see ``find``), and the drawn faces take its place if it isn't there.
    Pictures become grey, 128 x 128, and are kept in the cache: ``$MINIDL_CACHE``, the user's cache folder, or
    ``cache``. While they are decoded, ``progress(done, total)`` is called. Raises ``DataError``.
    """
    path = find() if source is None else Path(source)
    if path is None or str(path) == "drawn":
        return drawn(cache=cache)
    if str(path) in data_sets() and not path.exists():
        return _build(str(path))
    return read(path, cache=cache, progress=progress)


def _build(name: str) -> Faces:
    faces = plugins.build("dataset", name)
    if not isinstance(faces, Faces):
        raise DataError(f"the data set '{name}' gives {type(faces).__name__}, expected agegender.data.Faces")
    return replace(faces, source=name)  # which opens it again


def drawn(count: int = 2000, seed: int = 0, *, cache: Path | None = None) -> Faces:
    """``count`` faces drawn from a seed: the data set that needs no download. Raises ``DataError`` if count < 2."""
    if count < 2:
        raise DataError(f"at least 2 faces must be drawn, got {count}")

    def build(folder: Path) -> None:
        images, ages, genders = _artist.draw(count, seed)
        records = [
            Record(f"drawn-{i:05d}", int(ages[i]), int(genders[i]), -1, _digest(images[i].tobytes()))
            for i in range(count)
        ]
        with ImageFile(folder, count) as file:
            for row, pixels in enumerate(images):
                file.write(row, pixels)
            file.finish(range(count))
        write_records(folder, records, [])

    identity = f"{_artist.VERSION}|{count}|{seed}"
    return cached(identity, build, source="drawn", kind="drawn", cache=cache)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
