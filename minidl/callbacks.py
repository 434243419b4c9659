"""Callbacks: progress, checkpoints, logs, early stopping, profiling and an orderly end on Ctrl-C.

>>> import tempfile, numpy as np, minidl as md
>>> from minidl.data import ArrayDataset, DataLoader
>>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 1)
>>> model = md.nn.Dense(1, 1)
>>> with tempfile.TemporaryDirectory() as folder:
...     watching = [Progress(sys.stdout), EarlyStopping(patience=3), StopOnSignal(), ProfileSteps(folder, steps=2)]
...     writing = [Checkpoint(folder), CSVLog(f"{folder}/metrics.csv")]
...     optimizer = md.optim.SGD(model.parameters(), lr=0.5)
...     trainer = Trainer(model, md.nn.functional.mse_loss, optimizer, callbacks=[*watching, *writing])
...     history = trainer.fit(DataLoader(ArrayDataset(x, 3 * x), batch_size=8), epochs=2)
...     print(*sorted(path.name for path in Path(folder).iterdir()))
epoch 1/2  ... samples/s  loss ...
epoch 2/2  ... samples/s  loss ...
best.safetensors last.safetensors last.state.safetensors metrics.csv profile.png profile.txt trace.json
"""

import contextlib
import csv
import io
import math
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from . import checkpoint, plugins
from .directions import direction
from .errors import MinidlError, brief, suggestion
from .files import as_path, atomic_write, require_folder
from .options import integer, option
from .profiler import Profiler
from .progress import Progress
from .totals import Row
from .train import Callback, Trainer

__all__ = ["CSVLog", "Checkpoint", "EarlyStopping", "ProfileSteps", "Progress", "StopOnSignal", "best_row"]


def best_row(history: Sequence[Row], monitor: str = "val_loss", mode: str | None = None) -> Row:
    """The row with the best ``monitor``, the first of equal ones; NaN is worse than any number.

    The lowest value is best for a loss or an error, the highest for an accuracy or another score; for other names,
    ``mode`` must be "min" or "max" (:func:`minidl.directions.direction`). While no row has a validation, ``loss``
    replaces ``val_loss``, and so on; once a row has ``monitor``, rows without it are ignored, because the two cannot be
    compared. Raises :class:`MinidlError` if no value has that name, and if there are no rows.

    >>> rows = [{"epoch": 1, "val_loss": 2.0, "val_accuracy": 0.7}, {"epoch": 2, "val_loss": 1.0, "val_accuracy": 0.6}]
    >>> best_row(rows)["epoch"], best_row(rows, "val_accuracy")["epoch"]
    (2, 1)
    """
    sign = -1 if direction(monitor, mode) == "max" else 1
    name = _monitored(history, monitor)

    def value(row: Row) -> float:
        return math.inf if math.isnan(row[name]) else sign * row[name]

    return min((row for row in history if name in row), key=value)


def _monitored(history: Sequence[Row], monitor: str) -> str:
    """The name of the monitored value in the rows."""
    if not history:
        raise MinidlError("expected the rows of a history, got none: train for an epoch first")
    if any(monitor in row for row in history):
        return monitor
    instead, last = monitor.removeprefix("val_"), history[-1]
    if instead in last and not any(name.startswith("val_") for name in last):
        return instead
    raise MinidlError(
        f"there is no '{monitor}' to monitor.{suggestion(monitor, list(last))} This epoch has {', '.join(last)}."
    )


_BEST, _LAST = "best.safetensors", "last.safetensors"


