"""What a backend is: an array module, a way in and out of it, and kernels."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..kernels.reference import ReferenceKernels


class Backend(ReferenceKernels):
    """Arrays of one kind and the kernels that compute on them.

    A backend of one's own gives ``name``, ``xp`` (a module with NumPy's functions), ``array_type``, :meth:`asarray`
    and :meth:`to_numpy`; every op then runs on it, through the reference kernels that it inherits and may replace.
    It raises :class:`minidl.errors.BackendError` in ``__init__`` where it cannot be used, saying why and what to do.
    """

    name: ClassVar[str]
    xp: Any
    array_type: type
    convolutions: ClassVar[tuple[str, ...]] = ("im2col", "direct")
    """The convolution algorithms that "auto" tries, best first."""
    scratch_bytes: ClassVar[int] = 256 << 20
    """How much a kernel should unfold at a time (im2col): what fits into a fast memory of the machine."""

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        """``value`` as an array of this backend, itself if it is one of the right dtype."""
        return self.xp.asarray(value, dtype)

    def to_numpy(self, array: Any) -> NDArray[Any]:
        """An array of this backend as a NumPy array; waits until it is computed."""
        raise NotImplementedError

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """A new array whose values nobody has set."""
        return self.xp.empty(shape, dtype)

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Memory for use inside one kernel call; it never becomes a result."""
        return self.xp.empty(shape, dtype)

    def for_each(self, function: Any, items: Any) -> None:
        """Call ``function`` on every item, in any order and on as many threads as the backend likes."""
        for item in items:
            function(item)

    def synchronize(self) -> None:
        """Wait for everything asked for so far: before reading a clock, for example."""

    def is_float(self, array: Any) -> bool:
        """Whether an array holds floating-point numbers."""
        return bool(np.issubdtype(array.dtype, np.floating))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
