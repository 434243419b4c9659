import errno
from pathlib import Path

import numpy as np
import pytest
from pictures import encode, files, isolate, name, picture, write_folder, write_tar, write_zip

from agegender import data
from agegender.data import archives, decode, utkface

WRITERS = {"folder": write_folder, "faces.tar.gz": write_tar, "faces.zip": write_zip}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", list(WRITERS))
def test_copies_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """As in Kaggle's utkface-new, which contains the set twice and a part of it four times."""
    faces = files(6)
    part = {path.replace("UTKFace", "crop_part1"): content for path, content in list(faces.items())[:4]}
    nested = {f"utkface_aligned_cropped/{path}": content for path, content in (faces | part).items()}
    one = {f"one/{path.rpartition('/')[2]}": content for path, content in list(faces.items())[:1]}
    plain = data.open(write_folder(tmp_path / "plain", faces))
    decoded: list[bytes] = []

    def grey(content: bytes, original: object = decode.grey) -> decode.Images:
        decoded.append(content)
        return original(content)  # type: ignore[operator, no-any-return]

    monkeypatch.setattr(decode, "grey", grey)
    opened = data.open(WRITERS[kind](tmp_path / kind, {**part, **faces, **nested, **one}))
    assert opened.fingerprint == plain.fingerprint
    assert opened.names == plain.names
    assert sorted(decoded) == sorted(faces.values())
    assert opened.skipped == [
        ("crop_part1/", "4 copies of pictures read elsewhere"),
        ("one/", "1 copy of a picture read elsewhere"),
        ("utkface_aligned_cropped/UTKFace/", "6 copies of pictures read elsewhere"),
        ("utkface_aligned_cropped/crop_part1/", "4 copies of pictures read elsewhere"),
    ]


@pytest.mark.parametrize("kind", list(WRITERS))
def test_different_pictures_with_one_name_are_all_read(tmp_path: Path, kind: str) -> None:
    contents = [encode(picture(seed), "PNG") for seed in (1, 2)]
    size = max(map(len, contents))
    contents = [content + bytes(size - len(content)) for content in contents]  # equal sizes: only the bytes differ
    contents.append(encode(picture(3), "PNG"))
    folders = ["anna", "ben", "carla", "anna/again"]
    layout = {f"{where}/30_0_0.png": content for where, content in zip(folders, [*contents, contents[0]], strict=True)}
    opened = data.open(WRITERS[kind](tmp_path / kind, layout))
    assert opened.names == ["30_0_0.png", "ben/30_0_0.png", "carla/30_0_0.png"]
    for image, content in zip(opened.images, contents, strict=True):
        assert np.array_equal(image, decode.grey(content))
    assert opened.skipped == [("anna/again/", "1 copy of a picture read elsewhere")]


def test_equal_pictures_with_different_names_are_all_read(tmp_path: Path) -> None:
    """UTKFace has 375 such groups; a split keeps each in one part."""
    content = {f"{folder}{name(number)}": encode(picture(1)) for number, folder in enumerate(("", "", "other/"))}
    opened = data.open(write_folder(tmp_path / "faces", content))
    assert (len(opened), len(set(opened.digests)), opened.skipped) == (3, 1, [])


def test_the_name_goes_to_the_one_in_utkface_and_then_to_the_shortest_way(tmp_path: Path) -> None:
    paths = ["z/deep/UTKFace/30_1_1.jpg", "30_1_1.jpg", "b/30_1_1.jpg", "a/b/30_1_1.jpg"]
    content = {path: encode(picture(seed)) for seed, path in enumerate(paths)}
    opened = data.open(write_folder(tmp_path / "faces", content))
    assert opened.names == ["./30_1_1.jpg", "30_1_1.jpg", "a/b/30_1_1.jpg", "b/30_1_1.jpg"]
    for position, seed in enumerate([1, 0, 3, 2]):
        assert np.array_equal(opened.images[position], decode.grey(encode(picture(seed))))


def test_pictures_of_one_name_can_be_split_and_saved(tmp_path: Path) -> None:
    content = {
        f"{folder}/30_1_{number}.png": encode(picture(10 * number + ord(folder)))
        for folder in "abcd"
        for number in range(5)
    }
    opened = data.open(write_folder(tmp_path / "faces", content))
    assert len(set(opened.names)) == len(opened) == 20
    parts = data.split(opened)
    parts.save("split.csv")
    assert np.array_equal(data.Split.load("split.csv", opened).validation, parts.validation)


def test_a_set_without_copies_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "faces.tar.gz", files(5))
    passes: list[int] = []
    original = archives.Tar.read

    def read(self: archives.Tar, wanted: list[archives.Entry]) -> utkface.Iterator[tuple[archives.Entry, object]]:
        passes.append(1)
        return original(self, wanted)

    monkeypatch.setattr(archives.Tar, "read", read)
    assert len(data.open(path)) == 5
    assert len(passes) == 1


def test_a_copy_that_could_not_be_read_is_no_other_picture_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = write_folder(tmp_path / "faces", files(3, "a/") | files(3, "b/"))
    read_bytes, calls = Path.read_bytes, []

    def read(path: Path) -> bytes:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        return read_bytes(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        data.open(faces)
    assert data.open(faces).names == sorted(files(3, ""))


@pytest.mark.parametrize("top", ["faces/", "UTKFace/", "far/away/"])
def test_a_folder_and_its_archive_have_the_same_names(tmp_path: Path, top: str) -> None:
    """Also of different pictures with one name, which are named by their paths."""
    content = {f"{folder}/{name(i)}": encode(picture(i + len(folder))) for folder in ("a", "bb") for i in range(3)}
    opened = data.open(write_folder(tmp_path / "folder", content))
    packed = data.open(write_tar(tmp_path / "a.tar", {top + path: one for path, one in content.items()}))
    assert opened.names == packed.names
    assert sum("/" in one for one in opened.names) == 3
    assert opened.fingerprint == packed.fingerprint
