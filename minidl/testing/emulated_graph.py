"""CUDA graphs without a GPU: the streams and graphs of ``cupy.cuda``, for :mod:`.emulated`.

Capturing computes nothing, as on a GPU: until the graph is launched, memory that a captured function allocated is
poisoned, and memory that it wrote to is unchanged. A launch computes everything, from the current contents of the same
memory.

>>> from minidl.backends.cuda_graph import CudaGraph
>>> from minidl.testing.emulated import EmulatedBackend
>>> device = EmulatedBackend()
>>> x, graph = device.asarray(np.ones(2)), CudaGraph(device)
>>> y = graph.capture(lambda: x + 1)
>>> x *= 5
>>> graph.replay(); device.to_numpy(y)
array([6., 6.])
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

POISON = 0xFF
"""Floats that consist of such bytes are NaN."""


class CUDARuntimeError(RuntimeError):
    """The error that CuPy raises for a call that CUDA rejects."""


class Stream:
    """Like ``cupy.cuda.Stream``: a queue of work, current inside ``with``, that can be captured."""

    def __init__(self, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking
        self.graph: Graph | None = None

    def __enter__(self) -> "Stream":
        self._before, _thread.stream = _thread.stream, self
        return self

    def __exit__(self, *error: object) -> None:
        _thread.stream = self._before

    def begin_capture(self) -> None:
        """Start to capture all work on this stream."""
        if not self.non_blocking:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: not on the default stream, or one that blocks")
        self.graph = Graph()

    def end_capture(self) -> "Graph":
        """End the capture and return its graph."""
        graph, self.graph = self.graph, None
        if graph is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is not capturing")
        graph.undo()
        return graph

    def is_capturing(self) -> bool:
        """Whether the stream is capturing."""
        return self.graph is not None

    def synchronize(self) -> None:
        """Does nothing, because all work is done at once; an error during a capture."""
        if self.graph is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: synchronize")


def get_current_stream() -> Stream:
    """The stream of the innermost ``with``, or the default one."""
    return _thread.stream or Stream()


class _Thread(threading.local):
    stream: Stream | None = None


_thread = _Thread()


class Graph:
    """Like ``cupy.cuda.Graph``: a sequence of pieces of work."""

    def __init__(self) -> None:
        self._work: list[Callable[[], object]] = []
        self._made: list[NDArray[Any]] = []
        self._before: dict[tuple[int, int], tuple[NDArray[Any], NDArray[Any]]] = {}

    def touches(self, arrays: Iterable[NDArray[Any]]) -> None:
        """Called before work that may write to these arrays: saves the contents of those that existed before."""
        for array in arrays:
            if array.flags.writeable and not any(np.may_share_memory(array, made) for made in self._made):
                self._before.setdefault((array.ctypes.data, array.nbytes), (array, array.copy()))

    def add(self, work: Callable[[], object], made: NDArray[Any] | None = None) -> None:
        """Add a piece of work, which has run once, and the memory that it allocated."""
        self._work.append(work)
        if made is not None:
            self._made.append(made)

    def undo(self) -> None:
        """Restore memory as if nothing had been computed."""
        for array, before in self._before.values():
            array[...] = before
        for array in self._made:
            poison(array)

    def launch(self) -> None:
        """Run the captured work."""
        if capturing() is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a launch")
        for work in self._work:
            work()


def run(function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Call a NumPy function on the memory of device arrays; capture the call if the current stream is capturing."""
    graph = capturing()
    if graph is None:
        return function(*args, **options)
    _refuse(function, args)
    inputs = [*_arrays(args), *_arrays(tuple(options.values()))]
    graph.touches(inputs)
    result = function(*args, **options)
    made = np.asarray(result)
    if result is None or any(np.may_share_memory(made, array) for array in inputs):
        graph.add(lambda: function(*args, **options))  # in place, or a view
        return result
    graph.add(lambda: np.copyto(made, function(*args, **options)), made)
    return made


CUBLAS = [np.matmul, np.dot, np.tensordot, np.ndarray.dot, np.ndarray.__matmul__, np.ndarray.__rmatmul__]
MOST_CONCATENATED = 8
"""To concatenate more small arrays than this, CuPy copies their addresses to the device."""


def _refuse(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Raise the errors that CuPy raises during a capture."""
    if function in CUBLAS:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    if function in (np.stack, np.concatenate) and len(args[0]) > MOST_CONCATENATED:
        raise RuntimeError("the current stream is capturing, so H2D transfers are disallowed")


def capturing() -> Graph | None:
    """The graph that the current stream is capturing, or None."""
    return get_current_stream().graph


def poison(array: NDArray[Any]) -> None:
    """Fill an array with bytes that make floats NaN."""
    array.reshape(-1).view(np.uint8)[...] = POISON


def _arrays(values: tuple[Any, ...]) -> Iterator[NDArray[Any]]:
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, tuple | list):
            yield from _arrays(tuple(value))


class MemoryPool:
    """Like ``cupy.cuda.MemoryPool``; NumPy arrays have their own memory anyway."""

    def malloc(self, size: int) -> Any:
        """Never called."""
        raise NotImplementedError


@contextlib.contextmanager
def using_allocator(_allocator: Callable[[int], Any]) -> Iterator[None]:
    """Like ``cupy.cuda.using_allocator``."""
    yield
