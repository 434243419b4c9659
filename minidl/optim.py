"""Optimizers: what to do with a gradient. Schedules are in minidl.schedules, clipping is in minidl.clipping."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from . import backends, changes, plugins
from .backends import Backend
from .clipping import clip_grad_norm
from .errors import GraphError, MinidlError
from .habits import Strict, explained
from .kernels.reference import AdamStep
from .op import SINGLE
from .options import number, plain
from .schedules import Schedule, constant, cosine, one_cycle, step
from .states import require_entries, require_names, require_real
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

Array = Any
State = dict[str, Any]
Update = tuple[Array, Array, State]
"""A parameter, its gradient and its state."""


class Optimizer(Strict, ABC):
    """Changes parameters by their gradients. A subclass defines :meth:`update`, for one parameter.

    Parameters of float16 are changed, and remembered, in float32: their squared gradients would often be 0 or infinite.

    ``lr`` is the learning rate, or a schedule: a function from the number of the step (from 0) to the learning rate.
    What the optimizer remembers of a parameter is kept under the parameter's dotted name.

    >>> import numpy as np
    >>> class Sign(Optimizer):
    ...     def update(self, param, grad, state):
    ...         param -= self.lr * np.sign(grad)
    """

    in_vain = frozenset(["learning_rate", "param_groups", "clipnorm", "clipvalue"])

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule) -> None:
        self.parameters = _checked(parameters)
        self.schedule: Schedule | None = lr if callable(lr) else None
        self.lr: float = plain(lr(0) if callable(lr) else lr)
        self.steps = 0
        names = [p.name if p.name is not None else str(i) for i, p in enumerate(self.parameters)]
        self.state: dict[str, State] = {name: {} for name in names}
        if not isinstance(self.lr, int | float) or not self.lr >= 0:
            raise MinidlError(f"the learning rate must be a number >= 0 or a schedule, got {self.lr!r}")
        if len(self.state) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise MinidlError(
                f"two parameters are called '{twice}': pass the parameters() of one module that holds both"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "lr" and name in vars(self) and self.schedule is not None:
            raise MinidlError(
                f"lr = {value!r} would last until the next step, when the schedule says what it is: write "
                "optimizer.schedule = None before, or set optimizer.schedule"
            )
        super().__setattr__(name, value)

    @abstractmethod
    def update(self, param: Array, grad: Array, state: State) -> None:
        """Change the array ``param`` in place, given its gradient; ``state`` is this parameter's own dictionary.

        Values put into ``state`` are arrays or numbers, so that they can be saved.
        """

    def update_all(self, updates: Sequence[Update]) -> None:
        """Update all parameters that have a gradient: one by one, unless an optimizer can do many at once."""
        for param, grad, state in updates:
            self._require_nothing("update", self.update(param, grad, state), param)

    @explained
    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises :class:`GraphError` if none has.
        """
        if self.schedule is not None:
            vars(self)["lr"] = self._scheduled(self.schedule)
        updates, halves = [], []
        for param, state in zip(self.parameters, self.state.values(), strict=True):
            if param.grad is not None:
                updates.append((param.data, param.grad, state))
                if param.data.dtype.char == "e":
                    wide = param.data.astype(SINGLE)
                    updates[-1] = wide, param.grad.astype(SINGLE), state
                    halves.append((param.data, wide))
        if not updates:
            raise GraphError("step() found no gradient: call backward() first, of a loss made from these parameters")
        changes.mark(*[param.data for param in self.parameters if param.grad is not None])
        given: Any = self.update_all(updates)  # type: ignore[func-returns-value]
        self._require_nothing("update_all", given, updates)
        for data, wide in halves:
            data[...] = wide
        self.steps += 1

    def _require_nothing(self, method: str, given: Any, changed: Any) -> None:
        """Of a method that should have changed the arrays: what it returns instead would be lost without a word."""
        if given is not None and given is not changed:
            raise MinidlError(
                f"{method} of {type(self).__name__} returns what nobody reads, {type(given).__name__}: change the "
                "array itself, as in param -= ... or param[...] = ..., and return nothing"
            )

    def _scheduled(self, schedule: Schedule) -> float:
        """What the schedule says for the step that comes."""
        rate: float = plain(schedule(self.steps))
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate >= 0:
            raise MinidlError(
                f"the learning rate must be a number >= 0 or a schedule, got {rate!r} from the schedule at step "
                f"{self.steps}"
            )
        return rate

    @explained
    def zero_grad(self) -> None:
        """Forget all gradients, as they would add up otherwise."""
        for param in self.parameters:
            param.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Copies of everything the optimizer remembers: arrays as NumPy arrays, by parameter name."""
        state = {
            name: {key: backends.to_host(value) for key, value in remembered.items()}
            for name, remembered in self.state.items()
        }
        return {"class": type(self).__name__, "steps": self.steps, "lr": self.lr, "state": state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict` of an optimizer of this class for parameters of the same names.

        Raises :class:`MinidlError`, changing nothing, if the class or the names differ, or :meth:`check_state` does.
        """
        require_entries(saved, ["state"], "an optimizer")
        own = type(self).__name__
        if (given := saved.get("class", own)) != own:  # those saved before had none
            raise MinidlError(f"this is the state of {given}, not of {own}: build the optimizer that was saved")
        require_names(saved["state"], self.state, "parameters")
        require_entries(saved, ["steps", "lr"], "an optimizer")
        number("steps", saved["steps"], ">= 0")
        number("lr", saved["lr"], ">= 0")
        state = {}
        for param, name in zip(self.parameters, self.state, strict=True):
            self.check_state(name, param, saved["state"][name])
            state[name] = {key: _to_device(value, param) for key, value in saved["state"][name].items()}
        vars(self).update(steps=saved["steps"], lr=saved["lr"], state=state)

    def check_state(self, name: str, param: Tensor, remembered: State) -> None:
        """Raise unless what was saved for a parameter consists of real numbers, and of arrays of its shape.

        Override it in an optimizer that remembers arrays of other shapes.
        """
        for key, value in remembered.items():
            require_real(f"'{key}' of {name}", value, ((), param.shape))


