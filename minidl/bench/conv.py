"""All convolution algorithms on one layer: time, memory and rounding error in one table.

>>> from minidl.ops.conv import conv_spec
>>> x, w = np.ones((1, 6, 6, 2), np.float32), np.ones((3, 3, 2, 4), np.float32)
>>> rows = measure(conv_spec(x, w, None, 1, 0), ["direct", "im2col"], rounds=1)
>>> sorted(row.name for row in rows), rows[0].error < 1e-6
(['direct', 'im2col'], True)
"""

import argparse
import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .. import backends, plugins, threads
from ..backends.choice import choose
from ..errors import MinidlError, counted
from ..kernels.conv import ConvAlgorithm, ConvSpec, Direct
from ..kernels.numpy import memory
from ..kernels.window import Padding, sliding_window
from ..table import table

Array = Any
ROUNDS = 7
LARGEST = 1 << 30
"""Maximum size in bytes of images, weights or outputs: the command makes several copies of them."""
WORKSPACE = 4 * LARGEST
"""Maximum working memory in bytes; an algorithm that needs more is skipped."""
SUFFIXES = (".pdf", ".png", ".svg")
"""The file formats of a plot."""


@dataclass(frozen=True)
class Row:
    """The cost of an algorithm on a layer: times in ms, rates in GFLOP/s of the direct convolution, memory in MiB."""

    name: str
    forward: float
    backward: float
    forward_rate: float
    backward_rate: float
    memory: float
    error: float

    @property
    def total(self) -> float:
        """Forward plus backward time, in ms."""
        return self.forward + self.backward


def measure(spec: ConvSpec, names: Sequence[str] | None = None, rounds: int = ROUNDS) -> list[Row]:
    """One row per algorithm that supports the layer (of ``names``, or all installed), fastest first.

    The algorithms are timed alternately, ``rounds`` times, and the medians reported. ``memory`` is the peak memory in
    addition to arguments and results. ``error`` is the largest error of y, dx and dw against the direct convolution in
    float64, relative to the largest element of each.
    """
    backend = backends.get("numpy")
    names = plugins.names("conv_algorithm") if names is None else names
    made = {name: plugins.build("conv_algorithm", name, backend) for name in names}
    algorithms = {name: algorithm for name, algorithm in made.items() if algorithm.supports(spec)}
    if not algorithms:
        return []
    x, w, dy = _arrays(spec)
    in_float64 = replace(spec, dtype=np.dtype(np.float64))
    expected = _results(Direct(backend), *_arrays(in_float64), in_float64)
    errors, extra = {}, {}
    for name, algorithm in algorithms.items():
        extra[name] = _extra_memory(lambda one=algorithm: _results(one, x, w, dy, spec))  # type: ignore[misc]
        errors[name] = max(map(_apart, _results(algorithm, x, w, dy, spec), expected))
    times = _times(algorithms, x, w, dy, spec, rounds)
    flops = spec.flops / 1e6
    rows = [
        Row(name, one, two, flops / one, 2 * flops / two, extra[name], errors[name])
        for name, (one, two) in times.items()
    ]
    return sorted(rows, key=lambda row: row.total)


def _shapes(spec: ConvSpec) -> list[tuple[int, ...]]:
    """The shapes of x, w and dy."""
    window = spec.window
    return [(spec.N, window.H, window.W, spec.C), (window.KH, window.KW, spec.C, spec.K), spec.output_shape]


def _arrays(spec: ConvSpec) -> tuple[Array, Array, Array]:
    """Random x, w and dy, with the same values in any dtype."""
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(shape, np.float32).astype(spec.dtype) for shape in _shapes(spec))
    return x, w, dy


def _results(algorithm: ConvAlgorithm, x: Array, w: Array, dy: Array, spec: ConvSpec) -> list[Array]:
    """y, dx and dw."""
    y, saved = algorithm.forward(x, w, None, spec)
    return [y, algorithm.input_gradient(dy, w, spec, saved), algorithm.weight_gradient(x, dy, spec, saved)]


