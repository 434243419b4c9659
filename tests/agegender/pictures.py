"""Little pictures, archives and data sets for the tests."""

import io
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from agegender.data.faces import Faces, Record


def picture(seed: int = 0, size: tuple[int, int] = (40, 40)) -> Image.Image:
    """A smooth coloured pattern, different for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def name(number: int, age: int = 30, gender: int = 1) -> str:
    return f"{age}_{gender}_2_2017011{number:010d}.jpg.chip.jpg"


def files(count: int = 12, folder: str = "UTKFace/") -> dict[str, bytes]:
    """Paths and contents of a small UTKFace."""
    return {folder + name(i, age=20 + i % 100, gender=i % 2): encode(picture(i), quality=90) for i in range(count)}


def write_folder(path: Path, content: dict[str, bytes]) -> Path:
    for relative, data in content.items():
        (path / relative).parent.mkdir(parents=True, exist_ok=True)
        (path / relative).write_bytes(data)
    return path


def write_tar(path: Path, content: dict[str, bytes], extra: Sequence[tarfile.TarInfo] = ()) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for relative, data in content.items():
            member = tarfile.TarInfo(relative)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in extra:
            archive.addfile(member)
    return path


def write_zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for relative, data in content.items():
            archive.writestr(relative, data)
    return path


def faces(digests: Sequence[str], ages: Sequence[int] | None = None) -> Faces:
    """Black faces in memory with these digests."""
    ages = ages or [30] * len(digests)
    records = [
        Record(name(i, age), age, i % 2, i % 3 - 1, digest)
        for i, (age, digest) in enumerate(zip(ages, digests, strict=True))
    ]
    return Faces.from_records(np.zeros((len(records), 128, 128), np.uint8), records, source="test")
