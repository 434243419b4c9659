"""The names that the programs of the fuzzer use, in PyTorch; ours.py has the same names in minidl.

Intended differences of minidl are translated here, each with the name of its contract (see contracts.py).
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
from tests.fuzz.torch_tensor import Tensor, absolute, floats, promoted

__all__ = ["F", "change", "filled", "inf", "leaf", "nan", "nn", "no_grad", "np", "ramp", "scale_gradients", "sgd_step"]

nan, inf = ours.nan, ours.inf


class _Noise(threading.local):
    """A random source that perturbs all values in this thread, to measure the effect of rounding on a result."""

    source: np.random.Generator | None = None


noise = _Noise()


def leaf(given: Any, shape: tuple[int, ...], dtype: str, grad: bool = False) -> Any:
    """A tensor with these values."""
    array = ours.values(given, shape, dtype)
    if noise.source is not None and array.dtype.kind == "f":
        array = array * little(shape, array.dtype)
    x = torch.tensor(array).as_subclass(Tensor)
    return x.requires_grad_() if grad else x


def little(shape: tuple[int, ...], dtype: Any) -> Any:
    """Factors close to 1."""
    assert noise.source is not None
    eps = 4 * float(np.finfo(dtype).eps)
    return (1 + eps * noise.source.uniform(-1, 1, shape)).astype(dtype) if shape else dtype.type(1 + eps)


def moved(x: Any) -> Any:
    """A result with each element perturbed."""
    return x * torch.tensor(little(tuple(x.shape), np.dtype(str(x.dtype)[6:]))) if x.is_floating_point() else x


def ramp(y: Any) -> Any:
    """A gradient for a result: different for each element."""
    return torch.tensor(ours.values(1, tuple(y.shape), str(y.dtype).removeprefix("torch.")))


def change(x: Any) -> None:
    """Change a leaf in place."""
    with no_grad():
        x *= 0.5


def sgd_step(*leaves: Any) -> None:
    """Update leaves by their gradients."""
    if all(x.grad is None for x in leaves):
        raise RuntimeError("no gradient")
    torch.optim.SGD(leaves, lr=0.1).step()


def scale_gradients(*leaves: Any) -> None:
    """Change gradients in place, like clipping."""
    ours.scale_gradients(*leaves)


def filled(module: Any, dtype: str) -> Any:
    """A module with the same weights on both sides."""
    module.to(getattr(torch, dtype))
    for one in module.modules():
        if isinstance(one, _BatchNorm):
            one.mean, one.var = single(one.mean), single(one.var)  # statistics
    with no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter[...] = torch.tensor(ours.values(number, tuple(parameter.shape), dtype))
    return module


def single(x: Any) -> Any:
    """A float16 tensor as float32."""
    return x.float() if x.dtype == torch.half else x


class F:
    """minidl.nn.functional."""

    @staticmethod
    def relu(x: Any) -> Any:
        (x,) = promoted("iu", x)
        return torch.where(x > 0, x, torch.where(x != x, x.detach(), torch.zeros_like(x)))  # nan

    @staticmethod
    def tanh(x: Any) -> Any:
        return torch.tanh(*floats(x))

    @staticmethod
    def sigmoid(x: Any) -> Any:
        return torch.sigmoid(*floats(x))

    @staticmethod
    def leaky_relu(x: Any, slope: float) -> Any:
        return functional.leaky_relu(*floats(x), slope)

    @staticmethod
    def maximum(a: Any, b: Any) -> Any:
        return torch.where((a >= b) | (a != a), *torch.broadcast_tensors(a, b))  # ties

    @staticmethod
    def minimum(a: Any, b: Any) -> Any:
        return torch.where((a <= b) | (a != a), *torch.broadcast_tensors(a, b))  # ties

    @staticmethod
    def where(condition: Any, a: Any, b: Any) -> Any:
        return torch.where(condition != 0, *torch.broadcast_tensors(a, b))  # axes

    @staticmethod
    def concatenate(xs: Sequence[Any], axis: int = 0) -> Any:
        if len({x.ndim for x in xs}) > 1:
            raise IndexError("axes")  # PyTorch accepts empty 1-D tensors for backward compatibility
        if not all(-x.ndim <= axis < x.ndim for x in xs):
            raise IndexError("axes")
        return torch.cat(list(xs), axis)

    @staticmethod
    def stack(xs: Sequence[Any], axis: int = 0) -> Any:
        return torch.stack(list(xs), axis)

    @staticmethod
    def pad(x: Any, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Any:
        (x,) = floats(x) if value else (x,)
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
        x, w, b = floats(x, w, b)
        return torch.matmul(x, w) + b

    @staticmethod
    def softmax(x: Any, axis: int = -1) -> Any:
        (x,) = floats(x)
        return single(x).softmax(axis).to(x.dtype)  # half

    @staticmethod
    def log_softmax(x: Any, axis: int = -1) -> Any:
        (x,) = floats(x)
        return single(x).log_softmax(axis).to(x.dtype)  # half

    @staticmethod
    def dropout(x: Any, rate: float, training: bool) -> Any:
        return functional.dropout(x, rate, training)

    @staticmethod
    def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
        return _loss(lambda x, t: functional.cross_entropy(x, t.long()), logits, labels, alike=False)

    @staticmethod
    def binary_cross_entropy_with_logits(logits: Any, targets: Any) -> Any:
        if (targets < 0).any() or (targets > 1).any():
            raise ValueError("targets")
        return _loss(_cross_entropy, logits, targets)

    @staticmethod
    def l1_loss(a: Any, b: Any) -> Any:
        return _loss(lambda a, b: absolute(a - b).mean(), a, b)

    @staticmethod
    def mse_loss(a: Any, b: Any) -> Any:
        return _loss(functional.mse_loss, a, b)

    @staticmethod
    def huber_loss(a: Any, b: Any, delta: float = 1.0) -> Any:
        return _loss(lambda a, b: functional.huber_loss(a, b, delta=delta), a, b)

    @staticmethod
    def conv2d(x: Any, w: Any, b: Any = None, stride: int = 1, padding: Any = 0) -> Any:
        if x.ndim != 4 or w.ndim != 4:
            raise IndexError("axes")
        x, w = floats(x, w)
        window = sliding_window(x.shape[1], x.shape[2], w.shape[:2], stride, padding)  # same
        images, kernels = _padded(x, window, 0.0), w.permute(3, 2, 0, 1).contiguous()
        y = functional.conv2d(images, kernels, b, (window.SH, window.SW))
        return y.permute(0, 2, 3, 1)

    @staticmethod
    def max_pool2d(x: Any, size: int, stride: int | None = None, padding: Any = 0) -> Any:
        (x,) = floats(x)
        window = _pooling(x, size, stride, padding)
        y, inside = _windows(x, window, -inf), _windows(torch.ones_like(x), window, 0.0) == 1
        order = y.masked_fill(inside & (y == -inf), torch.finfo(y.dtype).min)  # a pixel counts before the padding
        return y.gather(-1, order.argmax(-1, True))[..., 0].permute(0, 2, 3, 1)  # ties

    @staticmethod
    def avg_pool2d(x: Any, size: int, stride: int | None = None, padding: Any = 0) -> Any:
        (x,) = floats(x)
        window = _pooling(x, size, stride, padding)
        images, ones = _padded(x, window, 0.0), _padded(torch.ones_like(x), window, 0.0)
        total, count = (functional.avg_pool2d(part, size, stride, divisor_override=1) for part in (images, ones))
        return (total / count).permute(0, 2, 3, 1)  # pixels

    @staticmethod
    def batch_norm(x: Any, gamma: Any, beta: Any, eps: float = 1e-3) -> Any:
        if x.ndim < 2:
            raise IndexError("axes")
        x, gamma, beta = floats(x, gamma, beta)
        if gamma.shape != x.shape[-1:] or beta.shape != gamma.shape:
            raise IndexError("channels")
        y = functional.batch_norm(single(x).movedim(-1, 1), None, None, training=True, eps=eps)
        return (y.movedim(1, -1) * single(gamma) + single(beta)).to(x.dtype)  # infinite, half


def _loss(function: Any, a: Any, b: Any, alike: bool = True) -> Any:
    """A loss of predictions and targets, in float32 for float16."""
    if alike and a.shape != b.shape:
        raise ValueError("PyTorch would broadcast")  # losses
    a, b = floats(a, b) if b.requires_grad else (*floats(a), b)
    b = b if b.requires_grad or not alike else b.to(a.dtype)
    return function(single(a), single(b)).to(a.dtype)  # half


def _cross_entropy(x: Any, t: Any) -> Any:
    return torch.where(x > 0, x * (1 - t) + functional.softplus(-x), functional.softplus(x) - x * t).mean()  # logits


def _pooling(x: Any, size: int, stride: int | None, padding: Any) -> Window:
    if x.ndim != 4:
        raise IndexError("axes")
    return sliding_window(x.shape[1], x.shape[2], size, size if stride is None else stride, padding)


def _windows(x: Any, window: Window, value: float) -> Any:
    """All pixels of each window: (N, C, OH, OW, pixels)."""
    images = _padded(x, window, value)
    return images.unfold(2, window.KH, window.SH).unfold(3, window.KW, window.SW).flatten(4)


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
            y = (single(x) - self.mean) / (self.var + 1e-3).sqrt()
            return (y * single(self.gamma) + single(self.beta)).to(x.dtype)
        y = F.batch_norm(x, self.gamma, self.beta)
        x, axes = single(x), tuple(range(x.ndim - 1))
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
