"""Hints for users of PyTorch and Keras: errors for their names and arguments, or misspelt ones, state what to write.

>>> from minidl import nn
>>> nn.Linear
Traceback (most recent call last):
minidl.errors.MissingNameError: minidl.nn has no 'Linear': PyTorch's nn.Linear(a, b) is nn.Dense(a, b) here
>>> nn.Dense(10)
Traceback (most recent call last):
minidl.errors.CallError: expected Dense(inputs, outputs, ...), got inputs=10, no outputs: Keras's layers.Dense(b) is ...

Correct code hardly runs any of this: Python calls ``__getattr__`` only for names that it does not find, arguments are
checked only after a TypeError, and the table (:mod:`minidl.equivalents`) is imported only to build a message.
"""

import functools
import inspect
import opcode
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar

from . import answers
from .attributes import is_own, misspelt
from .errors import CallError, MissingImportError, MissingModuleError, MissingNameError

P = ParamSpec("P")
R = TypeVar("R")

# Missing names


def answer_in(*modules: str) -> None:
    """Make these modules raise helpful errors for missing names, including in ``from module import name``.

    >>> import minidl
    >>> hasattr(minidl, "cat"), getattr(minidl, "cat", "no cat")
    (False, 'no cat')
    >>> from minidl import cat
    Traceback (most recent call last):
    minidl.errors.MissingImportError: minidl has no 'cat': PyTorch's torch.cat([x, y]) is F.concatenate([x, y]) here
    """
    for name in modules:
        vars(sys.modules[name])["__getattr__"] = functools.partial(_missing_from, sys.modules[name])


def _missing_from(module: ModuleType, name: str) -> NoReturn:
    caller = sys._getframe(1)
    if name == "__path__" and caller.f_code.co_name == _IMPORTING:  # `import module.name`, but module is not a package
        raise MissingModuleError(module, caller.f_locals["name"])
    error = MissingNameError(module, name)
    half_imported = f"{module.__name__}.{name}" in sys.modules  # a circular import: Python then looks it up there
    if _is_import(caller) and not half_imported:
        raise MissingImportError(str(error))
    raise error


def _is_import(frame: Any) -> bool:
    """Whether a frame is executing ``from module import name``, which hides the message of an AttributeError."""
    return bool(frame.f_code.co_code[frame.f_lasti] == opcode.opmap["IMPORT_FROM"])


_IMPORTING = "_find_and_load_unlocked"
"""The function of :mod:`importlib` that performs an import; others only check whether a module exists."""


class Modules:
    """A module finder, the last on ``sys.meta_path``, that raises a helpful error for ``import minidl.layers``.

    >>> import minidl.layers
    Traceback (most recent call last):
    minidl.errors.MissingModuleError: minidl has no 'layers': Keras's keras.layers is md.nn here
    """

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        """Raise an error with a hint if a missing module of minidl is imported; return None otherwise."""
        parent = sys.modules.get(name.rpartition(".")[0])
        ours = parent is not None and name.partition(".")[0] == __package__
        if ours and sys._getframe(2).f_code.co_name == _IMPORTING:
            raise MissingModuleError(parent, name)


def answer_imports() -> None:
    """Install :class:`Modules`, for modules that minidl lacks."""
    if Modules not in sys.meta_path:
        sys.meta_path.append(Modules)


class Missing:
    """A descriptor for another framework's name of an attribute: reading it, also from the class, or setting it raises.

    >>> import minidl as md
    >>> md.data.Dataset.from_tensor_slices
    Traceback (most recent call last):
    minidl.errors.MissingNameError: Dataset has no 'from_tensor_slices': TensorFlow's tf.data.Dataset.from_tensor...
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, thing: Any, owner: type) -> NoReturn:
        raise MissingNameError(owner if thing is None else thing, self.name)

    def __set__(self, thing: Any, value: Any) -> NoReturn:
        raise MissingNameError(thing, self.name)


def missing_attribute(thing: Any, name: str) -> Any:
    """The ``__getattr__`` of a class whose instances raise helpful errors for missing attributes.

    >>> import minidl as md
    >>> md.tensor([1.0]).view(1)
    Traceback (most recent call last):
    minidl.errors.MissingNameError: Tensor has no 'view': PyTorch's x.view(3, 2) is x.reshape(3, 2) here
    """
    if hasattr(type(thing), name):  # a property that raised AttributeError: evaluate it again to show its own error
        return object.__getattribute__(thing, name)
    raise MissingNameError(thing, name)


class Answering:
    """Base of public classes: helpful errors for missing attributes and for wrong arguments of a constructor.

    >>> from minidl import optim
    >>> optim.SGD([], learning_rate=0.1)
    Traceback (most recent call last):
    minidl.errors.CallError: expected SGD(...), got parameters=..., learning_rate=0.1: Keras's learning_rate=1e-3 is ...
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # a type checker must still report missing names
        __getattr__ = missing_attribute

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        init = vars(cls).get("__init__")
        if isinstance(init, FunctionType):
            cls.__init__ = explained(init)  # type: ignore[method-assign]


