"""The CuPy backend: the same ops on an NVIDIA GPU."""

import functools
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

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
    loss,
    matmul,
    pool,
    reduce,
)
from ..kernels.cupy.source import TYPES
from ..kernels.reference import AdamStep, LossFormula, ReferenceKernels
from ..kernels.window import Window
from .base import DeviceBackend

Array = Any
P = ParamSpec("P")
T = TypeVar("T")


def _typed(*arrays: Array) -> bool:
    """Whether kernels support these arrays: all float32 or all float64."""
    return arrays[0].dtype in TYPES and all(array.dtype == arrays[0].dtype for array in arrays)


def _where(able: Callable[..., Any]) -> Callable[[Callable[Concatenate[Any, P], T]], Callable[Concatenate[Any, P], T]]:
    """A decorator: call the method if ``able`` is true of its arguments, else the reference kernel."""

    def decorate(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
        reference = getattr(ReferenceKernels, method.__name__)

        def computed(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            compute: Callable[..., T] = method if able(*args, **kwargs) else reference
            return compute(self, *args, **kwargs)

        functools.update_wrapper(computed, method)
        return computed

    return decorate


class CuPyBackend(DeviceBackend):
    """GPU arrays. Requires CuPy, a driver and a card; the error names the missing one."""

    name = "cupy"
    has_cuda_graphs = True

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
        """Apply ``precision`` to CuPy's matrix products."""
        from cupy._core import _routines_linalg as linalg

        kinds = {"float32": linalg.COMPUTE_TYPE_DEFAULT, "tf32": linalg.COMPUTE_TYPE_TF32}
        linalg.set_compute_type(np.float32, kinds[self.precision])

    def convolutions(self, spec: ConvSpec) -> Sequence[str]:
        return ("implicit_gemm", "first_layer", "gemm", "direct")

    def matmul(self, a: Array, b: Array) -> Array:
        if self.capturable and a.ndim == b.ndim == 2 and _typed(a, b):
            return matmul.matmul(self.xp, a, b, self.precision == "tf32" and a.dtype == np.float32)
        return super().matmul(a, b)

    @_where(lambda dy, y: _typed(dy, y))
    def relu_backward(self, dy: Array, y: Array) -> Array:
        return elementwise.relu_backward(self.xp, dy, y)

    @_where(lambda x, window: _typed(x) and pool.supports(window))
    def max_pool(self, x: Array, window: Window) -> tuple[Array, Array]:
        return pool.max_pool(self.xp, x, window)

    @_where(lambda dy, argmax, window: _typed(dy) and pool.supports(window))
    def max_pool_backward(self, dy: Array, argmax: Array, window: Window) -> Array:
        return pool.max_pool_backward(self.xp, dy, argmax, window)

    @_where(lambda dy: _typed(dy))
    def sum_to_channels(self, dy: Array) -> Array:
        return reduce.sum_rows(self.xp, self.xp.ascontiguousarray(dy).reshape(-1, dy.shape[-1]))

    @_where(lambda pixels, *_: images.supports(pixels))
    def gather_images(self, pixels: Array, indices: Array, mirror: Array | None = None) -> Array:
        return images.gather_images(self.xp, pixels, indices, mirror)

    @_where(lambda formula, a, b: _typed(a, b) and formula.cuda_name)
    def mean_loss(self, formula: LossFormula, a: Array, b: Array) -> Array:
        return loss.mean_loss(self.xp, formula, a, b)

    @_where(lambda formula, a, b, dy: _typed(a, b, dy) and formula.cuda_name)
    def mean_loss_backward(self, formula: LossFormula, a: Array, b: Array, dy: Array) -> Array:
        return loss.mean_loss_backward(self.xp, formula, a, b, dy)

    @_where(lambda logits, labels: _typed(logits))
    def softmax_cross_entropy(self, logits: Array, labels: Array) -> tuple[Array, tuple[Array, ...]]:
        return loss.softmax_cross_entropy(self.xp, logits, labels)

    @_where(lambda saved, dy: _typed(saved[0]))
    def softmax_cross_entropy_backward(self, saved: tuple[Array, ...], dy: Array) -> Array:
        return loss.softmax_cross_entropy_backward(self.xp, saved, dy)

    def adam(self, tensors: Iterable[tuple[Array, Array, Array, Array]], step: AdamStep) -> None:
        groups: dict[Any, list[tuple[Array, Array, Array, Array]]] = {}
        for param, grad, m, v in tensors:
            able = _typed(param, grad, m, v) and all(array.flags.c_contiguous for array in (param, m, v))
            groups.setdefault(param.dtype if able else None, []).append((param, grad, m, v))
        super().adam(groups.pop(None, ()), step)
        for together in groups.values():
            adam.adam(self.xp, together, step)


def _usable_cupy() -> Any:
    """The module cupy, after one sum on the card. Raises an error that states what is missing and how to install it."""
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
