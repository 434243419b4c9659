"""Callbacks that log and plot training and check the run folder; errors that give the command to continue."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import minidl as md
from minidl.callbacks import CSVLog
from minidl.command import UsageError, reason
from minidl.progress import epoch_facts
from minidl.train import TrainingError

from .. import tasks
from ..data.files import identity
from ..options import Options
from ..runs.folder import Run
from .pictures import Pictures
from .results import lower, validated
from .speaker import Speaker


class Metrics(CSVLog):
    """``metrics.csv``: the history, with a column for the metrics that are no better than a constant prediction."""

    def __init__(self, path: Path, baselines: dict[str, float]) -> None:
        super().__init__(path)
        self.baselines = baselines

    def rows(self, trainer: md.Trainer) -> list[dict[str, Any]]:
        return [
            {**row, "no_better_than_guessing": " ".join(tasks.no_better(validated(row), self.baselines))}
            for row in trainer.history
        ]


class Report(md.Callback):
    """Logs every epoch and the error that ends training; updates the learning curves."""

    def __init__(self, say: Speaker, pictures: Pictures, baselines: dict[str, float]) -> None:
        self.say, self.pictures, self.baselines = say, pictures, baselines
        self.told = False

    def on_train_begin(self, trainer: md.Trainer) -> None:
        if trainer.history:  # an earlier process may have ended before it plotted its last epoch
            self.pictures.curves(trainer.history, self.baselines)

    def on_epoch_end(self, trainer: md.Trainer) -> None:
        if not self.told and trainer.model.parameters()[0].backend.name != "numpy":
            self.told = True
            self.say(how_steps_are_launched(trainer))
        self.say.note("  ".join(epoch_facts(trainer)))
        self.pictures.curves(trainer.history, self.baselines)

    def on_train_error(self, trainer: md.Trainer) -> None:  # noqa: ARG002 - the signature of a callback
        error = sys.exception()
        self.say.note(f"ended by {type(error).__name__}: {error}")


def how_steps_are_launched(trainer: md.Trainer) -> str:
    """Whether steps run as one CUDA graph or kernel by kernel, and why."""
    if trainer.captured.replays:
        return "forward and backward passes are launched as one CUDA graph"
    return f"steps are launched kernel by kernel: {trainer.captured.reason or 'no two consecutive steps were alike'}"


class InPlace(md.Callback):
    """Ends training if the run folder was moved or removed, because another run may use its name."""

    def __init__(self, run: Run, say: Speaker) -> None:
        self.run, self.say, self.identity = run, say, identity(run.folder)

    def on_epoch_end(self, trainer: md.Trainer) -> None:  # noqa: ARG002 - the signature of a callback
        self.look()

    on_train_end = on_epoch_end

    def look(self) -> None:
        """Raise :class:`UsageError` if the folder is missing or is no longer the original one."""
        folder = self.run.folder
        if identity(folder) != self.identity:
            self.say.log_to(None)
            raise UsageError(
                f"{folder} was removed or renamed during training, so nothing more is saved: restore it, or resume the "
                f"run under its new name: {Run(folder.with_name('NEW_NAME')).resume_command()}"
            )


@contextmanager
def explained(in_place: InPlace, options: Options) -> Iterator[None]:
    """Turn errors that end training into :class:`UsageError` with a command to run next; print it after Ctrl-C."""
    run = in_place.run
    try:
        yield
    except (KeyboardInterrupt, TrainingError, MemoryError, OSError) as error:
        in_place.look()  # a missing folder may be the cause
        if not isinstance(error, KeyboardInterrupt):
            raise UsageError(_way_out(error, run, options)) from None
        in_place.say(f"interrupted. Resume from the last save with: {run.resume_command()}", always=True)


def _way_out(error: Exception, run: Run, options: Options) -> str:
    if isinstance(error, TrainingError):
        return f"{reason(error)}. For example: {run.again_command(lr=lower(options.lr))}"
    if isinstance(error, MemoryError):
        again = run.again_command(batch_size=max(1, options.batch_size // 2))
        saved = f". Resume from the last save with: {run.resume_command()}" if run.is_saved else ""
        what = reason(error) or "unknown size"
        return f"not enough memory ({what}). Smaller batches need less: {again}{saved}"
    return f"{reason(error)}. After fixing this, resume with: {run.resume_command()}"
