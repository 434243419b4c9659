"""What an op is: a forward and a backward pass over arrays. Everything that is differentiated is made of ops.

An op is written for arrays; it never sees a Tensor. Its gradients may have the broadcast shape of the output: what
broadcasting did is undone here, once for all ops.

>>> import numpy as np, minidl as md
>>> class Cube(Op):
...     def forward(self, x):
...         self.save(x)
...         return x * x * x
...     def backward(self, dy):
...         (x,) = self.saved
...         return (3 * x * x * dy,)
>>> x = md.tensor([1.0, 2.0], requires_grad=True)
>>> Cube.apply(x).sum().backward()
>>> x.grad
array([ 3., 12.], dtype=float32)
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import backends, changes, nested
from .errors import DtypeError, GraphError, ShapeError

if TYPE_CHECKING:
    import weakref

    from .backends import Backend
    from .tensor import Tensor

Array = Any

HALF, SINGLE, DOUBLE = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)


class Op:
    """One step of a computation and a node of the graph: it remembers its inputs and what backward needs.

    A subclass defines :meth:`forward` and :meth:`backward`, and ``__init__`` if it takes options. Inside them
    ``self.xp`` is the array module (NumPy or one like it), ``self.backend`` the kernels, and ``self.needs_grad`` says
    for each input whether its gradient is wanted.

    >>> import minidl as md
    >>> class Square(Op):
    ...     def forward(self, x):
    ...         self.save(x)
    ...         return x * x
    ...     def backward(self, dy):
    ...         (x,) = self.saved
    ...         return (2 * x * dy,)
    >>> x = md.tensor([3.0], requires_grad=True)
    >>> Square.apply(x).sum().backward()
    >>> x.grad
    array([6.], dtype=float32)
    """

    record: "ClassVar[Callable[[Op, Sequence[Any]], Tensor]]"
    """Runs an op on tensors. Tensors are made of ops, not ops of tensors: so record.py puts its function here."""

    backend: "Backend"
    xp: Any
    inputs: "tuple[Tensor, ...] | None" = None
    seen: Sequence[Array] = ()
    """The arrays that the inputs had in the forward pass: they may have others since."""
    needs_grad: tuple[bool, ...] = ()
    number: int = 0
    output: "weakref.ref[Tensor] | None" = None
    _saved: tuple[Array, ...] = ()

    def forward(self, *arrays: Array) -> Array:
        """The output array; must not write to its inputs. Calls :meth:`save` for what backward needs."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x) in it")

    def backward(self, dy: Array) -> Any:
        """The gradients of the loss with respect to the inputs, as a tuple.

        ``dy`` is the cotangent, the gradient of the loss with respect to the output. It and the saved arrays
        must not be written to. Each gradient is a new array, ``dy`` itself or a view of it, or None where there is
        none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward: define backward(self, dy) in it")

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> "Tensor":
        """Run the op on tensors (arrays and numbers count as constants); ``options`` go to ``__init__``."""
        return cls.record(cls(**options), inputs)

    def __call__(self, *inputs: Any) -> "Tensor":
        """Run this instance, which is then one node of the graph.

        Raises :class:`GraphError` if it is one already, as it would forget what it saved for that node.
        """
        if self.inputs is not None:
            raise GraphError(
                f"this instance is part of a graph already, of which the backward pass was not done: use "
                f"{self.name}.apply(...), which makes a new one for each call",
                self.name,
            )
        self.half = False
        return type(self).record(self, inputs)

    def save(self, *arrays: Array) -> None:
        """Keep arrays for the backward pass."""
        self._saved = arrays

    def own(self, values: Any, dtype: Any = None) -> Array:
        """An option that :meth:`backward` needs, such as labels, as an array that nobody else changes until then."""
        values = backends.native(values)
        array = self.backend.asarray(values, dtype)
        return backends.unshared(array, values) if True in self.needs_grad else array

    @property
    def saved(self) -> tuple[Array, ...]:
        """What forward saved."""
        return self._saved

    @property
    def name(self) -> str:
        """The name in error messages and pictures of the graph."""
        return type(self).__name__

    exact: str = ""
    """The kinds of numbers without a fraction that :meth:`forward` computes with exactly: signed integers "i",
    unsigned ones "u", booleans "b". Others become float32 first, so that nothing wraps around."""
    half = False
    """Whether inputs and output are float16: the arrays inside are float32, so that sums keep what they can."""

    keeps_dtype: ClassVar[bool] = True
    """Whether float inputs must give an output of the same dtype: only a conversion says no."""

    def check_dtype(self, array: Array, expected: Any) -> None:
        """Refuse what is no array of numbers, and one that silently became another float dtype, as NumPy promotes."""
        if array.dtype.kind == "O":
            raise DtypeError("forward gave no array: end it with `return y`", self.name)
        if expected is not None and array.dtype != expected and array.dtype.kind == "f" and self.keeps_dtype:
            raise DtypeError(
                f"forward gave {array.dtype} for inputs of {expected}: keep the dtype of the inputs", self.name
            )

    def flops(self, output: tuple[int, ...]) -> int:
        """Floating-point operations of the forward pass that made ``output`` (a shape): one for each element."""
        count = 1
        for size in output:
            count *= size
        return count

    def gradients(self, dy: Array) -> tuple[Array | None, ...]:
        """What :meth:`backward` returns, each gradient brought to the shape of its input; None for an input that
        wanted none in the forward pass, for which an op may give anything."""
        inputs = self._require_inputs()
        gradients = self.backward(dy.astype(SINGLE) if self.half else dy)
        if not isinstance(gradients, tuple) or len(gradients) != len(inputs):
            given = f"{len(gradients)} gradients" if isinstance(gradients, tuple) else type(gradients).__name__
            hint = "end it with `return (dx,)`" if len(inputs) == 1 else "one for each input, None where there is none"
            raise GraphError(f"backward must return a tuple of {len(inputs)} gradients, got {given}: {hint}", self.name)
        try:
            each = zip(gradients, self.seen, self.needs_grad, strict=True)
            gradients = tuple(
                [
                    None if dx is None or not needed else dx if dx.shape == x.shape else unbroadcast(dx, x.shape)
                    for dx, x, needed in each
                ]
            )
        except ShapeError as error:
            error.where = self.name
            raise
        return tuple([self.narrowed(dx) for dx in gradients]) if self.half else gradients

    def narrowed(self, array: Array | None) -> Array | None:
        """What was computed in float32 for float16, rounded to it."""
        return array.astype(HALF) if array is not None and array.dtype == SINGLE else array

    def release(self) -> None:
        """Forget inputs and saved arrays: a graph is used once, and memory goes back as early as possible."""
        self.inputs, self.seen, self._saved = None, (), ()

    def _require_inputs(self) -> "tuple[Tensor, ...]":
        if self.inputs is None:
            raise GraphError(
                "backward() went through this part of the graph before, and it was freed then: compute the loss "
                "again, or add several losses up and call backward() once",
                self.name,
            )
        if changes.latest > self.number:
            self._require_unchanged(self.inputs)
        return self.inputs

    def _require_unchanged(self, inputs: "tuple[Tensor, ...]") -> None:
        for x, array in zip(inputs, self.seen, strict=True):
            if changes.is_newer(array, self.number):
                what = x.name or f"an input of shape {array.shape}"
                raise GraphError(
                    f"{what} was changed, by optimizer.step() perhaps, after this "
                    "was computed from it: call backward() before step(), or compute the loss again",
                    self.name,
                )
        for array in nested.leaves(self._saved):
            if backends.is_array(array) and changes.is_newer(array, self.number):
                raise GraphError(
                    f"its output of shape {array.shape}, or what else it saved, was changed after this was computed, "
                    "and backward() needs it as it was: compute from y.clone(), or change that",
                    self.name,
                )


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an input of ``shape`` was repeated by broadcasting.

    >>> import numpy as np
    >>> unbroadcast(np.ones((2, 3)), (3,)), unbroadcast(np.ones((2, 3)), (2, 1))
    (array([2., 2., 2.]), array([[3.],
           [3.]]))
    """
    added: int = gradient.ndim - len(shape)
    repeated = [
        added + axis for axis, size in enumerate(shape) if added >= 0 and size == 1 != gradient.shape[added + axis]
    ]
    if added < 0 or any(size not in (1, gradient.shape[added + axis]) for axis, size in enumerate(shape)):
        raise ShapeError(
            f"backward gave a gradient of shape {gradient.shape} for an input of shape {shape}: they must be equal, or "
            "the input's shape broadcast"
        )
    return backends.of(gradient).sum(gradient, (*range(added), *repeated)).reshape(shape)
