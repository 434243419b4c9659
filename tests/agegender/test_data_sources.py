import gzip
import os
import stat
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import encode, files, name, picture, write_folder, write_tar, write_zip

from agegender import data
from agegender.data import DataError, decode, sources, utkface
from minidl import plugins
from minidl.data import ArrayDataset


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("UTKFACE", raising=False)
    monkeypatch.setattr(utkface, "KAGGLE_INPUT", tmp_path / "no-kaggle")
    monkeypatch.chdir(tmp_path)


WRITERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "folder": write_folder,
    "faces.tar": write_tar,
    "faces.tar.gz": write_tar,
    "faces.tgz": write_tar,
    "faces.zip": write_zip,
}


def test_every_kind_of_source_gives_the_same_faces(tmp_path: Path) -> None:
    content = files(40)
    shuffled = dict(sorted(content.items(), key=lambda item: item[1]))
    opened = [data.open(write(tmp_path / kind, shuffled)) for kind, write in WRITERS.items()]
    first = opened[0]
    assert len(first) == 40
    assert first.names == sorted(path.removeprefix("UTKFace/") for path in content)
    assert first.ages.tolist() == [int(each.split("_")[0]) for each in first.names]
    assert first.genders.tolist() == [int(each.split("_")[1]) for each in first.names]
    assert set(first.ethnicities.tolist()) == {2}
    for index, each in enumerate(first.names):
        assert np.array_equal(first.images[index], decode.grey(content[f"UTKFace/{each}"]))
    assert first.skipped == []
    assert first.kind == "utkface"
    for other in opened[1:]:
        assert other.fingerprint == first.fingerprint
        assert np.array_equal(other.images, first.images)
        assert other.names == first.names
    assert [other.source for other in opened] == [str(tmp_path / kind) for kind in WRITERS]


@pytest.mark.parametrize("folder", ["", "UTKFace/", "./UTKFace/", "archive/data/"])
@pytest.mark.parametrize("kind", ["folder", "faces.tar.gz", "faces.zip"])
def test_any_depth(tmp_path: Path, folder: str, kind: str) -> None:
    assert len(data.open(WRITERS[kind](tmp_path / kind, files(3, folder)))) == 3


@pytest.mark.parametrize("kind", ["folder", "faces.tar.gz", "faces.zip"])
def test_copies_are_read_once(tmp_path: Path, kind: str) -> None:
    faces = files(6)
    other = {path: encode(picture(99)) for path in faces}  # other pixels, to tell what was read
    part = {path.replace("UTKFace", "crop_part1"): content for path, content in list(other.items())[:4]}
    content = {
        **part,
        **faces,
        **{f"utkface_aligned_cropped/{path}": content for path, content in (other | part).items()},
    }
    opened = data.open(WRITERS[kind](tmp_path / kind, content))
    plain = data.open(write_folder(tmp_path / "plain", faces))
    assert opened.fingerprint == plain.fingerprint
    assert opened.skipped == [
        ("crop_part1/", "4 copies of pictures read elsewhere"),
        ("utkface_aligned_cropped/UTKFace/", "6 copies of pictures read elsewhere"),
        ("utkface_aligned_cropped/crop_part1/", "4 copies of pictures read elsewhere"),
    ]


def test_a_subfolder_called_utkface_comes_before_a_shorter_way(tmp_path: Path) -> None:
    wanted = files(2, "deep/below/UTKFace/")
    content = wanted | {path.split("/")[-1]: encode(picture(50)) for path in wanted}
    opened = data.open(write_folder(tmp_path / "folder", content))
    assert np.array_equal(opened.images[0], decode.grey(next(iter(wanted.values()))))


def test_otherwise_the_shorter_way_counts_and_names_stay_sorted(tmp_path: Path) -> None:
    near, far = files(2, "z/"), {path: encode(picture(50)) for path in files(2, "a/b/")}
    alone = {"a/b/" + name(3, age=19): encode(picture(3))}
    opened = data.open(write_folder(tmp_path / "folder", near | far | alone))
    assert opened.names == sorted(opened.names)
    assert len(opened) == 3
    assert np.array_equal(opened.images[1], decode.grey(next(iter(near.values()))))


