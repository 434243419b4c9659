"""NumPy's elementwise functions (ufuncs) with a tensor as an operand.

``array * tensor`` and ``np.multiply(array, tensor)`` return a tensor; NumPy does not distinguish between the two.
``np.exp(tensor)`` and ``array += tensor`` raise an error that states what to write.

>>> import numpy as np, minidl as md
>>> np.ones(2, np.float32) * md.tensor([1.0, 2.0])
tensor([1., 2.])
>>> np.exp(md.tensor([1.0]))
Traceback (most recent call last):
minidl.errors.GraphError: np.exp does not support tensors and would break the graph: ...
"""

from typing import Any, NoReturn

from .errors import GraphError

REFLECTED = {
    "add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__", "divide": "__rtruediv__", "power": "__rpow__",
    "matmul": "__rmatmul__", "floor_divide": "__rfloordiv__", "remainder": "__rmod__", "less": "__gt__",
    "less_equal": "__ge__", "greater": "__lt__", "greater_equal": "__le__", "equal": "__eq__", "not_equal": "__ne__",
    "bitwise_and": "__rand__", "bitwise_or": "__ror__", "bitwise_xor": "__rxor__",
}  # fmt: skip
"""Maps the names of NumPy's ufuncs to reflected methods of tensors."""


def refuse(function: Any) -> NoReturn:
    """Raise :class:`GraphError` for a NumPy function called with a tensor.

    >>> import numpy as np
    >>> refuse(np.mean)
    Traceback (most recent call last):
    minidl.errors.GraphError: np.mean does not support tensors and would break the graph: ...
    """
    raise GraphError(
        f"np.{function.__name__} does not support tensors and would break the graph: use a method of the tensor or a "
        "function of minidl.nn.functional, or x.numpy() if no gradient is needed"
    )


def _computed(tensor: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    name = REFLECTED.get(ufunc.__name__)
    if name is None or method != "__call__" or options or isinstance(inputs[0], type(tensor)):
        refuse(ufunc)
    return getattr(tensor, name)(inputs[0])


class ArrayUfunc:
    """The attribute ``__array_ufunc__`` of tensors.

    NumPy looks it up on the class and calls it. CuPy and other array modules look it up on the tensor; None makes them
    defer ``array * tensor`` to the tensor.

    >>> import minidl as md
    >>> md.tensor([1.0]).__array_ufunc__ is None, md.Tensor.__array_ufunc__ is None
    (True, False)
    """

    def __get__(self, tensor: Any, owner: Any) -> Any:
        return _computed if tensor is None else None
