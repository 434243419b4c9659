"""``python -m minidl doctor``: what is installed, what is missing, and the command that fixes it."""

import importlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import backends, nn, plugins, threads
from .errors import BackendError, MinidlError
from .testing import gradcheck
from .testing.arrays import numbers

PACKAGES = (("PIL", "pillow"), ("matplotlib", "matplotlib"))
"""Modules, and the packages that provide them."""


@dataclass(frozen=True)
class Finding:
    """One line of the report: ``status`` is "ok", "missing" (optional) or "failed"; ``remedy`` is what to do."""

    part: str
    status: str
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.status:<8}{self.part:<14}{self.detail}" + (f"\n{'':22}-> {self.remedy}" if self.remedy else "")


def examine() -> list[Finding]:
    """Run all checks; a failure is a finding, never an exception."""
    return [finding for look in LOOKS for finding in look()]


def python() -> Iterator[Finding]:
    """The Python version."""
    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def numpy() -> Iterator[Finding]:
    """NumPy and its BLAS, which computes the matrix products."""
    old = int(np.__version__.partition(".")[0]) < 2
    yield Finding("NumPy", "failed" if old else "ok", np.__version__, "pip install --upgrade 'numpy>=2'" if old else "")
    import threadpoolctl

    found = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    if not found:
        yield Finding("BLAS", "missing", "no BLAS library that threadpoolctl supports: its threads cannot be limited")
    for info in found:
        kernels = info.get("architecture", "unknown")
        pinned = os.environ.get("OPENBLAS_CORETYPE", "")
        remedy = f"unset OPENBLAS_CORETYPE ({pinned}) to let OpenBLAS choose the fastest kernels" if pinned else ""
        yield Finding("BLAS", "ok", f"{info['internal_api']} {info['version']}, kernels for {kernels}", remedy)


def cores() -> Iterator[Finding]:
    """The number of threads that minidl uses."""
    try:
        count = threads.get_num_threads()
    except MinidlError as error:
        yield Finding("threads", "failed", str(error), "unset MINIDL_NUM_THREADS")
    else:
        yield Finding("threads", "ok", f"{count} (MINIDL_NUM_THREADS or minidl.set_num_threads changes it)")


def packages() -> Iterator[Finding]:
    """The packages for figures and image files, which are dependencies of minidl."""
    for module, name in PACKAGES:
        try:
            version = getattr(importlib.import_module(module), "__version__", "")
            yield Finding(name, "ok", version)
        except Exception as error:  # a broken package may raise anything
            yield Finding(name, "failed", f"{error} (needed for images)", f"pip install {name}")


def cupy() -> Iterator[Finding]:
    """CuPy, the driver and the card, or why they cannot be used."""
    try:
        backend = backends.get("cupy")
    except BackendError as error:
        detail, _, remedy = str(error).partition(": ")
        yield Finding("CuPy", "missing", detail, remedy)
        return
    runtime = backend.xp.cuda.runtime
    card = runtime.getDeviceProperties(0)["name"].decode()
    driver, cuda = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    yield Finding("CuPy", "ok", f"{backend.xp.__version__} on {card}, driver {driver}, CUDA {cuda}")


def access() -> Iterator[Finding]:
    """Whether the folders of runs and of temporary files are writable."""
    for part, folder in (("this folder", Path.cwd()), ("temporary", Path(tempfile.gettempdir()))):
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"minidl")
            yield Finding(part, "ok", f"{folder} is writable")
        except OSError as error:
            yield Finding(part, "failed", f"{folder}: {error.strerror}", "use a folder of your own, or set TMPDIR")


def gradients() -> Iterator[Finding]:
    """A gradient check of a small network."""
    model = nn.Sequential(nn.Conv2D(1, 2, 3), nn.ReLU(), nn.MaxPooling2D(2), nn.Flatten(), nn.Dense(8, 1))
    try:
        result = gradcheck(model.astype(np.float64), numbers(1, 6, 6, 1))
        detail = f"{result.compared} derivatives of a small network, worst error {result.worst:.1e}"
        yield Finding("gradients", "ok", detail)
    except MinidlError as error:
        remedy = "pip install --force-reinstall 'numpy>=2', then install minidl again, from your clone or wheel"
        yield Finding("gradients", "failed", str(error), remedy)


def others() -> Iterator[Finding]:
    """Plugins of other packages that cannot be loaded; the other checks cover minidl's own."""
    for info in plugins.describe():
        if info.status == "failed" and info.distribution != plugins.OWN:
            detail, _, remedy = info.reason.rpartition(": ")
            yield Finding("plugin", "missing", detail, remedy)


LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    python,
    numpy,
    cores,
    packages,
    cupy,
    access,
    gradients,
    others,
)
