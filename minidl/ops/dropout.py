"""Dropout."""

from typing import Any

from ..errors import MinidlError, brief
from ..op import Op
from ..options import plain
from ..plugins import register
from ..random import Generator

__all__ = ["Dropout"]

Array = Any


@register("op", "dropout")
class Dropout(Op):
    """y = x m / (1 - rate), where m is 0 with probability ``rate``, else 1

    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014), in the
    "inverted" form that needs no scaling in evaluation. The mask is drawn on the host: it is the same on every backend.

    >>> sorted(set(Dropout.apply([1.0] * 9, rate=0.5, rng=Generator(0)).numpy().tolist()))
    [0.0, 2.0]
    """

    def __init__(self, rate: float, rng: Generator) -> None:
        self.rate, self.rng = check_rate(rate), rng

    def forward(self, x: Array) -> Array:
        mask = self.rng.random(x.shape, dtype="float32") >= self.rate
        scale = self.backend.asarray(mask).astype(x.dtype) / (1 - self.rate)
        self.save(scale)
        return x * scale

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (scale,) = self.saved
        return (dy * scale,)


def check_rate(rate: float) -> float:
    """The dropout rate as a Python number; raises :class:`MinidlError` unless 0 <= rate < 1.

    >>> check_rate(50)
    Traceback (most recent call last):
    minidl.errors.MinidlError: Dropout: the dropout rate must be in 0 <= rate < 1, got 50: 0.5 drops half
    """
    share: float = plain(rate)
    if not isinstance(share, int | float) or not 0 <= share < 1:
        raise MinidlError(f"the dropout rate must be in 0 <= rate < 1, got {brief(rate)}: 0.5 drops half", "Dropout")
    return share
