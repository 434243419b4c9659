"""Softmax and the loss functions. Each loss is the mean over all elements (over the batch for labels), a 0-d array.

Predictions and targets have equal shapes; labels are integers (N,) for logits (N, classes). All losses raise
:class:`minidl.errors.ShapeError` for other shapes and for empty inputs.
"""

from typing import Any

import numpy as np

from .. import backends
from ..errors import DtypeError, GraphError, ShapeError, counted
from ..kernels.reference import LossFormula, from_0
from ..op import Op
from ..options import integer, number
from ..plugins import register
from ..shortcuts import Methods
from .elementwise import sigmoid

__all__ = [
    "Softmax",
    "LogSoftmax",
    "SoftmaxCrossEntropy",
    "BinaryCrossEntropyWithLogits",
    "L1Loss",
    "MSELoss",
    "HuberLoss",
]

Array = Any


@register("op", "softmax")
class Softmax(Op):
    """y = e^x / sum of e^x along an axis

    >>> Softmax.apply([[0.0, 0.0]])
    tensor([[0.5, 0.5]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = integer("axis", axis)

    def forward(self, x: Array) -> Array:
        y = self.xp.exp(self.backend.log_softmax(x, self.axis))
        self.save(y)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        return (y * (dy - self.backend.sum(dy * y, from_0(self.axis, dy.ndim), keepdims=True)),)


@register("op", "log_softmax")
class LogSoftmax(Op):
    """y = log of softmax(x) along an axis

    >>> LogSoftmax.apply([0.0, -1e4])
    tensor([     0., -10000.])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = integer("axis", axis)

    def forward(self, x: Array) -> Array:
        y = self.backend.log_softmax(x, self.axis)
        self.save(y)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        return (dy - self.xp.exp(y) * self.backend.sum(dy, from_0(self.axis, dy.ndim), keepdims=True),)


@register("op", "softmax_cross_entropy")
class SoftmaxCrossEntropy(Op):
    """y = mean over the batch of -log softmax(logits)[label]; its gradient is (softmax - one-hot) / N

    Bishop, "Pattern Recognition and Machine Learning" (2006), equations 4.108 and 4.109.

    The mean excludes rows whose label is ``ignore_index``.

    >>> round(SoftmaxCrossEntropy.apply([[0.0, 0.0]], labels=[1]).item(), 4)  # two classes, equally likely: ln 2
    0.6931
    """

    def __init__(self, labels: Array, ignore_index: int | None = None) -> None:
        self.labels = labels
        self.ignore_index = None if ignore_index is None else integer("ignore_index", ignore_index)

    def forward(self, logits: Array) -> Array:
        labels = self._checked(logits)
        if self.ignore_index is not None:
            self.counts = labels != self.ignore_index
            labels = self.xp.where(self.counts, labels, self.xp.full((), -1, np.int64))  # not a class: a loss of 0
            self.scale = (len(labels) / self.counts.sum()).astype(logits.dtype)
        loss, saved = self.backend.softmax_cross_entropy(logits, labels)
        self.save(*saved)
        return loss if self.ignore_index is None else loss * self.scale

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        if self.ignore_index is None:
            return (self.backend.softmax_cross_entropy_backward(self.saved, dy),)
        dx = self.backend.softmax_cross_entropy_backward(self.saved, dy * self.scale)
        return (self.xp.where(self.counts[:, None], dx, self.xp.zeros((), dx.dtype)),)

    def _checked(self, logits: Array) -> Array:
        labels = backends.native(self.labels)
        labels = labels if hasattr(labels, "dtype") else np.asarray(labels)
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
            raise DtypeError(f"expected integer class labels, got {labels.dtype}: use {hint}")
        # Not checked on a GPU, where reading the labels would make every step wait.
        if isinstance(labels, np.ndarray):
            _require_classes(labels if self.ignore_index is None else labels[labels != self.ignore_index], logits)
        return self.own(labels)


