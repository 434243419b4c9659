"""Convolution, ReLU and max pooling as one op; the convolution algorithm decides how much is a single pass."""

from typing import Any

from ..kernels.conv import ConvAlgorithm, ConvSpec
from ..kernels.window import Window
from ..op import Op
from ..plugins import register

__all__ = ["Conv2DReLUMaxPool2D"]

Array = Any


@register("op", "conv2d_relu_max_pool2d")
class Conv2DReLUMaxPool2D(Op):
    """y = max_pool2d(relu(conv2d(x, w, b)))

    :mod:`minidl.nn.fusion` chooses the algorithm and computes ``spec`` and ``pool``.

    >>> import numpy as np
    >>> from minidl import nn, tensor
    >>> layers = nn.Sequential(nn.Conv2D(1, 2, 3), nn.ReLU(), nn.MaxPooling2D(2))
    >>> layers(tensor(np.ones((1, 6, 6, 1), np.float32))).op.name
    'Conv2DReLUMaxPool2D'
    """

    def __init__(self, algorithm: ConvAlgorithm, spec: ConvSpec, pool: Window) -> None:
        self.algorithm, self.spec, self.pool = algorithm, spec, pool

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        y, pooled = self.algorithm.forward_pooled(x, w, b, self.spec, self.pool, any(self.needs_grad))
        self.save(pooled)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (pooled,) = self.saved
        return self.algorithm.backward_pooled(self.xp.ascontiguousarray(dy), pooled, self.needs_grad)

    def flops(self, output: tuple[int, ...]) -> int:
        # ReLU and each comparison in the pooling count as one operation
        return (
            self.spec.flops
            + super().flops(self.spec.output_shape)
            + super().flops(output) * self.pool.KH * self.pool.KW
        )
