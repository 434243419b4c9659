"""Softmax and the loss functions. Each loss is a mean over all its elements (over the batch, for classes): a 0-d array.

Predictions and targets have one shape, classes are logits (N, classes) with whole-number labels (N,). All losses raise
:class:`minidl.errors.ShapeError` for other shapes and for no elements at all.
"""

from typing import Any

import numpy as np

from ..errors import DtypeError, ShapeError
from ..op import Op
from ..plugins import register
from .elementwise import sigmoid

Array = Any


def log_softmax(xp: Any, x: Array, axis: int) -> Array:
    """log(e^x / sum of e^x) along an axis, without overflow: the maximum is taken off first.

    >>> log_softmax(np, np.array([0.0, -1e4]), axis=0)
    array([     0., -10000.])
    """
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))


@register("op", "softmax")
class Softmax(Op):
    """y = e^x / sum of e^x along an axis

    >>> Softmax.apply([[0.0, 0.0]])
    tensor([[0.5, 0.5]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        y = self.xp.exp(log_softmax(self.xp, x, self.axis))
        self.save(y)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        return (y * (dy - (dy * y).sum(axis=self.axis, keepdims=True)),)


@register("op", "log_softmax")
class LogSoftmax(Op):
    """y = log of softmax(x) along an axis

    >>> LogSoftmax.apply([0.0, -1e4])
    tensor([     0., -10000.])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        y = log_softmax(self.xp, x, self.axis)
        self.save(y)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        return (dy - self.xp.exp(y) * dy.sum(axis=self.axis, keepdims=True),)


@register("op", "softmax_cross_entropy")
class SoftmaxCrossEntropy(Op):
    """y = mean over the batch of -log softmax(logits)[label]; its gradient is (softmax - one-hot) / N

    Bishop, "Pattern Recognition and Machine Learning" (2006), equations 4.108 and 4.109.

    >>> round(SoftmaxCrossEntropy.apply([[0.0, 0.0]], labels=[1]).item(), 4)  # two classes, equally likely: ln 2
    0.6931
    """

    def __init__(self, labels: Array) -> None:
        self.labels = labels

    def forward(self, logits: Array) -> Array:
        labels = self._checked(logits)
        xp = self.xp
        log_p = log_softmax(xp, logits, axis=-1)
        one_hot = labels[:, None] == xp.arange(logits.shape[-1])
        self.save(log_p, one_hot)
        return -xp.where(one_hot, log_p, xp.zeros((), log_p.dtype)).sum() / len(logits)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        log_p, one_hot = self.saved
        return ((self.xp.exp(log_p) - one_hot) * (dy / len(log_p)),)

    def _checked(self, logits: Array) -> Array:
        labels = self.labels if hasattr(self.labels, "dtype") else np.asarray(self.labels)
        if logits.ndim != 2 or logits.shape[0] < 1 or logits.shape[1] < 2:
            raise ShapeError(
                f"expected logits (N, classes) with N >= 1 and classes >= 2, got {logits.shape}. "
                f"{_logits_hint(logits.shape, labels.shape)}"
            )
        if labels.shape != logits.shape[:1]:
            raise ShapeError(
                f"expected labels of shape {logits.shape[:1]}, got {labels.shape}: "
                f"{_labels_hint(labels.shape, logits.shape)}"
            )
        if labels.dtype.kind not in "iu":
            hint = (
                "labels.astype(np.int64)" if labels.dtype.kind in "fb" else "np.unique(labels, return_inverse=True)[1]"
            )
            raise DtypeError(f"expected whole-number class labels, got {labels.dtype}: use {hint}")
        # On a GPU, reading the labels would make every step wait: there they are trusted.
        if isinstance(labels, np.ndarray) and not 0 <= labels.min() <= labels.max() < logits.shape[1]:
            low, high = int(labels.min()), int(labels.max())
            from_one = (low, high) == (1, logits.shape[1])
            raise ShapeError(
                f"labels must lie in 0 ... {logits.shape[1] - 1} for {logits.shape[1]} classes, got {low} ... {high}: "
                + (
                    "count them from 0, labels - 1"
                    if from_one
                    else "correct them, or let the last layer give more logits"
                )
            )
        return self.backend.asarray(labels)


def _logits_hint(logits: tuple[int, ...], labels: tuple[int, ...]) -> str:
    if len(logits) > 2:
        return "Put Flatten() before the last Dense."
    if len(logits) == 2 and logits[1] == 1:
        return "For one logit a sample use binary_cross_entropy_with_logits."
    if len(labels) == 2:
        return "The logits come first, then the labels."
    return "Each row is one sample: the model wants a batch."


