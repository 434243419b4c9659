"""Small pictures, archives and data sets for the tests."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agegender.data import places
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


def write_links(path: Path, content: dict[str, bytes]) -> Path:
    """A folder of links to files without meaningful names, like the caches of model hubs."""
    blobs = path.with_name(f"{path.name}-blobs")
    blobs.mkdir(parents=True, exist_ok=True)
    for number, (relative, data) in enumerate(content.items()):
        (blobs / str(number)).write_bytes(data)
        (path / relative).parent.mkdir(parents=True, exist_ok=True)
        (path / relative).symlink_to(blobs / str(number))
    return path


def write_tar(path: Path, content: dict[str, bytes], extra: Sequence[tarfile.TarInfo] = ()) -> Path:
    mode = next((mode for mode in ("gz", "bz2", "xz") if path.name.endswith(mode)), "")
    with tarfile.open(path, f"w:{mode}") as archive:  # type: ignore[call-overload]
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


def write_zip_of_windows(path: Path, content: dict[str, bytes]) -> Path:
    """Write a zip archive with backslashes in the names and with entries for folders."""
    folders = {f"{relative.rpartition('/')[0]}/" for relative in content if "/" in relative}
    entries = dict.fromkeys(folders, b"") | content
    return write_zip(path, {relative.replace("/", "\\"): data for relative, data in entries.items()})


WRITERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "folder": write_folder,
    "links": write_links,
    "faces.tar": write_tar,
    "faces.tar.gz": write_tar,
    "faces.tgz": write_tar,
    "faces.tar.bz2": write_tar,
    "faces.tar.xz": write_tar,
    "faces.zip": write_zip,
    "windows.zip": write_zip_of_windows,
}
"""Functions that write a data set in each layout, by the name of the file or folder."""


def isolate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test in an empty folder, with its own cache and no other data sets."""
    monkeypatch.setenv("MINIDL_CACHE", str(folder / "cache"))
    monkeypatch.delenv("UTKFACE", raising=False)
    monkeypatch.setattr(places, "KAGGLE_INPUT", folder / "no-kaggle")
    monkeypatch.chdir(folder)


def faces(digests: Sequence[str], ages: Sequence[int] | None = None) -> Faces:
    """Faces in memory with these digests; equal digests have equal pixels."""
    ages = ages or [30] * len(digests)
    records = [
        Record(name(i, age), age, i % 2, i % 3 - 1, digest)
        for i, (age, digest) in enumerate(zip(ages, digests, strict=True))
    ]
    rows = [np.frombuffer(digest.encode().ljust(128), np.uint8) for digest in digests]
    images = np.broadcast_to(np.reshape(rows, (-1, 1, 128)), (len(rows), 128, 128))
    return Faces.from_records(images, records, source="test")
