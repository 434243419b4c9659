"""The convolution of images (N, H, W, C) with weights (KH, KW, C, K). The algorithms are in minidl/kernels."""

from typing import Any

from ..backends.choice import choose
from ..errors import ShapeError, counted
from ..kernels.conv import ConvSpec
from ..kernels.window import Padding, Pair, frozen, missing_axes, sliding_window
from ..op import HALF, SINGLE, Op
from ..plugins import register

__all__ = ["Conv2D"]

Array = Any


@register("op", "conv2d")
class Conv2D(Op):
    """y[n, i, j, k] = b[k] + sum over kh, kw, c of x[n, i SH + kh, j SW + kw, c] w[kh, kw, c, k]

    dw correlates x with dy, dx scatters dy back over the windows, and db is the sum of dy.

    Raises :class:`ShapeError` for incompatible shapes.

    >>> import numpy as np
    >>> x, w = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 2))
    >>> Conv2D.apply(x, w, stride=1).shape
    (1, 2, 2, 2)
    """

    def __init__(self, stride: Pair = 1, padding: Padding = 0, algorithm: str = "auto") -> None:
        self.stride, self.padding, self.name_of_algorithm = stride, padding, algorithm

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        self.spec = conv_spec(x, w, b, self.stride, self.padding)
        self.algorithm = choose(self.name_of_algorithm, self.spec, self.backend)
        y, saved = self.algorithm.forward(x, w, b, self.spec)
        self.save(x, w, saved)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, w, saved = self.saved
        needs_x, needs_w, *needs_b = self.needs_grad
        dy = self.xp.ascontiguousarray(dy)
        dx = self.algorithm.input_gradient(dy, w, self.spec, saved) if needs_x else None
        dw = self.algorithm.weight_gradient(x, dy, self.spec, saved) if needs_w else None
        return dx, dw, *(self.backend.sum_to_channels(dy) if need else None for need in needs_b)

    def flops(self, output: tuple[int, ...]) -> int:
        return self.spec.flops


def conv_spec(x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding) -> ConvSpec:
    """The sizes of a convolution; raises :class:`ShapeError` for incompatible shapes.

    >>> import numpy as np
    >>> spec = conv_spec(np.ones((1, 4, 5, 1)), np.ones((3, 3, 1, 2)), None, stride=1, padding=0)
    >>> spec.output_shape, spec.flops
    ((1, 2, 3, 2), 228)
    """
    if w.ndim != 4 or w.size == 0:
        flat = f". A single channel or filter needs its own axis: w.reshape({', '.join(map(str, w.shape))}, 1)"
        hint = flat if w.ndim == 3 and w.size else ""
        raise ShapeError(f"expected weights (KH, KW, C_in, C_out) without empty axes, got {w.shape}{hint}")
    KH, KW, C, K = w.shape
    if x.ndim != 4 or x.shape[3] != C:
        raise ShapeError(f"expected input (N, H, W, C={C}), got {x.shape}. {_hint(x.shape, w.shape)}")
    if b is not None and b.shape != (K,):
        raise ShapeError(f"expected a bias of shape ({K},), one value per filter, got {b.shape}")
    window = sliding_window(x.shape[1], x.shape[2], (KH, KW), frozen(stride), frozen(padding))
    return ConvSpec(x.shape[0], C, K, window, SINGLE if x.dtype == HALF else x.dtype)  # float16 computes in float32


def _hint(shape: tuple[int, ...], weights: tuple[int, ...]) -> str:
    KH, KW, C, K = weights
    if len(shape) != 4:
        return missing_axes(shape, C)
    first = shape[1] == KW != shape[3]
    if (first or shape[3] == KW) and C == K and KH != KW:  # not square, and valid in PyTorch's layout
        channels_first = "the images are PyTorch's, too: x.transpose(0, 2, 3, 1)"
        swap = "If the weights are PyTorch's, (C_out, C_in, KH, KW), use w.transpose(2, 3, 1, 0)"
        return f"{swap}; {channels_first}." if first else f"{swap}."
    if shape[1] == C:
        return "minidl expects channels last (NHWC): use x.transpose(0, 2, 3, 1)."
    return f"The previous layer outputs {counted(shape[3], 'channel')}: use Conv2D({shape[3]}, {K}, ...)."
