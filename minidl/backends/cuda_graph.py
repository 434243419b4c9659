"""CUDA graphs: work that was captured once is replayed as a whole, for the price of one launch.

A kernel takes a processor about ten microseconds to launch, which for small batches is longer than it runs. Capturing
work computes nothing; each replay then computes it, from the contents of the same memory at that time, into the same
memory. So a captured function must not read results, nor copy new values from the host.

Gray, "Getting Started with CUDA Graphs" (NVIDIA, 2019); CUDA C++ Programming Guide, "CUDA Graphs", stream capture.
"""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import BackendError
from .base import DeviceBackend

Result = TypeVar("Result")


class CaptureError(BackendError):
    """Work that cannot be part of a :class:`CudaGraph`."""


class CudaGraph:
    """The work of one function as a CUDA graph.

    Call :meth:`run` first, then :meth:`capture`, then :meth:`replay` as often as wanted. What the function allocates
    while it is captured lies in a memory pool of the graph's own, which holds nothing else. :mod:`minidl.capture`
    captures training steps; see :mod:`minidl.testing.emulated_graph` for an example without a GPU.
    """

    def __init__(self, backend: DeviceBackend) -> None:
        self.backend = backend
        self.obstacle: str | None = None
        """Why what was run cannot be captured."""
        self._cuda = backend.xp.cuda
        self._stream = self._cuda.Stream(non_blocking=True)  # the default stream cannot be captured
        self._pool = self._cuda.MemoryPool()
        self._graph: Any = None

    def run(self, work: Callable[[], Result]) -> Result:
        """What ``work`` returns, computed by kernels that a CUDA graph may contain, which are compiled if need be."""
        with self.backend.only_capturable(self):
            return work()

    def capture(self, work: Callable[[], Result]) -> Result:
        """What ``work`` returns, with arrays whose values are only there after a replay.

        Raises an error of CuPy's, or :class:`CaptureError`, where it does what a CUDA graph cannot contain.
        """
        self.backend.release_free_memory()
        with self.backend.only_capturable(self), self._cuda.using_allocator(self._malloc), self._stream:
            self._stream.begin_capture()
            try:
                result = work()
            except BaseException:
                with contextlib.suppress(Exception):  # it says again that something was forbidden
                    self._stream.end_capture()
                raise
            self._graph = self._stream.end_capture()
        return result

    def replay(self) -> None:
        """Do what was captured, after all earlier work on the current stream."""
        self._graph.launch()

    def refuse(self, what: str) -> None:
        """Called for copies from and to the host: a replay would use the old values."""
        self.obstacle = what
        if self._stream.is_capturing():
            raise CaptureError(what)

    def _malloc(self, size: int) -> Any:
        """Memory from the graph's pool that keeps the pool alive: an array of CuPy's does not, and a pool takes all its
        memory along."""
        memory = self._pool.malloc(size)
        owner, device = (memory, self._pool), self._cuda.Device().id
        return self._cuda.MemoryPointer(self._cuda.UnownedMemory(memory.ptr, size, owner, device), 0)
