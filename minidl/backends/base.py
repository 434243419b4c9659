"""What a backend is: an array module, a way in and out of it, and kernels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from ..errors import BackendError
from ..kernels.reference import ReferenceKernels

if TYPE_CHECKING:
    from ..kernels.conv import ConvSpec


class Backend(ReferenceKernels):
    """Arrays of one kind and the kernels that compute on them.

    A backend of one's own gives ``name``, ``xp`` (a module with NumPy's functions), ``array_type``, :meth:`asarray`
    and :meth:`to_numpy`; every op then runs on it, through the reference kernels that it inherits and may replace.
    It raises :class:`minidl.errors.BackendError` in ``__init__`` where it cannot be used, saying why and what to do.
    """

    name: ClassVar[str]
    xp: Any
    array_type: type
    precision = "float32"
    """What :meth:`set_precision` chose."""

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

    def convolutions(self, spec: "ConvSpec") -> Sequence[str]:
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

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
