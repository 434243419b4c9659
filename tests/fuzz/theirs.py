"""The names that the programs of the fuzzer use, in PyTorch; ours.py has the same names in minidl.

What minidl does otherwise by convention is translated here, each with the name of its contract (see contracts.py).
"""

import threading
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import no_grad
from torch.nn import functional

from minidl.kernels.window import Window, sliding_window
from tests.fuzz import ours

__all__ = ["F", "change", "filled", "inf", "leaf", "nan", "nn", "no_grad", "np", "ramp", "scale_gradients", "sgd_step"]

nan, inf = ours.nan, ours.inf
Axis = int | tuple[int, ...] | None


class _Noise(threading.local):
    """The source that moves all leaves a little, in this thread, which shows what rounding can do to a result."""

    source: np.random.Generator | None = None


noise = _Noise()


class Tensor(torch.Tensor):
    """PyTorch's tensor with the methods that minidl names, or means, as NumPy does."""

    def max(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return _first(self, axis, keepdims, largest=True)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return _first(self, axis, keepdims, largest=False)

    def var(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return torch.Tensor.var(_floats(self)[0], axis, correction=0, keepdim=keepdims)  # ddof 0

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return torch.Tensor.argmax(self, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return torch.Tensor.argmin(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return torch.Tensor.mean(_floats(self)[0], axis, keepdims)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Any:
        y = torch.Tensor.sum(self, axis, keepdims)
        return y.to(torch.uint64) if self.dtype == torch.uint8 else y  # unsigned

    def __pow__(self, power: Any) -> Any:
        x, p = _floats(self, power)
        return x.sqrt() if isinstance(p, float) and p == 0.5 else torch.Tensor.__pow__(x, p)  # roots

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, list) for part in parts):  # indices
            parts = tuple([part] if type(part) is int else part for part in parts)
        return torch.Tensor.__getitem__(self, parts)

    def transpose(self, *axes: int) -> Any:
        return self.permute(axes or tuple(reversed(range(self.ndim))))

    def astype(self, dtype: str) -> Any:
        return self.to(getattr(torch, dtype), copy=True)

    def clip(self, low: Any, high: Any) -> Any:
        return _floats(self)[0].clamp(low, high)  # the bounds have fractions


def _operator(name: str, exact: str = "") -> Any:
    """An operator that computes with whole numbers where minidl's op is exact for them."""

    def method(self: Any, *others: Any) -> Any:
        return getattr(torch.Tensor, name)(*_promoted(exact, self, *others))

    return method


for _name in ("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__neg__"):
    setattr(Tensor, _name, _operator(_name, "i"))
for _name in ("__truediv__", "__rtruediv__", "__rpow__", "__matmul__", "exp", "log", "sqrt"):
    setattr(Tensor, _name, _operator(_name))
Tensor.__abs__ = _operator("__abs__", "iub")  # type: ignore[method-assign]


def _promoted(exact: str, *xs: Any) -> Sequence[Any]:
    """Whole numbers as float32, unless they are of the kinds that an op is exact for, or as the floats beside them."""
    tensors = [x for x in xs if isinstance(x, torch.Tensor)]
    if any(x.is_floating_point() for x in tensors):
        return [*_alike(*xs)]
    dtypes = [np.dtype(str(x.dtype)[6:]) if isinstance(x, torch.Tensor) else np.asarray(x).dtype for x in xs]
    common = np.result_type(np.bool_, *dtypes)
    dtype = getattr(torch, str(common)) if common.kind in exact else torch.float32  # whole
    return [x.to(dtype) if isinstance(x, torch.Tensor) else x for x in xs]


def _first(x: Any, axis: Axis, keepdims: bool, largest: bool) -> Any:
    """An extremum whose gradient goes to the first of equal elements."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if any(not -x.ndim <= a < x.ndim for a in axes):
        raise IndexError(f"axis {axis}")
    inside = [a % x.ndim for a in axes]
    others = [a for a in range(x.ndim) if a not in inside]
    length = prod(x.shape[a] for a in inside)
    lines = x.permute([*others, *inside]).reshape([*(x.shape[a] for a in others), length])
    find = torch.Tensor.argmax if largest else torch.Tensor.argmin
    y = lines.gather(-1, find(lines.byte() if x.dtype == torch.bool else lines, -1, True))[..., 0]  # ties
    return y.reshape([1 if a in inside else size for a, size in enumerate(x.shape)]) if keepdims else y


def _alike(*xs: Any) -> Sequence[Any]:
    """Whole numbers in the dtype of the floats beside them."""
    dtypes = [x.dtype for x in xs if isinstance(x, torch.Tensor) and x.is_floating_point()]
    return [
        x if not isinstance(x, torch.Tensor) or x.is_floating_point() or not dtypes else x.to(dtypes[0]) for x in xs
    ]


def _floats(*xs: Any) -> Sequence[Any]:
    """Whole numbers as floats."""
    return _promoted("", *xs)


def leaf(given: Any, shape: tuple[int, ...], dtype: str, grad: bool = False) -> Any:
    """A tensor with these values."""
    array = ours.values(given, shape, dtype)
    if noise.source is not None and array.dtype.kind == "f":
        eps = float(np.finfo(array.dtype).eps)
        array = (array * (1 + 4 * eps * noise.source.uniform(-1, 1, array.shape))).astype(dtype)
    x = torch.tensor(array).as_subclass(Tensor)
    return x.requires_grad_() if grad else x


def ramp(y: Any) -> Any:
    """A gradient for a result: different for each element."""
    return torch.tensor(ours.values(1, tuple(y.shape), str(y.dtype).removeprefix("torch.")))


def change(x: Any) -> None:
    """Change a leaf in place."""
    with no_grad():
        x *= 0.5


def sgd_step(*leaves: Any) -> None:
    """Change leaves by their gradients."""
    if all(x.grad is None for x in leaves):
        raise RuntimeError("no gradient")
    torch.optim.SGD(leaves, lr=0.1).step()


def scale_gradients(*leaves: Any) -> None:
    """Change gradients in place, as clipping does."""
    ours.scale_gradients(*leaves)


def filled(module: Any, dtype: str) -> Any:
    """A module with weights that both sides know."""
    module.to(getattr(torch, dtype))
    with no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter[...] = torch.tensor(ours.values(number, tuple(parameter.shape), dtype))
    return module


class F:
    """minidl.nn.functional."""

    @staticmethod
    def relu(x: Any) -> Any:
        (x,) = _promoted("iu", x)
        return torch.where(x > 0, x, torch.where(x != x, x.detach(), torch.zeros_like(x)))  # nan

    @staticmethod
    def tanh(x: Any) -> Any:
        return torch.tanh(*_floats(x))

    @staticmethod
    def sigmoid(x: Any) -> Any:
        return torch.sigmoid(*_floats(x))

    @staticmethod
    def leaky_relu(x: Any, slope: float) -> Any:
        return functional.leaky_relu(*_floats(x), slope)

    @staticmethod
    def maximum(a: Any, b: Any) -> Any:
        return torch.where((a >= b) | (a != a), *torch.broadcast_tensors(a, b))  # ties

    @staticmethod
    def minimum(a: Any, b: Any) -> Any:
        return torch.where((a <= b) | (a != a), *torch.broadcast_tensors(a, b))  # ties

    @staticmethod
    def where(condition: Any, a: Any, b: Any) -> Any:
        return torch.where(condition != 0, a, b)

    @staticmethod
    def concatenate(xs: Sequence[Any], axis: int = 0) -> Any:
        if len({x.ndim for x in xs}) > 1:
            raise IndexError("axes")  # PyTorch lets empty tensors of one axis pass, for its own past
        if not all(-x.ndim <= axis < x.ndim for x in xs):
            raise IndexError("axes")
        return torch.cat(list(xs), axis)

    @staticmethod
    def stack(xs: Sequence[Any], axis: int = 0) -> Any:
        return torch.stack(list(xs), axis)

    @staticmethod
    def pad(x: Any, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Any:
        (x,) = _floats(x) if value else (x,)
        return functional.pad(x, [width for pair in reversed(widths) for width in pair], value=value)

    @staticmethod
    def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
        return torch.broadcast_to(x, shape)

    @staticmethod
    def flatten(x: Any) -> Any:
        if not x.ndim:
            raise IndexError("axes")
        return x.reshape(x.shape[0], prod(x.shape[1:]))

    @staticmethod
    def linear(x: Any, w: Any, b: Any = None) -> Any:
        x, w, b = _floats(x, w, b)
        return torch.matmul(x, w) + b

    @staticmethod
    def softmax(x: Any, axis: int = -1) -> Any:
        return _floats(x)[0].softmax(axis)

    @staticmethod
    def log_softmax(x: Any, axis: int = -1) -> Any:
        return _floats(x)[0].log_softmax(axis)

    @staticmethod
    def dropout(x: Any, rate: float, training: bool) -> Any:
        return functional.dropout(x, rate, training)

    @staticmethod
    def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
        return functional.cross_entropy(*_floats(logits), labels.long())

    @staticmethod
    def binary_cross_entropy_with_logits(logits: Any, targets: Any) -> Any:
        x, t = _pair(logits, targets)
        if (t < 0).any() or (t > 1).any():
            raise ValueError("targets")
        finite = torch.isfinite(x)
        usual = functional.binary_cross_entropy_with_logits(x.masked_fill(~finite, 0), t, reduction="none")
        formula = x.clamp(min=0) - x * t + torch.log1p(torch.exp(-x.abs()))
        return torch.where(finite, usual, formula).mean()  # logits

    @staticmethod
    def l1_loss(a: Any, b: Any) -> Any:
        a, b = _pair(a, b)
        difference = a - b
        slope = torch.where(difference != difference, nan, difference.detach().sign())
        return (difference * slope).mean()  # nan

    @staticmethod
    def mse_loss(a: Any, b: Any) -> Any:
        return functional.mse_loss(*_pair(a, b))

    @staticmethod
    def huber_loss(a: Any, b: Any, delta: float = 1.0) -> Any:
        return functional.huber_loss(*_pair(a, b), delta=delta)

    @staticmethod
    def conv2d(x: Any, w: Any, b: Any = None, stride: int = 1, padding: Any = 0) -> Any:
        if x.ndim != 4 or w.ndim != 4:
            raise IndexError("axes")
        x, w = _floats(x, w)
        window = sliding_window(x.shape[1], x.shape[2], w.shape[:2], stride, padding)  # same
        images, kernels = _padded(x, window, 0.0), w.permute(3, 2, 0, 1).contiguous()
        y = functional.conv2d(images, kernels, b, (window.SH, window.SW))
        return y.permute(0, 2, 3, 1)

    @staticmethod
    def max_pool2d(x: Any, size: int, stride: int | None = None, padding: Any = 0) -> Any:
        (x,) = _floats(x)
        window = _pooling(x, size, stride, padding)
        return functional.max_pool2d(_padded(x, window, -inf), size, stride).permute(0, 2, 3, 1)

    @staticmethod
    def avg_pool2d(x: Any, size: int, stride: int | None = None, padding: Any = 0) -> Any:
        (x,) = _floats(x)
        window = _pooling(x, size, stride, padding)
        images, ones = _padded(x, window, 0.0), _padded(torch.ones_like(x), window, 0.0)
        total, count = (functional.avg_pool2d(part, size, stride, divisor_override=1) for part in (images, ones))
        return (total / count).permute(0, 2, 3, 1)  # pixels

    @staticmethod
    def batch_norm(x: Any, gamma: Any, beta: Any, eps: float = 1e-3) -> Any:
        if x.ndim < 2:
            raise IndexError("axes")
        x, gamma, beta = _floats(x, gamma, beta)
        if gamma.shape != x.shape[-1:] or beta.shape != gamma.shape:
            raise IndexError("channels")
        y = functional.batch_norm(x.movedim(-1, 1), None, None, training=True, eps=eps)
        return y.movedim(1, -1) * gamma + beta  # infinite


def _pair(a: Any, b: Any) -> Any:
    """Predictions and targets."""
    if a.shape != b.shape:
        raise ValueError("PyTorch would broadcast")  # losses
    if b.requires_grad:
        return _floats(a, b)
    (a,) = _floats(a)
    return a, b.to(a.dtype)


def _pooling(x: Any, size: int, stride: int | None, padding: Any) -> Window:
    if x.ndim != 4:
        raise IndexError("axes")
    return sliding_window(x.shape[1], x.shape[2], size, size if stride is None else stride, padding)


def _padded(x: Any, window: Window, value: float) -> Any:
    """Images with the padding of a window, channels first."""
    return functional.pad(x.permute(0, 3, 1, 2), (window.left, window.right, window.top, window.bottom), value=value)


class _Dense(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(inputs, outputs))
        self.b = torch.nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Any) -> Any:
        if x.ndim < 2:
            raise IndexError("axes")
        return F.linear(x, self.w, self.b)


class _Conv2D(torch.nn.Module):
    def __init__(self, channels: int, filters: int, size: int, stride: int = 1, padding: Any = 0) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.w = torch.nn.Parameter(torch.zeros(size, size, channels, filters))
        self.b = torch.nn.Parameter(torch.zeros(filters))

    def forward(self, x: Any) -> Any:
        return F.conv2d(x, self.w, self.b, self.stride, self.padding)


class _BatchNorm(torch.nn.Module):
    def __init__(self, channels: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.gamma = torch.nn.Parameter(torch.ones(channels))
        self.beta = torch.nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x: Any) -> Any:
        if x.ndim < 2 or x.shape[-1] != len(self.gamma):
            raise IndexError("axes")
        if not self.training:
            return (x - self.mean) / (self.var + 1e-3).sqrt() * self.gamma + self.beta
        y = F.batch_norm(x, self.gamma, self.beta)
        axes = tuple(range(x.ndim - 1))
        with no_grad():  # ddof 0, momentum
            self.mean += (1 - self.momentum) * (x.mean(axes) - self.mean)
            self.var += (1 - self.momentum) * (torch.Tensor.var(x, axes, correction=0) - self.var)
        return y


class _Function(torch.nn.Module):
    def __init__(self, function: Any, *options: Any) -> None:
        super().__init__()
        self.function, self.options = function, options

    def forward(self, x: Any) -> Any:
        return self.function(x, *self.options)


class nn:  # noqa: N801 - the name of the module that it stands for
    """minidl.nn."""

    Sequential = torch.nn.Sequential
    Dense, Conv2D, BatchNorm = _Dense, _Conv2D, _BatchNorm
    Dropout = torch.nn.Dropout

    @staticmethod
    def ReLU() -> Any:
        return _Function(F.relu)

    @staticmethod
    def Tanh() -> Any:
        return _Function(F.tanh)

    @staticmethod
    def Sigmoid() -> Any:
        return _Function(F.sigmoid)

    @staticmethod
    def LeakyReLU(slope: float) -> Any:
        return _Function(F.leaky_relu, slope)

    @staticmethod
    def Flatten() -> Any:
        return _Function(F.flatten)

    @staticmethod
    def Softmax() -> Any:
        return _Function(F.softmax)

    @staticmethod
    def MaxPooling2D(size: int) -> Any:
        return _Function(F.max_pool2d, size)

    @staticmethod
    def AveragePooling2D(size: int) -> Any:
        return _Function(F.avg_pool2d, size)

    @staticmethod
    def GlobalAveragePooling2D() -> Any:
        return _Function(lambda x: x.mean((1, 2)))