def _checked(parameters: Any) -> list[Tensor]:
    """The parameters as a list; an error that says what to pass unless they are leaf tensors."""
    if not isinstance(parameters, Iterable) or isinstance(parameters, Tensor):
        raise MinidlError(
            f"expected the parameters of a model, got {type(parameters).__name__}: pass model.parameters()"
        )
    found = list(parameters)
    for p in found:
        if not isinstance(p, Tensor):
            raise MinidlError(f"expected tensors to change, got {type(p).__name__}: pass model.parameters()")
        if p.op is not None:
            raise GraphError(
                f"an optimizer changes leaf tensors, got the result of {p.op.name}: pass model.parameters()"
            )
    if not found:
        raise MinidlError(
            "expected parameters, got none: the model has no layer with weights, or an iterator is used up"
        )
    return found


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

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        self.momentum, self.nesterov = number("momentum", momentum, ">= 0"), nesterov
        self.weight_decay = number("weight_decay", weight_decay, ">= 0")
        if nesterov and self.momentum == 0:
            raise MinidlError("Nesterov's method needs momentum > 0, got 0: use momentum=0.9")

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
    """Adam: a step lr m / (sqrt(v) + eps), m and v running means of the gradient and its square, without their bias.

    The arithmetic is in :meth:`minidl.kernels.reference.ReferenceKernels.adam`, as a GPU does it in one launch.
    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1.

    >>> from minidl import tensor
    >>> w = tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()   # the gradient is 2
    >>> Adam([w], lr=0.1).step(); w.numpy()
    array([0.9], dtype=float32)
    """

    weight_decay = 0.0

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise MinidlError(f"betas must be a pair of numbers >= 0 and < 1, got {betas!r}: as in (0.9, 0.999)")
        self.betas = number("beta1", betas[0], ">= 0", "< 1"), number("beta2", betas[1], ">= 0", "< 1")
        self.eps = number("eps", eps, ">= 0")

    def update(self, param: Array, grad: Array, state: State) -> None:
        self._update_together([(param, grad, state)])

    def update_all(self, updates: Sequence[Update]) -> None:
        """One call of the backend for all parameters; but an :meth:`update` of a subclass's own is what counts."""
        if getattr(self.update, "__func__", None) is Adam.update:
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


