"""The matrix product."""

from math import prod
from typing import Any

from ..errors import ShapeError, counted
from ..op import Op
from ..plugins import register

__all__ = ["MatMul"]

Array = Any


@register("op", "matmul")
class MatMul(Op):
    """y = a b, by NumPy's rules: 1-D operands are vectors, leading axes are batch axes

    For matrices, da = dy b^T and db = a^T dy.

    Raises :class:`ShapeError` if the last axis of a does not match the rows of b.

    >>> MatMul.apply([[1.0, 2.0]], [[3.0], [4.0]])
    tensor([[11.]])
    """

    def forward(self, a: Array, b: Array) -> Array:
        if a.ndim == 0 or b.ndim == 0:
            raise ShapeError(
                f"a matrix product needs at least one axis on each side, got {a.shape} and {b.shape}: use *"
            )
        rows = b.shape[0 if b.ndim == 1 else -2]
        if a.shape[-1] != rows:
            fits = b.ndim == 2 and a.shape[-1] == b.shape[1]
            raise ShapeError(
                f"the last axis of {a.shape} has {counted(a.shape[-1], 'element')} and must match the "
                f"{counted(rows, 'row')} of {b.shape}: "
                f"{'use b.T' if fits else 'reshape or transpose one of them'}"
            )
        self.save(a, b)
        return self.backend.matmul(a, b)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        a, b = self.saved
        rows = a if a.ndim > 1 else a[None, :]
        columns = b if b.ndim > 1 else b[:, None]
        dy = dy[..., None] if b.ndim == 1 else dy
        dy = dy[..., None, :] if a.ndim == 1 else dy
        da = db = None
        if self.needs_grad[0]:
            da = self.backend.matmul(dy, columns.swapaxes(-1, -2))
            da = da[..., 0, :] if a.ndim == 1 else da
        if self.needs_grad[1]:
            db = self.backend.matmul(rows.swapaxes(-1, -2), dy)
            db = db[..., 0] if b.ndim == 1 else db
        return da, db

    def flops(self, output: tuple[int, ...]) -> int:
        inner = int(self.inputs[0].shape[-1]) if self.inputs else 0
        return 2 * prod(output) * inner
