"""The progress line of training, and how numbers and lines are written for a terminal.

>>> import numpy as np, minidl as md
>>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 1)
>>> model, loader = md.nn.Dense(1, 1), md.data.DataLoader(md.data.ArrayDataset(x, 3 * x), batch_size=8)
>>> optimizer = md.optim.SGD(model.parameters(), lr=0.5)
>>> trainer = md.Trainer(model, md.nn.functional.mse_loss, optimizer, callbacks=[Progress(sys.stdout)])
>>> history = trainer.fit(loader, epochs=1)
epoch 1/1  ... samples/s  loss ...
>>> epoch_facts(trainer)[0]
'epoch 1/1'
"""

import copy
import math
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from . import plugins
from .errors import MinidlError, brief
from .totals import Row
from .train import Callback, Trainer

__all__ = ["Progress", "columns", "duration", "epoch_facts", "fitting", "size", "wrapped"]


@plugins.register("callback", "progress")
class Progress(Callback):
    """Shows the progress of training, its speed, the time left and the metrics so far; one line per epoch.

    On a terminal the line is rewritten in place and fits its width; elsewhere only the final line of each epoch is
    written. If ``fit(steps=...)`` ends inside an epoch, its line is written then.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        if stream is not None and not all(hasattr(stream, name) for name in ("write", "flush", "isatty")):
            raise MinidlError(f"expected a stream to write to, got {brief(stream)}: use sys.stdout, or an open file")
        self._given = stream
        self.shown = 0.0

    @property
    def stream(self) -> TextIO:
        """The stream to write to: standard error unless one was given."""
        return sys.stderr if self._given is None else self._given

    def __deepcopy__(self, memo: dict[int, Any]) -> "Progress":
        return copy.copy(self)  # it shares the stream, which cannot be copied

    def on_step_end(self, trainer: Trainer) -> None:
        now = time.monotonic()
        if self.stream.isatty() and now - self.shown > 0.2:
            self.shown = now
            self._rewrite(fitting(_progress_facts(trainer), columns(self.stream) - 1))

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._clear()
        facts = epoch_facts(trainer)
        lines = wrapped(facts, columns(self.stream) - 1) if self.stream.isatty() else ["  ".join(facts)]
        self.stream.write("\n".join(lines) + "\n")
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


def _progress_facts(trainer: Trainer) -> list[str]:
    """The progress of the current epoch: steps, samples/s, the total time left, metrics so far."""
    assert trainer.train_loader is not None, "there is progress only inside fit"
    done, steps = trainer.position, len(trainer.train_loader)
    step = _of(done, steps) if trainer.steps == math.inf else _of(trainer.optimizer.steps, trainer.steps)
    per_step = trainer.seconds / max(1, trainer.optimizer.steps)
    where = [f"epoch {_of(trainer.epoch + 1, trainer.epochs)}", f"step {step}"]
    left = f"{duration(trainer.steps_left * per_step)} left"
    return [*where, _speed(trainer), left, *_metrics(trainer.totals.means())]


def epoch_facts(trainer: Trainer) -> list[str]:
    """The last epoch of a trainer in parts of a line: its number, the speed so far, its metrics.

    An epoch that is not complete counts; its metrics are those so far. Raises :class:`MinidlError` before the first
    step.

    >>> import minidl as md
    >>> x = md.randn(8, 1).data
    >>> model, loader = md.nn.Dense(1, 1), md.data.DataLoader(md.data.ArrayDataset(x, x))
    >>> trainer = Trainer(model, md.nn.functional.mse_loss, md.optim.SGD(model.parameters(), lr=0.1))
    >>> history = trainer.fit(loader, epochs=1)
    >>> print(*epoch_facts(trainer), sep=", ")
    epoch 1/1, ... samples/s, loss ...
    """
    if not (trainer.inside_epoch or trainer.history):
        raise MinidlError("there is no epoch yet: call trainer.fit first")
    if trainer.inside_epoch:
        epoch, row = f"{trainer.epoch + 1} up to step {trainer.optimizer.steps}", trainer.totals.means()
    else:
        epoch, row = _of(trainer.epoch, trainer.epochs), trainer.history[-1]
    values = {name: value for name, value in row.items() if name not in ("epoch", "lr")}
    return [f"epoch {epoch}", _speed(trainer), *_metrics(values)]


def _of(number: int, total: float) -> str:
    return f"{number}" if total == math.inf else f"{number}/{total}"


def _speed(trainer: Trainer) -> str:
    return f"{trainer.samples / trainer.seconds if trainer.seconds else 0.0:.0f} samples/s"


def columns(stream: TextIO) -> int:
    """The width of the terminal of a stream; without a terminal, the environment variable ``COLUMNS``, or 80.

    >>> import io
    >>> columns(io.StringIO()) == shutil.get_terminal_size().columns
    True
    """
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        width = 0
    return width or shutil.get_terminal_size().columns


def fitting(facts: Sequence[str], width: int) -> str:
    """The facts in one line of at most ``width`` characters; the longest are left out first.

    >>> fitting(["epoch 1/30", "loss 12.5", "gender_accuracy 0.9135"], 40)
    'epoch 1/30  loss 12.5'
    """
    kept = list(facts)
    while kept and len("  ".join(kept)) > width:
        kept.remove(max(reversed(kept), key=len))
    return "  ".join(kept)


def wrapped(facts: Sequence[str], width: int) -> list[str]:
    """The facts in lines of at most ``width`` characters, unless a fact is longer; the first line is not indented.

    >>> wrapped(["epoch 1/30", "loss 12.5", "gender_accuracy 0.9135"], 30)
    ['epoch 1/30  loss 12.5', '  gender_accuracy 0.9135']
    """
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + 2 + len(fact) <= width:
            lines[-1] += f"  {fact}"
        else:
            lines.append(f"  {fact}" if lines else fact)
    return lines


def duration(seconds: float) -> str:
    """A time in a readable form.

    >>> duration(75), duration(7322)
    ('1:15', '2:02:02')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def size(nbytes: float) -> str:
    """A number of bytes in a readable form with three significant digits.

    >>> size(0), size(40_000), size(190_123), size(999_999), size(163_040_000), size(12_345_678_901)
    ('0 bytes', '40 kB', '190 kB', '1 MB', '163 MB', '12.3 GB')
    """
    rounded, units = float(f"{nbytes:.3g}"), ["bytes", "kB", "MB", "GB", "TB"]
    power = next((power for power in range(len(units)) if rounded < 1000 ** (power + 1)), len(units) - 1)
    return f"{rounded / 1000**power:g} {units[power]}"


def _metrics(row: Row) -> list[str]:
    return [f"{name} {value:.4g}" for name, value in row.items()]