@plugins.register("optimizer", "adamw")
class AdamW(Adam):
    """Adam with decoupled weight decay: before each step p = p - lr weight_decay p.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.

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
        self.weight_decay = number("weight_decay", weight_decay, ">= 0")


@plugins.register("optimizer", "rmsprop")
class RMSprop(Optimizer):
    """RMSprop: p = p - lr g / (sqrt(v) + eps), v = alpha v + (1 - alpha) g^2, g the gradient plus ``weight_decay`` p.

    ``centered`` takes from v the square of a running mean of g, so that it becomes the variance (Graves, "Generating
    Sequences With Recurrent Neural Networks", 2013); it counts as at least v times the rounding error of the dtype, so
    that a gradient that stays the same makes steps of at most 3000 lr in float32, where PyTorch's become NaN. With
    ``momentum`` the step is lr u, u = momentum u + g / (sqrt(v) + eps). Options and defaults are PyTorch's.

    Raises :class:`MinidlError` for an alpha outside 0 <= alpha < 1, and for other options below 0.

    Tieleman and Hinton, "Lecture 6.5 - RMSProp", Neural Networks for Machine Learning (2012).

    >>> from minidl import tensor
    >>> w = tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()   # the gradient is 2
    >>> RMSprop([w], lr=0.1, alpha=0.75).step(); w.numpy()   # v = 1
    array([0.8], dtype=float32)
    """

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
        self.alpha, self.eps = number("alpha", alpha, ">= 0", "< 1"), number("eps", eps, ">= 0")
        self.weight_decay = number("weight_decay", weight_decay, ">= 0")
        self.momentum, self.centered = number("momentum", momentum, ">= 0"), centered

    def update(self, param: Array, grad: Array, state: State) -> None:
        xp = backends.of(param).xp
        grad = _decayed(grad, param, self.weight_decay)
        v = _remembered(state, "v", param)
        v *= self.alpha
        v += (1 - self.alpha) * grad * grad
        if self.centered:
            mean = _remembered(state, "mean", param)
            mean += (1 - self.alpha) * (grad - mean)
            v = xp.maximum(v - mean * mean, float(np.finfo(v.dtype).eps) * v)  # what is less is rounding
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

    So its steps shrink, by themselves and with ``lr_decay``, which makes lr / (1 + t lr_decay) of lr after t steps;
    larger learning rates than elsewhere are usual. Options and defaults are PyTorch's.

    Raises :class:`MinidlError` for options below 0.

    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization" (2011).

    >>> from minidl import tensor
    >>> w = tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()   # the gradient is 2
    >>> Adagrad([w], lr=0.1).step(); w.numpy()
    array([0.9], dtype=float32)
    """

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
        self.lr_decay, self.eps = number("lr_decay", lr_decay, ">= 0"), number("eps", eps, ">= 0")
        self.weight_decay = number("weight_decay", weight_decay, ">= 0")
        self.initial_accumulator_value = number("initial_accumulator_value", initial_accumulator_value, ">= 0")

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
    """An array of a parameter's state; zeros at first, also where the option that needs it was set later."""
    if name not in state:
        state[name] = backends.of(param).xp.zeros_like(param)
    return state[name]


def _decayed(grad: Array, param: Array, weight_decay: float) -> Array:
    """The gradient of the loss plus weight_decay / 2 of the squared parameter; a new array if they differ."""
    return grad + weight_decay * param if weight_decay else grad


def _to_device(value: Any, param: Tensor) -> Any:
    return param.backend.asarray(value.copy()) if isinstance(value, np.ndarray) else value
