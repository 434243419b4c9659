"""Commands in messages about archives work."""

import bz2
import gzip
import lzma
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import WRITERS, files, isolate, name, write_tar, write_zip

from agegender import data
from agegender.data import DataError


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("commands", "compressors"),
    [(("gzip",), (gzip.compress,)), (("bzip2",), (bz2.compress,)), (("xz",), (lzma.compress,)),
     (("gzip", "xz"), (lzma.compress, gzip.compress))],
)  # fmt: skip
def test_a_zip_that_was_compressed_once_more_is_got_at_by_the_command_that_is_advised(
    tmp_path: Path, commands: tuple[str, ...], compressors: tuple[Callable[[bytes], bytes], ...]
) -> None:
    content = write_zip(tmp_path / "a.zip", files(3)).read_bytes()
    for compress in compressors:
        content = compress(content)
    Path("-my:faces.zip.x").write_bytes(content)
    with pytest.raises(DataError, match=r"not a tar archive: .* It contains a zip archive: extract it") as error:
        data.open("-my:faces.zip.x")
    command = str(error.value).split("`")[1]
    assert [part.split()[0] for part in command.split(" | ")] == list(commands)
    if not all(map(shutil.which, commands)):
        pytest.skip(f"{commands} are not installed")
    subprocess.run(command, shell=True, check=True)
    assert len(data.open("faces.zip")) == 3


@pytest.mark.skipif(not shutil.which("tar"), reason="tar is not installed")
@pytest.mark.parametrize("filename", ["a:b.tar", "-b.tar", "my faces.tar"])
def test_an_advised_command_takes_any_name_for_a_path(tmp_path: Path, filename: str) -> None:
    inner = write_zip(tmp_path / "inner.zip", files(3)).read_bytes()
    write_tar(tmp_path / filename, {"-inner.zip": inner})
    with pytest.raises(DataError, match=r"It contains the archive '-inner\.zip': unpack it with `tar") as error:
        data.open(filename)
    command = str(error.value).split("`")[1]
    subprocess.run(command, shell=True, check=True)
    assert Path("-inner.zip").read_bytes() == inner
    Path(filename).write_bytes(Path(filename).read_bytes()[:700])
    with pytest.raises(DataError, match=r"truncated or damaged .* checks the whole") as error:
        data.open(filename)
    command = str(error.value).split("`")[1]
    checked = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "-inner.zip" in checked.stdout, "it was read to its end"


@pytest.mark.parametrize("program", ["tar", "unzip"])
def test_links_in_an_archive_are_read_once_it_is_unpacked_as_advised(tmp_path: Path, program: str) -> None:
    """Linked pictures, as in a copy of a model hub's cache, or where a backup found the same file twice."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    pictures, links = files(3), [f"UTKFace/{name(number)}" for number in (700, 701)]
    if program == "tar":
        members = [tarfile.TarInfo(link) for link in links]
        for member, kind in zip(members, (tarfile.LNKTYPE, tarfile.SYMTYPE), strict=True):
            member.type, member.linkname = kind, next(iter(pictures))
        members[1].linkname = Path(members[1].linkname).name
        write_tar(tmp_path / "faces.tar.gz", pictures, members)
    else:
        with zipfile.ZipFile(write_zip(tmp_path / "faces.zip", pictures), "a") as archive:
            for link in links:
                member = zipfile.ZipInfo(link)
                member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
                archive.writestr(member, Path(next(iter(pictures))).name)
    (archived,) = tmp_path.glob("faces.*")
    with pytest.raises(DataError, match=r"2 of 5 pictures .* Fix them as advised, remove") as error:
        data.open(archived)
    subprocess.run(str(error.value).split("`")[1].replace("ARCHIVE", archived.name), shell=True, check=True)
    assert len(data.open("UTKFace")) == 5


def test_an_encrypted_zip_is_to_be_unpacked_and_not_to_be_got_again(tmp_path: Path) -> None:
    raw = write_zip(tmp_path / "all.zip", files(3)).read_bytes()
    (tmp_path / "all.zip").write_bytes(encrypted(raw, 3))
    with pytest.raises(
        DataError, match=r"contains no face: .* \(encrypted in the archive: unpack .* its password and pass"
    ):
        data.open("all.zip")
    (tmp_path / "one.zip").write_bytes(encrypted(raw, 1))
    with pytest.raises(DataError, match=r"1 of 3 pictures .* Fix them as advised, remove .*--max-skipped") as error:
        data.open("one.zip")
    assert "again" not in str(error.value)


def encrypted(raw: bytes, count: int) -> bytes:
    """A zip archive whose first ``count`` members are marked as encrypted."""
    first, *headers = raw.split(b"PK\x01\x02")
    headers = [h[:4] + bytes([h[4] | (number < count)]) + h[5:] for number, h in enumerate(headers)]
    return b"PK\x01\x02".join([first, *headers])


@pytest.mark.parametrize("kind", ["faces.zip", "faces.tar.gz", "faces.tar"])
@pytest.mark.parametrize("suffixes", [("001", "002"), ("aa", "ab")])
def test_the_parts_of_a_split_archive_are_to_be_joined(tmp_path: Path, kind: str, suffixes: tuple[str, str]) -> None:
    whole = WRITERS[kind](tmp_path / kind, files(3))
    content = whole.read_bytes()
    whole.unlink()
    for suffix, piece in zip(suffixes, (content[:1500], content[1500:]), strict=True):
        (tmp_path / f"{kind}.{suffix}").write_bytes(piece)
    for suffix in suffixes:
        with pytest.raises(DataError, match=r"is a part of a split archive: join the parts with `cat ") as error:
            data.open(f"{kind}.{suffix}")
    subprocess.run(str(error.value).split("`")[1], shell=True, check=True)
    assert len(data.open(kind)) == 3


@pytest.mark.parametrize(
    ("filename", "content", "first"),
    [
        ("faces.z01", b"PK\7\x08PK\3\4" + bytes(600), "faces.zip"),
        ("faces.part1.rar", b"Rar!\x1a\x07\x01\0" + bytes(600), "faces.part1.rar"),
        ("faces.part02.rar", b"Rar!\x1a\x07\x01\0" + bytes(600), "faces.part01.rar"),
        ("faces.r00", b"x" * 600, "faces.rar"),
    ],
)
def test_the_volumes_of_an_archive_are_to_be_unpacked_together(filename: str, content: bytes, first: str) -> None:
    Path(filename).write_bytes(content)
    with pytest.raises(DataError, match=f"part of a split archive: unpack all of them with `7z x {first}`"):
        data.open(filename)


def test_the_last_volume_of_a_zip_is_known_by_the_first(tmp_path: Path) -> None:
    write_zip(tmp_path / "faces.zip", files(3))
    Path("faces.z01").write_bytes(b"")
    with pytest.raises(DataError, match=r"^faces\.zip is a part of a split archive: .*`7z x faces\.zip`"):
        data.open("faces.zip")


@pytest.mark.skipif(not shutil.which("unzip"), reason="unzip is not installed")
def test_the_check_that_is_advised_for_a_damaged_zip_says_what_is_wrong_in_words(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "my faces.zip", files(3))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"truncated or damaged .* checks the whole file") as error:
        data.open("my faces.zip")
    checked = subprocess.run(str(error.value).split("`")[1], shell=True, capture_output=True, text=True, check=False)
    assert checked.returncode != 0
    assert "End-of-central-directory signature not found" in checked.stdout + checked.stderr
    assert "Traceback" not in checked.stderr
