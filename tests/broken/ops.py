"""Ops with one mistake each, and the check that must find it."""

import itertools
from typing import Any, ClassVar

import numpy as np

import minidl as md
from minidl.kernels.window import sliding_window
from minidl.op import Op
from minidl.testing import OpExample, OpSubject
from minidl.testing.arrays import numbers

Array = Any
IMAGES = numbers(2, 4, 6, 2)


class Square(Op):
    """y = x x, without a mistake."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * x

    def backward(self, dy: Array) -> Any:
        (x,) = self.saved
        return (2 * x * dy,)


class WrongScale(Square):
    def backward(self, dy: Array) -> Any:
        return (2.001 * self.saved[0] * dy,)


class WrongSign(Square):
    def backward(self, dy: Array) -> Any:
        return (-2 * self.saved[0] * dy,)


class IgnoresCotangent(Square):
    def backward(self, dy: Array) -> Any:
        return (2 * self.saved[0],)


class OneElementWrong(Square):
    def backward(self, dy: Array) -> Any:
        dx = 2 * self.saved[0] * dy
        dx.flat[-1:] *= 1.0001
        return (dx,)


class Float64Leak(Square):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return (x * self.xp.asarray(1.0, self.xp.float64) * self.xp.ones(x.shape) * x) if x.ndim else x * x

    def check_dtype(self, array: Array, expected: Any) -> None:
        """The engine detects this itself."""


class Float64Gradient(Square):
    def backward(self, dy: Array) -> Any:
        return ((2 * self.saved[0] * dy).astype(self.xp.float64),)


class LosesPrecision(Square):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return (x + 1) ** 2 - 2 * x - 1 if x.dtype == np.float64 else x * x * np.float32(1.001)


class MutatesInput(Square):
    def forward(self, x: Array) -> Array:
        self.save(x.copy())
        y = x.copy() * x
        x *= 1.5
        return y


class MutatesCotangent(Square):
    def backward(self, dy: Array) -> Any:
        dy *= self.saved[0]
        dy *= 2
        return (dy,)


class MutatesOutput(Op):
    def forward(self, x: Array) -> Array:
        y = self.xp.exp(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Any:
        (y,) = self.saved
        y *= dy
        return (y,)


class ReadsRawMemory(Square):
    """Assumes that arrays are row-major."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        stored = x.ravel(order="K").reshape(x.shape)
        return stored * stored


class Nondeterministic(Square):
    calls = itertools.count()

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * x * (1 + 1e-15 * (next(self.calls) % 7))


class StaleCache(Square):
    """Saves arrays in the class: the next call overwrites them."""

    cache: Array

    def forward(self, x: Array) -> Array:
        type(self).cache = x
        return x * x

    def backward(self, dy: Array) -> Any:
        return (2 * type(self).cache * dy,)


class SharedBuffer(Square):
    """Returns scratch memory that the next call reuses."""

    buffers: ClassVar[dict[Any, Array]] = {}

    def forward(self, x: Array) -> Array:
        self.save(x)
        buffer = self.buffers.setdefault((x.shape, str(x.dtype)), np.empty(x.shape, x.dtype))
        return np.multiply(x, x, out=buffer)


class ReusesGradients(Square):
    """Returns the memory of the previous gradient."""

    buffers: ClassVar[dict[Any, Array]] = {}

    def backward(self, dy: Array) -> Any:
        (x,) = self.saved
        buffer = self.buffers.setdefault((x.shape, str(x.dtype)), np.empty(x.shape, x.dtype))
        return (np.multiply(2 * x, dy, out=buffer),)


class Transposes(Op):
    """y = the transpose of x."""

    def forward(self, x: Array) -> Array:
        return x.T.copy()

    def backward(self, dy: Array) -> Any:
        return (dy.reshape(dy.shape[::-1]),)


class MatMulTransposed(Op):
    """y = a b for square matrices."""

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return a @ b

    def backward(self, dy: Array) -> Any:
        a, b = self.saved
        return dy @ b, a.T @ dy  # b.T is meant


class SwapsGradients(Op):
    """y = a b element by element."""

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return a * b

    def backward(self, dy: Array) -> Any:
        a, b = self.saved
        return dy * a, dy * b


class MissingUnbroadcast(SwapsGradients):
    """Undoes the broadcasting of a row itself, but returns one row instead of the sum."""

    def backward(self, dy: Array) -> Any:
        a, b = self.saved
        return dy * b, (dy * a)[0] if b.ndim < a.ndim else dy * a


class ForgetsOneInput(SwapsGradients):
    def backward(self, dy: Array) -> Any:
        _, b = self.saved
        return dy * b, None


