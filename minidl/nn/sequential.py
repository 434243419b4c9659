"""Sequential: layers applied in order."""

from collections.abc import Iterator
from typing import Any, NoReturn, overload

from .. import plugins
from ..errors import BoundsError, MinidlError, brief
from . import fusion
from .module import Module


@plugins.register("layer", "sequential")
class Sequential(Module):
    """Modules applied in order.

    ``model[0]`` is the first layer, ``model[0] = layer`` replaces it, and ``model[:3]`` is a Sequential of the same
    first three layers, which keep their names.

    Convolution, ReLU and max pooling in a row are computed in one pass (see :mod:`minidl.nn.fusion`).

    >>> from minidl.nn import Dense, ReLU
    >>> model = Sequential(Dense(4, 2), ReLU())
    >>> [name for name, _ in model.named_parameters()]
    ['0.w', '0.b']
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for number, module in enumerate(modules):
            setattr(self, str(number), _checked(module, number))

    def forward(self, x: Any) -> Any:
        return fusion.run(self.children(), x)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | slice) -> Module:
        if not isinstance(index, slice):
            child: Module = _at(self.children(), index)
            return child
        part = Sequential()
        part.training, part.path = self.training, self.path
        vars(part).update(_at(self._parts(), index))  # keeps their names: setattr would rename them
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        if isinstance(index, slice):
            raise MinidlError("expected an index, got a slice: replace one layer at a time", "Sequential")
        setattr(self, _at(self._parts(), index)[0], _checked(module, index))

    def __delitem__(self, index: int | slice) -> NoReturn:
        raise MinidlError(
            "layers cannot be deleted: write nn.Sequential(*model[:1], *model[2:]), or model[1:] to keep their names",
            "Sequential",
        )

    def _parts(self) -> list[tuple[str, Module]]:
        return [(name, child) for name, child in self._named_children() if isinstance(child, Module)]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.children())

    def __len__(self) -> int:
        return len(self.children())


def _at(layers: list[Any], index: Any) -> Any:
    """The layer at an index, or the layers of a slice."""
    try:
        return layers[index]
    except IndexError as error:
        numbers = f"its indices are 0 ... {len(layers) - 1}" if layers else "it is empty"
        raise BoundsError(f"there is no layer {index}: {numbers}", "Sequential") from error
    except TypeError as error:
        raise MinidlError(
            f"expected an index, got {brief(index)}: write model[0], or model[:3] for the first three layers",
            "Sequential",
        ) from error


def _checked(module: Any, number: int) -> Module:
    if isinstance(module, Module):
        return module
    hint = _hint(module)
    raise MinidlError(f"expected modules, got {type(module).__name__} at position {number}: {hint}", "Sequential")


def _hint(given: Any) -> str:
    """What to write instead of something that is not a module."""
    if isinstance(given, type):
        return f"write {given.__name__}(...), with parentheses"
    if isinstance(given, list | tuple):
        return "write Sequential(*layers), with a star"
    if isinstance(given, dict):
        return "write Sequential(*layers.values()), with a star"
    return "use the corresponding layer, such as nn.ReLU() for F.relu, or write a Module"
