"""Commands in messages can be pasted as they are, and keep the options of this call."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Command, printed
from pictures import files, write_folder

from agegender import parts, tasks, train
from agegender.report import figures
from agegender.report.pictures import Pictures
from agegender.runs.folder import write_json

pytestmark = pytest.mark.usefixtures("elsewhere", "without_pictures")
Stop = Callable[..., None]


def config(run: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(Path("runs", run, "config.json").read_text())
    return read


def newest() -> dict[str, Any]:
    return config(max(path.name for path in Path("runs").glob("2*")))


# Options that exclude each other


def test_a_share_for_validation_takes_the_place_of_a_validation_set_of_the_configuration(
    command: Command, small: tuple[object, ...], tmp_path: Path
) -> None:
    command(*small, "--val", write_folder(tmp_path / "other", files(8)), "--epochs", 1, "--name", "a")
    done = command("--resume", "a", "--epochs", 2, "--val-fraction", 0.1)
    assert printed(done) == ["--config", "runs/a/config.json", "--epochs", "2", "--val-fraction", "0.1"]
    assert command(*printed(done)).code == 0
    assert (newest()["val"], newest()["val_fraction"]) == (None, 0.1)
    Path("runs/a/config.json").unlink()
    done = command("--resume", "a", "--epochs", 2, "--val-fraction", 0.2)
    assert "--val" not in printed(done)
    assert command(*printed(done), "--name", "b").code == 0
    assert (config("b")["val"], config("b")["val_fraction"]) == (None, 0.2)


def test_a_share_takes_the_place_of_a_validation_set_where_nothing_was_saved_yet(
    command: Command, small: tuple[object, ...], tmp_path: Path, stop_at: Stop
) -> None:
    stop_at(2, MemoryError())
    command(*small, "--val", write_folder(tmp_path / "other", files(8)), "--name", "a")
    assert command("--resume", "a", "--val-fraction", 0.5).code == 0
    assert (config("a")["val"], config("a")["val_fraction"]) == (None, 0.5)


def test_a_validation_set_takes_the_place_of_a_share_that_only_the_state_knows(
    command: Command, small: tuple[object, ...], tmp_path: Path
) -> None:
    command(*small, "--val-fraction", 0.5, "--name", "a")
    Path("runs/a/config.json").unlink()
    done = command("--resume", "a", "--val", write_folder(tmp_path / "other", files(8)))
    assert command(*printed(done), "--name", "b").code == 0
    assert config("b")["val"] == str(tmp_path / "other")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--lr", "-1"], "--lr must be at least 0, got -1.0"),
        (["--val", "x", "--val-fraction", "0.5"], "--val replaces the split: leave out --val-fraction"),
        (["--model", "nosuch"], "there is no model 'nosuch'"),
    ],
)
def test_what_no_run_can_be_given_is_in_no_printed_command(
    command: Command, small: tuple[object, ...], options: list[str], told: str
) -> None:
    command(*small, "--name", "a")
    done = command("--resume", "a", *options)
    assert (done.code, done.err.startswith(f"error: {told}")) == (2, True)
    assert "python -m" not in done.err


# Missing files


@pytest.mark.parametrize("gone", [["config.json"], ["config.json", "env.json"]])
def test_options_that_no_file_tells_any_more_are_spelled_out(
    command: Command, small: tuple[object, ...], gone: list[str]
) -> None:
    command(*small, "--seed", 3, "--mirror", "--out", "my runs", "--name", "a")
    for name in gone:
        Path("my runs/a", name).unlink()
    done = command("--resume", "my runs/a", "--epochs", 3, *([] if "env.json" in gone else ["--lr", 0.1]))
    assert done.code == 2
    assert "--config" not in printed(done)
    assert command(*printed(done), "--name", "b").code == 0
    made = json.loads(Path("my runs/b/config.json").read_text())
    assert [made[name] for name in ("data", "model", "seed", "mirror", "batch_size")] == [
        str(small[1]), "small", 3, True, 7
    ]  # fmt: skip
    assert (made["epochs"], made["lr"]) == (3, 0.001 if "env.json" in gone else 0.1)


def test_a_run_that_tells_nothing_any_more_is_not_copied(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    Path("runs/a/config.json").unlink()
    Path("runs/a/last.state.safetensors").write_bytes(b"damaged")
    done = command("--resume", "a", "--data", small[1], "--epochs", 3)
    assert printed(done) == ["--data", str(small[1]), "--epochs", "3"]


# Options of this call


def test_a_new_run_with_other_faces_takes_as_many_damaged_files_and_epochs_as_were_asked_for(
    command: Command, small: tuple[object, ...], tmp_path: Path
) -> None:
    command(*small, "--out", "o", "--name", "a")
    half = write_folder(tmp_path / "half", {**files(10), **{f"UTKFace/30_0_0_{i}.jpg": b"damaged" for i in range(8)}})
    done = command("--resume", "o/a", "--data", half, "--max-skipped", 0.6, "--epochs", 3, "--json", "--quiet")
    assert f"{half} does not contain the faces of o/a" in done.err
    assert printed(done) == [
        *("--config", "o/a/config.json", "--out", "o", "--data", str(half), "--epochs", "3", "--max-skipped", "0.6"),
        *("--json", "--quiet"),
    ]
    assert command(*printed(done)).summary["epochs"] == 3


def test_where_the_options_could_not_be_written_the_command_that_goes_on_repeats_them(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(*small, "--name", "a")

    def refuse(path: Path, content: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(parts, "write_json", refuse)
        done = command("--resume", "a", "--epochs", 3, "--device", "numpy", "--profile")
    assert printed(done) == ["--resume", "runs/a", "--epochs", "3", "--device", "numpy", "--profile"]
    assert command(*printed(done)).code == 0
    assert config("a")["epochs"] == 3


def test_a_taken_name_is_gone_on_with_as_far_as_was_asked_for(
    command: Command, small: tuple[object, ...], stop_at: Stop, tmp_path: Path
) -> None:
    command(*small, "--name", "a")
    assert printed(command(*small, "--epochs", 3, "--name", "a")) == ["--resume", "runs/a", "--epochs", "3"]
    other = write_folder(tmp_path / "other", files(31))
    done = command(*small, "--data", other, "--epochs", 3, "--seed", 1, "--name", "a")
    assert printed(done) == ["--resume", "runs/a", "--epochs", "3"]
    assert command(*printed(done)).code == 0
    stop_at(2, MemoryError())
    command(*small, "--name", "b")
    done = command(*small, "--lr", 0.1, "--name", "b")
    assert printed(done) == ["--resume", "runs/b", "--lr", "0.1"]
    assert command(*printed(done)).code == 0
    assert config("b")["lr"] == 0.1


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_taken_name_of_a_finished_run_is_gone_on_with_beyond_what_it_has(
    command: Command, small: tuple[object, ...], epochs: int
) -> None:
    command(*small, "--name", "a")
    done = command(*small, "--name", "a", "--epochs", epochs)
    assert "choose another --name, or resume it for ten more epochs: python" in done.err
    assert printed(done) == ["--resume", "runs/a", "--epochs", "12"]
    going_on = command(*printed(done), "--dry-run")
    assert going_on.code == 0
    assert "nothing to do" not in going_on.out


def test_a_taken_name_of_a_run_that_was_stopped_is_gone_on_with_to_its_end(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    stop_at(6)
    command(*small, "--name", "a")
    for options in (["--epochs", 1], []):
        done = command(*small, "--name", "a", *options)
        assert printed(done) == ["--resume", "runs/a"]
    command(*printed(done))
    assert config("a")["epochs"] == json.loads(Path("runs/a/summary.json").read_text())["epochs"] == 2


# Missing folders and plots


@pytest.mark.parametrize("how", ["moved", "replaced"])
def test_a_folder_that_is_renamed_while_it_is_written_to_is_told_as_such(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    write = write_json

    def renamed(path: Path, content: Any) -> None:
        if path.name == "summary.json":
            Path("runs/a").rename("runs/b")
            if how == "replaced":
                Path("runs/a").touch()
        write(path, content)

    monkeypatch.setattr(train, "write_json", renamed)
    done = command(*small, "--name", "a")
    assert done.code == 2
    assert done.err.startswith("error: runs/a was removed or renamed during training, so nothing more is saved")
    assert printed(done) == ["--resume", "runs/NEW_NAME"]


def test_an_interrupted_run_whose_folder_is_gone_is_told_as_such(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(outputs: Any, targets: Any) -> Any:
        Path("runs/a").rename("runs/b")
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "loss", gone)
    assert "runs/a was removed or renamed during training" in command(*small, "--name", "a").err


def test_pictures_that_could_not_be_drawn_are_not_to_be_looked_at(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise ValueError("'nix' is not a valid value for backend")

    monkeypatch.setattr(figures, "learning_curves", fail)
    done = command(*small, "--name", "a")
    assert "see runs/a/plots/examples.png\n" in done.out
    Path("runs/a/plots/curves.png").touch()
    monkeypatch.setattr(Pictures, "examples", lambda *given: None)
    done = command("--resume", "a", "--epochs", 3)
    assert "see " not in done.out
    Path("runs/a/plots/examples.png").unlink()
    told = "a can be resumed: its plots/examples.png is missing; to write it: python -m agegender.train --resume runs/a"
    listed = command("--list")
    assert told in listed.out.splitlines()


def test_the_advice_of_a_finished_run_says_where_its_data_lie_now(
    command: Command, small: tuple[object, ...], utkface: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(utkface, tmp_path / "own")
    command(*small, "--data", own, "--epochs", 1, "--name", "a")
    moved = own.rename(tmp_path / "moved")
    done = command("--resume", "a", "--data", moved, "--quiet")
    assert "nothing to do" in done.out
    advice = done.out.splitlines()[-1].partition("python -m agegender.train ")[2].split()
    assert advice == ["--resume", "runs/a", "--data", str(moved), "--epochs", "11"]
