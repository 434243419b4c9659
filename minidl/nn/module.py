"""Module: a part of a model with parameters, and possibly made of other modules."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import backends
from ..errors import DtypeError, MinidlError, ShapeError
from ..gradients import require_data
from ..habits import Strict, explained, misfit
from ..nested import NAMELESS, hidden_in, parts
from ..options import dtype_of, flag, require_room
from ..tensor import Tensor
from .parameter import Buffer, Parameter

Hook = Callable[["Module", tuple[Any, ...], Any], None]


class Module(Strict):
    """Base of layers and models: define ``forward``, call the module itself.

    Parameters, buffers and modules that are assigned to attributes (alone, or in lists, tuples, dictionaries and
    dataclasses) are found and named after them, in the order of assignment.

    >>> import numpy as np
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = Parameter(np.ones(1, np.float32))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    """

    static = False
    """Whether a forward pass does the same for every batch of a shape: no ``if`` that looks at numbers, no constant
    that changes from step to step. A GPU may then capture a training step, and replay it (:mod:`minidl.capture`)."""

    in_vain = frozenset(["trainable", "requires_grad", "weight", "bias", "kernel", "stop_training"])

    def __init__(self) -> None:
        self.training = True
        self.path = ""
        self._hooks: list[Hook] = []

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The outputs for these inputs: tensors, or a dictionary or tuple of tensors."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x) in it")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        try:
            outputs = self.forward(*inputs, **options)
            if outputs is None:
                raise MinidlError("forward gave nothing: end it with `return y`")
        except MinidlError as error:
            error.locate(self._where())
            raise
        except TypeError as refusal:
            if (wrong := misfit(self.forward, inputs, options, refusal)) is None:
                raise
            wrong.locate(self._where())
            raise wrong from None
        for hook in tuple(self._hooks):  # one may take itself away
            hook(self, inputs, outputs)
        return outputs

    def _where(self) -> str:
        """The path and the class, for errors."""
        return f"{self.path} ({type(self).__name__})" if self.path else type(self).__name__

    def add_hook(self, hook: Hook) -> Callable[[], None]:
        """Call ``hook(module, inputs, outputs)`` after every forward pass; returns a function that removes it, once.

        Raises :class:`MinidlError` for what cannot be called."""
        if not callable(hook):
            raise MinidlError(f"a hook is a function hook(module, inputs, outputs), got {hook!r}", self._where())
        added = functools.partial(hook)  # one of its own, however often the same function is added

        self._hooks.append(added)

        def remove() -> None:
            if added in self._hooks:
                self._hooks.remove(added)

        return remove

    @property
    def has_hooks(self) -> bool:
        """Whether somebody looks at the outputs."""
        return bool(self._hooks)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # object has none, so copy and pickle would ask a __getattr__ of a subclass's own before there is any attribute
        vars(self).update(state)

    # The tree of modules

    def __setattr__(self, name: str, value: Any) -> None:
        if "_hooks" not in self.__dict__ and name not in ("training", "path", "_hooks"):
            raise MinidlError(f"call super().__init__() in {type(self).__name__} before setting '{name}'")
        if isinstance(known := self.__dict__.get(name), _LEARNED) and known is not value:
            self._require_kind(name, known, value)
        held = list(_flat(name, value))
        for path, part in held:
            if not isinstance(part, _NAMED):
                self._require_nothing_lost(path, part)
        _unname(known)
        super().__setattr__(name, value)
        if any(isinstance(part, _NAMED) for _, part in held):
            self._name_descendants()

    def __delattr__(self, name: str) -> None:
        _unname(self.__dict__.get(name))
        super().__delattr__(name)

    def _require_kind(self, name: str, known: Parameter | Buffer, value: Any) -> None:
        """Anything else in the place of a parameter would not be learned or saved, and nobody would notice."""
        kind = Parameter if isinstance(known, Parameter) else Buffer
        if isinstance(value, kind):
            return
        anew = " and make the optimizer anew" if kind is Parameter else ""
        raise MinidlError(
            f"'{name}' of {type(self).__name__} is a {kind.__name__}, and only another one takes its place, got "
            f"{type(value).__name__}: write .{name}.data[...] = ... to change it, or set a new "
            f"nn.{kind.__name__}(...){anew}; `del` takes it away"
        )

    def _require_nothing_lost(self, name: str, value: Any) -> None:
        """A plain tensor in the place of a parameter would not be learned, nor would what only lies in a set, say, and
        nobody would notice."""
        if not isinstance(value, Tensor):
            for _, part in _flat("", hidden_in(value)):
                if isinstance(part, _NAMED) or (isinstance(part, Tensor) and part.requires_grad and part.op is None):
                    raise MinidlError(
                        f"'{name}' of {type(self).__name__} is a {type(value).__name__}, where nobody would find the "
                        f"{type(part).__name__} in it: use a list, a tuple or a dictionary"
                    )
            return
        if value.requires_grad and value.op is None:
            raise MinidlError(
                f"'{name}' of {type(self).__name__} wants a gradient, but a plain tensor is no parameter, and no "
                "optimizer would hear of it: use nn.Parameter(...), or x.detach() to keep the numbers alone"
            )

    def _name_descendants(self) -> None:
        """Tell everything below this module its dotted path from here; the outermost module does so last."""
        for path, module in self.named_modules():
            module.path = path
        for path, tensor in self._named_tensors():
            tensor.name = path

    def _require_names(self) -> None:
        """Tell the paths again where names are not those from here, or from further out: of what was put into a list
        after the list was assigned, and of what another model, which shares it, has named since."""
        named = list(self._named_tensors())
        are_ours = all(f".{tensor.name}".endswith(f".{path}") for path, tensor in named)
        if not are_ours or len({tensor.name for _, tensor in named}) < len(named):
            self._name_descendants()

    def _named_children(self) -> Iterator[tuple[str, Any]]:
        """Modules, parameters, buffers and generators directly below, with their names."""
        for name, value in vars(self).items():
            if isinstance(value, _NAMED):  # most are, or are no container, and models are asked at each step
                yield name, value
            elif type(value) not in _PLAIN:
                for path, child in _flat(name, value):
                    if isinstance(child, _NAMED):
                        yield path, child
                    else:  # put into a list after that was assigned
                        self._require_nothing_lost(path, child)

    def children(self) -> "list[Module]":
        """The modules directly below this one."""
        return [child for _, child in self._named_children() if isinstance(child, Module)]

    def named_modules(self, path: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module (with the path ``""``) and all below it with their dotted paths, each once."""
        return ((name, child) for name, child in self._walk(path, set()) if isinstance(child, Module))

    def _walk(self, path: str, seen: set[Any]) -> Iterator[tuple[str, Any]]:
        """This module and all that has a name below it, in the order of assignment, each once.

        Raises :class:`MinidlError` where two have one name, as a state would keep only one of them."""
        seen.add(id(self))
        yield path, self
        for name, child in self._named_children():
            if id(child) not in seen:
                below = f"{path}.{name}" if path else name
                if below in seen:
                    raise MinidlError(
                        f"two parts of {type(self).__name__} are called '{below}': use other keys, such as texts "
                        "without dots"
                    )
                seen |= {id(child), below}
                yield from child._walk(below, seen) if isinstance(child, Module) else ((below, child),)

    def _named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        return ((path, child) for path, child in self._walk("", set()) if isinstance(child, Tensor))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names, each once, in the order in which they were made."""
        return ((name, tensor) for name, tensor in self._named_tensors() if isinstance(tensor, Parameter))

    def named_generators(self) -> Iterator[tuple[str, np.random.Generator]]:
        """The random generators that modules hold, such as the ``rng`` of a ``Dropout``, with their dotted names."""
        return ((name, held) for name, held in self._walk("", set()) if isinstance(held, np.random.Generator))

    def parameters(self) -> list[Parameter]:
        """All parameters, each with its dotted name: from here, or from further out where all have one."""
        self._require_names()
        return [parameter for _, parameter in self.named_parameters()]

    # What concerns all of them

    @explained
    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def train(self, mode: bool = True) -> Self:
        """Switch layers that behave differently in training (dropout, batch normalisation) to it.

        Each layer is asked by its own ``train``: one that shall stay as it is returns ``super().train(False)``.
        """
        self.training = flag("mode", mode)
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch to evaluation."""
        return self.train(False)

    @explained
    def to(self, backend: str) -> Self:
        """Move all parameters and buffers to a backend; they stay the same objects. Gradients are forgotten."""
        place = backends.get(backend)
        for _, tensor in self._named_tensors():
            if tensor.backend is not place:
                tensor.data, tensor.grad = place.asarray(tensor.numpy()), None
        return self

    def astype(self, dtype: Any) -> Self:
        """Convert all parameters and buffers of floats to another float dtype; they stay the same objects.

        Running statistics stay in float32 where the model becomes float16, buffers of integers or booleans as they
        are. Raises :class:`DtypeError`, changing
        nothing, for any other dtype, which would cut the weights off.
        """
        wanted = dtype_of(dtype)
        if wanted.kind != "f":
            raise DtypeError(f"a model computes with floats, got {wanted}: use np.float16, np.float32 or np.float64")
        require_data(tensor for _, tensor in self._named_tensors())
        for _, tensor in self._named_tensors():
            own = tensor.kept_in(wanted) if isinstance(tensor, Buffer) else wanted
            tensor.data, tensor.grad = tensor.data.astype(own), None
        return self

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of all parameters and buffers as NumPy arrays, by dotted name."""
        return {name: tensor.numpy().copy() for name, tensor in self._named_tensors()}

    @explained
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the values of a :meth:`state_dict`, all or nothing.

        Raises :class:`ShapeError`, changing nothing, if names are missing or unknown or shapes differ, and
        :class:`DtypeError` for values that are no numbers for it: complex ones, fractions for a buffer of integers, or
        numbers beyond those of the dtype.
        """
        if not isinstance(state, Mapping):
            raise MinidlError(
                f"expected arrays by name, got {type(state).__name__}: use model.state_dict(), or of a file "
                "md.load('...')"
            )
        own = dict(self._named_tensors())
        given = {name: _on_host(name, state[name]) for name in own if name in state}
        problems = [f"missing {name}" for name in own if name not in state]
        problems += [f"unknown {name}" for name in state if name not in own]
        problems += [
            f"{name} has shape {array.shape}, expected {own[name].shape}"
            for name, array in given.items()
            if array.shape != own[name].shape
        ]
        if problems:
            more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise ShapeError(
                f"these weights belong to another model: {'; '.join(problems[:5])}{more}. "
                "Build the model that they were saved from."
            )
        for name, array in given.items():
            if not np.can_cast(array.dtype, own[name].dtype, "same_kind"):
                raise DtypeError(f"{name} has the dtype {array.dtype}, expected {own[name].dtype}: convert it first")
            require_room(array, own[name].dtype, name)
        arrays = {name: own[name].backend.asarray(array.astype(own[name].dtype)) for name, array in given.items()}
        for name, tensor in own.items():
            tensor.data = arrays[name]

    def __repr__(self) -> str:
        named = [(name, child) for name, child in self._named_children() if isinstance(child, Module)]
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in named]
        body = "".join(f"\n  {line}" for line in lines)
        return f"{type(self).__name__}({self.describe()}{body}{chr(10) if body else ''})"

    def describe(self) -> str:
        """The layer's own options, as ``repr`` and ``summary`` show them."""
        return ""


