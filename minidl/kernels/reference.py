"""The reference kernels: each operation by its definition, for the array module of any backend.

A backend inherits these and may override any of them with a faster one; tests compare the two.
All arrays are NHWC, all results have the dtype of the inputs, and no input is modified.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from .window import Window, pad

Array = Any


class AdamStep(NamedTuple):
    """The scalars of a step of :class:`minidl.optim.Adam`; ``lr`` and ``unbias`` include its bias correction."""

    lr: float
    unbias: float
    beta1: float
    beta2: float
    eps: float
    keep: float


class LossFormula(NamedTuple):
    """An elementwise loss of predictions a and targets b, and its derivative with respect to a.

    ``cuda_name`` is the name of both in minidl/kernels/cupy/loss.cu, "" if they are not there; ``delta`` is the
    parameter of a formula that has one.

    >>> import numpy as np
    >>> from minidl import backends
    >>> squared = LossFormula(lambda a, b: (a - b) ** 2, lambda a, b: 2 * (a - b))
    >>> backends.default.mean_loss(squared, np.array([1.0, 2.0]), np.array([0.0, 5.0])).item()
    5.0
    """

    value: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]
    cuda_name: str = ""
    delta: float = 0.0


class ReferenceKernels:
    """The kernels in terms of ``xp``, a module with NumPy's functions.

    >>> import numpy as np
    >>> from minidl.kernels.window import sliding_window
    >>> kernels = ReferenceKernels()
    >>> kernels.xp = np
    >>> kernels.avg_pool(np.arange(4.0).reshape(1, 2, 2, 1), sliding_window(2, 2, 2, 2, 0)).item()
    1.5
    """

    xp: Any
    precision = "float32"
    """How float32 matrix products and convolutions are computed: see :meth:`Backend.set_precision`."""

    def matmul(self, a: Array, b: Array) -> Array:
        """The matrix product of two arrays, with NumPy's rules for 1-D and stacked operands. For two vectors, the
        rounding error must hardly grow with n; for matrices, BLAS chooses the order of summation."""
        return self.xp.matmul(a, b)

    def sum(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        """The sum over non-negative axes. Every op sums with this method, except inside matrix products and
        convolutions, so its rounding error must hardly grow with n."""
        return x.sum(axis=axes, keepdims=keepdims)

    def mean(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        """The mean over axes."""
        return x.mean(axis=axes, keepdims=keepdims)

    def relu(self, x: Array) -> Array:
        """``max(x, 0)``, elementwise; NaN stays NaN."""
        return self.xp.maximum(x, 0)

    def relu_backward(self, dy: Array, y: Array) -> Array:
        """``dy`` where the output ``y`` is positive, else 0: the derivative at 0 is 0."""
        return self.xp.where(y > 0, dy, self.xp.zeros((), dy.dtype))

    def max_pool(self, x: Array, window: Window) -> tuple[Array, Array]:
        """The maximum of each window, and the tap that held it: arrays (N, OH, OW, C), the second of uint8 or int32.

        Ties go to the first tap, and the first NaN wins over every other value. The padding is minus infinity, but is
        never chosen as the maximum.
        """
        xp = self.xp
        x = pad(xp, x, window, -xp.inf)
        y = x[window.under_tap(0, 0)].copy()
        first, _ = taps_inside(xp, window)
        argmax = xp.zeros(y.shape, argmax_dtype(xp, window)) + first.astype(argmax_dtype(xp, window))
        for tap, (kh, kw) in enumerate(window.taps()):
            candidate = x[window.under_tap(kh, kw)]
            wins = (candidate > y) | ((candidate != candidate) & (y == y))
            y = xp.maximum(candidate, y)
            argmax = xp.where(wins, xp.full((), tap, argmax.dtype), argmax)
        return y, argmax

    def max_pool_backward(self, dy: Array, argmax: Array, window: Window) -> Array:
        """The gradient (N, H, W, C): each ``dy`` goes to the pixel that held the maximum; overlaps accumulate."""
        xp = self.xp
        dx = xp.zeros((len(dy), *window.padded_size, dy.shape[-1]), dy.dtype)
        for tap, (kh, kw) in enumerate(window.taps()):
            dx[window.under_tap(kh, kw)] += xp.where(argmax == tap, dy, xp.zeros((), dy.dtype))
        return dx[window.inside]

    def avg_pool(self, x: Array, window: Window) -> Array:
        """The mean of each window, over the pixels that are not padding: an array (N, OH, OW, C)."""
        xp = self.xp
        x = pad(xp, x, window)
        shape = (len(x), window.OH, window.OW, x.shape[-1])
        total = sum_of(xp, shape, x.dtype, (x[window.under_tap(kh, kw)] for kh, kw in window.taps()))
        return total / self._pixels_in(window, x.dtype)

    def avg_pool_backward(self, dy: Array, window: Window) -> Array:
        """The gradient (N, H, W, C): every pixel of a window gets an equal share of that window's ``dy``."""
        xp = self.xp
        dx = xp.zeros((len(dy), *window.padded_size, dy.shape[-1]), dy.dtype)
        share = dy / self._pixels_in(window, dy.dtype)
        for kh, kw in window.taps():
            dx[window.under_tap(kh, kw)] += share
        return dx[window.inside]

    def _pixels_in(self, window: Window, dtype: Any) -> Array:
        """The number of image pixels in each window: (1, OH, OW, 1); 1 for a window of nothing but padding."""
        xp = self.xp
        image = pad(xp, xp.ones((1, window.H, window.W, 1), dtype), window)
        return xp.maximum(sum(image[window.under_tap(kh, kw)] for kh, kw in window.taps()), 1)

    def sum_to_channels(self, dy: Array) -> Array:
        """The sum (C,) of an array (N, H, W, C) over images and pixels."""
        return self.sum(dy, (0, 1, 2))

    def gather_images(self, pixels: Array, indices: Array, mirror: Array | None = None) -> Array:
        """``pixels[indices]`` as float32 images (B, H, W, C) in [0, 1], for ``pixels`` of uint8 (N, H, W, C); flipped
        horizontally where the boolean array ``mirror`` (B,) is True."""
        xp = self.xp
        chosen = pixels[indices]
        if mirror is not None:
            chosen = xp.where(mirror[:, None, None, None], chosen[:, :, ::-1], chosen)
        return xp.divide(chosen, xp.float32(255), dtype=xp.float32)

    def for_blocks(self, formula: Any, arrays: Iterable[Array]) -> None:
        """Call ``formula(*arrays)``, an elementwise formula that works in place; a backend may split the arrays."""
        formula(*arrays)

    def mean_loss(self, formula: LossFormula, a: Array, b: Array) -> Array:
        """The mean of ``formula.value(a, b)``, a 0-d array."""
        losses = formula.value(a, b)
        return losses.sum() / losses.size  # for few elements, NumPy's mean() takes twice as long

    def mean_loss_backward(self, formula: LossFormula, a: Array, b: Array, dy: Array) -> Array:
        """The gradient with respect to a, with its shape, for a 0-d ``dy``."""
        return formula.slope(a, b) * (dy / a.size)

    def softmax_cross_entropy(self, logits: Array, labels: Array) -> tuple[Array, tuple[Array, ...]]:
        """The mean over the rows of -log softmax(logits)[label], 0-d, and what the backward pass needs.

        Logits are (N, classes), labels (N,) integers of any dtype. A label that is not a class matches no column: the
        loss of its row is 0, and its gradient softmax dy / N.
        """
        xp = self.xp
        log_p = self.log_softmax(logits, axis=-1)
        one_hot = labels[:, None] == xp.arange(logits.shape[-1])
        return -xp.where(one_hot, log_p, xp.zeros((), log_p.dtype)).sum() / len(logits), (log_p, one_hot)

    def softmax_cross_entropy_backward(self, saved: tuple[Array, ...], dy: Array) -> Array:
        """The gradient (softmax - one-hot) dy / N of the logits, from what :meth:`softmax_cross_entropy` saved."""
        log_p, one_hot = saved
        return (self.xp.exp(log_p) - one_hot) * (dy / len(log_p))

    def log_softmax(self, x: Array, axis: int) -> Array:
        """log(e^x / sum of e^x) along an axis; the maximum is subtracted first, to avoid overflow."""
        if x.size == 0:  # which may have no maximum
            return x - x.sum(axis=axis, keepdims=True)
        shifted = x - x.max(axis=axis, keepdims=True)
        return shifted - self.xp.log(self.sum(self.xp.exp(shifted), from_0(axis, x.ndim), keepdims=True))

    def adam(self, tensors: Iterable[tuple[Array, Array, Array, Array]], step: AdamStep) -> None:
        """Update m and v with grad and its square, then p = keep p - lr m / (sqrt(v) unbias + eps), all in place.

        ``tensors`` are tuples (p, grad, m, v), each of one shape and dtype.
        """
        lr, unbias, beta1, beta2, eps, keep = step

        def formula(param: Array, grad: Array, m: Array, v: Array) -> None:
            m *= beta1
            m += (1 - beta1) * grad
            v *= beta2
            v += (1 - beta2) * grad * grad
            if keep != 1:
                param *= keep
            scale = self.xp.sqrt(v)
            scale *= unbias
            scale += eps
            param -= lr * m / scale

        for arrays in tensors:
            self.for_blocks(formula, arrays)


