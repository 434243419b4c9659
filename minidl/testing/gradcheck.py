"""Gradient checks: the backward pass against numerical differentiation.

For a function with outputs y and random cotangents c, the backward pass computes the gradient of <c, y>. Differences of
the forward pass approximate its directional derivatives: with f(t) = <c, y(x + t v)> along a direction v,

    D(h) = (f(h) - f(-h)) / 2 h

is the derivative f'(0) up to an error of order h^2; Richardson extrapolation (4 D(h/2) - D(h)) / 3 reduces the error
to order h^4 (Press et al., "Numerical Recipes", 3rd ed., section 5.7). Everything is computed in float64.

Where f has a kink (ReLU at 0, a tie in max) there is no derivative to compare with. A kink is detected because
extrapolations from different steps disagree: of the first derivative if the kink is near 0, of the second derivative,
S(h) = (f(h) - 2 f(0) + f(-h)) / h^2, if it is exactly at 0, where the differences D agree by coincidence.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DtypeError, MinidlError, ShapeError
from ..nested import leaves
from ..nn import Module
from ..tensor import Tensor, _newest_first, no_grad

Array = NDArray[Any]

STEP = 1e-3
EVERY_ELEMENT = 200
"""Inputs of up to this many elements are checked element by element, larger ones along random directions."""
DIRECTIONS = 20


class GradientError(MinidlError, AssertionError):
    """A backward pass that does not agree with numerical differentiation.

    >>> from minidl.op import Op
    >>> class Twice(Op):
    ...     def forward(self, x):
    ...         return 2 * x
    ...     def backward(self, dy):
    ...         return (dy,)
    >>> gradcheck(Twice.apply, np.array([1.0]))
    Traceback (most recent call last):
    minidl.testing.gradcheck.GradientError: Twice: wrong gradient ... The whole gradient is 0.5 times the expected one
    """


@dataclass(frozen=True)
class GradcheckResult:
    """The result of :func:`gradcheck`: the worst error, relative to an input's largest derivative, and the number of
    derivatives compared. ``kinks`` is the number of derivatives that do not exist, and were not compared.
    """

    worst: float
    compared: int
    kinks: int = 0


def gradcheck(fn: Callable[..., Any], *inputs: Any, tolerance: float = 1e-8, seed: int = 0) -> GradcheckResult:
    """Check the gradients of ``fn`` with respect to all its float inputs and the unfrozen parameters of a module.

    ``fn`` takes tensors and returns a tensor, or a tuple, list or dictionary of them; it must be deterministic. Float
    inputs are converted to float64 leaf tensors, others are passed unchanged; a module must be float64
    (``module.astype(np.float64)``). No ``grad`` is changed. Cotangents are random, because constant ones would miss
    errors that cancel in a sum. Raises :class:`GradientError` with the op, the input, the worst index, both values and,
    if it is recognised, the cause; also if most derivatives do not exist, because the check would then be meaningless.

    >>> import minidl as md
    >>> gradcheck(lambda x: x * x, np.array([1.0, 2.0])).compared
    2
    >>> gradcheck(md.nn.functional.relu, np.array([-1.0, 0.0, 2.0])).kinks
    1
    """
    rng = np.random.default_rng(seed)
    arguments = [_argument(x) for x in inputs]
    wanted = {f"input {i}": x for i, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad}
    if isinstance(fn, Module):
        wanted |= {name: parameter for name, parameter in fn.named_parameters() if parameter.requires_grad}
    if not wanted:
        raise MinidlError("gradcheck needs at least one floating-point input")
    outputs = _outputs(_called(fn, arguments))
    name = outputs[0].op.name if outputs[0].op is not None else getattr(fn, "__name__", type(fn).__name__)
    cotangents = [rng.standard_normal(y.shape) for y in outputs]

    def value() -> float:
        with no_grad():
            return float(sum((c * y.numpy()).sum() for c, y in zip(cotangents, leaves(fn(*arguments)), strict=True)))

    try:
        gradients = _gradients(outputs, cotangents, wanted)
    except ShapeError as error:
        raise GradientError(f"backward failed: {error}", name) from error
    checks = [_check(name, which, x, gradients[which], value, rng, tolerance) for which, x in wanted.items() if x.size]
    return GradcheckResult(
        max((check.worst for check in checks), default=0.0),
        sum(check.compared for check in checks),
        sum(check.kinks for check in checks),
    )


def _argument(x: Any) -> Any:
    if isinstance(x, list | tuple) and any(hasattr(one, "dtype") for one in x):
        raise MinidlError(f"expected an array for each input, got a {type(x).__name__} of them: gradcheck(fn, x, w)")
    array = np.asarray(x.numpy() if isinstance(x, Tensor) else x)
    return Tensor(array.astype(np.float64), requires_grad=True) if array.dtype.kind == "f" else x


def _called(fn: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    try:
        return fn(*arguments)
    except DtypeError as error:
        narrow = next((name for name in ("float32", "float16") if name in error.message), "")
        if narrow and "float64" in error.message:
            raise DtypeError(
                f"gradcheck computes in float64, and a parameter or an array of the function is {narrow}: use "
                "model.astype(np.float64), and arrays of float64",
                error.where,
            ) from error
        raise


def _outputs(given: Any) -> list[Tensor]:
    """The tensors that a function returned."""
    outputs = list(leaves(given))
    if not outputs or not all(isinstance(y, Tensor) for y in outputs):
        kinds = ", ".join(type(y).__name__ for y in outputs)
        raise MinidlError(
            f"expected a function that returns tensors, got {kinds or 'none'}: end it with `return y`, and use methods "
            "of tensors and minidl.nn.functional, because NumPy functions are not recorded in the graph"
        )
    return outputs


def _gradients(
    outputs: Sequence[Tensor], cotangents: Sequence[Array], wanted: Mapping[str, Tensor]
) -> dict[str, Array]:
    """The gradients of the sum of <c, y>, by one backward pass for all outputs. It leaves every ``grad`` of a leaf
    unchanged."""
    total: Any = 0.0
    for y, c in zip(outputs, cotangents, strict=True):
        total = total + (y * c).sum()
    used = [x for op in _newest_first(total.op) for x in op.inputs or () if x.op is None] if total.op else []
    before = [(x, x.grad) for x in (*wanted.values(), *used)]
    for x, _ in before:
        x.grad = None
    try:
        total.backward()
        return {name: np.zeros(x.shape) if x.grad is None else np.asarray(x.grad) for name, x in wanted.items()}
    finally:
        for x, grad in before:
            x.grad = grad


def _check(
    name: str,
    which: str,
    x: Tensor,
    gradient: Array,
    value: Callable[[], float],
    rng: np.random.Generator,
    tolerance: float,
) -> GradcheckResult:
    """Compare the gradient of one input with differences along unit vectors or random directions."""
    if gradient.shape != x.shape:
        raise GradientError(f"the gradient of {which} has shape {gradient.shape}, expected {x.shape}", name)
    by_element = x.size <= EVERY_ELEMENT
    directions = np.eye(x.size) if by_element else rng.standard_normal((DIRECTIONS, x.size)) / np.sqrt(x.size)
    expected, doubt = np.array([_derivative(x, direction.reshape(x.shape), value) for direction in directions]).T
    got = directions @ gradient.reshape(-1)
    scale = max(np.abs(expected).max(), np.abs(got).max(), 1e-3)
    smooth = ~(doubt > tolerance * scale)
    if 2 * smooth.sum() < len(smooth):
        raise GradientError(
            f"nothing to compare for {which} {x.shape}: {(~smooth).sum()} of {len(smooth)} derivatives do not exist "
            "(kinks such as ReLU at 0, or ties in max): move the inputs away from them",
            name,
        )
    errors = np.where(smooth, np.abs(expected - got) / scale, 0)
    worst = int(errors.argmax()) if np.isfinite(errors).all() else int(np.argmin(np.isfinite(errors)))
    if not errors[worst] <= tolerance:
        place = f"at {tuple(map(int, np.unravel_index(worst, x.shape)))}" if by_element else f"in direction {worst}"
        cause = _cause(expected.reshape(x.shape), gradient, smooth.all()) if by_element else ""
        raise GradientError(
            f"wrong gradient of {which} {x.shape} {place}: expected {expected[worst]:.10g} (numerically), "
            f"got {got[worst]:.10g} from backward; relative error {errors[worst]:.2g}{cause}",
            name,
        )
    return GradcheckResult(float(errors[worst]), int(smooth.sum()), int((~smooth).sum()))


def _derivative(x: Tensor, direction: Array, value: Callable[[], float]) -> tuple[float, float]:
    """The derivative of ``value`` along a direction of x, and the disagreement of the extrapolations."""
    data = x.data

    def at(step: float) -> float:
        try:
            x.data = data + step * direction
            return value()
        finally:
            x.data = data

    middle = value()
    steps = (STEP, STEP / 2, STEP / 4)
    sides = [(at(step), at(-step)) for step in steps]
    first = [(above - below) / (2 * step) for step, (above, below) in zip(steps, sides, strict=True)]
    second = [(above - 2 * middle + below) / step**2 for step, (above, below) in zip(steps, sides, strict=True)]
    coarse, fine = _extrapolated(first)
    bend = _extrapolated(second)
    return fine, max(abs(fine - coarse), STEP * abs(bend[1] - bend[0]))


def _extrapolated(values: Sequence[float]) -> tuple[float, float]:
    """Richardson extrapolation of values with errors of order h^2, where each step is half the one before."""
    one, two = ((4 * half - whole) / 3 for whole, half in itertools.pairwise(values))
    return one, two


def _cause(expected: Array, got: Array, smooth: bool) -> str:
    """The likely cause of a wrong gradient, as far as the values show it."""

    def same(a: Array, b: Array) -> bool:
        return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-6, atol=1e-6 * np.abs(expected).max()))

    if not smooth or not np.isfinite(got).all():
        return ""
    if not got.any():
        return ". It is 0 everywhere: does backward return None for it?"
    factor = float((got * expected).sum() / (expected * expected).sum()) if expected.any() else 0.0
    if same(got, -expected):
        return ". The sign is wrong everywhere"
    if factor and same(got, factor * expected):
        return f". The whole gradient is {factor:.6g} times the expected one"
    if expected.ndim > 1:
        orders = itertools.permutations(range(expected.ndim))
        if any(same(got, expected.transpose(order).reshape(got.shape)) for order in [*orders][1:]):
            return ". It is correct except for the order of its axes: something is transposed"
    if same(got, np.broadcast_to(got.reshape(-1)[:1], got.shape)) and not same(expected, got):
        return ". It is the same everywhere: is there an extra sum, or an unused cotangent?"
    right = int(np.isclose(got, expected, rtol=1e-6, atol=1e-9).sum())
    if 0 < right < got.size:
        return (
            f". {right} of {got.size} elements are correct: are contributions lost where elements are used more than "
            "once (= instead of +=), or borders missed?"
        )
    return ""
