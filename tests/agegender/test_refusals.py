"""Data that cannot be used and runs that cannot be resumed raise errors whose advice works."""

import json
import sys
from pathlib import Path

import pytest
from commands import Command, printed
from pictures import files, write_folder

from agegender import cli

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.usefixtures("without_pictures")
def test_a_configuration_without_epochs_is_no_traceback(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    path = Path("runs/a/config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"epochs": None}))
    done = command("--resume", "a")
    assert (done.code, "was edited (epochs 2 -> null)" in done.err) == (2, True)


@pytest.mark.usefixtures("without_pictures")
def test_a_damaged_environment_says_how_to_go_on(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    for content in ("", "[]", "{}", '{"data": 1}'):
        Path("runs/a/env.json").write_text(content)
        done = command("--resume", "a", "--epochs", 3)
        assert done.code == 2
        assert "Restore the file, or start a new run: python" in done.err


@pytest.mark.parametrize("given", ["runs/a/config.json", "runs/a/last.safetensors", "a/best.safetensors"])
@pytest.mark.usefixtures("without_pictures")
def test_a_file_of_a_run_names_the_run(command: Command, small: tuple[object, ...], given: str) -> None:
    command(*small, "--name", "a")
    done = command("--resume", given)
    assert done.code == 2
    assert done.err.endswith("is a file of a run: resume its folder, python -m agegender.train --resume runs/a\n")
    assert "pass the file in it, runs/a/config.json" in command("--config", "runs/a").err


def test_a_name_that_no_file_system_takes_is_told(command: Command) -> None:
    assert "--name is longer than the 255 bytes" in command("--data", "nowhere", "--name", "ü" * 128).err


def test_a_share_that_leaves_nothing_to_train_with_is_named(command: Command, utkface: Path) -> None:
    done = command("--data", utkface, "--val-fraction", 0.99)
    assert "30 faces cannot be split into two parts that share no picture, with a fraction of 0.99" in done.err


def test_a_command_is_shown_in_the_characters_that_the_terminal_has(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr(sys, "stdout", Ascii())
    assert cli.command_line("train", "runs/ü") == r"train $'runs/\xc3\xbc'"


def test_data_that_is_no_folder_is_told(command: Command) -> None:
    Path("data").symlink_to("nowhere")
    assert "data is a link to nowhere, which does not exist" in command("--dry-run", "--limit", 20).out
    Path("data").unlink()
    Path("data").touch()
    assert "data is a file, not a folder" in command("--dry-run", "--limit", 20).out


def test_what_is_called_utkface_and_holds_no_face_is_not_offered(command: Command) -> None:
    write_folder(Path("data/UTKFace"), files(12))
    Path("data/UTKFace.zip").write_text("<!DOCTYPE html><html>log in</html>")
    out = command("--dry-run").out
    assert "12 faces from data/UTKFace; not used: data/UTKFace.zip is " in out
    assert "with --data)" not in out


@pytest.mark.usefixtures("without_pictures")
def test_the_command_of_a_new_run_has_what_was_asked_for(
    command: Command, small: tuple[object, ...], tmp_path: Path
) -> None:
    command(*small, "--name", "a")
    other = write_folder(tmp_path / "other faces", files(31))
    done = command("--resume", "a", "--data", other, "--epochs", 3)
    assert done.err.endswith(f"--config runs/a/config.json --data '{other}' --epochs 3\n")
    done = command("--resume", "a", "--lr", 0.5, "--epochs", 1)
    words = done.err.partition("start a new run: ")[2].split()[3:]
    assert words == ["--config", "runs/a/config.json", "--epochs", "1", "--lr", "0.5"]
    assert command(*words).code == 0
    assert json.loads(max(Path("runs").glob("2*/config.json")).read_text())["lr"] == 0.5


@pytest.mark.usefixtures("without_pictures")
def test_a_name_that_the_program_uses_itself_is_refused(command: Command, small: tuple[object, ...]) -> None:
    """Such a folder would be deleted an hour later."""
    done = command(*small, "--name", ".new-run-mine")
    assert (done.code, done.err.startswith("error: --name begins with '.new-run-', as folders of runs")) == (2, True)
    assert not Path("runs").exists()


@pytest.mark.parametrize("option", ["--name", "--out", "--data", "--resume", "--config", "--val"])
def test_a_name_with_a_nul_is_one_line(command: Command, option: str) -> None:
    done = command(option, "a\0b")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{option} has a NUL character" in done.err


@pytest.mark.usefixtures("without_pictures")
def test_thousands_of_folders_inside_one_another_are_refused_in_a_line(
    command: Command, small: tuple[object, ...]
) -> None:
    done = command(*small, "--out", "a/" * 2000)
    assert (done.code, done.err) == (2, "error: --out has 2,000 folders inside one another, too many to create\n")


@pytest.mark.usefixtures("without_pictures")
def test_control_characters_of_a_name_are_not_sent_to_the_terminal(
    command: Command, small: tuple[object, ...], tmp_path: Path
) -> None:
    command(*small, "--name", "a\x1b[31m")
    for done in (
        command(*small, "--name", "b\x1b[31m"),
        command("--resume", "a\x1b[31m", "--epochs", 3),
        command("--resume", "no\x1b[31m"),
        command("--list"),
    ):
        assert "\x1b" not in done.out + done.err
        assert "\\x1b[31m" in done.out + done.err
    assert "\x1b" not in Path("runs/a\x1b[31m/log.txt").read_text()


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("change", [{"lr": -1}, {"lr": 1e400}, {"batch_size": 0}, {"model": "none"}, {"limit": 1}])
def test_an_edit_that_no_run_could_have_is_refused_without_a_command_that_fails(
    command: Command, small: tuple[object, ...], change: dict[str, object]
) -> None:
    command(*small, "--name", "a")
    path = Path("runs/a/config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    done = command("--resume", "a", "--epochs", 3)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("error: runs/a/config.json: ")
    assert "python -m agegender.train" not in done.err


@pytest.mark.usefixtures("without_pictures")
def test_a_run_that_is_resumed_from_inside_its_folder_starts_no_other_one_there(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command(*small, "--name", "a")
    monkeypatch.chdir("runs/a")
    assert command("--resume", ".", "--epochs", 3).code == 0
    done = command("--resume", ".", "--lr", 0.5)
    assert printed(done)[:4] == ["--config", f"{tmp_path}/runs/a/config.json", "--out", f"{tmp_path}/runs"]
    monkeypatch.chdir("plots")
    assert command("--resume", "..", "--epochs", 4).code == 0