def _require_classes(labels: Array, logits: Array) -> None:
    """Raise unless there is at least one label and all labels are valid classes."""
    classes = logits.shape[1]
    if labels.size == 0:
        raise ShapeError("expected at least one label that is not ignored: skip this batch, it has no mean")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        hint = (
            "count classes from 0, with labels - 1"
            if (low, high) == (1, classes)
            else "pass ignore_index=-100 to ignore this label"
            if low == -100
            else "correct them, or add outputs to the last layer"
        )
        outputs = counted(classes, "class", "classes")
        raise ShapeError(f"labels must lie in 0 ... {classes - 1} for {outputs}, got {low} ... {high}: {hint}")


def _logits_hint(logits: tuple[int, ...], labels: tuple[int, ...]) -> str:
    if len(logits) > 2:
        return "Put Flatten() before the last Dense."
    if len(logits) == 2 and logits[1] == 1:
        return "For one logit per sample use binary_cross_entropy_with_logits."
    if len(labels) == 2:
        return "The logits come first, then the labels."
    return "Each row is one sample: pass a batch."


def _labels_hint(labels: tuple[int, ...], logits: tuple[int, ...]) -> str:
    if labels == logits:
        return "convert one-hot labels with labels.argmax(axis=1)"
    if labels == (logits[0], 1):
        return "use labels.reshape(-1)"
    return "pass one label per row of the logits"


class ElementwiseLoss(Op):
    """The mean of an elementwise loss between predictions a and targets b of equal shape.

    A subclass defines the loss of each element, :meth:`value`, and its derivative, :meth:`slope`. The backend computes
    the mean, in one pass if it has a kernel for the formula. See :class:`Distance`.
    """

    cuda_name = ""
    """The formula's name in minidl/kernels/cupy/loss.cu. Subclasses do not inherit it: their formula may differ."""
    delta = 0.0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.cuda_name = vars(cls).get("cuda_name", "")

    def value(self, a: Array, b: Array) -> Array:
        """The loss of each element."""
        raise NotImplementedError

    def slope(self, a: Array, b: Array) -> Array:
        """The derivative of :meth:`value` with respect to a."""
        raise NotImplementedError

    @property
    def formula(self) -> LossFormula:
        """The formula, as the backends' kernels take it."""
        return LossFormula(self.value, self.slope, self.cuda_name, self.delta)


@register("op", "binary_cross_entropy_with_logits")
class BinaryCrossEntropyWithLogits(ElementwiseLoss):
    """y = mean of -t log s(x) - (1 - t) log(1 - s(x)), s the sigmoid, for logits x and targets t in 0 ... 1

    Written as max(x, 0) - x t + log(1 + e^-|x|), it is accurate for logits of any magnitude. The gradients are
    (s(x) - t) / n for x and -x / n for t.

    A subclass with another :meth:`value` or :meth:`slope` must define ``backward`` to have a gradient for t.

    >>> BinaryCrossEntropyWithLogits.apply([1e4, -1e4], [1, 1])
    tensor(5000.)
    """

    cuda_name = "BinaryCrossEntropyWithLogits"

    def value(self, x: Array, t: Array) -> Array:
        xp = self.xp
        return xp.maximum(x, 0) - x * t + xp.log1p(xp.exp(-xp.abs(x)))

    def slope(self, x: Array, t: Array) -> Array:
        return sigmoid(self.xp, x) - t

    def forward(self, logits: Array, targets: Array) -> Array:
        check_same_shape(logits, targets, "logits", "targets")
        check_probabilities(targets)
        self.save(logits, targets)
        return self.backend.mean_loss(self.formula, logits, targets)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, t = self.saved
        needs_x, needs_t = self.needs_grad
        if needs_t and not _CROSS_ENTROPY.belong_to(self):
            raise GraphError(
                "value or slope is not that of binary cross-entropy, so the gradient for the targets is unknown: "
                "pass targets.detach(), or define backward in the subclass",
                self.name,
            )
        dx = self.backend.mean_loss_backward(self.formula, x, t, dy) if needs_x else None
        return dx, -x * (dy / x.size) if needs_t else None