class NeedsBoth(SwapsGradients):
    """Returns no gradient unless every input requires one."""

    def backward(self, dy: Array) -> Any:
        a, b = self.saved
        return (dy * b, dy * a) if all(self.needs_grad) else (dy * 0, dy * 0)


class Neighbours(Op):
    """y = x[:, :-1] + x[:, 1:]: each element is used twice."""

    def forward(self, x: Array) -> Array:
        return x[:, :-1] + x[:, 1:]

    def backward(self, dy: Array) -> Any:
        dx = self.xp.zeros((dy.shape[0], dy.shape[1] + 1), dy.dtype)
        dx[:, :-1] = dy
        dx[:, 1:] = dy  # += is meant
        return (dx,)


class SoftmaxTimes123(Op):
    """With a seed of ones the errors cancel."""

    def forward(self, x: Array) -> Array:
        e = self.xp.exp(x - x.max(axis=-1, keepdims=True))
        y = e / e.sum(axis=-1, keepdims=True)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Any:
        (y,) = self.saved
        return (123 * y * (dy - (dy * y).sum(axis=-1, keepdims=True)),)


class MeanWithoutCount(Op):
    """y = the mean of all elements."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x.mean()

    def backward(self, dy: Array) -> Any:
        (x,) = self.saved
        return (self.xp.broadcast_to(dy, x.shape),)


class WrongAxis(Op):
    """y = cumulative sums along the rows."""

    def forward(self, x: Array) -> Array:
        return self.xp.stack([x[:, : i + 1].sum(axis=1) for i in range(x.shape[1])], axis=1)

    def backward(self, dy: Array) -> Any:
        return (self.xp.stack([dy[:, : i + 1].sum(axis=1) for i in range(dy.shape[1])], axis=1),)


class PoolWithoutBorder(Op):
    """y = max over windows of 2 with a left-over column, whose window is missing in the backward pass."""

    def forward(self, x: Array) -> Array:
        y, argmax = self.backend.max_pool(x, sliding_window(x.shape[1], x.shape[2], 2, 2, 0))
        self.save(x, argmax)
        return y

    def backward(self, dy: Array) -> Any:
        x, argmax = self.saved
        dy = dy.copy()
        dy[:, :, -1] = 0
        return (self.backend.max_pool_backward(dy, argmax, sliding_window(x.shape[1], x.shape[2], 2, 2, 0)),)


class HostOnly(Square):
    """Calls NumPy instead of self.xp."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.square(x)


class NoEmptyBatch(Square):
    """Divides by the size of the batch."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * x * (len(x) // len(x))


class NoGradChanges(Square):
    """Computes another function while nothing is recorded."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * x if self.needs_grad[0] else x * x * 1.01


def _subject(op: type[Op], *inputs: Any) -> OpSubject:
    return OpSubject(op.__name__, [OpExample(op.apply, inputs or (numbers(3, 4),))])


SQUARES = {
    WrongScale: "gradient",
    WrongSign: "gradient",
    IgnoresCotangent: "gradient",
    OneElementWrong: "gradient",
    Float64Leak: "dtype",
    Float64Gradient: "dtype",
    LosesPrecision: "single_precision",
    MutatesInput: "inputs_unchanged",
    MutatesCotangent: "inputs_unchanged",
    MutatesOutput: "inputs_unchanged",
    ReadsRawMemory: "memory_order",
    Nondeterministic: "repeats",
    StaleCache: "independence",
    SharedBuffer: "independence",
    ReusesGradients: "accumulation",
    Transposes: "gradient",
    Neighbours: "gradient",
    SoftmaxTimes123: "gradient",
    MeanWithoutCount: "gradient",
    WrongAxis: "gradient",
    HostOnly: "backends",
    NoEmptyBatch: "empty",
    NoGradChanges: "no_grad",
}
PAIRS = {
    SwapsGradients: "gradient",
    ForgetsOneInput: "accumulation",
    NeedsBoth: "partial",
}

RIGHT = [_subject(Square), _subject(md.ops.Mul, numbers(3, 4), numbers(4, seed=1))]
BROKEN = [
    *((_subject(op), check) for op, check in SQUARES.items()),
    *((_subject(op, numbers(3, 4), numbers(3, 4, seed=1)), check) for op, check in PAIRS.items()),
    (_subject(MatMulTransposed, numbers(3, 3), numbers(3, 3, seed=1)), "gradient"),
    (_subject(MissingUnbroadcast, numbers(3, 4), numbers(4, seed=1)), "gradient"),
    (_subject(PoolWithoutBorder, IMAGES), "gradient"),
]
