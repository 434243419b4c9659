"""What the checks of several kinds use: inputs, in memory of any layout, and how far results are apart."""

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
"""Seeds from here on are for cotangents, which must have nothing to do with the inputs."""


def numbers(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> NDArray[np.float64]:
    """Random float64 numbers, no two of them closer to each other than the steps of a gradient check.

    >>> numbers(2, 2).shape
    (2, 2)
    """
    rng = np.random.default_rng([seed, *shape])
    count = int(np.prod(shape))
    return (low + (high - low) * (rng.permutation(count) + 0.25) / max(count, 1)).reshape(shape)


def tensors_in(nested: Any) -> list[Tensor]:
    """The tensors in a nested value, see :mod:`minidl.nested`; :class:`CheckError` for anything else.

    >>> from minidl import tensor
    >>> tensors_in({"gender": tensor(1.0), "age": [tensor(2.0)]})
    [tensor(2.), tensor(1.)]
    """
    outputs = list(leaves(nested))
    for y in outputs:
        if not isinstance(y, Tensor):
            raise CheckError(
                f"an output is of type {type(y).__name__}, expected tensors: stay with methods of tensors and "
                "minidl.nn.functional, as NumPy leaves the graph"
            )
    return outputs


def backward_all(outputs: Iterable[Tensor]) -> None:
    """One backward pass for several outputs, each with a random cotangent of its own.

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
    """Whether two lists of arrays are equal to the last bit (NaN equals itself).

    >>> same_bits([np.array([np.nan])], [np.array([np.nan])]), same_bits([np.zeros(1)], [-np.zeros(1)])
    (True, False)
    """
    pairs = list(zip(one, other, strict=True))
    return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def distance(one: Any, other: Any) -> float:
    """The largest difference of two arrays relative to the largest value of the other; infinite for NaN.

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
    """The largest :func:`distance` of arrays to their counterparts."""
    return max((distance(one, other) for one, other in zip(some, others, strict=True)), default=0.0)


def fortran(x: Any) -> Any:
    """The same values, the first axis the fastest in memory.

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
    """The same values, stored from the last to the first.

    >>> x = reversed_order(np.arange(6.0).reshape(2, 3))
    >>> x.tolist(), x.strides
    ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], (-24, -8))
    """
    flip = tuple(slice(None, None, -1) for _ in x.shape)
    return x[flip].copy()[flip]


ARRANGEMENTS: tuple[Callable[[Any], Any], ...] = (fortran, strided, reversed_order)


def other_backends() -> list[str]:
    """The backends to compare NumPy's results with: the strict stand-in, and CuPy where it works.

    The emulated one is there by name, for what needs kernels.

    >>> other_backends()[0]
    'strict'
    """
    found = ["strict"]
    try:
        backends.get("cupy")
    except BackendError:
        return found
    return [*found, "cupy"]
