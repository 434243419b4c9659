"""Answers to habits: what is said to those who write a name or an argument that PyTorch or Keras has, or a slip.

>>> from minidl import nn
>>> nn.Linear
Traceback (most recent call last):
minidl.errors.MissingNameError: minidl.nn has no 'Linear': PyTorch's nn.Linear(a, b) is nn.Dense(a, b) here
>>> nn.Dense(10)
Traceback (most recent call last):
minidl.errors.CallError: expected Dense(inputs, outputs, ...), got inputs=10, no outputs: Keras's layers.Dense(b) is ...

While all is right, next to nothing of this runs: Python asks ``__getattr__`` for a name only after it found none,
arguments are looked at only after a TypeError, and the table (:mod:`minidl.equivalents`) is imported only to say what
is wrong.
"""

import functools
import inspect
import itertools
import opcode
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import numpy as np

from .errors import CallError, MissingImportError, MissingNameError, suggestion

if TYPE_CHECKING:
    from .equivalents import Row

P = ParamSpec("P")
R = TypeVar("R")

# Where names are missed


def answer_in(*modules: str) -> None:
    """Let these modules answer for names that they lack, also in ``from module import name``.

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
    error = MissingNameError(module, name)
    half_imported = f"{module.__name__}.{name}" in sys.modules  # in a circle: Python finds it there after this error
    if _is_import(sys._getframe(1)) and not half_imported:
        raise MissingImportError(str(error))
    raise error


def _is_import(frame: Any) -> bool:
    """Whether a frame is in the middle of ``from module import name``, which hides what an AttributeError says."""
    return bool(frame.f_code.co_code[frame.f_lasti] == opcode.opmap["IMPORT_FROM"])


def missing_attribute(thing: Any, name: str) -> Any:
    """The ``__getattr__`` of a class that answers for attributes that its objects lack.

    >>> import minidl as md
    >>> md.tensor([1.0]).view(1)
    Traceback (most recent call last):
    minidl.errors.MissingNameError: Tensor has no 'view': PyTorch's x.view(3, 2) is x.reshape(3, 2) here
    """
    if hasattr(type(thing), name):  # a property that failed, and shall do so again: its own error is the one to see
        return object.__getattribute__(thing, name)
    raise MissingNameError(thing, name)


class Answering:
    """Base of what users make: answers for missing attributes, and for arguments that a constructor does not take.

    >>> from minidl import optim
    >>> optim.SGD([], learning_rate=0.1)
    Traceback (most recent call last):
    minidl.errors.CallError: expected SGD(...), got parameters=..., learning_rate=0.1: Keras's learning_rate=1e-3 is ...
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # a type checker shall go on finding wrong names
        __getattr__ = missing_attribute

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        init = vars(cls).get("__init__")
        if isinstance(init, FunctionType):
            cls.__init__ = explained(init)  # type: ignore[method-assign]


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """A function or method that says how it is called to those who call it wrongly; its own errors are left alone.

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
    """Let all functions that are defined in a module say how they are called, see :func:`explained`.

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
    """A number that PyTorch has as a method: the number of elements of a tensor.

    >>> Count(6) + 1
    7
    >>> Count(6)(0)
    Traceback (most recent call last):
    minidl.errors.CallError: size is a number: PyTorch's x.size(0) is x.shape[0] here
    """

    def __call__(self, *_axes: Any) -> NoReturn:
        raise CallError(f"size is a number: {_equivalent('size', ('x',))}")


# What is said


def missing(owner: Any, name: str) -> str:
    """The message for a name that a module or an object lacks.

    >>> from minidl import nn
    >>> missing(nn, "Desne"), missing(nn.ReLU(), "cuda")
    ("minidl.nn has no 'Desne'. Did you mean 'Dense'?", 'ReLU has no \\'cuda\\': PyTorch\\'s model.cuda() is ...)
    """
    a_module = isinstance(owner, ModuleType)
    lacks = f"{owner.__name__ if a_module else type(owner).__name__} has no '{name}'"
    if name.startswith("_"):
        return lacks
    answer = _missing_in_module(owner, name) if a_module else _missing_in_object(owner, name)
    if answer:
        return f"{lacks}: {answer}"
    try:
        names = _public(owner) if a_module else [known for known in dir(owner) if not known.startswith("_")]
    except Exception:  # a __dir__ of the owner's own: what is lacking is the error to see
        return lacks
    close = _slip(name, names)
    return f"{lacks}.{close}" if close else lacks


