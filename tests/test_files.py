"""Files are written atomically, whoever else writes or reads them at the same time."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import minidl as md
from minidl.errors import MinidlError
from minidl.files import atomic_write, remove_leftovers


def test_several_threads_may_write_one_file_while_others_read_it(tmp_path: Path) -> None:
    """Both are inside their writes at the same time."""
    path = tmp_path / "a"
    together = threading.Barrier(2, timeout=10)
    failed: list[Exception] = []

    def write(text: bytes) -> None:
        try:
            with atomic_write(path) as file:
                file.write(text)
                file.flush()
                together.wait()
        except Exception as error:
            failed.append(error)

    texts = (b"short", b"a longer text")
    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert path.read_bytes() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_has_left_is_removed(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as file:
        file.write(b"text")
        (left,) = tmp_path.iterdir()
        name = left.name
    (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="the permissions of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(mode: int, tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(mode)
    link.symlink_to(path)
    for name in (path, link):
        with atomic_write(name) as file:
            (temporary,) = tmp_path.glob(".*.tmp")
            assert stat.S_IMODE(temporary.stat().st_mode) == mode, "before anything is in it"
            file.write(b"new")
        assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (mode, b"new")


@pytest.mark.skipif(os.name != "posix", reason="the permissions of POSIX")
def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    md.save(tmp_path / "a", {})
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_one_and_its_file_is_written(there: bool, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    target, link = tmp_path / "runs" / "last.safetensors", tmp_path / "latest.safetensors"
    link.symlink_to("runs/last.safetensors")
    if there:
        target.touch()
    md.save(link, {"w": [1.0]})
    assert link.is_symlink()
    assert md.load(target)["w"].tolist() == [1.0]
    assert list((tmp_path / "runs").iterdir()) == [target]


def test_a_link_into_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("no/such")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*no to write such to"):
        md.save(tmp_path / "link", {})
    assert (tmp_path / "link").is_symlink()


posix = pytest.mark.skipif(os.name != "posix", reason="FIFOs and devices of POSIX")


@posix
@pytest.mark.parametrize("through_link", [False, True])
def test_weights_saved_into_a_pipe_reach_its_reader_and_the_pipe_stays(through_link: bool, tmp_path: Path) -> None:
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()), daemon=True)
    reader.start()
    md.save(link if through_link else fifo, {"w": [1.0]})
    reader.join(10)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert set(tmp_path.iterdir()) == {fifo, link}
    (tmp_path / "copy").write_bytes(read[0])
    assert md.load(tmp_path / "copy")["w"].tolist() == [1.0]


@posix
def test_weights_saved_into_a_device_leave_it_a_device(tmp_path: Path) -> None:
    node = tmp_path / "null"
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        node.read_bytes()
    except OSError:
        pytest.skip("only root may make a device, and not on every file system")
    md.save(node, {"w": [1.0]})
    assert stat.S_ISCHR(node.stat().st_mode)
    assert list(tmp_path.iterdir()) == [node]


@posix
def test_a_reader_that_has_left_is_named_with_its_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def write() -> None:
        with atomic_write(fifo) as file:
            os.close(reader)
            file.write(b"nobody reads this")

    with pytest.raises(BrokenPipeError, match=str(fifo)):
        write()


@pytest.mark.parametrize("path", ["", ".", "folder", "link"])
def test_a_folder_is_not_written_to_as_a_file(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    with pytest.raises(IsADirectoryError, match=r"(\.|folder|link) is a folder: add the name of the file to write"):
        md.save(path, {})
    assert {found.name for found in tmp_path.iterdir()} == {"folder", "link"}


@posix
def test_a_link_to_itself_is_not_replaced(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        md.save(loop, {})
    assert list(tmp_path.iterdir()) == [loop]
    assert loop.is_symlink()


def test_a_name_as_long_as_the_file_system_allows_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)
    md.save(path, {"w": [1.0]})
    assert md.load(path)["w"].tolist() == [1.0]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("use", [lambda path: md.save(path, {}), md.load], ids=["save", "load"])
def test_a_path_with_a_nul_is_refused_in_a_sentence(use: Callable[[str], object]) -> None:
    with pytest.raises(MinidlError, match=r"no file can have a NUL character in its path: leave it out of 'a\\x00b'"):
        use("a\0b")
