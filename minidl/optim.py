"""Optimizers: SGD, Adam, AdamW, RMSprop and Adagrad.

Their base class is in :mod:`minidl.optimizer`, schedules are in minidl.schedules, clipping in minidl.clipping.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import Any, ClassVar

import numpy as np

from . import backends, plugins
from .backends import Backend
from .clipping import clip_grad_norm
from .errors import MinidlError, brief
from .kernels.reference import AdamStep
from .optimizer import Array, Optimizer, State, Update
from .options import flag, number, option
from .schedules import Schedule, constant, cosine, one_cycle, step
from .shortcuts import Methods
from .tensor import Tensor

__all__ = [
    "Optimizer",
    "SGD",
    "Adam",
    "AdamW",
    "RMSprop",
    "Adagrad",
    "Schedule",
    "constant",
    "step",
    "cosine",
    "one_cycle",
    "clip_grad_norm",
]


def _betas(name: str, betas: Any) -> tuple[float, float]:
    """The decay rates of the two running means, as an option."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise MinidlError(f"{name} must be a pair of numbers >= 0 and < 1, got {brief(betas)}: such as (0.9, 0.999)")
    return number("beta1", betas[0], ">= 0", "< 1"), number("beta2", betas[1], ">= 0", "< 1")


def _require_momentum(options: dict[str, Any]) -> None:
    if options["nesterov"] and options.get("momentum") == 0:  # momentum may be set to 0 later: plain gradient descent
        raise MinidlError("Nesterov's method needs momentum > 0, got 0: use momentum=0.9")


@plugins.register("optimizer", "sgd")
class SGD(Optimizer):
    """Gradient descent: p = p - lr v with v = momentum v + g, g the gradient plus ``weight_decay`` p.

    With ``nesterov`` the step is g + momentum v (Sutskever et al., "On the importance of initialization and momentum
    in deep learning", 2013).

    >>> from minidl import tensor
    >>> w = tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()   # the gradient is 2
    >>> SGD([w], lr=0.1).step(); w.numpy()
    array([0.8], dtype=float32)
    """

    remembers: ClassVar[Mapping[str, str]] = {"velocity": "array?"}

    momentum: float = option(number, ">= 0")
    nesterov: bool = option(flag, beside=_require_momentum)
    weight_decay: float = option(number, ">= 0")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay

    def update(self, param: Array, grad: Array, state: State) -> None:
        grad = _decayed(grad, param, self.weight_decay)
        if self.momentum == 0:
            param -= self.lr * grad
            return
        velocity = _remembered(state, "velocity", param)
        velocity *= self.momentum
        velocity += grad
        param -= self.lr * (grad + self.momentum * velocity if self.nesterov else velocity)


@plugins.register("optimizer", "adam")
class Adam(Optimizer):
    """Adam: a step lr m / (sqrt(v) + eps), m and v bias-corrected running means of the gradient and its square.

    The arithmetic is in :meth:`minidl.kernels.reference.ReferenceKernels.adam`, because it is one launch on a GPU.
    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1.

    >>> from minidl import tensor
    >>> w = tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()   # the gradient is 2
    >>> Adam([w], lr=0.1).step(); w.numpy()
    array([0.9], dtype=float32)
    """

    remembers: ClassVar[Mapping[str, str]] = {"m": "array", "v": "array", "t": "count"}

    betas: tuple[float, float] = option(_betas)
    eps: float = option(number, ">= 0")
    weight_decay: float = option(number, ">= 0")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        self.betas, self.eps, self.weight_decay = betas, eps, 0.0

    def update(self, param: Array, grad: Array, state: State) -> None:
        self._update_together([(param, grad, state)])

    def update_all(self, updates: Sequence[Update]) -> None:
        """One call of the backend for all parameters, unless a subclass overrides :meth:`update`."""
        if _ADAMS.belong_to(self):
            self._update_together(updates)
        else:
            super().update_all(updates)

    def _update_together(self, updates: Sequence[Update]) -> None:
        groups: dict[tuple[Backend, int], list[tuple[Array, Array, Array, Array]]] = {}
        for param, grad, state in updates:
            backend = backends.of(param)
            if "m" not in state:
                state.update(m=backend.xp.zeros_like(param), v=backend.xp.zeros_like(param), t=0)
            state["t"] += 1
            groups.setdefault((backend, state["t"]), []).append((param, grad, state["m"], state["v"]))
        for (backend, t), tensors in groups.items():
            backend.adam(tensors, self._constants(t))

    def _constants(self, t: int) -> AdamStep:
        beta1, beta2 = self.betas
        return AdamStep(
            lr=self.lr / (1 - beta1**t),
            unbias=1 / sqrt(1 - beta2**t),
            beta1=beta1,
            beta2=beta2,
            eps=self.eps,
            keep=1 - self.lr * self.weight_decay,
        )


_ADAMS = Methods(Adam, "update")


