"""The exercises of ``15_gpu_and_speed``."""

from collections.abc import Callable
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
    draw=lambda rng: tuple(rng.integers(1, 99, 3).tolist()),
    numbers=lambda cost, M, K, N: [cost[0] + M * N * (cost[0] == M * N * (2 * K - 1)), cost[1]],  # K - 1 additions
    mistakes={
        "each product is also added to a sum: that makes two operations.": lambda M, K, N: (
            M * K * N,
            matmul_cost(M, K, N)[1],
        ),
        "these are elements: a float32 has 4 bytes.": lambda M, K, N: (2 * M * K * N, M * K + K * N + M * N),
        "these are the bytes of float64: a float32 has 4.": lambda M, K, N: (
            2 * M * K * N,
            8 * (M * K + K * N + M * N),
        ),
        "the result has to be written, too: M N more elements.": lambda M, K, N: (2 * M * K * N, 4 * (M * K + K * N)),
        "only the result is counted: both factors have to be read.": lambda M, K, N: (2 * M * K * N, 4 * M * N),
        "elements are counted every time they are used: each is read from memory once.": lambda M, K, N: (
            2 * M * K * N,
            4 * (2 * M * K * N + M * N),
        ),
        "the operations come first, then the bytes.": lambda M, K, N: matmul_cost(M, K, N)[::-1],
        "each of the M N results is a sum of K products: 2 M K N operations.": lambda M, K, N: (
            2 * M * N,
            matmul_cost(M, K, N)[1],
        ),
        "these are the dimensions of the matrices: multiply them, M K, K N and M N.": lambda M, K, N: (
            2 * M * K * N,
            4 * ((M + K) + (K + N) + (M + N)),
        ),
    },
)


def attainable(intensity: Array, peak: float, bandwidth: float) -> Array:
    """The roofline: at most ``peak`` operations per second, and ``intensity`` of them per byte of ``bandwidth``."""
    roof: Array = np.minimum(peak, bandwidth * intensity)
    return roof


check_attainable = Exercise(
    attainable,
    examples=[(np.array([0.5, 4.0, 80.0]), 100.0, 10.0), (np.array([0.25, 2.0, 16.0]), 96.0, 20.0)],
    draw=lambda rng: (rng.uniform(0.1, 20, rng.integers(1, 6)), *rng.uniform(5, 99, 2).tolist()),
    mistakes={
        "min() compares two numbers: np.minimum compares arrays element by element.": (
            lambda intensity, peak, bandwidth: min(peak, bandwidth * intensity)
        ),
        "this is the larger of the two limits: both hold, so the smaller one counts.": (
            lambda intensity, peak, bandwidth: np.maximum(peak, bandwidth * intensity)
        ),
        "the roof is missing: it is never more than the peak, however few bytes are read.": (
            lambda intensity, peak, bandwidth: bandwidth * intensity
        ),
        "the memory is missing: it delivers bandwidth bytes per second, with intensity operations for each.": (
            lambda intensity, peak, bandwidth: np.full(intensity.shape, peak)
        ),
        "intensity is operations per byte: multiply by the bytes per second, do not divide.": (
            lambda intensity, peak, bandwidth: np.minimum(peak, bandwidth / intensity)
        ),
        "it is divided the wrong way: multiply bytes per second by operations per byte.": (
            lambda intensity, peak, bandwidth: np.minimum(peak, intensity / bandwidth)
        ),
        "peak and bandwidth are swapped.": lambda intensity, peak, bandwidth: np.minimum(bandwidth, peak * intensity),
        "the two limits are added: only the smaller one counts.": lambda intensity, peak, bandwidth: (
            peak + bandwidth * intensity
        ),
        "the two times are added: computing and reading overlap.": (
            lambda intensity, peak, bandwidth: 1 / (1 / peak + 1 / (bandwidth * intensity))
        ),
        "this is a fraction of the peak: return operations per second.": lambda intensity, peak, bandwidth: np.minimum(
            1, bandwidth * intensity / peak
        ),
    },
)


Step = Callable[[Array, Array], object]
"""An elementwise step, called as ``step(source, target)``: it reads an array and writes another one, or the same."""


def fused(first: Step, second: Step, x: Array, y: Array, size: int) -> Array:
    """Both steps for one block of ``size`` elements of x (n,), then for the next; the result is written to y (n,)."""
    return _in_blocks(first, second, x, y, size)


def _in_blocks(
    first: Step, second: Step, x: Array, y: Array, size: int, *, blocks: int = -1, end: int = 0, second_reads_x: int = 0
) -> Array:
    """:func:`fused`, correct unless only some ``blocks`` are done, they ``end`` further on, or ``second`` reads x."""
    for start in range(0, len(x), size)[: blocks if blocks >= 0 else None]:
        block = slice(start, start + size + end)
        first(x[block], y[block])
        second((x if second_reads_x else y)[block], y[block])
    return y


def _by_recursion(first: Step, second: Step, x: Array, y: Array, size: int) -> Array:
    """A call for each block: right until there are too many."""
    if len(x):
        _in_blocks(first, second, x, y, size, blocks=1)
        _by_recursion(first, second, x[size:], y[size:], size)
    return y


def _one_after_the_other(first: Step, second: Step, x: Array, y: Array, size: int) -> Array:
    """Each step for all blocks, then the next step."""
    for step, source in ((first, x), (second, y)):
        for start in range(0, len(x), size):
            step(source[start : start + size], y[start : start + size])
    return y


class WrongCalls(Exception):  # noqa: N818 - an answer that is wrong in what it calls, not in its values
    """The steps were called with other numbers of elements, or in another order, than block by block."""


