"""Concurrent runs, damaged files and failing disks: nothing is lost, and the advice in messages works."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command, printed, weights

import minidl as md
from agegender import tasks, train
from agegender.data.files import ABANDONED_SECONDS
from agegender.runs import lock
from agegender.runs.folder import write_json
from minidl import checkpoint, viz
from minidl.callbacks import StopOnSignal
from minidl.command import UsageError
from minidl.files import atomic_write

pytestmark = pytest.mark.usefixtures("elsewhere")
Stop = Callable[..., None]


@pytest.mark.usefixtures("without_pictures")
def test_a_run_is_trained_by_one_process_and_the_list_says_so(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    stop_at(6)
    command(*small, "--name", "a")
    before = weights("runs/a")
    with lock.holding(Path("runs/a")):
        done = command("--resume", "a")
        assert done.code == 2
        assert "another process is training runs/a: wait until it ends. It is process" in done.err
        assert json.loads(command("--list", "--json").out)[0]["state"] == "running"
    assert weights("runs/a") == before
    assert command("--resume", "a").code == 0
    assert json.loads(command("--list", "--json").out)[0]["state"] == "finished"


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_run_whose_folder_is_taken_away_writes_nothing_more(
    command: Command,
    small: tuple[object, ...],
    stop_at: Stop,
    monkeypatch: pytest.MonkeyPatch,
    stopped: bool,
    again: bool,
) -> None:
    """Neither at the end of an epoch nor if the same step stops the training inside it."""
    if stopped:
        stop_at(6)
    loss, calls = tasks.loss, []

    def moved(outputs: Any, targets: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:
            Path("runs/a").rename("runs/b")
            if again:
                Path("runs/a").mkdir()
        return loss(outputs, targets)

    monkeypatch.setattr(tasks, "loss", moved)
    done = command(*small, "--name", "a")
    assert done.code == 2
    assert "runs/a was removed or renamed during training, so nothing more is saved: restore it" in done.err
    assert not any(Path("runs").glob("a/*"))
    assert command("--resume", "b").code == 0


@pytest.mark.usefixtures("without_pictures")
def test_a_run_that_another_process_trains_is_not_said_to_have_ended(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    stop_at(2, MemoryError())
    command(*small, "--name", "a")
    with lock.holding(Path("runs/a")):
        done = command("--resume", "a")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("error: another process is training runs/a: wait until it ends")


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from agegender.runs import lock\n"
        f"with lock.holding(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert lock.is_held(tmp_path)
        told = rf"another process is training .*: kill {process.pid}$"
        with pytest.raises(UsageError, match=told), lock.holding(tmp_path):
            pass
        process.kill()
        process.wait()
    assert not lock.is_held(tmp_path)
    with lock.holding(tmp_path):
        pass


@pytest.mark.usefixtures("without_pictures")
def test_the_process_that_trains_a_run_is_named_with_the_command_that_stops_it(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(*small, "--name", "a")
    files = {path.name for path in Path("runs/a").iterdir()}
    with lock.holding(Path("runs/a")):
        process = f"process {os.getpid()}; stop it with: kill {os.getpid()}"
        assert command("--resume", "a", "--epochs", 3).err.endswith(f"wait until it ends. It is {process}\n")
        assert f"\na is running: {process}\n" in command("--list").out
        assert json.loads(command("--list", "--json").out)[0]["process"] == process
        monkeypatch.setattr(lock.platform, "node", lambda: "elsewhere")
        assert "kill" not in command("--resume", "a", "--epochs", 3).err, "there that is another process"
    assert {path.name for path in Path("runs/a").iterdir()} == files
    assert json.loads(command("--list", "--json").out)[0]["process"] is None


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("damage", [b"", b"changed"])
def test_damaged_best_weights_are_noticed_before_the_epochs_that_follow(
    command: Command, small: tuple[object, ...], damage: bytes
) -> None:
    command(*small, "--name", "a")
    best = Path("runs/a/best.safetensors")
    best.write_bytes(best.read_bytes()[: -len(damage)] + damage if damage else b"")
    before = weights("runs/a")
    done = command("--resume", "a", "--epochs", 3)
    assert done.code == 2
    assert f"{best} cannot be loaded" in done.err
    assert done.err.endswith("Or start a new run: python -m agegender.train --config runs/a/config.json --epochs 3\n")
    assert weights("runs/a") == before


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("place", [-1, 100, 4])
def test_a_damaged_state_says_which_weights_are_whole_and_how_to_start_again(
    command: Command, small: tuple[object, ...], place: int
) -> None:
    """Bytes of its arrays, of its description, and of the length of its header."""
    command(*small, "--name", "a")
    state = Path("runs/a/last.state.safetensors")
    content = bytearray(state.read_bytes())
    content[place] ^= 0x40
    state.write_bytes(content)
    done = command("--resume", "a", "--epochs", 3)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{state} cannot be loaded: " in done.err
    assert " The weights of the best epoch are whole: runs/a/best.safetensors. Or start a new run: python" in done.err
    assert command(*printed(done)).code == 0


@pytest.mark.usefixtures("without_pictures")
def test_a_run_killed_before_its_state_was_saved_ends_with_the_weights_of_the_epochs_that_it_has(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of the third epoch are on disk, its state is not, and two epochs are enough now."""
    save, saved = checkpoint.save_state, []

    def killed(*arguments: Any) -> None:
        saved.append(1)
        if len(saved) == 3:
            raise KeyboardInterrupt
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save_state", killed)
    command(*small, "--epochs", 3, "--name", "a")
    notes = [checkpoint.read_metadata(f"runs/a/{name}.safetensors")["epoch"] for name in ("best", "last", "last.state")]
    assert notes == ["3", "3", "2"]
    done = command("--resume", "a", "--epochs", 2, "--json")
    assert (done.code, "warning" in done.err, done.summary["best_epoch"]) == (0, False, 2)
    command(*small, "--epochs", 2, "--name", "b")
    for name in ("best.safetensors", "last.safetensors"):
        assert Path("runs/a", name).read_bytes() == Path("runs/b", name).read_bytes()


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("call", [1, 2, 4])
def test_a_run_that_was_stopped_in_its_first_epoch_goes_on_there(
    command: Command, small: tuple[object, ...], stop_at: Stop, call: int
) -> None:
    command(*small, "--name", "whole")
    stop_at(call)
    done = command(*small, "--name", "a")
    assert done.code == 130
    assert Path("runs/a/last.state.safetensors").exists()
    assert not Path("runs/a/best.safetensors").exists()
    assert command("--resume", "a").code == 0
    assert weights("runs/a") == weights("runs/whole")


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("file", "change", "state"),
    [
        ("config.json", {"epochs": float("inf")}, "damaged: "),
        ("config.json", {"lr": 10**400}, "finished"),
        *(
            ("summary.json", change, "can be resumed: its summary.json is damaged or outdated; to write it: python -m")
            for change in (
                {"age_mae": float("nan")},
                {"gender_accuracy": float("inf")},
                {"gender_accuracy": 10**400},
                {"age_mae": "many"},
                {"no_better_than_guessing": 3},
                {"no_better_than_guessing": [5]},
                {"no_better_than_guessing": [["age_mae"]]},
            )
        ),
    ],
)
def test_a_value_that_makes_no_sense_spoils_no_list(
    command: Command, small: tuple[object, ...], file: str, change: dict[str, Any], state: str
) -> None:
    command(*small, "--name", "a")
    command(*small, "--name", "b", "--seed", 1)
    path = Path("runs/a", file)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    done = command("--list", "--json")
    assert "NaN" not in done.out
    assert "Infinity" not in done.out
    states = {Path(fact["run"]).name: fact["state"] for fact in json.loads(done.out)}
    assert states["a"].startswith(state)
    assert states["b"] == "finished"
    assert command("--list").code == 0
    done = command("--resume", "a")
    assert done.code == (2 if file == "config.json" else 0)
    assert done.err.count("\n") == done.code / 2


