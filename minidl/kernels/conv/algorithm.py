"""What a convolution algorithm is, and how one is chosen."""

import contextlib
import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import plugins
from ...contexts import Decorating
from ...errors import MinidlError
from ..window import Window

if TYPE_CHECKING:
    from ...backends import Backend

Array = Any


@dataclass(frozen=True)
class ConvSpec:
    """The sizes of one convolution: ``N`` images of ``C`` channels, ``K`` filters, and the sliding window.

    >>> from minidl.kernels.window import sliding_window
    >>> spec = ConvSpec(8, 3, 16, sliding_window(32, 32, 3, 1, 0), "float32")
    >>> spec.output_shape, spec.flops
    ((8, 30, 30, 16), 6336000)
    """

    N: int
    C: int
    K: int
    window: Window
    dtype: Any

    def __str__(self) -> str:
        window = self.window
        return (
            f"{window.H}x{window.W} pixels in {self.C} channels with {self.K} filters of {window.KH}x{window.KW}, "
            f"stride ({window.SH}, {window.SW}), {self.dtype}"
        )

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(N, OH, OW, K)"""
        return self.N, self.window.OH, self.window.OW, self.K

    @property
    def flops(self) -> int:
        """Multiplications and additions of the direct convolution, bias included."""
        window = self.window
        return self.N * window.OH * window.OW * self.K * (2 * window.KH * window.KW * self.C + 1)


@dataclass(frozen=True)
class Pooled:
    """What :meth:`ConvAlgorithm.forward_pooled` keeps for the backward pass.

    ``x`` and ``w`` are its inputs, ``y`` (N, POH, POW, K) its output, ``argmax`` the tap of the window ``pool`` that
    held each maximum, ``saved`` whatever else the algorithm can use again.
    """

    x: Array
    w: Array
    y: Array
    argmax: Array
    spec: ConvSpec
    pool: Window
    saved: Any = None


class ConvAlgorithm(ABC):
    """A way to compute a convolution (cross-correlation, as everywhere in deep learning) and its two gradients.

    For images x (N, H, W, C), weights w (KH, KW, C, K) and bias b (K,) or None::

        y[n, i, j, k] = b[k] + sum over kh, kw, c of x[n, i SH + kh, j SW + kw, c] w[kh, kw, c, k]

    where x is padded with zeros. dy has the shape of y. Nothing may be written to but the results.

    >>> import numpy as np
    >>> from minidl import backends
    >>> from minidl.kernels.window import sliding_window
    >>> spec = ConvSpec(1, 1, 2, sliding_window(4, 4, 3, 1, 0), np.float32)
    >>> x, w = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 2))
    >>> y, saved = choose("direct", spec, backends.default).forward(x, w, None, spec)
    >>> y.shape
    (1, 2, 2, 2)
    """

    name = ""
    """The name that it was chosen by."""

    def __init__(self, backend: "Backend") -> None:
        self.backend = backend
        self.xp = backend.xp

    def supports(self, spec: ConvSpec) -> bool:
        """Whether the algorithm can do this convolution on its backend."""
        return True

    def workspace(self, spec: ConvSpec) -> int:
        """About how many bytes it takes at its peak besides arguments and results; 0 where nobody has said."""
        return 0

    @abstractmethod
    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, Any]:
        """y, and whatever the gradients can use again (None is fine)."""

    @abstractmethod
    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: Any) -> Array:
        """dx, of the shape of x."""

    @abstractmethod
    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: Any) -> Array:
        """dw, of the shape of w."""

    def forward_pooled(
        self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window, needs_grad: bool
    ) -> tuple[Array, Pooled | None]:
        """relu(max_pool(conv(x, w, b))), an array (N, POH, POW, K), and what its gradients need, if they are wanted.

        This is the composition. An algorithm that can do better replaces both methods, for the windows that it can.
        """
        convolved, saved = self.forward(x, w, b, spec)
        maxima, argmax = self.backend.max_pool(convolved, pool)
        y = self.backend.relu(maxima)
        return y, Pooled(x, w, y, argmax, spec, pool, saved) if needs_grad else None

    def backward_pooled(
        self, dy: Array, pooled: Pooled, needs_grad: Sequence[bool]
    ) -> tuple[Array | None, Array | None, Array | None]:
        """dx, dw and db, None for those that are not needed, given dy (N, POH, POW, K)."""
        needs_dx, needs_dw, needs_db = needs_grad
        through_relu = self.backend.relu_backward(dy, pooled.y)
        db = self.backend.sum_to_channels(through_relu) if needs_db else None
        if not (needs_dx or needs_dw):
            return None, None, db
        dy = self.backend.max_pool_backward(through_relu, pooled.argmax, pooled.pool)
        dx = self.input_gradient(dy, pooled.w, pooled.spec, pooled.saved) if needs_dx else None
        dw = self.weight_gradient(pooled.x, dy, pooled.spec, pooled.saved) if needs_dw else None
        return dx, dw, db


class _Choice(threading.local):
    algorithm = "auto"
    fusion = True

    def __init__(self) -> None:
        self.inside: list[using] = []

    def change(self) -> None:
        """What the contexts say together that this thread is inside of; the innermost counts."""
        self.algorithm, self.fusion = "auto", True
        for context in self.inside:
            self.algorithm = self.algorithm if context.conv_algorithm is None else context.conv_algorithm
            self.fusion = self.fusion if context.fusion is None else context.fusion


_choice = _Choice()


class using(Decorating):  # noqa: N801 - named as everybody writes it
    """Decide, for this thread, how convolutions are computed; as a context or a decorator, of generators too.

    ``conv_algorithm`` is what convolutions that say "auto" use; ``fusion=False`` keeps ``Sequential`` from computing
    convolution, ReLU and max pooling in one pass. Both count in the forward pass, the backward pass follows it.
    Contexts may be nested, and end in any order. Raises :class:`MinidlError` for what is neither a name nor True or
    False, and for a name that nobody registered.

    >>> with using(conv_algorithm="direct"):
    ...     pass
    """

    def __init__(self, *, conv_algorithm: str | None = None, fusion: bool | None = None) -> None:
        if not isinstance(conv_algorithm, str | None):
            raise MinidlError(f"conv_algorithm is the name of an algorithm, got {conv_algorithm!r}")
        if not isinstance(fusion, bool | None):
            raise MinidlError(f"fusion is True or False, got {fusion!r}")
        if conv_algorithm is not None and conv_algorithm != "auto":
            plugins.get("conv_algorithm", conv_algorithm)  # an unknown name fails here, not somewhere in a model
        self.conv_algorithm, self.fusion = conv_algorithm, fusion

    def __enter__(self) -> None:
        _choice.inside.append(self)
        _choice.change()

    def __exit__(self, *error: object) -> None:
        for place in reversed(range(len(_choice.inside))):  # none of them, where another thread ends a generator
            if _choice.inside[place] is self:
                del _choice.inside[place]
                break
        _choice.change()

    def again(self) -> "using":
        return using(conv_algorithm=self.conv_algorithm, fusion=self.fusion)


def fusion_allowed() -> bool:
    """Whether several layers may be computed in one pass.

    >>> with using(fusion=False):
    ...     fusion_allowed()
    False
    """
    return _choice.fusion


def chosen() -> tuple[Any, ...]:
    """What decides about convolutions now: the algorithm and the fusion of :func:`using`, and what is registered.

    >>> with using(conv_algorithm="direct"):
    ...     chosen()[:2]
    ('direct', True)
    """
    return _choice.algorithm, _choice.fusion, plugins.registered("conv_algorithm")


def choose(name: str, spec: ConvSpec, backend: "Backend") -> ConvAlgorithm:
    """The algorithm of that name; for "auto" the one of :func:`using`, or the backend's first that supports the sizes.

    Raises :class:`MinidlError` if the algorithm that was asked for cannot do it on this backend, naming those that can.

    >>> from minidl import backends
    >>> from minidl.kernels.window import sliding_window
    >>> choose("direct", ConvSpec(1, 1, 2, sliding_window(4, 4, 3, 1, 0), "float32"), backends.default).name
    'direct'
    """
    names = _candidates(name, spec, backend)
    algorithm = next((one for one in _instances(names, backend) if one.supports(spec)), None)
    if algorithm is None:
        raise MinidlError(
            f"the algorithm '{names[0]}' cannot do this convolution of {spec} on the backend "
            f"'{backend.name}', which has for it: {', '.join(_able(spec, backend))}"
        )
    return algorithm


def _able(spec: ConvSpec, backend: "Backend") -> list[str]:
    """The names of all algorithms that can do a convolution on a backend."""
    able = []
    for name in plugins.names("conv_algorithm"):
        with contextlib.suppress(Exception):  # a stranger's may raise anything, and is not what was asked for
            if _instance(name, backend).supports(spec):
                able.append(name)
    return able


def _candidates(name: str, spec: ConvSpec, backend: "Backend") -> Sequence[str]:
    wanted = _choice.algorithm if name == "auto" else name
    return backend.convolutions(spec) if wanted == "auto" else [wanted]


def _instances(names: Iterable[str], backend: "Backend") -> Iterator[ConvAlgorithm]:
    """One after another: mostly, the first is taken."""
    return (_instance(name, backend) for name in names)


def _instance(name: str, backend: "Backend") -> ConvAlgorithm:
    return _made(plugins.get("conv_algorithm", name), name, backend)


@functools.cache
def _made(plugin: Callable[["Backend"], ConvAlgorithm], name: str, backend: "Backend") -> ConvAlgorithm:
    """An instance for each plugin, not for each name: another one may be registered under it."""
    algorithm = plugin(backend)
    algorithm.name = name
    return algorithm
