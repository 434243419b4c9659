import bz2
import errno
import gzip
import io
import lzma
import os
import random
import re
import shlex
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import encode, files, isolate, name, picture, write_tar, write_zip

from agegender import data
from agegender.data import DataError, decode, sources


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


def write(path: Path, content: dict[str, bytes]) -> Path:
    return (write_zip if path.suffix == ".zip" else write_tar)(path, content)


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
    advice = ": unpack the archive with `tar -xf ARCHIVE` and pass the folder"
    assert opened.skipped == [
        (name(300 + number), f"not a regular file ({kind}){advice if 'link' in kind else ''}")
        for number, kind in enumerate(kinds.values())
    ]


@pytest.mark.parametrize("header", [{"GNU.sparse.size": "9000"}, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}])
def test_a_file_that_a_tar_holds_without_its_holes_is_not_read(tmp_path: Path, header: dict[str, str]) -> None:
    """The header of the POSIX format calls such a member a regular file; its content is a map and the rest."""
    extra = tarfile.TarInfo(name(300))
    extra.pax_headers = {"GNU.sparse.name": name(300), "GNU.sparse.realsize": "9000", "GNU.sparse.map": "0,0", **header}
    opened = data.open(write_tar(tmp_path / "faces.tar", files(60), [extra]))
    reason = "not a regular file (sparse file): unpack the archive with `tar -xf ARCHIVE` and pass the folder"
    assert opened.skipped == [(name(300), reason)]


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
    raw[directory + 8] |= 1  # mark the last member as encrypted
    path.write_bytes(raw)
    opened = data.open(path)
    assert len(opened) == 30
    assert opened.skipped == [
        (name(400), "not a regular file (symbolic link): unpack the archive with `unzip ARCHIVE` and pass the folder"),
        (name(401), "encrypted in the archive: unpack it with its password and pass the folder"),
    ]


def test_a_member_with_a_wrong_checksum_is_skipped(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "faces.zip", files(30))
    content = list(files(30).values())[4]
    path.write_bytes(path.read_bytes().replace(content, content[:-1] + b"\0"))
    assert [reason for _, reason in data.open(path).skipped] == [
        "damaged in the archive, or compressed with an unsupported method"
    ]


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_tar_that_never_ends_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, inside: bool
) -> None:
    """The zeros are a member of the archive, or follow its end."""
    monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", 2_000_000)
    zeros = bytes(5_000_000)
    path = write_tar(tmp_path / f"bomb.tar.{suffix}", files(2) | ({"zeros": zeros} if inside else {}))
    if not inside:
        compress = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix]
        with path.open("ab") as file:
            file.write(compress(zeros))
    with pytest.raises(DataError, match="contains more than 0 GB of data: it is not UTKFace"):
        data.open(path)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_header_of_absurd_size_is_refused(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type = tarfile.GNUTYPE_LONGNAME
    header.size = 4_000_000_000
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)))
    with pytest.raises(DataError, match="a header is implausibly large"):
        data.open(path)


def test_an_archive_that_asks_for_more_memory_than_there_is_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tar(tmp_path / "faces.tar.xz", files(2))

    def read(self: lzma.LZMAFile, size: int = -1) -> bytes:
        raise MemoryError

    monkeypatch.setattr(lzma.LZMAFile, "read", read)
    with pytest.raises(DataError, match=r"faces\.tar\.xz cannot be read: not enough memory"):
        data.open(path)


def cuts(size: int, step: int) -> list[int]:
    return [*range(0, size, step), size - 2, size - 1]


@pytest.mark.parametrize("kind", ["faces.tar.gz", "faces.tar", "faces.zip", "faces.tar.bz2", "faces.tar.xz"])
def test_a_truncated_archive_is_an_error_wherever_it_ends(tmp_path: Path, kind: str) -> None:
    whole = write(tmp_path / kind, files(5)).read_bytes()
    size = len(whole)
    if kind.endswith(".tar"):
        size = len(whole.rstrip(b"\0")) // 512 * 512 + 1024  # the block of zeros that ends a tar is followed by padding
    path = tmp_path / ("cut-" + kind)
    for cut in cuts(size, 211):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError) as error:
            data.open(path)
        message = str(error.value)
        assert str(path) in message
        assert "\n" not in message
        if cut > 600:
            assert "truncated or damaged" in message
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


