"""The options of a call: the command line overrides a file and the resumed run."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minidl import plugins
from minidl.command import UsageError
from minidl.errors import MinidlError, counted

from . import cli
from .data.files import is_file
from .json_files import read_json
from .options import CONFIGURED, FREE, LONGEST_NAME, RUNS, Options
from .runs.earlier import find
from .runs.folder import BEGUN, CONFIG, Run


def resolve(given: Mapping[str, Any]) -> tuple[Options, Run | None, list[str]]:
    """The options of this call, the run that it resumes or None, and remarks for the user.

    Raises :class:`UsageError` for invalid options, and for options that cannot change when a run is
    resumed.
    """
    _check(Options(**given), given)  # before a message repeats these values
    run: Run | None = None
    config: dict[str, Any] = {}
    remarks: list[str] = []
    if "resume" in given:
        run, config, remarks = _resumed(given)
    elif "config" in given:
        config = _configured(Path(given["config"]))
    if "val_fraction" in given:  # it requests a split
        config["val"] = None
    options = Options(**{**config, **given})
    _check(options, given)
    if run is not None and not run.is_finished:
        _require_epochs(run, options.epochs or 0)
    return options, run, remarks


def _resumed(given: Mapping[str, Any]) -> tuple[Run, dict[str, Any], list[str]]:
    """The run to resume, its options, and remarks for the user."""
    useless = sorted({"config", "name"} & set(given))
    if useless:
        raise UsageError(
            f"--resume keeps the options of the run: leave out {_flags(useless)}, or --resume to start a new run"
        )
    run = find(Path(given.get("out", RUNS)), given["resume"], given)
    file = run.folder / CONFIG
    config = _checked(file, run.config)
    run.require_whole()
    before = run.trained_with or config
    if not run.is_saved:
        return run, config, [f"{run.folder} ended before its first save: it starts from the beginning"]
    try:
        _check(Options(**config), {})
    except MinidlError as error:  # before a command is printed that would fail, too
        raise UsageError(f"{file}: {error}") from None
    free = FREE | {"val"} if before.get("val") else FREE
    fixed = set(given) & CONFIGURED - free
    if fixed:
        raise UsageError(
            f"a resumed run keeps its options: leave out {_flags(sorted(fixed))}, or start a new run: "
            f"{run.again_command()}"
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
            f"{file} was edited ({changes}), but a resumed run keeps its options: restore the old values, or start "
            f"a new run: {run.again_command()}"
        )
    return run, config, [f"{file} differs from what was saved: {', '.join(edited.values())}"] if edited else []


def _require_epochs(run: Run, epochs: int) -> None:
    """Raise :class:`UsageError` if a run has already trained for more than ``epochs`` epochs."""
    if epochs < run.epochs:
        planned = max(run.epochs, run.trained_with.get("epochs") or 0)
        raise UsageError(
            f"--epochs {epochs}: {run.folder} has {counted(run.epochs, 'epoch')} already, of {planned}. Continue with: "
            f"{run.resume_command(epochs=planned)}"
        )


def _configured(path: Path) -> dict[str, Any]:
    """The options in a file that is given on the command line."""
    if is_file(path / CONFIG):
        raise UsageError(f"{path} is a folder: pass the file in it, {path / CONFIG}")
    return _checked(path, read_json(path, dict))


def _checked(source: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a file, with defaults for missing ones."""
    return Options(**cli.checked(source, Options, config, CONFIGURED)).configuration()


def _check(options: Options, given: Mapping[str, Any]) -> None:
    for name, least in (("batch_size", 1), ("epochs", 1), ("limit", 2), ("seed", 0), ("lr", 0)):
        value = getattr(options, name)
        if value is not None and not value >= least:
            raise UsageError(f"{_flags([name])} must be at least {least}, got {value}")
    if options.lr == math.inf:
        raise UsageError("--lr must be a finite number, got inf")
    if options.val is not None and "val_fraction" in given:
        raise UsageError("--val replaces the split: leave out --val-fraction, or --val")
    if options.name is not None and (Path(options.name).name != options.name or options.name == ".."):
        raise UsageError(f"--name is the name of a folder in --out, without '/', got {options.name}")
    if options.name is not None and options.name.startswith(BEGUN):
        raise UsageError(f"--name begins with '{BEGUN}', as folders of runs that are being created do: choose another")
    if options.name is not None and len(os.fsencode(options.name)) > LONGEST_NAME:
        raise UsageError(f"--name is longer than the {LONGEST_NAME} bytes that file systems allow: use a shorter one")
    if not 0 < options.val_fraction < 1:
        raise UsageError(f"--val-fraction must be above 0 and below 1, got {options.val_fraction}")
    if not 0 <= options.max_skipped <= 1:
        raise UsageError(f"--max-skipped must be a fraction of the pictures, from 0 to 1, got {options.max_skipped}")
    plugins.get("model", options.model)
    plugins.get("optimizer", options.optimizer)


def _flags(names: list[str]) -> str:
    return ", ".join(map(cli.flag, names))