def from_0(axis: int, ndim: int) -> tuple[int, ...]:
    """A possibly negative axis as the ``axes`` of :meth:`ReferenceKernels.sum`; () for a 0-d array.

    >>> from_0(-1, 2), from_0(-1, 0)
    ((1,), ())
    """
    return (axis % ndim,) if ndim else ()


def sum_of(xp: Any, shape: tuple[int, ...], dtype: Any, arrays: Iterator[Array]) -> Array:
    """The sum of arrays of one shape, a few at a time, then of their sums: the rounding error hardly grows.

    >>> import numpy as np
    >>> tenths = (np.full(1, 0.1, np.float32) for _ in range(1 << 12))
    >>> round(float(sum_of(np, (1,), np.float32, tenths)[0]), 3)
    409.6
    """
    sums: list[tuple[int, Array]] = []  # (size, sum), of decreasing size: equal sizes are merged
    for first in arrays:
        total = xp.zeros(shape, dtype)
        total += first
        for array in islice(arrays, 15):
            total += array
        size = 1
        while sums and sums[-1][0] == size:
            total += sums.pop()[1]
            size *= 2
        sums.append((size, total))
    total = sums.pop()[1] if sums else xp.zeros(shape, dtype)
    while sums:
        total += sums.pop()[1]
    return total


