"""Gradient clipping. Its functions are also in :mod:`minidl.optim`."""

import contextlib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from . import backends, checks
from .errors import GraphError, MinidlError
from .habits import explained
from .op import HALF, SINGLE
from .options import number, plain
from .tensor import Tensor

Array = Any


@explained
def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> Array:
    """Scale all gradients by one factor so that their total Euclidean norm is at most ``max_norm``.

    Changes them in place, except gradients set by hand that are read-only or a view: there ``grad`` is a new array.

    Returns the norm before scaling (a 0-d array on the device). A parameter that appears twice counts once. Pascanu et
    al., "On the difficulty of training recurrent neural networks" (2013), algorithm 1.

    Raises :class:`GraphError` if there is no gradient, and :class:`minidl.errors.MinidlError` unless ``max_norm`` is a
    number >= 0, or infinite. Checks gradients first, see :func:`minidl.checks.checked`.

    >>> from minidl import tensor
    >>> x = tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x).sum().backward()   # the gradient is (6, 8), of norm 10
    >>> float(clip_grad_norm([x], 1.0)), x.grad
    (10.0, array([0.6, 0.8], dtype=float32))
    """
    limit = plain(max_norm)
    if not isinstance(limit, float) or limit != math.inf:  # infinity only computes the norm
        limit = number("max_norm", max_norm, ">= 0")
    given = [] if hasattr(parameters, "dtype") or not isinstance(parameters, Iterable) else list(parameters)
    if not given or not all(isinstance(p, Tensor) for p in given):
        raise MinidlError(
            f"expected the parameters of a model, got {type(parameters).__name__}: pass model.parameters()"
        )
    once = list({id(p): p for p in given}.values())
    checks.checked(once)
    found = [p.grad for p in once if p.grad is not None]
    if not found:
        raise GraphError("there is no gradient to clip: call loss.backward() first")
    xp, norm = backends.of(found[0]).xp, _norm(found)
    info = np.finfo(norm.dtype)
    limit = min(limit, float(info.max))
    factor = limit / xp.maximum(norm, max(limit, float(info.tiny)))  # gradients of 0 stay 0, even if the limit is 0
    for x in once:
        if x.grad is not None:
            x.grad = _scaled(x.grad, factor)
    return backends.of(found[0]).asarray(norm)  # NumPy's is a scalar


def _scaled(gradient: Array, factor: Array) -> Array:
    """The gradient scaled in place; a new array if it is read-only or a view, whose elements may share memory."""
    if gradient.base is None:
        with contextlib.suppress(ValueError):  # NumPy raises it for a read-only array, before changing any element
            gradient *= factor
            return gradient
    return backends.of(gradient).asarray(gradient * factor, gradient.dtype)


def _norm(found: list[Array]) -> Array:
    """The total norm, 0-d, without overflow or underflow of the squares.

    If needed, the elements are first divided by the largest absolute value; on a device always, because checking the
    norm would synchronize. If that value is 0, infinite or NaN, so is the norm.
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
