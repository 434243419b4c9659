"""Random numbers: one default generator for everything, so that a seed makes a run reproducible."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .errors import MinidlError, brief
from .habits import explained
from .options import integer
from .states import require_entries, require_names


class Generator(np.random.Generator):
    """A ``numpy.random.Generator`` (PCG64) whose state can be saved and restored.

    Numbers are always drawn on the host and copied to the backend, so NumPy and CuPy runs start from the same
    parameters.

    >>> rng = Generator(7)
    >>> state = rng.state
    >>> first = rng.normal()
    >>> rng.state = state
    >>> rng.normal() == first
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(np.random.PCG64(None if seed is None else integer("seed", seed, least=0)))

    @property
    def state(self) -> dict[str, Any]:
        """The state of the generator: a dictionary of strings and integers of up to 128 bits."""
        return dict(self.bit_generator.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        Generators({"rng": self}).load_state_dict({"rng": state})

    def spawn(self, n_children: int) -> list[np.random.Generator]:
        """Independent generators, which depend only on the state of this one; advances this one.

        NumPy's ``spawn`` depends on the seed and a counter, which are not part of the state.

        >>> one, other = Generator(3).spawn(2)
        >>> one.normal() == Generator(3).spawn(1)[0].normal(), one.normal() == other.normal()
        (True, False)
        """
        count = integer("n_children", n_children, least=0)
        return [of_words(*map(int, self.integers(1 << 32, size=4))) for _ in range(count)]

    def __reduce__(self) -> tuple[Any, ...]:
        # NumPy's __reduce__ would restore a plain numpy.random.Generator.
        return _rebuild, (self.state,)


def _rebuild(state: dict[str, Any]) -> Generator:
    rng = Generator()
    rng.state = state
    return rng


class Generators:
    """The states of several generators by name.

    >>> rng = Generator(7)
    >>> one = Generators({"noise": rng})
    >>> state = one.state_dict()
    >>> first = rng.normal()
    >>> one.load_state_dict(state)
    >>> rng.normal() == first
    True
    """

    def __init__(self, named: Mapping[str, np.random.Generator]) -> None:
        self.named = dict(named)

    def state_dict(self) -> dict[str, Any]:
        """The state of each generator by name."""
        return {name: generator.bit_generator.state for name, generator in self.named.items()}

    def load_state_dict(self, states: Mapping[str, Any]) -> None:
        """Restore all states.

        Raises :class:`MinidlError` for other names, changing nothing, and for an invalid state, after restoring those
        before it: :func:`minidl.states.all_or_nothing` undoes that.
        """
        require_entries(states, [], "random generators")
        require_names(states, self.named, "random generators")
        for name, generator in self.named.items():
            try:
                generator.bit_generator.state = states[name]
            except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
                kind = type(generator.bit_generator).__name__
                called = f"'{name}'" if name else "the entry for md.seed"
                raise MinidlError(f"{called} is not a state of a {kind} generator: {error}") from error


@contextlib.contextmanager
def rewound(named: Mapping[str, np.random.Generator]) -> Iterator[None]:
    """Restore the states of these generators, and of the default one, at the end of the context.

    >>> with rewound({}):
    ...     drawn = default_rng.normal()
    >>> drawn == default_rng.normal()
    True
    """
    generators = Generators({"": default_rng, **named})
    before = generators.state_dict()
    try:
        yield
    finally:
        generators.load_state_dict(before)


def of_words(*words: int) -> Generator:
    """A generator seeded with several integers, such as a seed and an epoch; each of them changes its stream.

    >>> of_words(0, 1).normal() == of_words(0, 2).normal(), of_words(0, 1).normal() == of_words(0, 1).normal()
    (False, True)
    """
    return _rebuild(dict(np.random.PCG64(np.random.SeedSequence(words)).state))


class _Thread(threading.local):
    """A function that returns the generator that replaces the default one in the current thread."""

    instead: Callable[[], Generator] | None = None


_thread = _Thread()


class _Default(Generator):
    """The default generator; inside :func:`instead`, it forwards to the one of the current thread."""

    def __getattribute__(self, name: str) -> Any:
        made = None if name.startswith("__") else _thread.instead  # special methods are not forwarded
        return super().__getattribute__(name) if made is None else getattr(made(), name)

    def __reduce__(self) -> str:  # type: ignore[override]
        return "default_rng"  # a singleton: copies and pickles of its owners follow md.seed, too


default_rng: Generator = _Default()


@contextlib.contextmanager
def instead(made: Callable[[], Generator]) -> Iterator[None]:
    """Let ``default_rng`` forward to ``made()`` in the current thread: used by the loader for its data set.

    >>> with instead(lambda: Generator(7)):
    ...     drawn = default_rng.normal()
    >>> drawn == Generator(7).normal()
    True
    """
    before, _thread.instead = _thread.instead, made
    try:
        yield
    finally:
        _thread.instead = before


def chosen(rng: Generator | None) -> Generator:
    """The generator passed as ``rng=``, or the default one.

    >>> chosen(0)
    Traceback (most recent call last):
    minidl.errors.MinidlError: expected rng=md.Generator(seed), got rng=0
    """
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise MinidlError(f"expected rng=md.Generator(seed), got rng={brief(rng)}")
    return default_rng if rng is None else rng


@explained
def seed(value: int) -> None:
    """Seed minidl's default generator, which is used for parameters and dropout.

    Random numbers that a data set draws while a loader makes a batch depend on the ``seed`` of the loader instead.

    >>> seed(0); a = default_rng.normal(); seed(0); a == default_rng.normal()
    True
    """
    default_rng.state = Generator(value).state
