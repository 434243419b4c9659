"""Tensors for several test files."""

from typing import Any

import numpy as np

import minidl as md


def leaf(*values: float, dtype: Any = np.float32) -> md.Tensor:
    """A vector that requires a gradient."""
    return md.tensor(list(values), dtype, requires_grad=True)


class Matrix(np.ndarray[Any, Any]):
    """A subclass of arrays for which ``*`` is the matrix product, as for np.matrix."""

    def __mul__(self, other: Any) -> Any:
        return self @ other

    def __rmul__(self, other: Any) -> Any:
        return other @ self


def matrix(values: Any) -> Any:
    """The values as a :class:`Matrix`, without a copy."""
    return np.asarray(values).view(Matrix)
