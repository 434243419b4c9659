"""The options of ``python -m agegender.train``: parsed from a command line, and written as one."""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from minidl.command import UsageError
from minidl.files import expanded

from . import cli
from .cli import option
from .data.files import operand
from .data.utkface import MAX_SKIPPED

PROGRAM = "python -m agegender.train"
RUNS = "runs"
"""The default folder for run folders."""
EXAMPLES = (
    ("python -m agegender.train", "UTKFace if found, otherwise drawn faces"),
    ("python -m agegender.train --data UTKFace.tar.gz --epochs 10", "an archive or a folder"),
    ("python -m agegender.train --resume --epochs 40", "resume the latest run"),
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
"""Names of options in other programs, and their equivalents here."""


@dataclass(frozen=True)
class Options:
    """The command line; with all defaults resolved, also the content of ``config.json``."""

    data: str | None = option(
        None,
        "a folder or an archive of UTKFace, 'drawn', or an installed data set (default: the first of $UTKFACE, ./data, "
        "Kaggle's input, drawn)",
        metavar="PATH|NAME",
    )
    model: str = option("documented", "the model, by its registered name", metavar="NAME")
    optimizer: str = option("adam", "the optimizer, by its registered name", metavar="NAME")
    epochs: int | None = option(None, "passes over the training part (default: 30, or 7 for drawn faces)")
    batch_size: int = option(32, "faces per step")
    lr: float = option(1e-3, "the learning rate")
    seed: int = option(0, "determines the split, the initial weights and the order of the faces")
    val_fraction: float = option(0.2, "the fraction of the faces used for validation")
    mirror: bool = option(False, "mirror half of the training faces horizontally, different ones in every epoch")
    max_skipped: float = option(MAX_SKIPPED, "the largest allowed fraction of unusable pictures", metavar="FRACTION")
    limit: int | None = option(None, "use only this many faces, drawn at random before the split")
    val: str | None = option(None, "a separate data set for validation, instead of a split", metavar="DATA")
    device: str = option("auto", "where to compute: numpy, cupy, or auto (the GPU if it works)", metavar="NAME")
    precision: str = option(
        "float32",
        "precision of products: float32, or tf32 (11 bits, on the tensor cores of a GPU)",
        metavar="NAME",
    )
    resume: str | None = option(None, "resume a run, by folder or name (default: the latest)", nargs="?", metavar="RUN")
    config: str | None = option(
        None, "read options from a config.json; options on the command line take precedence", metavar="FILE"
    )
    out: str = option(RUNS, "the folder for the run folders", metavar="DIR")
    name: str | None = option(None, "the name of the run folder (default: time and model)", metavar="NAME")
    json: bool = option(False, "print the summary, or the runs with --list, as JSON in the last line")
    quiet: bool = option(False, "print only the result, and advice if it is no better than a constant prediction")
    profile: bool = option(False, "profile 20 steps: profile.txt, profile.png and trace.json")
    dry_run: bool = option(False, "open the data, print the configuration and the model, and exit")
    list: bool = option(False, "list the runs in --out with their results, and exit")

    def configuration(self) -> dict[str, Any]:
        """The options that describe the training rather than this call alone."""
        return {name: value for name, value in asdict(self).items() if name in CONFIGURED}


LONGEST_NAME = 255
PLACES = {"data", "val", "out", "name", "config", "resume"}
LISTING = {"list", "out", "json"}
"""The options that may be combined with ``--list``."""
OF_THIS_CALL = {"json", "quiet", "profile", "dry_run"}
"""The options that affect only this call, not the training."""
CONFIGURED = {declared.name for declared in fields(Options)} - OF_THIS_CALL - {
    "resume", "config", "out", "name", "list",
}  # fmt: skip
FREE = {"epochs", "device", "precision", "data", "max_skipped"}
"""The options that may change when a run is resumed; ``data`` only in its location, because the content is compared."""


def parse(arguments: Sequence[str] | None) -> dict[str, Any]:
    """The options on a command line, by name; see :func:`agegender.cli.parse_given`."""
    description = "Train a model on UTKFace, or on drawn faces if there is none. Everything is saved in a run folder."
    bare = "--out" if "--list" in (sys.argv if arguments is None else arguments) else "--data"
    given = cli.parse_given(PROGRAM, description, Options, arguments, examples=EXAMPLES, elsewhere=ELSEWHERE, bare=bare)
    if given.get("list") and (useless := given.keys() - LISTING):
        named = ", ".join(cli.flag(name) for name in given if name in useless)
        raise UsageError(f"--list only lists the runs in --out: leave out {named}, or --list")
    return {name: _place(name, value) if name in PLACES else value for name, value in given.items()}


def _place(name: str, given: str | None) -> str | None:
    """A path as given, with a ``~`` that the shell did not expand replaced by the home folder."""
    if given == "":  # an unset shell variable
        raise UsageError(f"--{name} is empty: give a value, or leave it out")
    if given is not None and "\0" in given:
        raise UsageError(f"--{name} has a NUL character, which no file name can have: leave it out")
    return str(expanded(given)) if given is not None and given.startswith("~") else given


def words(options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line, in the order of the help.

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
    """The options of a configuration that differ from the defaults, as words, except those that ``flags`` replace.

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
