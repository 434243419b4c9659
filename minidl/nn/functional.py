"""The ops as functions of tensors: what a ``forward`` is written with, as in ``F.relu(F.conv2d(x, w, b))``.

Images are (N, H, W, C). Arrays and numbers count as constants wherever a tensor is expected.
"""

from collections.abc import Sequence
from typing import Any

from .. import ops, random
from ..errors import DtypeError, MinidlError
from ..kernels.window import Padding, Pair
from ..random import Generator
from ..tensor import Tensor, tensor

# Elementwise


def relu(x: Tensor) -> Tensor:
    """max(x, 0), with derivative 0 at 0."""
    return ops.ReLU.apply(x)


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """x where positive, else slope x (Maas et al., "Rectifier Nonlinearities Improve ... Acoustic Models", 2013)."""
    return ops.LeakyReLU.apply(x, slope=slope)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return ops.Sigmoid.apply(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return ops.Tanh.apply(x)


def exp(x: Tensor) -> Tensor:
    """e^x."""
    return ops.Exp.apply(x)


def log(x: Tensor) -> Tensor:
    """The natural logarithm."""
    return ops.Log.apply(x)


def sqrt(x: Tensor) -> Tensor:
    """The square root."""
    return ops.Sqrt.apply(x)


def abs(x: Tensor) -> Tensor:
    """The absolute value, with derivative 0 at 0."""
    return ops.Abs.apply(x)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of two, elementwise; of equal values the first gets the gradient."""
    return ops.Maximum.apply(a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of two, elementwise; of equal values the first gets the gradient."""
    return ops.Minimum.apply(a, b)


def clip(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """x limited to low ... high."""
    return ops.Clip.apply(x, low=low, high=high)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition holds, else b."""
    return ops.Where.apply(a, b, condition=_data(condition))


# Shape


def concatenate(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors one after another along an axis."""
    return ops.Concatenate.apply(*xs, axis=axis)


def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis."""
    return ops.Stack.apply(*xs, axis=axis)


def pad(x: Tensor, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """x with ``value`` around it; ``widths`` are (before, after) for each axis."""
    return ops.Pad.apply(x, widths=tuple(widths), value=value)


def broadcast_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x repeated to a shape by NumPy's rules."""
    return ops.BroadcastTo.apply(x, shape=shape)


def flatten(x: Tensor) -> Tensor:
    """All axes but the first as one: (N, ...) becomes (N, features)."""
    require_tensor(x)
    return x.reshape(x.shape[0], x.size // x.shape[0] if x.shape[0] else -1)


# Layers


def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """x w + b for x (N, in), w (in, out), b (out,)."""
    y = x @ w
    return y if b is None else y + b


def conv2d(x: Tensor, w: Any, b: Any = None, stride: Pair = 1, padding: Padding = 0, algorithm: str = "auto") -> Tensor:
    """The convolution of images (N, H, W, C) with weights (KH, KW, C, K) and a bias (K,), giving (N, OH, OW, K).

    ``padding``: "valid", "same", a number, (vertical, horizontal) or ((top, bottom), (left, right)). ``algorithm``
    names a plugin of the kind ``conv_algorithm``. Raises :class:`minidl.errors.ShapeError` for sizes that do not fit.

    >>> import numpy as np, minidl as md
    >>> x, w = md.tensor(np.ones((1, 4, 4, 1), np.float32)), md.tensor(np.ones((3, 3, 1, 1), np.float32))
    >>> conv2d(x, w).numpy().reshape(2, 2)
    array([[9., 9.],
           [9., 9.]], dtype=float32)
    """
    inputs = (x, w) if b is None else (x, w, b)
    return ops.Conv2D.apply(*inputs, stride=stride, padding=padding, algorithm=algorithm)


def max_pool2d(x: Tensor, size: Pair, stride: Pair | None = None, padding: Padding = 0) -> Tensor:
    """The maximum under each window of images (N, H, W, C); the stride is the window's size unless given."""
    return ops.MaxPool2D.apply(x, size=size, stride=stride, padding=padding)


def avg_pool2d(x: Tensor, size: Pair, stride: Pair | None = None, padding: Padding = 0) -> Tensor:
    """The mean under each window of images (N, H, W, C), of the pixels that are not padding."""
    return ops.AvgPool2D.apply(x, size=size, stride=stride, padding=padding)


def dropout(x: Tensor, rate: float = 0.5, training: bool = True, rng: Generator | None = None) -> Tensor:
    """x with each element set to 0 with probability ``rate``, the others scaled up; x itself when not training."""
    check_rate(rate)
    if not training or rate == 0:
        return x
    return ops.Dropout.apply(x, rate=rate, rng=random.default_rng if rng is None else rng)


def check_rate(rate: float) -> None:
    """Raise :class:`MinidlError` unless ``rate`` is a rate of dropout."""
    if not 0 <= rate < 1:
        raise MinidlError(f"the dropout rate must be in 0 <= rate < 1, got {rate}: 0.5 drops one half", "Dropout")


def batch_norm(x: Tensor, gamma: Any, beta: Any, eps: float = 1e-3) -> Tensor:
    """x normalised over all axes but the last with this batch's mean and variance, then scaled and shifted."""
    return ops.BatchNorm.apply(x, gamma, beta, eps=eps)


# Classes and losses


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x / sum of e^x along an axis."""
    return ops.Softmax.apply(x, axis=axis)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """The logarithm of the softmax, exact where the softmax would be 0."""
    return ops.LogSoftmax.apply(x, axis=axis)


def softmax_cross_entropy(logits: Tensor, labels: Any) -> Tensor:
    """The mean over the batch of -log softmax(logits)[label], for logits (N, classes) and whole numbers (N,).

    >>> import minidl as md
    >>> round(softmax_cross_entropy(md.tensor([[0.0, 0.0]]), [1]).item(), 4)
    0.6931
    """
    return ops.SoftmaxCrossEntropy.apply(logits, labels=_data(labels))


def binary_cross_entropy_with_logits(logits: Tensor, targets: Any) -> Tensor:
    """The mean of -t log s(x) - (1 - t) log(1 - s(x)) for logits x and targets t of one shape, 0 <= t <= 1."""
    return ops.BinaryCrossEntropyWithLogits.apply(logits, targets=_data(_target(targets, logits)))


def l1_loss(a: Any, b: Any) -> Tensor:
    """The mean of |a - b|, for two of one shape."""
    return ops.L1Loss.apply(a, _target(b, a))


def mse_loss(a: Any, b: Any) -> Tensor:
    """The mean of (a - b)^2, for two of one shape."""
    return ops.MSELoss.apply(a, _target(b, a))


def huber_loss(a: Any, b: Any, delta: float = 1.0) -> Tensor:
    """The mean of d^2 / 2 for |d| <= delta and of delta (|d| - delta / 2) beyond, d = a - b of one shape."""
    return ops.HuberLoss.apply(a, _target(b, a), delta=delta)


def _data(x: Any) -> Any:
    """The array of a tensor; anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


def _target(b: Any, a: Any) -> Any:
    """Targets that want no gradient, in the dtype of the predictions."""
    if not isinstance(a, Tensor) or (isinstance(b, Tensor) and b.requires_grad):
        return b
    array = _data(b)
    if type(array) is type(a.data) and array.dtype == a.dtype:
        return array
    return a.backend.asarray(tensor(array, a.dtype).data)


def require_tensor(x: Any) -> None:
    """Raise :class:`MinidlError` for what is neither a tensor nor an array, such as a whole batch."""
    if not hasattr(x, "dtype"):
        raise MinidlError(
            f"expected a tensor, got {type(x).__name__}: use md.tensor(...), and take the inputs out of a batch first"
        )


def require_floats(x: Any) -> None:
    """Raise unless a layer with weights can compute from ``x``: from a tensor or an array, but not from raw pixels."""
    require_tensor(x)
    if x.dtype.kind == "u":
        raise DtypeError(
            f"expected floats of about 1, got {x.dtype}: bring pixels to 0 ... 1 with x.astype(np.float32) / 255"
        )
