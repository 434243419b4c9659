"""Helpers for the checks of several kinds: inputs with various memory layouts, and comparison of results."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import backends
from ..errors import BackendError
from ..nested import leaves
from ..tensor import Tensor
from .kit import CheckError

COTANGENTS = 1000
"""The first seed for cotangents, which must be independent of the inputs."""


def numbers(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> NDArray[np.float64]:
    """Random float64 values, whose distances are larger than the steps of a gradient check.

    >>> numbers(2, 2).shape
    (2, 2)
    """
    rng = np.random.default_rng([seed, *shape])
    count = int(np.prod(shape))
    return (low + (high - low) * (rng.permutation(count) + 0.25) / max(count, 1)).reshape(shape)


def tensors_in(nested: Any) -> list[Tensor]:
    """The tensors in a nested structure (:mod:`minidl.nested`). Raises :class:`CheckError` for anything else.

    >>> from minidl import tensor
    >>> tensors_in({"gender": tensor(1.0), "age": [tensor(2.0)]})
    [tensor(2.), tensor(1.)]
    """
    outputs = list(leaves(nested))
    for y in outputs:
        if not isinstance(y, Tensor):
            raise CheckError(
                f"an output is of type {type(y).__name__}, expected tensors: use methods of tensors and "
                "minidl.nn.functional, because NumPy functions are not recorded in the graph"
            )
    return outputs


def backward_all(outputs: Iterable[Tensor]) -> None:
    """Run one backward pass for several outputs, each with its own random cotangent.

    >>> from minidl import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> backward_all([x * x, x + 1])
    >>> x.grad.shape
    (2,)
    """
    total: Any = 0.0
    for number, y in enumerate(outputs):
        cotangent = y.backend.asarray(numbers(*y.shape, seed=COTANGENTS + number).astype(y.dtype))
        total = total + (y * Tensor(cotangent)).sum()
    total.backward()


def same_bits(one: Iterable[Any], other: Iterable[Any]) -> bool:
    """Whether two lists of arrays are bitwise equal (NaN equals itself).

    >>> same_bits([np.array([np.nan])], [np.array([np.nan])]), same_bits([np.zeros(1)], [-np.zeros(1)])
    (True, False)
    """
    pairs = list(zip(one, other, strict=True))
    return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def distance(one: Any, other: Any) -> float:
    """The largest difference of two arrays, relative to the largest value of ``other``; infinite for NaN.

    >>> distance(np.array([1.0, 9.0]), np.array([1.0, 10.0]))
    0.1
    """
    if one.shape != other.shape:
        return float("inf")
    if not one.size:
        return 0.0
    worst = float(np.max(np.abs(one - other)) / max(float(np.max(np.abs(other))), 1e-30))
    return worst if worst == worst else float("inf")


def furthest(some: Iterable[Any], others: Iterable[Any]) -> float:
    """The largest :func:`distance` between corresponding arrays."""
    return max((distance(one, other) for one, other in zip(some, others, strict=True)), default=0.0)


def fortran(x: Any) -> Any:
    """The same values in Fortran order.

    >>> x = fortran(np.arange(6.0).reshape(2, 3))
    >>> x.tolist(), x.strides
    ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], (8, 16))
    """
    return np.asfortranarray(x)


def strided(x: Any) -> Any:
    """The same values with gaps in memory.

    >>> x = strided(np.arange(6.0).reshape(2, 3))
    >>> x.tolist(), x.strides
    ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], (96, 16))
    """
    wide = np.full([2 * size for size in x.shape], np.nan, x.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def reversed_order(x: Any) -> Any:
    """The same values, stored in reverse order.

    >>> x = reversed_order(np.arange(6.0).reshape(2, 3))
    >>> x.tolist(), x.strides
    ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], (-24, -8))
    """
    flip = tuple(slice(None, None, -1) for _ in x.shape)
    return x[flip].copy()[flip]


ARRANGEMENTS: tuple[Callable[[Any], Any], ...] = (fortran, strided, reversed_order)


def other_backends() -> list[str]:
    """The backends to compare with NumPy: the strict stand-in, and CuPy if it works.

    "emulated" is not among them; use it by name for checks that need kernels.

    >>> other_backends()[0]
    'strict'
    """
    found = ["strict"]
    try:
        backends.get("cupy")
    except BackendError:
        return found
    return [*found, "cupy"]
