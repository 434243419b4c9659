"""The speed of a card, of the kernels on it, and of a training step against PyTorch's."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from statistics import median
from typing import Any

import numpy as np

from minidl.backends import Backend
from minidl.backends.choice import choose
from minidl.errors import MinidlError
from minidl.kernels.window import sliding_window
from minidl.ops.conv import conv_spec

from ..peers import ours

Work = Callable[[], object]
Measured = dict[str, Any]
ROUND = 0.25
"""The approximate seconds of a round: long compared with a synchronization of the device."""
WARM_UP = 3
TOLERANCES = {"float32": 1e-3, "tf32": 2e-2}
"""The relative tolerance of the losses of the first two steps between frameworks."""
COMPILING = 75.0
"""The minimum of seconds left for starting a compilation of a model."""


def seconds(work: Work, wait: Work, rounds: int = 5) -> list[float]:
    """The time of one call, for every round: calls are queued, and the device is synchronized at the end."""
    return next(iter(race({"": work}, wait, rounds).values()))


def race(works: dict[str, Work], wait: Work, rounds: int = 5) -> dict[str, list[float]]:
    """The times of several functions, run alternately."""
    calls = {name: _calls(work, wait) for name, work in works.items()}
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(_timed(work, wait, calls[name]) / calls[name])
    return taken


def _calls(work: Work, wait: Work) -> int:
    """The number of calls in a round, after the first calls, in which much is compiled."""
    _timed(work, wait, WARM_UP)
    return min(1000, max(1, int(ROUND / max(_timed(work, wait, 1), 1e-6))))


def _timed(work: Work, wait: Work, calls: int) -> float:
    wait()
    started = time.perf_counter()
    for _ in range(calls):
        work()
    wait()
    return time.perf_counter() - started


def ceilings(backend: Backend, size: int = 8192, length: int = 1 << 28) -> Measured:
    """Bytes/s of copying an array, and FLOP/s of a matrix product at every precision: the limits for kernels."""
    xp, found = backend.xp, {}
    x = xp.ones(length, np.float32)
    found["bytes"] = 2 * x.nbytes / median(seconds(lambda: x + 1, backend.synchronize))
    a = xp.ones((size, size), np.float32)
    for precision in backend.precisions:
        backend.set_precision(precision)
        found[precision] = 2 * size**3 / median(seconds(lambda: backend.matmul(a, a), backend.synchronize))
    backend.set_precision("float32")
    return found


def layers(backend: Backend, shapes: Any, batch: int) -> list[Measured]:
    """Times of the fused convolutions, forward and backward, with the minimum of their operations and bytes."""
    rows = []
    for precision in backend.precisions:
        backend.set_precision(precision)
        rows += [_layer(backend, size, C, K, batch) | {"precision": precision} for size, C, K in shapes]
    backend.set_precision("float32")
    return rows


def _layer(backend: Backend, size: int, C: int, K: int, batch: int) -> Measured:
    rng = np.random.default_rng(0)
    shapes = (batch, size, size, C), (3, 3, C, K), (K,)
    x, w, b = (backend.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes)
    spec = conv_spec(x, w, b, 1, 0)
    pool = sliding_window(spec.window.OH, spec.window.OW, 2, 2, 0)
    algorithm = choose("auto", spec, backend)
    y, pooled = algorithm.forward_pooled(x, w, b, spec, pool, True)
    assert pooled is not None
    needs_dx = C > 1  # images need no gradient

    def forward() -> object:
        return algorithm.forward_pooled(x, w, b, spec, pool, True)

    def backward() -> object:
        return algorithm.backward_pooled(y, pooled, (needs_dx, True, True))

    read = 4 * (prod(shapes[0]) + prod(shapes[1]))
    return {
        "layer": f"{size}x{size}, {C} to {K} channels",
        "algorithm": algorithm.name,
        "batch": batch,
        "forward": {
            "seconds": median(seconds(forward, backend.synchronize)),
            "flops": spec.flops,
            "bytes": read + 5 * prod(y.shape),
        },
        "backward": {
            "seconds": median(seconds(backward, backend.synchronize)),
            "flops": (1 + needs_dx) * spec.flops,
            "bytes": (1 + needs_dx) * read + 9 * prod(y.shape),
        },
    }


@dataclass(frozen=True)
class Variant:
    """A training of the documented network: ``make(weights, precision)`` creates it with the interface of the peers."""

    name: str
    make: Callable[[Any, str], Any]
    compiles: bool = False


def minidl_on(backend: Backend, graph: bool = True) -> Variant:
    """minidl's training, with or without a CUDA graph."""

    def make(weights: Any, precision: str) -> Any:
        backend.set_precision(precision)
        training = ours.Training(weights, backend.name)
        training.model.static = graph
        return training

    return Variant("minidl" if graph else "minidl, without a CUDA graph", make)


def _pytorch(name: str, **options: Any) -> Variant:
    def make(weights: Any, precision: str) -> Any:
        import torch

        if not torch.cuda.is_available():
            raise MinidlError("PyTorch finds no GPU")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        # Matters in the first steps: cuDNN caches its choice per shape, and layouts are different shapes to it.
        torch.backends.cudnn.benchmark = "layout" in options
        from ..peers.pytorch import Training

        return Training(weights, device="cuda", **options)

    return Variant(name, make, compiles="compiled" in options)


PYTORCH = (
    _pytorch("PyTorch, eager"),
    _pytorch("PyTorch, channels_last, cudnn.benchmark", layout="channels_last"),
    _pytorch("PyTorch, torch.compile", layout="channels_last", compiled=True),
)


def steps(
    variants: Sequence[Variant], sizes: Sequence[int], precisions: Sequence[str], wait: Work, left: Any
) -> Measured:
    """Seconds of training steps and of inference: by precision, batch size, task and variant, every round.

    A variant that fails, differs from the first one, or would compile with less than ``COMPILING`` seconds ``left()``,
    gets a reason instead; so does minidl without a CUDA graph.
    """
    weights, found = ours.weights(seed=0), []
    for precision in precisions:
        for size in sizes:
            row: Measured = {"precision": precision, "batch": size, "train": {}, "predict": {}, "reasons": {}}
            ready = dict(_ready(variants, weights, precision, size, row["reasons"], left))
            for task in ("train", "predict"):
                works = {name: _work(training, task, batch) for name, (training, batch) in ready.items()}
                row[task] = race(works, wait)
            found.append(row)
    return {"rows": found}


def _ready(
    variants: Sequence[Variant], weights: Any, precision: str, size: int, reasons: dict[str, str], left: Any
) -> Iterator[tuple[str, Any]]:
    """Trainings with a batch each, after two warm-up steps."""
    expected = None
    for variant in variants:
        if variant.compiles and left() < COMPILING:
            reasons[variant.name] = "not enough time left to compile"
            continue
        try:
            training = variant.make(weights, precision)
            batch = training.put(ours.random_batch(size))
            losses = [training(*batch) for _ in range(2)]
        except Exception as error:  # a framework may raise anything
            if expected is None:
                raise
            reasons[variant.name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        expected = expected or losses
        captured = getattr(training, "captured", None)
        if captured is not None and training.model.static and not captured.replays:
            reasons[variant.name] = f"measured without a CUDA graph: {captured.reason}"
        if np.allclose(losses, expected, rtol=TOLERANCES[precision], atol=0):
            yield variant.name, (training, batch)
        else:
            reasons[variant.name] = f"does not compute the same: losses {losses}, expected {expected}"


def _work(training: Any, task: str, batch: Any) -> Work:
    if task == "train":
        return lambda: training.step(*batch)
    return lambda: training.predict(batch[0])
