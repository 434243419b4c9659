"""What all optimizers have: parameters, a learning rate, what is remembered of each parameter, and how many steps."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np

from . import backends, changes, gradients
from .errors import GraphError, MinidlError
from .habits import Strict, explained, takes
from .op import HALF, SINGLE
from .options import number, option, plain, require_room, whole
from .schedules import Schedule
from .states import require_entries, require_floats, require_names, require_real
from .tensor import Tensor

Array = Any
State = dict[str, Any]
Update = tuple[Array, Array, State]
"""A parameter, its gradient and its state."""


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _rate(_name: str, lr: Any) -> float:
    """A learning rate, as an option."""
    rate: float = plain(lr)
    if not _is_rate(rate):
        hint = ": a schedule is set as optimizer.schedule" if callable(rate) else ""
        raise MinidlError(f"the learning rate must be a number >= 0 or a schedule, got {lr!r}{hint}")
    return rate


def _schedule(_name: str, schedule: Any) -> Schedule | None:
    """A schedule or None, as an option."""
    if schedule is not None and (not callable(schedule) or isinstance(schedule, type)):
        raise MinidlError(f"expected a schedule, or None for a constant optimizer.lr, got {schedule!r}")
    if schedule is not None and not takes(schedule, 0):
        raise MinidlError(
            f"a schedule is called with the number of the step, which {schedule!r} does not take: write "
            "lr=lambda step: ..."
        )
    return schedule


def _refuse_others(*_: Any) -> NoReturn:
    """What changes the parameters of an optimizer, or sets them."""
    raise MinidlError(
        "an optimizer keeps the parameters that it was made with, as it remembers something of each: build a new one, "
        "optim.Adam(model.parameters())"
    )


class _Parameters(tuple[Tensor, ...]):
    """The parameters of an optimizer, which are no list that could be changed."""

    __slots__ = ()

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse_others
    __setitem__ = __delitem__ = __iadd__ = _refuse_others


def _require_no_schedule(optimizer: Any, lr: float) -> None:
    if vars(optimizer).get("schedule") is not None:
        raise MinidlError(
            f"lr = {lr!r} would last until the next step, when the schedule says what it is: write "
            "optimizer.schedule = None before, or set optimizer.schedule"
        )


class Optimizer(Strict, ABC):
    """Changes parameters by their gradients. A subclass defines :meth:`update`, for one parameter.

    Parameters of float16 are changed, and remembered, in float32: their squared gradients would often be 0 or infinite.

    ``lr`` is the learning rate, or a schedule: a function from the number of the step (from 0) to the learning rate.
    What the optimizer remembers of a parameter is kept under the parameter's dotted name, and follows it to another
    backend or dtype at the next step.

    >>> import numpy as np
    >>> class Sign(Optimizer):
    ...     def update(self, param, grad, state):
    ...         param -= self.lr * np.sign(grad)
    """

    in_vain = frozenset(["learning_rate", "param_groups", "clipnorm", "clipvalue"])

    parameters: Sequence[Tensor] = option(_refuse_others)
    lr: float = option(_rate, beside=_require_no_schedule)
    schedule: Schedule | None = option(_schedule)

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule) -> None:
        vars(self)["parameters"] = _Parameters(_checked(parameters))
        self.schedule = None
        schedule = _schedule("lr", lr) if callable(lr) else None
        self.lr = schedule(0) if schedule is not None else lr  # type: ignore[assignment]  # the option looks at it
        self.schedule = schedule
        self.steps = 0
        names = [p.name if p.name is not None else str(i) for i, p in enumerate(self.parameters)]
        self.state: dict[str, State] = {name: {} for name in names}
        self._homes = [_home(p.data) for p in self.parameters]
        self._known: list[Array] = [None] * len(names)
        """The data that were looked at, of each parameter: they are fit to be changed in place."""
        if len(self.state) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise MinidlError(
                f"two parameters are called '{twice}': pass the parameters() of one module that holds both"
            )

    @abstractmethod
    def update(self, param: Array, grad: Array, state: State) -> None:
        """Change the array ``param`` in place, given its gradient; ``state`` is this parameter's own dictionary.

        Values put into ``state`` are arrays or numbers, so that they can be saved.
        """

    def update_all(self, updates: Sequence[Update]) -> None:
        """Update all parameters that have a gradient: one by one, unless an optimizer can do many at once."""
        for param, grad, state in updates:
            given: Any = self.update(param, grad, state)
            if given is not None:
                self._require_nothing("update", given, param)

    @explained
    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises :class:`GraphError` if none has, and an error, changing nothing, for a gradient or data, set by hand,
        that are no arrays of floats of one shape, or data that are read-only: see :func:`minidl.gradients.checked`.
        """
        lr = self.lr if self.schedule is None else self._scheduled(self.schedule(self.steps))
        if len(self.state) != len(self.parameters):
            raise MinidlError(
                "optimizer.state has a dictionary for each parameter, and some are gone: clear those, `for remembered "
                "in optimizer.state.values(): remembered.clear()`, or make another optimizer"
            )
        updates, halves, changed = [], [], []
        for i, (param, state) in enumerate(zip(self.parameters, self.state.values(), strict=True)):
            data, grad = param.data, param.grad
            if grad is None:
                continue
            is_usual = data is self._known[i] and type(grad) is type(data) and grad.dtype is data.dtype
            if not is_usual or grad.shape != data.shape:
                data, grad = self._looked_at(i, state)
            changed.append(data)
            if data.dtype.char == "e":
                wide = data.astype(SINGLE)
                halves.append((data, wide))
                data, grad = wide, grad.astype(SINGLE)
            updates.append((data, grad, state))
        if not updates:
            raise GraphError("step() found no gradient: call backward() first, of a loss made from these parameters")
        vars(self)["lr"] = lr
        changes.mark(*changed)
        try:
            given: Any = self.update_all(updates)  # type: ignore[func-returns-value]
        except ValueError:  # NumPy's own, where the array that was looked at has become read-only since
            for param in self.parameters:
                _require_writable(param)
            raise
        if given is not None:
            self._require_nothing("update_all", given, updates)
        for data, wide in halves:
            data[...] = wide
        self.steps += 1

    def _looked_at(self, i: int, state: State) -> tuple[Array, Array]:
        """Data and gradient of a parameter, once they are checked, and what is remembered of it has followed it."""
        param = self.parameters[i]
        gradients.checked([param])
        _require_writable(param)
        if self._homes[i] != _home(param.data):
            self._follow(i, state)
        self._known[i] = param.data
        return param.data, param.grad

    def _follow(self, i: int, state: State) -> None:
        """Bring what is remembered of a parameter to its backend and dtype, which have changed since."""
        param, (_, before) = self.parameters[i], self._homes[i]
        for key, value in state.items():
            if backends.is_array(value):
                if backends.of(value) is not param.backend:
                    value = param.backend.asarray(backends.to_host(value))
                is_in_its_dtype = value.dtype == _remembered_in(before)
                state[key] = value.astype(_remembered_in(param.dtype)) if is_in_its_dtype else value
        self._homes[i] = _home(param.data)

    def require_current(self, parameters: Sequence[Tensor]) -> None:
        """Raise :class:`MinidlError` if a model has these parameters now, and the optimizer those whose place they
        took. What else it has, and what it leaves alone, is its own affair.

        >>> from minidl import nn, optim
        >>> model = nn.Dense(2, 1)
        >>> optimizer = optim.SGD(model.parameters())
        >>> model.w = nn.Parameter(np.ones((2, 1), np.float32))
        >>> optimizer.require_current(model.parameters())
        Traceback (most recent call last):
        minidl.errors.MinidlError: the optimizer has not the model's w, but what was there before: make it anew, as ...
        """
        own, there = set(map(id, self.parameters)), set(map(id, parameters))
        new = {p.name: p for p in parameters if p.requires_grad and id(p) not in own}
        named = [p for i, (name, p) in enumerate(zip(self.state, self.parameters, strict=True)) if name != str(i)]
        if new and any(p.name is None or p.name in new for p in named if id(p) not in there):
            raise MinidlError(
                f"the optimizer has not the model's {', '.join(map(str, list(new)[:5]))}, but what was there before: "
                f"make it anew, as {type(self).__name__}(model.parameters(), ...), or set requires_grad = False where "
                "nothing is to be learned"
            )

    def _require_nothing(self, method: str, given: Any, changed: Any) -> None:
        """Of a method that should have changed the arrays: what it returns instead would be lost without a word."""
        if given is not changed:
            raise MinidlError(
                f"{method} of {type(self).__name__} returns what nobody reads, {type(given).__name__}: change the "
                "array itself, as in param -= ... or param[...] = ..., and return nothing"
            )

    def _scheduled(self, lr: Any) -> float:
        """What the schedule gave, unless it is no learning rate."""
        rate: float = plain(lr)
        if not _is_rate(rate):
            raise MinidlError(f"the schedule gives {lr!r} for step {self.steps}, expected a learning rate >= 0")
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
        require_entries(saved["state"], [], "the parameters of an optimizer")
        require_names(saved["state"], self.state, "parameters")
        require_entries(saved, ["steps", "lr"], "an optimizer")
        steps, lr = whole("steps", saved["steps"], least=0), number("lr", saved["lr"], ">= 0")
        state = {}
        for param, name in zip(self.parameters, self.state, strict=True):
            remembered = saved["state"][name]
            require_entries(remembered, [], f"an optimizer for {name}")
            self.check_state(name, param, remembered)
            state[name] = {key: self._restored(key, value, param) for key, value in remembered.items()}
        vars(self).update(steps=steps, lr=lr, state=state, _homes=[_home(p.data) for p in self.parameters])

    remembers: ClassVar[Mapping[str, str]] = {}
    """What :meth:`update` puts into the state of a parameter: an "array" of floats of its shape or a "count" of steps,
    by name. With a "?" at the end it may be missing where others are there, as an option says whether it is needed. It
    counts where the class has the ``update`` in use: that of a subclass's own may remember anything."""

    def check_state(self, name: str, param: Tensor, remembered: State) -> None:
        """Raise unless what was saved for a parameter is what the optimizer :attr:`remembers`, and whatever else there
        is consists of real numbers, and of arrays of the parameter's shape.

        Override it in an optimizer that remembers arrays of other shapes.
        """
        for key, value in remembered.items():
            require_real(f"'{key}' of {name}", value, ((), param.shape))
        kinds = self._kinds()
        needed = [key for key, kind in kinds.items() if remembered and not kind.endswith("?")]
        require_entries(remembered, needed, f"{type(self).__name__} for {name}")
        for key, kind in kinds.items():
            if key in remembered and kind == "count":
                whole(f"'{key}' of {name}", remembered[key], least=0)
            elif key in remembered:
                require_floats(f"'{key}' of {name}", remembered[key], param.shape)

    def _kinds(self) -> Mapping[str, str]:
        """What the ``update`` in use remembers."""
        updater = next(cls for cls in type(self).__mro__ if "update" in vars(cls))
        kinds: Mapping[str, str] = vars(updater).get("remembers", {})
        return kinds

    def _restored(self, name: str, value: Any, param: Tensor) -> Any:
        """A value of a state as :meth:`update` wants it: plain numbers, arrays on the device in the right dtype."""
        kind = self._kinds().get(name, "")
        if kind == "count":
            return plain(value)
        if kind:
            wanted = _remembered_in(param.dtype)
            require_room(value, wanted, f"'{name}' of {param.name or 'a parameter'}")
            return param.backend.asarray(value.astype(wanted))
        return param.backend.asarray(value.copy()) if isinstance(value, np.ndarray) else value


