"""Gradient clipping. Its names are names of :mod:`minidl.optim` too, where they are used."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from . import backends, gradients
from .errors import GraphError, MinidlError
from .habits import explained
from .op import HALF, SINGLE
from .options import number
from .tensor import Tensor

Array = Any

SMALL, LARGE = float(np.finfo(SINGLE).tiny), float(np.finfo(SINGLE).max)


@explained
def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> Array:
    """Scale all gradients by one factor so that their common Euclidean norm is at most ``max_norm``.

    Returns the norm before (a 0-d array, still on the device). Pascanu et al., "On the difficulty of training
    recurrent neural networks" (2013), algorithm 1.

    Raises :class:`GraphError` if there is no gradient, and :class:`minidl.errors.MinidlError` unless ``max_norm`` is a
    number >= 0. A gradient that was set by hand is looked at first: see :func:`minidl.gradients.checked`.

    >>> from minidl import tensor
    >>> x = tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x).sum().backward()   # the gradient is (6, 8), of norm 10
    >>> float(clip_grad_norm([x], 1.0)), x.grad
    (10.0, array([0.6, 0.8], dtype=float32))
    """
    limit = min(number("max_norm", max_norm, ">= 0"), LARGE)
    given = [] if hasattr(parameters, "dtype") or not isinstance(parameters, Iterable) else list(parameters)
    if not given or not all(isinstance(p, Tensor) for p in given):
        raise MinidlError(
            f"expected the parameters of a model, got {type(parameters).__name__}: pass model.parameters()"
        )
    gradients.checked(given)
    found = [p.grad for p in given if p.grad is not None]
    if not found:
        raise GraphError("there is no gradient to clip: call loss.backward() first")
    xp = backends.of(found[0]).xp
    norm = xp.sqrt(sum(_sum_of_squares(g) for g in found))
    factor = limit / xp.maximum(norm, max(limit, SMALL))  # gradients of 0 stay 0, also where the limit is 0
    for gradient in found:
        gradient *= factor
    return norm


def _sum_of_squares(gradient: Array) -> Array:
    """In float32 for float16, whose squares are infinite from 256 on."""
    wide = gradient.astype(SINGLE) if gradient.dtype == HALF else gradient
    return (wide * wide).sum()
