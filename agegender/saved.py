"""Load a trained model: that of a run, or of a weights file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import minidl as md
from minidl.checkpoint import CheckpointError
from minidl.command import UsageError
from minidl.errors import MinidlError

from . import models
from .calibration import Calibration
from .data.files import exists, is_folder
from .json_files import read_json
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

    @property
    def calibration(self) -> Calibration | None:
        """The calibration that ``agegender.evaluate`` left in the run; None without."""
        if self.run is None or not exists(self.run.folder / CALIBRATION):
            return None
        return Calibration(**read_json(self.run.folder / CALIBRATION, Fitted))

    @property
    def name(self) -> str:
        """The name of the run or of the file."""
        return self.place.name if self.run is None else self.run.folder.resolve().name


def load(place: str | Path | None = None, *, parent: str | Path = RUNS, device: str = "numpy") -> Trained:
    """The best weights of a run (a folder, or a name in ``parent``; default: the latest), or the weights of a file.

    A file has the weights of the model 'documented'. Raises :class:`minidl.command.UsageError` for a run without
    weights, and for weights that are damaged or of other shapes.

    >>> load("nowhere")
    Traceback (most recent call last):
    minidl.command.UsageError: runs/nowhere does not exist. Runs in runs/: ...
    """
    run = None if place is not None and Path(place).is_file() else _run(place, Path(parent))
    path = Path(place or "") if run is None else run.folder / BEST
    name = Options.model if run is None else run.config.get("model", Options.model)
    try:
        model = models.build(name)
        model.load_state_dict(md.load(path))
    except (CheckpointError, MinidlError) as error:
        raise UsageError(f"{path} cannot be used as weights of the model '{name}': {error}") from None
    model.to(device)
    model.eval()
    return Trained(model, path, run)


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