@pytest.mark.usefixtures("without_pictures")
def test_where_there_are_no_locks_a_line_says_so_and_training_goes_on(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    done = command(*small, "--name", "a")
    warning = "warning: runs/a cannot be locked ({}): make sure that no other process trains it"
    assert (done.code, done.out.count(warning.format("No locks available"))) == (0, 1)
    assert json.loads(command("--list", "--json").out)[0]["state"] == "finished"
    with monkeypatch.context() as windows:
        windows.setattr(lock.sys, "platform", "win32")
        assert lock._locked(Path("runs/a"), 1) == (None, "Windows cannot lock folders")
        assert not lock.is_held(Path("runs/a"))


@pytest.mark.usefixtures("without_pictures")
def test_the_name_of_a_run_that_is_going_on_is_not_offered_to_go_on_with(
    command: Command, small: tuple[object, ...]
) -> None:
    command(*small, "--name", "a")
    with lock.holding(Path("runs/a")):
        done = command(*small, "--name", "a")
    assert done.err == "error: another process is training the run runs/a: choose another --name\n"


@pytest.mark.parametrize("interrupted", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_picture_is_whole_or_it_is_drawn_when_the_run_goes_on(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch, interrupted: BaseException
) -> None:
    savefig = viz.Figure.savefig

    def torn(figure: Any, file: Any, **options: Any) -> None:
        savefig(figure, file, **options)
        if "examples" in file.name:
            raise interrupted

    monkeypatch.setattr(viz.Figure, "savefig", torn)
    done = command(*small, "--name", "a")
    examples = Path("runs/a/plots/examples.png")
    assert not examples.exists()
    assert "gender accuracy" in done.out, "the result is printed before the plots are drawn"
    monkeypatch.setattr(viz.Figure, "savefig", savefig)
    assert command("--resume", "a").code == 0
    assert examples.read_bytes()[:4] == b"\x89PNG"
    assert {path.name for path in examples.parent.iterdir()} == {"curves.png", "examples.png"}


def test_an_earlier_picture_stays_where_a_new_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viz.Picture(1, 1).savefig(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"], "matplotlib adds the suffix"
    before = (tmp_path / "a.png").read_bytes()

    def full(figure: Any, file: Any, **options: Any) -> None:
        file.write(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(viz.Figure, "savefig", full)
    with pytest.raises(OSError, match="No space left"):
        viz.Picture(1, 1).savefig(tmp_path / "a.png")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.png": before}


@pytest.mark.usefixtures("without_pictures")
def test_the_result_is_said_where_the_summary_cannot_be_written(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = write_json

    def refuse(path: Path, content: Any) -> None:
        if path.name == "summary.json":
            raise OSError(errno.EACCES, "Permission denied", str(path))
        write(path, content)

    monkeypatch.setattr(train, "write_json", refuse)
    done = command(*small, "--name", "a")
    assert done.code == 2
    assert "gender accuracy" in done.out
    assert "runs/a/summary.json: Permission denied. After fixing this, resume with: python" in done.err


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_wait_for_its_disk_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with atomic_write(tmp_path / "a") as file:
        file.write(b"text")
    assert (tmp_path / "a").read_bytes() == b"text"


def test_a_disk_that_fails_after_the_rename_is_named_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=str(tmp_path / "a")), atomic_write(tmp_path / "a") as file:
        file.write(b"text")


@pytest.mark.usefixtures("without_pictures")
def test_what_a_killed_start_has_left_is_cleared_after_an_hour(command: Command, small: tuple[object, ...]) -> None:
    old, new = Path("runs/.new-run-1"), Path("runs/.new-run-2")
    for folder in (old, new):
        (folder / "plots").mkdir(parents=True)
    for path in (old / "plots", old):
        os.utime(path, (time.time() - ABANDONED_SECONDS - 1,) * 2)
    command(*small, "--name", "a")
    assert sorted(path.name for path in Path("runs").iterdir()) == [".new-run-2", "a"]


def test_a_signal_in_a_write_that_does_not_return_stops_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The handler's message would be written to the stream whose write was interrupted by the signal."""

    class Busy:
        def write(self, text: str) -> int:
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    x = np.ones((4, 1), np.float32)
    loader = md.data.DataLoader(md.data.ArrayDataset(x, x), batch_size=1)
    model = md.nn.Dense(1, 1)
    trainer = md.Trainer(model, md.nn.functional.mse_loss, md.optim.SGD(model.parameters(), lr=0.1))
    stop = StopOnSignal()

    class Signals(md.Callback):
        def on_step_end(self, trainer: md.Trainer) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    trainer.callbacks += [stop, Signals()]
    monkeypatch.setattr(sys, "stderr", Busy())
    trainer.fit(loader)
    assert (stop.received, trainer.optimizer.steps) == (signal.SIGINT, 1)


def test_output_to_a_pipe_that_does_not_block_is_complete() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    program = (
        "from minidl import command\ncommand.run(lambda: print(*('x' * 99 for _ in range(20_000)), sep='\\n') or 0)"
    )
    got: list[bytes] = []

    def read() -> None:
        time.sleep(0.5)
        with os.fdopen(reading, "rb") as file:
            got.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run([sys.executable, "-c", program], stdout=writing, check=False)
    os.close(writing)
    reader.join()
    assert (done.returncode, len(got[0])) == (0, 2_000_000)
