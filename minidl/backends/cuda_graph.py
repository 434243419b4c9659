"""CUDA graphs: captured work is replayed as a whole, at the cost of one launch.

Launching a kernel takes the CPU about ten microseconds, which for small batches is longer than the kernel runs.
Capturing computes nothing. Each replay computes the work, reading the current contents of the captured memory and
writing to the same memory. So a captured function must not read results, nor copy new values from the host.

Gray, "Getting Started with CUDA Graphs" (NVIDIA, 2019); CUDA C++ Programming Guide, "CUDA Graphs", stream capture.
"""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import BackendError
from .base import DeviceBackend

Result = TypeVar("Result")


class CaptureError(BackendError):
    """Work that cannot be captured in a :class:`CudaGraph`."""


class CudaGraph:
    """The work of one function as a CUDA graph.

    Call :meth:`run` first, then :meth:`capture`, then :meth:`replay` any number of times. Memory that the function
    allocates during capture comes from a private memory pool of the graph. :mod:`minidl.capture` captures training
    steps; see :mod:`minidl.testing.emulated_graph` for an example without a GPU.
    """

    def __init__(self, backend: DeviceBackend) -> None:
        self.backend = backend
        self.obstacle: str | None = None
        """The reason why the work that was run cannot be captured, or None."""
        self._cuda = backend.xp.cuda
        self._stream = self._cuda.Stream(non_blocking=True)  # the default stream cannot be captured
        self._pool = self._cuda.MemoryPool()
        self._graph: Any = None

    def run(self, work: Callable[[], Result]) -> Result:
        """Call ``work`` with capturable kernels only, which compiles them; return its result."""
        with self.backend.only_capturable(self):
            return work()

    def capture(self, work: Callable[[], Result]) -> Result:
        """Capture ``work`` and return its result, arrays whose values are valid only after a replay.

        Raises a CuPy error, or :class:`CaptureError`, if the work cannot be captured.
        """
        self.backend.release_free_memory()
        with self.backend.only_capturable(self), self._cuda.using_allocator(self._malloc), self._stream:
            self._stream.begin_capture()
            try:
                result = work()
            except BaseException:
                with contextlib.suppress(Exception):  # it reports the same error again
                    self._stream.end_capture()
                raise
            self._graph = self._stream.end_capture()
        return result

    def replay(self) -> None:
        """Launch the captured work, after all earlier work on the current stream."""
        self._graph.launch()

    def refuse(self, what: str) -> None:
        """Called for copies from and to the host, which a replay would not repeat."""
        self.obstacle = what
        if self._stream.is_capturing():
            raise CaptureError(what)

    def _malloc(self, size: int) -> Any:
        """Memory from the graph's pool that keeps the pool alive: a CuPy array does not, and a pool frees all its
        memory when it is deleted."""
        memory = self._pool.malloc(size)
        owner, device = (memory, self._pool), self._cuda.Device().id
        return self._cuda.MemoryPointer(self._cuda.UnownedMemory(memory.ptr, size, owner, device), 0)
