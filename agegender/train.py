"""``python -m agegender.train``: train a model on UTKFace, or on drawn faces where there is none."""

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minidl as md
from minidl import checkpoint, plugins
from minidl.callbacks import Checkpoint, CSVLog, ProfileSteps, Progress, StopOnSignal, best_row, duration, epoch_line
from minidl.data import DataLoader, Dataset
from minidl.errors import BackendError

from . import cli, data, models, runs, tasks
from .cli import Speaker, UsageError, option
from .data import Faces
from .data.faces import IMAGE_SIZE
from .report import figures

DESCRIPTION = "Train a model on UTKFace, or on drawn faces where there is none, and leave all about it in a run folder."
EPOCHS = {"utkface": 30, "drawn": 7}
Labels = tasks.Labels
ROOM = 4
"""Faces are kept on a device if so many times their size is free there: the rest is for the model and its batches."""


@dataclass(frozen=True)
class Options:
    """The command line; also what ``config.json`` holds, once all open choices are made."""

    data: str | None = option(
        None,
        "UTKFace: a folder or an archive; or 'drawn', or an installed data set. By default $UTKFACE, ./data, "
        "Kaggle's input, drawn",
        metavar="PATH|NAME",
    )
    model: str = option("documented", "the model, by its registered name", metavar="NAME")
    optimizer: str = option("adam", "the optimizer, by its registered name", metavar="NAME")
    epochs: int | None = option(None, "passes over the training part (default: 30, but 7 for drawn faces)")
    batch_size: int = option(32, "faces in a step")
    lr: float = option(1e-3, "the learning rate")
    seed: int = option(0, "decides the split, the initial weights and the order of the faces")
    val_fraction: float = option(0.2, "the share of the faces that is kept for validation")
    mirror: bool = option(False, "mirror half of the faces to train with left to right, others in every epoch")
    max_skipped: float = option(0.1, "the largest share of the pictures that may be unusable", metavar="SHARE")
    limit: int | None = option(None, "use only so many faces, drawn at random before the split")
    val: str | None = option(None, "a data set of its own for validation, instead of a split", metavar="DATA")
    device: str = option("auto", "where to compute: numpy, cupy, or auto: the GPU where one works", metavar="NAME")
    precision: str = option(
        "float32", "how products are computed: float32, or tf32, on tensor cores of a GPU, to 11 bits", metavar="NAME"
    )
    resume: str | None = option(
        None, "go on with a run (a folder or name; the latest without)", nargs="?", const="", metavar="RUN"
    )
    config: str | None = option(None, "take the options from a config.json; others given here win", metavar="FILE")
    out: str = option("runs", "the folder for the run folders", metavar="DIR")
    name: str | None = option(None, "the name of the run folder (default: the time and the model)", metavar="NAME")
    json: bool = option(False, "print the summary as JSON in the last line")
    quiet: bool = option(False, "print only the result")
    profile: bool = option(False, "measure 20 steps; leaves profile.txt, profile.png and trace.json")
    dry_run: bool = option(False, "open the data, show the model and the configuration, and stop")