def _block_by_block(function: Callable[..., Any], first: Step, second: Step, x: Array, y: Array, size: int) -> Any:
    """The answer; raises :class:`WrongCalls` unless it calls both steps for one block after the other."""
    calls: list[str] = []

    def noted(step: Step, name: str) -> Step:
        def call(source: Array, target: Array) -> None:
            calls.append(f"{name} {len(source)}")
            step(source, target)

        call.__qualname__ = name  # in messages of errors
        return call

    answer = function(noted(first, "first"), noted(second, "second"), x, y, size)
    lengths = [min(size, len(x) - start) for start in range(0, len(x), size)]
    expected = [f"{name} {length}" for length in lengths for name in ("first", "second")]
    if isinstance(answer, np.ndarray) and calls != expected:
        raise WrongCalls(f"elements in each call: {', '.join(calls)}; expected {', '.join(expected)}")
    return answer


def minus_one(source: Array, target: Array) -> None:
    """A step of the examples."""
    np.subtract(source, 1, out=target)


def squared(source: Array, target: Array) -> None:
    """A step of the examples."""
    np.multiply(source, source, out=target)


check_fused = Exercise(
    fused,
    examples=[
        (minus_one, squared, np.arange(6.0), np.zeros(6), 2),
        (minus_one, squared, np.arange(7.0), np.zeros(7), 3),
        (squared, minus_one, np.arange(3.0), np.zeros(3), 5),
        (minus_one, squared, np.arange(4096.0), np.zeros(4096), 1),  # as many blocks as in the notebook
    ],
    draw=lambda rng: (
        minus_one,
        squared,
        rng.normal(size=(n := int(rng.integers(1, 30)))),
        np.zeros(n),
        int(rng.integers(1, 12)),
    ),
    use=_block_by_block,
    mistakes={
        "each step runs over all blocks before the next one: do both steps for a block, then go on to the next.": (
            _one_after_the_other
        ),
        "both steps get the whole array: cut it into blocks of size elements.": lambda first, second, x, y, size: (
            _in_blocks(first, second, x, y, len(x))
        ),
        "the last block is missing: it may be shorter than size, range(0, len(x), size) finds it.": (
            lambda first, second, x, y, size: _in_blocks(first, second, x, y, size, blocks=len(x) // size)
        ),
        "only the first block is done: return y after the loop.": lambda first, second, x, y, size: _in_blocks(
            first, second, x, y, size, blocks=1
        ),
        "the second step reads x: it has to read what the first one wrote to y.": lambda first, second, x, y, size: (
            _in_blocks(first, second, x, y, size, second_reads_x=1)
        ),
        "the steps are in the wrong order.": lambda first, second, x, y, size: _in_blocks(second, first, x, y, size),
        "the blocks overlap: a block ends at start + size, which is not part of it.": (
            lambda first, second, x, y, size: _in_blocks(first, second, x, y, size, end=1)
        ),
        "the blocks have one element each: take size elements.": lambda first, second, x, y, size: _in_blocks(
            first, second, x, y, 1
        ),
        "these are size blocks: take blocks of size elements.": lambda first, second, x, y, size: _in_blocks(
            first, second, x, y, max(1, len(x) // size)
        ),
        "it calls itself for each block, and Python allows about 1,000 such calls, fewer than blocks: use a loop.": (
            _by_recursion
        ),
        "the second step is missing.": lambda first, second, x, y, size: _in_blocks(
            first, lambda source, target: None, x, y, size
        ),
    },
)


def finish_times(launch: float, work: Array) -> Array:
    """The time at which each kernel finishes, if Python launches one every ``launch`` and kernel i takes ``work[i]``.

    Kernel i is launched at (i + 1) launch, and begins when the one before it has also finished.
    """
    return _finished(launch, work)


def _finished(launch: float, work: Array, *, first: int = 1, begins: bool = False) -> Array:
    """The times, correct unless launches start at another ``first``, or ``begins`` returns starts instead of ends."""
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
    draw=lambda rng: (float(rng.integers(1, 20)), rng.integers(1, 40, rng.integers(1, 8)).astype(float)),
    mistakes={
        "Python does not wait for the card: it launches the next kernel while this one runs.": lambda launch, work: (
            np.cumsum(launch + work)
        ),
        "the launches are missing: kernel i cannot begin before (i + 1) * launch.": lambda launch, work: np.cumsum(
            work
        ),
        "only the first launch is counted: kernel i cannot begin before (i + 1) * launch.": lambda launch, work: (
            launch + np.cumsum(work)
        ),
        "the card runs one kernel after another: each begins after the previous one has finished.": (
            lambda launch, work: launch * np.arange(1, len(work) + 1) + work
        ),
        "the first launch takes time, too: kernel i is launched at (i + 1) * launch.": lambda launch, work: _finished(
            launch, work, first=0
        ),
        "these are the start times: add the time that each takes.": lambda launch, work: _finished(
            launch, work, begins=True
        ),
        "this is only the last one: return the time of each.": lambda launch, work: _finished(launch, work)[-1],
        "the card does not wait until all are launched: it starts with the first.": lambda launch, work: (
            launch * len(work) + np.cumsum(work)
        ),
        "a short kernel after a long one does not wait for its launch: keep the time when the previous one finished.": (
            lambda launch, work: np.cumsum(np.maximum(launch, work))
        ),
        "these are only the launches: add the time of the kernels.": lambda launch, work: (
            launch * np.arange(1, len(work) + 1)
        ),
    },
)
