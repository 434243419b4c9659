"""The options of ``python -m agegender.train``: from the command line, from a file, or from the run that goes on."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from minidl import plugins
from minidl.command import UsageError

from . import cli, runs
from .cli import option
from .data.files import expanded, operand
from .data.utkface import MAX_SKIPPED

EXAMPLES = (
    ("python -m agegender.train", "UTKFace where it is found, else drawn faces"),
    ("python -m agegender.train --data UTKFace.tar.gz --epochs 10", "an archive, or a folder"),
    ("python -m agegender.train --resume --epochs 40", "the latest run goes on"),
)
ELSEWHERE = {
    "--learning-rate": "--lr",
    "--num-epochs": "--epochs",
    "--bs": "--batch-size",
    "--gpu": "--device cupy",
    "--cuda": "--device cupy",
    "--cpu": "--device numpy",
    "--dataset": "--data",
    "--data-dir": "--data",
    "--output": "--out",
    "--output-dir": "--out",
    "--checkpoint": "--resume",
    "--validation-split": "--val-fraction",
    "--flip": "--mirror",
    "--arch": "--model",
}
"""What other programs call an option, and what it is here."""


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
    max_skipped: float = option(MAX_SKIPPED, "the largest share of the pictures that may be unusable", metavar="SHARE")
    limit: int | None = option(None, "use only so many faces, drawn at random before the split")
    val: str | None = option(None, "a data set of its own for validation, instead of a split", metavar="DATA")
    device: str = option("auto", "where to compute: numpy, cupy, or auto: the GPU where one works", metavar="NAME")
    precision: str = option(
        "float32", "how products are computed: float32, or tf32, on tensor cores of a GPU, to 11 bits", metavar="NAME"
    )
    resume: str | None = option(
        None, "go on with a run (a folder or name; the latest without)", nargs="?", metavar="RUN"
    )
    config: str | None = option(None, "take the options from a config.json; others given here win", metavar="FILE")
    out: str = option(runs.RUNS, "the folder for the run folders", metavar="DIR")
    name: str | None = option(None, "the name of the run folder (default: the time and the model)", metavar="NAME")
    json: bool = option(False, "print the summary, or the list of --list, as JSON in the last line")
    quiet: bool = option(False, "print only the result, and what to do where it is no better than guessing")
    profile: bool = option(False, "measure 20 steps; leaves profile.txt, profile.png and trace.json")
    dry_run: bool = option(False, "open the data, show the model and the configuration, and stop")
    list: bool = option(False, "list the runs in --out, with their results, and stop")

    def configuration(self) -> dict[str, Any]:
        """The options that say something about the training, and not only about this call."""
        return {name: value for name, value in asdict(self).items() if name in CONFIGURED}


LONGEST_NAME = 255
PLACES = {"data", "val", "out", "name", "config", "resume"}
CONFIGURED = {declared.name for declared in fields(Options)} - {
    "resume", "config", "out", "name", "json", "quiet", "profile", "dry_run", "list",
}  # fmt: skip
FREE = {"epochs", "device", "precision", "data", "max_skipped"}
"""What may change when a run goes on; its data may only lie elsewhere, as they are known by their content."""


def parse(arguments: Sequence[str] | None) -> dict[str, Any]:
    """The options that are given on a command line, by name; see :func:`agegender.cli.parse_given`."""
    description = "Train a model on UTKFace, or on drawn faces where there is none; a run folder keeps all about it."
    given = cli.parse_given(
        runs.PROGRAM, description, Options, arguments, examples=EXAMPLES, elsewhere=ELSEWHERE, bare="--data"
    )
    return {name: _place(name, value) if name in PLACES else value for name, value in given.items()}


def resolve(given: Mapping[str, Any]) -> tuple[Options, runs.Run | None, list[str]]:
    """The options of this call; the run that it resumes, if it does; and remarks on what the user should know.

    Raises :class:`UsageError` for options that make no sense, or that a resumed run can't change.
    """
    run: runs.Run | None = None
    remarks: list[str] = []
    if "resume" in given:
        run, config, remarks = _resumed(given)
    elif "config" in given:
        config = _checked(Path(given["config"]), runs.read_json(Path(given["config"])))
    else:
        config = {}
    options = Options(**{**config, **given})
    _check(options, given)
    return options, run, remarks


def _place(name: str, given: str | None) -> str | None:
    """A path as it was given; a ``~`` that the shell has left, in quotes, becomes the user's folder."""
    if given == "":  # where a shell variable is not set
        raise UsageError(f"--{name} is empty: name something, or leave it out")
    return str(expanded(given)) if given is not None and given.startswith("~") else given


