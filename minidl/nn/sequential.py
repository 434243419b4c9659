"""Sequential: layers one after another."""

from collections.abc import Iterator
from typing import Any, NoReturn, overload

from .. import plugins
from ..errors import BoundsError, MinidlError
from . import fusion
from .module import Module


@plugins.register("layer", "sequential")
class Sequential(Module):
    """Modules one after another, by number: ``model[0]``, ``model[:3]``, which is a model of the same layers, in which
    they keep their names. ``model[0] = layer`` puts another one there.

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
        vars(part).update(_at(self._parts(), index))  # under their names: setattr would give them others
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        if isinstance(index, slice):
            raise MinidlError("expected a number, got a slice: set one layer after another", "Sequential")
        setattr(self, _at(self._parts(), index)[0], _checked(module, index))

    def __delitem__(self, index: int | slice) -> NoReturn:
        raise MinidlError(
            "layers are not taken out: write nn.Sequential(*model[:1], *model[2:]), or model[1:] where they shall keep "
            "their names",
            "Sequential",
        )

    def _parts(self) -> list[tuple[str, Module]]:
        return [(name, child) for name, child in self._named_children() if isinstance(child, Module)]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.children())

    def __len__(self) -> int:
        return len(self.children())


def _at(layers: list[Any], index: Any) -> Any:
    """The layer of a number, or those of a slice."""
    try:
        return layers[index]
    except IndexError as error:
        numbers = f"0 ... {len(layers) - 1}" if layers else "none, as it is empty"
        raise BoundsError(f"there is no layer {index}: its layers have the numbers {numbers}", "Sequential") from error
    except TypeError as error:
        raise MinidlError(
            f"layers have numbers, got {index!r}: write model[0], or model[:3] for the first three", "Sequential"
        ) from error


def _checked(module: Any, number: int) -> Module:
    if isinstance(module, Module):
        return module
    hint = _hint(module)
    raise MinidlError(f"expected modules, got {type(module).__name__} at position {number}: {hint}", "Sequential")


def _hint(given: Any) -> str:
    """What to write instead of something that is no module."""
    if isinstance(given, type):
        return f"write {given.__name__}(...), with brackets"
    if isinstance(given, list | tuple):
        return "write Sequential(*layers), with a star"
    if isinstance(given, dict):
        return "write Sequential(*layers.values()), with a star"
    return "use the layer for it, such as nn.ReLU() for F.relu, or a Module of your own"
