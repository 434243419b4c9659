"""Messages for missing names and for wrong calls: see :mod:`minidl.habits`.

>>> from minidl import nn
>>> missing(nn, "Linear")
"minidl.nn has no 'Linear': PyTorch's nn.Linear(a, b) is nn.Dense(a, b) here"
"""

import functools
import inspect
import itertools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .attributes import is_own, without_init
from .errors import suggestion

if TYPE_CHECKING:
    from .equivalents import Row

# Names


def missing(owner: Any, name: str) -> str:
    """The message for a name that a module or an object lacks.

    >>> from minidl import nn
    >>> missing(nn, "Desne"), missing(nn.ReLU(), "cuda")
    ("minidl.nn has no 'Desne'. Did you mean 'Dense'?", 'ReLU has no \\'cuda\\': PyTorch\\'s model.cuda() is ...)
    """
    a_module = isinstance(owner, ModuleType)
    lacks = f"{owner.__name__ if isinstance(owner, ModuleType | type) else type(owner).__name__} has no '{name}'"
    if not a_module and (call := without_init(owner, name)):
        return f"{lacks}: {call}"
    if name.startswith("_"):
        return lacks
    answer = _missing_in_module(owner, name) if a_module else _missing_in_object(owner, name)
    if answer:
        return f"{lacks}: {answer}"
    try:
        names = _public(owner) if a_module else [known for known in dir(owner) if not known.startswith("_")]
    except Exception:  # a user-defined __dir__ may fail: still report the missing name
        return lacks
    close = _slip(name, names)
    return f"{lacks}.{close}" if close else lacks


def _slip(name: str, known: Sequence[str]) -> str:
    """A suggestion for a near match only: names as similar as ELU and ReLU often mean different things.

    >>> _slip("Desne", ["Dense"]), _slip("randint", ["int", "randn_like"]), _slip("ne", ["new"])
    (" Did you mean 'Dense'?", '', '')
    """
    return suggestion(name, known, cutoff=0.75 if len(name) > 3 else 1)


SPOKEN = {
    "minidl": ("torch", "keras", "tf"),
    "minidl.backends": ("torch", "tf"),
    "minidl.random": ("torch", "tf"),
    "minidl.train": ("trainer", "keras"),
    "minidl.nn": ("nn", "layers", "losses", "keras"),
    "minidl.nn.functional": ("F", "losses", "torch", "tf"),
    "minidl.nn.init": ("init", "initializers"),
    "minidl.optim": ("optim", "optimizers", "lr_scheduler", "schedules"),
    "minidl.callbacks": ("callbacks",),
    "Tensor": ("x",),
    "Op": ("ctx",),
    "Module": ("model", "self"),
    "_Weighted": ("layer",),
    "BatchNorm": ("norm",),
    "Optimizer": ("optimizer",),
    "Trainer": ("trainer", "model"),
    "History": ("history",),
    "Rates": ("scheduler",),
    "Dataset": ("dataset", "tf"),
    "DataLoader": ("loader",),
}
"""The prefixes, in the table, of the names of a module or of the instances of a class."""


def _missing_in_module(module: ModuleType, name: str) -> str:
    from .left_out import left_out

    spoken = SPOKEN.get(module.__name__, ())
    return equivalent(name, spoken) or _elsewhere(module, name) or equivalent(name) or left_out(name) or _in_numpy(name)


def _missing_in_object(thing: Any, name: str) -> str:
    cls = thing if isinstance(thing, type) else type(thing)
    spoken = [first for cls in cls.__mro__ for first in SPOKEN.get(cls.__name__, ())]
    found = equivalent(name, spoken) or (_beside_tensors(name) if "x" in spoken else "")
    if not found and name.endswith("_"):
        found = _not_in_place(thing, name.removesuffix("_"), spoken)
    return found or (_of_a_part(thing, name) if "trainer" in spoken else "")


def _not_in_place(thing: Any, name: str, spoken: Sequence[str]) -> str:
    """What to write for an in-place method of PyTorch, which ends in _."""
    instead = f"it is x.{name} here" if hasattr(type(thing), name) else equivalent(name, spoken)
    return f"{instead}, because tensors do not change in place" if instead else ""


def _of_a_part(trainer: Any, name: str) -> str:
    """Where an attribute is, if the trainer's optimizer or model has it."""
    owners = [part for part in ("model", "optimizer") if hasattr(vars(trainer).get(part), name)]
    return f"it is trainer.{owners[0]}.{name} here" if owners else ""


