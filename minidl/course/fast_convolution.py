"""The exercises of ``14_fast_convolution``."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compare import same
from .exercise import Exercise

Array = NDArray[Any]


def _normal(*shape: int) -> Array:
    return np.random.default_rng(list(shape)).normal(size=shape)


def im2col(x: Array, KH: int, KW: int) -> Array:
    """The windows of one image x (H, W, C) as the rows of a matrix (OH OW, KH KW C)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (KH, KW), axis=(0, 1))  # (OH, OW, C, KH, KW)
    return windows.transpose(0, 1, 3, 4, 2).reshape(-1, KH * KW * x.shape[2])


check_im2col = Exercise(
    im2col,
    examples=[(_normal(3, 3, 1), 1, 1), (_normal(4, 5, 1), 2, 3), (_normal(4, 5, 2), 2, 3)],
    draw=lambda rng: (rng.normal(size=rng.integers(3, 7, 3)), *(int(k) for k in rng.integers(1, 4, 2))),
    mistakes={
        "the windows are columns: here each window is a row, (OH OW, KH KW C).": lambda x, KH, KW: im2col(x, KH, KW).T,
        "the elements of a window are in the order (C, KH, KW), but those of w in (KH, KW, C).": (
            lambda x, KH, KW: (
                im2col(x, KH, KW).reshape(-1, KH * KW, x.shape[2]).swapaxes(1, 2).reshape(-1, KH * KW * x.shape[2])
            )
        ),
        "the rows and columns of each window are swapped.": lambda x, KH, KW: (
            im2col(x, KH, KW).reshape(-1, KH, KW, x.shape[2]).transpose(0, 2, 1, 3).reshape(-1, KH * KW * x.shape[2])
        ),
        "the windows go down the columns of the image: they must go along its rows, like the outputs.": (
            lambda x, KH, KW: (
                im2col(x, KH, KW)
                .reshape(x.shape[0] - KH + 1, x.shape[1] - KW + 1, -1)
                .swapaxes(0, 1)
                .reshape(-1, KH * KW * x.shape[2])
            )
        ),
        "the last windows are missing: there are H - KH + 1 rows and W - KW + 1 columns of them.": (
            lambda x, KH, KW: im2col(x[:-1, :-1], KH, KW)
        ),
        "this is the transposed matrix in the wrong shape: build it row by row.": (
            lambda x, KH, KW: im2col(x, KH, KW).T.reshape(-1, KH * KW * x.shape[2])
        ),
    },
)


def winograd(x: Array, g: Array) -> Array:
    """Two outputs of a filter g (3,) on x (4,), with four multiplications: Winograd's F(2, 3)."""
    m = (
        (x[0] - x[2]) * g[0],
        (x[1] + x[2]) * (g[0] + g[1] + g[2]) / 2,
        (x[2] - x[1]) * (g[0] - g[1] + g[2]) / 2,
        (x[1] - x[3]) * g[2],
    )
    return np.array([m[0] + m[1] + m[2], m[1] - m[2] - m[3]])


def _wrong_winograd(x: Array, g: Array, halves: float = 2, last: float = 1, third: float = 1) -> Array:
    m1, m4 = (x[0] - x[2]) * g[0], last * (x[1] - x[3]) * g[2]
    m2 = (x[1] + x[2]) * (g[0] + g[1] + g[2]) / halves
    m3 = third * (x[2] - x[1]) * (g[0] - g[1] + g[2]) / halves
    return np.array([m1 + m2 + m3, m2 - m3 - m4])


class _Factor:
    """A number that counts its products with others of its class: those of an input and a weight."""

    def __init__(self, value: float, products: list[float]) -> None:
        self.value, self.products = value, products

    def __float__(self) -> float:
        return self.value

    def __add__(self, other: Any) -> "_Factor":
        return _Factor(self.value + float(other), self.products)

    def __mul__(self, other: Any) -> "_Factor":
        product = self.value * float(other)
        if isinstance(other, _Factor):
            self.products.append(product)
        return _Factor(product, self.products)

    def __sub__(self, other: Any) -> "_Factor":
        return self + -float(other)

    def __rsub__(self, other: Any) -> "_Factor":
        return (-self).__add__(other)

    def __truediv__(self, other: Any) -> "_Factor":
        return self * (1 / float(other))

    def __neg__(self) -> "_Factor":
        return self * -1.0

    __radd__, __rmul__ = __add__, __mul__


def _with_four_products(function: Callable[..., Any], x: Array, g: Array) -> Any:
    """The answer; NaN instead of a right one that multiplies inputs by weights more than four times."""
    right, products = np.array([x[:3] @ g, x[1:] @ g]), list[float]()
    answer = function(x, g)
    if isinstance(answer, np.ndarray) and same(answer, right):
        with contextlib.suppress(Exception):  # of NumPy's functions for floats only
            function(*(np.array([_Factor(float(value), products) for value in array]) for array in (x, g)))
    return np.full(2, np.nan) if len(products) > 4 else answer


check_winograd = Exercise(
    winograd,
    use=_with_four_products,
    examples=[(np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.0, 3.0, 5.0])), (_normal(4), _normal(3))],
    draw=lambda rng: (rng.normal(size=4), rng.normal(size=3)),
    mistakes={
        "the kernel is flipped: g[0] meets the first of its three inputs.": lambda x, g: winograd(x, g[::-1]),
        "the sums of the filter are not halved: m2 and m3 both need the factor 1/2.": lambda x, g: _wrong_winograd(
            x, g, halves=1
        ),
        "the sign of m4 is wrong: it contains x1 - x3, and is subtracted.": lambda x, g: _wrong_winograd(x, g, last=-1),
        "the sign of m3 is wrong: it contains x2 - x1, and y = (m1 + m2 + m3, m2 - m3 - m4).": lambda x, g: (
            _wrong_winograd(x, g, third=-1)
        ),
        "the two outputs are swapped.": lambda x, g: winograd(x, g)[::-1],
        "the values are right, but they take more than four products of an input and a weight: m1, m2, m3 and m4.": (
            lambda x, g: np.array([x[:3] @ g, x[1:] @ g])
        ),
    },
)
