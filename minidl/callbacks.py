"""Callbacks: progress, checkpoints, logs, early stopping and an orderly end on Ctrl-C.

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
epoch 1/2  ... images/s  loss ...
epoch 2/2  ... images/s  loss ...
best.safetensors last.safetensors last.state.safetensors metrics.csv profile.png profile.txt trace.json
"""

import csv
import io
import math
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from . import checkpoint, plugins
from .profiler import Profiler
from .train import Callback, Row, Trainer


def best_row(history: Sequence[Row], monitor: str = "val_loss") -> Row:
    """The row with the lowest ``monitor``, the first of equal ones; ``loss`` counts where there is no validation.

    >>> best_row([{"epoch": 1, "val_loss": 2.0}, {"epoch": 2, "val_loss": 1.0}])["epoch"]
    2
    """
    return min(history, key=lambda row: row[monitor] if monitor in row else row["loss"])


@plugins.register("callback", "checkpoint")
class Checkpoint(Callback):
    """Keeps in a folder, after every epoch and when training ends inside of one:

    - ``best.safetensors``: the weights of the epoch with the lowest ``monitor``;
    - ``last.safetensors``: the weights of the last epoch, or of the last step if ``fit(steps=...)`` ended there;
    - ``last.state.safetensors``: everything needed to resume, in one file that is replaced in one rename.
    """

    def __init__(self, folder: str | Path, monitor: str = "val_loss") -> None:
        self.folder, self.monitor = Path(folder), monitor

    def on_epoch_end(self, trainer: Trainer) -> None:
        weights = trainer.model.state_dict()
        row = trainer.history[-1]
        note = {"epoch": str(trainer.epoch)}
        if best_row(trainer.history, self.monitor) is row:
            checkpoint.save(self.folder / "best.safetensors", weights, note)
        checkpoint.save(self.folder / "last.safetensors", weights, note)
        self._save_state(trainer)

    def on_train_end(self, trainer: Trainer) -> None:
        if trainer.inside_epoch and not trainer.stopping:
            note = {"step": str(trainer.optimizer.steps)}
            checkpoint.save(self.folder / "last.safetensors", trainer.model.state_dict(), note)
        if trainer.inside_epoch or trainer.stopping:
            self._save_state(trainer)

    def _save_state(self, trainer: Trainer) -> None:
        checkpoint.save_state(self.folder / "last.state.safetensors", trainer.state_dict())


@plugins.register("callback", "csv_log")
class CSVLog(Callback):
    """Writes the history to a CSV file, a row an epoch."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_epoch_end(self, trainer: Trainer) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(trainer.history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(trainer.history)
        with checkpoint.atomic_write(self.path) as file:
            file.write(text.getvalue().encode())


@plugins.register("callback", "early_stopping")
class EarlyStopping(Callback):
    """Stops when ``monitor`` has not fallen below its best for ``patience`` epochs.

    Prechelt, "Early Stopping - But When?" (1998).

    >>> from types import SimpleNamespace
    >>> history = [{"epoch": 1, "val_loss": 0.5}, {"epoch": 2, "val_loss": 0.6}]
    >>> trainer = SimpleNamespace(history=history, epoch=2, stopping=False)
    >>> EarlyStopping(patience=1).on_epoch_end(trainer)
    >>> trainer.stopping
    True
    """

    def __init__(self, patience: int = 5, monitor: str = "val_loss") -> None:
        self.patience, self.monitor = patience, monitor

    def on_epoch_end(self, trainer: Trainer) -> None:
        best = best_row(trainer.history, self.monitor)["epoch"]
        trainer.stopping |= trainer.epoch - best >= self.patience


@plugins.register("callback", "progress")
class Progress(Callback):
    """One line that shows how far training is, its speed, the time left and the metrics so far; a line an epoch.

    On a terminal the line is rewritten in place; elsewhere only the lines of the epochs are written. An epoch inside
    which ``fit(steps=...)`` ends gets its line then.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.shown = 0.0

    def on_step_end(self, trainer: Trainer) -> None:
        now = time.monotonic()
        if self.stream.isatty() and now - self.shown > 0.2:
            self.shown = now
            self._rewrite(progress_line(trainer))

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._clear()
        self.stream.write(epoch_line(trainer) + "\n")
        self.stream.flush()

    def on_train_end(self, trainer: Trainer) -> None:
        if trainer.inside_epoch and not trainer.stopping:
            self.on_epoch_end(trainer)
        else:
            self._clear()

    def _rewrite(self, line: str) -> None:
        self.stream.write(f"\r\x1b[2K{line}")
        self.stream.flush()

    def _clear(self) -> None:
        if self.stream.isatty():
            self._rewrite("")