NOT_CONFIGURED = ("resume", "config", "out", "name", "json", "quiet", "profile", "dry_run")
"""Options of one call, which say nothing about the training itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    started = time.monotonic()
    given = cli.parse_given("python -m agegender.train", DESCRIPTION, Options, arguments)
    options, folder = _options(given)
    say = Speaker(sys.stderr if options.json else sys.stdout, options.quiet)
    device = _device(options.device, say)
    md.backends.get(device).set_precision(options.precision)
    parts = open_data(options, say)
    epochs = options.epochs or EPOCHS.get(parts.faces.kind, EPOCHS["utkface"])
    options = replace(options, data=_found(parts.faces.source), val=options.val and _found(options.val), epochs=epochs)
    training = build(options, device, parts, say)
    if options.dry_run:
        say(json.dumps(_config(options), indent=2))
        say(str(md.summary(training.model, (128, 128, 1))))
        return 0
    if folder is None:
        folder = runs.create(Path(options.out), options.name, options.model)
        parts.save(folder, options, device)
    else:
        resume(training, parts, folder)
    return run(training, options, parts, folder, say, started)


def _options(given: dict[str, Any]) -> tuple[Options, Path | None]:
    """The options of this call, and the run folder if it resumes one."""
    folder = runs.find(Path(given.get("out", "runs")), given["resume"]) if "resume" in given else None
    source = folder / "config.json" if folder is not None else Path(given["config"]) if "config" in given else None
    config = runs.read_json(source) if source is not None else {}
    known = {declared.name for declared in fields(Options)} - {*NOT_CONFIGURED}
    config = cli.checked(source, Options, config, known)
    if folder is not None:
        data_sets = {"data", "val"} if config.get("val") else {"data"}  # may lie elsewhere: known by their content
        fixed = set(given) & known - {"epochs", "device", "precision", *data_sets}
        if fixed:
            raise UsageError(f"a resumed run keeps its options: leave out {', '.join(sorted(fixed))}")
    options = Options(**config | given)
    for name, least in (("batch_size", 1), ("epochs", 1), ("limit", 2), ("seed", 0), ("lr", 0)):
        value = getattr(options, name)
        if value is not None and not value >= least:
            raise UsageError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    if options.lr == math.inf:
        raise UsageError("--lr must be a finite number, got inf")
    if not 0 < options.val_fraction < 1:
        raise UsageError(f"--val-fraction must lie between 0 and 1, got {options.val_fraction}")
    if not 0 <= options.max_skipped <= 1:
        raise UsageError(f"--max-skipped is a share of the pictures, from 0 to 1, got {options.max_skipped}")
    for name in ("data", "val", "out", "name"):  # "" would be the current folder, when a shell variable is not set
        if getattr(options, name) == "":
            raise UsageError(f"--{name} is empty: name something, or leave it out")
    plugins.get("model", options.model)
    plugins.get("optimizer", options.optimizer)
    return options, folder


def _found(source: str) -> str:
    """A data set's name, or its path as it holds in any folder: the run may be resumed from another one."""
    return str(Path(source).resolve()) if Path(source).exists() and source != "drawn" else source


def _config(options: Options) -> dict[str, Any]:
    return {name: value for name, value in asdict(options).items() if name not in NOT_CONFIGURED}


def _device(wanted: str, say: Speaker) -> str:
    """The backend to compute on; "auto" takes the GPU if there is one that works."""
    if wanted != "auto":
        return md.backends.get(wanted).name
    try:
        return md.backends.get("cupy").name
    except BackendError:
        return "numpy"


@dataclass(frozen=True)
class Parts:
    """The faces and their two parts, or the faces to train with and ``other`` ones for validation."""

    faces: Faces
    other: Faces | None
    split: data.Split | None
    train: Dataset
    validation: Dataset
    labels: tuple[Labels, Labels]
    """Of the training and of the validation part."""

    def save(self, folder: Path, options: Options, device: str) -> None:
        """Write what the run was started with."""
        runs.write_json(folder / "config.json", _config(options))
        runs.write_json(folder / "env.json", runs.environment(device, self.fingerprints()))
        data.write_skipped(self.faces, folder / "skipped.csv")
        if self.other is not None:
            data.write_skipped(self.other, folder / "skipped_validation.csv")
        if self.split is not None:
            self.split.save(folder / "split.csv")

    def fingerprints(self) -> dict[str, Any]:
        """What the data are, and those for validation if they are others."""
        return _identity(self.faces) | ({"validation": _identity(self.other)} if self.other is not None else {})


def _identity(faces: Faces) -> dict[str, Any]:
    return {"source": faces.source, "faces": len(faces), "fingerprint": faces.fingerprint}


def open_data(options: Options, say: Speaker) -> Parts:
    """Open the data, draw the sample and the split."""
    faces = _open(options.data, options, say)
    if options.limit is not None:
        faces = data.sample(faces, options.limit, options.seed)
    if faces.kind == "drawn":
        say(
            "These faces are drawings, made from a seed. For real ones get UTKFace (https://susanqq.github.io/UTKFace, "
            "for non-commercial research) and name it: --data UTKFace.tar.gz"
        )
    if options.val is not None:
        other = _open(options.val, options, say)
        _warn_of_shared(faces, other, say)
        return Parts(faces, other, None, faces, other, ((faces.genders, faces.ages), (other.genders, other.ages)))
    split = data.split(faces, options.val_fraction, options.seed)
    train, validation = split.train, split.validation
    labels = (faces.genders[train], faces.ages[train]), (faces.genders[validation], faces.ages[validation])
    return Parts(faces, None, split, faces.subset(train), faces.subset(validation), labels)


