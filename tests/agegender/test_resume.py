"""``python -m agegender.train --resume``: the printed command resumes any run exactly."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command, printed, weights
from pictures import files, write_folder

import minidl as md
from agegender import tasks
from agegender.options import Options
from agegender.runs.folder import Run
from agegender.runs.new import create
from minidl import checkpoint

pytestmark = pytest.mark.usefixtures("elsewhere", "without_pictures")
Stop = Callable[..., None]
STATE = "last.state.safetensors"


def config(run: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(Path("runs", run, "config.json").read_text())
    return read


# The printed command does what it says


def test_the_printed_command_goes_on_with_what_the_last_resume_asked_for(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    command(*small, "--epochs", 1, "--name", "a")
    stop_at(6)
    stopped = command("--resume", "a", "--epochs", 3, "--device", "numpy", "--json")
    assert stopped.code == 130
    assert (config("a")["epochs"], config("a")["device"]) == (3, "numpy")
    done = command(*printed(stopped))
    assert (done.code, done.summary["epochs"]) == (0, 3)
    command(*small, "--epochs", 3, "--name", "b")
    assert weights("runs/a") == weights("runs/b")


def test_the_printed_command_knows_where_the_data_were_moved(
    command: Command, small: tuple[object, ...], tmp_path: Path, stop_at: Stop
) -> None:
    write_folder(tmp_path / "faces", files(30))
    command(*small, "--data", tmp_path / "faces", "--epochs", 1, "--name", "a")
    (tmp_path / "faces").rename(tmp_path / "moved")
    stop_at(6)
    missing = command("--resume", "a", "--epochs", 3)
    assert missing.err.startswith("error: " + str(tmp_path / "faces") + " does not exist. ")
    assert missing.err.endswith(
        "If the data of runs/a were moved, pass their new path: "
        "python -m agegender.train --resume runs/a --data PATH --epochs 3\n"
    )
    stopped = command("--resume", "a", "--epochs", 3, "--data", "moved")
    assert stopped.code == 130
    assert command(*printed(stopped)).code == 0
    assert json.loads(Path("runs/a/env.json").read_text())["data"]["source"] == str(tmp_path / "moved")


@pytest.mark.parametrize("name", ["my run", "a;b", "-x", "$HOME", "it's"])
def test_the_printed_command_can_be_pasted_whatever_the_run_is_called(
    command: Command, small: tuple[object, ...], stop_at: Stop, name: str
) -> None:
    stop_at(6)
    stopped = command(*small, f"--name={name}", "--out=-o" if name == "-x" else "--out=my runs")
    assert stopped.code == 130
    assert command(*printed(stopped)).code == 0


def test_every_printed_command_takes_a_folder_that_begins_with_a_dash_for_a_folder() -> None:
    assert Run(Path("-o/x")).resume_command().endswith(" --resume ./-o/x")
    assert Run(Path("-o/x")).again_command(lr=1).endswith(" --config ./-o/x/config.json --out ./-o --lr 1")


def test_a_resumed_run_says_only_what_was_to_be_said(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    stop_at(6)
    stopped = command(*small, "--name", "a", "--quiet")
    assert printed(stopped) == ["--resume", "runs/a", "--quiet"]


# Runs that ended before the first save


@pytest.mark.parametrize("how", [RuntimeError("a bug"), KeyboardInterrupt(), MemoryError(), OSError(5, "I/O error")])
def test_a_run_that_ended_in_its_first_epoch_starts_again(
    command: Command, small: tuple[object, ...], stop_at: Stop, how: BaseException
) -> None:
    stop_at(2, how)
    if isinstance(how, RuntimeError):
        with pytest.raises(RuntimeError):
            command(*small, "--name", "a")
    else:
        done = command(*small, "--name", "a")
        assert done.code in (2, 130)
        assert isinstance(how, MemoryError) or printed(done) == ["--resume", "runs/a"]
    again = command(*small, "--name", "a")
    assert again.code == 2
    assert printed(again) == ["--resume", "runs/a"]
    done = command("--resume", "a")
    assert done.code == 0
    assert "runs/a ended before its first save: it starts from the beginning" in done.out
    command(*small, "--name", "b")
    assert weights("runs/a") == weights("runs/b")


def test_the_latest_run_is_resumed_also_if_it_ended_in_its_first_epoch(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    command(*small, "--name", "earlier")
    stop_at(2, KeyboardInterrupt())
    command(*small, "--name", "latest")
    assert "runs/latest ended before its first save" in command("--resume").out


def test_before_anything_is_saved_any_option_may_change(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    stop_at(2, MemoryError())
    assert command(*small, "--lr", 100, "--seed", 1, "--name", "a").code == 2
    done = command("--resume", "a", "--lr", 0.01, "--seed", 2)
    assert (done.code, config("a")["lr"], config("a")["seed"]) == (0, 0.01, 2)
    command(*small, "--lr", 0.01, "--seed", 2, "--name", "b")
    assert weights("runs/a") == weights("runs/b")


def test_a_folder_that_is_no_run_is_named_as_such(command: Command, small: tuple[object, ...]) -> None:
    write_folder(Path("runs/photos"), files(1))
    done = command(*small, "--name", "photos")
    assert (done.code, done.err) == (2, "error: runs/photos already exists and is not a run: choose another --name\n")
    done = command("--resume", "photos")
    assert (done.code, "runs/photos is not a run" in done.err) == (2, True)


def test_a_run_is_found_by_name_beside_a_folder_of_that_name(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--epochs", 1, "--name", "tests")
    Path("tests").mkdir()
    assert command("--resume", "tests", "--epochs", 2).code == 0


# Options that a resumed run accepts and rejects


@pytest.mark.parametrize(("options", "named"), [(["--name", "b"], "--name"), (["--config", "c.json"], "--config")])
def test_resuming_refuses_what_it_would_ignore(
    command: Command, small: tuple[object, ...], options: list[str], named: str
) -> None:
    command(*small, "--name", "a")
    done = command("--resume", "a", *options)
    assert done.code == 2
    assert f"leave out {named}, or --resume to start" in done.err
    assert not Path("runs/b").exists()


def edit(run: str, **changes: Any) -> None:
    Path("runs", run, "config.json").write_text(json.dumps(config(run) | changes))


def test_an_edited_configuration_is_told(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    edit("a", epochs=3)
    done = command("--resume", "a")
    assert "runs/a/config.json differs from what was saved: epochs 2 -> 3" in done.out
    assert (done.code, config("a")["epochs"]) == (0, 3)


def test_an_edited_configuration_is_refused_where_a_run_must_keep_it(
    command: Command, small: tuple[object, ...]
) -> None:
    command(*small, "--name", "a")
    before = weights("runs/a")
    edit("a", epochs=3, lr=0.5, seed=7)
    done = command("--resume", "a")
    assert done.code == 2
    assert (
        "runs/a/config.json was edited (lr 0.001 -> 0.5, seed 0 -> 7), but a resumed run keeps its options" in done.err
    )
    assert printed(done) == ["--config", "runs/a/config.json"]
    assert weights("runs/a") == before
    edit("a", seed=0, lr=0.001)
    assert command("--resume", "a").code == 0


def test_a_validation_set_cannot_be_edited_away(command: Command, small: tuple[object, ...], tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", files(8))
    command(*small, "--val", other, "--epochs", 1, "--name", "a")
    edit("a", val=None, epochs=2)
    done = command("--resume", "a")
    assert done.code == 2
    assert f'config.json was edited (val "{other}" -> null), but a resumed run keeps its options' in done.err


def test_an_option_taken_out_of_the_configuration_is_an_edit(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a", "--seed", 3)
    kept = config("a")
    del kept["seed"]
    Path("runs/a/config.json").write_text(json.dumps(kept | {"epochs": 3}))
    assert "seed 3 -> 0" in command("--resume", "a").err


def snapshot(run: str) -> dict[str, tuple[bytes, int]]:
    kept = [path for path in Path("runs", run).rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in kept}


def test_a_finished_run_has_nothing_left_to_do_and_stays_as_it_is(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    before = snapshot("a")
    for options in ([], ["--epochs", "1"]):
        done = command("--resume", "a", *options)
        assert done.code == 0
        assert "nothing to do: runs/a already has 2 epochs" in done.out
        assert printed(done) == ["--resume", "runs/a", "--epochs", "12"]
    assert command("--resume", "a", "--json").summary == json.loads(Path("runs/a/summary.json").read_text())
    assert snapshot("a") == before


def test_a_run_killed_after_its_last_epoch_still_gets_its_summary(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    Path("runs/a/summary.json").unlink()
    done = command("--resume", "a", "--json")
    assert (done.code, done.summary["epochs"]) == (0, 2)
    assert Path("runs/a/summary.json").is_file()


def test_a_run_that_got_more_epochs_and_was_stopped_is_not_finished(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    command(*small, "--name", "a")
    stop_at(11)  # an epoch has four steps and a validation batch
    assert command("--resume", "a", "--epochs", 5).code == 130
    assert command("--resume", "a", "--json").summary["epochs"] == 5


@pytest.mark.parametrize("call", [11, 13])
@pytest.mark.parametrize("edited", [False, True])
def test_fewer_epochs_than_an_unfinished_run_has_are_refused_and_nothing_changes(
    command: Command, small: tuple[object, ...], stop_at: Stop, call: int, edited: bool
) -> None:
    stop_at(call)  # four steps and a batch of validation are an epoch
    assert command(*small, "--epochs", 5, "--name", "a").code == 130
    if edited:
        path = Path("runs/a/config.json")
        path.write_text(json.dumps(config("a") | {"epochs": 1}))
    before = snapshot("a")
    done = command("--resume", "a", *([] if edited else ["--epochs", 1]))
    assert done.code == 2
    assert "--epochs 1: runs/a has 2 epochs already, of 5. Continue with: " in done.err
    assert snapshot("a") == before
    assert printed(done) == ["--resume", "runs/a", "--epochs", "5"]
    assert command(*printed(done), "--json").summary["epochs"] == 5


# Counters and saved values


def test_the_time_of_a_run_is_that_of_all_its_calls(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter(range(0, 10**9, 3600))
    clock = {"now": 0.0}
    monkeypatch.setattr("agegender.train.time.monotonic", lambda: clock["now"])
    original = tasks.loss

    def slow(outputs: Any, targets: Any) -> Any:
        clock["now"] += 100.0
        return original(outputs, targets)

    monkeypatch.setattr(tasks, "loss", slow)
    first = command(*small, "--epochs", 1, "--name", "a", "--json").summary["seconds"]
    assert first == 500.0, "four steps and a validation batch"
    clock["now"] = next(hours)
    both = command("--resume", "a", "--epochs", 2, "--json").summary
    assert both["seconds"] == 1000.0
    assert both["images_per_second"] > 0


def test_what_a_killed_save_has_left_is_cleared_when_its_run_goes_on(
    command: Command, small: tuple[object, ...]
) -> None:
    command(*small, "--name", "a")
    command(*small, "--name", "other")
    leftovers = [Path("runs", run, f".{STATE}.4711.tmp") for run in ("a", "other")]
    for path in leftovers:
        path.write_bytes(b"half")
    command("--resume", "a", "--epochs", 3)
    assert [path.exists() for path in leftovers] == [False, True]


def test_runs_that_start_in_the_same_second_get_names_of_their_own(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agegender.runs.new.time.strftime", lambda *form: "20260101-000000")
    made = [create(Options(), {}).folder.name for _ in range(12)]
    assert made[0] == "20260101-000000-documented"
    assert made[1:3] == ["20260101-000000-documented-2", "20260101-000000-documented-3"]
    assert len(set(made)) == 12


def test_data_that_changed_where_they_lie_are_told_as_such(
    command: Command, small: tuple[object, ...], tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "faces", files(30))
    command(*small, "--data", folder, "--name", "a")
    write_folder(folder, files(31))
    done = command("--resume", "a", "--epochs", 3)
    assert done.code == 2
    assert f"{folder} has changed since runs/a was started (faces: 30 then, 31 now)" in done.err
    assert done.err.count(str(folder)) == 1
    assert printed(done) == ["--config", "runs/a/config.json", "--epochs", "3"]


@pytest.mark.parametrize("content", ["{}", '{"data": 3}', '{"data": {}}', "[]", "", "\xff", "[" * 100_000])
def test_an_environment_file_that_was_damaged_is_one_line(
    command: Command, small: tuple[object, ...], content: str
) -> None:
    command(*small, "--name", "a")
    Path("runs/a/env.json").write_text(content, encoding="latin-1")
    done = command("--resume", "a", "--epochs", 3)
    assert done.code == 2
    assert done.err.startswith("error: runs/a/env.json ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("validation", ["abc", {}, {"fingerprint": None}, 5, [], True, None])
def test_an_environment_file_whose_validation_set_was_damaged_is_one_line(
    command: Command, small: tuple[object, ...], tmp_path: Path, validation: Any
) -> None:
    command(*small, "--val", write_folder(tmp_path / "other", files(8)), "--name", "a")
    path = Path("runs/a/env.json")
    content = json.loads(path.read_text())
    content["data"]["validation"] = validation
    path.write_text(json.dumps(content))
    done = command("--resume", "a", "--epochs", 3)
    assert done.code == 2
    assert done.err.startswith("error: runs/a/env.json cannot be read: 'data.validation")
    assert "Restore the file, or start a new run: python -m" in done.err
    assert done.err.count("\n") == 1


def test_an_environment_file_that_lost_its_validation_set_is_one_line(
    command: Command, small: tuple[object, ...], tmp_path: Path
) -> None:
    command(*small, "--val", write_folder(tmp_path / "other", files(8)), "--name", "a")
    path = Path("runs/a/env.json")
    content = json.loads(path.read_text())
    del content["data"]["validation"]
    path.write_text(json.dumps(content))
    done = command("--resume", "a", "--epochs", 3)
    assert done.err.startswith("error: runs/a/env.json: 'data.validation' is missing, so the data that the run")


@pytest.mark.parametrize(
    "split", ["", "name,part\n", lambda text: text.replace("train", "validation", 1), lambda text: text[:-3]]
)
def test_a_run_goes_on_only_with_the_split_that_it_has(
    command: Command, small: tuple[object, ...], split: str | Callable[[str], str]
) -> None:
    command(*small, "--name", "a")
    path = Path("runs/a/split.csv")
    before = path.read_text()
    path.write_text(split if isinstance(split, str) else split(before))
    kept = snapshot("a")
    for options in ([], ["--dry-run"]):
        done = command("--resume", "a", "--epochs", 3, *options)
        assert done.code == 2
        assert done.err.startswith("error: runs/a/split.csv is not the split that is drawn from the data now: training")
        assert printed(done)[:2] == ["--config", "runs/a/config.json"]
        assert snapshot("a") == kept
    path.unlink()
    assert command("--resume", "a", "--epochs", 3).code == 0
    assert path.read_text() == before


def test_a_run_that_gets_a_validation_set_before_its_first_save_has_no_split_of_another(
    command: Command, small: tuple[object, ...], stop_at: Stop, tmp_path: Path
) -> None:
    other = write_folder(tmp_path / "other", files(8))
    stop_at(2, MemoryError())
    command(*small, "--name", "a")
    assert Path("runs/a/split.csv").exists()
    stop_at(2, MemoryError())
    command("--resume", "a", "--val", other)
    assert not Path("runs/a/split.csv").exists()
    assert Path("runs/a/skipped_validation.csv").exists()
    assert command("--resume", "a", "--val-fraction", 0.3).code == 0
    assert Path("runs/a/split.csv").exists()
    assert not Path("runs/a/skipped_validation.csv").exists()


@pytest.mark.parametrize(("option", "kind"), [("lr", "float"), ("max_skipped", "float"), ("val_fraction", "float")])
def test_a_number_of_400_digits_in_a_configuration_is_one_line(
    command: Command, small: tuple[object, ...], option: str, kind: str
) -> None:
    command(*small, "--name", "a")
    edit("a", **{option: 10**400})
    for words in (["--resume", "a", "--epochs", 3], ["--config", "runs/a/config.json", "--name", "b"]):
        done = command(*words)
        assert done.code == 2
        assert done.err.startswith(f"error: runs/a/config.json: '{option}' must be {kind}, got 1000")
        assert len(done.err) < 400


@pytest.mark.parametrize("name", ["config.json", STATE])
@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"{}"])
def test_a_run_whose_files_were_damaged_is_one_line(
    command: Command, small: tuple[object, ...], name: str, content: bytes
) -> None:
    command(*small, "--name", "a")
    Path("runs/a", name).write_bytes(content)
    done = command("--resume", "a", "--epochs", 3)
    assert done.code == 2
    assert done.err.startswith(f"error: runs/a/{name} ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "notes",
    [
        {"epoch": "x"},
        {"epoch": "1", "config": "{"},
        {"epoch": "1", "config": "[1]"},
        {"epoch": "1", "config": '[["epochs", 1]]'},
        {"epoch": "1", "config": '{"epochs": "many"}'},
        {"epoch": "[" * 100_000},
    ],
)
def test_notes_that_cannot_be_read_are_one_line(
    command: Command, small: tuple[object, ...], notes: dict[str, str]
) -> None:
    command(*small, "--name", "a")
    checkpoint.save(f"runs/a/{STATE}", {"w": np.zeros(1)}, notes)
    done = command("--resume", "a")
    assert (done.code, "is damaged" in done.err, done.err.count("\n")) == (2, True, 1)


def test_a_second_signal_does_not_spoil_what_the_first_saved(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    stop_at(7, signal.SIGTERM)
    assert command(*small, "--epochs", 3, "--name", "a").code == 130
    assert command("--resume", "a").code == 0
    command(*small, "--epochs", 3, "--name", "whole")
    assert weights("runs/a") == weights("runs/whole")
    assert md.load("runs/a/best.safetensors").keys() == md.load("runs/whole/best.safetensors").keys()


@pytest.mark.parametrize("name", [STATE, "best.safetensors", "env.json"])
def test_a_run_that_lost_a_file_says_so_and_loses_no_more(
    command: Command, small: tuple[object, ...], name: str
) -> None:
    command(*small, "--name", "a")
    Path("runs/a", name).unlink()
    before = snapshot("a")
    done = command("--resume", "a", "--epochs", 3)
    assert done.code == 2
    assert name in done.err
    assert printed(done) == ["--config", "runs/a/config.json", "--epochs", "3"]
    assert snapshot("a") == before


def test_a_state_that_was_saved_without_notes_goes_on(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    path = f"runs/a/{STATE}"
    checkpoint.save_state(path, checkpoint.load_state(path))
    Path("runs/a/summary.json").unlink()
    assert command("--resume", "a", "--epochs", 3, "--json").summary["epochs"] == 3
    command(*small, "--epochs", 3, "--name", "b")
    assert weights("runs/a") == weights("runs/b")


def test_an_empty_folder_may_become_a_run_and_a_begun_one_is_none(command: Command, small: tuple[object, ...]) -> None:
    Path("runs/a").mkdir(parents=True)
    begun = Path("runs/.new-run-4711")
    begun.mkdir()
    (begun / "config.json").write_text("{}")
    assert command(*small, "--name", "a").code == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == [".new-run-4711", "a"]
    assert command("--resume").out.startswith("nothing to do: runs/a ")


def test_a_state_of_a_version_with_other_options_goes_on(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    path = f"runs/a/{STATE}"
    notes = checkpoint.read_metadata(path)
    old = json.dumps({**json.loads(notes["config"]), "an_old_option": 1})
    checkpoint.save_state(path, checkpoint.load_state(path), {**notes, "config": old})
    assert command("--resume", "a", "--epochs", 3).code == 0


def test_a_damaged_configuration_may_be_deleted(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    Path("runs/a/config.json").write_text("{")
    assert "Delete it to resume with the saved options" in command("--resume", "a").err
    Path("runs/a/config.json").unlink()
    assert command("--resume", "a", "--epochs", 3).code == 0
    assert config("a")["model"] == "small"


def test_a_run_interrupted_while_its_pictures_are_drawn_gets_them(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    Path("runs/a/plots/examples.png").unlink()
    done = command("--resume", "a")
    assert (done.code, "see runs/a/plots/curves.png" in done.out) == (0, True)
    assert Path("runs/a/plots/examples.png").is_file()


def test_places_with_a_tilde_that_the_shell_left_are_those_of_the_user(
    command: Command, small: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "own", files(6))
    assert command(*small, "--out", "~/mine", "--name", "a", "--val", "~/own").code == 0
    assert "2 of 2" in command("--list", "--out", "~/mine").out
    assert command("--resume", "~/mine/a", "--epochs", 3).code == 0
    assert command("--config", "~/mine/a/config.json", "--name", "b").code == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["a"]