def _resumed(given: Mapping[str, Any]) -> tuple[runs.Run, dict[str, Any], list[str]]:
    """The run to resume, its options, and what is said of them."""
    useless = sorted({"config", "name"} & set(given))
    if useless:
        raise UsageError(
            f"--resume goes on with a run as it is: leave out {_flags(useless)}, or --resume itself to start a new run"
        )
    run = runs.find(Path(given.get("out", runs.RUNS)), given["resume"])
    file = run.folder / runs.CONFIG
    config = _checked(file, run.config)
    run.require_whole()
    before = run.trained_with or config
    if not run.is_saved:
        remark = f"{run.folder} was not saved before it ended: it starts from the beginning"
        return run, config, [remark]
    free = FREE | {"val"} if before.get("val") else FREE
    fixed = set(given) & CONFIGURED - free
    if fixed:
        raise UsageError(
            f"a resumed run keeps its options: leave out {_flags(sorted(fixed))}, or start a new run: "
            f"{runs.again_command(run.folder, *_words(given, sorted(set(given) & CONFIGURED)))}"
        )
    edited = {
        name: f"{name} {json.dumps(value)} -> {json.dumps(config[name])}"
        for name, value in before.items()
        if name in CONFIGURED and config[name] != value
    }
    kept = set(edited) - free | {name for name in edited if config[name] is None}
    if kept:
        changes = ", ".join(edited[name] for name in sorted(kept))
        raise UsageError(
            f"{file} was edited ({changes}), but a resumed run keeps its options: put the old ones back, or start "
            f"a new run: {runs.again_command(run.folder)}"
        )
    return run, config, [f"{file} differs from what was saved: {', '.join(edited.values())}"] if edited else []


def _checked(source: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a file, with the defaults of those that it lacks."""
    return Options(**cli.checked(source, Options, config, CONFIGURED)).configuration()


def _check(options: Options, given: Mapping[str, Any]) -> None:
    for name, least in (("batch_size", 1), ("epochs", 1), ("limit", 2), ("seed", 0), ("lr", 0)):
        value = getattr(options, name)
        if value is not None and not value >= least:
            raise UsageError(f"{_flags([name])} must be at least {least}, got {value}")
    if options.lr == math.inf:
        raise UsageError("--lr must be a finite number, got inf")
    if options.val is not None and "val_fraction" in given:
        raise UsageError("--val is the whole validation part: leave out --val-fraction, or --val")
    if options.name is not None and Path(options.name).name != options.name:
        raise UsageError(f"--name is the name of a folder in --out, without '/', got {options.name}")
    if options.name is not None and len(os.fsencode(options.name)) > LONGEST_NAME:
        raise UsageError(f"--name is longer than the {LONGEST_NAME} bytes that file systems allow: shorten it")
    if not 0 < options.val_fraction < 1:
        raise UsageError(f"--val-fraction must lie between 0 and 1, got {options.val_fraction}")
    if not 0 <= options.max_skipped <= 1:
        raise UsageError(f"--max-skipped is a share of the pictures, from 0 to 1, got {options.max_skipped}")
    plugins.get("model", options.model)
    plugins.get("optimizer", options.optimizer)


def _words(given: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Options as they were given, for a command line."""
    words: list[str] = []
    for name in names:
        value = given[name]
        words += (
            [cli.flag(name)] if value is True else [cli.flag(name), operand(value) if name in PLACES else str(value)]
        )
    return words


def _flags(names: list[str]) -> str:
    return ", ".join(map(cli.flag, names))
