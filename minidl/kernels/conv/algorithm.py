"""The interface of convolution algorithms. :mod:`minidl.backends.choice` chooses one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import counted
from ...shortcuts import Methods
from ..reference import ReferenceKernels
from ..window import Window

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
            f"{window.H}x{window.W} pixels in {counted(self.C, 'channel')} with {counted(self.K, 'filter')} of "
            f"{window.KH}x{window.KW}, "
            f"stride ({window.SH}, {window.SW}), {self.dtype}"
        )

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(N, OH, OW, K)"""
        return self.N, self.window.OH, self.window.OW, self.K

    @property
    def flops(self) -> int:
        """Multiplications and additions of the direct convolution, including the bias."""
        window = self.window
        return self.N * window.OH * window.OW * self.K * (2 * window.KH * window.KW * self.C + 1)


@dataclass(frozen=True)
class Pooled:
    """What :meth:`ConvAlgorithm.forward_pooled` saves for the backward pass.

    ``x`` and ``w`` are its inputs, ``y`` (N, POH, POW, K) its output, ``argmax`` the tap of the window ``pool`` that
    held each maximum, and ``saved`` anything else that the algorithm can reuse.

    >>> import numpy as np
    >>> from minidl import backends, plugins
    >>> from minidl.kernels.window import sliding_window
    >>> x, w, b = np.arange(16.0).reshape(1, 4, 4, 1), np.ones((1, 1, 1, 1)), np.zeros(1)
    >>> spec, pool = ConvSpec(1, 1, 1, sliding_window(4, 4, 1, 1, 0), np.float64), sliding_window(4, 4, 2, 2, 0)
    >>> direct = plugins.build("conv_algorithm", "direct", backends.default)
    >>> _, pooled = direct.forward_pooled(x, w, b, spec, pool, True)
    >>> pooled.y[0, ..., 0], pooled.argmax[0, ..., 0]
    (array([[ 5.,  7.],
           [13., 15.]]), array([[3, 3],
           [3, 3]], dtype=uint8))
    """

    x: Array
    w: Array
    y: Array
    argmax: Array
    spec: ConvSpec
    pool: Window
    saved: Any = None


PASSES = ("forward", "input_gradient", "weight_gradient")
"""The methods that define an algorithm."""


class ConvAlgorithm(ABC):
    """A way to compute a convolution (as usual in deep learning, a cross-correlation) and its two gradients.

    For images x (N, H, W, C), weights w (KH, KW, C, K) and bias b (K,) or None::

        y[n, i, j, k] = b[k] + sum over kh, kw, c of x[n, i SH + kh, j SW + kw, c] w[kh, kw, c, k]

    where x is padded with zeros. dy has the shape of y. Arguments must not be modified.

    >>> import numpy as np
    >>> from minidl import backends, plugins
    >>> from minidl.kernels.window import sliding_window
    >>> spec = ConvSpec(1, 1, 2, sliding_window(4, 4, 3, 1, 0), np.float32)
    >>> x, w = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 2))
    >>> y, saved = plugins.build("conv_algorithm", "direct", backends.default).forward(x, w, None, spec)
    >>> y.shape
    (1, 2, 2, 2)
    """

    name = ""
    """The name it is registered under."""
    _of_fused: ClassVar[Methods]
    """The passes for which :meth:`forward_fused` stands, in classes that define it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "forward_fused" in vars(cls):
            cls._of_fused = Methods(cls, *PASSES, shortcut="forward_pooled")

    def __init__(self, backend: ReferenceKernels) -> None:
        self.backend = backend
        self.xp = backend.xp

    def supports(self, spec: ConvSpec) -> bool:
        """Whether the algorithm can compute this convolution on its backend."""
        return True

    def workspace(self, spec: ConvSpec) -> int:
        """Approximate peak memory in bytes, in addition to arguments and results; 0 if unknown."""
        return 0

    @abstractmethod
    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, Any]:
        """y, and anything that the gradients can reuse, or None."""

    @abstractmethod
    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: Any) -> Array:
        """dx, with the shape of x."""

    @abstractmethod
    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: Any) -> Array:
        """dw, with the shape of w."""

    def forward_pooled(
        self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window, needs_grad: bool
    ) -> tuple[Array, Pooled | None]:
        """relu(max_pool(conv(x, w, b))), an array (N, POH, POW, K), and what its gradients need if ``needs_grad``.

        This is :meth:`forward_fused` if it supports the window and stands for the passes in use, else the composition
        of the separate passes: a subclass may override one of them, see :mod:`minidl.shortcuts`.
        """
        if self._is_fused(spec, pool):
            return self.forward_fused(x, w, b, spec, pool, needs_grad)
        return self._forward_composed(x, w, b, spec, pool, needs_grad)

    def backward_pooled(
        self, dy: Array, pooled: Pooled, needs_grad: Sequence[bool]
    ) -> tuple[Array | None, Array | None, Array | None]:
        """dx, dw and db, None for those that are not needed, given dy (N, POH, POW, K)."""
        if self._is_fused(pooled.spec, pooled.pool):
            return self.backward_fused(dy, pooled, needs_grad)
        return self._backward_composed(dy, pooled, needs_grad)

    def fuses(self, spec: ConvSpec, pool: Window) -> bool:
        """Whether :meth:`forward_fused` and :meth:`backward_fused` support this pooling; an algorithm with both
        overrides this.
        """
        return False

    def forward_fused(
        self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window, needs_grad: bool
    ) -> tuple[Array, Pooled | None]:
        """As :meth:`forward_pooled`, in one pass."""
        raise NotImplementedError

    def backward_fused(
        self, dy: Array, pooled: Pooled, needs_grad: Sequence[bool]
    ) -> tuple[Array | None, Array | None, Array | None]:
        """As :meth:`backward_pooled`, in one pass."""
        raise NotImplementedError

    def _is_fused(self, spec: ConvSpec, pool: Window) -> bool:
        return self.fuses(spec, pool) and self._of_fused.belong_to(self)

    def _forward_composed(
        self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window, needs_grad: bool
    ) -> tuple[Array, Pooled | None]:
        convolved, saved = self.forward(x, w, b, spec)
        maxima, argmax = self.backend.max_pool(convolved, pool)
        y = self.backend.relu(maxima)
        return y, Pooled(x, w, y, argmax, spec, pool, saved) if needs_grad else None

    def _backward_composed(
        self, dy: Array, pooled: Pooled, needs_grad: Sequence[bool]
    ) -> tuple[Array | None, Array | None, Array | None]:
        needs_dx, needs_dw, needs_db = needs_grad
        through_relu = self.backend.relu_backward(dy, pooled.y)
        db = self.backend.sum_to_channels(through_relu) if needs_db else None
        if not (needs_dx or needs_dw):
            return None, None, db
        dy = self.backend.max_pool_backward(through_relu, pooled.argmax, pooled.pool)
        dx = self.input_gradient(dy, pooled.w, pooled.spec, pooled.saved) if needs_dx else None
        dw = self.weight_gradient(pooled.x, dy, pooled.spec, pooled.saved) if needs_dw else None
        return dx, dw, db
