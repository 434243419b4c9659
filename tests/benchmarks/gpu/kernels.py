"""Every kernel of a backend on new random arrays, against NumPy in float64; new memory is poisoned with NaN."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from minidl import backends
from minidl.backends import Backend
from minidl.backends.choice import choose
from minidl.kernels.conv import Direct
from minidl.kernels.reference import AdamStep
from minidl.kernels.window import sliding_window
from minidl.nn import functional as F
from minidl.ops.conv import conv_spec
from minidl.tensor import Tensor, tensor
from minidl.testing.arrays import distance

Array = Any
POISON = 0xFF
"""Floats with these bytes are NaN."""
LAYERS = ((128, 1, 32), (63, 32, 64), (30, 64, 128), (14, 128, 256))
"""Pixels, channels and filters of the 3x3 convolutions of the documented network, each with ReLU and 2x2 pooling."""
LIMITS = {"float32": 2e-5, "tf32": 3e-3}
"""The tolerance, relative to the largest value: sums have up to some thousand terms."""


@dataclass(frozen=True)
class Check:
    """The largest error of a kernel, and whether it is small enough."""

    kernel: str
    precision: str
    error: float

    @property
    def passed(self) -> bool:
        """NaN, the value of poisoned memory, does not pass."""
        return self.error <= LIMITS[self.precision]


def check(backend: Backend, seed: int, batch: int = 4, layers: Any = LAYERS) -> list[Check]:
    """Check all kernels at every precision of the backend, and restore its precision."""
    before, checks = backend.precision, []
    try:
        for precision in backend.precisions:
            backend.set_precision(precision)
            with poisoned(backend.xp):
                checks += [Check(name, precision, error) for name, error in _errors(backend, seed, batch, layers)]
    finally:
        backend.set_precision(before)
    return checks


@contextlib.contextmanager
def poisoned(xp: Any) -> Iterator[None]:
    """Fills new CuPy memory with NaN, so that elements that a kernel does not write are detected."""
    if not hasattr(xp, "get_default_memory_pool"):
        yield
        return
    pool = xp.get_default_memory_pool()

    def malloc(size: int) -> Any:
        memory = pool.malloc(size)
        if size:
            memory.memset_async(POISON, size, xp.cuda.get_current_stream())
        return memory

    with xp.cuda.using_allocator(malloc):
        yield


def _errors(backend: Backend, seed: int, batch: int, layers: Any) -> Iterator[tuple[str, float]]:
    rng = np.random.default_rng(seed)
    for size, C, K in layers:
        yield _fused(backend, rng, (batch, size, size, C), (3, 3, C, K))
        yield _plain(backend, rng, (batch, size, size, C), (3, 3, C, K), 1)
    size, C, K = layers[-1]
    yield _plain(backend, rng, (batch, size + 1, size, C), (3, 2, C, K), 2)
    for name, one in OTHERS.items():
        yield name, one(backend, rng)


def _fused(backend: Backend, rng: Any, images: Any, weights: Any) -> tuple[str, float]:
    """Fused convolution, ReLU and pooling, and the backward pass."""
    x, w, b = _layer(rng, images, weights)
    spec = conv_spec(x, w, b, 1, 0)
    pool = sliding_window(spec.window.OH, spec.window.OW, 2, 2, 0)
    algorithm = choose("auto", spec, backend)
    there: list[Any] = [backend.asarray(array) for array in (x, w, b)]
    y, pooled = algorithm.forward_pooled(there[0], there[1], there[2], spec, pool, True)
    assert pooled is not None
    dy = _normal(rng, y.shape)
    wanted: Any = algorithm.backward_pooled(backend.asarray(dy), pooled, (True, True, True))
    y, argmax, *gradients = (backend.to_numpy(array) for array in (y, pooled.argmax, *wanted))

    numpy, direct = backends.get("numpy"), Direct(backends.get("numpy"))
    x, w, b, dy = (array.astype(np.float64) for array in (x, w, b, dy))
    convolved, _ = direct.forward(x, w, b, spec)
    maxima, _ = numpy.max_pool(convolved, pool)
    # Rounding may decide between two pixels: the selected one must be as large, and gets the gradient.
    taken = numpy.max_pool_backward(np.ones_like(dy), argmax, pool) * convolved
    through = numpy.max_pool_backward(np.where(y > 0, dy, 0), argmax, pool)
    dx, dw = direct.input_gradient(through, w, spec, None), direct.weight_gradient(x, through, spec, None)
    pairs = [
        (y, np.maximum(maxima, 0)),
        (np.maximum(_sums_of_windows(taken), 0), np.maximum(maxima, 0)),
        *zip(gradients, (dx, dw, through.sum((0, 1, 2))), strict=True),
    ]
    return f"{algorithm.name}, pooled: {spec}", _worst(pairs)


def _plain(backend: Backend, rng: Any, images: Any, weights: Any, stride: int) -> tuple[str, float]:
    """A convolution and its gradients."""
    x, w, b = _layer(rng, images, weights)
    spec = conv_spec(x, w, b, stride, 1)
    dy = _normal(rng, spec.output_shape)
    algorithm = choose("auto", spec, backend)

    def results(one: Any, x: Array, w: Array, b: Array, dy: Array) -> list[Array]:
        y, saved = one.forward(x, w, b, spec)
        return [y, one.input_gradient(dy, w, spec, saved), one.weight_gradient(x, dy, spec, saved)]

    got = results(algorithm, *(backend.asarray(array) for array in (x, w, b, dy)))
    expected = results(Direct(backends.get("numpy")), *(array.astype(np.float64) for array in (x, w, b, dy)))
    pairs = zip((backend.to_numpy(array) for array in got), expected, strict=True)
    return f"{algorithm.name}: {spec}", _worst(pairs)


def _max_pool(backend: Backend, rng: Any) -> float:
    x = np.round(_normal(rng, (4, 31, 30, 33)), 1)  # with ties
    window = sliding_window(31, 30, 3, 2, 1)
    y, argmax = backend.max_pool(backend.asarray(x), window)
    dx = backend.max_pool_backward(y, argmax, window)
    numpy = backends.get("numpy")
    maxima, taps = numpy.max_pool(x, window)
    expected = maxima, taps, numpy.max_pool_backward(maxima, taps, window)
    return _worst(zip(map(backend.to_numpy, (y, argmax, dx)), expected, strict=True))


def _relu_backward(backend: Backend, rng: Any) -> float:
    dy, y = _normal(rng, (700, 33)), _normal(rng, (700, 33))
    got = backend.relu_backward(backend.asarray(dy), backend.asarray(y))
    return distance(backend.to_numpy(got), np.where(y > 0, dy, 0))


def _sum_to_channels(backend: Backend, rng: Any) -> float:
    dy = _normal(rng, (9, 31, 30, 65)) + 1
    got = backend.to_numpy(backend.sum_to_channels(backend.asarray(dy)))
    return distance(got, dy.astype(np.float64).sum((0, 1, 2)))


def _adam(backend: Backend, rng: Any) -> float:
    step = AdamStep(lr=0.01, unbias=1.7, beta1=0.8, beta2=0.999, eps=1e-3, keep=0.99)
    shapes = [(700, 33), *((1 + 13 * i,) for i in range(100))]  # more parameters than one launch takes
    tensors: Any = [[_normal(rng, shape) for _ in range(3)] + [np.square(_normal(rng, shape))] for shape in shapes]
    there: Any = [[backend.asarray(array) for array in arrays] for arrays in tensors]
    expected: Any = [[array.astype(np.float64) for array in arrays] for arrays in tensors]
    for where, chosen in ((backend, there), (backends.get("numpy"), expected)):
        where.adam(chosen, step)
    pairs = zip(chain(*there), chain(*expected), strict=True)
    return _worst((backend.to_numpy(got), wanted) for got, wanted in pairs)


def _loss(call: Callable[[Tensor, Array], Tensor], targets: Callable[[Array], Array]) -> "Kernel":
    """The check of a loss and its gradient, for targets that are made from random values."""

    def one(backend: Backend, rng: Any) -> float:
        x, t = _normal(rng, (701, 33)), targets(_normal(rng, (701, 33)))

        def results(where: Backend, x: Array) -> list[Array]:
            predictions = tensor(where.asarray(x), requires_grad=True)
            loss = call(predictions, where.asarray(t))
            loss.backward()
            return [where.to_numpy(array) for array in (loss.data, predictions.grad)]

        return _worst(zip(results(backend, x), results(backends.get("numpy"), x.astype(np.float64)), strict=True))

    return one


def _gather_images(backend: Backend, rng: Any) -> float:
    pairs = []
    for shape in ((9, 32, 64, 1), (9, 31, 33, 1), (9, 31, 33, 3)):  # several bytes at once, and byte by byte
        pixels = rng.integers(0, 256, shape, np.uint8)
        indices, mirror = rng.integers(0, len(pixels), 12), rng.random(12) < 0.5
        there = map(backend.asarray, (pixels, indices, mirror))
        expected = np.where(mirror[:, None, None, None], pixels[indices, :, ::-1], pixels[indices]) / 255
        pairs += [(backend.to_numpy(backend.gather_images(*there)), expected)]
    return _worst(pairs)


def _matmul(backend: Backend, rng: Any) -> float:
    a, b = _normal(rng, (70, 300)), _normal(rng, (300, 50))
    got = backend.to_numpy(backend.matmul(backend.asarray(a), backend.asarray(b)))
    return distance(got, a.astype(np.float64) @ b)


def _matmul_in_a_graph(backend: Any, rng: Any) -> float:
    """The matrix products of a dense layer and its gradients."""
    x, w, dy = _normal(rng, (100, 600)), _normal(rng, (600, 40)), _normal(rng, (100, 40))
    with backend.only_capturable():
        x_there, w_there, dy_there = [backend.asarray(array) for array in (x, w, dy)]
        products = (x_there, w_there), (dy_there, w_there.T), (x_there.T, dy_there)
        got = [backend.to_numpy(backend.matmul(*factors)) for factors in products]
    x, w, dy = (array.astype(np.float64) for array in (x, w, dy))
    return _worst(zip(got, (x @ w, dy @ w.T, x.T @ dy), strict=True))


Kernel = Callable[[Backend, Any], float]
OTHERS: dict[str, Kernel] = {
    "max pooling": _max_pool,
    "ReLU, backward": _relu_backward,
    "sums over rows": _sum_to_channels,
    "binary cross-entropy": _loss(F.binary_cross_entropy_with_logits, lambda t: np.float32(t > 0)),
    "L1 loss": _loss(F.l1_loss, np.asarray),
    "MSE loss": _loss(F.mse_loss, np.asarray),
    "Huber loss": _loss(F.huber_loss, np.asarray),
    "softmax cross-entropy": _loss(F.softmax_cross_entropy, lambda t: t.argmax(axis=1)),
    "Adam": _adam,
    "pictures of a batch": _gather_images,
    "matrix product": _matmul,
    "matrix product in a graph": _matmul_in_a_graph,
}


def _layer(rng: Any, images: Any, weights: Any) -> tuple[Array, Array, Array]:
    scale = np.float32(np.prod(weights[:3]) ** -0.5)
    return _normal(rng, images), scale * _normal(rng, weights), _normal(rng, weights[3:])


def _normal(rng: Any, shape: Any) -> Array:
    return rng.standard_normal(shape, np.float32)


def _sums_of_windows(x: Array) -> Array:
    """A pooling window of 2x2 pixels."""
    N, H, W, C = x.shape
    return x[:, : H // 2 * 2, : W // 2 * 2].reshape(N, H // 2, 2, W // 2, 2, C).sum((2, 4))


def _worst(pairs: Any) -> float:
    return max(distance(got, expected) for got, expected in pairs)
