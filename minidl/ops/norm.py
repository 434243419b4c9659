"""Batch normalisation."""

from typing import Any

from ..errors import ShapeError, counted
from ..op import Op
from ..options import number
from ..plugins import register

__all__ = ["BatchNorm"]

Array = Any


@register("op", "batch_norm")
class BatchNorm(Op):
    """y = gamma (x - mean) / sqrt(var + eps) + beta, with mean and var over all axes except the last

    Ioffe and Szegedy, "Batch Normalization" (2015), algorithm 1. After the forward pass ``mean`` and ``var`` (C,) hold
    the statistics of the batch, for the layer's running averages.

    >>> BatchNorm.apply([[1.0], [3.0]], [1.0], [0.0], eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """

    mean: Array
    var: Array

    def __init__(self, eps: float = 1e-3) -> None:
        self.eps = number("eps", eps, ">= 0")

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        check_channels(x, gamma, beta)
        axes = tuple(range(x.ndim - 1))
        self.mean = self.backend.mean(x, axes)
        centred = x - self.mean
        self.var = self.backend.mean(centred * centred, axes)
        scale = 1 / self.xp.sqrt(self.var + self.eps)
        normal = centred * scale
        self.save(normal, scale, gamma)
        return normal * gamma + beta

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        normal, scale, gamma = self.saved
        axes = tuple(range(dy.ndim - 1))
        dgamma, dbeta = self.backend.sum(dy * normal, axes), self.backend.sum(dy, axes)
        n = dy.size // dy.shape[-1]
        # mean and var depend on x, too: the two means subtract their contributions.
        dx = (gamma * scale) * (dy - dbeta / n - normal * (dgamma / n))
        return dx, dgamma, dbeta

    def flops(self, output: tuple[int, ...]) -> int:
        return 8 * super().flops(output)


def check_channels(x: Array, gamma: Array, beta: Array, least: int = 1) -> None:
    """Raise :class:`ShapeError` unless x has one channel per parameter (last axis) and at least ``least`` elements.

    >>> import numpy as np
    >>> check_channels(np.ones((2, 3)), np.ones(4), np.ones(4))
    Traceback (most recent call last):
    minidl.errors.ShapeError: expected input (N, ..., C=4) with N >= 1, got (2, 3)...
    """
    if gamma.ndim != 1 or beta.ndim != 1:
        raise ShapeError(f"expected gamma and beta (C,), one value per channel, got {gamma.shape}, {beta.shape}")
    if x.ndim < 2 or x.size < least or gamma.shape != x.shape[-1:] or beta.shape != x.shape[-1:]:
        C = gamma.shape[0]
        hint = (
            "minidl expects channels last (NHWC): use x.transpose(0, 2, 3, 1)."
            if x.ndim == 4 and x.shape[1] == C
            else f"The previous layer outputs {counted(x.shape[-1], 'channel')}: use BatchNorm({x.shape[-1]})."
            if x.ndim >= 2 and x.size
            else "The first axis is the batch axis."
        )
        raise ShapeError(f"expected input (N, ..., C={C}) with N >= {least}, got {x.shape}. {hint}")