def equivalent(name: str, spoken: Sequence[str] | None = None) -> str:
    """The line of the table for code such as ``nn.Linear(a, b)``; with ``spoken``, only code with these prefixes.

    >>> equivalent("Linear"), equivalent("Linear", ("optim",))
    ("PyTorch's nn.Linear(a, b) is nn.Dense(a, b) here", '')
    """
    found = []
    for code, row in lines():
        first, *names = path(code)
        if name in names and code != row.minidl and (spoken is None or first in spoken):
            found.append((spoken.index(first) if spoken else 0, names[-1] != name, _sentence(code, row)))
    return min(found, key=lambda line: line[:2], default=(0, False, ""))[-1]


@functools.cache
def path(code: str) -> tuple[str, ...]:
    """The dotted names before the first bracket.

    >>> path("nn.Linear(a, b)")
    ('nn', 'Linear')
    """
    return tuple(re.match(r"[\w.]*", code)[0].split("."))  # type: ignore[index]


def lines() -> "Iterator[tuple[str, Row]]":
    """All code of other frameworks in the table, with its row.

    >>> [code for code, row in lines() if row.minidl == "md.callbacks"]
    ['', 'keras.callbacks']
    """
    from .equivalents import sections

    for row in itertools.chain.from_iterable(sections().values()):
        yield row.pytorch, row
        yield row.keras, row


def _sentence(code: str, row: "Row") -> str:
    who = "PyTorch" if code == row.pytorch else "TensorFlow" if code.startswith("tf.") else "Keras"
    what = f"{row.minidl} here" if row.minidl else ""
    return f"{who}'s {code} is {', '.join(filter(None, [what, row.remark]))}"


def _elsewhere(module: ModuleType, name: str) -> str:
    """Where else a name is: in another module, on tensors, or in a submodule that is not imported."""
    from . import callbacks, data, nn, optim
    from .tensor import Tensor

    places = {"md": sys.modules[__package__], "nn": nn, "F": nn.functional, "nn.init": nn.init, "optim": optim}
    for place, other in {**places, "md.data": data, "md.callbacks": callbacks}.items():
        if name in _public(other):
            return f"it is {place}.{name} here"
    if hasattr(Tensor, name):
        return f"it is x.{name} here, on a tensor"
    if hasattr(module, "__path__") and find_spec(f"{module.__name__}.{name}"):
        return f"write `import {module.__name__}.{name}` first"
    return ""


MAKERS = {
    "array",
    "asarray",
    "linspace",
    "logspace",
    "geomspace",
    "eye",
    "identity",
    "full",
    "empty",
    "meshgrid",
    "tri",
}
"""Functions of NumPy that create arrays from arguments that are not arrays."""


def _in_numpy(name: str) -> str:
    """NumPy's object of this name: a function that creates an array, a function of arrays, a constant or a type."""
    found = getattr(np, name, None)
    if found is None:
        return ""
    if name in MAKERS:
        return f"it is NumPy's np.{name}; md.tensor(...) makes a tensor from an array"
    if isinstance(found, ModuleType):
        return f"it is NumPy's np.{name}, on x.numpy(), without a gradient"
    if callable(found) and not isinstance(found, type):
        return f"it is np.{name}(x.numpy(), ...) here, without a gradient"
    return f"it is NumPy's np.{name}"


def _beside_tensors(name: str) -> str:
    """What to write for a method that tensors lack: a function, or NumPy's method or function, without a gradient.

    NumPy's in-place methods would change the tensor's memory; only a function that returns a new array is suggested.
    """
    from .left_out import left_out
    from .nn import functional

    if name in _public(functional):
        return f"it is F.{name}(x) here"
    changing = ("byteswap", "fill", "itemset", "put", "resize", "setfield", "setflags")
    if name in changing or not hasattr(np.ndarray, name):
        return left_out(name)
    code = f"np.{name}(x.numpy(), ...)" if callable(getattr(np, name, None)) else f"x.numpy().{name}"
    return f"it is {code} here, without a gradient"