def progress_line(trainer: Trainer) -> str:
    """How far the epoch at hand is, for :class:`Progress`: steps, images/s, the time left for all, metrics so far."""
    assert trainer.train_loader is not None, "there is progress only inside fit"
    done, steps = trainer.train_loader.state_dict()["position"], len(trainer.train_loader)
    step = _of(done, steps) if trainer.steps == math.inf else _of(trainer.optimizer.steps, trainer.steps)
    per_step = trainer.seconds / max(1, trainer.optimizer.steps)
    return (
        f"epoch {_of(trainer.epoch + 1, trainer.epochs)}  step {step}  {_speed(trainer)}  "
        f"{duration(trainer.steps_left * per_step)} left  {_metrics(trainer.totals.means())}"
    )


def epoch_line(trainer: Trainer) -> str:
    """The last epoch, for :class:`Progress`: its metrics, so far if it is not complete, and the speed so far."""
    if trainer.inside_epoch:
        epoch, row = f"{trainer.epoch + 1} up to step {trainer.optimizer.steps}", trainer.totals.means()
    else:
        epoch, row = _of(trainer.epoch, trainer.epochs), trainer.history[-1]
    values = {name: value for name, value in row.items() if name not in ("epoch", "lr")}
    return f"epoch {epoch}  {_speed(trainer)}  {_metrics(values)}"


def _of(number: int, total: float) -> str:
    return f"{number}" if total == math.inf else f"{number}/{total}"


def _speed(trainer: Trainer) -> str:
    return f"{trainer.images / trainer.seconds if trainer.seconds else 0.0:.0f} images/s"


def duration(seconds: float) -> str:
    """A time as people write it.

    >>> duration(75), duration(7322)
    ('1:15', '2:02:02')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _metrics(row: Row) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in row.items())


@plugins.register("callback", "profile_steps")
class ProfileSteps(Callback):
    """Measures ``steps`` training steps after the first few, and writes to a folder what took how long:

    ``profile.txt`` (a table), ``profile.png`` (bars) and ``trace.json`` (open it in https://ui.perfetto.dev).
    """

    def __init__(self, folder: str | Path, steps: int = 20, warm_up: int = 3) -> None:
        self.folder, self.steps, self.warm_up = Path(folder), steps, warm_up
        self.profiler: Profiler | None = None
        self.done = 0

    def on_train_begin(self, trainer: Trainer) -> None:
        self.profiler, self.done = Profiler(), 0
        if trainer.train_loader is not None:  # not beyond the epoch, as validation is no training step
            batches = max(1, int(min(len(trainer.train_loader), trainer.steps_left)))
            self.warm_up = min(self.warm_up, batches - 1)
            self.steps = min(self.steps, batches - self.warm_up)
        self.profiler.__enter__()

    def on_step_end(self, trainer: Trainer) -> None:
        self.done += 1
        if self.profiler is not None and self.done == self.warm_up:
            self.profiler.restart()
        if self.done == self.warm_up + self.steps:
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
        self.profiler.steps = max(1, self.done - self.warm_up)
        with checkpoint.atomic_write(self.folder / "profile.txt") as file:
            file.write((self.profiler.table() + "\n").encode())
        self.profiler.plot(self.folder / "profile.png")
        self.profiler.trace(self.folder / "trace.json")
        self.profiler = None


@plugins.register("callback", "stop_on_signal")
class StopOnSignal(Callback):
    """The first Ctrl-C (SIGINT) or SIGTERM ends training after the step at hand; the second ends it at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_begin(self, trainer: Trainer) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            self.received, trainer.stopping = number, True
            self._restore()
            sys.stderr.write("\nstopping after this step; once more to stop at once\n")

        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, stop)

    def on_train_end(self, trainer: Trainer) -> None:
        self._restore()

    def on_train_error(self, trainer: Trainer) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
