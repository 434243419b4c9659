"""Comparisons of times that hold on a busy machine: all candidates in turn, as ratios.

>>> import numpy as np
>>> small, large = np.ones(10), np.ones(1_000_000)
>>> measured = ratios({"small": lambda: small + 1, "large": lambda: large + 1}, rounds=3)
>>> measured["small"], len(measured["large"])
([1.0, 1.0, 1.0], 3)
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def ratios(works: Mapping[str, Callable[[], object]], rounds: int = 7) -> dict[str, list[float]]:
    """The time of each work in units of the first one's, in every round.

    A round runs each once, in turn, so what else the machine does disturbs all alike. The first round, in which memory
    is allocated and caches are filled, is not counted.
    """
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        times = [_seconds(work) for work in works.values()]
        if number:
            for measured, seconds in zip(found.values(), times, strict=True):
                measured.append(seconds / times[0])
    return found


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spread(values: Sequence[float]) -> str:
    """The median, with the quartiles: half of the values lie between them.

    >>> spread([1.0, 30.0, 1.5, 2.0, 1.25])
    '1.50 (1.25 to 2.00)'
    """
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