def _warn_of_shared(faces: Faces, other: Faces, say: Speaker) -> None:
    shared = len(set(faces.digests).intersection(other.digests))
    if shared:
        say(
            f"warning: {shared:,} pictures of {other.source} are among those to train with: the results will look "
            "better than they are",
            always=True,
        )


def _open(source: str | None, options: Options, say: Speaker) -> Faces:
    progress = partial(_show_decoding, say) if say.stream.isatty() and not say.quiet else None
    found = data.found() if source is None else []
    with data.skipped_written_to(Path(options.out, "skipped.csv")):
        faces = data.open(found[0] if found else source, progress=progress, max_skipped=options.max_skipped)
    left_out = f", {len(faces.skipped)} files skipped" if faces.skipped else ""
    say(f"{len(faces):,} faces from {faces.source}{left_out}{data.not_taken(found[1:])}")
    return faces


def _show_decoding(say: Speaker, done: int, total: int) -> None:
    say.stream.write(f"\r\x1b[2Kdecoding {done:,} of {total:,}" if done < total else "\r\x1b[2K")
    say.stream.flush()


@dataclass(frozen=True)
class Training:
    """A trainer with its loaders."""

    trainer: md.Trainer
    train: DataLoader
    validation: DataLoader

    @property
    def model(self) -> md.nn.Module:
        return self.trainer.model


def build(options: Options, device: str, parts: Parts, say: Speaker) -> Training:
    """The model, optimizer, loaders and trainer, all of them from the seed."""
    md.seed(options.seed)
    model = models.build(options.model, rng=md.Generator(options.seed)).to(device)
    optimizer = plugins.build("optimizer", options.optimizer, model.parameters(), lr=options.lr)
    trainer = md.Trainer(model, tasks.loss, optimizer, tasks.METRICS)
    train, validation = _placed(parts, md.backends.get(device), say)
    loader = DataLoader(
        train, options.batch_size, shuffle=True, mirror=options.mirror, seed=options.seed, backend=device
    )
    return Training(trainer, loader, DataLoader(validation, batch_size=64, backend=device))


def _placed(parts: Parts, backend: md.backends.Backend, say: Speaker) -> tuple[Dataset, Dataset]:
    """The two parts on a device, if they fit; else the loaders bring them there batch by batch."""
    if backend is md.backends.default:
        return parts.train, parts.validation
    size, free = (len(parts.train) + len(parts.validation)) * IMAGE_SIZE**2, backend.free_memory()
    megabytes = f"{size / 1e6:,.1f} MB"
    if free is not None and free < ROOM * size:
        say(f"the faces go to {backend.name} batch by batch: {megabytes}, of {free / 1e6:,.1f} MB free")
        return parts.train, parts.validation
    say(f"the faces are on {backend.name}: {megabytes}")
    return parts.train.to(backend.name), parts.validation.to(backend.name)


def resume(training: Training, parts: Parts, folder: Path) -> None:
    """Bring a training to where the run in ``folder`` stopped; raises if its data are not the same."""
    before, now = runs.read_json(folder / "env.json")["data"], parts.fingerprints()
    for old, new in ((before, now), (before.get("validation"), now.get("validation"))):
        if old is not None and new is not None and old["fingerprint"] != new["fingerprint"]:
            raise UsageError(f"{new['source']} is not the data set that {folder} was started with ({old['source']})")
    training.trainer.load_state_dict(checkpoint.load_state(folder / runs.STATE), training.train)


