"""The NumPy backend: the reference kernels, and faster ones on all cores for the most expensive operations."""

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.conv import ConvSpec
from ..kernels.numpy import elementwise, images, matmul, pool, sums
from ..kernels.numpy.conv import im2col, measured, shifted, winograd  # noqa: F401 - registers the algorithms
from ..kernels.window import Window
from .base import Backend

Array = NDArray[Any]


class NumPyBackend(Backend):
    """NumPy arrays, computed on the threads of :mod:`minidl.threads`; conversion never copies.

    >>> backend, x = NumPyBackend(), np.ones(2)
    >>> backend.asarray(x) is backend.to_numpy(x) is x
    True
    """

    name = "numpy"
    xp = np
    array_type = np.ndarray

    def to_numpy(self, array: Array) -> Array:
        return array

    def convolutions(self, spec: ConvSpec) -> Sequence[str]:
        return measured.ranking(spec)

    def matmul(self, a: Array, b: Array) -> Array:
        return matmul.matmul(a, b)

    sum = staticmethod(sums.sum_over)

    def mean(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        mean: Array = sums.sum_over(x, axes, keepdims) / prod([x.shape[axis] for axis in axes])
        return mean

    def relu(self, x: Array) -> Array:
        return elementwise.relu(x)

    def relu_backward(self, dy: Array, y: Array) -> Array:
        return elementwise.relu_backward(dy, y)

    def max_pool(self, x: Array, window: Window) -> tuple[Array, Array]:
        return pool.max_pool(x, window)

    def max_pool_backward(self, dy: Array, argmax: Array, window: Window) -> Array:
        return pool.max_pool_backward(dy, argmax, window)

    def sum_to_channels(self, dy: Array) -> Array:
        return sums.sum_to_channels(dy)

    def gather_images(self, pixels: Array, indices: Array, mirror: Array | None = None) -> Array:
        return images.gather_images(pixels, indices, mirror)

    def for_blocks(self, formula: Callable[..., object], arrays: Iterable[Array]) -> None:
        elementwise.for_blocks(formula, *arrays)