@pytest.mark.parametrize("kind", ["faces.tar.gz", "faces.zip"])
def test_an_archive_that_cannot_be_read_now_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = write(tmp_path / kind, files(20))

    def fail(*arguments: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(gzip.GzipFile, "seek", fail)
        patch.setattr(zipfile.ZipExtFile, "read", fail)
        with pytest.raises(DataError, match=rf"{kind} cannot be read: Input/output error$"):
            data.open(path)
    assert len(data.open(path)) == 20


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (encode(picture()), "not a data set: expected a folder or .* It is a picture: pass its folder"),
        (encode(picture(), "PNG"), "It is a picture"),
        (b"<html>404</html>", r"not a data set: expected a folder.* It is a web page: .* open the link in a browser"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<head><title>Sign in", "It is a web page"),
        (gzip.compress(b"<!doctype HTML>"), "is compressed, but not a tar archive: .* It is a web page"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), "It is a 7z archive: unpack it with `7z x .*` and pass the folder"),
        (b"Rar!\x1a\x07\x01\0" + bytes(50), "It is a rar archive: unpack it with `unrar x .*` and pass the folder"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "It is compressed with zstd: unpack it with `tar --zstd -xf .*`"),
        (b"version https://git-lfs.github.com/spec/v1\n", "It is a Git LFS pointer .* `git lfs pull`"),
        (b"age,gender,pixels\n", r"not a data set: expected a folder or an archive \(\.tar.*\) of UTKFace$"),
        (b"", "an empty file: download it again"),
        (gzip.compress(b"hello" * 500), r"compressed, but not a tar archive: expected a folder.* of UTKFace$"),
        (bz2.compress(b"age,gender"), "compressed, but not a tar archive"),
        (lzma.compress(b""), "compressed, but not a tar archive"),
        (gzip.compress(b"PK\3\4"), "not a tar archive: .* It contains a zip archive: .* `gzip -dc .* > faces.zip`"),
        (b"PK not a zip", "truncated or damaged"),
        (lzma.compress(random.Random(0).randbytes(500))[:90], "truncated or damaged"),
    ],
)
@pytest.mark.parametrize("filename", ["faces.tar.gz", "faces.zip"])
def test_a_file_that_is_no_archive_gets_its_own_sentence(
    tmp_path: Path, content: bytes, sentence: str, filename: str
) -> None:
    (tmp_path / filename).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        data.open(tmp_path / filename)


def test_a_tar_is_known_by_its_header_not_by_the_name_that_it_begins_with(tmp_path: Path) -> None:
    for first in ("PK", "BZh91AY", "7z", "<html>"):
        content = {f"{first}/{path}": picture for path, picture in files(2).items()}
        assert len(data.open(write_tar(tmp_path / "faces.tar", content))) == 2


def test_a_tar_of_before_1988_is_read(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "faces.tar", files(2))
    raw = bytearray(path.read_bytes())
    for start in range(0, len(raw) - 1024, 512):
        if raw[start + 257 : start + 262] == b"ustar":
            raw[start + 257 : start + 265] = bytes(8)
            raw[start + 148 : start + 156] = b" " * 8
            raw[start + 148 : start + 156] = b"%06o\0 " % sum(raw[start : start + 512])
    path.write_bytes(raw)
    assert len(data.open(path)) == 2


def test_a_compressed_archive_that_was_compressed_again_is_read(tmp_path: Path) -> None:
    once = write_tar(tmp_path / "UTKFace.tar.gz", files(4))
    for number, compress in enumerate((gzip.compress, bz2.compress, lzma.compress)):
        twice = tmp_path / f"UTKFace{number}.tar.gz.gz"
        twice.write_bytes(compress(once.read_bytes()))
        assert data.open(twice).fingerprint == data.open(once).fingerprint


@pytest.mark.parametrize("module", ["bz2", "lzma"])
def test_a_python_without_a_decompressor_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    path = write_tar(tmp_path / f"faces.tar.{module.replace('lzma', 'xz')}", files(2))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=f"this Python was built without '{module}', .*: unpack it"):
        data.open(path)


