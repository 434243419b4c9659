"""Gradient checks: the backward pass against numerical differentiation.

For a function with outputs y and random cotangents c, the backward pass gives the gradient of <c, y>. The same number
comes from differences of the forward pass: with a step h along a direction v,

    D(h) = (<c, y(x + h v)> - <c, y(x - h v)>) / 2 h

is the directional derivative up to an error of order h^2; Richardson's extrapolation (4 D(h/2) - D(h)) / 3 takes that
error off and leaves one of order h^4 (Press et al., "Numerical Recipes", 3rd ed., section 5.7). Everything is computed
in float64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MinidlError
from ..nn import Module
from ..tensor import Tensor, no_grad

Array = NDArray[Any]

STEP = 1e-3
EVERY_ELEMENT = 200
"""Inputs of up to so many elements are checked element by element, larger ones along random directions."""
DIRECTIONS = 20


class GradientError(MinidlError, AssertionError):
    """A backward pass that does not agree with numerical differentiation."""


@dataclass(frozen=True)
class GradcheckResult:
    """The worst error, relative to the largest derivative of its input, and the number of derivatives compared."""

    worst: float
    compared: int


def gradcheck(fn: Callable[..., Any], *inputs: Any, tolerance: float = 1e-8, seed: int = 0) -> GradcheckResult:
    """Check the gradients of ``fn`` for all its float inputs and, if it is a module, for its parameters.

    ``fn`` takes tensors and gives a tensor, or a tuple, list or dictionary of them; it must give the same every time.
    Float inputs are taken as float64 constants to differentiate by, others are passed on as they are; a module must be
    float64 (``module.astype(np.float64)``). Cotangents are random: constant ones would miss every error that cancels in
    a sum. Raises :class:`GradientError` naming the op, the input, the worst index and both numbers.

    >>> import minidl as md
    >>> gradcheck(lambda x: x * x, np.array([1.0, 2.0])).compared
    2
    """
    rng = np.random.default_rng(seed)
    arguments = [_argument(x) for x in inputs]
    wanted = {f"input {i}": x for i, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad}
    if isinstance(fn, Module):
        wanted |= dict(fn.named_parameters())
    if not wanted:
        raise MinidlError("gradcheck needs at least one floating-point input")
    outputs = _flat(fn(*arguments))
    name = outputs[0].op.name if outputs[0].op is not None else getattr(fn, "__name__", type(fn).__name__)
    cotangents = [rng.standard_normal(y.shape) for y in outputs]

    def value() -> float:
        with no_grad():
            return float(sum((c * y.numpy()).sum() for c, y in zip(cotangents, _flat(fn(*arguments)), strict=True)))

    for x in wanted.values():
        x.grad = None
    _backward(outputs, cotangents)
    checks = [_check(name, which, x, value, rng, tolerance) for which, x in wanted.items() if x.size]
    return GradcheckResult(max((check.worst for check in checks), default=0.0), sum(check.compared for check in checks))


def _argument(x: Any) -> Any:
    array = np.asarray(x.numpy() if isinstance(x, Tensor) else x)
    return Tensor(array.astype(np.float64), requires_grad=True) if array.dtype.kind == "f" else x


def _flat(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    return [y for part in (outputs.values() if isinstance(outputs, dict) else outputs) for y in _flat(part)]


def _backward(outputs: Sequence[Tensor], cotangents: Sequence[Array]) -> None:
    """One backward pass for all outputs: the gradient of the sum of <c, y>."""
    total: Any = 0.0
    for y, c in zip(outputs, cotangents, strict=True):
        total = total + (y * c).sum()
    total.backward()


def _check(
    name: str, which: str, x: Tensor, value: Callable[[], float], rng: np.random.Generator, tolerance: float
) -> GradcheckResult:
    """Compare the gradient of one input with differences along unit vectors or random directions."""
    gradient = np.zeros(x.shape) if x.grad is None else np.asarray(x.grad)
    if gradient.shape != x.shape:
        raise GradientError(f"the gradient of {which} has shape {gradient.shape}, expected {x.shape}", name)
    by_element = x.size <= EVERY_ELEMENT
    directions = np.eye(x.size) if by_element else rng.standard_normal((DIRECTIONS, x.size)) / np.sqrt(x.size)
    expected = np.array([_derivative(x, direction.reshape(x.shape), value) for direction in directions])
    got = directions @ gradient.reshape(-1)
    scale = max(np.abs(expected).max(), np.abs(got).max(), 1e-3)
    errors = np.abs(expected - got) / scale
    worst = int(errors.argmax()) if np.isfinite(errors).all() else int(np.argmin(np.isfinite(errors)))
    if not errors[worst] <= tolerance:
        place = f"at {tuple(map(int, np.unravel_index(worst, x.shape)))}" if by_element else f"in direction {worst}"
        raise GradientError(
            f"wrong gradient of {which} {x.shape} {place}: expected {expected[worst]:.10g} (numerically), "
            f"got {got[worst]:.10g} from backward; relative error {errors[worst]:.2g}",
            name,
        )
    return GradcheckResult(float(errors[worst]), len(errors))


def _derivative(x: Tensor, direction: Array, value: Callable[[], float]) -> float:
    """The derivative of ``value`` along a direction of x, extrapolated from two step sizes."""
    data = x.data

    def difference(step: float) -> float:
        try:
            x.data = data + step * direction
            above = value()
            x.data = data - step * direction
            return (above - value()) / (2 * step)
        finally:
            x.data = data

    return (4 * difference(STEP / 2) - difference(STEP)) / 3