_LEARNED = (Parameter, Buffer)
_NAMED = (Module, *_LEARNED, np.random.Generator)
_PLAIN = frozenset([type(None), bool, int, float, str])


@contextlib.contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """In here a model is in evaluation mode; afterwards each of its modules is in its own mode of before.

    >>> class Identity(Module):
    ...     def forward(self, x):
    ...         return x
    >>> model = Identity()
    >>> with evaluating(model):
    ...     model.training
    False
    >>> model.training
    True
    """
    before = [(module, module.training) for _, module in model.named_modules()]
    try:
        model.eval()  # may raise where a module has a train of its own, when others have changed already
        yield
    finally:
        for module, mode in before:
            module.training = mode


def held_in(thing: Any) -> Iterator[tuple[str, np.random.Generator]]:
    """The random generators in the attributes of any object, with their names.

    >>> from types import SimpleNamespace
    >>> [name for name, _ in held_in(SimpleNamespace(lr=0.1, noise=[np.random.default_rng()]))]
    ['noise.0']
    """
    for name, value in vars(thing).items():
        yield from ((path, held) for path, held in _flat(name, value) if isinstance(held, np.random.Generator))


def _unname(held: Any) -> None:
    """Take the names from the tensors of an attribute that is replaced: an optimizer knows them by that, and whatever
    module still has them names them again."""
    for _, part in _flat("", held):
        with contextlib.suppress(MinidlError):  # of one whose parts cannot be named, which is why it is replaced
            for _, tensor in part._named_tensors() if isinstance(part, Module) else [("", part)]:
                if isinstance(tensor, _LEARNED):
                    tensor.name = None


def _on_host(name: str, value: Any) -> NDArray[Any]:
    """A value of a state as a NumPy array."""
    try:
        host = value.numpy() if isinstance(value, Tensor) else value
        array = np.asarray(backends.to_host(host) if hasattr(host, "dtype") else host)
    except ValueError:  # lists of different lengths
        array = np.array(value, object)
    if array.dtype.kind not in "fiubc":
        raise DtypeError(f"{name} holds {value!r:.60}, expected an array of numbers: use a state_dict()")
    return array


def _flat(name: str, value: Any, outer: frozenset[int] = frozenset()) -> Iterator[tuple[str, Any]]:
    """What has a name in an attribute, plain tensors, and what gives no names: itself, or what is in a structure, but
    for a way back."""
    if isinstance(value, (*_NAMED, Tensor, *NAMELESS)):
        yield name, value
    elif (inside := parts(value)) and id(value) not in outer:
        outer |= {id(value)}
        for key, element in inside.items():
            yield from _flat(f"{name}.{key}", element, outer)
