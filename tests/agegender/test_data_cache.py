import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encode, files, picture, write_folder, write_tar

import agegender
from agegender import data
from agegender.data import DataError, cache, decode, utkface
from agegender.data.cache import ImageFile, cached, write_records
from agegender.data.faces import Faces, Record


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of the test."""
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "faces"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one element per decoded picture."""
    calls: list[int] = []

    def counting(stream: utkface.Iterator) -> utkface.Iterator:
        for number, result in decode.decode_all(stream):
            calls.append(number)
            yield number, result

    monkeypatch.setattr(utkface, "decode_all", counting)
    return calls


def builder(value: int, count: int = 2) -> Callable[[Path], None]:
    """A function that builds ``count`` images whose pixels are all ``value``."""

    def build(folder: Path) -> None:
        with ImageFile(folder, count) as images:
            for row in range(count):
                images.write(row, np.full((128, 128), value, np.uint8))
            images.finish(range(count))
        write_records(folder, [Record(str(row), 30, 1, -1, str(value)) for row in range(count)], [])

    return build


def open_value(value: int, **options: Path) -> Faces:
    return cached("same", builder(value), source="test", kind="utkface", **options)


def test_the_second_start_decodes_nothing(tmp_path: Path, decoded: list[int]) -> None:
    path = write_tar(tmp_path / "faces.tar.gz", files(12) | {"UTKFace/bad.jpg": b""})
    first = data.open(path)
    assert len(decoded) == 12
    second = data.open(path)
    assert len(decoded) == 12
    assert second.fingerprint == first.fingerprint
    assert second.names == first.names
    assert second.skipped == first.skipped == [("UTKFace/bad.jpg", "name is not age_gender_ethnicity_anything")]
    assert second.ages.dtype == np.int16
    assert second.genders.dtype == np.uint8
    assert second.ethnicities.dtype == np.int8
    assert np.array_equal(second.images, first.images)


def test_pixels_are_a_read_only_memory_map(tmp_path: Path) -> None:
    faces = data.open(write_folder(tmp_path / "faces", files(3)))
    assert isinstance(faces.images, np.memmap)
    assert not faces.images.flags.writeable
    assert type(faces.batch(np.array([0]))[0]) is np.ndarray


def test_an_archive_may_move_but_not_change(tmp_path: Path, decoded: list[int]) -> None:
    path = write_tar(tmp_path / "faces.tar", files(12))
    data.open(path)
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / "faces.tar")
    assert data.open(moved).source == str(moved)
    assert len(decoded) == 12
    when = moved.stat().st_mtime_ns
    write_tar(moved, files(12, "UTKFacE/"))  # of the same length
    os.utime(moved, ns=(when, when))
    data.open(moved)
    assert len(decoded) == 24
    os.utime(moved, ns=(when, when + 10**9))
    data.open(moved)
    assert len(decoded) == 24


def test_a_changed_folder_is_read_again(tmp_path: Path, decoded: list[int]) -> None:
    folder = write_folder(tmp_path / "faces", files(12, ""))
    data.open(folder)
    next(folder.iterdir()).unlink()
    assert len(data.open(folder)) == 11
    assert len(decoded) == 23
    one = next(folder.iterdir())
    os.utime(one, ns=(0, one.stat().st_mtime_ns + 10**9))
    data.open(folder)
    assert len(decoded) == 34


def test_a_folder_is_known_wherever_it_lies_and_however_it_was_filled(tmp_path: Path, decoded: list[int]) -> None:
    one = write_folder(tmp_path / "one", files(30, ""))
    (tmp_path / "two").mkdir()
    for path in sorted(one.iterdir(), reverse=True):
        (tmp_path / "two" / path.name).hardlink_to(path)
    for folder in (one, tmp_path / "two"):
        data.open(folder)
    data.open(one.rename(tmp_path / "three"))
    assert len(decoded) == 30


def test_what_this_pillow_cannot_read_another_one_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = files(12, "") | {"1_0_0.webp": encode(picture(99), "WEBP")}
    path = write_tar(tmp_path / "faces.tar", content)
    able = decode.formats()
    with monkeypatch.context() as patch:
        for module in (decode, utkface):
            patch.setattr(module, "formats", lambda: tuple(format for format in able if format != "WEBP"))
        assert data.open(path).skipped == [("1_0_0.webp", "WebP that is damaged or not supported by this Pillow")]
    assert len(data.open(path)) == 13


def test_the_slower_of_two_builders_uses_the_result_of_the_faster(root: Path) -> None:
    def slow(folder: Path) -> None:
        builder(1)(folder)
        assert open_value(2).digests == ["2", "2"]  # another process finishes first

    faces = cached("same", slow, source="test", kind="utkface")
    assert faces.digests == ["2", "2"]
    assert len(list(root.iterdir())) == 1


SCRIPT = """
import sys, time
from pathlib import Path
from agegender import data
print("ready", flush=True)
sys.stdin.readline()
faces = data.open(sys.argv[1])
print(len(faces), faces.fingerprint, int(faces.images.sum()))
"""


def test_two_processes_may_start_at_once(tmp_path: Path, root: Path) -> None:
    path = write_tar(tmp_path / "faces.tar.gz", files(60))
    environment = os.environ | {"PYTHONPATH": str(Path(agegender.__path__[0]).parent)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # both have imported everything: start them
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert answers[0] == answers[1]
    assert answers[0].startswith("60 ")
    (folder,) = root.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["faces.json", "images.npy"]


def test_what_a_killed_build_left_is_deleted_and_a_living_one_is_not(root: Path) -> None:
    dead, alive = root / ".building-dead", root / ".building-alive"
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "images.npy").write_bytes(b"unfinished")
        for path in (folder / "images.npy", folder):
            os.utime(path, (1e9, 1e9))
    os.utime(alive / "images.npy")
    open_value(1)
    assert not dead.exists()
    assert alive.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("no face"), OSError(errno.ENOSPC, "disk full")])