def run(training: Training, options: Options, parts: Parts, folder: Path, say: Speaker, started: float) -> int:
    """Train, report, and say where everything is."""
    say.log_to(folder / "log.txt")
    trainer = training.trainer
    baselines = tasks.baselines(*parts.labels)
    say(f"training '{options.model}' on {len(parts.train):,} faces, validating on {len(parts.validation):,}: {folder}")
    stop = StopOnSignal()
    trainer.callbacks += [Checkpoint(folder), CSVLog(folder / "metrics.csv"), stop]
    trainer.callbacks += [] if options.quiet else [Progress(say.stream)]
    trainer.callbacks += [Report(say, folder, baselines)]
    trainer.callbacks += [ProfileSteps(folder)] if options.profile else []
    trainer.fit(training.train, training.validation, options.epochs or 0)
    if stop.received is not None:
        say(f"stopped. Go on with: python -m agegender.train --resume {folder}", always=True)
        return 130
    summary = summarize(trainer, parts, baselines, folder, time.monotonic() - started)
    runs.write_json(folder / "summary.json", summary)
    show_examples(training, parts, folder)
    say(result(summary), always=True)
    if options.json:
        sys.stdout.write(json.dumps(summary) + "\n")
    return 0


class Report(md.Callback):
    """Logs every epoch, and the error that ends training; draws the curves anew."""

    def __init__(self, say: Speaker, folder: Path, baselines: dict[str, float]) -> None:
        self.say, self.folder, self.baselines = say, folder, baselines
        self.told = False

    def on_epoch_end(self, trainer: md.Trainer) -> None:
        if not self.told and trainer.model.parameters()[0].backend.name != "numpy":
            self.told = True
            self.say(how_steps_are_launched(trainer))
        curves = figures.learning_curves(trainer.history, self.baselines)
        curves.savefig(self.folder / "plots" / "curves.png", dpi=110)
        self.say.note(epoch_line(trainer))

    def on_train_error(self, trainer: md.Trainer) -> None:
        error = sys.exception()
        self.say.note(f"ended by {type(error).__name__}: {error}")


def how_steps_are_launched(trainer: md.Trainer) -> str:
    """Whether a GPU is asked once for a step, or for every kernel of it, and why."""
    if trainer.captured.recorded:
        return "steps are launched as one CUDA graph"
    return f"steps are launched kernel by kernel: {trainer.captured.reason or 'no two in a row were alike'}"


def summarize(
    trainer: md.Trainer, parts: Parts, baselines: dict[str, float], folder: Path, seconds: float
) -> dict[str, Any]:
    """The results of a run: at the epoch with the lowest validation loss, and at the last one."""
    best, last = best_row(trainer.history), trainer.history[-1]
    return {
        "epochs": trainer.epoch,
        "train_images": len(parts.train),
        "val_images": len(parts.validation),
        "gender_accuracy": best["val_gender_accuracy"],
        "age_mae": best["val_age_mae"],
        "best_epoch": int(best["epoch"]),
        "last_gender_accuracy": last["val_gender_accuracy"],
        "last_age_mae": last["val_age_mae"],
        "baseline_gender_accuracy": baselines["gender_accuracy"],
        "baseline_age_mae": baselines["age_mae"],
        "precision": trainer.model.parameters()[0].backend.precision,
        "seconds": round(seconds, 1),
        "images_per_second": round(trainer.images / trainer.seconds, 1),
        "run": str(folder),
    }


def result(summary: dict[str, Any]) -> str:
    """The results in words."""
    return (
        f"gender accuracy {summary['gender_accuracy']:.3f} (always the commonest: "
        f"{summary['baseline_gender_accuracy']:.3f}), age error {summary['age_mae']:.2f} years (always the median: "
        f"{summary['baseline_age_mae']:.2f}), both at epoch {summary['best_epoch']} of {summary['epochs']}; "
        f"{summary['images_per_second']:.0f} images/s in {summary['precision']}, "
        f"{duration(summary['seconds'])} in all. Everything is in {summary['run']}/"
    )


def show_examples(training: Training, parts: Parts, folder: Path, count: int = 18) -> None:
    """Draw some validation faces with the predictions of the best weights."""
    model = training.model
    model.load_state_dict(md.load(folder / "best.safetensors"))
    chosen = np.linspace(0, len(parts.validation) - 1, min(count, len(parts.validation))).astype(np.intp)
    images, truth = parts.validation.batch(chosen)
    model.eval()
    with md.no_grad():
        outputs = model(md.tensor(images).to(model.parameters()[0].backend.name))
    predicted = {name: y.numpy() for name, y in outputs.items()}
    predicted["gender"] = figures.probabilities(predicted["gender"])
    figures.predictions(images, truth, predicted).savefig(folder / "plots" / "examples.png", dpi=110)


if __name__ == "__main__":
    cli.run(main)
