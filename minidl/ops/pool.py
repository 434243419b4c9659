"""Pooling over windows of images (N, H, W, C), giving (N, OH, OW, C).

Both ops raise :class:`minidl.errors.ShapeError` for other shapes and for windows that do not fit.
"""

from typing import Any

from ..kernels.window import Padding, Pair, Window, frozen, pooling_window, require_images
from ..op import Op
from ..plugins import register

__all__ = ["MaxPool2D", "AvgPool2D"]

Array = Any


class _Pool2D(Op):
    """An op with one output per window; ``stride`` defaults to the window's size."""

    window: Window

    def __init__(self, size: Pair, stride: Pair | None = None, padding: Padding = 0) -> None:
        self.size, self.padding = frozen(size), frozen(padding)
        self.stride = self.size if stride is None else frozen(stride)

    def slide_over(self, x: Array) -> Window:
        require_images(x.shape)
        self.window = pooling_window(x.shape[1], x.shape[2], self.size, self.stride, self.padding)
        return self.window

    def flops(self, output: tuple[int, ...]) -> int:
        return super().flops(output) * self.window.KH * self.window.KW


@register("op", "max_pool2d")
class MaxPool2D(_Pool2D):
    """y = maximum of each window; the gradient goes to that element, the first of equal ones

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> MaxPool2D.apply(x, size=2).item()
    4.0
    """

    def forward(self, x: Array) -> Array:
        y, argmax = self.backend.max_pool(x, self.slide_over(x))
        self.save(argmax)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (argmax,) = self.saved
        return (self.backend.max_pool_backward(dy, argmax, self.window),)


@register("op", "avg_pool2d")
class AvgPool2D(_Pool2D):
    """y = mean of each window, padding excluded

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> AvgPool2D.apply(x, size=2).item()
    2.5
    """

    def forward(self, x: Array) -> Array:
        return self.backend.avg_pool(x, self.slide_over(x))

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (self.backend.avg_pool_backward(dy, self.window),)
