import errno
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encode, files, isolate, name, picture, write_folder, write_links, write_tar

from agegender import data
from agegender.data import DataError, folder


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this platform")
def test_only_regular_files_are_read_also_behind_links(tmp_path: Path) -> None:
    faces = write_folder(tmp_path / "folder", files(40, ""))
    (tmp_path / "elsewhere.jpg").write_bytes(encode(picture(7)))
    os.mkfifo(faces / name(201))
    (faces / name(202)).mkdir()
    for number, target in {
        200: tmp_path / "elsewhere.jpg", 203: faces / name(201), 204: "/dev/zero", 205: tmp_path,
        206: tmp_path / "nowhere.jpg", 207: faces / name(207), 208: tmp_path / "elsewhere.jpg" / "x.jpg",
    }.items():  # fmt: skip
        (faces / name(number)).symlink_to(target)
    opened = data.open(faces, max_skipped=0.5)
    assert len(opened) == 41
    assert name(200) in opened.names
    assert dict(opened.skipped) == {
        name(201): "not a regular file (FIFO)",
        name(202): "not a regular file (folder)",
        name(203): "not a regular file (FIFO)",
        name(204): "not a regular file (device)",
        name(205): "not a regular file (folder)",
        name(206): "broken link",
        name(207): "broken link",
        name(208): "broken link",
    }


def test_a_folder_that_is_a_link_or_holds_links_to_folders_is_read(tmp_path: Path) -> None:
    write_folder(tmp_path / "disk", files(3, "part1/") | {f"part2/{name(9)}": encode(picture(9))})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "UTKFace").symlink_to(tmp_path / "disk")
    assert data.find() == Path("data/UTKFace")
    assert len(data.open()) == len(data.open("data")) == 4
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a").symlink_to(tmp_path / "disk" / "part1")
    assert len(data.open("other")) == 3


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    faces = write_folder(tmp_path / "faces", files(3, "a/b/"))
    for link, target in {"a/b/up": "..", "a/top": "..", "above": tmp_path, "root": "/", "0": "a", "z": "a"}.items():
        (faces / link).symlink_to(target, target_is_directory=True)
    opened = data.open(faces)
    assert opened.names == sorted(path.rpartition("/")[2] for path in files(3))
    assert opened.skipped == [
        (link, "link to a parent folder, or to one that is read elsewhere")
        for link in ("0", "a/b/up", "a/top", "above", "root", "z")
    ]


def test_what_a_link_leads_to_may_not_change_unnoticed(tmp_path: Path) -> None:
    faces = write_links(tmp_path / "faces", files(3))
    before = data.open(faces)
    (tmp_path / "faces-blobs" / "1").write_bytes(encode(picture(55)))
    after = data.open(faces)
    assert after.names == before.names
    assert after.digests != before.digests
    (tmp_path / "faces-blobs" / "1").unlink()
    assert data.open(faces, max_skipped=0.5).skipped == [(f"UTKFace/{before.names[1]}", "broken link")]
    (tmp_path / "faces-blobs" / "1").write_bytes(encode(picture(55)))
    assert data.open(faces).digests == after.digests


def uncompressed(count: int, seed: int = 0) -> dict[str, bytes]:
    """Pictures of the same size in bytes."""
    return {name(i): encode(picture(seed + i), "BMP") for i in range(count)}


def date_back(folder: Path) -> Path:
    """Some archives set such times when they are unpacked."""
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    return folder


def test_folders_of_equal_names_sizes_and_times_are_told_apart(tmp_path: Path) -> None:
    one, two = (data.open(date_back(write_folder(tmp_path / str(i), uncompressed(3, seed=i)))) for i in (1, 2))
    assert not np.array_equal(one.images, two.images)
    assert one.fingerprint != two.fingerprint


def test_files_that_exchange_their_names_are_read_again(tmp_path: Path) -> None:
    folder = date_back(write_folder(tmp_path / "faces", uncompressed(2)))
    before = data.open(folder)
    for old, new in ((name(0), "kept"), (name(1), name(0)), ("kept", name(1))):
        (folder / old).rename(folder / new)
    assert data.open(folder).digests == before.digests[::-1]


def test_a_file_that_was_written_again_under_its_old_time_is_read_again(tmp_path: Path) -> None:
    folder = date_back(write_folder(tmp_path / "faces", uncompressed(2)))
    before = data.open(folder)
    (folder / name(0)).write_bytes(encode(picture(9), "BMP"))
    assert data.open(date_back(folder)).digests != before.digests


def test_a_link_that_is_led_elsewhere_is_read_again(tmp_path: Path) -> None:
    blobs = date_back(write_folder(tmp_path / "blobs", uncompressed(2)))
    (tmp_path / "faces").mkdir()
    link = tmp_path / "faces" / name(7)
    digests = []
    for target in (name(0), name(1)):
        link.unlink(missing_ok=True)
        link.symlink_to(blobs / target)
        digests += data.open(tmp_path / "faces").digests
    assert len(set(digests)) == 2


def test_a_picture_that_could_not_be_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = write_folder(tmp_path / "faces", files(20, ""))
    locked = faces / sorted(files(20, ""))[3]
    read_bytes = Path.read_bytes

    def read(path: Path) -> bytes:
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read_bytes(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        for _ in range(2):
            opened = data.open(faces)
            assert len(opened) == 19
            assert opened.skipped == [(locked.name, "unreadable: Permission denied")]
            assert int(np.asarray(opened.images[18]).max()) > 0, "its pixels are used, but not kept"
    assert not list((tmp_path / "cache" / "faces").iterdir())
    assert len(data.open(faces)) == 20
    assert len(list((tmp_path / "cache" / "faces").iterdir())) == 1


def test_what_could_not_be_looked_at_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without permission to read it, and a link into one."""
    faces = write_folder(tmp_path / "faces", files(20, "") | {f"part2/{name(99)}": encode(picture(99))})
    locked, link = faces / "part2", sorted(files(20, ""))[3]
    scandir, entry = os.scandir, folder._entry

    def failing(path: object, *arguments: object) -> Any:
        if path in (locked, link):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)  # type: ignore[call-overload]

    class Link:
        is_symlink = staticmethod(lambda: True)
        stat = staticmethod(partial(failing, link))

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing)
        patch.setattr(folder, "_entry", lambda path, item: entry(path, Link() if path == link else item))
        with pytest.raises(
            DataError, match=r"may be missing in .*: 'part2' \(unreadable folder: Permission denied\)\."
        ):
            data.open(faces, max_skipped=0.5)
        opened = data.open(faces, max_skipped=1)
        assert len(opened) == 19
        assert opened.skipped == [
            (link, "unreadable: Permission denied"),
            ("part2", "unreadable folder: Permission denied"),
        ]
    assert len(data.open(faces)) == 21


def test_a_folder_that_cannot_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()

    def scandir(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"locked cannot be read: Permission denied$"):
        data.open("locked")


def test_files_that_were_unpacked_with_backslashes_in_their_names_are_read(tmp_path: Path) -> None:
    """Python and old programs create such names from zip archives made on Windows."""
    content = {path.replace("/", "\\"): picture for path, picture in files(3).items()}
    opened = data.open(write_folder(tmp_path / "faces", content))
    assert opened.names == sorted(path.removeprefix("UTKFace/") for path in files(3))


def test_a_folder_that_only_holds_the_archive_says_so(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = write_tar(tmp_path / "folder" / "UTKFace.tar.gz", files(2))
    with pytest.raises(DataError, match=rf"It contains the archive 'UTKFace\.tar\.gz': pass {path}$"):
        data.open(tmp_path / "folder")
