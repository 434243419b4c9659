"""Ops as functions of tensors, for use in ``forward``: ``F.relu(F.conv2d(x, w, b))``.

Images are (N, H, W, C). Arrays and Python scalars are accepted as constants wherever a tensor is expected.
"""

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

import numpy as np

from .. import backends, ops, random
from ..errors import CallError, MinidlError, ShapeError, brief
from ..habits import explain_calls_in
from ..kernels.window import Padding, Pair
from ..ops.dropout import check_rate
from ..ops.loss import check_probabilities
from ..random import Generator
from ..tensor import Tensor, tensor
from .inputs import require_tensor

# Elementwise


def relu(x: Tensor) -> Tensor:
    """max(x, 0), with derivative 0 at 0.

    >>> relu(tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return ops.ReLU.apply(x)


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """x where positive, else slope x (Maas et al., "Rectifier Nonlinearities Improve ... Acoustic Models", 2013).

    >>> leaky_relu(tensor([-1.0, 2.0]), slope=0.1)
    tensor([-0.1,  2. ])
    """
    return ops.LeakyReLU.apply(x, slope=slope)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x).

    >>> sigmoid(tensor([0.0, 1e4]))
    tensor([0.5, 1. ])
    """
    return ops.Sigmoid.apply(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent.

    >>> tanh(tensor([0.0, 20.0]))
    tensor([0., 1.])
    """
    return ops.Tanh.apply(x)


def exp(x: Tensor) -> Tensor:
    """e^x.

    >>> exp(tensor([0.0]))
    tensor([1.])
    """
    return ops.Exp.apply(x)


def log(x: Tensor) -> Tensor:
    """The natural logarithm.

    >>> log(tensor([1.0, 2.0]))
    tensor([0.       , 0.6931472])
    """
    return ops.Log.apply(x)


def sqrt(x: Tensor) -> Tensor:
    """The square root.

    >>> sqrt(tensor([4.0]))
    tensor([2.])
    """
    return ops.Sqrt.apply(x)


def abs(x: Tensor) -> Tensor:
    """The absolute value, with derivative 0 at 0.

    >>> abs(tensor([-3.0, 3.0]))
    tensor([3., 3.])
    """
    return ops.Abs.apply(x)


def maximum(a: Any, b: Any) -> Tensor:
    """Elementwise maximum; where a and b are equal, a gets the gradient.

    >>> maximum(tensor([1.0, 5.0]), 3)
    tensor([3., 5.])
    """
    return ops.Maximum.apply(a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """Elementwise minimum; where a and b are equal, a gets the gradient.

    >>> minimum(tensor([1.0, 5.0]), 3)
    tensor([1., 3.])
    """
    return ops.Minimum.apply(a, b)


def clip(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """Limit x to the interval [low, high].

    >>> clip(tensor([-1.0, 0.5, 9.0]), 0, 1)
    tensor([0. , 0.5, 1. ])
    """
    return ops.Clip.apply(x, low=low, high=high)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition is true, else b.

    >>> x = tensor([-1.0, 2.0])
    >>> where(x > 0, x, 10 * x)
    tensor([-10.,   2.])
    """
    return ops.Where.apply(a, b, condition=_data(condition))


# Shape


def concatenate(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors along an existing axis.

    Raises :class:`minidl.errors.ShapeError` if the sizes of the other axes differ.

    >>> concatenate([tensor([1.0]), tensor([2.0, 3.0])])
    tensor([1., 2., 3.])
    """
    try:
        return ops.Concatenate.apply(*_several(xs), axis=axis)
    except MinidlError:
        _require_axis(axis)
        raise


def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors of equal shape along a new axis.

    Raises :class:`minidl.errors.ShapeError` if the shapes differ.

    >>> stack([tensor([1.0, 2.0]), tensor([3.0, 4.0])]).shape
    (2, 2)
    """
    try:
        return ops.Stack.apply(*_several(xs), axis=axis)
    except MinidlError:
        _require_axis(axis)
        raise


def pad(x: Tensor, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Pad x with ``value``; ``widths`` has one pair (before, after) per axis.

    Raises :class:`minidl.errors.ShapeError` if a width is negative or the number of pairs is not ``x.ndim``.

    >>> pad(tensor([1.0, 2.0]), [(1, 2)])
    tensor([0., 1., 2., 0., 0.])
    """
    return ops.Pad.apply(x, widths=widths, value=value)


def broadcast_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Broadcast x to a shape by NumPy's rules.

    Raises :class:`minidl.errors.ShapeError` if the shapes are incompatible.

    >>> broadcast_to(tensor([1.0, 2.0]), (3, 2)).shape
    (3, 2)
    """
    return ops.BroadcastTo.apply(x, shape=shape)


def flatten(x: Tensor) -> Tensor:
    """Merge all axes except the first: (N, ...) becomes (N, features).

    >>> flatten(tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """
    require_tensor(x)
    if not x.shape:
        raise ShapeError("expected samples along the first axis, got a scalar: use x.reshape(1, 1)")
    return ops.Reshape.apply(x, shape=(x.shape[0], prod(x.shape[1:])))


# Layers


def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """x w + b for x (..., in), w (in, out), b (out,).

    Raises :class:`minidl.errors.ShapeError` for incompatible shapes.

    >>> linear(tensor([[1.0, 2.0]]), tensor([[10.0], [1.0]]), tensor([0.5]))
    tensor([[12.5]])
    """
    return ops.Linear.apply(x, w) if b is None else ops.Linear.apply(x, w, b)


def conv2d(x: Tensor, w: Any, b: Any = None, stride: Pair = 1, padding: Padding = 0, algorithm: str = "auto") -> Tensor:
    """Convolve images (N, H, W, C) with weights (KH, KW, C, K) and add a bias (K,), giving (N, OH, OW, K).

    ``padding``: "valid", "same", an integer, (vertical, horizontal) or ((top, bottom), (left, right)). ``algorithm``:
    the name of a ``conv_algorithm`` plugin. Raises :class:`minidl.errors.ShapeError` for incompatible shapes.

    >>> import numpy as np, minidl as md
    >>> x, w = md.tensor(np.ones((1, 4, 4, 1), np.float32)), md.tensor(np.ones((3, 3, 1, 1), np.float32))
    >>> conv2d(x, w).numpy().reshape(2, 2)
    array([[9., 9.],
           [9., 9.]], dtype=float32)
    """
    inputs = (x, w) if b is None else (x, w, b)
    return ops.Conv2D.apply(*inputs, stride=stride, padding=padding, algorithm=algorithm)


def max_pool2d(x: Tensor, size: Pair, stride: Pair | None = None, padding: Padding = 0) -> Tensor:
    """The maximum of each window of images (N, H, W, C); the stride defaults to the window's size.

    Returns (N, OH, OW, C). Raises :class:`minidl.errors.ShapeError` if the window does not fit.

    >>> x = tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> max_pool2d(x, 2).item()
    4.0
    """
    return ops.MaxPool2D.apply(x, size=size, stride=stride, padding=padding)


def avg_pool2d(x: Tensor, size: Pair, stride: Pair | None = None, padding: Padding = 0) -> Tensor:
    """The mean of each window of images (N, H, W, C), padding excluded.

    Returns (N, OH, OW, C). Raises :class:`minidl.errors.ShapeError` if the window does not fit.

    >>> x = tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> avg_pool2d(x, 2).item()
    2.5
    """
    return ops.AvgPool2D.apply(x, size=size, stride=stride, padding=padding)


def dropout(x: Tensor, rate: float = 0.5, training: bool = True, rng: Generator | None = None) -> Tensor:
    """Set each element to 0 with probability ``rate``, scale the others by 1 / (1 - rate); x itself if not training.

    Srivastava et al., "Dropout" (2014), inverted. Raises :class:`MinidlError` unless 0 <= rate < 1.

    >>> x = dropout(tensor([1.0, 1.0, 1.0, 1.0]), rate=0.5, rng=Generator(0))
    >>> sorted(set(x.numpy().tolist()))
    [0.0, 2.0]
    """
    rate = check_rate(rate)
    if not training or rate == 0:
        return x if isinstance(x, Tensor) else tensor(x)
    return ops.Dropout.apply(x, rate=rate, rng=random.chosen(rng))


def batch_norm(x: Tensor, gamma: Any, beta: Any, eps: float = 1e-3) -> Tensor:
    """Normalise x over all axes except the last with the mean and variance of the batch, then scale and shift.

    x is (N, ..., C), gamma and beta (C,). Ioffe and Szegedy, "Batch Normalization" (2015), algorithm 1. Raises
    :class:`minidl.errors.ShapeError` for other shapes.

    >>> x = tensor([[1.0], [3.0]])
    >>> batch_norm(x, tensor([1.0]), tensor([0.0]), eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    return ops.BatchNorm.apply(x, gamma, beta, eps=eps)


# Classes and losses


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x / sum of e^x along an axis.

    >>> softmax(tensor([[0.0, 0.0]]))
    tensor([[0.5, 0.5]])
    """
    return ops.Softmax.apply(x, axis=axis)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """The logarithm of the softmax, accurate also where the softmax underflows to 0.

    >>> log_softmax(tensor([0.0, -1e4]))
    tensor([     0., -10000.])
    """
    return ops.LogSoftmax.apply(x, axis=axis)


def softmax_cross_entropy(logits: Tensor, labels: Any, ignore_index: int | None = None) -> Tensor:
    """The mean over the batch of -log softmax(logits)[label], for logits (N, classes) and integers (N,).

    Rows with the label ``ignore_index`` (any integer) are ignored. Raises :class:`minidl.errors.ShapeError` for other
    shapes, labels out of range, and batches in which all rows are ignored. On a GPU labels are not read: there the loss
    of such a batch is NaN.

    >>> import minidl as md
    >>> round(softmax_cross_entropy(md.tensor([[0.0, 0.0]]), [1]).item(), 4)
    0.6931
    """
    return ops.SoftmaxCrossEntropy.apply(logits, labels=_data(labels), ignore_index=ignore_index)


def binary_cross_entropy_with_logits(logits: Tensor, targets: Any) -> Tensor:
    """The mean of -t log s(x) - (1 - t) log(1 - s(x)) for logits x and targets t of equal shape, 0 <= t <= 1.

    Raises :class:`minidl.errors.ShapeError` if the shapes differ or a target is out of range.

    >>> binary_cross_entropy_with_logits(tensor([1e4, -1e4]), [1, 1]).item()
    5000.0
    """
    return ops.BinaryCrossEntropyWithLogits.apply(logits, _target(targets, logits, check_probabilities))


def l1_loss(a: Any, b: Any) -> Tensor:
    """The mean of ``|a - b|``, for a and b of equal shape.

    Raises :class:`minidl.errors.ShapeError` if the shapes differ.

    >>> l1_loss(tensor([1.0, 2.0]), [0.0, 5.0]).item()
    2.0
    """
    return ops.L1Loss.apply(a, _target(b, a))


def mse_loss(a: Any, b: Any) -> Tensor:
    """The mean of (a - b)^2, for a and b of equal shape.

    Raises :class:`minidl.errors.ShapeError` if the shapes differ.

    >>> mse_loss(tensor([1.0, 2.0]), [0.0, 5.0]).item()
    5.0
    """
    return ops.MSELoss.apply(a, _target(b, a))


def huber_loss(a: Any, b: Any, delta: float = 1.0) -> Tensor:
    """The mean of d^2 / 2 where ``|d|`` <= delta, else of delta (``|d|`` - delta / 2), for d = a - b.

    Huber, "Robust Estimation of a Location Parameter" (1964). Raises :class:`minidl.errors.ShapeError` if the shapes
    differ.

    >>> huber_loss(tensor([1.0, 2.0]), [0.0, 5.0]).item()
    1.5
    """
    return ops.HuberLoss.apply(a, _target(b, a), delta=delta)


def _data(x: Any) -> Any:
    """The array of a tensor; a foreign array as a NumPy array; anything else unchanged."""
    return x.data if isinstance(x, Tensor) else backends.native(x)


def _several(xs: Any) -> Sequence[Any]:
    """The tensors in a list, or the rows of a tensor."""
    if type(xs) in (list, tuple):
        return xs  # type: ignore[no-any-return]
    if not isinstance(xs, Iterable) or getattr(xs, "ndim", 1) == 0:
        raise MinidlError(f"expected a list of tensors, got {type(xs).__name__}: write [x, y]")
    return list(xs)


def _require_axis(axis: Any) -> None:
    """Raise for an axis that is a tensor, which was meant to be joined."""
    if getattr(axis, "ndim", 0):
        raise CallError(f"expected a list of tensors and an axis, got {brief(axis)} as the axis: write [x, y]")


def _target(b: Any, a: Any, check: Callable[[Any], None] | None = None) -> Any:
    """Targets without a gradient, in the dtype of the predictions (float32 if these are integers).

    Values are checked before they move to a device, because they are not read there."""
    if not isinstance(a, Tensor) or (isinstance(b, Tensor) and b.requires_grad):
        return b
    array, dtype = _data(b), a.dtype if a.dtype.kind == "f" else np.dtype(np.float32)
    if type(array) is type(a.data) and array.dtype == dtype:
        return array
    array = tensor(backends.values_in(array), dtype).data
    if check is not None and a.backend is not backends.default:
        check(array)
    return a.backend.asarray(array)


explain_calls_in(__name__)
