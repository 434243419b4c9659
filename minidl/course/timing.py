"""Comparisons of times that hold on a busy machine: all candidates in turn, as ratios.

>>> import numpy as np
>>> small, large = np.ones(10), np.ones(1_000_000)
>>> measured = ratios({"small": lambda: small + 1, "large": lambda: large + 1}, rounds=3)
>>> measured["small"], len(measured["large"])
([1.0, 1.0, 1.0], 3)
"""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def ratios(works: Mapping[Key, Callable[[], object]], rounds: int = 7) -> dict[Key, list[float]]:
    """The time of each work in units of the first one's, in every round.

    A round runs each once, in turn, so what else the machine does disturbs all alike. Every second round goes
    backwards, so that none always runs after the same other one, which may leave more or less in the cache. The first
    round, in which memory is allocated, is not counted.
    """
    found: dict[Key, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        order = list(works)[:: -1 if number % 2 else 1]
        times = {name: _seconds(works[name]) for name in order}
        if number:
            for name, measured in found.items():
                measured.append(times[name] / times[next(iter(works))])
    return found


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return max(time.perf_counter() - start, 1e-9)  # a coarse clock may not have moved


def spread(values: Sequence[float]) -> str:
    """The median, with the quartiles: half of the values lie between them.

    >>> spread([1.0, 30.0, 1.5, 2.0, 1.25])
    '1.50 (1.25 to 2.00)'
    """
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
