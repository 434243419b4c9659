"""Module: the base class of layers and models."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from .. import backends
from ..attributes import changed_options, is_own
from ..checks import require_data
from ..errors import CallError, DtypeError, MinidlError, ShapeError, brief
from ..habits import Guarded, explained, misfit
from ..nested import NAMELESS, hidden_in, parts
from ..options import dtype_of, flag, require_room
from ..tensor import Tensor
from .parameter import Buffer, Parameter

Hook = Callable[["Module", tuple[Any, ...], Any], None]


class Module(Guarded):
    """Base class of layers and models: define ``forward``, call the module itself.

    Parameters, buffers and modules that are assigned to attributes (directly, or in lists, tuples, dictionaries and
    dataclasses) are registered under the attribute's name, in the order of assignment.

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
    """Whether a forward pass runs the same ops for every batch of a shape: no ``if`` that depends on values, no
    constant that changes between steps. A training step can then be captured and replayed on a GPU
    (:mod:`minidl.capture`)."""

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
                raise MinidlError("forward returned None: end it with `return y`")
            for hook in tuple(self._hooks):  # a hook may remove itself
                given: Any = hook(self, inputs, outputs)
                if given is not None:
                    raise MinidlError(
                        f"a hook returned {type(given).__name__}, which is ignored: it observes outputs and returns "
                        "nothing; to change them, put a module after this one"
                    )
        except MinidlError as error:
            error.locate(self._where())
            raise
        except TypeError as refusal:
            if (wrong := misfit(self.forward, inputs, options, refusal)) is None:
                raise
            wrong.locate(self._where())
            raise wrong from None
        return outputs

    def _where(self) -> str:
        """The path and the class, for errors."""
        return f"{self.path} ({type(self).__name__})" if self.path else type(self).__name__

    def add_hook(self, hook: Hook) -> Callable[[], None]:
        """Call ``hook(module, inputs, outputs)`` after every forward pass; returns a function that removes it.

        A hook observes: unlike PyTorch's, it cannot replace the outputs. Raises :class:`MinidlError` if ``hook`` is not
        callable; the forward pass raises it if a hook returns anything but None."""
        if not callable(hook):
            raise MinidlError(f"a hook is a function hook(module, inputs, outputs), got {brief(hook)}", self._where())
        added = functools.partial(hook)  # distinct even if the same function is added twice

        self._hooks.append(added)

        def remove() -> None:
            if added in self._hooks:
                self._hooks.remove(added)

        return remove

    @property
    def has_hooks(self) -> bool:
        """Whether any hook is registered."""
        return bool(self._hooks)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Without it, copy and pickle would call a subclass's __getattr__ before any attribute exists.
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
        """Raise if a parameter or buffer is replaced by another kind of value: it would silently not be trained or
        saved. None removes what the class declares as optional, as in ``b: Parameter | None``."""
        kind = Parameter if isinstance(known, Parameter) else Buffer
        declared = (str(inspect.get_annotations(cls).get(name)) for cls in type(self).__mro__)
        is_optional = any("| None" in one or "None |" in one or "Optional[" in one for one in declared)
        if isinstance(value, kind) or (value is None and is_optional):
            return
        anew = " and create the optimizer again" if kind is Parameter else ""
        anew += "; None removes it" if is_optional else ""
        raise MinidlError(
            f"'{name}' of {type(self).__name__} is a {kind.__name__} and can only be replaced by another one, got "
            f"{type(value).__name__}: write .{name}.data[...] = ... to change it, or set a new "
            f"nn.{kind.__name__}(...){anew}"
        )

    def _require_nothing_lost(self, name: str, value: Any) -> None:
        """Raise for what would silently not be trained: a plain tensor that requires a gradient, or, for
        example, parameters in a set."""
        if not isinstance(value, Tensor):
            for _, part in _flat("", hidden_in(value)):
                if isinstance(part, _NAMED) or (isinstance(part, Tensor) and part.requires_grad and part.op is None):
                    raise MinidlError(
                        f"'{name}' of {type(self).__name__} is a {type(value).__name__}, so the {type(part).__name__} "
                        "in it would not be found: use a list, a tuple or a dictionary"
                    )
            return
        if value.requires_grad and value.op is None:
            raise MinidlError(
                f"'{name}' of {type(self).__name__} requires a gradient, but a plain tensor is not a parameter, and no "
                "optimizer would update it: use nn.Parameter(...), or x.detach() to keep only its values"
            )

    def _name_descendants(self) -> None:
        """Set the dotted path of everything below this module; the outermost module does so last."""
        for path, module in self.named_modules():
            module.path = path
        for path, tensor in self.named_tensors():
            tensor.name = path

    def _require_names(self) -> None:
        """Set the names again unless they are paths from this module or from one that contains it.

        They are not if a part was appended to a list after its assignment, or is shared with another model that has
        renamed it."""
        named = list(self.named_tensors())
        are_ours = all(f".{tensor.name}".endswith(f".{path}") for path, tensor in named)
        if not are_ours or len({tensor.name for _, tensor in named}) < len(named):
            self._name_descendants()

    def _named_children(self) -> Iterator[tuple[str, Any]]:
        """Modules, parameters, buffers and generators directly below, with their names."""
        for name, value in vars(self).items():
            if isinstance(value, _NAMED):  # the usual cases first: this runs at every step
                yield name, value
            elif type(value) not in _PLAIN:
                for path, child in _flat(name, value):
                    if isinstance(child, _NAMED):
                        yield path, child
                    else:  # appended to a list after its assignment
                        self._require_nothing_lost(path, child)

    def children(self) -> "list[Module]":
        """The modules directly below this one."""
        return [child for _, child in self._named_children() if isinstance(child, Module)]

    def named_modules(self) -> Iterator[tuple[str, "Module"]]:
        """This module (with the path ``""``) and all modules below it with their dotted paths, each once."""
        return ((name, child) for name, child in self._walk("", set()) if isinstance(child, Module))

    def _walk(self, path: str, seen: set[Any]) -> Iterator[tuple[str, Any]]:
        """This module and every named part below it, in the order of assignment, each once.

        Raises :class:`MinidlError` if two parts have the same name: a state would hold only one of them."""
        seen.add(id(self))
        yield path, self
        for name, child in self._named_children():
            if id(child) not in seen:
                below = f"{path}.{name}" if path else name
                if below in seen:
                    raise MinidlError(
                        f"two parts of {type(self).__name__} have the name '{below}': use other keys, such as strings "
                        "without dots"
                    )
                seen |= {id(child), below}
                yield from child._walk(below, seen) if isinstance(child, Module) else ((below, child),)

    def named_tensors(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        """All parameters and buffers with their dotted names, each once, in the order of assignment: what a
        :meth:`state_dict` holds."""
        return ((path, child) for path, child in self._walk("", set()) if isinstance(child, _LEARNED))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names, each once, in the order of assignment."""
        return ((name, tensor) for name, tensor in self.named_tensors() if isinstance(tensor, Parameter))

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """All buffers, such as running statistics, with their dotted names, each once, in the order of assignment."""
        return ((name, tensor) for name, tensor in self.named_tensors() if isinstance(tensor, Buffer))

    def named_generators(self) -> Iterator[tuple[str, np.random.Generator]]:
        """The random generators that modules hold, such as the ``rng`` of a ``Dropout``, with their dotted names."""
        return ((name, held) for name, held in self._walk("", set()) if isinstance(held, np.random.Generator))

    def parameters(self) -> "_Parameters":
        """All parameters. The ``name`` of each is its dotted path from this module, or from one that contains it."""
        self._require_names()
        return _Parameters(parameter for _, parameter in self.named_parameters())

    # Operations on all parameters and buffers

    @explained
    def zero_grad(self) -> None:
        """Clear the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def train(self, mode: bool = True) -> Self:
        """Set training mode (or evaluation mode), which changes dropout and batch normalisation.

        Calls ``train`` of each child. A layer that must stay in evaluation mode overrides ``train`` to return
        ``super().train(False)``.
        """
        self.training = flag("mode", mode)
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode, as ``train(False)``."""
        return self.train(False)

    @explained
    def to(self, backend: str) -> Self:
        """Move all parameters and buffers to a backend, in place. Gradients of moved tensors are cleared."""
        place = backends.get(backend)
        for _, tensor in self.named_tensors():
            if tensor.backend is not place:
                tensor.data, tensor.grad = place.asarray(tensor.numpy()), None
        return self

    def astype(self, dtype: Any) -> Self:
        """Convert all parameters and floating-point buffers to another float dtype, in place. Clears gradients.

        Running statistics stay float32 in a float16 model; integer and boolean buffers keep their dtype. Raises
        :class:`DtypeError` for any other dtype, before anything changes.
        """
        wanted = dtype_of(dtype)
        if wanted.kind != "f":
            raise DtypeError(f"a model computes with floats, got {wanted}: use np.float16, np.float32 or np.float64")
        require_data(tensor for _, tensor in self.named_tensors())
        for _, tensor in self.named_tensors():
            own = tensor.kept_in(wanted) if isinstance(tensor, Buffer) else wanted
            tensor.data, tensor.grad = tensor.data.astype(own), None
        return self

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of all parameters and buffers as NumPy arrays, by dotted name."""
        return {name: tensor.numpy().copy() for name, tensor in self.named_tensors()}

    @explained
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the values of a :meth:`state_dict`, all or nothing.

        Raises :class:`ShapeError` if names are missing or unknown or shapes differ, and :class:`DtypeError` for values
        that the dtype cannot hold: complex values, floats for a buffer of integers, or values out of range. Nothing
        changes then.
        """
        if not isinstance(state, Mapping):
            raise MinidlError(
                f"expected a dictionary of arrays, got {type(state).__name__}: use model.state_dict(), or "
                "md.load('...') for a file"
            )
        own = dict(self.named_tensors())
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
        """The layer's own options, as ``repr`` and ``summary`` show them: those that are not the default."""
        return ", ".join(changed_options(self)) if is_own(type(self)) else ""


class _Parameters(list[Parameter]):
    """A list that answers ``next(model.parameters())``, which would be the first parameter every time."""

    def __next__(self) -> NoReturn:
        raise CallError("the parameters are a list here: write model.parameters()[0], or iter(...) once before next")


_LEARNED = (Parameter, Buffer)
_NAMED = (Module, *_LEARNED, np.random.Generator)
_PLAIN = frozenset([type(None), bool, int, float, str])


@contextlib.contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Context manager that sets evaluation mode, and restores the mode of each module on exit.

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
        model.eval()  # an overridden train may raise after other modules have changed
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
    """Clear the names of the tensors in a replaced attribute: an optimizer identifies parameters by name. A module that
    still holds the tensors names them again."""
    for _, part in _flat("", held):
        with contextlib.suppress(MinidlError):  # its parts have clashing names, perhaps why it is replaced
            for _, tensor in part.named_tensors() if isinstance(part, Module) else [("", part)]:
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
        raise DtypeError(f"{name} holds {brief(value)}, expected an array of numbers: use a state_dict()")
    return array


def _flat(name: str, value: Any, outer: frozenset[int] = frozenset()) -> Iterator[tuple[str, Any]]:
    """The parts of an attribute with their dotted names: the value itself, or the elements of nested containers.

    Parts are modules, parameters, buffers, generators, plain tensors and ``NAMELESS`` containers. A container inside
    itself is skipped."""
    if isinstance(value, (*_NAMED, Tensor, *NAMELESS)):
        yield name, value
    elif (inside := parts(value)) and id(value) not in outer:
        outer |= {id(value)}
        for key, element in inside.items():
            if type(element) not in _PLAIN:
                yield from _flat(f"{name}.{key}", element, outer)
