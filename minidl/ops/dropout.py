"""Dropout."""

from typing import Any

from ..op import Op
from ..plugins import register
from ..random import Generator

Array = Any


@register("op", "dropout")
class Dropout(Op):
    """y = x m / (1 - rate), where m is 0 with probability ``rate``, else 1

    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014), in the "inverted"
    form that needs no change at test time. The mask is drawn on the host, so it is the same on every backend.

    >>> sorted(set(Dropout.apply([1.0] * 9, rate=0.5, rng=Generator(0)).numpy().tolist()))
    [0.0, 2.0]
    """

    def __init__(self, rate: float, rng: Generator) -> None:
        self.rate, self.rng = rate, rng

    def forward(self, x: Array) -> Array:
        mask = self.rng.random(x.shape, dtype="float32") >= self.rate
        scale = self.backend.asarray(mask).astype(x.dtype) / (1 - self.rate)
        self.save(scale)
        return x * scale

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (scale,) = self.saved
        return (dy * scale,)