def _require_writable(param: Tensor) -> None:
    if isinstance(param.data, np.ndarray) and not param.data.flags.writeable:
        raise MinidlError(
            f"the data of {gradients.called(param)} are read-only, and a step changes them in place: set "
            "x.data = x.data.copy()"
        )


def _home(data: Array) -> tuple[Any, Any]:
    """Where an array lives, and in which dtype of floats."""
    dtype = getattr(data, "dtype", None)
    return type(data), dtype if getattr(dtype, "kind", "") == "f" else None


def _remembered_in(dtype: Any) -> Any:
    """The dtype of what is remembered of a parameter of this dtype."""
    return SINGLE if dtype == HALF else dtype


def checked_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer of a training; :class:`MinidlError` for anything else.

    >>> checked_optimizer("adam")
    Traceback (most recent call last):
    minidl.errors.MinidlError: expected an optimizer, got 'adam': use optim.Adam(model.parameters(), lr=1e-3)
    """
    if not isinstance(optimizer, Optimizer):
        raise MinidlError(f"expected an optimizer, got {optimizer!r}: use optim.Adam(model.parameters(), lr=1e-3)")
    return optimizer


def _checked(parameters: Any) -> tuple[Tensor, ...]:
    """The parameters, one after the other; an error that says what to pass unless they are leaf tensors."""
    if not isinstance(parameters, Iterable) or hasattr(parameters, "dtype"):
        raise MinidlError(
            f"expected the parameters of a model, got {type(parameters).__name__}: pass model.parameters()"
        )
    found = tuple(parameters)
    for p in found:
        if not isinstance(p, Tensor):
            raise MinidlError(f"expected tensors to change, got {type(p).__name__}: pass model.parameters()")
        if p.op is not None:
            raise GraphError(
                f"an optimizer changes leaf tensors, got the result of {p.op.name}: pass model.parameters()"
            )
    if len(set(map(id, found))) < len(found):
        twice = next(p for number, p in enumerate(found) if any(p is one for one in found[:number]))
        raise MinidlError(
            f"{twice.name or f'a tensor of shape {twice.shape}'} is there twice, and would be changed twice in each "
            "step: pass the parameters() of one module that holds all, which has each once"
        )
    if not found:
        raise MinidlError(
            "expected parameters, got none: the model has no layer with weights, or an iterator is used up"
        )
    return found
