"""From a ``.cu`` file to a launch: CuPy compiles each kernel for the card on first use, and caches it.

Kernels are C++ templates over the element type (``float``, or ``double`` for gradient checks) and, where it affects
speed, over sizes: a kernel has a name such as ``max_pool<float>``.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..window import Window

Array = Any

FOLDER = Path(__file__).parent
OPTIONS = ("-std=c++17",)
ALIGNMENT = 32
"""Bytes of four float64 values: a card reads them at once only from an aligned address."""
THREADS = 256
"""Threads in a block."""
TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
"""The dtypes that kernels support, and their names in C++."""
NULL = np.uintp(0)
"""A null pointer. CuPy 13 converts None to another address (CuPy issue 9046)."""
WINDOW = np.dtype([(field.name, np.int32) for field in dataclasses.fields(Window)])
"""The struct Window of window.cuh."""


@functools.cache
def source(file: str) -> str:
    """The text of a ``.cu`` file with its headers inserted.

    CuPy caches compiled kernels on disk by their source: with the headers in it, an edited header is compiled again.
    """
    text = (FOLDER / file).read_text()
    return re.sub(r'^#include "(\w+\.cuh)"$', lambda found: source(found[1]), text, flags=re.MULTILINE)


@functools.cache
def kernel(xp: Any, file: str, name: str) -> Any:
    """A kernel by its full name, such as ``max_pool<float>``, compiled by ``xp.RawModule``. Call it with a grid, a
    block and arguments; None is passed as a null pointer."""
    module = xp.RawModule(code=source(file), options=OPTIONS, name_expressions=(name,))
    function = module.get_function(name)

    def launch(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        function(grid, block, tuple(NULL if argument is None else argument for argument in arguments))

    return launch


def name_of(template: str, dtype: Any, *parameters: int | str) -> str:
    """The full name of a kernel; its parameters after the dtype are sizes, flags and type names.

    >>> name_of("convolve", np.float32, 3, True), name_of("mean_loss", np.float64, "L1Loss")
    ('convolve<float, 3, 1>', 'mean_loss<double, L1Loss>')
    """
    words = (parameter if isinstance(parameter, str) else str(int(parameter)) for parameter in parameters)
    return f"{template}<{', '.join((TYPES[np.dtype(dtype)], *words))}>"


def packed(xp: Any, array: Array) -> Array:
    """An array for a kernel that reads several elements at once: contiguous and aligned."""
    array = xp.ascontiguousarray(array)
    return array if array.data.ptr % ALIGNMENT == 0 else array.copy()


def by_value(window: Window) -> NDArray[Any]:
    """A window as a kernel argument: CuPy passes a NumPy scalar of a structured dtype by value."""
    return np.array(dataclasses.astuple(window), WINDOW)


class Struct(np.ndarray[Any, Any]):
    """A struct that contains pointers, as a kernel argument passed by value, with the arrays they point to.

    >>> layout = np.dtype([("arrays", np.uintp, 4), ("sizes", np.int64, 4)])
    >>> Struct.of(layout, arrays=[], sizes=[7, 8])["sizes"]
    Struct([[7, 8, 0, 0]])
    """

    pointers: Mapping[str, Sequence[Array]]

    @classmethod
    def of(cls, layout: np.dtype[Any], **fields: Sequence[Any]) -> Self:
        """A struct from the first values of its fields: device arrays for a field of np.uintp, else numbers. The
        remaining values are 0."""
        struct = np.zeros(1, layout).view(cls)
        struct.pointers = {field: values for field, values in fields.items() if layout[field].base == np.uintp}
        for field, values in fields.items():
            numbers = [array.data.ptr for array in values] if field in struct.pointers else values
            struct[field].reshape(-1)[: len(values)] = numbers
        return struct


def in_blocks(rows: int, columns: int) -> tuple[tuple[int, int], tuple[int]]:
    """The grid and the block of a kernel with one thread per element of a (rows, columns) array.

    >>> in_blocks(10, 300)
    ((10, 2), (256,))
    """
    return (rows, -(-columns // THREADS)), (THREADS,)