def _public(module: ModuleType) -> list[str]:
    """The public names of a module."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [name for name in own if not name.startswith("_")]


def renamed(word: str) -> str:
    """minidl's word for a string value of another framework, or the word itself.

    >>> renamed("cuda"), renamed("cuda:0"), renamed("numpy")
    ('cupy', 'cupy', 'numpy')
    """
    for code, row in lines():
        new = re.search(r'"(\w+)"', row.minidl)
        if new and f'"{word}"' in code.lower():
            return new[1]
    return word


# Calls


def wrong_call(
    function: Any, signature: inspect.Signature, arguments: Sequence[Any], options: Mapping[str, Any]
) -> str:
    """The message for arguments that do not match this signature.

    >>> def draw(width): ...
    >>> wrong_call(draw, inspect.signature(draw), (), {"widht": 3})
    "expected draw(width), got widht=3, no width: there is no widht. Did you mean 'width'?"
    """
    called, made = _called(function, arguments)
    built = type(arguments[0]) if made else None
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
    hints = [argument(name, known, value) for name, value in options.items() if name not in known]
    hints += [_twice(p, value, named) for p, value in zip(named, arguments, strict=False) if p.name in options]
    too_many = len(arguments) > len(by_place) and all(p.kind is not p.VAR_POSITIONAL for p in parameters)
    hints += [_call(made)] * bool(made and lacking)
    hints += [_run(built, arguments)] * bool(made and not lacking)
    hints += [_call(function.__name__, ("torch", "tf", "F"))] * (too_many and not made)
    hints += ["parameters after * are keyword-only"] * (too_many and by_place != known)
    said = "; ".join(filter(None, hints))
    expected = signature.replace(parameters=parameters, return_annotation=signature.empty)
    return f"expected {called}{expected}, got {', '.join(got)}" + (f": {said}" if said else "")


def _called(function: Any, arguments: Sequence[Any]) -> tuple[str, str]:
    """The name of a function, or of its class if it is a constructor; and the name of that class, or ""."""
    if function.__name__ != "__init__":
        return function.__name__, ""
    cls = type(arguments[0])
    definers = [one for one in cls.__mro__ if "__init__" in vars(one)]
    inits = {one: vars(one)["__init__"] for one in definers}
    definer = next(one for one, init in inits.items() if getattr(init, "__wrapped__", init) is function)
    return (cls if definer is definers[0] else definer).__name__, definer.__name__


def _twice(parameter: inspect.Parameter, value: Any, known: Sequence[inspect.Parameter]) -> str:
    """What to write for a parameter passed both by position and by keyword: the first value is meant for another."""
    meant = [p.name for p in known if p is not parameter and type(p.default) is type(value)]
    write = f": write {meant[0]}={_short(value)}" if meant else ""
    return f"{parameter.name} is given by position and by keyword{write}"


class _Code(str):
    """A string whose repr has no quotes."""

    __repr__ = str.__str__


def _shown(default: Any) -> Any:
    """A default value as code; an array, or anything long or multi-line, as dots."""
    text = repr(default)
    return default if default is inspect.Parameter.empty or (len(text) <= 60 and "\n" not in text) else _Code("...")


def _short(value: Any) -> str:
    """Numbers and short strings as code, anything else as dots."""
    plain = all(
        isinstance(part, int | float | str | None) for part in (value if isinstance(value, tuple) else (value,))
    )
    return repr(value) if plain and len(repr(value)) <= 30 else "..."


def argument(name: str, known: Sequence[str], value: Any = "") -> str:
    """What to write for an argument with this name; ``known`` are the valid ones. Lines with its value come first.

    >>> argument("dim", ["axis", "keepdims"])
    "PyTorch's dim=1 is axis=1 here"
    """
    for code, row in sorted(lines(), key=lambda line: not line[0].endswith(f'="{value}"'.lower())):
        new = re.match(r"(\w+)=", row.minidl)
        if code.startswith(f"{name}=") and (new is None or new[1] in known):
            return _sentence(code, row)
    close = _slip(name, known)
    return f"there is no {name}.{close}" if close else ""


def _run(cls: Any, arguments: Sequence[Any]) -> str:
    """What to write for a module without required options that is built with inputs."""
    if not hasattr(cls, "forward") or not any(getattr(value, "ndim", 0) for value in arguments):
        return ""
    inputs = list(inspect.signature(cls.forward).parameters)[1:]
    return f"write {'nn.' * is_own(cls)}{cls.__name__}()({', '.join(inputs)})"


def _call(name: str, spoken: Sequence[str] = ()) -> str:
    """What to write for a call that another framework's class or function of the same name accepts."""
    for code, row in lines():
        theirs, ours = path(code), path(row.minidl)
        is_known = theirs[-1] == ours[-1] == name and not row.minidl.endswith(code)
        if is_known and (not spoken or theirs[0] in spoken):
            return _sentence(code, row)
    return ""
