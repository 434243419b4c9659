"""What the commands say, and what they outlive: full disks, closed terminals, names that can't be encoded."""

import errno
import io
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from commands import Command, Small, weights
from pictures import files, write_folder

import minidl as md
from agegender import __main__ as overview
from agegender import cli, parts, tasks, train
from agegender.data import inspect
from agegender.report import figures, results
from agegender.report.speaker import Speaker
from agegender.runs import new
from agegender.runs.folder import Run
from minidl import checkpoint
from minidl import command as shared

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
            rf"error: a run needs 163 MB, and {told} are free in \S+: make room, or name .* --out\n", done.err
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
    assert done.err.startswith("error: . cannot be written to (Permission denied): name a folder")


def test_a_file_in_the_way_of_the_runs_is_told(command: Command, utkface: Path) -> None:
    Path("taken").write_text("")
    done = command("--data", utkface, "--out", "taken/below/here")
    assert (done.code, done.err) == (2, "error: taken is a file: name a folder of yours for the runs with --out\n")


def full(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let every write of the file end as on a full disk."""
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if f".{name}." in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which file is written")
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
    assert "go on with: python -m agegender.train --resume runs/a" in done.err
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
    assert "make room, or copy the run to a place with room" in done.err


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
    assert capsys.readouterr().out == "warning: no more is written to log.txt: Is a directory\n"


# Streams and terminals


def finish(work: Callable[[], int]) -> int:
    with pytest.raises(SystemExit) as ended:
        shared.run(work)
    assert isinstance(ended.value.code, int)
    return ended.value.code


class Gone(io.StringIO):
    """The write end of a pipe that nobody reads any more, or a terminal that was closed."""

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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
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
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which it is not under nohup
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
    go_on = "What was saved goes on with: python -m agegender.train --resume runs/a"
    told = "error: not enough memory (Unable to allocate 12.0 GiB). Smaller batches need less"
    assert done.err == f"{told}: {again}. {go_on}\n"
    assert command(*again.split()[3:]).code == 0

    def fail() -> int:
        raise MemoryError

    assert finish(lambda: shared.status(fail, train.SPARE_MEMORY)) == 2
    assert capsys.readouterr().err.startswith("error: not enough memory. A smaller --batch-size takes less memory")


def test_a_loss_that_is_no_number_is_told_with_what_to_try(command: Command, small: tuple[object, ...]) -> None:
    done = command(*small, "--lr", 1e39, "--name", "a")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.endswith("For example: python -m agegender.train --config runs/a/config.json --lr 0.001\n")
    again = command(*small, "--name", "a")
    assert "go on with it (nothing was saved of it, so its options may still change): python" in again.err


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
    def hearing() -> None:  # which a job in the background of a shell is not
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
    assert done.err.startswith("error: runs is a link to scratch, which is not there: name a folder of yours")


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


# Results


@pytest.fixture
def guessing(command: Command, small: tuple[object, ...]) -> Any:
    """A run with a learning rate at which nothing is learned."""
    return command(*small, "--lr", 100, "--name", "a", "--json")


def test_a_run_no_better_than_guessing_is_told_and_marked(command: Command, guessing: Any) -> None:
    assert guessing.code == 0
    assert "age_mae" in guessing.summary["no_better_than_guessing"]
    last = Path("runs/a/metrics.csv").read_text().splitlines()
    assert last[0].endswith(",no_better_than_guessing")
    assert all("age_mae" in line for line in last[1:])
    *_, result, look, advice = guessing.err.splitlines()
    assert re.search(r"age error \S+ years, no better than always guessing the median age \(\S+ years\)", result)
    assert look == "look at runs/a/plots/curves.png and runs/a/plots/examples.png"
    command_line = "python -m agegender.train --config runs/a/config.json --lr 0.001"
    assert advice == f"the learning rate is the first thing to lower: {command_line}"
    assert "no better than guessing" in command("--list").out


def test_a_run_that_guesses_gets_its_advice_quietly_and_once_it_is_finished_too(
    command: Command, small: tuple[object, ...]
) -> None:
    result, advice = command(*small, "--lr", 100, "--name", "a", "--quiet").out.splitlines()
    assert "no better than" in result
    assert advice.startswith(
        "the learning rate is the first thing to lower: python -m agegender.train --config runs/a/"
    )
    Path("runs/a").rename("runs/b")
    for options in ([], ["--quiet"]):
        finished = command("--resume", "b", *options).out.splitlines()
        assert finished == ["nothing left to do: runs/b has 2 epochs", result, advice.replace("runs/a", "runs/b")]


def test_a_run_that_learned_says_how_to_go_on() -> None:
    (following,) = results.next_steps({"epochs": 4, "no_better_than_guessing": []}, Run(Path("runs/a")), lr=1e-3)
    assert following == "train on, with ten epochs more: python -m agegender.train --resume runs/a --epochs 14"


def test_where_the_loss_was_still_falling_more_epochs_are_the_other_thing_to_try() -> None:
    summary = {"epochs": 4, "still_learning": True, "no_better_than_guessing": ["age_mae"]}
    advice = partial(results.next_steps, run=Run(Path("elsewhere/a")))
    lower, more = advice(summary, lr=2e-3)
    assert lower.endswith("python -m agegender.train --config elsewhere/a/config.json --out elsewhere --lr 0.0002")
    assert more.startswith("or, as the loss was still falling, train on, with ten epochs more: python")
    assert len(advice({**summary, "still_learning": False}, lr=1e-3)) == 1
    assert len(advice({**summary, "epochs": 1}, lr=2e-3)) == 1
    (longer,) = advice(summary, lr=1e-3)
    assert longer.startswith("at a learning rate of 0.001 it takes longer: train on, with ten epochs more: python")
    assert "first thing to lower" not in "".join(advice(summary, lr=0.0))


@pytest.mark.parametrize(
    ("loss", "val_loss", "age_mae", "expected"),
    [
        ([9, 8, 7], [9, 8, 7], 20.0, True),
        ([9, 6, 7], [9, 8, 7], 20.0, False),
        ([9, 7, 7], [9, 8, 7], 20.0, False),
        ([9, 8, 7], [9, 6, 7], 20.0, False),
        ([9, 8, math.nan], [9, 8, 7], 20.0, False),
        ([1e40, 1e30, 1e20], [1e40, 1e30, 1e20], 1e20, False),
        ([9, 8, 7], [9, 8, 7], math.nan, False),
        ([9], [9], 20.0, True),
        ([9], [9], 1e20, False),
    ],
)
def test_a_run_learns_while_both_losses_fall_and_its_errors_are_years(
    loss: list[float], val_loss: list[float], age_mae: float, expected: bool
) -> None:
    rows = zip(loss, val_loss, strict=True)
    history = [{"loss": one, "val_loss": other, "val_age_mae": age_mae} for one, other in rows]
    assert results.still_learning(history) is expected


def test_a_run_that_diverged_is_not_told_to_train_on(command: Command, small: tuple[object, ...]) -> None:
    done = command(*small, "--optimizer", "sgd", "--lr", 1e30, "--name", "a", "--json")
    assert done.code == 0
    assert done.summary["age_mae"] > 1e6
    assert not done.summary["still_learning"]
    assert "train on" not in done.err
    *_, advice = done.err.splitlines()
    assert advice.startswith("the learning rate is the first thing to lower: ")


def test_nothing_is_better_than_guessing_where_guessing_is_always_right() -> None:
    perfect = {"gender_accuracy": 1.0, "age_mae": 0.0}
    assert tasks.no_better(perfect, perfect) == []


def test_equal_to_guessing_is_no_better_and_so_is_no_number() -> None:
    guesses = {"gender_accuracy": 0.5, "age_mae": 10.0}
    assert tasks.no_better(guesses, guesses) == ["gender_accuracy", "age_mae"]
    assert tasks.no_better({"gender_accuracy": 0.6, "age_mae": float("nan")}, guesses) == ["age_mae"]


# Help


def test_the_commands_are_listed_with_a_sentence_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert overview.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in overview.COMMANDS:
        (line,) = [line for line in lines if line.startswith(f"python -m agegender.{name} ")]
        assert len(line.split()) > 6
    modules = {path.stem for path in Path(train.__file__).parent.glob("*.py") if "__main__" in path.read_text()}
    assert modules - {"__main__"} <= set(overview.COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--epochs", "3"], "the command is written with a dot: python -m agegender.train --epochs 3"),
        (["trian"], "there is no command 'trian'. Did you mean 'train'? See python -m agegender."),
    ],
)
def test_a_command_without_its_dot_is_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(lambda: overview.main(words)) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize("main", [train.main, inspect.main])
def test_help_begins_with_three_examples(main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(lambda: main(["--help"])) == 0
    head, *examples, empty = capsys.readouterr().out.splitlines()[:5]
    assert (head, empty) == ("examples:", "")
    assert all(re.match(r"  python -m agegender\.\S+ .* # \w", line) for line in examples)


THERE = "and --data is there already: leave it out, or put a name with spaces in quotes"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["UTKFace.zip"], "'UTKFace.zip' belongs to no option: write --data UTKFace.zip. See --help."),
        (
            ["--data", "../faces", "extra"],
            f"'extra' belongs to no option, {THERE}. See --help.",
        ),
        (
            ["--data=my", "faces"],
            f"'faces' belongs to no option, {THERE}. See --help.",
        ),
        (["--learning-rate=0.1"], "unknown option --learning-rate: it is --lr here. See --help."),
        (["--frob"], "unknown option --frob. See --help."),
        (["--gpu"], "unknown option --gpu: it is --device cupy here. See --help."),
        (["--batch_size", "8"], "unknown option --batch_size. Did you mean '--batch-size'? See --help."),
        (["--resume", ""], "--resume is empty: name something, or leave it out"),
        (["--name", "a/b"], "--name is the name of a folder in --out, without '/', got a/b"),
        (
            ["--val", "x", "--val-fraction", "0.5"],
            "--val is the whole validation part: leave out --val-fraction, or --val",
        ),
    ],
)
def test_what_is_no_option_here_is_told_with_what_is(command: Command, words: list[str], message: str) -> None:
    done = command(*words)
    assert (done.code, done.err) == (2, f"error: {message}\n")


def test_leftovers_are_those_of_atomic_writes_alone(tmp_path: Path) -> None:
    for name in (".a.csv.12.tmp", ".tmp", "notes.tmp", ".hidden"):
        (tmp_path / name).touch()
    checkpoint.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", ".tmp", "notes.tmp"]
