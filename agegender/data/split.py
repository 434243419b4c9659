"""Training and validation parts that share no picture, and samples for short runs."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidl.errors import counted

from ..errors import DataError
from .faces import Faces
from .files import table, write_text, written

_COLUMNS = ["name", "part"]


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of the training and validation faces, both ascending, and the names of all faces.

    >>> import tempfile
    >>> from agegender.data.faces import Record
    >>> records = [Record(f"{age}.jpg", age, 0, -1, str(age)) for age in range(5)]
    >>> images = np.repeat(np.arange(5, dtype=np.uint8), 128 * 128).reshape(5, 128, 128)
    >>> faces = Faces.from_records(images, records, source="nowhere")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     split(faces).save(f"{folder}/split.csv")
    ...     Split.load(f"{folder}/split.csv", faces).validation.size
    1
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    names: Sequence[str] = field(repr=False)

    def save(self, path: str | Path) -> None:
        """Write a CSV file with a row for each face: its name, and "train" or "validation"."""
        write_text(Path(path), self.table())

    def table(self) -> str:
        """The content of this file."""
        parts = np.full(len(self.names), "train", dtype="U10")
        parts[self.validation] = "validation"
        return table([_COLUMNS, *zip(self.names, parts.tolist(), strict=True)])

    @classmethod
    def load(cls, path: str | Path, faces: Faces) -> "Split":
        """Load the split of these faces; raises ``DataError`` if the file is damaged or belongs to other faces."""
        try:
            with Path(path).open(encoding="utf-8", newline="") as file:
                header, *rows = csv.reader(file)
            parts = {written(name): part for name, part in rows}
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a split: {error}") from None
        if header != _COLUMNS or not set(parts.values()) <= {"train", "validation"}:
            raise DataError(f"{path} is not a split: expected the columns name and part (train or validation)")
        names = list(map(written, faces.names))
        if sorted(parts) != sorted(names):
            raise DataError(
                f"{path} splits {counted(len(parts), 'face')}, but not those of {faces.source} ({len(faces):,}): "
                "use the data set that it was made from, or make a new split"
            )
        is_validation = np.array([parts[name] == "validation" for name in names])
        return cls(np.flatnonzero(~is_validation), np.flatnonzero(is_validation), faces.names)


def split(faces: Faces, fraction: float = 0.2, seed: int = 0) -> Split:
    """Draw a validation part of ``round(fraction * N)`` faces; pictures with equal bytes or pixels stay in one part.

    Groups of identical pictures are drawn in random order while they fit, so the size is exact unless only larger
    groups remain. UTKFace's 23,708 faces give 4,742 for validation and 18,966 for training.

    >>> from agegender.data.faces import Record
    >>> records = [Record(f"{age}.jpg", age, 0, -1, digest=str(age // 2)) for age in range(10)]   # five pairs
    >>> images = np.repeat(np.arange(10, dtype=np.uint8), 128 * 128).reshape(10, 128, 128)
    >>> parts = split(Faces.from_records(images, records, source="nowhere"))
    >>> len(parts.train), len(parts.validation), int(np.diff(parts.validation)[0])
    (8, 2, 1)
    """
    if not 0 < fraction < 1:
        raise DataError(f"the validation fraction must be above 0 and below 1, got {fraction}")
    wanted = max(1, round(fraction * len(faces)))
    is_validation = np.zeros(len(faces), np.bool_)
    for group in _shuffled(_groups(_contents(faces)), seed):
        if wanted >= len(group):
            is_validation[group] = True
            wanted -= len(group)
    if is_validation.all() or not is_validation.any():
        raise DataError(
            f"{faces.source}: {counted(len(faces), 'face')} cannot be split into two parts that share no picture, with "
            f"a fraction of {fraction:g} for validation: use another fraction, or more distinct pictures"
        )
    return Split(np.flatnonzero(~is_validation), np.flatnonzero(is_validation), faces.names)


def sample(faces: Faces, limit: int, seed: int = 0) -> Faces:
    """``limit`` faces drawn at random, in their original order; all of them if there are no more.

    Raises ``DataError`` for a limit below 2.

    >>> from agegender.data.faces import Record
    >>> records = [Record(f"{age}.jpg", age, 0, -1, str(age)) for age in range(5)]
    >>> faces = Faces.from_records(np.zeros((5, 128, 128), np.uint8), records, source="nowhere")
    >>> len(sample(faces, 3)), len(sample(faces, 9))
    (3, 5)
    """
    if limit < 2:
        raise DataError(f"the limit must be at least 2 faces, one to train with and one to validate, got {limit}")
    if limit >= len(faces):
        return faces
    drawn = np.random.Generator(np.random.PCG64(seed)).choice(len(faces), limit, replace=False)
    return faces.take(np.sort(drawn))


def _contents(faces: Faces) -> list[str]:
    """For each face, the smallest digest among the files with the same pixels."""
    first: dict[bytes, str] = {}
    for pixels, digest in zip(faces.pixel_digests, faces.digests, strict=True):
        first[pixels] = min(digest, first.get(pixels, digest))
    return [first[pixels] for pixels in faces.pixel_digests]


def _groups(digests: Sequence[str]) -> list[NDArray[np.int64]]:
    _, group_of, counts = np.unique(np.array(digests), return_inverse=True, return_counts=True)
    return np.split(np.argsort(group_of, kind="stable"), np.cumsum(counts)[:-1])


def _shuffled(groups: list[NDArray[np.int64]], seed: int) -> list[NDArray[Any]]:
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(groups))
    return [groups[number] for number in order]
