"""The algorithm that "auto" chooses: the fastest one on the most similar convolution in ``measured.csv``.

The table is measured once, by ``python -m tests.benchmarks.conv_table``, and read here. Nothing is timed while a model
runs, so a model uses the same algorithms and gives the same results every time.
"""

import csv
import functools
from math import log2
from pathlib import Path

from ...conv.algorithm import ConvSpec

TABLE = Path(__file__).with_name("measured.csv")
SIZES = ("kernel height", "kernel width", "stride", "channels", "filters", "output pixels")
"""The columns that describe the convolution of a row; the others are the milliseconds of each algorithm."""
WEIGHTS = (4.0, 4.0, 4.0, 1.0, 1.0, 0.5)
"""The distance between two convolutions that differ by a factor of two, for each size."""


@functools.lru_cache(maxsize=1024)  # bounded, because every batch may have images of a new size
def ranking(spec: ConvSpec) -> tuple[str, ...]:
    """The algorithms of the table, fastest first for a convolution like this one, then "direct", which supports all.

    >>> import numpy as np
    >>> from minidl.kernels.window import sliding_window
    >>> ranking(ConvSpec(32, 64, 128, sliding_window(30, 30, 3, 1, 0), np.dtype(np.float32)))[0]
    'winograd'
    """
    sizes = _sizes(spec)
    row = min(_rows(), key=lambda row: sum(map(_weighted, WEIGHTS, row[0], sizes)))
    times = row[1]
    return (*sorted(times, key=times.__getitem__), "direct")


def _sizes(spec: ConvSpec) -> tuple[float, ...]:
    window = spec.window
    return window.KH, window.KW, (window.SH * window.SW) ** 0.5, spec.C, spec.K, window.OH * window.OW


def _weighted(weight: float, one: float, other: float) -> float:
    return weight * abs(log2(one / other))


@functools.cache
def _rows() -> list[tuple[tuple[float, ...], dict[str, float]]]:
    """The sizes of every row, and the time of each algorithm that supports it."""
    with TABLE.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [
        (
            tuple(float(row.pop(size)) for size in SIZES),
            {name: float(time) for name, time in row.items() if time},
        )
        for row in rows
    ]
