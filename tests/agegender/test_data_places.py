"""The search finds UTKFace in common places, and reports data sets that it does not use."""

import io
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import encode, files, isolate, name, picture, write_folder, write_links, write_tar, write_zip

from agegender import data
from agegender.data import DataError, archives, places
from agegender.options import Options
from agegender.parts import open_data
from agegender.report.speaker import Speaker
from minidl import backends


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(places, "KAGGLE_INPUT", tmp_path / "kaggle")
    return tmp_path / "kaggle"


OWN = {"anna/30_0_0.jpg": encode(picture(1)), "ben/40_1_0_ben.png": encode(picture(2), "PNG")}


@pytest.mark.parametrize(
    ("place", "content", "found"),
    [
        ("utkface-new", files(2), "utkface-new"),
        ("utkface-new", files(2) | files(1, "crop_part1/") | files(2, "utkface_aligned_cropped/UTKFace/"),
         "utkface-new/UTKFace"),
        ("utk-face-cropped", files(2, "utkcropped/"), "utk-face-cropped/utkcropped"),
        ("utk-face-cropped", files(2, "utkcropped/utkcropped/"), "utk-face-cropped/utkcropped/utkcropped"),
        ("crop_part1", files(2, ""), "crop_part1"),
        ("UTKFace", files(2), "UTKFace"),
        ("my-upload", files(2, "") | {"README.md": b""}, "my-upload"),
        ("my-upload", files(2, "some/where/") | {"figures/plot.png": b"", "figures/1.png": b""},
         "my-upload/some/where"),
        ("my-upload", files(2, "some/where/far/down/from/here/"), "my-upload/some/where/far/down/from/here"),
        ("my-upload", OWN, "my-upload"),
        ("raw", {"crop.csv": b"", "UTKFace.zip": b"PK"}, "raw/UTKFace.zip"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("parent", ["data", "kaggle", "kaggle/datasets/someone"])
def test_every_layout_is_found(
    tmp_path: Path, kaggle: Path, place: str, content: dict[str, bytes], found: str, parent: str
) -> None:
    if "UTKFace.zip" in content:
        write_zip(tmp_path / "UTKFace.zip", files(2))
        content = content | {"UTKFace.zip": (tmp_path / "UTKFace.zip").read_bytes()}
    write_folder(tmp_path / parent / place, content)
    folder = Path("data") if parent == "data" else tmp_path / parent
    assert data.find() == folder / found
    assert len(data.open()) == 2


@pytest.mark.parametrize(
    ("filename", "write"),
    [("archive.zip", write_zip), ("faces.tar.gz", write_tar), ("utk.tar.xz", write_tar), ("a.tbz2", write_tar)],
)
def test_an_archive_is_known_by_what_is_in_it(
    tmp_path: Path, filename: str, write: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / filename, {"holiday/beach.jpg": b"", "notes.txt": b""})
    assert data.find() is None
    write(tmp_path / "data" / filename, files(2, "archive/UTKFace/") | {"__MACOSX/._x.jpg": b""})
    assert data.find() == Path("data", filename)


def test_an_archive_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_PEEKED_BYTES", 50_000)
    zeros = {"zeros": bytes(100_000)}
    (tmp_path / "data").mkdir()
    write_tar(tmp_path / "data" / "late.tar.gz", zeros | files(2))
    assert data.find() is None
    write_tar(tmp_path / "data" / "early.tar.gz", files(2) | zeros)
    assert data.find() == Path("data/early.tar.gz")


def test_other_pictures_are_not_taken_for_faces(tmp_path: Path, kaggle: Path) -> None:
    names = ["12_1.jpg", "beach.jpg", "0_5_3.png", "2019_01_02.jpg", "30_1_1.jpg"]  # one in five is a face: the last
    write_folder(tmp_path / "data" / "tiles", dict.fromkeys(names, b""))
    write_folder(kaggle / "cats", {f"cat.{number}.jpg": b"" for number in range(5)})
    assert data.find() is None
    assert data.found() == []


def test_faces_behind_links_are_found(tmp_path: Path) -> None:
    write_links(tmp_path / "data" / "snapshot", files(2))
    assert data.find() == Path("data/snapshot/UTKFace")


def test_where_several_are_there_the_order_is_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kaggle: Path
) -> None:
    expected: list[Path] = []

    def check(place: Path, position: int) -> None:
        expected.insert(position, place)
        assert data.found() == expected
        assert data.find() == expected[0]

    write_folder(kaggle / "a-upload", files(1, ""))
    check(kaggle / "a-upload", 0)
    write_folder(kaggle / "datasets" / "someone" / "utkface-new", files(2))
    check(kaggle / "datasets" / "someone" / "utkface-new", 0)
    write_folder(tmp_path / "data" / "crop_part1", files(1, ""))
    check(Path("data/crop_part1"), 0)
    write_zip(tmp_path / "data" / "archive.zip", files(3))
    check(Path("data/archive.zip"), 1)
    write_tar(tmp_path / "data" / "UTKFace.tar.gz", files(3))
    check(Path("data/UTKFace.tar.gz"), 0)
    write_folder(tmp_path / "data", files(1, ""))
    expected.remove(Path("data/crop_part1"))  # it is now a part of ./data
    check(Path("data"), 1)
    (tmp_path / "data" / "UTKFace").mkdir()  # still empty
    check(Path("data/UTKFace"), 5)
    assert data.open().source == "data/UTKFace.tar.gz"
    monkeypatch.setenv("UTKFACE", "elsewhere")
    assert data.found() == [Path("elsewhere")]
    with pytest.raises(DataError, match="elsewhere does not exist"):
        data.open()
    monkeypatch.setenv("UTKFACE", "")
    assert data.find() == Path("data/UTKFace.tar.gz")


def test_what_is_called_utkface_but_shows_no_face_is_heard_of(tmp_path: Path) -> None:
    """Otherwise drawn faces would replace it silently."""
    (tmp_path / "data" / "UTKFace").mkdir(parents=True)
    with pytest.raises(DataError, match="UTKFace is empty"):
        data.open()
    (tmp_path / "data" / "UTKFace").rmdir()
    (tmp_path / "data" / "UTKFace.tar.gz").write_bytes(b"<html>sign in")
    with pytest.raises(DataError, match="It is a web page"):
        data.open()
    (tmp_path / "data" / "UTKFace.tar.gz").unlink()
    inner = write_tar(tmp_path / "UTKFace.tar.gz", files(2)).read_bytes()
    write_zip(tmp_path / "data" / "archive.zip", {"UTKFace.tar.gz": inner})
    with pytest.raises(DataError, match=r"archive\.zip contains no face: .* contains the archive 'UTKFace\.tar\.gz'"):
        data.open()


def test_what_was_found_but_not_taken_is_said_in_one_line() -> None:
    assert data.not_taken([]) == ""
    assert data.not_taken([Path("a")]) == "; also found: a (select it with --data)"
    assert "also found: a, b, c and 2 others (select one" in data.not_taken([Path(letter) for letter in "abcde"])


def cut_short() -> bytes:
    return write_zip(Path("whole.zip"), files(2)).read_bytes()[:900]


@pytest.mark.parametrize(
    ("filename", "content", "reason"),
    [
        ("archive.zip", cut_short, r"data/archive\.zip is truncated or damaged .* download it again$"),
        ("archive.zip", lambda: b"<html>sign in", r"data/archive\.zip is not a data set: .* It is a web page"),
        ("archive.tar.gz", lambda: b"\x1f\x8b", r"data/archive\.tar\.gz is truncated or damaged"),
        ("UTKFace.7z", lambda: b"7z\xbc\xaf\x27\x1c", "data/UTKFace.7z is not a data set: .* It is a 7z archive"),
        ("UTKFace.tar.gz.002", lambda: b"x", r"data/UTKFace\.tar\.gz\.002 is a part of a split archive"),
        ("photos/anna.jpg", lambda: b"x", r"data/photos contains no face: .* found 1 file, 'anna\.jpg' \(name is not"),
        ("anna.jpg", lambda: b"x", r"data contains no face: .* found 1 file, 'anna\.jpg'"),
        ("photos/30_0_0.heic", lambda: b"x", "data/photos contains no face: .*HEIC is not supported"),
        ("raw/archive.zip", cut_short, r"data/raw/archive\.zip is truncated"),
    ],
)
def test_what_lies_there_and_cannot_be_used_is_told(
    tmp_path: Path, filename: str, content: Callable[[], bytes], reason: str
) -> None:
    write_folder(tmp_path / "data", {filename: content(), "notes.txt": b"", "numbers/a.csv": b""})
    assert data.found() == []
    assert re.match(f"; not used: {reason}", data.passed_over())
    assert "more)" not in data.passed_over()
    (tmp_path / "data" / "z.7z").write_bytes(b"x")
    assert data.passed_over().endswith(" (and 1 more)")


def test_training_on_drawn_faces_tells_what_was_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = data.drawn(4)
    monkeypatch.setattr(data, "drawn", lambda cache=None: few)
    (tmp_path / "data").mkdir()
    Path("data/UTKFace").symlink_to("../nofaces")
    assert data.passed_over() == "; not used: data/UTKFace is a link to ../nofaces, which does not exist"
    said = io.StringIO()
    for given in (None, "drawn"):
        open_data(Options(data=given), backends.default, Speaker(said, quiet=False))
    assert "4 faces from drawn; not used: data/UTKFace is a link" in said.getvalue()
    assert "4 faces from drawn\n" in said.getvalue()


def test_very_large_folders_are_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_LOOKED_AT", 4)
    write_folder(tmp_path / "data" / "many", files(30, ""))
    looked_at: list[str] = []
    monkeypatch.setattr(places, "is_picture", lambda name: looked_at.append(name) or True)
    assert data.find() == Path("data/many")
    assert len(looked_at) <= 5


def test_a_folder_that_cannot_be_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "data" / "faces", {name(1): b""})
    listing = places.os.scandir

    def scandir(path: Path) -> object:
        if path == Path("data/locked"):
            raise PermissionError
        return listing(path)

    (tmp_path / "data" / "locked").mkdir()
    monkeypatch.setattr(places.os, "scandir", scandir)
    assert data.found() == [Path("data/faces")]


def test_links_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    write_folder(tmp_path / "data" / "a" / "b" / "c" / "d", files(2, ""))
    Path("data/a/b/again").symlink_to(tmp_path / "data" / "a", target_is_directory=True)
    Path("data/a/b/other").symlink_to(tmp_path / "data" / "a" / "b" / "c" / "d", target_is_directory=True)
    assert len(data.found()) == 1
    assert len(data.open()) == 2


def test_more_folders_than_are_looked_into_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_FOLDERS", 5)
    for number in range(6):
        (tmp_path / "data" / "many" / f"a{number}").mkdir(parents=True)
    write_folder(tmp_path / "data" / "many" / "z" / "faces", files(2, ""))
    assert data.found() == []
    assert data.passed_over() == (
        "; not used: data/many has over 5 folders, too many to search: pass the one with faces to --data"
    )
    assert len(data.open("data/many/z/faces")) == 2


def test_faces_too_few_to_be_found_are_read_as_advised(tmp_path: Path) -> None:
    others = {f"{number}.jpg": encode(picture(number)) for number in range(7)}
    write_folder(tmp_path / "data" / "my photos", files(3, "") | others)
    assert data.found() == []
    told, words = data.passed_over(), shlex.split(data.passed_over())
    assert told.startswith("; not used: data/my photos has names of faces for 3 of 10 files checked: to leave out the")
    assert words[-4:] == ["--data", "data/my photos", "--max-skipped", "1"]
    assert len(data.open(words[-3], max_skipped=float(words[-1]))) == 3