def _slip(name: str, known: Sequence[str]) -> str:
    """What was meant, if next to nothing is wrong with it: names as near as ELU and ReLU often mean different things.

    >>> _slip("Desne", ["Dense"]), _slip("randint", ["int", "randn_like"]), _slip("ne", ["new"])
    (" Did you mean 'Dense'?", '', '')
    """
    return suggestion(name, known, cutoff=0.75) if len(name) > 3 else ""


SPOKEN = {
    "minidl": ("torch", "keras", "tf"),
    "minidl.nn": ("nn", "layers", "losses", "keras"),
    "minidl.nn.functional": ("F", "losses", "torch", "tf"),
    "minidl.nn.init": ("init", "initializers"),
    "minidl.optim": ("optim", "optimizers", "lr_scheduler", "schedules"),
    "minidl.callbacks": ("callbacks",),
    "Tensor": ("x",),
    "Module": ("model", "self"),
    "Optimizer": ("optimizer",),
    "Trainer": ("trainer", "model"),
    "Dataset": ("dataset",),
}
"""What stands in the table before the names of a module, or of the objects of a class."""


def _missing_in_module(module: ModuleType, name: str) -> str:
    from .equivalents import left_out

    spoken = SPOKEN.get(module.__name__, ())
    return _equivalent(name, spoken) or _elsewhere(module, name) or _equivalent(name) or left_out(name)


def _missing_in_object(thing: Any, name: str) -> str:
    spoken = [first for cls in type(thing).__mro__ for first in SPOKEN.get(cls.__name__, ())]
    return _equivalent(name, spoken) or (_beside_tensors(name) if "x" in spoken else "")


def _equivalent(name: str, spoken: Sequence[str] | None = None) -> str:
    """The line of the table with code such as ``nn.Linear(a, b)``; only code that begins as it should, if given."""
    found = []
    for code, row in _lines():
        first, *names = _path(code)
        if name in names and (spoken is None or first in spoken):
            found.append((spoken.index(first) if spoken else 0, names[-1] != name, _sentence(code, row)))
    return min(found, key=lambda line: line[:2], default=(0, False, ""))[-1]


def _path(code: str) -> list[str]:
    """``["nn", "Linear"]`` for ``"nn.Linear(a, b)"``."""
    return re.match(r"[\w.]*", code)[0].split(".")  # type: ignore[index]


def _lines() -> "Iterator[tuple[str, Row]]":
    """All code of others in the table, with its row."""
    from .equivalents import sections

    for row in itertools.chain.from_iterable(sections().values()):
        yield row.pytorch, row
        yield row.keras, row


def _sentence(code: str, row: "Row") -> str:
    who = "PyTorch" if code == row.pytorch else "TensorFlow" if code.startswith("tf.") else "Keras"
    what = f"{row.minidl} here" if row.minidl else ""
    return f"{who}'s {code} is {', '.join(filter(None, [what, row.remark]))}"


def _elsewhere(module: ModuleType, name: str) -> str:
    """Where else a name is: in another module, a method of tensors, in a module to import, or in NumPy."""
    from . import callbacks, data, nn, optim
    from .tensor import Tensor

    places = {"md": sys.modules[__package__], "nn": nn, "F": nn.functional, "nn.init": nn.init, "optim": optim}
    for place, other in {**places, "md.data": data, "md.callbacks": callbacks}.items():
        if name in _public(other):
            return f"it is {place}.{name} here"
    if hasattr(Tensor, name):
        return f"it is x.{name} here, of a tensor"
    if hasattr(module, "__path__") and find_spec(f"{module.__name__}.{name}"):
        return f"write `import {module.__name__}.{name}` first"
    if hasattr(np, name):
        return f"it is NumPy's np.{name}; md.tensor(...) makes a tensor of an array"
    return ""


def _beside_tensors(name: str) -> str:
    """What a tensor has no method for: a function, or what an array can without a gradient.

    Of what changes the array, which is the tensor's own memory, only the functions of NumPy that make a new one.
    """
    from .equivalents import left_out
    from .nn import functional

    if name in _public(functional):
        return f"it is F.{name}(x) here"
    changing = ("byteswap", "fill", "itemset", "put", "resize", "setfield", "setflags")
    if name in changing or not hasattr(np.ndarray, name):
        return left_out(name)
    code = f"np.{name}(x.numpy(), ...)" if callable(getattr(np, name, None)) else f"x.numpy().{name}"
    return f"it is {code} here, without a gradient"


