"""Helpers for tests of kernels: the readable twins, and arrays that distinguish a correct kernel from a wrong one."""

from typing import Any

import numpy as np

from minidl.kernels.reference import ReferenceKernels


class Reference(ReferenceKernels):
    xp = np


SLOW = Reference()
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0], np.float32)
ON_A_GPU = {"first_layer", "gemm", "implicit_gemm"}
"""Algorithms with CUDA kernels: see test_cupy_products.py."""
WINDOWS = [
    (8, 6, 2, 2, 0),
    (7, 9, 2, 2, 0),
    (7, 7, 3, 2, 1),
    (6, 5, (2, 3), 1, "same"),
    (9, 9, 2, 3, 0),
    (5, 5, 1, 1, 0),
    (40, 120, 2, 2, 0),
]
"""For pooling: H, W, the size, the stride and the padding."""


def values(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def images_to_pool(kind: str, *shape: int) -> Any:
    """Arrays with equal values in a window ("ties"), with windows of only -inf ("infinities"), or ordinary ones."""
    x = values(*shape)
    if kind == "ties":
        x = np.round(x)
    if kind == "infinities":
        x[np.random.default_rng(1).random(x.shape) < 0.6] = -np.inf
    return x


def images_with_nan() -> list[Any]:
    """A 2 x 2 image for each position of a NaN."""
    x = np.zeros((4, 1, 2, 2, 1), np.float32)
    x.reshape(4, 4)[range(4), range(4)] = np.nan
    return list(x)
