"""A cache that was damaged, and sources that change while they are read, never give wrong faces."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import WRITERS, encode, files, isolate, name, picture, write_folder

from agegender import data
from agegender.data import DataError, utkface
from agegender.data.cache import ImageFile, cached, write_records
from agegender.data.faces import Faces, Record


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of the test."""
    isolate(tmp_path, monkeypatch)
    return tmp_path / "cache" / "faces"


def open_value(value: int) -> Faces:
    """Two faces of 30 years whose pixels are all ``value``, or those that are in the cache."""

    def build(folder: Path) -> None:
        with ImageFile(folder, 2) as images:
            for row in range(2):
                images.write(row, np.full((128, 128), value, np.uint8))
            images.finish(range(2))
        write_records(folder, [Record(str(row), 30, 1, -1, str(value)) for row in range(2)], [])

    return cached("same", build, source="test", kind="utkface")


def damage_pixels(folder: Path) -> None:
    with (folder / "images.npy").open("r+b") as file:
        file.truncate(20_000)


def damage_header(folder: Path) -> None:
    np.save(folder / "images.npy", np.zeros((2, 128, 128), np.float32))


def damage_count(folder: Path) -> None:
    np.save(folder / "images.npy", np.zeros((1, 128, 128), np.uint8))


def damage_records(folder: Path) -> None:
    path = folder / "faces.json"
    path.write_bytes(path.read_bytes()[:-5])


def damage_one_pixel(folder: Path) -> None:
    with (folder / "images.npy").open("r+b") as file:
        file.seek(-5000, os.SEEK_END)
        file.write(b"\0")


def label(value: str) -> Callable[[Path], None]:
    """Damage the first age, written as JSON or as what only Python's parser takes for it."""

    def damage(folder: Path) -> None:
        content = json.loads((folder / "faces.json").read_text())
        content["records"][0][1] = "@"
        (folder / "faces.json").write_text(json.dumps(content).replace('"@"', value))

    return damage


def text(content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "faces.json").write_text(content) and None


def damage_everything(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"")


def damage_by_deleting(folder: Path) -> None:
    (folder / "images.npy").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        damage_pixels,
        damage_header,
        damage_count,
        damage_records,
        damage_one_pixel,
        *map(label, ("31", "-5", "70000", "1e400", "NaN", "null", "true", '"x"', "[1]", "9" * 5000)),
        *map(text, ("[]", "null", "5", '"sha256"', "{}", "[" * 100_000, '{"records": [["a", 1]], "skipped": []}')),
        text('{"sha256": "", "columns": [], "records": 5, "skipped": []}'),
        damage_everything,
        damage_by_deleting,
    ],
)
def test_a_damaged_cache_is_built_again(root: Path, damage: Callable[[Path], None]) -> None:
    open_value(1)
    (folder,) = root.iterdir()
    damage(folder)
    again = open_value(2)
    assert again.digests == ["2", "2"]
    assert again.ages.tolist() == [30, 30]
    assert np.all(again.images == 2)
    assert list(root.iterdir()) == [folder]
    assert open_value(3).digests == ["2", "2"]


def test_a_damaged_cache_does_not_change_the_faces_of_a_split(tmp_path: Path) -> None:
    """Copies in other formats have equal pixels: without them, a split would be another one."""
    content = {name(i): encode(picture(i // 2), "PNG", compress_level=i % 2) for i in range(20)}
    folder = write_folder(tmp_path / "faces", content)
    before = data.split(data.open(folder))
    (images,) = (tmp_path / "cache").rglob("images.npy")
    with images.open("r+b") as file:
        for row in range(20):
            file.seek(128 + row * 128 * 128)
            file.write(bytes([row]))
    assert data.split(data.open(folder)).validation.tolist() == before.validation.tolist()


@pytest.mark.parametrize("layout", ["faces.tar", "faces.tar.gz", "faces.zip"])
@pytest.mark.parametrize("in_place", [True, False])
def test_an_archive_that_is_replaced_while_it_is_read_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, in_place: bool
) -> None:
    content = files(12)
    path = WRITERS[layout](tmp_path / layout, content)
    before = path.read_bytes()
    other = WRITERS[layout](tmp_path / f"other-{layout}", dict(reversed(content.items())))
    choose = utkface.choose

    def replaced(entries: Any) -> Any:
        path.write_bytes(other.read_bytes()) if in_place else other.replace(path)
        return choose(entries)

    with monkeypatch.context() as patch:
        patch.setattr(utkface, "choose", replaced)
        with pytest.raises(DataError, match=f"{layout} changed while it was read: open it again once it is complete"):
            data.open(path)
    expected = data.open(write_folder(tmp_path / "folder", content))
    for _ in range(2):
        path.write_bytes(before)
        assert np.array_equal(data.open(path).images, expected.images)


def test_a_folder_that_is_filled_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "faces", files(3, ""))
    choose = utkface.choose

    def filled(entries: Any) -> Any:
        write_folder(folder, files(3, "") | {name(0, age=20, gender=0): encode(picture(99))})
        return choose(entries)

    with monkeypatch.context() as patch:
        patch.setattr(utkface, "choose", filled)
        images = np.array(data.open(folder).images)
    assert np.array_equal(data.open(folder).images, images)
    assert len([*(tmp_path / "cache" / "faces").iterdir()]) == 1
