"""Convolution, ReLU and max pooling in one pass, for algorithms that offer it; it means the three ops in a row."""

from typing import Any

from ..kernels.conv import ConvAlgorithm, ConvSpec
from ..kernels.window import Window
from ..op import Op
from ..plugins import register

Array = Any


@register("op", "conv2d_relu_max_pool2d")
class Conv2DReLUMaxPool2D(Op):
    """y = max_pool2d(relu(conv2d(x, w, b)))

    The algorithm, the sizes and the window of the pooling are worked out by :mod:`minidl.nn.fusion`.

    >>> import numpy as np
    >>> from minidl import nn, tensor
    >>> layers = nn.Sequential(nn.Conv2D(1, 2, 3), nn.ReLU(), nn.MaxPooling2D(2))
    >>> layers(tensor(np.ones((1, 6, 6, 1), np.float32))).op.name
    'Conv2DReLUMaxPool2D'
    """

    def __init__(self, algorithm: ConvAlgorithm, spec: ConvSpec, pool: Window) -> None:
        self.algorithm: Any = algorithm
        self.spec, self.pool = spec, pool

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        y, argmax = self.algorithm.forward_pooled(x, w, b, self.spec, self.pool, any(self.needs_grad))
        self.save(x, w, y, argmax)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, w, y, argmax = self.saved
        dy = self.xp.ascontiguousarray(dy)
        gradients: tuple[Array | None, ...] = self.algorithm.backward_pooled(
            dy, x, w, y, argmax, self.spec, self.pool, self.needs_grad
        )
        return gradients

    def flops(self, output: tuple[int, ...]) -> int:
        # ReLU and every comparison of the pooling count as one
        return (
            self.spec.flops
            + super().flops(self.spec.output_shape)
            + super().flops(output) * self.pool.KH * self.pool.KW
        )
