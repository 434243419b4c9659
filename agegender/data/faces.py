"""Faces: images with labels, in memory or in a memory map."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from minidl.data import ImageDataset, Subset

from ..errors import TooManySkipped
from .files import table, write_text

IMAGE_SIZE = 128
Images: TypeAlias = NDArray[np.uint8]
Kind: TypeAlias = str
"""The kind of faces: "utkface", "drawn", or the name that a plugin uses."""


class Record(NamedTuple):
    """A face without its pixels. ``digest`` is the hash of its encoded file.

    >>> Record("26_1_3.jpg", age=26, gender=1, ethnicity=3, digest="a5").age
    26
    """

    name: str
    age: int
    gender: int
    ethnicity: int
    digest: str


@dataclass(eq=False, repr=False)
class Faces(ImageDataset):
    """A data set of faces, sorted by name.

    ``images`` is uint8 ``(N, 128, 128)``, grey, possibly a read-only memory map; ``ages`` int16 in years; ``genders``
    uint8 (0 male, 1 female); ``ethnicities`` int8 (-1: unknown); ``digests`` the hash of each encoded file;
    ``skipped`` the name and the reason of every skipped file.

    An item is ``(image, {"gender": ..., "age": ...})`` as the models expect them: float32 ``(128, 128, 1)`` in [0, 1],
    and a float32 array of one element each. A batch has them with a leading axis. :meth:`to` copies the samples to a
    device, as uint8; the attributes above stay in the memory of the host.

    >>> pixels = np.zeros((3, 128, 128), np.uint8)
    >>> records = [Record(f"{age}.jpg", age, 1, -1, digest=str(age)) for age in (20, 30, 40)]
    >>> faces = Faces.from_records(pixels, records, source="nowhere")
    >>> image, target = faces[1]
    >>> image.shape, target["age"], target["gender"]
    ((128, 128, 1), array([30.], dtype=float32), array([1.], dtype=float32))
    >>> images, targets = faces.batch(np.array([2, 0]))
    >>> images.shape, targets["age"].tolist()
    ((2, 128, 128, 1), [[40.0], [20.0]])
    """

    images: Images
    ages: NDArray[np.int16]
    genders: NDArray[np.uint8]
    ethnicities: NDArray[np.int8]
    names: list[str]
    digests: list[str]
    source: str
    kind: Kind = "utkface"
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def from_records(
        cls,
        images: Images,
        records: Sequence[Record],
        *,
        source: str,
        kind: Kind = "utkface",
        skipped: Sequence[tuple[str, str]] = (),
    ) -> "Faces":
        """Faces from images and one record for each; raises ``ValueError`` if their shapes do not match."""
        if images.dtype != np.uint8 or images.shape != (len(records), IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"expected uint8 images ({len(records)}, {IMAGE_SIZE}, {IMAGE_SIZE}), one for each record, "
                f"got {images.dtype} {images.shape}"
            )
        names, ages, genders, ethnicities, digests = zip(*records, strict=True) if records else ((),) * 5
        return cls(
            images=images,
            ages=np.array(ages, np.int16),
            genders=np.array(genders, np.uint8),
            ethnicities=np.array(ethnicities, np.int8),
            names=list(names),
            digests=list(digests),
            source=source,
            kind=kind,
            skipped=list(skipped),
        )

    def __post_init__(self) -> None:
        columns = [values.astype(np.float32)[:, np.newaxis] for values in (self.genders, self.ages)]
        super().__init__(self.images[..., np.newaxis], dict(zip(("gender", "age"), columns, strict=True)))

    def __repr__(self) -> str:
        return f"Faces({len(self):,} from {self.source!r})"

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits that identify the content (names, labels, encoded files), independent of its location."""
        content = hashlib.blake2b(digest_size=16)
        rows = zip(self.names, self.ages.tolist(), self.genders.tolist(), self.digests, strict=True)
        for row in rows:
            content.update(repr(row).encode())
        return content.hexdigest()

    @cached_property
    def pixel_digests(self) -> list[bytes]:
        """The hash of each image; equal for copies of a picture in other lossless formats."""
        return pixel_digests(self.images)

    def subset(self, indices: NDArray[np.integer[Any]]) -> Subset:
        """A view of the faces at ``indices``, such as the training part of a split."""
        return Subset(self, indices)

    def take(self, indices: NDArray[np.integer[Any]]) -> "Faces":
        """The faces at ``indices`` as a new data set; copies their pixels into memory."""
        rows = self.backend.to_numpy(self.subset(indices).indices)
        taken = replace(
            self,
            images=self.images[rows],
            ages=self.ages[rows],
            genders=self.genders[rows],
            ethnicities=self.ethnicities[rows],
            names=[self.names[i] for i in rows],
            digests=[self.digests[i] for i in rows],
        )
        return cast(Faces, taken.to(self.backend.name))


def pixel_digests(images: Images) -> list[bytes]:
    """The SHA-256 of each image.

    >>> len(pixel_digests(np.zeros((3, 128, 128), np.uint8)))
    3
    """
    return [hashlib.sha256(image.tobytes()).digest() for image in images]


def write_skipped(faces: Faces | TooManySkipped, path: str | Path) -> None:
    """Write the skipped files to a CSV file with the columns ``name`` and ``reason``.

    >>> import tempfile
    >>> faces = Faces.from_records(np.zeros((0, 128, 128), np.uint8), [], source="", skipped=[("a.jpg", "empty")])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_skipped(faces, f"{folder}/skipped.csv")
    ...     Path(folder, "skipped.csv").read_text()
    'name,reason\\na.jpg,empty\\n'
    """
    write_text(Path(path), table([("name", "reason"), *faces.skipped]))
