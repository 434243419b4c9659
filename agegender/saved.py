"""Load a trained model: that of a run, or of a weights file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

import minidl as md
from minidl.checkpoint import load_with_metadata
from minidl.command import UsageError
from minidl.errors import MinidlError

from . import models
from .calibration import Calibration
from .data.files import exists, is_folder
from .json_files import conform, read_json
from .options import RUNS, Options
from .runs import earlier
from .runs.folder import BEST, Run

CALIBRATION = "calibration.json"


class Fitted(TypedDict):
    """The content of the file that keeps a :class:`agegender.calibration.Calibration`."""

    temperature: float
    intercept: float
    slope: float
    width: float


@dataclass(frozen=True)
class Trained:
    """A model in evaluation mode, where its weights came from, and its run (None for a file): see :func:`load`."""

    model: md.nn.Module
    place: Path
    run: Run | None
    calibration: Calibration | None

    @property
    def name(self) -> str:
        """The name of the run or of the file."""
        return self.place.name if self.run is None else self.run.folder.resolve().name


def load(place: str | Path | None = None, *, parent: str | Path = RUNS, device: str = "numpy") -> Trained:
    """The best weights of a run (a folder, or a name in ``parent``; default: the latest), or the weights of a file.

    The metadata of a file may have its ``model`` (default: "documented") and its ``calibration``. Raises
    :class:`minidl.command.UsageError` for a run without weights, and for weights that are damaged or of other shapes.

    >>> load("nowhere")
    Traceback (most recent call last):
    minidl.command.UsageError: runs/nowhere does not exist. Runs in runs/: ...
    """
    run = None if place is not None and Path(place).is_file() else _run(place, Path(parent))
    path = Path(place or "") if run is None else run.folder / BEST
    name = Options.model if run is None else run.config.get("model", Options.model)
    try:
        arrays, notes = load_with_metadata(path)
        model = models.build(notes.get("model", name))
        model.load_state_dict({name: array.astype(np.float32) for name, array in arrays.items()})
    except MinidlError as error:
        raise UsageError(f"{path} cannot be used as weights of the model '{name}': {error}") from None
    model.to(device)
    model.eval()
    return Trained(model, path, run, _calibration(path, notes, run))


def _calibration(path: Path, notes: dict[str, str], run: Run | None) -> Calibration | None:
    """The calibration that ``agegender.evaluate`` left in a run, or that is in the metadata of a file; or None."""
    if run is not None:
        found = run.folder / CALIBRATION
        return Calibration(**read_json(found, Fitted)) if exists(found) else None
    try:
        return Calibration(**conform(json.loads(notes["calibration"]), Fitted, "calibration"))
    except KeyError:
        return None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: its calibration cannot be read: {error}") from None


def _run(place: str | Path | None, parent: Path) -> Run:
    if place is None and not earlier.found(parent):
        raise UsageError(f"there is no run in {parent}/: train one with python -m agegender.train, or name a run")
    run = earlier.find(parent, None if place is None else str(place), {})
    if not exists(run.folder / BEST) or is_folder(run.folder / BEST):
        raise UsageError(f"{run.folder} has no {BEST}: it ended in its first epoch. Go on with {run.resume_command()}")
    return run


def options(run: Run) -> Options:
    """The options that a run was trained with; unknown ones of other versions are ignored.

    >>> options(Run(Path("nowhere"))).epochs is None
    True
    """
    known: dict[str, Any] = Options().configuration()
    return Options(**{name: value for name, value in run.config.items() if name in known})
