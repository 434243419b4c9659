"""The requirements for a convolution algorithm: the results of the direct one, for every convolution it supports."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .. import backends, threads
from ..backends import Backend
from ..errors import BackendError, MinidlError, counted
from ..kernels.conv import ConvAlgorithm, ConvSpec, Direct
from ..kernels.window import Padding, Pair, Window, sliding_window
from ..ops.conv import conv_spec
from .arrays import ARRANGEMENTS, distance, furthest, numbers, other_backends, same_bits
from .kit import CheckError, NotApplicable, Subject, require

Array = Any
POOLS: tuple[tuple[Pair, Pair, Padding], ...] = (
    (2, 2, 0),
    (3, 2, 0),
    (2, 3, 0),
    ((1, 2), (2, 1), 0),
    (3, 2, 1),
    (2, 2, 1),
)
"""Sizes, strides and paddings of the pooling windows on which fused passes are checked."""


@dataclass(frozen=True)
class ConvExample:
    """The sizes of a convolution: x (N, H, W, C), w (KH, KW, C, K), stride and padding.

    >>> ConvExample((1, 5, 5, 2), (3, 3, 2, 4), {"padding": 1}).arrays()[-1].output_shape
    (1, 5, 5, 4)
    """

    x: tuple[int, int, int, int]
    w: tuple[int, int, int, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def __str__(self) -> str:
        return self.label

    def arrays(self, dtype: Any = np.float64) -> tuple[Array, Array, Array, Array, ConvSpec]:
        """x, w, b, dy and the spec."""
        x, w, b = numbers(*self.x), numbers(*self.w, seed=1), numbers(self.w[-1], seed=2)
        x, w, b = (array.astype(dtype) for array in (x, w, b))
        spec = conv_spec(x, w, b, self.options.get("stride", 1), self.options.get("padding", 0))
        return x, w, b, numbers(*spec.output_shape, seed=3).astype(dtype), spec


class ConvAlgorithmSubject(Subject):
    """A convolution algorithm on a backend, with examples of convolutions, each a :class:`ConvExample`."""

    kind: ClassVar[str] = "conv_algorithm"

    def __init__(
        self, name: str, algorithm: type[ConvAlgorithm], examples: Iterable[ConvExample], backend: str = "numpy"
    ) -> None:
        super().__init__(name, examples)
        self.backend: Backend = backends.get(backend)
        self.algorithm, self.direct = algorithm(self.backend), Direct(self.backend)

    def check_forward(self, example: ConvExample) -> None:
        """The output equals that of the direct convolution, with and without bias, in float32 and float64."""
        for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-4)):
            x, w, b, _, spec = self._arrays(example, dtype)
            for bias in (b, None):
                got, expected = (one.forward(x, w, bias, spec)[0] for one in (self.algorithm, self.direct))
                error = self._apart(got, expected)
                without = "" if bias is not None else " without bias"
                require(error < tolerance, f"y{without} differs by {error:.2g} in {np.dtype(dtype)}")

    def check_input_gradient(self, example: ConvExample) -> None:
        """dx equals that of the direct convolution."""
        self._check_gradient(example, 0)

    def check_weight_gradient(self, example: ConvExample) -> None:
        """dw equals that of the direct convolution."""
        self._check_gradient(example, 1)

    def _check_gradient(self, example: ConvExample, which: int) -> None:
        for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-4)):
            x, w, b, dy, spec = self._arrays(example, dtype)
            got, expected = (_all(one, x, w, b, dy, spec)[1 + which] for one in (self.algorithm, self.direct))
            error = self._apart(got, expected)
            require(error < tolerance, f"{('dx', 'dw')[which]} differs by {error:.2g} in {np.dtype(dtype)}")

    def check_adjoint(self, example: ConvExample) -> None:
        """<dy, conv(x, w)> = <dx, x> = <dw, w>, because a convolution is linear in both x and w."""
        x, w, _, dy, spec = self._arrays(example)
        y, dx, dw = (self.backend.to_numpy(array) for array in _all(self.algorithm, x, w, None, dy, spec))
        x, w, dy = (self.backend.to_numpy(array) for array in (x, w, dy))
        products = np.array([(dy * y).sum(), (dx * x).sum(), (dw * w).sum()])
        scale = max(float(np.abs(dy * y).sum()), 1e-30)
        require(np.ptp(products) < 1e-10 * scale, f"<dy, y>, <dx, x> and <dw, w> are {products}")

    def check_dtype(self, example: ConvExample) -> None:
        """float32 in gives float32 out."""
        for dtype in (np.float32, np.float64):
            for array in _all(self.algorithm, *self._arrays(example, dtype)):
                require(array.dtype == dtype, f"{np.dtype(dtype)} inputs gave {array.dtype}")

    def check_inputs_unchanged(self, example: ConvExample) -> None:
        """Inputs are not modified."""
        x, w, b, dy, spec = self._arrays(example)
        given = (x, w, b, dy)
        before = [self.backend.to_numpy(array).copy() for array in given]
        _all(self.algorithm, x, w, b, dy, spec)
        after = [self.backend.to_numpy(array) for array in given]
        require(same_bits(after, before), "it changes its inputs")

    def check_memory_order(self, example: ConvExample) -> None:
        """Images and weights in any memory order give the same results."""
        x, w, b, dy, spec = self._arrays(example)
        if not isinstance(x, np.ndarray):
            raise NotApplicable("for NumPy arrays only")
        expected = _all(self.algorithm, x, w, b, dy, spec)
        for arrange in ARRANGEMENTS:
            error = furthest(_all(self.algorithm, arrange(x), arrange(w), b, dy, spec), expected)
            require(error < 1e-11, f"{arrange.__name__} memory order changes the result ({error:.2g})")

    def check_repeats(self, example: ConvExample) -> None:
        """Results are bitwise equal every time, for any number of threads."""
        arrays = self._arrays(example, np.float32)
        expected = [self.backend.to_numpy(y).copy() for y in _all(self.algorithm, *arrays)]
        before, small = threads.get_num_threads(), threads.SMALL
        try:
            threads.SMALL = 0  # use the threads even for tiny examples
            for count in (1, 2, 3):
                threads.set_num_threads(count)
                got = [self.backend.to_numpy(y) for y in _all(self.algorithm, *arrays)]
                require(
                    same_bits(got, expected),
                    f"a different result with {counted(count, 'thread')}: fix the order of the sums",
                )
        finally:
            threads.set_num_threads(before)
            threads.SMALL = small

    def check_independence(self, example: ConvExample) -> None:
        """Results do not change when the algorithm computes something else."""
        x, w, b, dy, spec = self._arrays(example)
        expected = [self.backend.to_numpy(array).copy() for array in _all(self.algorithm, x, w, b, dy, spec)]
        y, saved = self.algorithm.forward(x, w, b, spec)
        _all(self.algorithm, 2 * x, 3 * w, b, 5 * dy, spec)
        dx = self.algorithm.input_gradient(dy, w, spec, saved)
        dw = self.algorithm.weight_gradient(x, dy, spec, saved)
        _all(self.algorithm, x * np.nan, w * np.nan, b, dy * np.nan, spec)
        got = [self.backend.to_numpy(array) for array in (y, dx, dw)]
        require(same_bits(got, expected), "a later call changes what this one returned or saved: copy scratch memory")

    def check_stale_memory(self, example: ConvExample) -> None:
        """A convolution of NaN does not affect later ones: memory is not read before it is written."""
        x, w, b, dy, spec = self._arrays(example)
        _all(self.algorithm, x * np.nan, w * np.nan, b, dy * np.nan, spec)
        for array in _all(self.algorithm, x, w, b, dy, spec):
            require(bool(np.isfinite(self.backend.to_numpy(array)).all()), "the result contains NaN of an earlier call")

    def check_empty(self, example: ConvExample) -> None:
        """An empty batch gives an empty output and gradients of 0."""
        empty = ConvExample((0, *example.x[1:]), example.w, example.options)
        x, w, b, dy, spec = self._arrays(empty)
        y, dx, dw = _all(self.algorithm, x, w, b, dy, spec)
        require(y.shape == spec.output_shape and dx.shape == x.shape, f"y and dx have shapes {y.shape} and {dx.shape}")
        require(not self.backend.to_numpy(dw).any(), "dw of no images is not 0")

    def check_pooled(self, example: ConvExample) -> None:
        """The fused pass with ReLU and max pooling equals the three separate ops, including ties."""
        x, w, b, _, spec = self._arrays(example)
        pools = list(_pools(spec))
        if not pools:
            raise NotApplicable("no pooling window fits into the output")
        for pool in pools:
            for inputs in ((x, w, b), (x, 0 * w, 0 * b), (x, 0 * w, 0 * b + 1)):
                self._check_pooled(*inputs, spec, pool)

    def _check_pooled(self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window) -> None:
        convolved, saved = self.algorithm.forward(x, w, b, spec)
        expected, taps = self.backend.max_pool(self.backend.relu(convolved), pool)
        y, pooled = self.algorithm.forward_pooled(x, w, b, spec, pool, True)
        require(self._apart(y, expected) < 1e-10, "y of the fused pass differs")
        inference, nothing = self.algorithm.forward_pooled(x, w, b, spec, pool, False)
        require(nothing is None, "the fused pass saves something for gradients that are not needed")
        require(self._apart(inference, y) == 0, "without gradients, y differs")
        if pooled is None:
            raise CheckError("the fused pass saves nothing for its gradients")
        dy = self.backend.asarray(numbers(*expected.shape, seed=4))
        unpooled = self.backend.max_pool_backward(dy, taps, pool)
        through = self.backend.relu_backward(unpooled, self.backend.relu(convolved))
        dx = self.algorithm.input_gradient(through, w, spec, saved)
        dw, db = self.algorithm.weight_gradient(x, through, spec, saved), self.backend.sum_to_channels(through)
        got = self.algorithm.backward_pooled(dy, pooled, (True, True, True))
        for name, one, other in zip(("dx", "dw", "db"), got, (dx, dw, db), strict=True):
            require(self._apart(one, other) < 1e-10, f"{name} of the fused pass differs")
        for wanted in ((False, True, False), (True, False, True)):
            some = self.algorithm.backward_pooled(dy, pooled, wanted)
            for name, one, other, needed in zip(("dx", "dw", "db"), some, got, wanted, strict=True):
                require(needed or one is None, f"the fused pass returns {name}, which is not needed")
                require(not needed or self._apart(one, other) == 0, f"{name} differs if not all gradients are needed")

    def _arrays(self, example: ConvExample, dtype: Any = np.float64) -> tuple[Array, Array, Array, Array, ConvSpec]:
        *arrays, spec = example.arrays(dtype)
        if not self.algorithm.supports(spec):
            raise NotApplicable("these sizes are not supported")
        x, w, b, dy = (self.backend.asarray(array) for array in arrays)
        return x, w, b, dy, spec

    def _apart(self, one: Array, other: Array) -> float:
        return distance(self.backend.to_numpy(one), self.backend.to_numpy(other))


def _all(algorithm: ConvAlgorithm, x: Array, w: Array, b: Array | None, dy: Array, spec: ConvSpec) -> list[Array]:
    """y, dx and dw."""
    y, saved = algorithm.forward(x, w, b, spec)
    return [y, algorithm.input_gradient(dy, w, spec, saved), algorithm.weight_gradient(x, dy, spec, saved)]


def _pools(spec: ConvSpec) -> Iterable[Window]:
    """The pooling windows of ``POOLS`` that fit into the output of a convolution."""
    for size, stride, padding in POOLS:
        try:
            yield sliding_window(spec.window.OH, spec.window.OW, size, stride, padding)
        except MinidlError:
            continue


def conv_subject(name: str, algorithm: type[ConvAlgorithm], examples: Iterable[ConvExample]) -> ConvAlgorithmSubject:
    """The algorithm on the first backend on which it supports any of the examples.

    Raises :class:`MinidlError` if there is none.

    >>> from minidl.kernels.conv import Direct
    >>> conv_subject("direct", Direct, [ConvExample((1, 5, 5, 2), (3, 3, 2, 4))]).run().count("failed")
    0
    """
    examples, reasons = list(examples), []
    for backend in ("numpy", *other_backends(), "emulated"):
        try:
            subject = ConvAlgorithmSubject(name, algorithm, examples, backend)
        except BackendError as error:
            reasons.append(str(error))
            continue
        if any(subject.algorithm.supports(example.arrays()[-1]) for example in examples):
            return subject
    why = " ".join(reasons)
    raise MinidlError(f"conv_algorithm '{name}' supports none of {len(examples)} convolutions here. {why}".rstrip())