def _apart(got: Array, expected: Array) -> float:
    """The largest difference, relative to the largest element; infinite for NaN and for a wrong shape."""
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got - expected).max(initial=0) / (np.abs(expected).max(initial=0) or 1))


def _times(
    algorithms: dict[str, ConvAlgorithm], x: Array, w: Array, dy: Array, spec: ConvSpec, rounds: int
) -> dict[str, tuple[float, float]]:
    """Forward and backward times in ms, medians over the rounds."""
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
    """NumPy's peak allocation while ``work`` runs, without its results, in MiB.

    The work runs on new threads, which have no scratch memory yet, and without the buffers kept for large results.
    """
    sizes: list[int] = []

    def watched() -> None:
        results = sum(array.nbytes for array in work())
        sizes.append(tracemalloc.get_traced_memory()[1] - results)

    threads.set_num_threads(threads.get_num_threads())
    memory.clear()
    tracemalloc.start()
    try:
        worker = threading.Thread(target=watched)
        worker.start()
        worker.join()
    finally:
        tracemalloc.stop()
    return max(sizes[0], 0) / 2**20


def plot(rows: Sequence[Row], title: str, path: Path) -> None:
    """Draw time, memory and error of every algorithm as bars; the suffix of ``path`` sets the format."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

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
    errors = [min(row.error, 1.0) for row in reversed(rows)]  # an error may be infinite
    left = min(filter(None, errors), default=1e-16) / 10  # an error may be 0, which has no logarithm
    error_axes.set(xlabel="worst relative error", xscale="log", xlim=(left, 2 * max(left, *errors)))
    error_axes.barh(names, [max(error, left) for error in errors], color="tab:red")
    error_axes.xaxis.set_minor_formatter(NullFormatter())
    figure.savefig(path, dpi=110)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench conv``: by default the third layer of the documented network."""

    def option(flag: str, kind: Callable[[str], Any], default: str, metavar: str, what: str) -> None:
        parser.add_argument(flag, type=kind, default=default, metavar=metavar, help=f"{what} (default: {default})")

    parser.add_argument("names", nargs="*", metavar="NAME", help="algorithms (default: all that are installed)")
    option("--size", _pair, "30", "N|HxW", "pixels of an image")
    option("--channels", _count, "64", "C", "channels of an image")
    option("--filters", _count, "128", "K", "channels of the output")
    option("--kernel", _pair, "3", "N|HxW", "kernel size")
    option("--stride", _pair, "1", "N|HxW", "step of the kernel")
    option("--padding", _padding, "valid", "valid|same|N|HxW", "zeros around an image")
    option("--batch", _count, "8", "N", "images")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="(default: float32)")
    option("--rounds", _count, str(ROUNDS), "N", "how often each is timed; the table shows medians")
    parser.add_argument("--plot", type=Path, metavar="FILE", help=f"draw the table: {', '.join(SUFFIXES)}")
    parser.add_argument("--json", action="store_true", help="print JSON: times in ms, rates in GFLOP/s, memory in MiB")


def run(given: argparse.Namespace) -> int:
    """Measure one layer and print the results; return 1 if no algorithm supports it."""
    _check_place(given.plot)
    window = sliding_window(*given.size, given.kernel, given.stride, given.padding)
    spec = ConvSpec(given.batch, given.channels, given.filters, window, np.dtype(given.dtype))
    _check_size(spec)
    for name in given.names:
        plugins.get("conv_algorithm", name)
    reasons = {name: why_not(name, spec) for name in given.names or plugins.names("conv_algorithm")}
    rows = measure(spec, [name for name, reason in reasons.items() if not reason], given.rounds)
    unable = {name: reason for name, reason in reasons.items() if reason}
    auto = choose("auto", spec, backends.get("numpy")).name
    title = f"{counted(spec.N, 'image')} of {spec}" + (f", padding {window.padding[1:3]}" if window.padded else "")
    print(as_json(title, rows, unable, auto) if given.json else as_text(title, rows, unable, auto, given.rounds))
    if given.plot and rows:
        try:
            plot(rows, f"{title}; auto: {auto}", given.plot)
        except OSError as error:
            raise MinidlError(f"cannot write {given.plot}: {error.strerror}") from error
    return 0 if rows else 1


