"""The CuPy backend: the same ops on an NVIDIA GPU."""

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .base import Backend


class CuPyBackend(Backend):
    """GPU arrays. Needs CuPy, a driver and a card; the error says which of them is missing."""

    name = "cupy"

    def __init__(self) -> None:
        self.xp = _usable_cupy()
        self.array_type = self.xp.ndarray

    def to_numpy(self, array: Any) -> NDArray[Any]:
        host: NDArray[Any] = self.xp.asnumpy(array)
        return host

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()


def _usable_cupy() -> Any:
    """The module cupy, after one sum on the card; or an error that says what is missing and how to get it."""
    if importlib.util.find_spec("cupy") is None:
        raise BackendError(
            "the backend 'cupy' needs CuPy, which is not installed: "
            "pip install 'minidl[gpu]' (CUDA 12) or 'minidl[gpu13]' (CUDA 13)"
        )
    try:
        import cupy
    except Exception as error:  # a broken installation may raise anything
        raise BackendError(
            f"CuPy is installed but cannot be imported ({error}): reinstall the one that fits your CUDA version"
        ) from error
    try:
        cards = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(
            f"CuPy {cupy.__version__} finds no usable NVIDIA driver ({error}): install or update the driver "
            "(nvidia-smi must list your card), or use the backend 'numpy'"
        ) from error
    if cards == 0:
        raise BackendError("CuPy finds no NVIDIA card: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use 'numpy'")
    try:
        works = int(cupy.arange(3, dtype=np.int32).sum()) == 3
    except Exception as error:
        raise BackendError(
            f"CuPy {cupy.__version__} cannot compute on the card ({error}): "
            "it was probably built for another CUDA version; install cupy-cuda12x or cupy-cuda13x to match the driver"
        ) from error
    assert works, "0 + 1 + 2 is 3 on every card"
    return cupy
