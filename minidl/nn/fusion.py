"""Fusion of the layers of a Sequential.

Convolution, ReLU and max pooling in a row become one op, which the convolution algorithm computes. The result is
the same. They are not fused if

- a layer is of a subclass or has a replaced ``forward``, which may compute something else;
- an op has a replaced ``backward`` (guided backpropagation replaces ReLU's);
- a layer has hooks: its output would never exist;
- sizes, dtypes or backends do not match: the layer itself raises the best error.
"""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..backends import choice
from ..errors import ShapeError
from ..kernels.window import pooling_window
from ..ops.conv import conv_spec
from ..shortcuts import Methods
from ..tensor import Tensor
from . import functional
from .layers import Conv2D, MaxPooling2D, ReLU
from .module import Module

PATTERN = (Conv2D, ReLU, MaxPooling2D)
_OF_LAYERS = (Methods(Conv2D, "forward"), Methods(ReLU, "forward", "function"), Methods(MaxPooling2D, "forward"))
_BELOW = (
    Methods(functional, "conv2d", "max_pool2d"),
    Methods(ops, "Conv2D", "ReLU", "MaxPool2D"),
    *(Methods(op, "forward", "backward") for op in (ops.Conv2D, ops.ReLU, ops.MaxPool2D)),
)
"""What the layers call when they are not fused."""


def run(modules: Sequence[Module], x: Any) -> Any:
    """Apply the modules in order, fused where possible.

    >>> import numpy as np
    >>> layers = [Conv2D(1, 2, 3), ReLU(), MaxPooling2D(2)]
    >>> run(layers, Tensor(np.ones((1, 6, 6, 1), np.float32))).shape
    (1, 2, 2, 2)
    """
    position = 0
    while position < len(modules):
        group = modules[position : position + len(PATTERN)]
        y = _fused(group, x) if _may_fuse(group) else None
        x = group[0](x) if y is None else y
        position += 1 if y is None else len(group)
    return x


def _may_fuse(group: Sequence[Module]) -> bool:
    """Whether these are the three layers, and nothing needs the values between them."""
    return (
        type(group[0]) is PATTERN[0]  # first, because it rejects most groups
        and tuple(map(type, group)) == PATTERN
        and choice.current().fusion
        and not any(module.has_hooks for module in group)
        and all(map(Methods.belong_to, _OF_LAYERS, group))
        and all(map(Methods.are_unchanged, _BELOW))
    )


def _fused(group: Sequence[Any], x: Any) -> Tensor | None:
    """The output of the group in one pass, or None if that is not possible."""
    conv, _, pool = group
    if not isinstance(x, Tensor) or conv.b is None or x.dtype != conv.w.dtype or x.backend is not conv.w.backend:
        return None
    try:
        spec = conv_spec(x.data, conv.w.data, conv.b.data, conv.stride, conv.padding)
        window = pooling_window(spec.window.OH, spec.window.OW, pool.size, pool.stride, pool.padding)
    except ShapeError:
        return None
    algorithm = choice.choose(conv.algorithm, spec, x.backend)
    return ops.Conv2DReLUMaxPool2D.apply(x, conv.w, conv.b, algorithm=algorithm, spec=spec, pool=window)
