"""Errors for ops that are written or called as in PyTorch, and for results that are not arrays.

Correct ops hardly run any of this: it is called when a class is defined, when an op returned something else than a
NumPy array, or after an error.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from . import backends
from .attributes import is_own, without_init
from .errors import CallError, DtypeError, GraphError, MinidlError, MissingNameError, counted
from .habits import misfit

Array = Any


def require_methods(cls: type[Any]) -> None:
    """Raise :class:`CallError` for the static methods of ``torch.autograd.Function``, which get a context.

    >>> from minidl.op import Op
    >>> class Square(Op):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * x
    Traceback (most recent call last):
    minidl.errors.CallError: Square: forward is a static method, as in PyTorch: write def forward(self, x), without ...
    """
    for name in ("forward", "backward"):
        method = vars(cls).get(name)
        first, *others = inspect.signature(method).parameters if isinstance(method, staticmethod) else [""]
        if first in ("self", "ctx"):
            raise CallError(
                f"{name} is a static method, as in PyTorch: write def {name}({', '.join(['self', *others])}), without "
                "@staticmethod; self.save(...) keeps arrays for backward, where self.saved has them",
                cls.__name__,
            )


def wrong_options(cls: type[Any], options: Mapping[str, Any], refusal: TypeError) -> CallError | None:
    """The error for options of ``apply`` that the op does not take; None if ``refusal`` is the op's own error.

    >>> from minidl import ops
    >>> print(wrong_options(ops.Sum, {"dim": 1}, TypeError()))
    expected Sum(axis=None, keepdims=False), got dim=1: PyTorch's dim=1 is axis=1 here. Options are ...
    """
    if refusal.__traceback__ is not None and refusal.__traceback__.tb_next is not None:
        return None
    if cls.__init__ is object.__init__:
        return no_options(cls, (), options)
    error = misfit(cls.__init__, (object.__new__(cls),), options, refusal)
    if error is None:
        return None
    _, first, *_ = inspect.signature(cls.__init__).parameters
    end = "" if error.message.endswith("?") else "."
    return CallError(f"{error}{end} Options are keyword arguments of apply: write {cls.__name__}.apply(x, {first}=...)")


def no_options(cls: type[Any], inputs: Sequence[Any], options: Mapping[str, Any]) -> CallError:
    """The error for arguments to the constructor of an op without options.

    >>> from minidl import ops
    >>> print(no_options(ops.Exp, ["x"], {}))
    Exp(...) makes an op and takes no inputs: write Exp.apply(...)
    """
    if inputs:
        return CallError(f"{cls.__name__}(...) makes an op and takes no inputs: write {cls.__name__}.apply(...)")
    return CallError(f"the op {cls.__name__} has no options, got {', '.join(options)}: its __init__ would take them")


def wrong_call(op: Any, inputs: Sequence[Any], refusal: TypeError | AttributeError) -> MinidlError | None:
    """The error for another number of inputs than ``forward`` takes, and for a constructor that was not called; None if
    ``refusal`` is the op's own error.

    >>> from minidl import ops
    >>> print(wrong_call(ops.Exp(), [1.0, 2.0], TypeError()))
    Exp: expected forward(x), got x=1.0, 2.0
    """
    if isinstance(refusal, AttributeError):
        forgotten = refusal.obj is op and without_init(op, str(refusal.name))
        return MissingNameError(op, str(refusal.name)) if forgotten else None
    if error := misfit(op.forward, inputs, {}, refusal):
        error.where = op.name
    return error


def as_array(op: Any, output: Any) -> Array:
    """What ``forward`` returned as an array of the backend: arrays of other libraries are converted.

    Raises :class:`DtypeError` for anything else.

    >>> from minidl import ops
    >>> as_array(ops.Exp(), (1.0, 2.0))
    Traceback (most recent call last):
    minidl.errors.DtypeError: forward returned a tuple of 2 objects, and an op has one output, an array: write ...
    """
    if backends.is_array(output):
        return output
    if hasattr(output, "__array__") and not is_own(type(output)):
        return op.backend.asarray(backends.native(output))
    if output is None:
        raise DtypeError("forward returned no array: end it with `return y`")
    if isinstance(output, tuple):
        raise DtypeError(
            f"forward returned a tuple of {counted(len(output), 'object')}, and an op has one output, an array: write "
            "an op for each of them, or return self.xp.stack([...]) and index the result"
        )
    raise DtypeError(
        f"forward returned {type(output).__name__}, expected an array: compute it with self.xp, as in "
        "self.xp.asarray(y, x.dtype); functions of tensors are not for arrays"
    )


def wrong_gradient(op: Any, gradients: Sequence[Any]) -> GraphError | None:
    """The error for a gradient that is not an array, if there is one.

    >>> from minidl import ops
    >>> print(wrong_gradient(ops.Mul(), [None, 2.0]))
    Mul: backward returned float as the gradient of input 1, expected an array of its shape, or None
    """
    for number, dx in enumerate(gradients):
        if dx is not None and not hasattr(dx, "shape"):
            return GraphError(
                f"backward returned {type(dx).__name__} as the gradient of input {number}, expected an array of its "
                "shape, or None",
                op.name,
            )
    return None
