"""CUDA graphs: work that was recorded once is launched again as a whole, for the price of one launch.

A kernel takes a processor about ten microseconds to ask for, which for small batches is longer than it runs. What is
recorded is not computed; each launch then computes it, from what lies in the same memory at that time and into the same
memory. So a recorded function must not read results, and not bring new numbers from the host.

Gray, "Getting Started with CUDA Graphs" (NVIDIA, 2019); CUDA C++ Programming Guide, "CUDA Graphs", stream capture.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import BackendError

if TYPE_CHECKING:
    from ...backends import DeviceBackend

Result = TypeVar("Result")


class CaptureError(BackendError):
    """Work that cannot be part of a CUDA graph."""


class Recorder:
    """Records the work of one function as a CUDA graph.

    :meth:`run` first, then :meth:`record`, then :meth:`launch` as often as wanted. What the function makes when it is
    recorded lies in a memory pool of the graph's own, where nothing else is ever put. :mod:`minidl.capture` records
    training steps so; see :mod:`minidl.testing.recorded` for an example without a GPU.
    """

    def __init__(self, backend: "DeviceBackend") -> None:
        self.backend = backend
        self.obstacle: str | None = None
        """Why what was run cannot be recorded."""
        self._cuda = backend.xp.cuda
        self._stream = self._cuda.Stream(non_blocking=True)  # the default stream cannot be recorded
        self._pool = self._cuda.MemoryPool()
        self._graph: Any = None

    def run(self, work: Callable[[], Result]) -> Result:
        """What ``work`` gives, computed with the kernels that a graph may have, which are compiled then."""
        with self.backend.only_recordable(self):
            return work()

    def record(self, work: Callable[[], Result]) -> Result:
        """What ``work`` gives, with arrays whose numbers are only there after a launch.

        Raises an error of CuPy's, or :class:`CaptureError`, where it does what a graph cannot hold.
        """
        self.backend.release_free_memory()
        with self.backend.only_recordable(self), self._cuda.using_allocator(self._malloc), self._stream:
            self._stream.begin_capture()
            try:
                result = work()
            except BaseException:
                with contextlib.suppress(Exception):  # it says again that something was forbidden
                    self._stream.end_capture()
                raise
            self._graph = self._stream.end_capture()
        return result

    def launch(self) -> None:
        """Do what was recorded, after everything asked for before on the current stream."""
        self._graph.launch()

    def refuse(self, what: str) -> None:
        """Called for copies from and to the host: a graph would go on with the numbers of today."""
        self.obstacle = what
        if self._stream.is_capturing():
            raise CaptureError(what)

    def _malloc(self, size: int) -> Any:
        """Memory from the graph's pool that keeps the pool alive: an array of CuPy's does not, and a pool takes all its
        memory along."""
        memory = self._pool.malloc(size)
        owner, device = (memory, self._pool), self._cuda.Device().id
        return self._cuda.MemoryPointer(self._cuda.UnownedMemory(memory.ptr, size, owner, device), 0)
