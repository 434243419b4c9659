"""Learning-rate schedules: functions from the step number to the learning rate, without a state to save.

They are also in :mod:`minidl.optim`: ``optim.Adam(parameters, lr=optim.cosine(0.1, 1000))``.
"""

import functools
from collections.abc import Callable
from math import cos, pi
from typing import Any

from . import plugins
from .errors import MinidlError
from .habits import Answering, explained
from .options import integer, number, plain

Schedule = Callable[[int], float]


class Rates(Answering):
    """A schedule that can be copied and pickled, and raises helpful errors for the methods of PyTorch's schedulers.

    >>> Rates(pow, 0.5)(2)
    0.25
    """

    __slots__ = ("_formula",)

    def __init__(self, formula: Callable[..., float], *options: Any) -> None:
        self._formula = functools.partial(formula, *options)

    def __call__(self, step: int) -> float:
        number("the step", step, ">= 0")
        return self._formula(step)


@plugins.register("schedule", "constant")
@explained
def constant(lr: float) -> Schedule:
    """The constant learning rate ``lr``.

    >>> constant(0.1)(1000)
    0.1
    """
    return Rates(_constant, _rate(lr))


def _constant(lr: float, _step: int) -> float:
    return lr


@plugins.register("schedule", "step")
@explained
def step(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """``lr`` multiplied by ``factor`` once every ``every`` steps.

    The schedule raises :class:`MinidlError` on overflow, after many steps with a factor above 1.

    >>> schedule = step(1.0, every=10, factor=0.5)
    >>> schedule(9), schedule(10), schedule(20)
    (1.0, 0.5, 0.25)
    """
    return Rates(_stairs, _rate(lr), integer("every", every, least=1), number("factor", factor, ">= 0"))


def _stairs(lr: float, every: int, factor: float, step: int) -> float:
    try:
        return lr * float(factor) ** (step // every)
    except OverflowError as error:
        raise MinidlError(
            f"the learning rate of step {step}, {lr} * {factor} ** {step // every}, overflows: use a "
            "factor below 1, or a larger `every`"
        ) from error


@plugins.register("schedule", "cosine")
@explained
def cosine(lr: float, steps: int, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Linear warm-up to ``lr`` in ``warmup`` steps, then half a cosine down to ``final`` until step ``steps``.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), equation 5.

    >>> schedule = cosine(1.0, steps=10)
    >>> schedule(0), round(schedule(5), 3), schedule(10)
    (1.0, 0.5, 0.0)
    """
    lr, warmup, final = _rate(lr), integer("warmup", warmup, least=0), number("final", final, ">= 0")
    rest = integer("the number of steps", steps, least=1) - warmup
    return Rates(_cosine, lr, integer("the number of steps after the warm-up", rest, least=1), warmup, final)


def _cosine(lr: float, steps: int, warmup: int, final: float, step: int) -> float:
    if step < warmup:
        return lr * (step + 1) / warmup
    return _half_cosine(lr, final, (step - warmup) / steps)


@plugins.register("schedule", "one_cycle")
@explained
def one_cycle(lr: float, steps: int, rise: float = 0.3, start: float = 1 / 25, final: float = 1e-4) -> Schedule:
    """From ``start`` x ``lr`` up to ``lr`` in the fraction ``rise`` of the steps, then down to ``final`` x ``lr``.

    Smith and Topin, "Super-Convergence" (2017), with half cosines for both parts.

    >>> schedule = one_cycle(1.0, steps=100)
    >>> schedule(0), schedule(30), schedule(100)
    (0.04, 1.0, 0.0001)
    """
    lr, steps, rise = _rate(lr), integer("the number of steps", steps, least=1), number("rise", rise, ">= 0", "<= 1")
    start, final = number("start", start, ">= 0"), number("final", final, ">= 0")
    return Rates(_one_cycle, lr, steps, max(1, round(rise * steps)), start, final)


def _one_cycle(lr: float, steps: int, top: int, start: float, final: float, step: int) -> float:
    if step < top:
        return _half_cosine(start * lr, lr, step / top)
    return _half_cosine(lr, final * lr, (step - top) / max(1, steps - top))


def _half_cosine(first: float, last: float, progress: float) -> float:
    """Half a cosine from ``first`` at progress 0 to ``last`` at 1 and above."""
    share = (1 - cos(pi * min(progress, 1.0))) / 2
    return first * (1 - share) + last * share


def _rate(lr: float) -> float:
    rate: float = plain(lr)
    if not isinstance(rate, int | float):
        kind = type(lr).__name__
        raise MinidlError(
            f"expected the learning rate, a number, got {kind}: the schedule is passed to the optimizer, as lr=..."
        )
    return number("lr", rate, ">= 0")