@plugins.register("callback", "checkpoint")
class Checkpoint(Callback):
    """Saves to a folder, after every epoch and when training ends inside an epoch:

    - ``best.safetensors``: the weights of the epoch with the best ``monitor``, see :func:`best_row` for ``mode``;
    - ``last.safetensors``: the weights of the last epoch, or of the last step if ``fit(steps=...)`` ended there;
    - ``last.state.safetensors``: everything needed to resume, in one file that is replaced atomically. ``notes()``
      returns a dictionary of strings to store with it, for :func:`minidl.checkpoint.read_metadata`; it is called before
      anything is written.

    If an error, or the end of the process, kept the weights of an epoch from being written, the next ``fit`` writes
    them before its first step, also after resuming. If ``best.safetensors`` still lacks the weights of the best epoch
    at the end, a warning says so: the last state has only those of the last epoch.
    """

    def __init__(
        self,
        folder: str | Path,
        monitor: str = "val_loss",
        notes: Callable[[], dict[str, str]] | None = None,
        mode: str | None = None,
    ) -> None:
        self.folder, self.monitor = as_path(folder), monitor
        self.mode = direction(monitor, mode)
        if notes is not None and not callable(notes):
            raise MinidlError(
                f"notes must be a function that returns strings by name, got {brief(notes)}: write lambda: ..."
            )
        self.notes: Callable[[], dict[str, str]] = dict if notes is None else notes

    def on_train_begin(self, trainer: Trainer) -> None:
        require_folder(self.folder / "last.state.safetensors")
        if trainer.at_epoch_end:
            for name, epoch in {_BEST: self._best_epoch(trainer), _LAST: trainer.epoch}.items():
                if epoch == trainer.epoch and self._epoch_in(name) != str(epoch):
                    self._save_weights(trainer, name)

    def on_epoch_end(self, trainer: Trainer) -> None:
        notes = self._notes(trainer)
        if best_row(trainer.history, self.monitor, self.mode) is trainer.history[-1]:
            self._save_weights(trainer, _BEST)
        self._save_weights(trainer, _LAST)
        self._save_state(trainer, notes)

    def on_train_end(self, trainer: Trainer) -> None:
        best, held = self._best_epoch(trainer), self._epoch_in(_BEST)
        if best is not None and held != str(best):
            holds = f"holds the weights of epoch {held}" if held else "is missing or damaged"
            warnings.warn(
                f"{self.folder / _BEST} {holds}, but epoch {best} has the best {self.monitor}, and its weights are not "
                "in the last state: copy them from another folder, or train again",
                stacklevel=6,  # the line that calls fit
            )
        if not (trainer.inside_epoch or trainer.stopping):
            return
        notes = self._notes(trainer)
        if trainer.inside_epoch and not trainer.stopping:
            note = {"step": str(trainer.optimizer.steps)}
            checkpoint.save(self.folder / _LAST, trainer.model.state_dict(), note)
        self._save_state(trainer, notes)

    def _best_epoch(self, trainer: Trainer) -> int | None:
        """The number of the best epoch; None while no epoch has a value to monitor."""
        with contextlib.suppress(MinidlError):
            return int(best_row(trainer.history, self.monitor, self.mode)["epoch"])
        return None

    def _epoch_in(self, name: str) -> str:
        """The epoch whose weights a file has, according to its metadata; "" if there is none."""
        with contextlib.suppress(OSError, checkpoint.CheckpointError):
            return checkpoint.read_metadata(self.folder / name).get("epoch", "")
        return ""

    def _save_weights(self, trainer: Trainer, name: str) -> None:
        checkpoint.save(self.folder / name, trainer.model.state_dict(), {"epoch": str(trainer.epoch)})

    def _notes(self, trainer: Trainer) -> dict[str, str]:
        return {"epoch": str(trainer.epoch), **checkpoint.checked_metadata(self.notes())}

    def _save_state(self, trainer: Trainer, notes: dict[str, str]) -> None:
        checkpoint.save_state(self.folder / "last.state.safetensors", trainer.state_dict(), notes)


