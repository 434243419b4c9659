"""Tensor: an array that records how it was computed, and the backward pass over this record.

Every :class:`~minidl.op.Op` applied to a tensor with ``requires_grad`` is a node of a graph: the output tensor points
to the op, the op to its inputs. :meth:`Tensor.backward` traverses this graph from the loss to the leaves in reverse
topological order and applies the chain rule (reverse-mode differentiation: Griewank and Walther, "Evaluating
Derivatives", 2nd ed., 2008, chapter 3).
"""

import operator
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from . import backends, changes, checks
from .errors import BackendError, CallError, DtypeError, GraphError, ShapeError
from .grad_mode import no_grad
from .habits import Count, explained
from .op import SINGLE, Op
from .operators import Operators
from .options import dtype_of, flag, require_room
from .references import is_the_only_one

__all__ = ["Tensor", "no_grad", "tensor"]

Array = Any


class Tensor(Operators):
    """An array and its gradient, which :meth:`backward` sets when called on a result computed from it.

    >>> x = tensor([3.0], requires_grad=True)
    >>> y = x * x + 2 * x
    >>> y.backward()
    >>> x.grad
    array([8.], dtype=float32)
    """

    __slots__ = ("__weakref__", "_wants_grad", "data", "grad", "name", "op")

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        if type(data) is not np.ndarray:  # the fast path: it nearly always is
            data = checks.plain_array(data)
        self.data = data
        self.grad: Array | None = None
        self.op: Op | None = None
        self.name: str | None = None
        self._wants_grad = False
        if requires_grad is not False:
            self.requires_grad = requires_grad

    # Attributes and conversions

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return Count(self.data.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type, a NumPy dtype on every backend."""
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    @property
    def backend(self) -> backends.Backend:
        """The backend of the data."""
        try:
            return backends.of(self.data)
        except BackendError:
            checks.require_data([self])
            raise

    def numpy(self) -> NDArray[Any]:
        """The data as a NumPy array: it shares memory on the NumPy backend and is a copy on others."""
        return self.backend.to_numpy(self.data)

    def item(self) -> float:
        """The value of a tensor with one element, as a Python number."""
        if self.size != 1:
            raise ShapeError(f"item() needs a tensor with one element, got shape {self.shape}: sum() or index it first")
        value: float = self.numpy().item()
        return value

    __float__ = item

    def __round__(self, digits: int | None = None) -> float:
        return round(self.item(), digits)

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.shape or self.dtype.kind not in "iu":
            raise DtypeError(
                f"only an integer is an index, got a tensor of {self.dtype} and shape {self.shape}: use int(x)"
            )
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                f"a tensor of shape {self.shape} is neither true nor false: "
                "use x.numpy().all() or x.numpy().any(), also for a comparison; `x in ...` compares values, "
                "any(x is y for y in ...) finds the tensor itself"
            )
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise CallError("a 0-d tensor has no length and no rows: its value is x.item()")
        return len(self.data)

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), separator=", ", prefix="tensor(", threshold=100)
        notes = [f"dtype={self.dtype}"] * (self.dtype != np.float32) + ["requires_grad=True"] * bool(self.requires_grad)
        notes += [f"backend='{self.backend.name}'"] * (self.backend is not backends.default)
        return f"tensor({', '.join([values, *notes])})"

    # The graph

    @property
    def requires_grad(self) -> bool:
        """Whether :meth:`backward` computes its gradient; can be set on a leaf of floats."""
        return self._wants_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        wanted = flag("requires_grad", wanted)
        checks.require_able(self, wanted)
        self._wants_grad = wanted

    @explained
    def backward(self, grad: Any = None) -> None:
        """Accumulate the gradient of this tensor into ``x.grad`` of every leaf x with ``requires_grad``.

        A leaf that is frozen now, or was frozen in the forward pass, gets none.

        ``grad`` is the cotangent of this tensor (the seed, of the same shape); it defaults to 1 for a tensor with one
        element. The graph is freed. Raises :class:`GraphError` if there is nothing to differentiate, if the graph was
        freed before, or if the seed is missing.
        """
        if not self.requires_grad:
            raise GraphError(
                "backward() found nothing to differentiate: no tensor that this one was computed from has "
                "requires_grad=True, or it was computed inside no_grad()"
            )
        seed = self._seed(grad)
        if self.op is None:
            self.grad = _total(self, seed)
            return
        pending: dict[Op, Array] = {self.op: seed}
        arrived: dict[int, tuple[Tensor, Array]] = {}  # for leaves; set at the end, so that an error changes none
        for op in _newest_first(self.op):
            dy = pending.pop(op, None)
            if dy is not None:
                _keep_if_retained(op, dy)
                dxs = op.gradients(dy)
                for i, x in enumerate(op.inputs or ()):
                    if dxs[i] is None or not x._wants_grad:
                        continue
                    if x.op is not None:
                        pending[x.op] = pending[x.op] + dxs[i] if x.op in pending else dxs[i]
                    elif id(x) in arrived:
                        arrived[id(x)] = x, arrived[id(x)][1] + dxs[i]
                    else:
                        arrived[id(x)] = x, _owned(dxs, i)
            op.release()
        for x, total in [(x, _total(x, dx)) for x, dx in arrived.values()]:
            x.grad = total

    def _seed(self, grad: Any) -> Array:
        if grad is None:
            if self.size != 1:
                raise GraphError(
                    f"backward() without a gradient needs a tensor with one element, got shape {self.shape}: "
                    "take the mean() or sum() first, or pass the gradient"
                )
            return self.backend.xp.ones_like(self.data)
        given = grad.data if isinstance(grad, Tensor) else backends.native(grad)
        seed = self.backend.asarray(backends.numbers_in(given), self.dtype)
        if seed.shape != self.shape:
            raise ShapeError(f"backward() needs a gradient of shape {self.shape}, got {seed.shape}")
        return seed.copy() if self.op is None else seed

    def zero_grad(self) -> None:
        """Set the gradient to None. Without this, the next backward pass adds to it."""
        self.grad = None

    def retain_grad(self) -> None:
        """Let ``backward()`` set ``grad`` of this intermediate tensor, to inspect it."""
        if self.op is not None:
            self.op.output = weakref.ref(self)

    def detach(self) -> "Tensor":
        """A tensor with the same data, outside the graph."""
        return Tensor(self.data)

    def mark_changed(self) -> None:
        """Record that the data were changed in place.

        ``backward()`` then raises an error for results computed before from them, or from an array that shares their
        memory.
        """
        checks.require_data([self])
        if self.data.shape or not isinstance(self.data, np.generic):  # NumPy's scalars cannot be changed
            changes.mark(self.data)

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise GraphError(
            "a Tensor cannot be changed in place, because the backward pass may need its values: build a new one "
            "(F.where, F.concatenate), or change x.data[...] of a leaf before anything is computed from it"
        )


def _fixed(instead: str) -> Callable[[Tensor, Any], NoReturn]:
    """The setter of an attribute that follows from the data."""

    def refuse(_x: Tensor, _value: Any) -> NoReturn:
        raise CallError(f"the data of a tensor determine it, so it cannot be set: write {instead}")

    return refuse


for _name, _instead in {
    "shape": "x.reshape(3, 2)",
    "ndim": "x.reshape(3, 2)",
    "size": "x.reshape(3, 2)",
    "dtype": "x.astype(np.float64), or model.astype(np.float64)",
    "backend": 'x.to("cupy"), or model.to("cupy")',
}.items():
    setattr(Tensor, _name, vars(Tensor)[_name].setter(_fixed(_instead)))


@explained
def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, backend: str | None = None) -> Tensor:
    """A tensor with a copy of ``data``, which keeps its dtype; Python floats become float32.

    Raises :class:`DtypeError` for non-numeric data, for a value outside the range of an integer ``dtype``, and for
    integers with ``requires_grad``, and :class:`ShapeError` for nested lists of different lengths.

    >>> tensor([1, 2.5])
    tensor([1. , 2.5])
    """
    data = data.data if isinstance(data, Tensor) else backends.native(data)
    array, wanted = backends.numbers_in(data), None if dtype is None else dtype_of(dtype)
    if wanted is None and array.dtype == np.float64 and not hasattr(data, "dtype"):
        wanted = SINGLE
    elif wanted is not None and wanted.kind in "iu":
        require_room(backends.of(array).to_numpy(array), wanted)
    place = backends.get(backend) if backend else backends.of(array)
    return Tensor(place.asarray(array, wanted).copy(), requires_grad)


def _owned(dxs: Sequence[Array], i: int) -> Array:
    """A gradient for a leaf in memory that the op does not share: optimizers and clipping write into it."""
    try:
        is_own = dxs[i].base is None and is_the_only_one(dxs, i)
    except AttributeError:
        given = type(dxs[i]).__name__
        raise GraphError(f"a backward returned {given} as a gradient, expected an array: use self.xp") from None
    return dxs[i] if is_own else dxs[i].copy()


def _total(x: Tensor, dx: Array) -> Array:
    """The gradient of a leaf after ``dx`` is added."""
    if x.grad is not None:
        is_usual = type(x.grad) is type(x.data) is type(dx) and x.grad.dtype is dx.dtype
        if not is_usual or x.grad.shape != x.data.shape:  # it may have been set by hand
            checks.checked([x])
        dx = x.grad + dx
    if dx.dtype != x.data.dtype:
        raise DtypeError(f"a gradient of {dx.dtype} came for {x.name or 'a tensor'} of {x.dtype}: keep the dtype")
    # NumPy turns 0-d arrays into scalars, and a user's op may return a np.matrix.
    return dx if type(dx) is type(x.data) else x.backend.asarray(backends.native(dx))


def _newest_first(last: Op) -> list[Op]:
    """The ops that led to ``last``, newest first: reverse topological order, as an op is newer than its inputs'."""
    seen, unexplored = {last}, [last]
    while unexplored:
        for x in unexplored.pop()._require_inputs():
            if x.op is not None and x.op not in seen:
                seen.add(x.op)
                unexplored.append(x.op)
    return sorted(seen, key=operator.attrgetter("number"), reverse=True)


def _keep_if_retained(op: Op, dy: Array) -> None:
    output = op.output() if op.output is not None else None
    if output is not None:
        output.grad = output.backend.asarray(dy.copy())
