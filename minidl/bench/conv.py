"""All convolution algorithms on one layer: time, memory and rounding error in one table.

>>> from minidl.ops.conv import conv_spec
>>> x, w = np.ones((1, 6, 6, 2), np.float32), np.ones((3, 3, 2, 4), np.float32)
>>> rows = measure(conv_spec(x, w, None, 1, 0), ["direct", "im2col"], rounds=1)
>>> [row.name for row in rows], rows[0].error < 1e-6
(['direct', 'im2col'], True)
"""

import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .. import backends, plugins, threads
from ..kernels.conv import ConvAlgorithm, ConvSpec, Direct

Array = Any
ROUNDS = 7


@dataclass(frozen=True)
class Row:
    """What an algorithm takes for a layer: times in ms, rates in GFLOP/s of the direct convolution, memory in MiB."""

    name: str
    forward: float
    backward: float
    forward_rate: float
    backward_rate: float
    memory: float
    error: float

    @property
    def total(self) -> float:
        """Time forward and backward, in ms."""
        return self.forward + self.backward


def measure(spec: ConvSpec, names: Sequence[str] | None = None, rounds: int = ROUNDS) -> list[Row]:
    """One row for every algorithm that supports the layer (of those named, or all installed), fastest first.

    The algorithms are timed in turn, ``rounds`` times; the medians count. ``memory`` is what an algorithm needs at its
    peak besides its arguments and results. ``error`` is the worst of y, dx and dw, relative to the largest number in
    each, against the direct convolution in float64.
    """
    backend = backends.get("numpy")
    made = {name: plugins.build("conv_algorithm", name, backend) for name in names or plugins.names("conv_algorithm")}
    algorithms = {name: algorithm for name, algorithm in made.items() if algorithm.supports(spec)}
    x, w, dy = _arrays(spec)
    in_float64 = replace(spec, dtype=np.dtype(np.float64))
    expected = _results(Direct(backend), *_arrays(in_float64), in_float64)
    errors, memory = {}, {}
    for name, algorithm in algorithms.items():
        memory[name] = _extra_memory(lambda one=algorithm: _results(one, x, w, dy, spec))  # type: ignore[misc]
        errors[name] = max(map(_apart, _results(algorithm, x, w, dy, spec), expected))
    times = _times(algorithms, x, w, dy, spec, rounds)
    flops = spec.flops / 1e6
    rows = [
        Row(name, one, two, flops / one, 2 * flops / two, memory[name], errors[name])
        for name, (one, two) in times.items()
    ]
    return sorted(rows, key=lambda row: row.total)


def _arrays(spec: ConvSpec) -> tuple[Array, Array, Array]:
    """Random x, w and dy: the same numbers in any dtype."""
    rng, window = np.random.default_rng(0), spec.window
    shapes = ((spec.N, window.H, window.W, spec.C), (window.KH, window.KW, spec.C, spec.K), spec.output_shape)
    x, w, dy = (rng.standard_normal(shape, np.float32).astype(spec.dtype) for shape in shapes)
    return x, w, dy


def _results(algorithm: ConvAlgorithm, x: Array, w: Array, dy: Array, spec: ConvSpec) -> list[Array]:
    """y, dx and dw."""
    y, saved = algorithm.forward(x, w, None, spec)
    return [y, algorithm.input_gradient(dy, w, spec, saved), algorithm.weight_gradient(x, dy, spec, saved)]


def _apart(got: Array, expected: Array) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def _times(
    algorithms: dict[str, ConvAlgorithm], x: Array, w: Array, dy: Array, spec: ConvSpec, rounds: int
) -> dict[str, tuple[float, float]]:
    """Milliseconds forward and backward, medians over the rounds."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in algorithms}
    for _ in range(rounds):
        for name, algorithm in algorithms.items():
            start = time.perf_counter()
            _, saved = algorithm.forward(x, w, None, spec)
            middle = time.perf_counter()
            algorithm.input_gradient(dy, w, spec, saved)
            algorithm.weight_gradient(x, dy, spec, saved)
            taken[name].append((middle - start, time.perf_counter() - middle))
    return {name: (1e3 * median(t[0] for t in of), 1e3 * median(t[1] for t in of)) for name, of in taken.items()}


def _extra_memory(work: Callable[[], list[Array]]) -> float:
    """The peak of what NumPy allocates while ``work`` runs, without its results, in MiB.

    New threads do the work, as they have no scratch memory from before.
    """
    sizes: list[int] = []

    def watched() -> None:
        results = sum(array.nbytes for array in work())
        sizes.append(tracemalloc.get_traced_memory()[1] - results)

    threads.set_num_threads(threads.get_num_threads())
    tracemalloc.start()
    try:
        worker = threading.Thread(target=watched)
        worker.start()
        worker.join()
    finally:
        tracemalloc.stop()
    return max(sizes[0], 0) / 2**20


def plot(rows: Sequence[Row], title: str, path: Path) -> None:
    """Time, memory and error of every algorithm as bars: a PNG at ``path``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.5 * len(rows) + 1.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    time_axes, memory_axes, error_axes = figure.subplots(1, 3, sharey=True)
    names = [row.name for row in reversed(rows)]
    forward, backward = ([getattr(row, part) for row in reversed(rows)] for part in ("forward", "backward"))
    time_axes.barh(names, forward, label="forward")
    time_axes.barh(names, backward, left=forward, label="backward")
    time_axes.set_xlabel("time (ms)")
    time_axes.legend(fontsize=8)
    memory_axes.barh(names, [row.memory for row in reversed(rows)], color="tab:green")
    memory_axes.set_xlabel("extra memory (MiB)")
    error_axes.barh(names, [row.error for row in reversed(rows)], color="tab:red")
    error_axes.set(xlabel="worst relative error", xscale="log")
    figure.savefig(path, dpi=110)
