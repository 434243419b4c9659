"""Which layers of a Sequential are computed in one pass.

Convolution, ReLU and max pooling in a row become one op, if the convolution's algorithm offers it. The result is that
of the three layers. Anything unusual is left alone: subclasses (they may do something else), layers with hooks (their
outputs would never exist), and sizes, dtypes or backends that do not fit (the layer itself says so best).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from .. import ops
from ..errors import ShapeError
from ..kernels.conv import choose_pooled, fusion_allowed
from ..kernels.window import pooling_window
from ..ops.conv import conv_spec
from ..tensor import Tensor
from .layers import Conv2D, MaxPooling2D, ReLU
from .module import Module

PATTERN = (Conv2D, ReLU, MaxPooling2D)


def run(modules: Sequence[Module], x: Any) -> Any:
    """The modules one after another, fused where possible."""
    for group in _groups(modules):
        y = _fused(group, x) if len(group) == len(PATTERN) else None
        if y is None:
            for module in group:
                x = module(x)
        else:
            x = y
    return x


def _groups(modules: Sequence[Module]) -> Iterator[Sequence[Module]]:
    """The modules in their order, those that match the pattern together, the others alone."""
    position, length = 0, len(PATTERN)
    while position < len(modules):
        group = modules[position : position + length]
        if fusion_allowed() and tuple(map(type, group)) == PATTERN and not any(module.has_hooks for module in group):
            yield group
        else:
            group = modules[position : position + 1]
            yield group
        position += len(group)


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
    algorithm = choose_pooled(conv.algorithm, spec, window, x.backend)
    if algorithm is None:
        return None
    return ops.Conv2DReLUMaxPool2D.apply(x, conv.w, conv.b, algorithm=algorithm, spec=spec, pool=window)
