"""GPU benchmarks: all kernels against float64, the limits of the card, and the training step against PyTorch's.

All in one command, in less than eight minutes; when the time is up, variants that PyTorch must compile are skipped.
"""

import time
from dataclasses import asdict
from functools import partial
from typing import Any

from minidl import plugins
from minidl.backends import Backend
from minidl.bench import machine
from minidl.data import DataLoader

from ..peers import ours
from . import kernels, speed

MINUTES = 7.5
SIZES = (128, 512, 32)
"""Batch sizes, in the order of measurement."""
LAYER_BATCH = 512


def measure(backend: Backend, seed: int, data: str | None) -> dict[str, Any]:
    """All results on the page."""
    end = time.monotonic() + 60 * MINUTES
    wait = backend.xp.cuda.Device().synchronize
    checks = [asdict(check) | {"passed": check.passed} for check in kernels.check(backend, seed)]
    result = {
        "machine": machine.describe("torch"),
        "card": card(backend),
        "seed": seed,
        "kernels": checks,
        "ceilings": speed.ceilings(backend),
        "layers": speed.layers(backend, kernels.LAYERS, LAYER_BATCH),
    }
    precisions = tuple(reversed(backend.precisions))
    variants = (speed.minidl_on(backend), speed.minidl_on(backend, graph=False), *speed.PYTORCH)
    result |= {"epochs": [epoch(backend, data, precision) for precision in precisions] if data else []}
    result |= speed.steps(variants, SIZES, precisions, wait, partial(_left, end))
    backend.set_precision("float32")
    return result


def _left(end: float) -> float:
    return end - time.monotonic()


def card(backend: Backend) -> dict[str, Any]:
    """The name of the card, its memory and compute capability, the driver and CUDA."""
    cuda = backend.xp.cuda
    properties = cuda.runtime.getDeviceProperties(cuda.Device().id)
    return {
        "name": properties["name"].decode(),
        "memory": properties["totalGlobalMem"],
        "compute_capability": cuda.Device().compute_capability,
        "driver": cuda.runtime.driverGetVersion(),
        "cuda": cuda.runtime.runtimeGetVersion(),
    }


def epoch(backend: Backend, data: str, precision: str, size: int = 128) -> dict[str, Any]:
    """Seconds of a training epoch on images in GPU memory: the second epoch, because the first compiles kernels."""
    backend.set_precision(precision)
    images = plugins.build("dataset", "utkface", data).to(backend.name)
    loader = DataLoader(images, size, shuffle=True, drop_last=True)
    training = ours.Training(ours.weights(seed=0), backend.name)
    for _ in range(2):
        backend.synchronize()
        started = time.perf_counter()
        for batch in loader:
            training.step(*training.put(batch))
        backend.synchronize()
        taken = time.perf_counter() - started
    return {"precision": precision, "batch": size, "images": len(loader) * size, "seconds": taken}
