"""The interface of a backend: an array module, conversion to and from its arrays, and kernels."""

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
    """An array type and the kernels that compute on it.

    A subclass defines ``name``, ``xp`` (a module with NumPy's functions), ``array_type`` and :meth:`to_numpy`, and
    overrides :meth:`asarray` if ``xp.asarray`` is not enough. Every op then runs on it, through the reference kernels
    that it inherits and may override. If it cannot be used, its ``__init__`` raises
    :class:`minidl.errors.BackendError` with the reason and the remedy.

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
        """The values that :meth:`set_precision` accepts."""
        return ("float32",)

    def set_precision(self, precision: str) -> None:
        """Set how float32 matrix products and convolutions are computed, for the whole process.

        "float32" rounds every operation to 24 bits. With "tf32", the tensor cores of a GPU round the operands to 11
        bits and accumulate in float32: much faster, with errors of about 1e-3. Arrays remain float32, and float64 is
        not affected. Raises :class:`minidl.errors.BackendError` if the backend does not support the precision.

        >>> from minidl import backends
        >>> backends.get("numpy").set_precision("tf32")
        Traceback (most recent call last):
        minidl.errors.BackendError: the backend 'numpy' computes in float32, not in 'tf32': ...
        """
        if precision not in self.precisions:
            raise BackendError(
                f"the backend '{self.name}' computes in {' or '.join(self.precisions)}, not in '{precision}': "
                "'tf32' needs the backend 'cupy' and a GPU of compute capability 8.0 or higher"
            )
        self.precision = precision

    def convolutions(self, spec: ConvSpec) -> Sequence[str]:
        """The convolution algorithms that "auto" tries for these sizes, best first; the last supports any size."""
        return ("direct",)

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        """``value`` as an array of this backend; ``value`` itself if it is one with the right dtype."""
        return self.xp.asarray(value, dtype)

    def to_numpy(self, array: Any) -> NDArray[Any]:
        """Convert an array of this backend to a NumPy array; waits until it is computed."""
        raise NotImplementedError

    def free_memory(self) -> int | None:
        """Bytes that are free for arrays; None if there is no need to check, as on the host."""
        return None

    def synchronize(self) -> None:
        """Wait for all work issued so far, for example before reading a clock."""


class CopyWatcher(Protocol):
    """An observer of copies inside :meth:`DeviceBackend.only_capturable`, such as a CUDA graph during capture.

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
    """The current thread's nesting depth of ``only_capturable``, and the watcher of its copies."""

    capturable = 0
    watcher: CopyWatcher | None = None


_mode = _Mode()


class DeviceBackend(Backend):
    """A backend whose arrays are in device memory, such as :class:`minidl.backends.cupy.CuPyBackend`.

    :meth:`upload` and :meth:`download` are the only copies from and to the host.

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
            number = np.asarray(value, dtype)[()]  # on the host, where a value that the dtype cannot hold is an error
            return self.xp.full((), number, dtype)  # a kernel, which takes scalars as arguments
        if _mode.watcher is not None:
            _mode.watcher.refuse(f"{_what(value)} is copied from the host to the device")
        return self.upload(value, dtype)

    def to_numpy(self, array: Any) -> NDArray[Any]:
        if _mode.watcher is not None:
            _mode.watcher.refuse(f"{_what(array)} is read on the host")
        return self.download(array)

    def release_free_memory(self) -> None:
        """Return unused memory to the driver."""

    def upload(self, host: Any, dtype: Any) -> Any:
        """A copy of a NumPy array, or of nested lists, on the device."""
        raise NotImplementedError

    def download(self, array: Any) -> NDArray[Any]:
        """A copy of an array on the host; waits until it is computed."""
        raise NotImplementedError

    @property
    def capturable(self) -> bool:
        """Whether this thread uses only kernels that can be captured in a CUDA graph: see :meth:`only_capturable`."""
        return _mode.capturable > 0

    @contextlib.contextmanager
    def only_capturable(self, watcher: CopyWatcher | None = None) -> Iterator[None]:
        """A context in which this thread's results are bitwise equal to those of a CUDA graph.

        ``watcher.refuse`` is called before each copy from or to the host.
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
