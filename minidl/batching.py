"""Collating samples into a batch. The result does not depend on which sample comes first."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backends
from .errors import DtypeError, MinidlError, ShapeError, brief
from .nested import parts_alone, rebuilt
from .options import in_host_order, require_room


def collate(samples: list[Any]) -> Any:
    """Collate samples of one structure into a batch of that structure, stacking arrays and NumPy scalars of one dtype.

    Python numbers become float32 if one of them is a float, else int64. Strings become an array of strings.
    Dictionaries with the same keys have the same structure; the batch has the order of the first sample.

    Raises ShapeError for samples that differ in shape or structure, and DtypeError for samples that differ in dtype,
    are neither numeric nor strings, or are Python numbers out of the range of float32 or int64.

    >>> collate([{"x": 1}, {"x": 2.5}])
    {'x': array([1. , 2.5], dtype=float32)}
    """
    if not isinstance(samples, list | tuple) or not samples:
        raise MinidlError(f"expected a list of at least one sample, got {brief(samples)}")
    inside = [parts_alone(sample) for sample in samples]
    _require_one("structures", dict(map(_structure, samples, inside)))
    if inside[0] is None:
        return _stacked(samples)
    return rebuilt(samples[0], {key: collate([some[key] for some in inside if some is not None]) for key in inside[0]})


def _structure(sample: Any, inside: dict[Any, Any] | None) -> tuple[Any, str]:
    """A key that is equal for samples of one structure, and its description."""
    if inside is None:
        return None, "no structure"
    names = ", ".join(sorted(map(repr, inside)))
    return (type(sample), frozenset(inside)), f"{type(sample).__name__} of {names or 'nothing'}"


def _stacked(samples: list[Any]) -> NDArray[Any]:
    """Samples that are leaves as one array."""
    numbers = [sample for sample in samples if _is_of_python(sample)]
    of_python = _numbers_of_python(numbers)
    if len(numbers) == len(samples):
        return of_python
    arrays = [np.asarray(backends.native(sample)) for sample in samples]
    for array, sample in zip(arrays, samples, strict=True):
        require_values(array, sample)
    _require_one("shapes", {array.shape: str(array.shape) for array in arrays})
    others = [array for array, sample in zip(arrays, samples, strict=True) if not _is_of_python(sample)]
    _require_one("dtypes", dict(map(_dtype, [*others, of_python] if numbers else others)))
    stacked: NDArray[Any] = in_host_order(np.stack(arrays))
    return stacked.astype(of_python.dtype) if numbers else stacked


def _require_one(what: str, found: dict[Any, str]) -> None:
    """Raise an error that lists the kinds of samples if there are several."""
    if len(found) > 1:
        kind = DtypeError if what == "dtypes" else ShapeError
        raise kind(
            f"samples of different {what} cannot form a batch: {', '.join(sorted(found.values()))}. "
            f"Bring them to one {what[:-1]} in the data set."
        )


def require_values(array: NDArray[Any], source: Any) -> None:
    """Raise :class:`DtypeError` unless an array made from ``source`` has a dtype that a batch can have.

    >>> require_values(np.array(None), None)
    Traceback (most recent call last):
    minidl.errors.DtypeError: expected samples of numbers or strings, got NoneType: a batch holds nothing else, so ...
    """
    if array.dtype.kind not in "fiubUSMm" or isinstance(source, Mapping):  # NumPy makes an array of a UserDict's keys
        given = f"an array of {array.dtype}" if hasattr(source, "dtype") else type(source).__name__
        raise DtypeError(
            f"expected samples of numbers or strings, got {given}: a batch holds nothing else, so leave it out, or "
            "convert it to a number or a string, such as None to np.nan"
        )


def _dtype(array: NDArray[Any]) -> tuple[Any, str]:
    """A key that is equal for arrays of one dtype (strings of any length count as one), and its description."""
    return array.dtype.kind if array.dtype.kind in "US" else array.dtype.newbyteorder("="), str(array.dtype)


def _is_of_python(sample: Any) -> bool:
    """Whether a sample is a Python number without a dtype: NumPy's float64 is a subclass of float."""
    return isinstance(sample, int | float) and not isinstance(sample, bool | np.generic)


def _numbers_of_python(numbers: list[Any]) -> NDArray[Any]:
    """Python numbers as float32 if one of them is a float, else as int64."""
    dtype = np.float64 if any(isinstance(number, float) for number in numbers) else np.int64
    try:
        host = np.array(numbers, dtype)
    except OverflowError as error:
        raise DtypeError(f"one of the numbers {brief(numbers)} is too large for {dtype.__name__}") from error
    if dtype is np.int64:
        return host
    require_room(host, np.dtype(np.float32))
    return host.astype(np.float32)