@plugins.register("callback", "csv_log")
class CSVLog(Callback):
    """Writes the history to a CSV file, one row per epoch; missing values are empty.

    The file is written after every epoch, and before the first step if there is a history: if a run ended after its
    state was saved but before the file was written, resuming completes the file.

    A subclass may add columns: it overrides ``rows(trainer)``, which returns the rows to write.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = as_path(path)

    def on_train_begin(self, trainer: Trainer) -> None:
        require_folder(self.path)
        if trainer.history:
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        text = io.StringIO()
        rows = self.rows(trainer)
        names = dict.fromkeys(name for row in rows for name in row)  # in order; the first rows may have no validation
        writer = csv.DictWriter(text, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(self.path) as file:
            file.write(text.getvalue().encode())

    def rows(self, trainer: Trainer) -> Sequence[dict[str, Any]]:
        """The rows to write: the values of every epoch by column."""
        return trainer.history


@plugins.register("callback", "early_stopping")
class EarlyStopping(Callback):
    """Stops when ``monitor`` has not improved on its best for ``patience`` epochs; NaN never improves.

    As in :func:`best_row`, a lower loss or error is better, a higher accuracy, and ``mode`` decides for other names.

    Epochs without a validation, after one that had it, do not improve.

    With ``patience`` 0 or 1 it stops after the first epoch that does not improve, as in Keras.

    If training was stopped this way, here or in the run that is resumed, another ``fit`` ends before its first step: to
    continue, remove the callback or raise its ``patience``.

    Prechelt, "Early Stopping - But When?" (1998).

    >>> from types import SimpleNamespace
    >>> history = [{"epoch": 1, "val_loss": 0.5}, {"epoch": 2, "val_loss": 0.6}]
    >>> trainer = SimpleNamespace(history=history, epoch=2, stopping=False)
    >>> EarlyStopping(patience=1).on_epoch_end(trainer)
    >>> trainer.stopping
    True
    """

    patience: int = option(integer, 0)

    def __init__(self, patience: int = 5, monitor: str = "val_loss", mode: str | None = None) -> None:
        if isinstance(patience, str) and not patience.isdigit():
            raise MinidlError(f"expected a number of epochs, got {patience!r}: write monitor={patience!r}")
        self.patience, self.monitor = patience, monitor
        self.mode = direction(monitor, mode)

    def on_train_begin(self, trainer: Trainer) -> None:
        if trainer.history:
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        best = best_row(trainer.history, self.monitor, self.mode)["epoch"]
        trainer.stopping |= trainer.epoch - best >= max(self.patience, 1)


@plugins.register("callback", "profile_steps")
class ProfileSteps(Callback):
    """Profiles up to ``steps`` training steps after ``warm_up`` steps, and writes the measured times to a folder.

    Writes ``profile.txt`` (a table), ``profile.png`` (bars) and ``trace.json`` (open it in https://ui.perfetto.dev).
    """

    steps: int = option(integer, 1)
    warm_up: int = option(integer, 0)

    def __init__(self, folder: str | Path, steps: int = 20, warm_up: int = 3) -> None:
        self.folder, self.steps, self.warm_up = as_path(folder), steps, warm_up
        self.profiler: Profiler | None = None
        self.done = self._first = self._end = 0

    def on_train_begin(self, trainer: Trainer) -> None:
        require_folder(self.folder / "profile.txt")
        self.profiler, self.done = Profiler(), 0
        self._first, self._end = self.warm_up, self.warm_up + self.steps
        if trainer.train_loader is not None:  # not beyond the epoch, because the validation is not a training step
            batches = max(1, int(min(len(trainer.train_loader), trainer.steps_left)))
            self._first, self._end = min(self._first, batches - 1), min(self._end, batches)
        self.profiler.__enter__()

    def on_step_end(self, trainer: Trainer) -> None:
        self.done += 1
        if self.profiler is not None and self.done == self._first:
            self.profiler.restart()
        if self.done == self._end:
            self._write()

    def on_train_end(self, trainer: Trainer) -> None:
        self._write()

    def on_train_error(self, trainer: Trainer) -> None:
        if self.profiler is not None:
            self.profiler.__exit__()
            self.profiler = None

    def _write(self) -> None:
        if self.profiler is None:
            return
        self.profiler.__exit__()
        self.profiler.steps = max(1, self.done - self._first)
        with atomic_write(self.folder / "profile.txt") as file:
            file.write((self.profiler.table() + "\n").encode())
        self.profiler.plot(self.folder / "profile.png")
        self.profiler.trace(self.folder / "trace.json")
        self.profiler = None


@plugins.register("callback", "stop_on_signal")
class StopOnSignal(Callback):
    """The first Ctrl-C (SIGINT) or SIGTERM ends training after the current step; the second ends it at once.

    Works only in the main thread, where Python handles signals: raises :class:`MinidlError` before the first step in
    other threads.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._trainer: Trainer | None = None
        self._before: dict[int, Any] = {}

    def on_train_begin(self, trainer: Trainer) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise MinidlError(
                "StopOnSignal works only in the main thread, which gets the signals: leave it out in other threads, "
                "and set trainer.stopping = True to end training after the current step"
            )
        if self._trainer is None:
            self.received, self._trainer = None, trainer
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None or self._trainer is None:
            self._restore()
            signal.signal(number, self._outlasting(number, self._stop))  # another handler may have called this one
            signal.raise_signal(number)
            return
        self.received, self._trainer.stopping = number, True
        with contextlib.suppress(OSError, RuntimeError):  # a closed terminal; a write that the signal interrupted
            sys.stderr.write("\nstopping after this step; once more to stop at once\n")

    def on_train_end(self, trainer: Trainer) -> None:
        self._restore()

    def on_train_error(self, trainer: Trainer) -> None:
        self._restore()

    def _restore(self) -> None:
        """Restore the previous handlers, except where another handler was installed since, which restores its own."""
        self._trainer = None
        for number in self._before:
            handler = signal.getsignal(number)
            if (lasting := self._outlasting(number, handler)) is not handler:
                signal.signal(number, lasting)

    @staticmethod
    def _outlasting(number: int, handler: Any) -> Any:
        """The handler, or the one before it if it belongs to a training that has ended."""
        while isinstance(one := getattr(handler, "__self__", None), StopOnSignal) and one._trainer is None:
            handler = one._before[number]
        return handler
