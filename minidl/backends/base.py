"""What a backend is: an array module, a way in and out of it, and kernels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from ..kernels.reference import ReferenceKernels

if TYPE_CHECKING:
    from ..kernels.conv import ConvSpec


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
    array_type: type

    def convolutions(self, spec: "ConvSpec") -> Sequence[str]:
        """The convolution algorithms that "auto" tries for these sizes, best first; the last can do anything."""
        return ("direct",)

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        """``value`` as an array of this backend, itself if it is one of the right dtype."""
        return self.xp.asarray(value, dtype)

    def to_numpy(self, array: Any) -> NDArray[Any]:
        """An array of this backend as a NumPy array; waits until it is computed."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait for everything asked for so far: before reading a clock, for example."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
