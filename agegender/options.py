"""The options of ``python -m agegender.train``, read from a command line, and written as one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from minidl.command import UsageError

from . import cli
from .cli import option
from .data.files import expanded, operand
from .data.utkface import MAX_SKIPPED

PROGRAM = "python -m agegender.train"
RUNS = "runs"
"""The folder of the run folders, where no other one is named."""
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
    out: str = option(RUNS, "the folder for the run folders", metavar="DIR")
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
LISTING = {"list", "out", "json"}
"""What a list of runs heeds."""
OF_THIS_CALL = {"json", "quiet", "profile", "dry_run"}
"""What says something about a call alone, and not about its training."""
CONFIGURED = {declared.name for declared in fields(Options)} - OF_THIS_CALL - {
    "resume", "config", "out", "name", "list",
}  # fmt: skip
FREE = {"epochs", "device", "precision", "data", "max_skipped"}
"""What may change when a run goes on; its data may only lie elsewhere, as they are known by their content."""


def parse(arguments: Sequence[str] | None) -> dict[str, Any]:
    """The options that are given on a command line, by name; see :func:`agegender.cli.parse_given`."""
    description = "Train a model on UTKFace, or on drawn faces where there is none; a run folder keeps all about it."
    given = cli.parse_given(
        PROGRAM, description, Options, arguments, examples=EXAMPLES, elsewhere=ELSEWHERE, bare="--data"
    )
    if given.get("list") and (useless := given.keys() - LISTING):
        named = ", ".join(cli.flag(name) for name in given if name in useless)
        raise UsageError(f"--list shows the runs in --out and starts none: leave out {named}, or --list")
    return {name: _place(name, value) if name in PLACES else value for name, value in given.items()}


def _place(name: str, given: str | None) -> str | None:
    """A path as it was given; a ``~`` that the shell has left, in quotes, becomes the user's folder."""
    if given == "":  # where a shell variable is not set
        raise UsageError(f"--{name} is empty: name something, or leave it out")
    return str(expanded(given)) if given is not None and given.startswith("~") else given


def words(options: Mapping[str, Any]) -> list[str]:
    """Options as they are written on a command line, in the order of the help.

    >>> words({"lr": 0.1, "json": True, "data": "-faces", "limit": None})
    ['--data', './-faces', '--lr', '0.1', '--json']
    """
    found: list[str] = []
    for name in (declared.name for declared in fields(Options)):
        value = options.get(name)
        if value is True:
            found.append(cli.flag(name))
        elif value is not None and value is not False:
            found += [cli.flag(name), operand(value) if name in PLACES else str(value)]
    return found


def spelled(configuration: Mapping[str, Any], flags: Collection[str]) -> list[str]:
    """What a configuration says beyond the defaults, as words; but for what other ``flags`` replace.

    >>> spelled({"lr": 0.1, "seed": 0, "epochs": 3, "val": "faces"}, ["--lr", "--val-fraction"])
    ['--epochs', '3']
    """
    defaults = Options().configuration()
    said = {name: value for name, value in configuration.items() if name in defaults and value != defaults[name]}
    if "--val-fraction" in flags:
        said.pop("val", None)
    if "--val" in flags or "val" in said:
        said.pop("val_fraction", None)
    return words({name: value for name, value in said.items() if cli.flag(name) not in flags})