def taps_inside(xp: Any, window: Window) -> tuple[Array, Array]:
    """The first and the last tap of each window that are on the image, not the padding: integers (OH, OW, 1).

    >>> import numpy as np
    >>> from minidl.kernels.window import sliding_window
    >>> first, last = taps_inside(np, sliding_window(2, 2, 2, 1, 1))
    >>> first[..., 0].tolist(), last[..., 0].tolist()
    ([[3, 2, 2], [1, 0, 0], [1, 0, 0]], [[3, 3, 2], [3, 3, 2], [1, 1, 0]])
    """
    rows, columns = window.SH * xp.arange(window.OH)[:, None, None], window.SW * xp.arange(window.OW)[:, None]
    first = xp.maximum(window.top - rows, 0) * window.KW + xp.maximum(window.left - columns, 0)
    last_row = xp.minimum(window.top + window.H - rows, window.KH) - 1
    return first, last_row * window.KW + xp.minimum(window.left + window.W - columns, window.KW) - 1


def argmax_dtype(xp: Any, window: Window) -> Any:
    """The dtype of a tap's index: one byte is enough for any usual pooling window.

    >>> import numpy as np
    >>> from minidl.kernels.window import sliding_window
    >>> argmax_dtype(np, sliding_window(4, 4, 2, 2, 0)).__name__
    'uint8'
    """
    return xp.uint8 if window.KH * window.KW <= 256 else xp.int32