def test_unusable_files_are_skipped_with_their_reason(tmp_path: Path) -> None:
    content = files(60, "")
    odd = {
        "README.txt": b"text",
        "labels/ages.csv": b"1",
        "holiday.jpg": encode(picture()),
        name(100): b"",
        name(101): b"no picture",
        name(102): encode(picture())[:400],
        name(103, age=131): encode(picture()),
        name(104, gender=2): encode(picture()),
        ".hidden.jpg": b"",
        ".git/" + name(105): b"",
        "__MACOSX/" + name(106): b"",
        "__MACOSX/._" + name(1): b"",
    }
    reasons = {
        "README.txt": "not a picture's name",
        "labels/ages.csv": "not a picture's name",
        "holiday.jpg": "name is not age_gender_ethnicity_date",
        name(100): "empty file",
        name(101): "not a picture",
        name(102): "truncated or damaged picture",
        name(103, age=131): "age in the name is above 130",
        name(104, gender=2): "gender in the name is neither 0 nor 1",
    }
    for kind, write in WRITERS.items():
        opened = data.open(write(tmp_path / kind, content | odd))
        assert opened.names == sorted(content)
        assert opened.skipped == sorted(reasons.items())
        assert np.array_equal(opened.images[-1], decode.grey(content[opened.names[-1]]))
        data.write_skipped(opened, tmp_path / "skipped.csv")
        assert len((tmp_path / "skipped.csv").read_text().splitlines()) == 1 + len(reasons)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_only_regular_files_of_a_folder_are_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", files(40, ""))
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(encode(picture(7)))
    (folder / name(200)).symlink_to(secret)
    os.mkfifo(folder / name(201))
    (folder / name(202)).mkdir()
    (folder / "loop").symlink_to(folder)
    opened = data.open(folder)
    assert len(opened) == 40
    assert dict(opened.skipped) == {
        name(200): "not a regular file (symbolic link)",
        name(201): "not a regular file (FIFO)",
        name(202): "not a regular file (folder)",
        "loop": "not a regular file (symbolic link)",
    }


def test_only_regular_members_of_a_tar_are_read(tmp_path: Path) -> None:
    kinds = {
        tarfile.SYMTYPE: "symbolic link",
        tarfile.LNKTYPE: "hard link",
        tarfile.FIFOTYPE: "FIFO",
        tarfile.CHRTYPE: "device",
        tarfile.DIRTYPE: "folder",
    }
    extra = []
    for number, kind in enumerate(kinds):
        member = tarfile.TarInfo(name(300 + number))
        member.type = kind
        member.linkname = next(iter(files(1)))
        extra.append(member)
    folder = tarfile.TarInfo("UTKFace")
    folder.type = tarfile.DIRTYPE
    opened = data.open(write_tar(tmp_path / "faces.tar.gz", files(60), [*extra, folder]))
    assert len(opened) == 60
    assert opened.skipped == [
        (name(300 + number), f"not a regular file ({kind})") for number, kind in enumerate(kinds.values())
    ]


def test_links_and_encrypted_members_of_a_zip_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "faces.zip"
    link = zipfile.ZipInfo(name(400))
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in files(30).items():
            archive.writestr(member, content)
        archive.writestr(link, "/etc/passwd")
        archive.mkdir("UTKFace")
        archive.writestr(name(401), encode(picture(9)))
    raw = bytearray(path.read_bytes())
    directory = raw.rfind(b"PK\x01\x02")
    raw[directory + 8] |= 1  # the last member claims to be encrypted
    path.write_bytes(raw)
    opened = data.open(path)
    assert len(opened) == 30
    assert opened.skipped == [
        (name(400), "not a regular file (symbolic link)"),
        (name(401), "damaged or encrypted in the archive"),
    ]


def test_a_member_with_a_wrong_checksum_is_skipped(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "faces.zip", files(30))
    content = list(files(30).values())[4]
    path.write_bytes(path.read_bytes().replace(content, content[:-1] + b"\0"))
    assert [reason for _, reason in data.open(path).skipped] == ["damaged or encrypted in the archive"]


