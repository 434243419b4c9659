"""The base class of optimizers: parameters, learning rate, state of each parameter, and step count."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np

from . import backends, changes, checks
from .attributes import changed_options
from .errors import CallError, GraphError, MinidlError, ShapeError, brief, counted
from .habits import Guarded, explained, takes
from .op import HALF, SINGLE
from .options import integer, number, option, plain, require_room
from .schedules import Schedule
from .states import require_entries, require_float_array, require_names, require_real
from .tensor import Tensor

Array = Any
State = dict[str, Any]
Update = tuple[Array, Array, State]
"""A parameter, its gradient and its state."""
_ARGUMENTS = ("self", "param", "grad", "state")


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _rate(_name: str, lr: Any) -> float:
    """A learning rate, as an option."""
    rate: float = plain(lr)
    if not _is_rate(rate):
        hint = ": a schedule is set as optimizer.schedule" if callable(rate) else ""
        raise MinidlError(f"the learning rate must be a number >= 0 or a schedule, got {brief(lr)}{hint}")
    return rate


def _schedule(_name: str, schedule: Any) -> Schedule | None:
    """A schedule or None, as an option."""
    if schedule is not None and (not callable(schedule) or isinstance(schedule, type)):
        raise MinidlError(f"expected a schedule, or None for a constant optimizer.lr, got {brief(schedule)}")
    if schedule is not None and not takes(schedule, 0):
        raise MinidlError(
            f"a schedule is called with the step number, which {brief(schedule)} does not accept: write "
            "lr=lambda step: ..."
        )
    return schedule


def _refuse_others(*_: Any) -> NoReturn:
    """Raise the error for setting or changing the parameters of an optimizer."""
    raise MinidlError(
        "the parameters of an optimizer cannot be changed, because it has a state for each: build a new one, "
        "optim.Adam(model.parameters())"
    )


class _Parameters(tuple[Tensor, ...]):
    """The parameters of an optimizer; immutable."""

    __slots__ = ()

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse_others
    __setitem__ = __delitem__ = __iadd__ = _refuse_others


def _require_no_schedule(options: dict[str, Any]) -> None:
    if options.get("schedule") is not None:
        raise MinidlError(
            f"lr = {brief(options['lr'])} would last until the next step, when the schedule sets it again: write "
            "optimizer.schedule = None before, or set optimizer.schedule"
        )


class Optimizer(Guarded, ABC):
    """The base class of optimizers. A subclass defines :meth:`update`, which updates one parameter.

    Updates and states of float16 parameters are computed in float32: squared gradients often under- or overflow in
    float16.

    ``lr`` is the learning rate, or a schedule: a function from the step number (from 0) to the learning rate. The state
    of a parameter is stored under the parameter's dotted name, and is moved to another backend or dtype with the
    parameter, at the next step.

    >>> import numpy as np
    >>> class Sign(Optimizer):
    ...     def update(self, param, grad, state):
    ...         param -= self.lr * np.sign(grad)
    >>> w = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    >>> (w * w).sum().backward()
    >>> Sign([w], lr=0.5).step(); w.numpy()
    array([0.5, 1.5])
    """

    in_vain = frozenset(["learning_rate", "param_groups", "clipnorm", "clipvalue"])

    parameters: Sequence[Tensor] = option(_refuse_others)
    lr: float = option(_rate, beside=_require_no_schedule)
    schedule: Schedule | None = option(_schedule)

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule) -> None:
        vars(self)["parameters"] = _Parameters(_checked(parameters))
        self.schedule = None
        schedule = _schedule("lr", lr) if callable(lr) else None
        self.lr = schedule(0) if schedule is not None else lr  # type: ignore[assignment]  # the option checks it
        self.schedule = schedule
        self.steps = 0
        names = [p.name if p.name is not None else str(i) for i, p in enumerate(self.parameters)]
        self.state: dict[str, State] = {name: {} for name in names}
        self._homes = [_home(p.data) for p in self.parameters]
        self._known: list[Array] = [None] * len(names)
        """The data of each parameter that were checked."""
        self._on_host = [False] * len(names)
        if len(self.state) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise MinidlError(
                f"two parameters are named '{twice}': pass the parameters() of one module that holds both"
            )

    def __repr__(self) -> str:
        if "parameters" not in vars(self):  # before super().__init__()
            return super().__repr__()
        options = [option for option in changed_options(self) if not option.startswith("lr=")]
        count = counted(len(self.parameters), "parameter")
        return f"{type(self).__name__}({', '.join([count, f'lr={self.lr!r}', *options])})"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not takes(cls.update, *_ARGUMENTS):
            raise CallError(f"update of {cls.__name__} must be a method def update({', '.join(_ARGUMENTS)})")

    @abstractmethod
    def update(self, param: Array, grad: Array, state: State) -> None:
        """Update the array ``param`` in place, given its gradient; ``state`` is the dictionary of this parameter.

        Values in ``state`` must be arrays or numbers, so that they can be saved.
        """

    def update_all(self, updates: Sequence[Update]) -> None:
        """Update all parameters that have a gradient: one by one, unless a subclass updates several at once."""
        for param, grad, state in updates:
            given: Any = self.update(param, grad, state)
            if given is not None:
                self._require_nothing("update", given, param)

    @explained
    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises :class:`GraphError` if none has. Raises an error, changing nothing, if data and gradient are not float
        arrays of one shape (:func:`minidl.checks.checked`), if data are read-only, or if data were replaced by an
        array of another shape than the parameter's state.
        """
        lr = self.lr if self.schedule is None else self._scheduled(self.schedule(self.steps))
        if len(self.state) != len(self.parameters):
            raise MinidlError(
                "optimizer.state must have a dictionary for each parameter, and some are missing: clear them instead, "
                "`for state in optimizer.state.values(): state.clear()`, or make another optimizer"
            )
        updates, halves, changed = [], [], []
        on_host = self._on_host
        each = zip(self.parameters, self.state.values(), self._known, strict=True)
        for i, (param, state, known) in enumerate(each):
            data, grad = param.data, param.grad
            if grad is None:
                continue
            is_usual = data is known and type(grad) is type(data) and grad.dtype is data.dtype
            # Also of known data: the flag can be set at any time.
            if not is_usual or grad.shape != data.shape or (on_host[i] and not data.flags.writeable):
                data, grad = self._looked_at(i, state)
            changed.append(data)
            if data.dtype.char == "e":
                wide = data.astype(SINGLE)
                halves.append((data, wide))
                data, grad = wide, grad.astype(SINGLE)
            updates.append((data, grad, state))
        if not updates:
            raise GraphError("step() found no gradient: call backward() first, on a loss computed from the parameters")
        vars(self)["lr"] = lr
        changes.mark(*changed)
        try:
            given: Any = self.update_all(updates)  # type: ignore[func-returns-value]
        except (TypeError, AttributeError) as error:
            of_array = isinstance(error, AttributeError) and "numpy.ndarray" in str(error)
            if not of_array and "memoryview" not in str(error):
                raise
            raise CallError("update gets arrays, not tensors: write param -= ... and grad, without .data") from error
        if given is not None:
            self._require_nothing("update_all", given, updates)
        for data, wide in halves:
            data[...] = wide
        self.steps += 1

    def _looked_at(self, i: int, state: State) -> tuple[Array, Array]:
        """The checked data and gradient of a parameter; moves its state if its backend or dtype has changed, and raises
        an error if its shape has."""
        param = self.parameters[i]
        checks.checked([param])
        _require_writable(param)
        if self._homes[i] != _home(param.data):
            self._follow(i, state)
        self._known[i], self._on_host[i] = param.data, isinstance(param.data, np.ndarray)
        return param.data, param.grad

    def _follow(self, i: int, state: State) -> None:
        """Move the state of a parameter to its new backend and dtype."""
        param, (_, before, shape) = self.parameters[i], self._homes[i]
        if shape != param.shape and any(getattr(value, "shape", None) == shape for value in state.values()):
            raise ShapeError(
                f"the data of parameter '{list(self.state)[i]}' were replaced by an array of shape {param.shape}, and "
                f"its state in the optimizer is for {shape}: make another optimizer, or clear this state, "
                f"optimizer.state['{list(self.state)[i]}'].clear()"
            )
        for key, value in state.items():
            if backends.is_array(value):
                if backends.of(value) is not param.backend:
                    value = param.backend.asarray(backends.to_host(value))
                is_in_its_dtype = value.dtype == _remembered_in(before)
                state[key] = value.astype(_remembered_in(param.dtype)) if is_in_its_dtype else value
        self._homes[i] = _home(param.data)

    def require_current(self, parameters: Sequence[Tensor]) -> None:
        """Raise :class:`MinidlError` if some of a model's ``parameters`` replaced others that the optimizer still has.

        The optimizer may have other parameters, and need not have all of the model's.

        >>> from minidl import nn, optim
        >>> model = nn.Dense(2, 1)
        >>> optimizer = optim.SGD(model.parameters())
        >>> model.w = nn.Parameter(np.ones((2, 1), np.float32))
        >>> optimizer.require_current(model.parameters())
        Traceback (most recent call last):
        minidl.errors.MinidlError: the optimizer lacks the model's w, it has the replaced one: make a new one, SGD(...
        """
        own, there = set(map(id, self.parameters)), set(map(id, parameters))
        new = {p.name: p for p in parameters if p.requires_grad and id(p) not in own}
        named = [p for i, (name, p) in enumerate(zip(self.state, self.parameters, strict=True)) if name != str(i)]
        if new and any(p.name is None or p.name in new for p in named if id(p) not in there):
            raise MinidlError(
                f"the optimizer lacks the model's {', '.join(map(str, list(new)[:5]))}, it has the replaced one: "
                f"make a new one, {type(self).__name__}(model.parameters(), ...), or set requires_grad = False on "
                "parameters that are not trained"
            )

    def _require_nothing(self, method: str, given: Any, changed: Any) -> None:
        """Raise an error if a method that must change arrays in place returns something, which would be ignored."""
        if given is not changed:
            raise MinidlError(
                f"{method} of {type(self).__name__} returned {type(given).__name__}, which is ignored: change the "
                "array in place, as in param -= ... or param[...] = ..., and return nothing"
            )

    def _scheduled(self, lr: Any) -> float:
        """The checked result of a schedule."""
        rate: float = plain(lr)
        if not _is_rate(rate):
            raise MinidlError(f"the schedule returned {brief(lr)} for step {self.steps}, expected a learning rate >= 0")
        return rate

    @explained
    def zero_grad(self) -> None:
        """Set all gradients to None; otherwise the next backward pass adds to them."""
        for param in self.parameters:
            param.grad = None

    def state_dict(self) -> dict[str, Any]:
        """A copy of the optimizer's state, by parameter name, with NumPy arrays."""
        state = {
            name: {key: backends.to_host(value) for key, value in remembered.items()}
            for name, remembered in self.state.items()
        }
        return {"class": type(self).__name__, "steps": self.steps, "lr": self.lr, "state": state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict` of an optimizer of the same class with the same parameter names.

        Raises :class:`MinidlError`, changing nothing, if the class or the names differ, or if :meth:`check_state` does.
        """
        require_entries(saved, ["class", "steps", "lr", "state"], "an optimizer")
        if (given := saved["class"]) != (own := type(self).__name__):
            raise MinidlError(f"this is the state of {given}, not of {own}: build the optimizer that was saved")
        require_entries(saved["state"], [], "the parameters of an optimizer")
        require_names(saved["state"], self.state, "parameters")
        steps, lr = integer("steps", saved["steps"], least=0), number("lr", saved["lr"], ">= 0")
        state = {}
        for param, name in zip(self.parameters, self.state, strict=True):
            remembered = saved["state"][name]
            require_entries(remembered, [], f"an optimizer for {name}")
            self.check_state(name, param, remembered)
            state[name] = {key: self._restored(key, value, param) for key, value in remembered.items()}
        vars(self).update(steps=steps, lr=lr, state=state, _homes=[_home(p.data) for p in self.parameters])

    remembers: ClassVar[Mapping[str, str]] = {}
    """The entries that :meth:`update` puts into the state of a parameter, by name: an "array" of floats of its shape or
    a "count" of steps. An entry with a "?" at the end depends on an option and may be missing. Used only if ``update``
    is defined in the same class: an overriding ``update`` may store anything."""

    def check_state(self, name: str, param: Tensor, remembered: State) -> None:
        """Raise unless the saved state of a parameter has the entries that the optimizer :attr:`remembers`.

        All other entries must be real numbers, or arrays of them with the parameter's shape. Override it in an
        optimizer that stores arrays of other shapes.
        """
        for key, value in remembered.items():
            require_real(f"'{key}' of {name}", value, ((), param.shape))
        kinds = self._kinds()
        needed = [key for key, kind in kinds.items() if remembered and not kind.endswith("?")]
        require_entries(remembered, needed, f"{type(self).__name__} for {name}")
        for key, kind in kinds.items():
            if key in remembered and kind == "count":
                integer(f"'{key}' of {name}", remembered[key], least=0)
            elif key in remembered:
                require_float_array(f"'{key}' of {name}", remembered[key], param.shape)

    def _kinds(self) -> Mapping[str, str]:
        """The entries of the state that the ``update`` in use declares."""
        updater = next(cls for cls in type(self).__mro__ if "update" in vars(cls))
        kinds: Mapping[str, str] = vars(updater).get("remembers", {})
        return kinds

    def _restored(self, name: str, value: Any, param: Tensor) -> Any:
        """A value of a state as :meth:`update` needs it: a plain number, or an array on the device in its dtype."""
        kind, value = self._kinds().get(name, ""), backends.native(value)
        if kind == "count":
            return plain(value)
        if kind:
            wanted = _remembered_in(param.dtype)
            require_room(value, wanted, f"'{name}' of {param.name or 'a parameter'}")
            return param.backend.asarray(value.astype(wanted))
        return param.backend.asarray(value.copy()) if isinstance(value, np.ndarray) else value


def _require_writable(param: Tensor) -> None:
    if not backends.is_writable(param.data):
        raise MinidlError(
            f"the data of {checks.called(param)} are read-only, and a step changes them in place: set "
            "x.data = x.data.copy()"
        )


def _home(data: Array) -> tuple[Any, Any, Any]:
    """The array type, which identifies the backend, the float dtype and the shape of an array."""
    dtype = getattr(data, "dtype", None)
    return type(data), dtype if getattr(dtype, "kind", "") == "f" else None, getattr(data, "shape", None)


def _remembered_in(dtype: Any) -> Any:
    """The dtype of the state of a parameter of this dtype."""
    return SINGLE if dtype == HALF else dtype


def checked_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer of a training; :class:`MinidlError` for anything else.

    >>> checked_optimizer("adam")
    Traceback (most recent call last):
    minidl.errors.MinidlError: expected an optimizer, got 'adam': use optim.Adam(model.parameters(), lr=1e-3)
    """
    if not isinstance(optimizer, Optimizer):
        raise MinidlError(f"expected an optimizer, got {brief(optimizer)}: use optim.Adam(model.parameters(), lr=1e-3)")
    return optimizer


def _checked(parameters: Any) -> list[Tensor]:
    """The parameters as a list; an error with what to pass unless they are leaf tensors."""
    if not isinstance(parameters, Iterable) or hasattr(parameters, "dtype"):
        raise MinidlError(
            f"expected the parameters of a model, got {type(parameters).__name__}: pass model.parameters()"
        )
    found = list(parameters)
    for p in found:
        if not isinstance(p, Tensor):
            raise MinidlError(f"expected tensors to update, got {type(p).__name__}: pass model.parameters()")
        if p.op is not None:
            raise GraphError(
                f"an optimizer updates leaf tensors, got the result of {p.op.name}: pass model.parameters()"
            )
    if len(set(map(id, found))) < len(found):
        twice = next(p for number, p in enumerate(found) if any(p is one for one in found[:number]))
        raise MinidlError(
            f"{checks.called(twice)} appears twice, and would be updated twice in each "
            "step: pass the parameters() of one module that holds all, which returns each once"
        )
    if not found:
        raise MinidlError(
            "expected parameters, got none: the model has no layer with weights, or an iterator is exhausted"
        )
    return found