def why_not(name: str, spec: ConvSpec) -> str:
    """Why an algorithm cannot be measured on a layer; "" if it can."""
    try:
        algorithm = plugins.build("conv_algorithm", name, backends.get("numpy"))
        if not algorithm.supports(spec):
            return "does not support this layer on the backend 'numpy'"
        if (workspace := algorithm.workspace(spec)) > WORKSPACE:
            return f"needs {workspace / 2**30:.1f} GiB of working memory, expected at most {WORKSPACE / 2**30:.0f} GiB"
        _results(algorithm, *_arrays(spec), spec)
    except MinidlError as error:
        return str(error)
    except Exception as error:  # a plugin may raise anything
        return f"fails ({type(error).__name__}: {error})"
    return ""


def as_text(title: str, rows: Sequence[Row], unable: dict[str, str], auto: str, rounds: int) -> str:
    """The table, what is not in it and why, and the choice of "auto"."""
    head = (
        "algorithm", "forward ms", "backward ms", "forward GFLOP/s", "backward GFLOP/s", "extra MiB", "worst error",
    )  # fmt: skip
    cells = [
        (
            row.name + (" (auto)" if row.name == auto else ""),
            *(f"{number:.2f}" for number in (row.forward, row.backward)),
            *(f"{number:.1f}" for number in (row.forward_rate, row.backward_rate, row.memory)),
            f"{row.error:.1e}",
        )
        for row in rows
    ]
    lines = [
        title,
        f"{counted(threads.get_num_threads(), 'thread')}, medians of {rounds}",
        "",
        *([table([head, *cells])] if rows else []),
        *(f"{name}: {reason}" for name, reason in unable.items()),
        "",
        f"algorithm='auto' chooses {auto} here. GFLOP/s count the operations of the direct convolution for all.",
    ]
    return "\n".join(lines)


def as_json(title: str, rows: Sequence[Row], unable: dict[str, str], auto: str) -> str:
    """The same as JSON; an error that is not finite is null."""
    found: list[dict[str, Any]] = [asdict(row) | {"auto": row.name == auto} for row in rows]
    for row in found:
        row["error"] = row["error"] if np.isfinite(row["error"]) else None
    algorithms = found + [{"name": name, "reason": reason} for name, reason in unable.items()]
    return json.dumps({"layer": title, "threads": threads.get_num_threads(), "algorithms": algorithms}, indent=1)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer >= 1, got '{text}'")
    return int(text)


def _pair(text: str) -> tuple[int, int]:
    """A pair from "3" (twice the same) or "3x5"."""
    numbers = text.split("x")
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"expected a number, or two as in 3x5, got '{text}'")
    return int(numbers[0]), int(numbers[-1])


def _padding(text: str) -> Padding:
    if text in ("valid", "same"):
        return text  # type: ignore[return-value]
    try:
        return _pair(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; or 'valid', or 'same'") from error


def _check_size(spec: ConvSpec) -> None:
    height, width = spec.window.padded_size
    largest = spec.dtype.itemsize * max(*map(prod, _shapes(spec)), spec.N * height * width * spec.C)
    if largest > LARGEST:
        raise MinidlError(
            f"this layer has an array of {largest / 2**30:.1f} GiB, expected at most {LARGEST / 2**30:.0f} GiB: "
            "use smaller images, fewer of them, or fewer channels"
        )


def _check_place(path: Path | None) -> None:
    """Raise an error for a plot that cannot be written, before anything is measured."""
    if path is None:
        return
    if path.suffix not in SUFFIXES:
        raise MinidlError(f"--plot expects a file name that ends in {', '.join(SUFFIXES)}, got '{path}'")
    if not path.parent.is_dir():
        raise MinidlError(f"--plot {path}: there is no folder {path.parent}")
