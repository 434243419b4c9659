"""Files are written atomically, whoever else writes or reads them at the same time."""

import os
import stat
import threading
from pathlib import Path

import pytest

import minidl as md
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
