"""``python -m agegender.train``: its output, resuming, and errors for invalid input."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command, printed, weights
from pictures import encode, files, write_folder, write_tar
from PIL import Image

import minidl as md
from agegender import data, tasks, train
from agegender.data import places
from agegender.data.decode import grey
from agegender.report import figures, results
from minidl import nn
from minidl.data import DataLoader
from minidl.testing.strict import StrictBackend
from minidl.viz import Picture

pytestmark = pytest.mark.usefixtures("elsewhere")
AGAIN = (
    "error: a resumed run keeps its options: leave out {}, or start a new run: "
    "python -m agegender.train --config runs/{}/config.json {}\n"
)
KEPT = {
    "config.json", "env.json", "metrics.csv", "log.txt", "last.safetensors", "best.safetensors",
    "last.state.safetensors", "plots", "summary.json", "skipped.csv", "split.csv",
}  # fmt: skip


def test_a_run_leaves_everything(command: Command, utkface: Path) -> None:
    done = command("--data", utkface, "--epochs", 2, "--batch-size", 8, "--json", "--name", "mine")
    assert done.code == 0
    folder = Path("runs/mine")
    assert {path.name for path in folder.iterdir()} == KEPT
    assert {path.name for path in (folder / "plots").iterdir()} == {"curves.png", "examples.png"}
    summary = done.summary
    assert summary == json.loads((folder / "summary.json").read_text())
    assert (summary["epochs"], summary["train_images"], summary["val_images"]) == (2, 24, 6)
    assert {"gender_accuracy", "age_mae", "best_epoch", "last_gender_accuracy", "last_age_mae"} <= set(summary)
    assert {"baseline_gender_accuracy", "baseline_age_mae", "seconds", "images_per_second", "run"} <= set(summary)
    environment, config = (json.loads((folder / name).read_text()) for name in ("env.json", "config.json"))
    assert environment["precision"] == config["precision"] == summary["precision"] == "float32"
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert summary["gender_accuracy"] == float(best["val_gender_accuracy"])
    assert summary["age_mae"] == float(best["val_age_mae"])
    assert json.loads((folder / "env.json").read_text())["data"]["faces"] == 30
    assert "epoch 2/2" in (folder / "log.txt").read_text()
    assert "epoch 2/2" in done.err, "with --json the progress goes to stderr"
    assert len(done.out.splitlines()) == 1


@pytest.mark.usefixtures("without_pictures")
def test_the_summary_is_what_the_best_weights_give(command: Command, utkface: Path) -> None:
    done = command("--data", utkface, "--epochs", 2, "--batch-size", 8, "--json", "--quiet")
    from agegender import data, models

    faces = data.open(utkface)
    part = faces.subset(data.split(faces).validation)
    model = models.build("documented")
    model.load_state_dict(md.load(Path(done.summary["run"]) / "best.safetensors"))
    images, targets = part.batch(np.arange(len(part)))
    with md.no_grad():
        outputs = {name: y.data for name, y in model(md.tensor(images)).items()}
    assert tasks.age_mae(outputs, targets) == pytest.approx(done.summary["age_mae"], rel=1e-5)
    assert tasks.gender_accuracy(outputs, targets) == pytest.approx(done.summary["gender_accuracy"])


@pytest.mark.usefixtures("without_pictures")
def test_the_same_command_gives_the_same_weights_and_another_seed_others(
    command: Command, small: tuple[object, ...]
) -> None:
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        command(*small, "--seed", seed, "--name", name)
    assert weights("runs/a") == weights("runs/b") != weights("runs/c")


@pytest.mark.usefixtures("without_pictures")
def test_a_config_repeats_its_run(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--seed", 5, "--optimizer", "sgd", "--name", "a")
    command("--config", "runs/a/config.json", "--name", "b")
    assert weights("runs/a") == weights("runs/b")
    assert Path("runs/a/config.json").read_bytes() == Path("runs/b/config.json").read_bytes()


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("number", "model"),
    [
        (signal.SIGINT, "small"),
        (signal.SIGTERM, "small"),
        pytest.param(signal.SIGINT, "documented", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_resumes_as_if_nothing_had_been(
    command: Command, small: tuple[object, ...], stop_at: Callable[..., None], number: signal.Signals, model: str
) -> None:
    options = (*small, "--model", model, "--epochs", 3, "--batch-size", 8)
    command(*options, "--name", "whole")
    stop_at(6, number)  # in the second epoch: each has three steps and one validation batch
    done = command(*options, "--name", "stopped")
    assert done.code == 130
    assert f"python -m agegender.train --resume {Path('runs/stopped')}" in done.out
    assert len(Path("runs/stopped/metrics.csv").read_text().splitlines()) == 2
    done = command("--resume", "stopped", "--json")
    assert done.code == 0
    assert weights("runs/stopped") == weights("runs/whole")
    assert Path("runs/stopped/metrics.csv").read_bytes() == Path("runs/whole/metrics.csv").read_bytes()
    assert done.summary["epochs"] == 3


@pytest.mark.usefixtures("without_pictures")
def test_a_finished_run_can_get_more_epochs(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--epochs", 3, "--name", "three")
    command(*small, "--epochs", 2, "--name", "two")
    assert command("--resume", "--epochs", 3).code == 0
    assert weights("runs/two") == weights("runs/three")


@pytest.mark.usefixtures("without_pictures")
def test_resuming_refuses_other_options_and_other_data(
    command: Command, small: tuple[object, ...], utkface: Path, tmp_path: Path
) -> None:
    command(*small, "--epochs", 1, "--name", "a")
    done = command("--resume", "a", "--lr", 0.1, "--seed", 3)
    assert (done.code, done.err) == (2, AGAIN.format("--lr, --seed", "a", "--lr 0.1 --seed 3"))
    done = command("--resume", "a", "--epochs", 2, "--val", utkface)
    assert (done.code, done.err) == (2, AGAIN.format("--val", "a", f"--epochs 2 --val {utkface}"))
    config = json.loads(Path("runs/a/config.json").read_text())
    other = write_folder(tmp_path / "other", files(31))
    Path("runs/a/config.json").write_text(json.dumps(config | {"data": str(other)}))
    done = command("--resume", "a", "--epochs", 2)
    assert done.code == 2
    assert f"other does not contain the faces of runs/a, last read from {utkface}. Pass their" in done.err
    assert printed(done) == ["--config", "runs/a/config.json", "--data", str(other), "--epochs", "2"]


def test_a_validation_set_of_its_own(command: Command, small: tuple[object, ...], tmp_path: Path) -> None:
    content = files(11) | {"notes.txt": b""}
    first = next(iter(content))
    content[first] = encode(Image.fromarray(grey(content[first])), "PNG")  # the same pixels
    other = write_tar(tmp_path / "other.tar.gz", content)
    done = command(*small, "--val", other, "--epochs", 1, "--json")
    assert (done.summary["train_images"], done.summary["val_images"]) == (30, 11)
    run = Path(done.summary["run"])
    known = json.loads((run / "env.json").read_text())["data"]
    assert (known["faces"], known["validation"]["faces"]) == (30, 11)
    assert "notes.txt" in (run / "skipped_validation.csv").read_text()
    assert "warning: the training data contain 11 pictures of" in done.err
    assert "the training data contain" in (run / "log.txt").read_text()
    write_tar(other, files(12))
    resumed = command("--resume", run, "--epochs", 2)
    assert resumed.code == 2
    assert f"{other} has changed since {run} was started (faces: 11 then, 12 now)" in resumed.err


@pytest.mark.usefixtures("without_pictures")
def test_a_run_goes_on_in_another_folder_and_with_data_that_were_moved(
    command: Command, small: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "faces", files(12))
    command(*small, "--data", "faces", "--epochs", 1, "--name", "a")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command("--resume", "../runs/a", "--epochs", 2).code == 0
    (tmp_path / "faces").rename(tmp_path / "moved")
    done = command("--resume", "../runs/a", "--epochs", 3)
    assert (done.code, "does not exist" in done.err) == (2, True)
    assert command("--resume", "../runs/a", "--epochs", 3, "--data", "../moved").code == 0


@pytest.mark.usefixtures("without_pictures")
def test_a_limit_draws_a_sample(command: Command, utkface: Path) -> None:
    done = command("--data", utkface, "--limit", 10, "--epochs", 1, "--json", "--name", "few")
    assert (done.summary["train_images"], done.summary["val_images"]) == (8, 2)
    with Path("runs/few/split.csv").open() as file:
        drawn = [row["name"] for row in csv.DictReader(file)]
    assert sorted(drawn) != sorted(path.name for path in utkface.rglob("*.jpg"))[:10]


@pytest.mark.usefixtures("without_pictures")
def test_quiet_prints_the_result_alone_where_there_is_nothing_to_mend(
    command: Command, utkface: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "no_better", lambda metrics, baselines: [])
    done = command("--data", utkface, "--epochs", 1, "--quiet")
    assert done.err == ""
    (line,) = done.out.splitlines()
    assert line.startswith("gender accuracy")


def test_without_utkface_faces_are_drawn_and_it_says_so(command: Command) -> None:
    done = command("--dry-run")
    assert "These faces are drawn" in done.out
    assert "--data UTKFace.tar.gz" in done.out


def test_utkface_is_searched_for_once(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    searched, found = [], data.found

    def search() -> list[Path]:
        searched.append(Path.cwd())
        return found()

    monkeypatch.setattr(data, "found", search)
    monkeypatch.setattr(places, "found", search)
    assert "These faces are drawn" in command("--dry-run").out
    assert len(searched) == 1
    write_folder(Path("data/UTKFace"), files(12))
    assert "12 faces from data/UTKFace\n" in command("--dry-run").out
    assert len(searched) == 2
    command("--dry-run", "--data", "data/UTKFace")
    assert len(searched) == 2


def test_utkface_is_found_where_the_environment_says(
    command: Command, utkface: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UTKFACE", str(utkface))
    assert "30 faces from" in command("--dry-run").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "empty"], "empty is empty: expected pictures named"),
        (["--data", "text.tar.gz"], "text.tar.gz"),
        (["--model", "documentd"], "there is no model 'documentd'. Did you mean 'documented'?"),
        (["--optimizer", "adm"], "there is no optimizer 'adm'. Did you mean 'adam'?"),
        (["--epoch", "3"], "unknown option --epoch. Did you mean '--epochs'?"),
        (["--epochs", "three"], "invalid int value: 'three'"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--lr", "nan"], "--lr must be"),
        (["--lr", "-1"], "--lr must be"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--val-fraction", "1.5"], "--val-fraction must be above 0 and below 1, got 1.5"),
        (["--val-fraction", "1"], "--val-fraction must be above 0 and below 1, got 1.0"),
        (["--val-fraction", "0"], "--val-fraction must be above 0 and below 1, got 0.0"),
        (["--limit", "1"], "at least 2"),
        (["--device", "cuppy"], "there is no backend 'cuppy'. Did you mean 'cupy'?"),
        (["--device", "numpy", "--precision", "tf32"], "the backend 'numpy' computes in float32, not in 'tf32'"),
        (["--out", "text.tar.gz"], "text.tar.gz is a file: choose another folder for the runs with --out"),
        (["--resume"], "there is no run to resume in runs/"),
        (["--resume", "nothing"], "runs/nothing does not exist. Runs in runs/: none."),
        (["--resume", "empty"], "empty is not a run: it has no config.json. Runs in runs/: none."),
        (["--resume", "text.tar.gz"], "text.tar.gz is not a run: it has no config.json. Runs in runs/: none."),
        (["--config", "nothing.json"], "nothing.json cannot be read"),
        (["--config", "list.json"], "must hold a JSON object"),
        (["--config", "empty.json"], "empty.json is empty, but must hold a JSON object"),
        (["--config", "odd.json"], "has an unknown option 'epoch'. Did you mean 'epochs'?"),
        (["--config", "text.json"], "text.json: 'epochs' must be int or null, got 'many'"),
        (["--config", "number.json"], "number.json: 'model' must be str, got 5"),
        (["--config", "fraction.json"], "fraction.json: 'batch_size' must be int, got 8.5"),
        (["--lr", "inf"], "--lr must be a finite number, got inf"),
        (["--data", ""], "--data is empty"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(command: Command, arguments: list[str], message: str) -> None:
    Path("empty").mkdir()
    Path("text.tar.gz").write_text("no archive")
    Path("list.json").write_text("[]")
    Path("empty.json").write_text("\n")
    Path("odd.json").write_text('{"epoch": 3}')
    Path("text.json").write_text('{"epochs": "many"}')
    Path("number.json").write_text('{"model": 5}')
    Path("fraction.json").write_text('{"batch_size": 8.5}')
    before = sorted(Path().rglob("*"))
    data = [] if "--data" in arguments else ["--data", "drawn"]
    done = command(*([] if "--resume" in arguments else data), *arguments)
    assert done.code == 2
    assert message in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_a_device_that_cannot_be_used_is_explained(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise md.errors.BackendError("the backend 'cupy' needs a driver: install one")

    monkeypatch.setitem(md.plugins._registered["backend"], "cupy", broken)
    done = command("--data", "drawn", "--device", "cupy")
    assert (done.code, done.err) == (2, "error: the backend 'cupy' needs a driver: install one\n")
    assert command("--data", "drawn", "--limit", 20, "--dry-run").code == 0, "auto takes the CPU instead"


@pytest.mark.usefixtures("without_pictures")
def test_the_name_of_an_earlier_run_is_not_taken_twice(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--epochs", 1, "--name", "a")
    before = weights("runs/a")
    done = command(*small, "--epochs", 1, "--seed", 1, "--name", "a")
    assert done.code == 2
    assert "the run runs/a already exists" in done.err
    assert weights("runs/a") == before
    done = command("--data", "nowhere", "--name", "a")
    assert "the run runs/a already exists" in done.err, "before the data are opened"


def test_a_loss_that_explodes_ends_with_one_line(command: Command, utkface: Path) -> None:
    done = command("--data", utkface, "--epochs", 2, "--lr", 1e30, "--optimizer", "sgd")
    assert done.code == 2
    assert "try a smaller learning rate" in done.err
    log = next(Path("runs").glob("*/log.txt")).read_text().splitlines()
    assert log[0].startswith("30 faces from")
    assert log[-1].startswith("ended by TrainingError: the val_loss became")


def test_help_shows_defaults() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agegender.train", "--help"], capture_output=True, text=True, check=True
    )
    for text in ("--epochs", "30, or 7 for drawn faces", "(default: 32)", "(default: 0.001)", "--resume [RUN]"):
        assert text in " ".join(done.stdout.split())


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.usefixtures("without_pictures")
def test_a_run_in_tf32_says_so(small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a backend that claims to support it."""
    monkeypatch.setattr(type(md.backends.default), "precisions", ("float32", "tf32"))
    monkeypatch.setattr(md.backends.default, "precision", "float32")
    options = [*map(str, small), "--device", "numpy", "--precision", "tf32", "--name", "mine"]
    assert train.main(options) == 0
    environment, summary = (json.loads(Path("runs/mine", name).read_text()) for name in ("env.json", "summary.json"))
    assert environment["precision"] == summary["precision"] == "tf32"
    assert "images/s in tf32" in results.effort(summary)