def _labels_hint(labels: tuple[int, ...], logits: tuple[int, ...]) -> str:
    if labels == logits:
        return "turn one-hot labels into numbers with labels.argmax(axis=1)"
    if labels == (logits[0], 1):
        return "use labels.reshape(-1)"
    return "one label for each row of the logits"


@register("op", "binary_cross_entropy_with_logits")
class BinaryCrossEntropyWithLogits(Op):
    """y = mean of -t log s(x) - (1 - t) log(1 - s(x)), s the sigmoid, for logits x and targets t in 0 ... 1

    Written as max(x, 0) - x t + log(1 + e^-|x|), it is exact for logits of any size. Its gradient is (s(x) - t) / n.

    >>> BinaryCrossEntropyWithLogits.apply([1e4, -1e4], targets=[1, 1])
    tensor(5000.)
    """

    def __init__(self, targets: Array) -> None:
        self.targets = targets

    def forward(self, logits: Array) -> Array:
        xp = self.xp
        targets = self.backend.asarray(self.targets, logits.dtype)
        check_same_shape(logits, targets, "logits", "targets")
        # On a GPU, reading the targets would make every step wait: there they are trusted.
        if isinstance(targets, np.ndarray) and not 0 <= targets.min() <= targets.max() <= 1:
            raise ShapeError(
                f"targets must lie in 0 ... 1, got {targets.min():g} ... {targets.max():g}: "
                "scale them, or use softmax_cross_entropy for more than two classes"
            )
        self.save(logits, targets)
        return (xp.maximum(logits, 0) - logits * targets + xp.log1p(xp.exp(-xp.abs(logits)))).mean()

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        logits, targets = self.saved
        return ((sigmoid(self.xp, logits) - targets) * (dy / logits.size),)


class _Distance(Op):
    """A loss that compares predictions a with targets b, both (N, ...), by their difference."""

    def difference(self, a: Array, b: Array) -> Array:
        check_same_shape(a, b, "predictions", "targets")
        difference = a - b
        self.save(difference)
        return difference

    def slope(self, difference: Array) -> Array:
        """The derivative of one element's loss by its difference."""
        raise NotImplementedError

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (difference,) = self.saved
        da = self.slope(difference) * (dy / difference.size)
        return da, -da


@register("op", "l1_loss")
class L1Loss(_Distance):
    """y = mean of |a - b|, with derivative 0 where a = b

    >>> L1Loss.apply([1.0, 2.0], [0.0, 5.0])
    tensor(2.)
    """

    def forward(self, a: Array, b: Array) -> Array:
        return self.xp.abs(self.difference(a, b)).mean()

    def slope(self, difference: Array) -> Array:
        return self.xp.sign(difference)


@register("op", "mse_loss")
class MSELoss(_Distance):
    """y = mean of (a - b)^2

    >>> MSELoss.apply([1.0, 2.0], [0.0, 5.0])
    tensor(5.)
    """

    def forward(self, a: Array, b: Array) -> Array:
        difference = self.difference(a, b)
        return (difference * difference).mean()

    def slope(self, difference: Array) -> Array:
        return 2 * difference


@register("op", "huber_loss")
class HuberLoss(_Distance):
    """y = mean of d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), for d = a - b

    Huber, "Robust Estimation of a Location Parameter" (1964).

    >>> HuberLoss.apply([1.0, 2.0], [0.0, 5.0])
    tensor(1.5)
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = delta

    def forward(self, a: Array, b: Array) -> Array:
        difference = self.difference(a, b)
        size = self.xp.abs(difference)
        near = self.xp.minimum(size, self.delta)
        return (near * (size - near / 2)).mean()

    def slope(self, difference: Array) -> Array:
        return self.xp.clip(difference, -self.delta, self.delta)


def check_same_shape(a: Array, b: Array, a_name: str, b_name: str) -> None:
    """Raise if two arrays differ in shape (broadcasting would quietly compare all with all) or are empty.

    >>> check_same_shape(np.ones((2, 1)), np.ones(2), "predictions", "targets")
    Traceback (most recent call last):
    minidl.errors.ShapeError: expected targets of the shape of the predictions, (2, 1), got (2,): use ...
    """
    if a.shape != b.shape:
        hint = f": use {b_name}.reshape{a.shape}" if a.size == b.size else f": one value for each of the {a_name}"
        raise ShapeError(f"expected {b_name} of the shape of the {a_name}, {a.shape}, got {b.shape}{hint}")
    if a.size == 0:
        raise ShapeError(f"expected at least one element, got {a_name} of shape {a.shape}")
