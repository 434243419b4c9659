"""The linear map of a dense layer as one op: a matrix product plus a bias."""

from math import prod
from typing import Any

from ..errors import ShapeError
from ..op import Op
from ..plugins import register

__all__ = ["Linear"]

Array = Any


@register("op", "linear")
class Linear(Op):
    """y = x w + b for x (..., in), w (in, out) and b (out,)

    dx = dy w^T, dw = x^T dy and db = sum of dy; dw and db sum over all samples.

    Raises :class:`ShapeError` for incompatible shapes.

    >>> Linear.apply([[1.0, 2.0]], [[10.0], [1.0]], [0.5])
    tensor([[12.5]])
    """

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        _require_fit(x.shape, w.shape, None if b is None else b.shape)
        self.save(x, w)
        y = self.backend.matmul(x, w)
        if b is not None:
            y += b
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, w = self.saved
        needs_x, needs_w, *needs_b = self.needs_grad
        samples, dy_of_samples = (x, dy) if x.ndim == 2 else (x.reshape(-1, w.shape[0]), dy.reshape(-1, w.shape[1]))
        dx = self.backend.matmul(dy, w.T) if needs_x else None
        dw = self.backend.matmul(samples.T, dy_of_samples) if needs_w else None
        return dx, dw, *(dy if need else None for need in needs_b)  # Op.gradients sums db to the shape of b

    def flops(self, output: tuple[int, ...]) -> int:
        if self.inputs is None:
            return super().flops(output)
        x, _, *b = self.inputs
        return prod(output) * (2 * x.shape[-1] + len(b))


def _require_fit(x: tuple[int, ...], w: tuple[int, ...], b: tuple[int, ...] | None) -> None:
    if len(w) != 2:
        raise ShapeError(f"expected weights (in, out), got {w}")
    if x[-1:] != w[:1]:
        hint = ": PyTorch's are (out, in), so use w.T" if x[-1:] == w[1:] else ""
        raise ShapeError(f"expected weights (in={x[-1] if x else 'features'}, out) for input {x}, got {w}{hint}")
    if b is not None and b != w[1:]:
        raise ShapeError(f"expected a bias of shape {w[1:]}, one value per output, got {b}")