@pytest.mark.usefixtures("without_pictures")
def test_faces_are_kept_on_a_device_where_they_fit(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, copies = md.backends.get("strict"), []
    size, step = 30 * 128 * 128, md.Trainer.train_step

    def count(trainer: md.Trainer, *batch: Any) -> None:
        step(trainer, *batch)
        copies.append((backend.to_device, backend.to_host))

    monkeypatch.setattr(md.Trainer, "train_step", count)
    said = {}
    for name, device, free in (("here", "numpy", None), ("there", "strict", None), ("enough", "strict", 4 * size)):
        monkeypatch.setattr(StrictBackend, "free_memory", lambda self, free=free: free)
        copies.clear()
        command(*small, "--device", device, "--name", name, "--mirror")
        said[name] = Path("runs", name, "log.txt").read_text()
        assert len(set(copies[:4])) == len(set(copies[4:])) == 1, "no copies in the steps"
    monkeypatch.setattr(StrictBackend, "free_memory", lambda self: 4 * size - 1)
    command(*small, "--device", "strict", "--name", "short", "--mirror")
    said["short"] = Path("runs/short/log.txt").read_text()
    assert copies[-1][0] - copies[-2][0] == 3, "images, genders and ages"
    assert "the faces" not in said["here"]
    assert "the faces are on strict: 492 kB\n" in said["there"]
    assert said["enough"].count("the faces are on strict") == 1
    assert "the faces are copied to strict batch by batch: 492 kB, with 1.97 MB free\n" in said["short"]
    assert weights("runs/there") == weights("runs/enough") == weights("runs/short")
    here, there = (md.load(f"runs/{name}/last.safetensors") for name in ("here", "there"))
    for name, values in here.items():
        np.testing.assert_allclose(there[name], values, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("without_pictures")
def test_mirroring_is_an_option_that_a_resumed_run_keeps(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[DataLoader, int]] = []
    order = DataLoader.mirrored
    monkeypatch.setattr(DataLoader, "mirrored", lambda self: made.append((self, self.epoch)) or order(self))
    command(*small, "--mirror", "--name", "whole")
    assert [epoch for _, epoch in made] == [0, 1], "only training images are mirrored"
    assert all(loader.batch_size == 7 for loader, _ in made)
    command(*small, "--mirror", "--epochs", 1, "--name", "parts")
    assert command("--resume", "parts", "--epochs", 2).code == 0
    assert command(*small, "--name", "plain").code == 0
    assert command("--config", "runs/whole/config.json", "--name", "again").code == 0
    assert weights("runs/parts") == weights("runs/whole") == weights("runs/again") != weights("runs/plain")
    configs = [json.loads(Path("runs", name, "config.json").read_text())["mirror"] for name in ("parts", "plain")]
    assert configs == [True, False]
    done = command("--resume", "plain", "--mirror", "--epochs", 3)
    assert (done.code, done.err) == (2, AGAIN.format("--mirror", "plain", "--epochs 3 --mirror"))


def test_no_age_below_0_is_reported(
    command: Command, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(figures, "predictions", lambda *given: shown.append(given[2]) or Picture(1, 1))
    monkeypatch.setattr(nn.Dense, "forward", lambda self, x: x.mean(axis=1, keepdims=True) * 0 - 5 + self.b)
    done = command(*small, "--lr", 0, "--epochs", 1, "--name", "a", "--json")
    assert set(shown[0]["age"].ravel().tolist()) == {0.0}
    with Path("runs/a/split.csv").open() as file:
        ages = [int(row["name"].split("_")[0]) for row in csv.DictReader(file) if row["part"] == "validation"]
    assert done.summary["age_mae"] == pytest.approx(np.mean(ages)), "the error of predicting 0"