@pytest.mark.parametrize("kind", ["folder", "faces.tar.gz", "faces.zip"])
def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 3_000_000)
    content = files(20) | {name(500): encode(picture()) + bytes(3_000_000)}
    assert data.open(WRITERS[kind](tmp_path / kind, content)).skipped == [(name(500), "larger than 3 MB")]


@pytest.mark.parametrize("kind", list(WRITERS))
def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(sources, "MAX_FILES", 10)
    assert len(data.open(WRITERS[kind](tmp_path / kind, files(10)))) == 10
    with pytest.raises(DataError, match="more than 10 files"):
        data.open(WRITERS[kind](tmp_path / f"more-{kind}", files(11)))


@pytest.mark.parametrize("kind", list(WRITERS))
def test_too_much_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(utkface, "MAX_TOTAL_BYTES", 5000)
    with pytest.raises(DataError, match="of pictures: that is not UTKFace"):
        data.open(WRITERS[kind](tmp_path / kind, files(20)))


def test_a_tar_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", 2_000_000)
    path = write_tar(tmp_path / "bomb.tar.gz", files(2) | {"zeros": bytes(5_000_000)})
    with pytest.raises(DataError, match="GB of data"):
        data.open(path)


def test_a_tar_header_of_absurd_size_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type = tarfile.GNUTYPE_LONGNAME
    header.size = 4_000_000_000
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)))
    with pytest.raises(DataError, match="a header of absurd size"):
        data.open(path)


def cuts(size: int, step: int) -> list[int]:
    return [*range(0, size, step), size - 2, size - 1]


@pytest.mark.parametrize("kind", ["faces.tar.gz", "faces.tar", "faces.zip"])
def test_a_truncated_archive_is_an_error_wherever_it_ends(tmp_path: Path, kind: str) -> None:
    whole = WRITERS[kind](tmp_path / kind, files(5)).read_bytes()
    size = len(whole)
    if kind.endswith(".tar"):
        size = len(whole.rstrip(b"\0")) // 512 * 512 + 1024  # padding follows the block of zeros that ends a tar
    path = tmp_path / ("cut-" + kind)
    for cut in cuts(size, 211):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError) as error:
            data.open(path)
        message = str(error.value)
        assert str(path) in message
        assert "\n" not in message
        if cut > 600:
            assert "cut short or damaged" in message
            assert "download it again" in message
    assert not list((tmp_path / "cache").rglob("*.npy"))
    assert not list((tmp_path / "cache").rglob("*building*"))


def test_a_damaged_tar_header_is_an_error(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "faces.tar", files(5))
    raw = bytearray(path.read_bytes())
    third = [start for start in range(0, len(raw), 512) if raw[start + 257 : start + 262] == b"ustar"][2]
    raw[third] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="the end of the archive is missing"):
        data.open(path)


def test_a_missing_path_names_what_is_similar(tmp_path: Path) -> None:
    write_tar(tmp_path / "UTKFace.tar.gz", files(2))
    with pytest.raises(DataError, match=r"utkface\.tgz does not exist\. .*'UTKFace\.tar\.gz'"):
        data.open(tmp_path / "utkface.tgz")
    with pytest.raises(DataError, match=r"does not exist\. Name the folder"):
        data.open(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(DataError, match="does not exist"):
        data.open(tmp_path / "UTKFace.tar.gz" / "UTKFace")


def test_a_data_set_of_another_package_is_opened_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins._registered["dataset"], "mine", lambda: data.drawn(3))
    opened = data.open("mine")
    assert (len(opened), opened.source) == (3, "mine")
    with pytest.raises(DataError, match=r"myne does not exist\..* data set: .*mine.*Did you mean 'mine'\?"):
        data.open("myne")
    write_folder(tmp_path / "mine", files(2))
    assert len(data.open("mine")) == 2


def test_a_data_set_of_anything_but_faces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins._registered["dataset"], "digits", lambda: ArrayDataset(np.ones(3)))
    with pytest.raises(DataError, match=r"'digits' gives ArrayDataset, expected agegender\.data\.Faces"):
        data.open("digits")


