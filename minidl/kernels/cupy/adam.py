"""A step of Adam for many parameters in one launch: see adam.cu."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ..reference import AdamStep
from .source import THREADS, Struct, kernel, name_of

Array = Any

TENSORS = 64
"""Maximum number of parameters per launch: kernel arguments are limited to 4 KiB (CUDA C++ Programming Guide)."""
LAYOUT = np.dtype(
    [(field, np.uintp, TENSORS) for field in ("params", "ms", "vs", "grads")]
    + [("sizes", np.int64, TENSORS), ("ends", np.int32, TENSORS)]
)
"""The struct Tensors of adam.cu."""


def adam(xp: Any, tensors: Sequence[tuple[Array, Array, Array, Array]], step: AdamStep) -> None:
    """Update each (param, grad, m, v) in place: see :meth:`ReferenceKernels.adam`. All have one dtype; all except the
    gradients must be contiguous."""
    tensors = [tensor for tensor in tensors if tensor[0].size]
    for first in range(0, len(tensors), TENSORS):
        _adam(xp, tensors[first : first + TENSORS], step)


def _adam(xp: Any, tensors: Sequence[tuple[Array, Array, Array, Array]], step: AdamStep) -> None:
    params, grads, ms, vs = zip(*tensors, strict=True)
    dtype, sizes = params[0].dtype, [param.size for param in params]
    ends = list(accumulate(-(-size // THREADS) for size in sizes))
    struct = Struct.of(
        LAYOUT,
        params=params,
        grads=[xp.ascontiguousarray(grad) for grad in grads],
        ms=ms,
        vs=vs,
        sizes=sizes,
        ends=ends,
    )
    lr, unbias, beta1, beta2, eps, keep = step
    constants = map(dtype.type, (lr, unbias, beta1, 1 - beta1, beta2, 1 - beta2, eps, keep))
    kernel(xp, "adam.cu", name_of("adam", dtype))((ends[-1],), (THREADS,), (struct, *constants))
