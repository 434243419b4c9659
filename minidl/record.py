"""Running an op on tensors: the forward half of autograd. The backward half is in :mod:`minidl.tensor`.

The inputs are converted to one backend and one dtype. The output tensor keeps the op if a gradient may be needed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import backends, changes, checks, op_errors
from .errors import BackendError, DtypeError, MinidlError, ShapeError
from .grad_mode import mode
from .op import DOUBLE, HALF, SINGLE, Op
from .options import host_order
from .tensor import Tensor

Array = Any


def record(op: Op, inputs: Sequence[Any]) -> Tensor:
    """Run ``op.forward`` on the inputs, see :mod:`minidl.op`; the output keeps the op if an input requires grad."""
    try:
        backend, dtype, weak = _common(op, inputs)
        operands = tuple([_operand(x, backend, dtype, weak) for x in inputs])
        op.backend, op.xp = backend, backend.xp
        recording = not mode.without_grad
        op.needs_grad = tuple([x._wants_grad and recording for x in operands])
        seen = arrays = [x.data for x in operands]
        if dtype is HALF:
            op.half, dtype, arrays = True, SINGLE, [x.astype(SINGLE) for x in arrays]
        data = op.forward(*arrays)
        if type(data) is not np.ndarray:  # the fast path: it nearly always is
            data = backend.asarray(data) if isinstance(data, np.generic) else op_errors.as_array(op, data)
    except MinidlError as error:
        if isinstance(error, BackendError):
            checks.require_data(inputs)
        error.where = error.where or op.name
        raise
    except ValueError as error:  # raised by the array module for shapes that it cannot broadcast
        shapes = " and ".join(str(x.shape) for x in operands)
        rule = "sizes must be equal or 1, counted from the last axis. Reshape or transpose one of them."
        reason = rule if "broadcast" in str(error) else str(error)
        raise ShapeError(f"failed for input shapes {shapes}: {reason}", op.name) from error
    except OverflowError as error:  # raised by the array module for a Python number
        raise DtypeError(f"{error}: bring the input to a wider dtype", op.name) from error
    except (TypeError, AttributeError) as error:
        if wrong := op_errors.wrong_call(op, inputs, error):
            raise wrong from None
        raise
    output = Tensor(data)
    op.check_dtype(output.data, dtype)
    if op.half and op.keeps_dtype:
        output.data = op.narrowed(output.data)
    if True in op.needs_grad:
        output._wants_grad, output.op = True, op
        op.inputs, op.seen, op.number = operands, seen, next(changes.numbers)
    return output


Op.record = staticmethod(record)


def _common(op: Op, inputs: Sequence[Any]) -> tuple[backends.Backend, Any, Any]:
    """The backend of the tensors, or of the arrays if there is no tensor; their float dtype, or None (see below); and
    the weak dtype of operands without their own, such as Python numbers.

    The weak dtype for float16 is float32, because only comparisons compute in float16.
    """
    arrays = [x.data for x in inputs if isinstance(x, Tensor)]
    if not arrays:
        arrays = [x for x in map(backends.native, inputs) if hasattr(x, "dtype")]
    kind, dtype = (type(arrays[0]), getattr(arrays[0], "dtype", None)) if arrays else (None, None)
    if dtype is SINGLE or dtype is DOUBLE:  # the fast path: nearly always all have the same
        for array in arrays:
            if type(array) is not kind or array.dtype is not dtype:
                break
        else:
            return backends.of(arrays[0]), dtype, dtype
    places = {backends.of(array) for array in arrays}
    dtypes = {host_order(array.dtype) for array in arrays if array.dtype.kind == "f"}
    if len(places) > 1:
        names = " and ".join(f"{backends.of(array).name} {array.shape}" for array in arrays)
        raise BackendError(f"the inputs live on different backends, {names}: bring them together with x.to(...)")
    if len(dtypes) > 1:
        names = " and ".join(f"{array.dtype} {array.shape}" for array in arrays)
        raise DtypeError(f"the inputs have different dtypes, {names}: convert one with x.astype(...)")
    backend = places.pop() if places else backends.default
    if not dtypes:
        return backend, *_promoted(op, inputs)
    dtype = dtypes.pop()
    return backend, dtype, SINGLE if dtype is HALF and "f" not in op.exact else dtype


def _promoted(op: Op, inputs: Sequence[Any]) -> tuple[Any, Any]:
    """The float dtype to which integer and boolean tensors are converted, and the weak dtype.

    The float dtype is float32, or the dtype of a float array among the inputs; None if all inputs are integers or
    booleans for which the op is exact. The weak dtype is then the dtype of the tensors, or None for a comparison, which
    does not convert its operands.
    """
    inputs = [x if isinstance(x, Tensor) else backends.native(x) for x in inputs]
    compares = "f" in op.exact
    # For type promotion, NumPy only uses whether a Python number is an integer.
    kinds = [
        x.dtype if hasattr(x, "dtype") else x if type(x) is int and not compares else backends.values_in(x).dtype
        for x in inputs
    ]
    whole = np.result_type(np.bool_, *kinds)
    if whole.kind in op.exact:
        return None, None if compares else whole
    if whole.kind == "f" and "i" in op.exact and all(_is_of_integers(kind) for kind in kinds):
        raise DtypeError(
            "int64 and uint64 have no common integer dtype, and float32 would round them: convert one with "
            "x.astype(np.int64)"
        )
    floats = (host_order(x.dtype) for x in inputs if hasattr(x, "dtype") and x.dtype.kind == "f" and x.ndim)
    dtype = next(floats, SINGLE)
    return dtype, SINGLE if dtype is HALF and not compares else dtype


def _is_of_integers(kind: Any) -> bool:
    return isinstance(kind, int) or kind.kind in "iub"


def _operand(x: Any, backend: backends.Backend, dtype: Any, weak: Any) -> Tensor:
    """``x`` as an input of an op whose float dtype is ``dtype`` (None: no floats).

    Python numbers are converted to ``weak``; so are integers and booleans if there are floats.
    """
    if isinstance(x, Tensor):
        if dtype is None or x.data.dtype == dtype:
            return x
        if not x.data.dtype.isnative:
            raise DtypeError(f"the data are {x.dtype.str}, in another byte order: md.tensor(...) converts them")
        return Tensor(x.data.astype(weak))
    x = backends.native(x)
    array: Array = x if isinstance(x, int | float) else backends.values_in(x)
    given = array.dtype if hasattr(x, "dtype") else None
    if given is None:  # a new array, which nothing else refers to
        return Tensor(backend.asarray(array, weak))
    if given.kind == "f" and x.ndim and dtype is not None and given != dtype:
        raise DtypeError(f"an array of {given} meets tensors of {dtype}: convert it with .astype(np.{dtype})")
    there = backend.asarray(array, None if dtype is None else weak)
    return Tensor(there if mode.without_grad else backends.unshared(there, array))
