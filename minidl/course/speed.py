"""The exercises of ``10_gpu_and_speed``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercise import Exercise

Array = NDArray[Any]


def matmul_cost(M: int, K: int, N: int) -> tuple[int, int]:
    """Operations and bytes of the float32 product (M, K) @ (K, N), each matrix read or written once."""
    return 2 * M * K * N, 4 * (M * K + K * N + M * N)


check_matmul_cost = Exercise(
    matmul_cost,
    examples=[(2, 3, 5), (64, 7, 1)],
    mistakes={
        "each product is also added to a sum: that makes two operations.": lambda M, K, N: (
            M * K * N,
            matmul_cost(M, K, N)[1],
        ),
        "these are numbers: a float32 has 4 bytes.": lambda M, K, N: (2 * M * K * N, M * K + K * N + M * N),
        "these are the bytes of float64: a float32 has 4.": lambda M, K, N: (
            2 * M * K * N,
            8 * (M * K + K * N + M * N),
        ),
        "the result has to be written, too: M N numbers more.": lambda M, K, N: (2 * M * K * N, 4 * (M * K + K * N)),
        "only the result is counted: both factors have to be read.": lambda M, K, N: (2 * M * K * N, 4 * M * N),
        "a number is counted each time that it is used: it comes from memory once.": lambda M, K, N: (
            2 * M * K * N,
            4 * (2 * M * K * N + M * N),
        ),
        "the operations come first, then the bytes.": lambda M, K, N: matmul_cost(M, K, N)[::-1],
        "each of the M N results is a sum of K products: 2 M K N operations.": lambda M, K, N: (
            2 * M * N,
            matmul_cost(M, K, N)[1],
        ),
        "these are the sides of the matrices: multiply them, M K, K N and M N.": lambda M, K, N: (
            2 * M * K * N,
            4 * ((M + K) + (K + N) + (M + N)),
        ),
    },
)


def attainable(intensity: Array, peak: float, bandwidth: float) -> Array:
    """The roof: at most ``peak`` operations a second, and ``bandwidth`` bytes with ``intensity`` operations on each."""
    roof: Array = np.minimum(peak, bandwidth * intensity)
    return roof


check_attainable = Exercise(
    attainable,
    examples=[(np.array([0.5, 4.0, 80.0]), 100.0, 10.0), (np.array([0.25, 2.0, 16.0]), 96.0, 20.0)],
    mistakes={
        "min() compares two numbers: np.minimum compares arrays element by element.": (
            lambda intensity, peak, bandwidth: min(peak, bandwidth * intensity)
        ),
        "this is the larger of the two limits: both hold, so the smaller one counts.": (
            lambda intensity, peak, bandwidth: np.maximum(peak, bandwidth * intensity)
        ),
        "the roof is missing: no more than the peak, however few bytes there are.": (
            lambda intensity, peak, bandwidth: bandwidth * intensity
        ),
        "the memory is missing: it delivers bandwidth bytes, each for intensity operations.": (
            lambda intensity, peak, bandwidth: np.full(intensity.shape, peak)
        ),
        "intensity is operations for each byte: times the bytes a second, not divided.": (
            lambda intensity, peak, bandwidth: np.minimum(peak, bandwidth / intensity)
        ),
        "it is divided the wrong way: bytes a second times operations for each byte.": (
            lambda intensity, peak, bandwidth: np.minimum(peak, intensity / bandwidth)
        ),
        "peak and bandwidth are exchanged.": lambda intensity, peak, bandwidth: np.minimum(bandwidth, peak * intensity),
        "the two limits are added up: the smaller one alone counts.": lambda intensity, peak, bandwidth: (
            peak + bandwidth * intensity
        ),
        "the two times are added up: computing and fetching go on side by side.": (
            lambda intensity, peak, bandwidth: 1 / (1 / peak + 1 / (bandwidth * intensity))
        ),
        "this is a share of the peak: asked for are operations a second.": lambda intensity, peak, bandwidth: (
            np.minimum(1, bandwidth * intensity / peak)
        ),
    },
)


def finish_times(launch: float, work: Array) -> Array:
    """When the card has finished each kernel, if Python launches one every ``launch`` and kernel i takes ``work[i]``.

    Kernel i is launched at (i + 1) launch, and begins as soon as the one before it is finished.
    """
    return _finished(launch, work)


def _finished(launch: float, work: Array, *, first: int = 1, begins: bool = False) -> Array:
    """The times, right unless the launches are counted otherwise, or beginnings are given in the place of ends."""
    end, found = 0.0, []
    for number, seconds in enumerate(work):
        begin = max(end, (number + first) * launch)
        end = begin + seconds
        found.append(begin if begins else end)
    return np.array(found)


check_finish_times = Exercise(
    finish_times,
    examples=[
        (10.0, np.array([4.0, 25.0, 3.0, 30.0])),
        (10.0, np.array([30.0, 30.0, 30.0])),
        (8.0, np.array([2.0, 2.0, 2.0, 2.0])),
    ],
    mistakes={
        "Python does not wait for the card: it launches the next kernel while this one runs.": lambda launch, work: (
            np.cumsum(launch + work)
        ),
        "launching is left out: kernel i cannot begin before (i + 1) * launch.": lambda launch, work: np.cumsum(work),
        "only the first launch is waited for: kernel i cannot begin before (i + 1) * launch.": lambda launch, work: (
            launch + np.cumsum(work)
        ),
        "the card does one kernel after another: this one cannot begin before the last is finished.": (
            lambda launch, work: launch * np.arange(1, len(work) + 1) + work
        ),
        "the first launch takes time, too: kernel i is launched at (i + 1) * launch.": lambda launch, work: _finished(
            launch, work, first=0
        ),
        "this is when they begin: add the time that each takes.": lambda launch, work: _finished(
            launch, work, begins=True
        ),
        "this is the last of them: give the time of each.": lambda launch, work: _finished(launch, work)[-1],
        "the card does not wait until all are launched: it begins with the first.": lambda launch, work: (
            launch * len(work) + np.cumsum(work)
        ),
        "a kernel that waited for its launch does not make the next one wait: keep the time when the last ended.": (
            lambda launch, work: np.cumsum(np.maximum(launch, work))
        ),
        "these are only the launches: add what the card does.": lambda launch, work: (
            launch * np.arange(1, len(work) + 1)
        ),
    },
)
