"""The choice of a convolution algorithm on a backend, and of layer fusion."""

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import plugins
from ..contexts import OfThread
from ..errors import MinidlError, brief, suggestion
from ..kernels.conv import ConvAlgorithm, ConvSpec
from .base import Backend


class Choice(NamedTuple):
    """The settings of :class:`using` for a thread."""

    conv_algorithm: str = "auto"
    fusion: bool = True


class _Running(threading.local):
    """The contexts that the current thread is inside, which may end in any order, and the settings that they give."""

    def __init__(self) -> None:
        self.inside: list[using] = []
        self.choice = Choice()


_running = _Running()


def current() -> Choice:
    """The settings of the current thread.

    >>> with using(conv_algorithm="direct"):
    ...     current()
    Choice(conv_algorithm='direct', fusion=True)
    """
    return _running.choice


class using(OfThread):  # noqa: N801 - a context manager, named like a function
    """Set how this thread computes convolutions; a context manager, or a decorator of functions and generators.

    ``conv_algorithm`` replaces "auto"; with ``fusion=False``, ``Sequential`` does not fuse convolution, ReLU and max
    pooling into one pass. Both apply to the forward pass, and the backward pass follows it. Contexts may be nested, and
    may end in any order. Raises :class:`MinidlError` for an argument of the wrong type and for an unknown name.

    >>> with using(conv_algorithm="direct"), using(fusion=False):
    ...     current()
    Choice(conv_algorithm='direct', fusion=False)
    """

    local = _running

    def __init__(
        self, *wrong: Any, conv_algorithm: str | None = None, fusion: bool | None = None, **unknown: Any
    ) -> None:
        if wrong or unknown:
            given = repr(wrong[0]) if wrong else next(iter(unknown))
            close = "".join(suggestion(name, ("conv_algorithm", "fusion")) for name in unknown)
            raise MinidlError(
                f"using takes conv_algorithm= and fusion=, got {given}.{close} Write "
                'using(conv_algorithm="direct"), with parentheses'
            )
        if not isinstance(conv_algorithm, str | None):
            raise MinidlError(f"conv_algorithm must be the name of an algorithm, got {brief(conv_algorithm)}")
        if not isinstance(fusion, bool | None):
            raise MinidlError(f"fusion must be True or False, got {brief(fusion)}")
        if conv_algorithm is not None and conv_algorithm != "auto":
            plugins.get("conv_algorithm", conv_algorithm)  # an unknown name fails here, not inside a model
        super().__init__()
        self.conv_algorithm, self.fusion = conv_algorithm, fusion

    def enter(self, state: dict[str, Any]) -> None:
        state["inside"].append(self)
        state["choice"] = _combined(state["inside"])

    def leave(self, state: dict[str, Any]) -> None:
        inside = state["inside"]
        del inside[max(place for place, context in enumerate(inside) if context is self)]
        state["choice"] = _combined(inside)

    def again(self) -> "using":
        return using(conv_algorithm=self.conv_algorithm, fusion=self.fusion)


def _combined(contexts: "list[using]") -> Choice:
    """The settings inside these contexts; the innermost takes precedence."""
    algorithm, fusion = Choice()
    for context in contexts:
        algorithm = algorithm if context.conv_algorithm is None else context.conv_algorithm
        fusion = fusion if context.fusion is None else context.fusion
    return Choice(algorithm, fusion)


def choose(name: str, spec: ConvSpec, backend: Backend) -> ConvAlgorithm:
    """The algorithm with this name; for "auto" the one set by :func:`using`, or the backend's first that supports it.

    Raises :class:`MinidlError` if the requested algorithm does not support the sizes on this backend, and lists those
    that do.

    >>> from minidl import backends
    >>> from minidl.kernels.window import sliding_window
    >>> choose("direct", ConvSpec(1, 1, 2, sliding_window(4, 4, 3, 1, 0), "float32"), backends.default).name
    'direct'
    """
    names = _candidates(name, spec, backend)
    algorithm = next((one for each in names if (one := _instance(each, backend)).supports(spec)), None)
    if algorithm is None:
        raise MinidlError(
            f"the algorithm '{names[0]}' does not support this convolution of {spec} on the backend "
            f"'{backend.name}': use one of {', '.join(_able(spec, backend))}"
        )
    return algorithm


def _able(spec: ConvSpec, backend: Backend) -> list[str]:
    """The names of all algorithms that support a convolution on a backend."""
    able = []
    for name in plugins.names("conv_algorithm"):
        with contextlib.suppress(Exception):  # a plugin may raise anything, and is not the requested one
            if _instance(name, backend).supports(spec):
                able.append(name)
    return able


def _candidates(name: str, spec: ConvSpec, backend: Backend) -> Sequence[str]:
    wanted = current().conv_algorithm if name == "auto" else name
    return backend.convolutions(spec) if wanted == "auto" else [wanted]


def _instance(name: str, backend: Backend) -> ConvAlgorithm:
    return _made(plugins.get("conv_algorithm", name), name, backend)


@functools.cache
def _made(plugin: Callable[[Backend], ConvAlgorithm], name: str, backend: Backend) -> ConvAlgorithm:
    """One instance per plugin, not per name, because a name may be registered again."""
    algorithm = plugin(backend)
    if not hasattr(algorithm, "xp"):
        raise MinidlError(f"the algorithm '{name}' has no xp: call super().__init__(backend) in its __init__")
    algorithm.name = name
    return algorithm
