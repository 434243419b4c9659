"""The devices that tests run on: a stand-in for a GPU that counts copies, an emulated GPU, and a real GPU.

``device``, a fixture of all tests, is the emulated GPU and the real one.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from minidl import backends
from minidl.errors import BackendError
from minidl.kernels.cupy import source


def gpu_problem() -> str | None:
    """Why there is no GPU to test on; empty if there is one."""
    try:
        backends.get("cupy")
    except BackendError as error:
        return str(error)
    return None


NEEDS_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="g++, which compiles the kernels, is missing")
"""For tests on the emulated GPU."""
NEEDS_GPU = [pytest.mark.gpu, pytest.mark.skipif(gpu_problem() is not None, reason=str(gpu_problem()))]
EMULATED = pytest.param("emulated", marks=NEEDS_COMPILER)
GPU = pytest.param("cupy", marks=NEEDS_GPU)


@pytest.fixture(params=[EMULATED, GPU])
def device(request: pytest.FixtureRequest) -> Any:
    return backends.get(request.param)


@pytest.fixture
def in_tf32(device: Any) -> Iterator[Any]:
    """The device, which computes in TF32 until the end of the test."""
    if "tf32" not in device.precisions:
        pytest.skip("this card has no tensor cores for TF32")
    device.set_precision("tf32")
    yield device
    device.set_precision("float32")


@contextmanager
def no_copies(device: Any) -> Iterator[None]:
    """Assert that the block copies nothing between host and device, on a device that counts copies."""
    before = device.to_device, device.to_host
    yield
    assert (device.to_device, device.to_host) == before, "copies between host and device"


def launches_of(monkeypatch: pytest.MonkeyPatch, *modules: Any) -> list[str]:
    """The names of the kernels that modules launch after this call."""
    names: list[str] = []

    def recorded(xp: Any, file: str, name: str) -> Any:
        names.append(name)
        return source.kernel(xp, file, name)

    for module in modules:
        monkeypatch.setattr(module, "kernel", recorded)
    return names
