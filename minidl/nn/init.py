"""Initializers of parameters: functions ``(shape, rng) -> float32 array``, on the host.

``fan_in`` and ``fan_out`` are the numbers of inputs and outputs that one unit is connected to: in and out for dense
weights (in, out), KH KW C_in and KH KW C_out for convolution weights (KH, KW, C_in, C_out).
"""

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import plugins
from ..creation import sizes_of
from ..errors import DtypeError, MinidlError, ShapeError, brief
from ..habits import explained
from ..random import Generator, chosen

Initializer = Callable[[tuple[int, ...], Generator], NDArray[np.float32]]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of weights with this shape.

    >>> fans((3, 3, 16, 32))
    (144, 288)
    """
    if not isinstance(shape, tuple | list) or len(shape) < 2:
        given = "a tensor or an array: use w.shape" if hasattr(shape, "dtype") else shape
        raise ShapeError(f"expected the shape of weights, (in, out) or (KH, KW, C_in, C_out), got {given}")
    *window, inputs, outputs = sizes_of(shape)
    return prod(window) * inputs, prod(window) * outputs


@plugins.register("initializer", "he_normal")
@explained
def he_normal(shape: tuple[int, ...], rng: Generator) -> NDArray[np.float32]:
    """Normal with variance 2 / fan_in: preserves the scale of activations through ReLU layers.

    He et al., "Delving Deep into Rectifiers" (2015), equation 10.

    >>> he_normal((200, 100), Generator(0)).std().round(2)   # sqrt(2 / 200)
    np.float32(0.1)
    """
    return _normal(shape, rng, sqrt(2 / fans(shape)[0]))


@plugins.register("initializer", "he_uniform")
@explained
def he_uniform(shape: tuple[int, ...], rng: Generator) -> NDArray[np.float32]:
    """Uniform in +-sqrt(6 / fan_in): the variance of :func:`he_normal`.

    >>> abs(he_uniform((600, 100), Generator(0))).max().round(2)
    np.float32(0.1)
    """
    return _uniform(shape, rng, sqrt(6 / fans(shape)[0]))


@plugins.register("initializer", "glorot_normal")
@explained
def glorot_normal(shape: tuple[int, ...], rng: Generator) -> NDArray[np.float32]:
    """Normal with variance 2 / (fan_in + fan_out): a compromise between the forward and the backward pass.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010), equation 12.

    >>> glorot_normal((150, 50), Generator(0)).std().round(2)   # sqrt(2 / 200)
    np.float32(0.1)
    """
    return _normal(shape, rng, sqrt(2 / sum(fans(shape))))


@plugins.register("initializer", "glorot_uniform")
@explained
def glorot_uniform(shape: tuple[int, ...], rng: Generator) -> NDArray[np.float32]:
    """Uniform in +-sqrt(6 / (fan_in + fan_out)), Keras's default (same paper, equation 16).

    >>> abs(glorot_uniform((500, 100), Generator(0))).max().round(2)
    np.float32(0.1)
    """
    return _uniform(shape, rng, sqrt(6 / sum(fans(shape))))


@plugins.register("initializer", "zeros")
@explained
def zeros(shape: tuple[int, ...], rng: Generator) -> NDArray[np.float32]:  # noqa: ARG001 - required by the interface
    """All 0, the initial value of biases.

    >>> zeros((2,), Generator(0))
    array([0., 0.], dtype=float32)
    """
    return np.zeros(sizes_of(shape), np.float32)


@plugins.register("initializer", "ones")
@explained
def ones(shape: tuple[int, ...], rng: Generator) -> NDArray[np.float32]:  # noqa: ARG001 - required by the interface
    """All 1.

    >>> ones((2,), Generator(0))
    array([1., 1.], dtype=float32)
    """
    return np.ones(sizes_of(shape), np.float32)


def get(initializer: str | Initializer) -> Initializer:
    """The initializer with this name, or the function itself.

    Raises :class:`minidl.errors.PluginError` for an unknown name, and :class:`minidl.errors.MinidlError` for anything
    that is neither a name nor a function.

    >>> get("he_normal") is he_normal
    True
    """
    found: Any = plugins.get("initializer", initializer) if isinstance(initializer, str) else initializer
    if not callable(found):
        raise MinidlError(f"expected the name of an initializer or a function (shape, rng), got {brief(found)}")
    function: Initializer = found
    return function


def drawn(initializer: str | Initializer, shape: tuple[int, ...], rng: Generator) -> Any:
    """The values that an initializer returns for a shape.

    Raises :class:`ShapeError` or :class:`DtypeError` if they are not a float32 array of this shape.

    >>> drawn(lambda shape, rng: np.zeros((4, 1), np.float32), (4, 3), Generator(0))
    Traceback (most recent call last):
    minidl.errors.ShapeError: the initializer '<lambda>' returned shape (4, 1), expected (4, 3): return an array ...
    """
    function = get(initializer)
    values = function(shape, rng)
    name = getattr(function, "__name__", type(function).__name__)
    is_array = hasattr(values, "shape")
    if (values.shape if is_array else np.shape(values)) != shape:
        given = f"shape {values.shape}" if is_array else repr(values)
        raise ShapeError(
            f"the initializer '{name}' returned {given}, expected {shape}: return an array of the shape that it is "
            "called with"
        )
    if getattr(values, "dtype", np.float32) != np.float32:
        raise DtypeError(f"the initializer '{name}' returned {values.dtype}, expected float32: add .astype(np.float32)")
    return values


def _normal(shape: tuple[int, ...], rng: Generator, deviation: float) -> NDArray[np.float32]:
    return chosen(rng).standard_normal(shape, np.float32) * np.float32(deviation)


def _uniform(shape: tuple[int, ...], rng: Generator, limit: float) -> NDArray[np.float32]:
    return (chosen(rng).random(shape, np.float32) * 2 - 1) * np.float32(limit)
