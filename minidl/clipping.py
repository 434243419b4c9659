"""Gradient clipping. Its names are names of :mod:`minidl.optim` too, where they are used."""

import contextlib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from . import backends, gradients
from .errors import GraphError, MinidlError
from .habits import explained
from .op import HALF, SINGLE
from .options import number, plain
from .tensor import Tensor

Array = Any


@explained
def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> Array:
    """Scale all gradients by one factor so that their common Euclidean norm is at most ``max_norm``.

    It changes them in place, but for those set by hand that are read-only or a view: there ``grad`` is a new array.

    Returns the norm before (a 0-d array, still on the device). A parameter that is there twice counts once. Pascanu et
    al., "On the difficulty of training recurrent neural networks" (2013), algorithm 1.

    Raises :class:`GraphError` if there is no gradient, and :class:`minidl.errors.MinidlError` unless ``max_norm`` is a
    number >= 0, or infinite. A gradient that was set by hand is looked at first: see :func:`minidl.gradients.checked`.

    >>> from minidl import tensor
    >>> x = tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x).sum().backward()   # the gradient is (6, 8), of norm 10
    >>> float(clip_grad_norm([x], 1.0)), x.grad
    (10.0, array([0.6, 0.8], dtype=float32))
    """
    limit = plain(max_norm)
    if not isinstance(limit, float) or limit != math.inf:  # which clips nothing, and gives the norm
        limit = number("max_norm", max_norm, ">= 0")
    given = [] if hasattr(parameters, "dtype") or not isinstance(parameters, Iterable) else list(parameters)
    if not given or not all(isinstance(p, Tensor) for p in given):
        raise MinidlError(
            f"expected the parameters of a model, got {type(parameters).__name__}: pass model.parameters()"
        )
    once = list({id(p): p for p in given}.values())
    gradients.checked(once)
    found = [p.grad for p in once if p.grad is not None]
    if not found:
        raise GraphError("there is no gradient to clip: call loss.backward() first")
    xp, norm = backends.of(found[0]).xp, _norm(found)
    info = np.finfo(norm.dtype)
    limit = min(limit, float(info.max))
    factor = limit / xp.maximum(norm, max(limit, float(info.tiny)))  # gradients of 0 stay 0, also where the limit is 0
    for x in once:
        if x.grad is not None:
            x.grad = _scaled(x.grad, factor)
    return backends.of(found[0]).asarray(norm)  # of NumPy's, a scalar


def _scaled(gradient: Array, factor: Array) -> Array:
    """The gradient, changed in place; a new array where it cannot be, or where its memory may be that of others, or
    show one number in several places, as gradients may that were set by hand."""
    if gradient.base is None:
        with contextlib.suppress(ValueError):  # NumPy's, before it has changed any number of what is read-only
            gradient *= factor
            return gradient
    return backends.of(gradient).asarray(gradient * factor, gradient.dtype)


def _norm(found: list[Array]) -> Array:
    """The common norm, 0-d; also of numbers whose squares would be infinite, or lost.

    They are divided by the largest one first, then; on a device always, as a look at the norm would wait for it. Where
    that is 0, infinite or NaN, the norm is it.
    """
    backend = backends.of(found[0])
    xp = backend.xp
    wide = [g.astype(SINGLE) if g.dtype == HALF else g for g in found if g.size]
    if not wide:
        return xp.zeros((), found[0].dtype)
    info = np.finfo(wide[0].dtype)
    if backend is backends.default:
        with np.errstate(over="ignore", under="ignore"):
            norm = xp.sqrt(sum(map(_sum_of_squares, wide)))
        if info.tiny**0.5 / info.eps < norm < np.inf:
            return norm
    largest = xp.stack([xp.abs(g).max() for g in wide]).max()
    largest = xp.minimum(xp.maximum(largest, float(info.tiny)), float(info.max))
    return largest * xp.sqrt(sum(_sum_of_squares(g / largest) for g in wide))


def _sum_of_squares(gradient: Array) -> Array:
    return (gradient * gradient).sum()
