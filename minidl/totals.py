"""Losses and metrics of a training: sums over the current epoch, and a row of means for each complete epoch.

>>> totals = Totals()
>>> for means, size in (([2.0], 3), ([6.0], 1)):
...     totals.add(("loss",), np.array(means), size)
>>> totals.means()
{'loss': 3.0}
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import backends
from .errors import CallError, MinidlError, brief
from .habits import Answering
from .options import integer, number
from .states import require_entries

Array = Any
Row = dict[str, float]
"""Values by name."""


class Totals:
    """Sums of losses and metrics, weighted by batch size; kept on the device, because reading them synchronizes."""

    def __init__(self, sums: Mapping[str, float] | None = None, count: int = 0) -> None:
        self.names = tuple(sums or ())
        self.sums: Array = np.array(list((sums or {}).values()))
        self.count = count

    @classmethod
    def of_state(cls, state: Any) -> "Totals":
        """The totals of a :meth:`state_dict`. Raises :class:`MinidlError` for anything else."""
        require_entries(state, ["sums", "count"], "totals")
        require_entries(state["sums"], [], "sums")
        sums = {name: number(f"the sum of {name}", value) for name, value in state["sums"].items()}
        return cls(sums, integer("count", state["count"], least=0))

    def add(self, names: tuple[str, ...], means: Array, size: int) -> None:
        """Add the means over a batch of ``size`` samples; float64, because long float32 sums lose precision."""
        if self.count and names != self.names:
            raise MinidlError(
                f"the metrics became {', '.join(names)} in the middle of an epoch, which so far has "
                f"{', '.join(self.names)}: change them between epochs, in on_epoch_end for example"
            )
        sums = means * size
        if self.count:
            place, before = backends.of(sums), self.sums
            if backends.of(before) is not place:  # the model was moved
                before = place.asarray(backends.to_host(before))
            sums = before + sums
        self.sums = sums
        self.names, self.count = names, self.count + size

    def means(self) -> Row:
        """The means so far, as Python floats."""
        return {name: total / self.count for name, total in self._read().items()}

    def state_dict(self) -> dict[str, Any]:
        """The sums as Python floats, and the number of samples."""
        return {"sums": self._read(), "count": self.count}

    def _read(self) -> dict[str, float]:
        return dict(zip(self.names, backends.to_host(self.sums).tolist(), strict=True))


class History(Answering, list[Row]):
    """The rows of a training, one per epoch.

    >>> History([{"epoch": 1, "loss": 0.5}])[0]["loss"]
    0.5
    """

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            raise CallError(f'a history has a row for each epoch: write [row["{index}"] for row in history]')
        return super().__getitem__(index)

    @classmethod
    def of_state(cls, rows: Any) -> "History":
        """The history of a state. Raises :class:`MinidlError` unless it is a list of rows, each of an epoch."""
        if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
            raise MinidlError(f"expected a history, a list of rows, got {brief(rows)}: use a trainer's state_dict()")
        for row in rows:
            integer("'epoch' of the history", row.get("epoch"), least=1)
        return cls(dict(row) for row in rows)
