"""Tensors for several test files."""

from typing import Any

import numpy as np

import minidl as md


def leaf(*values: float, dtype: Any = np.float32) -> md.Tensor:
    """A vector that requires a gradient."""
    return md.tensor(list(values), dtype, requires_grad=True)
