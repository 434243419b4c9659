"""Creation of tensors: zeros, ones, random numbers, ranges, and from NumPy arrays; names as in NumPy and PyTorch.

The default ``dtype`` is float32, also for None, unless stated otherwise; the default ``backend`` is NumPy. Every tensor
has its own memory and is a leaf, with a gradient if ``requires_grad``; integers have none
(:class:`minidl.errors.DtypeError`). A shape is given as sizes, ``zeros(2, 3)``, or as one tuple, ``zeros((2, 3))``;
anything else raises :class:`minidl.errors.ShapeError`.
"""

import sys
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import random
from .errors import DtypeError, MinidlError, ShapeError, brief
from .habits import explained
from .operators import unpacked
from .options import dtype_of, plain
from .random import Generator
from .tensor import Tensor, tensor


@explained
def zeros(*shape: Any, dtype: Any = None, requires_grad: bool = False, backend: str | None = None) -> Tensor:
    """A tensor of zeros.

    >>> zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return tensor(np.zeros(sizes_of(shape), _float32_or(dtype)), requires_grad=requires_grad, backend=backend)


@explained
def ones(*shape: Any, dtype: Any = None, requires_grad: bool = False, backend: str | None = None) -> Tensor:
    """A tensor of ones.

    >>> ones((2,), requires_grad=True)
    tensor([1., 1.], requires_grad=True)
    """
    return tensor(np.ones(sizes_of(shape), _float32_or(dtype)), requires_grad=requires_grad, backend=backend)


@explained
def randn(
    *shape: Any,
    rng: Generator | None = None,
    dtype: Any = None,
    requires_grad: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Samples of the standard normal distribution, from ``rng`` or the generator of :func:`minidl.seed`.

    They are drawn on the host, so they are the same on all backends. Raises :class:`minidl.errors.DtypeError` for
    anything but float32 and float64.

    >>> import minidl as md
    >>> md.seed(0)
    >>> x = randn(2, 3)
    >>> x.shape, (x == randn(2, 3, rng=md.Generator(0))).numpy().all()
    ((2, 3), np.True_)
    """
    wanted = _float32_or(dtype)
    if wanted not in (np.float32, np.float64):
        raise DtypeError(f"randn draws float32 or float64, got {wanted}: convert them with x.astype(...)")
    drawn = random.chosen(rng).standard_normal(sizes_of(shape), wanted)
    return tensor(drawn, requires_grad=requires_grad, backend=backend)


@explained
def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Evenly spaced values in the half-open interval [``start``, ``stop``); a single argument is ``stop``.

    Integers give int64, as in NumPy and PyTorch, anything else float32. Raises :class:`minidl.errors.MinidlError` for
    anything but a finite range.

    >>> arange(4), arange(1, 2, 0.25)
    (tensor([0, 1, 2, 3], dtype=int64), tensor([1.  , 1.25, 1.5 , 1.75]))
    """
    try:
        numbers: NDArray[Any] = np.arange(*map(plain, (start, stop, step)))
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise MinidlError(
            f"arange needs finite numbers and a step other than 0, got {brief(start)}, {brief(stop)}, "
            f"{brief(step)}: write arange(stop) or arange(start, stop, step)"
        ) from error
    if dtype is None and numbers.dtype.kind == "f":
        dtype = np.float32
    return tensor(numbers, dtype, requires_grad, backend)


@explained
def from_numpy(array: NDArray[Any], *, requires_grad: bool = False, backend: str | None = None) -> Tensor:
    """A tensor with a copy of a NumPy array, of the same dtype.

    Unlike PyTorch's ``from_numpy``, it copies, because a change of the array between the forward and the backward pass
    would not be detected. Raises :class:`minidl.errors.MinidlError` for anything but an array.

    >>> array = np.array([1.0, 2.0], np.float32)
    >>> x = from_numpy(array)
    >>> array[0] = 9
    >>> x
    tensor([1., 2.])
    """
    if not isinstance(array, np.ndarray):
        raise MinidlError(f"expected a NumPy array, got {type(array).__name__}: md.tensor(...) takes anything")
    return tensor(array, requires_grad=requires_grad, backend=backend)


def _float32_or(dtype: Any) -> np.dtype[Any]:
    """The dtype; float32 for None, which would mean float64 in NumPy."""
    return dtype_of(np.float32 if dtype is None else dtype)


def sizes_of(shape: Any) -> tuple[int, ...]:
    """The sizes of a shape given as several arguments, a sequence or a single size; :class:`ShapeError` otherwise.

    >>> sizes_of((2, 3)), sizes_of([2, 3]), sizes_of(((2, 3),)), sizes_of(2)
    ((2, 3), (2, 3), (2, 3), (2,))
    """
    given = unpacked(shape if isinstance(shape, tuple) else (shape,))
    sizes = tuple(map(plain, given))
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 0 for size in sizes):
        raise ShapeError(
            f"a shape consists of integers >= 0, such as (2, 3), got {brief(given)}: a dtype is passed as "
            "dtype=np.float64"
        )
    require_memory(sizes)
    return sizes


def require_memory(shape: tuple[int, ...]) -> None:
    """Raise :class:`ShapeError` for a shape of more elements than NumPy can count.

    >>> require_memory((10**10, 10**10))
    Traceback (most recent call last):
    minidl.errors.ShapeError: an array of shape (10000000000, 10000000000) has more elements than any memory: take ...
    """
    if prod(shape) > sys.maxsize // 8:
        raise ShapeError(f"an array of shape {shape} has more elements than any memory: take smaller sizes")