class Guarded(Answering):
    """Base of classes with settable attributes: setting one that has no effect raises an error, if it is one of
    :attr:`in_vain` or differs by one letter from another attribute.

    This applies to minidl's own classes only; subclasses of users may have attributes of any name.

    >>> import minidl as md
    >>> layer = md.nn.Dense(2, 3)
    >>> layer.trainable = False
    Traceback (most recent call last):
    minidl.errors.MissingNameError: Dense has no 'trainable': Keras's model.trainable = False is for p in ...
    """

    __slots__ = ()

    in_vain: ClassVar[frozenset[str]] = frozenset()
    """Attributes that users of PyTorch or Keras set."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__ and not hasattr(type(self), name):
            if name in self.in_vain and is_own(type(self)):
                raise MissingNameError(self, name)
            if meant := misspelt(self, name):
                raise MissingNameError(
                    self, name, f"{type(self).__name__} has no '{name}' to set. Did you mean '{meant}'?"
                )
        super().__setattr__(name, value)


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function so that a wrong call raises an error with its signature; its own errors are unchanged.

    >>> @explained
    ... def draw(width, colour="black"): ...
    >>> draw(color="red")
    Traceback (most recent call last):
    minidl.errors.CallError: expected draw(width, colour='black'), got color='red', no width: there is no color. ...
    """

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return function(*arguments, **options)
        except TypeError as refusal:
            error = misfit(function, arguments, options, refusal)
            if error is None:
                raise
        raise error

    return call


def explain_calls_in(module: str) -> None:
    """Apply :func:`explained` to all public functions that a module defines.

    >>> from minidl.nn import functional
    >>> functional.relu(inplace=True)
    Traceback (most recent call last):
    minidl.errors.CallError: expected relu(x), got inplace=True, no x: PyTorch's inplace=True is not needed: ...
    """
    names = vars(sys.modules[module])
    for name, value in list(names.items()):
        if isinstance(value, FunctionType) and value.__module__ == module and not name.startswith("_"):
            names[name] = explained(value)


class Count(int):
    """An integer attribute that is a method in PyTorch: the number of elements of a tensor.

    >>> Count(6) + 1
    7
    >>> Count(6)(0)
    Traceback (most recent call last):
    minidl.errors.CallError: size is not a method: PyTorch's x.size(0) is x.shape[0] here
    """

    def __call__(self, *_axes: Any) -> NoReturn:
        raise CallError(f"size is not a method: {answers.equivalent('size', ('x',))}")


# Calls


def misfit(function: Any, arguments: Sequence[Any], options: Mapping[str, Any], refusal: TypeError) -> CallError | None:
    """The error for arguments that do not match a function's signature, or None if they do.

    ``refusal`` is the error of the call. If its traceback reaches into the function, the arguments were accepted and
    the error is the function's own. A function without a signature returns None, too.

    >>> from minidl import nn
    >>> print(misfit(nn.ReLU().forward, (1,), {"training": True}, TypeError()))
    expected forward(x), got x=1, training=True: Keras's training=False is model.eval() here
    """
    if refusal.__traceback__ is not None and refusal.__traceback__.tb_next is not None:
        return None
    try:
        signature = inspect.signature(function, follow_wrapped=False)
        if _takes(signature, arguments, options):
            return None
        return CallError(answers.wrong_call(function, signature, arguments, options))
    except Exception:  # a builtin without a signature, or a missing self: Python's own error is clear
        return None


def takes(function: Any, *arguments: Any) -> bool:
    """Whether a function accepts these arguments; True for a builtin without a signature.

    >>> takes(lambda step: 0.1, 0), takes(lambda: 0.1, 0), takes(max, 0)
    (True, False, True)
    """
    try:
        return _takes(inspect.signature(function, follow_wrapped=False), arguments, {})
    except (TypeError, ValueError):
        return True


def _takes(signature: inspect.Signature, arguments: Sequence[Any], options: Mapping[str, Any]) -> bool:
    try:
        signature.bind(*arguments, **options)
    except TypeError:
        return False
    return True
