"""The matrices of Winograd's fast convolutions, by the method of Cook and Toom.

Multiply two polynomials by evaluating both at points, multiplying the values and interpolating: the product of r and m
coefficients then takes m + r - 1 multiplications instead of m r. Transposed, these steps are Winograd's minimal
filtering algorithm F(m, r), which computes y[i] = sum over k of x[i + k] g[k] for i < m::

    y = A^T [(G g) * (B^T x)]        * elementwise, x with m + r - 1 elements

docs/convolution/cook_toom.md derives it. Sources: Winograd, "Arithmetic Complexity of Computations" (1980); Lavin and
Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), whose F(2, 3) and F(4, 3) are those of the points
0, 1, -1, 2, -2; Blahut, "Fast Algorithms for Signal Processing" (2010), chapter 5, for the method.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)
"""Where polynomials are evaluated, besides infinity: small whole numbers make readable matrices."""


@functools.cache
def transforms(outputs: int, taps: int, dtype: Any, points: tuple[float, ...] = POINTS) -> tuple[Array, Array, Array]:
    """A^T (m, n), G (n, r) and B^T (n, n) of F(m = ``outputs``, r = ``taps``), with n = m + r - 1.

    Needs n - 1 different ``points``; the first ones count.

    >>> A_T, G, B_T = transforms(2, 3, np.float64)
    >>> A_T
    array([[ 1.,  1.,  1.,  0.],
           [ 0.,  1., -1.,  1.]])
    >>> x, g = np.array([1.0, 2, 4, 8]), np.array([1.0, 3, 5])
    >>> A_T @ ((G @ g) * (B_T @ x)), np.correlate(x, g)
    (array([27., 54.]), array([27., 54.]))
    """
    count = outputs + taps - 1
    p = np.array(points[: count - 1], np.float64)
    others = [np.delete(p, i) for i in range(len(p))]
    at_infinity = np.eye(count)[-1]
    A_T = np.column_stack([np.vander(p, outputs, increasing=True).T, at_infinity[-outputs:]])
    # The value at a point, divided by what its Lagrange polynomial has there ...
    scale = np.array([np.prod(point - rest) for point, rest in zip(p, others, strict=True)])
    G = np.vstack([np.vander(p, taps, increasing=True) / scale[:, None], at_infinity[-taps:]])
    # ... is the factor of that polynomial: the product of (x - other point), which is 0 at all other points.
    lagrange = [np.append(np.poly(rest)[::-1], 0) for rest in others]
    B_T = np.vstack([*lagrange, np.poly(p)[::-1]])
    return A_T.astype(dtype), G.astype(dtype), B_T.astype(dtype)
