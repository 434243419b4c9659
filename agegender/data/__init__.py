"""Data sets of faces: UTKFace from a folder or an archive, and faces drawn from a seed."""

from dataclasses import replace
from pathlib import Path

from minidl import plugins

from ..errors import DataError, TooManySkipped
from . import drawn as _artist  # before the public function of the same name
from .cache import ImageFile, cached, write_records
from .decode import digest
from .faces import Faces, Record, write_skipped
from .kinds import data_sets, place
from .places import blaming_environment, find, found, not_taken, passed_over
from .split import Split, sample, split
from .utkface import MAX_SKIPPED, Progress, read, skipped_written_to

__all__ = [
    "DataError", "Faces", "Record", "Split", "TooManySkipped", "blaming_environment", "drawn", "find", "found",
    "not_taken", "open", "passed_over", "sample", "skipped_written_to", "split", "write_skipped",
]  # fmt: skip


def open(
    source: str | Path | None = None,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    max_skipped: float = MAX_SKIPPED,
) -> Faces:
    """Open a data set: UTKFace as a folder or an archive (``.tar``, ``.tar.gz``, ``.tar.bz2``, ``.tar.xz``, ``.zip``),
    ``"drawn"``, or the name of a data set of an installed package (unless a file or folder has this name).

    Without a source, this searches for UTKFace (see ``found``) and falls back to the drawn faces. Pictures are decoded
    to grey, 128 x 128, and kept in the cache: ``cache``, or else ``$MINIDL_CACHE``, or else the user's cache folder.
    ``progress(done, total)`` is called during decoding. Raises ``DataError``; its subclass ``TooManySkipped`` if the
    fraction of unusable pictures exceeds ``max_skipped``.
    """
    if not 0 <= max_skipped <= 1:
        raise DataError(f"max_skipped must be a fraction of the pictures, from 0 to 1, got {max_skipped}")
    if source is not None and not str(source).strip():
        raise DataError("the name of the data set is empty: expected a folder, an archive, or 'drawn'")
    path = find() if source is None else place(source)
    if path is None or str(path) == "drawn":
        return drawn(cache=cache)
    if str(path) in data_sets() and not path.exists():
        return _build(str(path))
    with blaming_environment(source):
        return read(path, cache=cache, progress=progress, max_skipped=max_skipped)


def _build(name: str) -> Faces:
    faces = plugins.build("dataset", name)
    if not isinstance(faces, Faces):
        raise DataError(f"the data set '{name}' returns {type(faces).__name__}, expected agegender.data.Faces")
    return replace(faces, source=name)  # this name opens it again


def drawn(count: int = 2000, seed: int = 0, *, cache: Path | None = None) -> Faces:
    """``count`` faces drawn from a seed; nothing is downloaded. Raises ``DataError`` if count < 2."""
    if count < 2:
        raise DataError(f"count must be at least 2 faces, got {count}")

    def build(folder: Path) -> None:
        with ImageFile(folder, count) as file:
            images, ages, genders = _artist.draw(count, seed)
            for row, pixels in enumerate(images):
                file.write(row, pixels)
            file.finish(range(count))
        records = [
            Record(f"drawn-{i:05d}", int(ages[i]), int(genders[i]), -1, digest(images[i].tobytes()))
            for i in range(count)
        ]
        write_records(folder, records, [])

    identity = f"{_artist.VERSION}|{count}|{seed}"
    return cached(identity, build, source="drawn", kind="drawn", cache=cache)
