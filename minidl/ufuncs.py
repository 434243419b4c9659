"""What NumPy is told when one of its elementwise functions (ufuncs) meets a tensor.

``array * tensor`` is the tensor's to compute. NumPy sees no difference between it and ``np.multiply(array, tensor)``,
so both are; for ``np.exp(tensor)``, or ``array += tensor``, there is an error that says what to write.

>>> import numpy as np, minidl as md
>>> np.ones(2, np.float32) * md.tensor([1.0, 2.0])
tensor([1., 2.])
>>> np.exp(md.tensor([1.0]))
Traceback (most recent call last):
minidl.errors.GraphError: np.exp does not know tensors and would leave the graph: ...
"""

from typing import Any, NoReturn

from .errors import GraphError

REFLECTED = {
    "add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__", "divide": "__rtruediv__", "power": "__rpow__",
    "matmul": "__rmatmul__", "floor_divide": "__rfloordiv__", "remainder": "__rmod__", "less": "__gt__",
    "less_equal": "__ge__", "greater": "__lt__", "greater_equal": "__le__", "equal": "__eq__", "not_equal": "__ne__",
    "bitwise_and": "__rand__", "bitwise_or": "__ror__", "bitwise_xor": "__rxor__",
}  # fmt: skip
"""What a tensor does at the right of NumPy's operators, by the names of their ufuncs."""


def refuse(function: Any) -> NoReturn:
    """Raise :class:`GraphError` for a function of NumPy that was given a tensor.

    >>> import numpy as np
    >>> refuse(np.mean)
    Traceback (most recent call last):
    minidl.errors.GraphError: np.mean does not know tensors and would leave the graph: ...
    """
    raise GraphError(
        f"np.{function.__name__} does not know tensors and would leave the graph: use a method of the tensor or a "
        "function of minidl.nn.functional, or x.numpy() where no gradient is wanted"
    )


def _computed(tensor: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    name = REFLECTED.get(ufunc.__name__)
    if name is None or method != "__call__" or options or isinstance(inputs[0], type(tensor)):
        refuse(ufunc)
    return getattr(tensor, name)(inputs[0])


class ArrayUfunc:
    """The attribute ``__array_ufunc__`` of tensors.

    NumPy asks the class for it, and calls what it gets. CuPy and others ask the tensor, and for None they leave
    ``array * tensor`` to it.

    >>> import minidl as md
    >>> md.tensor([1.0]).__array_ufunc__ is None, md.Tensor.__array_ufunc__ is None
    (True, False)
    """

    def __get__(self, tensor: Any, owner: Any) -> Any:
        return _computed if tensor is None else None
