"""Elementwise ops, with NumPy's broadcasting.

Inputs have shapes that broadcast (others raise :class:`minidl.errors.ShapeError`) and one float dtype; y has the
broadcast shape and that dtype. ``dy`` is the cotangent, the gradient of the loss with respect to y; ``backward``
returns the gradients with respect to the inputs. These may have the broadcast shape: :meth:`minidl.op.Op.gradients`
sums them over the broadcast axes.
"""

from typing import Any

from ..op import Op
from ..options import finite
from ..plugins import register

__all__ = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Pow",
    "Exp",
    "Log",
    "Sqrt",
    "Abs",
    "ReLU",
    "LeakyReLU",
    "Sigmoid",
    "Tanh",
]

Array = Any


@register("op", "add")
class Add(Op):
    """y = a + b

    >>> Add.apply([1.0, 2.0], 3.0)
    tensor([4., 5.])
    """

    exact = "i"

    def forward(self, a: Array, b: Array) -> Array:
        return a + b

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return dy, dy


@register("op", "sub")
class Sub(Op):
    """y = a - b

    >>> Sub.apply([1.0, 2.0], 3.0)
    tensor([-2., -1.])
    """

    exact = "i"

    def forward(self, a: Array, b: Array) -> Array:
        return a - b

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return dy, -dy


@register("op", "mul")
class Mul(Op):
    """y = a b

    >>> Mul.apply([1.0, 2.0], 3.0)
    tensor([3., 6.])
    """

    exact = "i"

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return a * b

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        a, b = self.saved
        needs_a, needs_b = self.needs_grad
        return dy * b if needs_a else None, dy * a if needs_b else None


@register("op", "div")
class Div(Op):
    """y = a / b

    >>> Div.apply([3.0, 6.0], 4.0)
    tensor([0.75, 1.5 ])
    """

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return a / b

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        a, b = self.saved
        da = dy / b
        return da, -da * (a / b) if self.needs_grad[1] else None


@register("op", "neg")
class Neg(Op):
    """y = -x

    >>> Neg.apply([1.0, -2.0])
    tensor([-1.,  2.])
    """

    exact = "i"

    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (-dy,)


@register("op", "pow")
class Pow(Op):
    """y = x ** p

    The derivative with respect to p is NaN where x < 0, and 0 where x = 0 and p >= 0. The derivative with respect to x
    is 0 where p = 0.

    >>> Pow.apply([2.0, 3.0], 2.0)
    tensor([4., 9.])
    """

    def forward(self, x: Array, p: Array) -> Array:
        y = x**p
        self.save(x, p, y)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, p, y = self.saved
        xp, zero = self.xp, self.xp.zeros((), dy.dtype)
        dx = dp = None
        if self.needs_grad[0]:
            # Where p = 0 the derivative is 0, but x ** (p - 1) is infinite at x = 0.
            exponent = xp.where(p == 0, xp.ones_like(p), p - 1)
            dx = xp.where(p == 0, zero, dy * p * x**exponent)
        if self.needs_grad[1]:
            log_x = xp.log(xp.where((x == 0) & (p >= 0), xp.ones_like(x), x))
            dp = dy * y * log_x
        return dx, dp


@register("op", "exp")
class Exp(Op):
    """y = e^x

    >>> Exp.apply([0.0])
    tensor([1.])
    """

    def forward(self, x: Array) -> Array:
        y = self.xp.exp(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        return (dy * y,)


@register("op", "log")
class Log(Op):
    """y = ln x

    >>> Log.apply([1.0, 2.0])
    tensor([0.       , 0.6931472])
    """

    def forward(self, x: Array) -> Array:
        self.save(x)
        return self.xp.log(x)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (x,) = self.saved
        return (dy / x,)


@register("op", "sqrt")
class Sqrt(Op):
    """y = sqrt(x)

    >>> Sqrt.apply([4.0, 9.0])
    tensor([2., 3.])
    """

    def forward(self, x: Array) -> Array:
        y = self.xp.sqrt(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        return (dy / (2 * y),)


@register("op", "abs")
class Abs(Op):
    """y = |x|, with derivative 0 at 0

    >>> Abs.apply([-3.0, 3.0])
    tensor([3., 3.])
    """

    exact = "iub"

    def forward(self, x: Array) -> Array:
        self.save(x)
        return self.xp.abs(x)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (x,) = self.saved
        return (dy * self.xp.sign(x),)


@register("op", "relu")
class ReLU(Op):
    """y = max(x, 0), with derivative 0 at 0

    >>> ReLU.apply([-1.0, 2.0])
    tensor([0., 2.])
    """

    exact = "iu"

    def forward(self, x: Array) -> Array:
        y = self.backend.relu(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        return (self.backend.relu_backward(dy, y),)


@register("op", "leaky_relu")
class LeakyReLU(Op):
    """y = x where x > 0, else slope x, with derivative ``slope`` at 0

    >>> LeakyReLU.apply([-1.0, 2.0], slope=0.1)
    tensor([-0.1,  2. ])
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = finite("slope", slope)

    def forward(self, x: Array) -> Array:
        self.save(x > 0)
        return self.xp.where(x > 0, x, x * self.slope)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (positive,) = self.saved
        return (self.xp.where(positive, dy, dy * self.slope),)


@register("op", "sigmoid")
class Sigmoid(Op):
    """y = 1 / (1 + e^-x)

    >>> Sigmoid.apply([0.0, 1e4])
    tensor([0.5, 1. ])
    """

    def forward(self, x: Array) -> Array:
        y = sigmoid(self.xp, x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        return (dy * y * (1 - y),)


def sigmoid(xp: Any, x: Array) -> Array:
    """The logistic function of an array, without overflow: e^-|x| is at most 1.

    >>> import numpy as np
    >>> sigmoid(np, np.array([0.0, -1e4]))
    array([0.5, 0. ])
    """
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(e), e) / (1 + e)


@register("op", "tanh")
class Tanh(Op):
    """y = tanh x

    >>> Tanh.apply([0.0, 20.0])
    tensor([0., 1.])
    """

    def forward(self, x: Array) -> Array:
        y = self.xp.tanh(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (y,) = self.saved
        return (dy * (1 - y * y),)
