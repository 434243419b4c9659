"""The CuPy backend: the same ops on an NVIDIA GPU."""

import importlib.util
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..kernels.conv import ConvSpec
from ..kernels.cupy import (
    adam,
    conv,  # noqa: F401 - registers the algorithms
    elementwise,
    images,
    implicit_gemm,  # noqa: F401
    matmul,
    pool,
    reduce,
)
from ..kernels.cupy import loss as losses
from ..kernels.cupy.source import TYPES
from ..kernels.reference import AdamStep
from ..kernels.window import Window
from .base import DeviceBackend

Array = Any


class CuPyBackend(DeviceBackend):
    """GPU arrays. Needs CuPy, a driver and a card; the error says which of them is missing."""

    name = "cupy"
    has_graphs = True

    def __init__(self) -> None:
        self.xp = _usable_cupy()
        self.array_type = self.xp.ndarray

    def upload(self, host: Any, dtype: Any) -> Array:
        return self.xp.asarray(host, dtype)

    def download(self, array: Array) -> NDArray[Any]:
        host: NDArray[Any] = self.xp.asnumpy(array)
        return host

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    def release_free_memory(self) -> None:
        self.xp.get_default_memory_pool().free_all_blocks()

    def free_memory(self) -> int | None:
        free, _ = self.xp.cuda.Device().mem_info
        return int(free + self.xp.get_default_memory_pool().free_bytes())

    @property
    def precisions(self) -> tuple[str, ...]:
        return ("float32", "tf32") if int(self.xp.cuda.Device().compute_capability) >= 80 else ("float32",)

    def set_precision(self, precision: str) -> None:
        super().set_precision(precision)
        self.set_precision_of_cublas()

    def set_precision_of_cublas(self) -> None:
        """Make CuPy's matrix products follow ``precision``."""
        from cupy._core import _routines_linalg as linalg

        kinds = {"float32": linalg.COMPUTE_TYPE_DEFAULT, "tf32": linalg.COMPUTE_TYPE_TF32}
        linalg.set_compute_type(np.float32, kinds[self.precision])

    def convolutions(self, spec: ConvSpec) -> Sequence[str]:
        return ("implicit_gemm", "first_layer", "gemm", "direct")

    def matmul(self, a: Array, b: Array) -> Array:
        if self.recordable and a.ndim == b.ndim == 2 and _typed(a, b):
            return matmul.matmul(self.xp, a, b, self.precision == "tf32" and a.dtype == np.float32)
        return super().matmul(a, b)

    def relu_backward(self, dy: Array, y: Array) -> Array:
        return elementwise.relu_backward(self.xp, dy, y) if _typed(dy, y) else super().relu_backward(dy, y)

    def max_pool(self, x: Array, window: Window) -> tuple[Array, Array]:
        able = _typed(x) and pool.supports(self.xp, window)
        return pool.max_pool(self.xp, x, window) if able else super().max_pool(x, window)

    def max_pool_backward(self, dy: Array, argmax: Array, window: Window) -> Array:
        able = _typed(dy) and pool.supports(self.xp, window)
        return (
            pool.max_pool_backward(self.xp, dy, argmax, window)
            if able
            else super().max_pool_backward(dy, argmax, window)
        )

    def sum_to_channels(self, dy: Array) -> Array:
        rows = self.xp.ascontiguousarray(dy).reshape(-1, dy.shape[-1])
        return reduce.sum_rows(self.xp, rows) if _typed(dy) else super().sum_to_channels(dy)

    def gather_images(self, pixels: Array, indices: Array, mirror: Array | None = None) -> Array:
        able = images.supports(pixels)
        return (
            images.gather_images(self.xp, pixels, indices, mirror)
            if able
            else super().gather_images(pixels, indices, mirror)
        )

    def mean_loss(self, loss: Any, a: Array, b: Array) -> Array:
        able = _typed(a, b) and losses.supports(loss)
        return losses.mean_loss(self.xp, loss, a, b) if able else super().mean_loss(loss, a, b)

    def mean_loss_backward(self, loss: Any, a: Array, b: Array, dy: Array) -> Array:
        able = _typed(a, b, dy) and losses.supports(loss)
        return (
            losses.mean_loss_backward(self.xp, loss, a, b, dy) if able else super().mean_loss_backward(loss, a, b, dy)
        )

    def softmax_cross_entropy(self, logits: Array, labels: Array) -> tuple[Array, tuple[Array, ...]]:
        return (
            losses.softmax_cross_entropy(self.xp, logits, labels)
            if _typed(logits)
            else super().softmax_cross_entropy(logits, labels)
        )

    def softmax_cross_entropy_backward(self, saved: tuple[Array, ...], dy: Array) -> Array:
        return (
            losses.softmax_cross_entropy_backward(self.xp, saved, dy)
            if _typed(saved[0])
            else super().softmax_cross_entropy_backward(saved, dy)
        )

    def adam(self, tensors: Iterable[tuple[Array, Array, Array, Array]], step: AdamStep) -> None:
        groups: dict[Any, list[tuple[Array, Array, Array, Array]]] = {}
        for param, grad, m, v in tensors:
            able = _typed(param, grad, m, v) and all(array.flags.c_contiguous for array in (param, m, v))
            groups.setdefault(param.dtype if able else None, []).append((param, grad, m, v))
        super().adam(groups.pop(None, ()), step)
        for together in groups.values():
            adam.adam(self.xp, together, step)


def _typed(*arrays: Array) -> bool:
    """Whether there are kernels for arrays of this dtype: float32 and float64, the same for all."""
    return arrays[0].dtype in TYPES and all(array.dtype == arrays[0].dtype for array in arrays)


def _usable_cupy() -> Any:
    """The module cupy, after one sum on the card; or an error that says what is missing and how to get it."""
    if importlib.util.find_spec("cupy") is None:
        raise BackendError(
            "the backend 'cupy' needs CuPy, which is not installed: "
            "pip install cupy-cuda12x (CUDA 12) or cupy-cuda13x (CUDA 13)"
        )
    try:
        import cupy
    except Exception as error:  # a broken installation may raise anything
        raise BackendError(
            f"CuPy is installed but cannot be imported ({error}): reinstall the one that fits your CUDA version, "
            "cupy-cuda12x or cupy-cuda13x"
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