def _public(module: ModuleType) -> list[str]:
    """The names that a module has for its users."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [name for name in own if not name.startswith("_")]


def renamed(word: str) -> str:
    """What minidl calls something that stands in quotes, or the word itself.

    >>> renamed("cuda"), renamed("cuda:0"), renamed("numpy")
    ('cupy', 'cupy', 'numpy')
    """
    for code, row in _lines():
        new = re.search(r'"(\w+)"', row.minidl)
        if new and f'"{word}"' in code.lower():
            return new[1]
    return word


# Calls


def misfit(function: Any, arguments: Sequence[Any], options: Mapping[str, Any], refusal: TypeError) -> CallError | None:
    """The error for arguments that a function does not take, or None where it takes them.

    ``refusal`` is what the call ended in. A traceback that goes on in the function shows that it took its arguments,
    and another error is none of ours; neither is one of a function that cannot say how it is called.

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
        return CallError(_misfit(function, signature, arguments, options))
    except Exception:  # a builtin without a signature, a self that was forgotten: Python's own error says it
        return None


def _takes(signature: inspect.Signature, arguments: Sequence[Any], options: Mapping[str, Any]) -> bool:
    try:
        signature.bind(*arguments, **options)
    except TypeError:
        return False
    return True


def _misfit(function: Any, signature: inspect.Signature, arguments: Sequence[Any], options: Mapping[str, Any]) -> str:
    called, made = _called(function, arguments)
    parameters = [p.replace(annotation=p.empty, default=_shown(p.default)) for p in signature.parameters.values()]
    if parameters[:1] and parameters[0].name == "self":
        parameters, arguments = parameters[1:], arguments[1:]
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    known, by_place = [p.name for p in named], [p.name for p in named if p.kind is not p.KEYWORD_ONLY]
    given = [*by_place[: len(arguments)], *options]
    lacking = [p.name for p in named if p.default is p.empty and p.name not in given]
    got = [f"{name}={_short(value)}" for name, value in zip(by_place, arguments, strict=False)]
    got += [_short(value) for value in arguments[len(by_place) :]]
    got += [f"{name}={_short(value)}" for name, value in options.items()]
    got += [f"no {name}" for name in lacking]
    hints = [_argument(name, known) for name in options if name not in known]
    hints += [_call(made)] * bool(made and lacking)
    too_many = len(arguments) > len(by_place) and all(p.kind is not p.VAR_POSITIONAL for p in parameters)
    hints += ["what follows * is given by its name"] * (too_many and by_place != known)
    said = "; ".join(filter(None, hints))
    expected = signature.replace(parameters=parameters, return_annotation=signature.empty)
    return f"expected {called}{expected}, got {', '.join(got)}" + (f": {said}" if said else "")


def _called(function: Any, arguments: Sequence[Any]) -> tuple[str, str]:
    """What is called, a constructor by the name of its class; and the class whose constructor it is, or nothing."""
    if function.__name__ != "__init__":
        return function.__name__, ""
    cls = type(arguments[0])
    definers = [one for one in cls.__mro__ if "__init__" in vars(one)]
    definer = next(one for one in definers if getattr(vars(one)["__init__"], "__wrapped__", None) is function)
    return (cls if definer is definers[0] else definer).__name__, definer.__name__


class _Code(str):
    """A text that shows itself without quotes."""

    __repr__ = str.__str__


def _shown(default: Any) -> Any:
    """A default as it is written; arrays and whatever else has long or many lines as dots."""
    text = repr(default)
    return default if default is inspect.Parameter.empty or (len(text) <= 60 and "\n" not in text) else _Code("...")


def _short(value: Any) -> str:
    """Numbers and short texts as they are written, anything else as dots."""
    plain = all(
        isinstance(part, int | float | str | None) for part in (value if isinstance(value, tuple) else (value,))
    )
    return repr(value) if plain and len(repr(value)) <= 30 else "..."


def _argument(name: str, known: Sequence[str]) -> str:
    """What to write for an argument of that name, where these are known."""
    for code, row in _lines():
        new = re.match(r"(\w+)=", row.minidl)
        if code.startswith(f"{name}=") and (new is None or new[1] in known):
            return _sentence(code, row)
    close = _slip(name, known)
    return f"there is no {name}.{close}" if close else ""


def _call(name: str) -> str:
    """What to write for a call of another's class that has the name of one of ours."""
    for code, row in _lines():
        if _path(code)[-1] == _path(row.minidl)[-1] == name and not row.minidl.endswith(code):
            return _sentence(code, row)
    return ""
