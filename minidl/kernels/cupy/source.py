"""From a ``.cu`` file to a launch: CuPy compiles each kernel for the card when it is first used, and keeps it.

Kernels are C++ templates over the type of the numbers (``float`` or ``double``, which gradient checks use) and, where
speed depends on it, over sizes: what is launched is a name such as ``max_pool<float>``.
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
"""Bytes of four numbers of float64: a card reads them at once only from a multiple of them."""
THREADS = 256
"""Threads in a block."""
TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
"""The dtypes that there are kernels for, and their names in C++."""
NULL = np.uintp(0)
"""A null pointer. CuPy 13 makes another address of None (CuPy's issue 9046)."""
WINDOW = np.dtype([(field.name, np.int32) for field in dataclasses.fields(Window)])
"""The struct Window of window.cuh."""


@functools.cache
def source(file: str) -> str:
    """The text of a ``.cu`` file with its headers in place of their names.

    CuPy keeps compiled kernels on disk by their text: with the headers in it, an edited one is compiled again.
    """
    text = (FOLDER / file).read_text()
    return re.sub(r'^#include "(\w+\.cuh)"$', lambda found: source(found[1]), text, flags=re.MULTILINE)


@functools.cache
def kernel(xp: Any, file: str, name: str) -> Any:
    """A kernel by its full name, such as ``max_pool<float>``, compiled by ``xp.RawModule``: to be called with a grid, a
    block and arguments, of which None is a null pointer."""
    module = xp.RawModule(code=source(file), options=OPTIONS, name_expressions=(name,))
    function = module.get_function(name)

    def launch(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        function(grid, block, tuple(NULL if argument is None else argument for argument in arguments))

    return launch


def name_of(template: str, dtype: Any, *parameters: int | str) -> str:
    """The full name of a kernel; its parameters besides the dtype are sizes, switches and names of types.

    >>> name_of("convolve", np.float32, 3, True), name_of("mean_loss", np.float64, "L1Loss")
    ('convolve<float, 3, 1>', 'mean_loss<double, L1Loss>')
    """
    words = (parameter if isinstance(parameter, str) else str(int(parameter)) for parameter in parameters)
    return f"{template}<{', '.join((TYPES[np.dtype(dtype)], *words))}>"


def packed(xp: Any, array: Array) -> Array:
    """An array for a kernel that reads several numbers at once: contiguous, and not in the middle of four others."""
    array = xp.ascontiguousarray(array)
    return array if array.data.ptr % ALIGNMENT == 0 else array.copy()


def by_value(window: Window) -> NDArray[Any]:
    """A window as an argument of a kernel: CuPy passes a NumPy array of one element by value."""
    return np.array(dataclasses.astuple(window), WINDOW)


class Struct(np.ndarray[Any, Any]):
    """A struct with pointers in it, as an argument of a kernel by value, and the arrays that they lead to.

    >>> layout = np.dtype([("arrays", np.uintp, 4), ("sizes", np.int64, 4)])
    >>> Struct.of(layout, arrays=[], sizes=[7, 8])["sizes"]
    Struct([[7, 8, 0, 0]])
    """

    pointers: Mapping[str, Sequence[Array]]

    @classmethod
    def of(cls, layout: np.dtype[Any], **fields: Sequence[Any]) -> Self:
        """A struct from the first values of its fields: arrays of the device where these are of np.uintp, else numbers.
        The others are 0."""
        struct = np.zeros(1, layout).view(cls)
        struct.pointers = {field: values for field, values in fields.items() if layout[field].base == np.uintp}
        for field, values in fields.items():
            numbers = [array.data.ptr for array in values] if field in struct.pointers else values
            struct[field].reshape(-1)[: len(values)] = numbers
        return struct


def in_blocks(rows: int, columns: int) -> tuple[tuple[int, int], tuple[int]]:
    """The grid and the block of a kernel with a thread for each of ``columns`` numbers in each of ``rows``.

    >>> in_blocks(10, 300)
    ((10, 2), (256,))
    """
    return (rows, -(-columns // THREADS)), (THREADS,)
