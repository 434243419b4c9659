"""What a backend is: an array module, a way in and out of it, and kernels."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..kernels.conv import ConvSpec
from ..kernels.reference import ReferenceKernels


class Backend(ReferenceKernels):
    """Arrays of one kind and the kernels that compute on them.

    A backend of one's own gives ``name``, ``xp`` (a module with NumPy's functions), ``array_type``, :meth:`asarray`
    and :meth:`to_numpy`; every op then runs on it, through the reference kernels that it inherits and may replace.
    It raises :class:`minidl.errors.BackendError` in ``__init__`` where it cannot be used, saying why and what to do.

    >>> from minidl import backends
    >>> numpy = backends.get("numpy")
    >>> numpy.to_numpy(numpy.asarray([1, 2]))
    array([1, 2])
    """

    name: ClassVar[str]
    xp: Any
    array_type: type[Any]
    has_cuda_graphs: ClassVar[bool] = False
    """Whether work can be captured as a CUDA graph: see :mod:`minidl.capture`."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """What :meth:`set_precision` takes here."""
        return ("float32",)

    def set_precision(self, precision: str) -> None:
        """How matrix products and convolutions of float32 numbers are computed from now on, for the whole process.

        "float32" rounds every operation to 24 bits. "tf32" lets the tensor cores of a GPU round what is multiplied to
        11 bits first, and add up in float32: much faster, with errors of about 1e-3. Arrays are float32 either way,
        float64 is never touched. Raises :class:`minidl.errors.BackendError` where the backend has no such arithmetic.

        >>> from minidl import backends
        >>> backends.get("numpy").set_precision("tf32")
        Traceback (most recent call last):
        minidl.errors.BackendError: the backend 'numpy' computes in float32, not in 'tf32': ...
        """
        if precision not in self.precisions:
            raise BackendError(
                f"the backend '{self.name}' computes in {' or '.join(self.precisions)}, not in '{precision}': "
                "'tf32' needs the backend 'cupy' and a card with tensor cores for it, of compute capability 8.0 or more"
            )
        self.precision = precision

    def convolutions(self, spec: ConvSpec) -> Sequence[str]:
        """The convolution algorithms that "auto" tries for these sizes, best first; the last can do anything."""
        return ("direct",)

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        """``value`` as an array of this backend, itself if it is one of the right dtype."""
        return self.xp.asarray(value, dtype)

    def to_numpy(self, array: Any) -> NDArray[Any]:
        """An array of this backend as a NumPy array; waits until it is computed."""
        raise NotImplementedError

    def free_memory(self) -> int | None:
        """Bytes that are still free for arrays; None where nobody has to ask, as on the host."""
        return None

    def synchronize(self) -> None:
        """Wait for everything asked for so far: before reading a clock, for example."""


class CopyWatcher(Protocol):
    """What is told of copies inside :meth:`DeviceBackend.only_capturable`: a CUDA graph that is captured.

    >>> class Printer:
    ...     def refuse(self, what):
    ...         print(what)
    >>> from minidl.testing.strict import StrictBackend
    >>> device = StrictBackend()
    >>> with device.only_capturable(Printer()):
    ...     there = device.asarray(np.zeros(3))
    an array of shape (3,) is copied from the host to the device
    """

    def refuse(self, what: str) -> None:
        """Called before each copy; may raise an error."""


class _Mode(threading.local):
    """How many ``only_capturable`` the running thread is inside of, and what is told of its copies."""

    capturable = 0
    watcher: CopyWatcher | None = None


_mode = _Mode()


class DeviceBackend(Backend):
    """A backend whose arrays are in a memory of their own: :class:`minidl.backends.cupy.CuPyBackend`.

    :meth:`upload` and :meth:`download` are the one way into it from the host, and back.

    >>> from minidl.testing.strict import StrictBackend
    >>> device = StrictBackend()
    >>> there = device.asarray(np.zeros(3))
    >>> there is device.asarray(there), device.to_numpy(there)
    (True, array([0., 0., 0.]))
    """

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        if isinstance(value, self.array_type):
            return value if dtype is None or value.dtype == dtype else value.astype(dtype)
        if isinstance(value, int | float | np.generic):
            number = np.asarray(value, dtype)[()]  # on the host, where numbers that the dtype lacks are an error
            return self.xp.full((), number, dtype)  # by a kernel, to which numbers travel with the call
        if _mode.watcher is not None:
            _mode.watcher.refuse(f"{_what(value)} is copied from the host to the device")
        return self.upload(value, dtype)

    def to_numpy(self, array: Any) -> NDArray[Any]:
        if _mode.watcher is not None:
            _mode.watcher.refuse(f"{_what(array)} is read on the host")
        return self.download(array)

    def release_free_memory(self) -> None:
        """Give memory that no array uses back to the driver, so that others can have it."""

    def upload(self, host: Any, dtype: Any) -> Any:
        """A copy of a NumPy array, or of nested lists, on the device."""
        raise NotImplementedError

    def download(self, array: Any) -> NDArray[Any]:
        """A copy of an array on the host; waits until it is computed."""
        raise NotImplementedError

    @property
    def capturable(self) -> bool:
        """Whether this thread uses only kernels that may be part of a CUDA graph, see :meth:`only_capturable`."""
        return _mode.capturable > 0

    @contextlib.contextmanager
    def only_capturable(self, watcher: CopyWatcher | None = None) -> Iterator[None]:
        """In here, results of this thread are bit for bit those of a CUDA graph.

        ``watcher`` is told of copies from and to the host.
        """
        before, _mode.watcher = _mode.watcher, watcher or _mode.watcher
        _mode.capturable += 1
        try:
            yield
        finally:
            _mode.capturable -= 1
            _mode.watcher = before


def _what(value: Any) -> str:
    return f"an array of shape {value.shape}" if hasattr(value, "shape") else f"a {type(value).__name__}"
