"""The errors that minidl raises. Their messages state what was expected, what was passed, and what to write instead."""

import difflib
from collections.abc import Iterable
from typing import Any


class MinidlError(Exception):
    """Base class of minidl's errors.

    ``where`` is the op or layer that raised the error. An op sets its name; the innermost layer replaces it by its
    dotted path (see :meth:`minidl.nn.Module.__call__`).

    >>> error = MinidlError("expected 3 channels, got 1")
    >>> error.locate("features.2 (Conv2D)")
    >>> str(error)
    'features.2 (Conv2D): expected 3 channels, got 1'
    """

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where
        self.located = False

    def locate(self, where: str) -> None:
        """Set the layer in which this happened, unless an inner layer has already done so."""
        if not self.located:
            self.where, self.located = where, True

    @property
    def message(self) -> str:
        """The message without ``where``."""
        return super().__str__()

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ShapeError(MinidlError, ValueError):
    """Incompatible shapes, or sizes that leave no output.

    >>> import minidl as md
    >>> md.tensor([1.0, 2.0]) + md.tensor([1.0, 2.0, 3.0])
    Traceback (most recent call last):
    minidl.errors.ShapeError: Add: failed for input shapes (2,) and (3,): sizes must be ...
    """


class DtypeError(MinidlError, TypeError):
    """Data types that cannot be mixed, or are not supported.

    >>> import minidl as md
    >>> md.tensor(["a"])
    Traceback (most recent call last):
    minidl.errors.DtypeError: expected numbers or booleans, got <U1: a tensor holds nothing else, so convert it first
    """


class BoundsError(MinidlError, IndexError):
    """An index of an element or a sample that is out of bounds.

    >>> import minidl as md
    >>> md.tensor([1.0, 2.0])[9]
    Traceback (most recent call last):
    minidl.errors.BoundsError: GetItem: index 9 is out of bounds for axis 0 with size 2: the input has the shape (2,)
    """


class BackendError(MinidlError, RuntimeError):
    """A backend that cannot be used here, or arrays of different backends in one op.

    >>> import minidl as md
    >>> md.tensor([1.0]).to(3)
    Traceback (most recent call last):
    minidl.errors.BackendError: expected the name of a backend, such as 'numpy', got 3: astype() converts a dtype
    """


class GraphError(MinidlError, RuntimeError):
    """A backward pass that is not possible.

    >>> import minidl as md
    >>> md.tensor([1.0]).backward()
    Traceback (most recent call last):
    minidl.errors.GraphError: backward() found nothing to differentiate: no tensor ...
    """


class PluginError(MinidlError, LookupError):
    """An unknown plugin name, or a plugin that cannot be loaded.

    >>> import minidl as md
    >>> md.plugins.get("optimizer", "adm")
    Traceback (most recent call last):
    minidl.errors.PluginError: there is no optimizer 'adm'. Did you mean 'adam'? Known: ...
    """


class MissingNameError(MinidlError, AttributeError):
    """A name that a module or an object lacks. If PyTorch or Keras has it, the message states what to write instead.

    The message is built when it is read, because ``hasattr`` and ``getattr`` discard most of these errors.

    >>> import minidl as md
    >>> md.nn.Linear
    Traceback (most recent call last):
    minidl.errors.MissingNameError: minidl.nn has no 'Linear': PyTorch's nn.Linear(a, b) is nn.Dense(a, b) here
    """

    def __init__(self, owner: object, name: str, message: str = "") -> None:
        super().__init__(message)
        self.owner, self.name = owner, name
        self.obj = None  # from which Python would suggest another name

    @property
    def message(self) -> str:
        from .answers import missing

        return super().message or missing(self.owner, str(self.name))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (None, self.name, self.message), {"where": self.where, "located": self.located}


class MissingImportError(MinidlError, ImportError):
    """A :class:`MissingNameError` in ``from module import name``.

    >>> from minidl.nn import Linear
    Traceback (most recent call last):
    minidl.errors.MissingImportError: minidl.nn has no 'Linear': PyTorch's nn.Linear(a, b) is nn.Dense(a, b) here
    """


class MissingModuleError(MissingImportError, ModuleNotFoundError):
    """A :class:`MissingNameError` in ``import module.name``.

    >>> from minidl.layers import Dense
    Traceback (most recent call last):
    minidl.errors.MissingModuleError: minidl has no 'layers': Keras's keras.layers is md.nn here
    """

    def __init__(self, parent: Any, name: str) -> None:
        from .answers import missing

        super().__init__(missing(parent, name.rpartition(".")[2]))
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return MissingImportError, (self.message,)


class CallError(MinidlError, TypeError):
    """Arguments that a constructor or a method does not take.

    >>> import minidl as md
    >>> md.nn.MaxPooling2D(kernel_size=2)
    Traceback (most recent call last):
    minidl.errors.CallError: expected MaxPooling2D(size, ...), got kernel_size=2, no size: PyTorch's kernel_size=2 ...
    """


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number of things in a message; ``plural`` is the noun with an "s" unless it is given.

    >>> counted(1, "epoch"), counted(23708, "face"), counted(2, "batch", "batches")
    ('1 epoch', '23,708 faces', '2 batches')
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def brief(value: Any) -> str:
    """A value in a message: one line of at most 60 characters; an array or a tensor with axes by dtype and shape.

    >>> import numpy as np
    >>> brief(0.5), brief(np.ones((2, 3))), len(brief(list(range(99))))
    ('0.5', 'ndarray of float64 and shape (2, 3)', 60)
    """
    if hasattr(value, "dtype") and not isinstance(value, type) and getattr(value, "ndim", False):
        return f"{type(value).__name__} of {value.dtype} and shape {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def suggestion(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """``" Did you mean 'adam'?"`` for the known name closest to ``name``, or "".

    ``cutoff`` is the minimum similarity from 0 to 1 (:func:`difflib.get_close_matches`), ignoring case and leading
    dashes. String values of other frameworks, such as "cuda", are looked up in the table of equivalents.

    >>> suggestion("adm", ["sgd", "adam"]), suggestion("cuda", ["numpy", "cupy"])
    (" Did you mean 'adam'?", " Did you mean 'cupy'?")
    """
    from .answers import renamed

    alike = {_compared(one): one for one in known}
    close = difflib.get_close_matches(renamed(_compared(str(name))), alike, n=1, cutoff=cutoff)
    return f" Did you mean '{alike[close[0]]}'?" if close else ""


def _compared(name: str) -> str:
    return name.lower().lstrip("-")