@pytest.mark.parametrize("kind", ["faces.tar", "faces.zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_with_one_path_the_last_counts_as_it_does_when_unpacked(tmp_path: Path, kind: str) -> None:
    first, new = next(iter(files(1))), encode(picture(77))
    path = write(tmp_path / kind, files(3))
    if kind.endswith("zip"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(first, new)
    else:
        member = tarfile.TarInfo(first)
        member.size = len(new)
        with tarfile.open(path, "a") as tar:
            tar.addfile(member, io.BytesIO(new))
    opened = data.open(path)
    assert len(opened) == 3
    assert np.array_equal(opened.images[0], decode.grey(new))
    assert opened.skipped == [(first, "replaced by a later file with the same path in the archive")]
    assert len(data.open(path, max_skipped=0)) == 3, "nothing is missing"


@pytest.mark.parametrize("other", ["./{}", "{}"])
@pytest.mark.parametrize("kind", ["faces.tar", "faces.zip"])
def test_two_ways_to_write_one_path_are_one_file(tmp_path: Path, kind: str, other: str) -> None:
    first, new = next(iter(files(1))), encode(picture(77))
    content = {f"a/{name}": value for name, value in files(3).items()}
    again = other.format(f"a/{first}") if other.startswith(".") else f"a\\{first}"
    opened = data.open(write(tmp_path / kind, content | {again: new}))
    assert len(opened) == 3
    assert [reason for _, reason in opened.skipped] == ["replaced by a later file with the same path in the archive"]
    assert any(np.array_equal(image, decode.grey(new)) for image in opened.images)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_what_follows_the_end_of_an_archive_is_told(tmp_path: Path, suffix: str) -> None:
    one, two = (write(tmp_path / f"{name}{suffix}", part) for name, part in zip("ab", halves(6), strict=True))
    joined = tmp_path / f"joined{suffix}"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    opened = data.open(joined)
    assert len(opened) == 3
    ((name, reason),) = opened.skipped
    assert name == joined.name
    assert reason.startswith("data after the end of the archive: if archives were joined, unpack it with `")
    subprocess.run(reason.split("`")[1].replace("ARCHIVE", joined.name), shell=True, check=True)
    assert len(data.open("UTKFace")) == 6


def test_what_precedes_the_start_of_a_zip_is_told(tmp_path: Path) -> None:
    one, two = (write(tmp_path / f"{name}.zip", part) for name, part in zip("ab", halves(6), strict=True))
    joined = tmp_path / "joined.zip"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    opened = data.open(joined)
    assert opened.digests == data.open(two).digests
    reason = "data before the start of the archive: if archives were joined, unpack each one and pass the folder"
    assert opened.skipped == [("joined.zip", reason)]


def halves(count: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    items = list(files(count).items())
    return dict(items[: count // 2]), dict(items[count // 2 :])


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    """The change is in the middle, and the modification time is restored, as by tools for reproducible archives."""
    content = files(3) | {"padding.bin": bytes(4_000_000)}
    names = list(content)
    start = {"start.bin": bytes(2_000_000)}
    path = write(tmp_path / "faces.tar", start | content)
    before, status = data.open(path), path.stat()
    age, gender, *rest = names[0].split("_")
    renamed = "_".join([age, str(1 - int(gender)), *rest])
    path.write_bytes(write(tmp_path / "other.tar", start | {renamed: content.pop(names[0])} | content).read_bytes())
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = data.open(path)
    assert (before.genders != after.genders).sum() == 1


@pytest.mark.parametrize(("outer", "inner"), [("my files.zip", "UTKFace.zip"), ("my files.tar.gz", "UTKFace.tar.gz")])
def test_an_archive_in_an_archive_gets_a_command_that_works(tmp_path: Path, outer: str, inner: str) -> None:
    content = write(tmp_path / inner, files(3)).read_bytes()
    write(tmp_path / outer, {f"folder/{inner}": content, "README.md": b"read me"})
    with pytest.raises(DataError, match=r"contains no face: .* It contains the archive 'folder/") as error:
        data.open(outer)
    ((command, place),) = re.findall(r"with `([^`]*)` and pass (\S+)$", str(error.value))
    program, *arguments = shlex.split(command)
    subprocess.run([sys.executable if program == "python" else program, *arguments], check=True)
    assert len(data.open(place)) == 3


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

    sys.addaudithook(hook)  # hooks cannot be removed: this one stays inactive for the rest of the run
    watching.set()
    opened = data.open(path)
    watching.clear()
    assert len(opened) == 22
    assert len(written) >= 2
    assert all(each.startswith(str(tmp_path / "cache")) for each in written)
