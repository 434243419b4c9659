"""Losses and their gradients, each in one pass: see loss.cu."""

from typing import Any

from ..reference import LossFormula
from .reduce import GROUPS, LANES, parts_of
from .source import kernel, name_of

Array = Any


def mean_loss(xp: Any, formula: LossFormula, a: Array, b: Array) -> Array:
    """See :meth:`ReferenceKernels.mean_loss`."""
    run = _kernel_of(xp, "mean_loss", formula, a)
    parts = xp.empty(parts_of(a.size // LANES), a.dtype)
    arguments = (*map(xp.ascontiguousarray, (a, b)), parts, a.dtype.type(formula.delta), xp.int64(a.size))
    run(parts.shape, (LANES, GROUPS), arguments)
    return _added_up(xp, parts)


def mean_loss_backward(xp: Any, formula: LossFormula, a: Array, b: Array, dy: Array) -> Array:
    """The gradient with respect to a: see :meth:`ReferenceKernels.mean_loss_backward`."""
    run = _kernel_of(xp, "mean_loss_backward", formula, a)
    da = xp.empty(a.shape, a.dtype)
    arguments = (*map(xp.ascontiguousarray, (a, b, dy)), da, a.dtype.type(formula.delta), xp.int64(a.size))
    run((-(-a.size // (LANES * GROUPS)),), (LANES, GROUPS), arguments)
    return da


def softmax_cross_entropy(xp: Any, logits: Array, labels: Array) -> tuple[Array, tuple[Array, ...]]:
    """See :meth:`ReferenceKernels.softmax_cross_entropy`; saves two values per row in addition to its inputs."""
    N, classes = logits.shape
    logits, labels = xp.ascontiguousarray(logits), xp.ascontiguousarray(labels, xp.int64)
    maxima, log_sums = xp.empty(N, logits.dtype), xp.empty(N, logits.dtype)
    parts = xp.empty(min(parts_of(logits.size // LANES), -(-N // GROUPS)), logits.dtype)
    run = kernel(xp, "loss.cu", name_of("softmax_cross_entropy", logits.dtype))
    run(parts.shape, (LANES, GROUPS), (logits, labels, maxima, log_sums, parts, xp.int64(N), xp.int64(classes)))
    return _added_up(xp, parts), (logits, labels, maxima, log_sums)


def softmax_cross_entropy_backward(xp: Any, saved: tuple[Array, ...], dy: Array) -> Array:
    """The gradient with respect to logits: see :meth:`ReferenceKernels.softmax_cross_entropy_backward`."""
    logits = saved[0]
    N, classes = logits.shape
    dx = xp.empty(logits.shape, logits.dtype)
    run = kernel(xp, "loss.cu", name_of("softmax_cross_entropy_backward", logits.dtype))
    run((-(-N // GROUPS),), (LANES, GROUPS), (*saved, xp.ascontiguousarray(dy), dx, xp.int64(N), xp.int64(classes)))
    return dx


def _kernel_of(xp: Any, name: str, formula: LossFormula, a: Array) -> Any:
    return kernel(xp, "loss.cu", name_of(name, a.dtype, formula.cuda_name))


def _added_up(xp: Any, parts: Array) -> Array:
    """The sum of the parts, a 0-d array."""
    if parts.size == 1:
        return parts.reshape(())
    loss = xp.empty((), parts.dtype)
    run = kernel(xp, "loss.cu", name_of("add_up", parts.dtype))
    run((1,), (LANES, GROUPS), (parts, loss, xp.int32(parts.size)))
    return loss