def test_a_failed_build_leaves_nothing(root: Path, error: BaseException) -> None:
    def build(folder: Path) -> None:
        builder(1)(folder)
        raise error

    expected = DataError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected, match="disk full; make room" if isinstance(error, OSError) else None):
        cached("same", build, source="test", kind="utkface")
    assert list(root.iterdir()) == []


def test_without_a_writable_cache_a_temporary_one_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    message = (
        r"file.faces is not writable \(Not a directory\): .* stored in .*minidl-faces-.* Set MINIDL_CACHE to a writable"
    )
    with pytest.warns(UserWarning, match=message):
        faces = open_value(3)
    assert np.all(faces.images == 3)
    assert Path(str(faces.images.filename)).is_relative_to(tmp_path)  # type: ignore[attr-defined]
    monkeypatch.setattr(cache.tempfile, "mkdtemp", failing(errno.ENOSPC, "No space left on device"))
    with pytest.raises(DataError, match=r"\(Not a directory\), and there is no temporary folder \(No space left"):
        open_value(4)


def test_temporary_caches_of_killed_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    old, new = tmp_path / "minidl-faces-old", tmp_path / "minidl-faces-new"
    for folder in (old, new):
        (folder / "utkface-1").mkdir(parents=True)
        (folder / "utkface-1" / "images.npy").touch()
        for path in (folder / "utkface-1" / "images.npy", folder / "utkface-1", folder):
            os.utime(path, (1e9, 1e9))
    os.utime(new / "utkface-1" / "images.npy")
    with pytest.warns(UserWarning, match="minidl-faces-"):
        open_value(3)
    assert (old.exists(), new.exists()) == (False, True)


def test_without_a_home_a_temporary_cache_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("MINIDL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.Path, "home", home)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    with pytest.warns(UserWarning, match="there is no home folder for the cache: .* Set MINIDL_CACHE"):
        assert len(open_value(3)) == 2


def failing(number: int, text: str) -> Callable[..., Any]:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, text)

    return fail


def test_a_full_disk_is_noticed_before_anything_is_decoded_or_drawn(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[int]
) -> None:
    path = write_tar(tmp_path / "faces.tar.gz", files(12))
    monkeypatch.setattr("agegender.data._artist.draw", lambda count, seed: pytest.fail("drawn in vain"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: usage._replace(free=190_000))
    for open_it, needed in (
        (lambda: data.open(path), "199 kB are needed for 12 decoded pictures"),
        (data.drawn, "33.2 MB .* 2,000 "),
    ):
        with pytest.raises(
            DataError, match=rf"{needed}.*, but only 190 kB are free in {root}: make room .* MINIDL_CACHE"
        ):
            open_it()
    assert decoded == []
    assert list(root.iterdir()) == []
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: usage._replace(free=200_000))
    assert len(data.open(path)) == 12


@pytest.mark.parametrize("call", ["mkdir", "rename"])
def test_a_cache_that_turns_out_to_be_full_says_where_and_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    root.mkdir(parents=True)
    monkeypatch.setattr(cache.Path, call, failing(errno.EDQUOT, "Disk quota exceeded"))
    if call == "mkdir":
        monkeypatch.setattr(cache, "_writable_root", lambda *_: root)
    with pytest.raises(
        DataError, match=rf"cannot write .* 16 kB each, to {root}: Disk quota exceeded; make room .*CACHE"
    ):
        open_value(1)


def test_what_may_not_be_kept_is_of_use_and_built_anew(root: Path) -> None:
    def build(folder: Path) -> bool:
        builder(7)(folder)
        return True

    first = cached("same", build, source="test", kind="utkface")
    assert np.all(first.images == 7)
    assert open_value(8).digests == ["8", "8"]
    assert np.all(first.images == 7)
    assert open_value(9).digests == ["8", "8"]


def test_an_archive_whose_name_is_not_utf8_is_read(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.tar.gz")
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system does not support such names")
    assert len(data.open(write_tar(path, files(3)))) == 3


def test_the_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def place(faces: Faces) -> Path:
        assert isinstance(faces.images, np.memmap)
        return Path(str(faces.images.filename)).parent.parent

    assert place(open_value(1)) == tmp_path / "cache" / "faces"
    assert place(open_value(1, cache=tmp_path / "own")) == tmp_path / "own" / "faces"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINIDL_CACHE", "~/mine")  # a shell does not expand it in quotes
    assert place(open_value(1)) == tmp_path / "home" / "mine" / "faces"
    monkeypatch.delenv("MINIDL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert place(open_value(1)) == tmp_path / "xdg" / "minidl" / "faces"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert place(open_value(1)) == tmp_path / "home" / ".cache" / "minidl" / "faces"


def test_gaps_are_closed(tmp_path: Path) -> None:
    with ImageFile(tmp_path, 5000) as file:
        for row in (4999, 7, 0, 300):
            file.write(row, np.full((128, 128), row % 251, np.uint8))
        file.finish([0, 7, 300, 4999])
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert images.shape == (4, 128, 128)
    assert images.dtype == np.uint8
    assert [int(image.min()) for image in images] == [0, 7, 300 % 251, 4999 % 251]
    assert np.array_equal(images.min(axis=(1, 2)), images.max(axis=(1, 2)))
    assert (tmp_path / "images.npy").stat().st_size == 128 + 4 * 128 * 128
