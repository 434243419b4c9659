"""``python -m agegender.train --dry-run``: it raises the errors of a real run, and leaves nothing."""

import shutil
from pathlib import Path

import pytest
from commands import Command
from pictures import files, write_folder

pytestmark = pytest.mark.usefixtures("elsewhere", "without_pictures")


def test_a_dry_run_shows_the_model_and_writes_nothing(command: Command, utkface: Path, tmp_path: Path) -> None:
    done = command("--data", utkface, "--dry-run")
    assert done.code == 0
    assert "5,107,458" in done.out
    assert '"epochs": 30' in done.out
    assert command("--data", utkface, "--dry-run", "--json").summary["epochs"] == 30
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_what_the_run_would(
    command: Command, small: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(*small, "--name", "a")
    Path("file").touch()
    other = write_folder(tmp_path / "other", files(31))
    damaged = Path(shutil.copytree("runs/a", "runs/damaged"), "best.safetensors")
    damaged.write_bytes(b"damaged")
    for options in (
        [*small, "--name", ".."],
        [*small, "--name", "a", "--seed", 1],
        [*small, "--out", "file"],
        ["--resume", "a", "--epochs", 3, "--data", other],
        ["--resume", "damaged", "--epochs", 3],
    ):
        before = sorted(tmp_path.rglob("*"))
        dry, real = command(*options, "--dry-run"), command(*options)
        assert (dry.code, real.code) == (2, 2)
        assert dry.err.replace(" --dry-run", "") == real.err
        assert sorted(tmp_path.rglob("*")) == before
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=0))
    assert "a run needs" in command(*small, "--dry-run").err


def test_a_dry_run_of_a_resumed_run_changes_nothing_in_its_folder(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    Path("runs/a/.notes.csv.12.tmp").touch()
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    assert command("--resume", "a", "--epochs", 3, "--dry-run").code == 0
    assert {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()} == before