@plugins.register("optimizer", "adamw")
class AdamW(Adam):
    """Adam with decoupled weight decay: before each step p = p - lr weight_decay p.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2, which has the schedule's factor
    in place of ``lr``; this is PyTorch's form.

    >>> from minidl import tensor
    >>> w = tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()   # the gradient is 2
    >>> AdamW([w], lr=0.1, weight_decay=0.5).step(); w.numpy().round(2)
    array([0.85], dtype=float32)
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas, eps)
        self.weight_decay = weight_decay


@plugins.register("optimizer", "rmsprop")
class RMSprop(Optimizer):
    """RMSprop: p = p - lr g / (sqrt(v) + eps), v = alpha v + (1 - alpha) g^2, g the gradient plus ``weight_decay`` p.

    ``centered`` subtracts the square of a running mean of g from v, which gives the variance (Graves, "Generating
    Sequences With Recurrent Neural Networks", 2013). The variance is at least v times the rounding error of the dtype:
    with a constant gradient, steps are at most 3000 lr in float32, where PyTorch's become NaN. With ``momentum`` the
    step is lr u, u = momentum u + g / (sqrt(v) + eps). Options and defaults match PyTorch.

    Raises :class:`MinidlError` for an alpha outside 0 <= alpha < 1, and for other options below 0.

    Tieleman and Hinton, "Lecture 6.5 - RMSProp", Neural Networks for Machine Learning (2012).

    >>> from minidl import tensor
    >>> w = tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()   # the gradient is 2
    >>> RMSprop([w], lr=0.1, alpha=0.75).step(); w.numpy()   # v = 1
    array([0.8], dtype=float32)
    """

    remembers: ClassVar[Mapping[str, str]] = {"v": "array", "mean": "array?", "velocity": "array?"}

    alpha: float = option(number, ">= 0", "< 1")
    eps: float = option(number, ">= 0")
    weight_decay: float = option(number, ">= 0")
    momentum: float = option(number, ">= 0")
    centered: bool = option(flag)

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float | Schedule = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(parameters, lr)
        self.alpha, self.eps, self.weight_decay = alpha, eps, weight_decay
        self.momentum, self.centered = momentum, centered

    def update(self, param: Array, grad: Array, state: State) -> None:
        xp = backends.of(param).xp
        grad = _decayed(grad, param, self.weight_decay)
        v = _remembered(state, "v", param)
        v *= self.alpha
        v += (1 - self.alpha) * grad * grad
        if self.centered:
            mean = _remembered(state, "mean", param)
            mean += (1 - self.alpha) * (grad - mean)
            v = xp.maximum(v - mean * mean, float(np.finfo(v.dtype).eps) * v)  # smaller values are rounding errors
        root = xp.sqrt(v) + self.eps
        if self.momentum == 0:
            param -= self.lr * grad / root
            return
        velocity = _remembered(state, "velocity", param)
        velocity *= self.momentum
        velocity += grad / root
        param -= self.lr * velocity


@plugins.register("optimizer", "adagrad")
class Adagrad(Optimizer):
    """Adagrad: p = p - lr g / (sqrt(v) + eps), v the sum of all g^2, g the gradient plus ``weight_decay`` p.

    Steps shrink as v grows, and with ``lr_decay``: the learning rate is lr / (1 + t lr_decay) after t steps. Adagrad
    usually needs larger learning rates than other optimizers. Options and defaults match PyTorch.

    Raises :class:`MinidlError` for options below 0.

    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization" (2011).

    >>> from minidl import tensor
    >>> w = tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()   # the gradient is 2
    >>> Adagrad([w], lr=0.1).step(); w.numpy()
    array([0.9], dtype=float32)
    """

    remembers: ClassVar[Mapping[str, str]] = {"v": "array", "t": "count"}

    lr_decay: float = option(number, ">= 0")
    weight_decay: float = option(number, ">= 0")
    initial_accumulator_value: float = option(number, ">= 0")
    eps: float = option(number, ">= 0")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float | Schedule = 0.01,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(parameters, lr)
        self.lr_decay, self.weight_decay, self.eps = lr_decay, weight_decay, eps
        self.initial_accumulator_value = initial_accumulator_value

    def update(self, param: Array, grad: Array, state: State) -> None:
        xp = backends.of(param).xp
        if "v" not in state:
            state.update(v=xp.full_like(param, self.initial_accumulator_value), t=0)
        grad = _decayed(grad, param, self.weight_decay)
        v = state["v"]
        v += grad * grad
        lr = self.lr / (1 + state["t"] * self.lr_decay)
        state["t"] += 1
        param -= lr * grad / (xp.sqrt(v) + self.eps)


def _remembered(state: State, name: str, param: Array) -> Array:
    """An array of a parameter's state; initially zeros, also if the option that needs it was set later."""
    if name not in state:
        state[name] = backends.of(param).xp.zeros_like(param)
    return state[name]


def _decayed(grad: Array, param: Array, weight_decay: float) -> Array:
    """The gradient of the loss plus weight_decay / 2 times the squared norm of the parameter."""
    return grad + weight_decay * param if weight_decay else grad
