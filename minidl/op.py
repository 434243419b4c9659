"""The base class of ops, the differentiable building blocks: a forward and a backward pass over arrays.

An op computes on arrays, never on tensors. Its gradients may have the broadcast shape of the output: this module sums
them to the shapes of the inputs, for all ops.

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

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import backends, changes, checks, nested, op_errors
from .attributes import is_own
from .errors import DtypeError, GraphError, MinidlError, ShapeError
from .habits import Missing

if TYPE_CHECKING:
    from .backends import Backend
    from .tensor import Tensor

Array = Any

HALF, SINGLE, DOUBLE = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)


class Op:
    """One step of a computation and a node of the graph: it keeps its inputs and what backward needs.

    A subclass defines :meth:`forward` and :meth:`backward`, and ``__init__`` if it takes options. Inside them
    ``self.xp`` is the array module (NumPy or a compatible one), ``self.backend`` has the kernels, and
    ``self.needs_grad`` holds for each input whether its gradient is needed.

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
    """Runs an op on tensors. Set by record.py, because Tensor depends on Op and not the other way round."""

    backend: "Backend"
    xp: Any
    inputs: "tuple[Tensor, ...] | None" = None
    seen: Sequence[Array] = ()
    """The arrays of the inputs in the forward pass; ``x.data`` may have been replaced since."""
    needs_grad: tuple[bool, ...] = ()
    number: int = 0
    output: "weakref.ref[Tensor] | None" = None
    """The output if its gradient is retained."""
    _result: "weakref.ref[Tensor] | None" = None
    """The output of the last call of an instance."""
    _saved: tuple[Array, ...] = ()
    save_for_backward, saved_tensors, needs_input_grad, mark_dirty = Missing(), Missing(), Missing(), Missing()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        op_errors.require_methods(cls)
        if cls.__init__ is Op.__init__ and is_own(cls):
            cls.__init__ = object.__init__  # type: ignore[method-assign]  # the same for apply, and faster

    def __init__(self, *inputs: Any, **options: Any) -> None:
        if inputs or options:
            raise op_errors.no_options(type(self), inputs, options)

    def forward(self, *arrays: Array) -> Array:
        """Return the output array; must not write to its inputs. Calls :meth:`save` for what backward needs."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x) in it")

    def backward(self, dy: Array) -> Any:
        """Return the gradients of the loss with respect to the inputs, as a tuple.

        ``dy`` is the cotangent, the gradient of the loss with respect to the output. Must not write to it or to the
        saved arrays. Each gradient is a new array, ``dy`` itself or a view of it, or None if there is none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward: define backward(self, dy) in it")

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> "Tensor":
        """Run the op on tensors (arrays and numbers are constants); ``options`` are passed to ``__init__``."""
        try:
            op = cls(**options)
        except TypeError as error:
            if wrong := op_errors.wrong_options(cls, options, error):
                raise wrong from None
            raise
        return cls.record(op, inputs)

    def __call__(self, *inputs: Any) -> "Tensor":
        """Run this instance, which becomes a node of the graph.

        Raises :class:`GraphError` if it is a node already, because another run would overwrite what it saved.
        """
        if self.inputs is not None:
            raise GraphError(
                f"this instance is already part of a graph whose backward pass has not run: use "
                f"{self.name}.apply(...), which makes a new instance for each call",
                self.name,
            )
        earlier = None if self._result is None else self._result()
        if earlier is not None and earlier.op is self:
            earlier.op = object.__new__(type(self))  # a node that is freed, as this one was
        self.half, self.output = False, None
        result = type(self).record(self, inputs)
        self._result = weakref.ref(result)
        return result

    def save(self, *arrays: Array) -> None:
        """Keep arrays for the backward pass."""
        self._saved = arrays

    def own(self, values: Any, dtype: Any = None) -> Array:
        """An option that :meth:`backward` needs, such as labels, as an array that the caller cannot change."""
        values = backends.native(values)
        array = self.backend.asarray(values, dtype)
        return backends.unshared(array, values) if True in self.needs_grad else array

    @property
    def saved(self) -> tuple[Array, ...]:
        """The arrays that forward saved. Raises :class:`GraphError` if there are none."""
        if not self._saved:
            raise GraphError(
                "backward reads self.saved, and forward saved nothing: keep there what backward needs, self.save(x)",
                self.name,
            )
        return self._saved

    @property
    def name(self) -> str:
        """The name in error messages and graph plots."""
        return type(self).__name__

    exact: str = ""
    """The dtype kinds without a fraction for which :meth:`forward` is exact: "i" (signed integers), "u" (unsigned),
    "b" (booleans). Inputs of other kinds are converted to float32 first, to avoid overflow."""
    half = False
    """Whether inputs and output are float16. The op computes in float32, for precise sums."""

    keeps_dtype: ClassVar[bool] = True
    """Whether the output must have the dtype of float inputs: False only for conversions."""

    def check_dtype(self, array: Array, expected: Any) -> None:
        """Raise an error for an output that NumPy has promoted to another float dtype."""
        if expected is not None and array.dtype != expected and array.dtype.kind == "f" and self.keeps_dtype:
            raise DtypeError(
                f"forward returned {array.dtype} for {expected} inputs: keep the dtype of the inputs", self.name
            )

    def flops(self, output: tuple[int, ...]) -> int:
        """Floating-point operations of a forward pass with an output of this shape; by default one per element."""
        count = 1
        for size in output:
            count *= size
        return count

    def gradients(self, dy: Array) -> tuple[Array | None, ...]:
        """The gradients from :meth:`backward`, reduced to the shapes of the inputs.

        None for an input that needed none in the forward pass, whatever the op returned for it.
        """
        inputs = self._require_inputs()
        dy = checks.plain_like(self.seen[0], dy)
        gradients = self.backward(dy.astype(SINGLE) if self.half else dy)
        if not isinstance(gradients, tuple) or len(gradients) != len(inputs):
            given = f"length {len(gradients)}" if isinstance(gradients, tuple) else type(gradients).__name__
            hint = "end it with `return (dx,)`" if len(inputs) == 1 else "one for each input, or None"
            raise GraphError(f"backward must return a tuple of length {len(inputs)}, got {given}: {hint}", self.name)
        try:
            each = zip(gradients, self.seen, self.needs_grad, strict=True)
            gradients = tuple(
                [
                    None if dx is None or not needed else dx if dx.shape == x.shape else unbroadcast(dx, x.shape)
                    for dx, x, needed in each
                ]
            )
        except MinidlError as error:
            error.where = self.name
            raise
        except AttributeError as error:  # a number or a list has no shape
            raise op_errors.wrong_gradient(self, gradients) or error from None
        return tuple([self.narrowed(dx) for dx in gradients]) if self.half else gradients

    def narrowed(self, array: Array | None) -> Array | None:
        """A float32 result for float16 inputs, rounded to float16."""
        return array.astype(HALF) if array is not None and array.dtype == SINGLE else array

    def release(self) -> None:
        """Drop inputs and saved arrays: a graph is used once, and this frees memory as early as possible."""
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
                    f"its output of shape {array.shape}, or another array that it saved, was changed after this was "
                    "computed, and backward() needs the old values: compute from y.clone(), or change that",
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
            f"backward returned a gradient of shape {gradient.shape} for an input of shape {shape}: they must be "
            "equal, or the input's shape must broadcast to it"
        )
    return backends.of(gradient).sum(gradient, (*range(added), *repeated)).reshape(shape)
