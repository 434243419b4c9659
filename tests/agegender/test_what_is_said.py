"""Output of the commands with full disks, closed terminals and names that can't be encoded."""

import errno
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from commands import Command, Small, finish, weights
from pictures import files, write_folder

import minidl as md
from agegender import cli, parts, train
from agegender.data import inspect
from agegender.report import figures
from agegender.report.speaker import Speaker
from agegender.runs import new
from minidl import command as shared
from minidl.files import remove_leftovers

pytestmark = pytest.mark.usefixtures("elsewhere", "without_pictures")
Stop = Callable[..., None]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


# Disks


def test_a_disk_without_room_is_told_before_data_are_read(
    command: Command, utkface: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "open_data", lambda *given: pytest.fail("the data were read"))
    for free, told in ((40_000_000, "40 MB"), (400_000, "400 kB"), (0, "0 bytes")):
        monkeypatch.setattr(shutil, "disk_usage", lambda place, free=free: Usage(10**9, 0, free))
        done = command("--data", utkface)
        assert done.code == 2
        assert re.fullmatch(
            rf"error: a run needs 163 MB, but only {told} are free in \S+: make room, or choose .* --out\n", done.err
        )


def test_a_folder_that_cannot_be_written_to_is_told_before_data_are_read(
    command: Command, utkface: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(parts, "open_data", lambda *given: pytest.fail("the data were read"))
    monkeypatch.setattr("agegender.runs.new.tempfile.TemporaryFile", refuse)
    done = command("--data", utkface, "--out", "there")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("error: . cannot be written to (Permission denied): choose another folder")


def test_a_file_in_the_way_of_the_runs_is_told(command: Command, utkface: Path) -> None:
    Path("taken").write_text("")
    done = command("--data", utkface, "--out", "taken/below/here")
    assert (done.code, done.err) == (2, "error: taken is a file: choose another folder for the runs with --out\n")


def full(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make every write to the file fail as on a full disk."""
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if f".{name}." in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("name", ["last.state.safetensors", "metrics.csv", "summary.json", "config.json"])
def test_a_disk_that_becomes_full_is_told_with_the_way_to_go_on(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as patch:
        full(patch, name)
        done = command(*small, "--name", "a")
    assert (done.code, done.err.count("\n")) == (2, 1)
    where = f"runs/a/{name}" if name != "config.json" else "runs"
    assert done.err.startswith(f"error: {where}: No space left on device")
    if name == "config.json":
        assert list(Path("runs").iterdir()) == []
        return
    assert "resume with: python -m agegender.train --resume runs/a" in done.err
    assert list(Path("runs/a").glob(".*")) == []
    assert command("--resume", "a").code == 0
    command(*small, "--name", "b")
    assert weights("runs/a") == weights("runs/b")


def test_room_for_a_run_that_goes_on_is_what_is_written_anew(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(*small, "--name", "a")
    needed = new.COPIES * 4 * sum(parameter.size for parameter in Small().parameters())
    for lacking, code in ((0, 0), (1, 2)):
        held = sum(path.stat().st_size for path in Path("runs/a").glob("*.safetensors"))
        monkeypatch.setattr(shutil, "disk_usage", lambda place, free=needed - held - lacking: Usage(10**9, 0, free))
        done = command("--resume", "a", "--epochs", 3 + lacking)
        assert done.code == code
    assert "make room, or copy the run to another disk" in done.err


def test_an_error_in_writing_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="I/O error") as caught:
        md.save(tmp_path / "w.safetensors", {})
    assert caught.value.filename == str(tmp_path / "w.safetensors")


def test_a_log_that_cannot_be_written_is_told_once_and_does_not_end_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("log.txt").mkdir()
    say = Speaker(sys.stdout, quiet=True)
    say.log_to(Path("log.txt"))
    say.note("first")
    say.note("second")
    assert capsys.readouterr().out == "warning: log.txt cannot be written, logging ends: Is a directory\n"


# Streams and terminals


class Gone(io.StringIO):
    """The write end of a pipe without a reader, or a closed terminal."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError(errno.EIO, "I/O error")])
def test_training_goes_on_when_its_reader_is_gone(
    small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Gone(error))
    arguments = [str(word) for word in (*small, "--name", "a")]
    assert finish(lambda: train.main(arguments)) == 0
    assert "epoch 2/2" in Path("runs/a/log.txt").read_text()
    assert Path("runs/a/summary.json").is_file()


def test_training_goes_on_when_its_terminal_is_closed(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    before = signal.getsignal(signal.SIGHUP)
    stop_at(2, signal.SIGHUP)
    assert command(*small, "--name", "a").code == 0
    assert signal.getsignal(signal.SIGHUP) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not have this signal")
@pytest.mark.parametrize("imported", ["numpy", "PIL"])
@pytest.mark.parametrize("module", ["agegender.train", "agegender.data.inspect"])
def test_training_alone_goes_on_when_its_terminal_is_closed_while_it_starts(
    tmp_path: Path, module: str, imported: str
) -> None:
    closing = "import signal\nsignal.raise_signal(signal.SIGHUP)\nraise SystemExit(3)"
    (tmp_path / f"{imported}.py").write_text(closing)
    done = subprocess.run(
        [sys.executable, "-u", "-m", module, "--data", "drawn"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # unlike under nohup
    )
    assert done.returncode == (3 if module == "agegender.train" else -signal.SIGHUP)


def test_training_goes_on_when_its_terminal_is_closed_while_data_are_read(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = parts.open_data

    def closed(*given: Any) -> Any:
        signal.raise_signal(signal.SIGHUP)
        return opened(*given)

    monkeypatch.setattr(parts, "open_data", closed)
    assert command(*small, "--name", "a").code == 0


def test_a_closed_standard_output_is_as_good_as_one_that_is_dropped(
    small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    arguments = [str(word) for word in (*small, "--name", "a")]
    assert finish(lambda: train.main(arguments)) == 0
    assert finish(lambda: inspect.main(["nowhere"])) == 2
    for stream in (sys.stdout, sys.stderr):
        stream.close()


@pytest.mark.skipif(sys.platform != "linux", reason="file names elsewhere are Unicode")
def test_a_path_that_is_not_utf_8_is_a_path(
    small: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    odd = os.fsdecode(b"faces-\xff")
    faces = write_folder(tmp_path / odd, files(30))
    arguments = [str(word) for word in (*small, "--data", faces, "--name", os.fsdecode(b"r\xfcn"))]
    assert finish(lambda: train.main(arguments)) == 0
    assert finish(lambda: inspect.main([str(faces)])) == 0
    assert rb"faces-\udcff" in written.getvalue()
    folder = Path("runs", os.fsdecode(b"r\xfcn"))
    assert r"faces-\udcff" in (folder / "log.txt").read_text()
    assert finish(lambda: train.main(["--resume", str(folder), "--epochs", "3"])) == 0


def test_memory_that_does_not_suffice_is_told_with_what_lowers_it(
    command: Command, small: tuple[object, ...], stop_at: Stop, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_at(6, MemoryError("Unable to allocate 12.0 GiB"))
    done = command(*small, "--batch-size", 8, "--name", "a")
    assert done.code == 2
    again = "python -m agegender.train --config runs/a/config.json --batch-size 4"
    go_on = "Resume from the last save with: python -m agegender.train --resume runs/a"
    told = "error: not enough memory (Unable to allocate 12.0 GiB). Smaller batches need less"
    assert done.err == f"{told}: {again}. {go_on}\n"
    assert command(*again.split()[3:]).code == 0

    def fail() -> int:
        raise MemoryError

    assert finish(lambda: shared.status(fail, train.SPARE_MEMORY)) == 2
    assert capsys.readouterr().err.startswith("error: not enough memory. Reduce --batch-size")


def test_a_loss_that_is_no_number_is_told_with_what_to_try(command: Command, small: tuple[object, ...]) -> None:
    done = command(*small, "--lr", 1e39, "--name", "a")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.endswith("For example: python -m agegender.train --config runs/a/config.json --lr 0.001\n")
    again = command(*small, "--name", "a")
    assert "resume it (nothing was saved yet, so its options may change): python" in again.err


@pytest.mark.parametrize("module", ["agegender", "agegender.train", "agegender.data.inspect", "minidl"])
def test_an_interrupt_while_modules_are_imported_is_one_word(tmp_path: Path, module: str) -> None:
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-m", module],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "interrupted\n"
    assert done.returncode == (-signal.SIGINT if sys.platform != "win32" else 1)


def test_an_interrupt_that_a_module_in_c_would_change_is_one_word(tmp_path: Path) -> None:
    def hearing() -> None:  # unlike a background job of a shell
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    interrupt = "import signal\ntry:\n signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt as error:\n"
    (tmp_path / "numpy.py").write_text(f"{interrupt} raise ImportError('a bad install') from error\n")
    done = subprocess.run(
        [sys.executable, "-m", "agegender.train"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=None if sys.platform == "win32" else hearing,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_picture_that_cannot_be_drawn_does_not_end_training(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise ValueError("'nosuch' is not a valid value for backend")

    monkeypatch.setattr(figures, "learning_curves", fail)
    done = command(*small, "--name", "a")
    assert done.code == 0
    assert "warning: runs/a/plots/curves.png cannot be drawn: 'nosuch' is not a valid value" in done.out


def test_a_folder_of_runs_that_is_a_link_to_nowhere_is_told(command: Command, utkface: Path) -> None:
    Path("runs").symlink_to("scratch")
    done = command("--data", utkface)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("error: runs is a link to scratch, which does not exist: choose another folder")


def test_a_command_to_copy_names_bytes_that_are_no_text() -> None:
    assert cli.command_line("train", os.fsdecode(b"it's \xff"), "größe") == r"train $'it\x27s \xff' 'größe'"


def test_a_reader_of_the_help_may_have_seen_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    class Buffered(Gone):
        def write(self, text: str) -> int:
            return len(text)

        def flush(self) -> None:
            raise self.error

    monkeypatch.setattr(sys, "stdout", Buffered(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert finish(lambda: inspect.main(["--help"])) == 0


def test_a_warning_is_one_line_without_a_place_in_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    def warn() -> int:
        warnings.simplefilter("always")
        warnings.warn("the cache folder cannot be used:\nset MINIDL_CACHE", stacklevel=1)
        return 0

    assert finish(warn) == 0
    assert capsys.readouterr().err == "warning: the cache folder cannot be used: set MINIDL_CACHE\n"


def test_leftovers_are_those_of_atomic_writes_alone(tmp_path: Path) -> None:
    for name in (".a.csv.12.tmp", ".tmp", "notes.tmp", ".hidden"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", ".tmp", "notes.tmp"]