def test_other_files_are_no_data_sets(tmp_path: Path) -> None:
    for filename, content, message in [
        ("face.jpg", encode(picture()), "no data set: expected a folder"),
        ("faces.tar.gz", b"<html>404</html>", "no data set: expected a folder"),
        ("faces.tar.gz", b"", "an empty file"),
        ("faces.tar.gz", gzip.compress(b"hello" * 500), "cut short or damaged"),
        ("faces.zip", b"PK not a zip", "cut short or damaged"),
    ]:
        (tmp_path / filename).write_bytes(content)
        with pytest.raises(DataError, match=message):
            data.open(tmp_path / filename)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "faces.tar.gz")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        data.open(tmp_path / "faces.tar.gz")


@pytest.mark.parametrize("kind", list(WRITERS))
def test_no_face_at_all(tmp_path: Path, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="is empty"):
        data.open(WRITERS[kind](tmp_path / kind, {}))
    with pytest.raises(DataError, match=r"holds no face: .* 2 files such as 'a\.txt' \(not a picture's name\)"):
        data.open(WRITERS[kind](tmp_path / kind, {"a.txt": b"1", "b.jpg": b"2"}))
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_a_folder_that_only_holds_the_archive_says_so(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write_tar(tmp_path / "folder" / "UTKFace.tar.gz", files(2))
    with pytest.raises(DataError, match=r"It holds 'UTKFace\.tar\.gz': name that file"):
        data.open(tmp_path / "folder")


def test_too_many_bad_pictures(tmp_path: Path) -> None:
    bad = {name(600): b"no picture"}
    assert len(data.open(write_folder(tmp_path / "nine", files(9) | bad))) == 9
    with pytest.raises(DataError, match=r"1 of the 9 pictures .* more than 10% \(1 of them: not a picture\)"):
        data.open(write_folder(tmp_path / "eight", files(8) | bad))
    with pytest.raises(DataError, match=r"1 of the 1 pictures"):
        data.open(write_folder(tmp_path / "none", bad))


def test_progress_reaches_its_end(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    data.open(write_folder(tmp_path / "folder", files(150)), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(100, 150), (150, 150)]


def test_reading_an_archive_writes_nothing_but_the_cache(tmp_path: Path) -> None:
    content = files(20) | {"../../outside/" + name(700): encode(picture(1)), "/tmp/" + name(701): encode(picture(2))}
    path = write_tar(tmp_path / "faces.tar.gz", content)
    written: list[str] = []
    watching = threading.Event()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching.is_set() and event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not isinstance(path, int):
                written.append(str(path))

    sys.addaudithook(hook)  # hooks cannot be removed: this one sleeps for the rest of the run
    watching.set()
    opened = data.open(path)
    watching.clear()
    assert len(opened) == 22
    assert len(written) >= 2
    assert all(each.startswith(str(tmp_path / "cache")) for each in written)


def test_find_looks_in_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data.find() is None
    kaggle = tmp_path / "kaggle"
    monkeypatch.setattr(utkface, "KAGGLE_INPUT", kaggle)
    write_folder(kaggle / "other" / "things", files(1, ""))
    assert data.find() is None
    write_folder(kaggle / "datasets" / "someone" / "utkface-new", files(2))
    assert data.find() == kaggle / "datasets" / "someone" / "utkface-new"
    write_folder(tmp_path / "data", {"notes.txt": b""})
    assert data.find() == kaggle / "datasets" / "someone" / "utkface-new"
    write_folder(tmp_path / "data", files(1, ""))
    assert data.find() == Path("data")
    write_tar(tmp_path / "data" / "UTKFace.tar.gz", files(3))
    assert data.find() == Path("data/UTKFace.tar.gz")
    assert len(data.open()) == 3
    monkeypatch.setenv("UTKFACE", "elsewhere")
    assert data.find() == Path("elsewhere")
    with pytest.raises(DataError, match="elsewhere does not exist"):
        data.open()