_CROSS_ENTROPY = Methods(BinaryCrossEntropyWithLogits, "value", "slope")


class Distance(ElementwiseLoss):
    """A loss of the differences a - b; both may require a gradient.

    >>> class Quartic(Distance):
    ...     def value(self, a, b):
    ...         return (a - b) ** 4
    ...     def slope(self, a, b):
    ...         return 4 * (a - b) ** 3
    >>> Quartic.apply([1.0, 2.0], [0.0, 4.0])
    tensor(8.5)
    """

    def forward(self, a: Array, b: Array) -> Array:
        check_same_shape(a, b, "predictions", "targets")
        self.save(a, b)
        return self.backend.mean_loss(self.formula, a, b)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        a, b = self.saved
        da = self.backend.mean_loss_backward(self.formula, a, b, dy)
        return da, -da if self.needs_grad[1] else None


@register("op", "l1_loss")
class L1Loss(Distance):
    """y = mean of |a - b|, with derivative 0 where a = b

    >>> L1Loss.apply([1.0, 2.0], [0.0, 5.0])
    tensor(2.)
    """

    cuda_name = "L1Loss"

    def value(self, a: Array, b: Array) -> Array:
        return self.xp.abs(a - b)

    def slope(self, a: Array, b: Array) -> Array:
        return self.xp.sign(a - b)


@register("op", "mse_loss")
class MSELoss(Distance):
    """y = mean of (a - b)^2

    >>> MSELoss.apply([1.0, 2.0], [0.0, 5.0])
    tensor(5.)
    """

    cuda_name = "MSELoss"

    def value(self, a: Array, b: Array) -> Array:
        difference = a - b
        return difference * difference

    def slope(self, a: Array, b: Array) -> Array:
        return 2 * (a - b)


@register("op", "huber_loss")
class HuberLoss(Distance):
    """y = mean of d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), for d = a - b

    Huber, "Robust Estimation of a Location Parameter" (1964).

    >>> HuberLoss.apply([1.0, 2.0], [0.0, 5.0])
    tensor(1.5)
    """

    cuda_name = "HuberLoss"

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = number("delta", delta, "> 0")

    def value(self, a: Array, b: Array) -> Array:
        size = self.xp.abs(a - b)
        near = self.xp.minimum(size, self.delta)
        return near * (size - near / 2)

    def slope(self, a: Array, b: Array) -> Array:
        return self.xp.clip(a - b, -self.delta, self.delta)


def check_probabilities(targets: Array) -> None:
    """Raise unless all targets are in 0 ... 1. Not checked on a GPU, where reading them would make every step wait.

    >>> check_probabilities(np.array([1.0, 2.0]))
    Traceback (most recent call last):
    minidl.errors.ShapeError: targets must lie in 0 ... 1, got 1 ... 2: scale them, or use softmax_cross_entropy for ...
    """
    if isinstance(targets, np.ndarray) and targets.size and not 0 <= targets.min() <= targets.max() <= 1:
        raise ShapeError(
            f"targets must lie in 0 ... 1, got {targets.min():g} ... {targets.max():g}: "
            "scale them, or use softmax_cross_entropy for more than two classes"
        )


def check_same_shape(a: Array, b: Array, a_name: str, b_name: str) -> None:
    """Raise if two arrays differ in shape (broadcasting would silently compare all pairs) or are empty.

    >>> check_same_shape(np.ones((2, 1)), np.ones(2), "predictions", "targets")
    Traceback (most recent call last):
    minidl.errors.ShapeError: expected targets of the shape of the predictions, (2, 1), got (2,): use ...
    """
    if a.shape != b.shape:
        hint = f": use {b_name}.reshape{a.shape}" if a.size == b.size else f": one value for each of the {a_name}"
        raise ShapeError(f"expected {b_name} of the shape of the {a_name}, {a.shape}, got {b.shape}{hint}")
    if a.size == 0:
        raise ShapeError(f"expected at least one element, got {a_name} of shape {a.shape}")
