"""Gradient clipping. Its names are names of :mod:`minidl.optim` too, where they are used."""

from collections.abc import Iterable
from typing import Any

from . import backends
from .errors import GraphError
from .habits import explained
from .tensor import Tensor

Array = Any


@explained
def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> Array:
    """Scale all gradients by one factor so that their common Euclidean norm is at most ``max_norm``.

    Returns the norm before (a 0-d array, still on the device). Pascanu et al., "On the difficulty of training
    recurrent neural networks" (2013), algorithm 1.

    Raises :class:`GraphError` if there is no gradient.

    >>> from minidl import tensor
    >>> x = tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x).sum().backward()   # the gradient is (6, 8), of norm 10
    >>> float(clip_grad_norm([x], 1.0)), x.grad
    (10.0, array([0.6, 0.8], dtype=float32))
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        raise GraphError("there is no gradient to clip: call loss.backward() first")
    xp = backends.of(gradients[0]).xp
    norm = xp.sqrt(sum((g * g).sum() for g in gradients))
    factor = max_norm / xp.maximum(norm, max_norm)
    for gradient in gradients:
        gradient *= factor
    return norm
