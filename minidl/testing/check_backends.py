"""The requirements for a backend: the same results as NumPy in every op, and lossless conversion of arrays."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .. import backends, nn, optim
from ..backends import Backend
from ..tensor import tensor
from .arrays import distance, furthest, numbers, same_bits
from .check_ops import OpExample, evaluate
from .examples import OPS
from .kit import Subject, require


class BackendSubject(Subject):
    """A backend, by its registered name; its one example is the backend itself.

    >>> BackendSubject("numpy").run().count("failed")
    0
    """

    kind: ClassVar[str] = "backend"

    def __init__(self, name: str) -> None:
        super().__init__(name, [backends.get(name)])

    def check_round_trip(self, backend: Backend) -> None:
        """Arrays of every dtype and shape survive a round trip unchanged, and an array of the backend is not copied."""
        for dtype in (np.float32, np.float64, np.uint8, np.int64, np.bool_):
            for shape in ((2, 3), (), (0, 4)):
                array = (numbers(*shape, low=0, high=9)).astype(dtype)
                there = backend.asarray(array)
                require(isinstance(there, backend.array_type), f"asarray returns {type(there).__name__}")
                require(there.dtype == dtype and there.shape == shape, f"{array.dtype} {shape} becomes {there.dtype}")
                require(same_bits([backend.to_numpy(there)], [array]), f"{array.dtype} {shape} comes back different")
                require(backend.asarray(there) is there, "asarray copies an array of the backend")

    def check_conversion(self, backend: Backend) -> None:
        """asarray converts to the requested dtype."""
        there = backend.asarray(np.array([1.9, 2.1]), np.float32)
        require(there.dtype == np.float32, f"asarray with dtype float32 returns {there.dtype}")

    def check_ops(self, backend: Backend) -> None:
        """Every op has the same outputs and gradients as on NumPy, in float32 and float64."""
        for name, examples in OPS.items():
            for example in examples:
                if example.portable:
                    self._check_op(name, example)

    def _check_op(self, name: str, example: OpExample) -> None:
        for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-4)):
            error = furthest(evaluate(example, dtype=dtype, backend=self.name), evaluate(example, dtype=dtype))
            label = f"{name} ({example})" if example.label else name
            require(error < tolerance, f"{label} differs by {error:.2g} in {np.dtype(dtype)}")

    def check_ties(self, backend: Backend) -> None:
        """Ties in a pooling window go to the first value, as on every backend."""
        x = tensor(np.zeros((1, 4, 4, 1)), requires_grad=True, backend=self.name)
        nn.functional.max_pool2d(x, 2).sum().backward()
        expected = np.zeros((4, 4))
        expected[::2, ::2] = 1
        require(np.array_equal(backend.to_numpy(x.grad)[0, :, :, 0], expected), "ties do not go to the first")

    def check_training(self, backend: Backend) -> None:
        """Three training steps give the same weights as on NumPy."""
        weights = [_trained(name) for name in (self.name, "numpy")]
        error = max(distance(weights[0][name], weights[1][name]) for name in weights[1])
        require(error < 1e-9, f"after three steps the weights differ by {error:.2g}")


def _trained(backend: str) -> Mapping[str, Any]:
    model = nn.Sequential(nn.Conv2D(1, 3, 3), nn.ReLU(), nn.MaxPooling2D(2), nn.Flatten(), nn.Dense(18, 4))
    for number, parameter in enumerate(model.astype(np.float64).parameters()):
        parameter.data = numbers(*parameter.shape, low=-0.5, high=0.5, seed=number)
    optimizer = optim.Adam(model.to(backend).parameters())
    for _ in range(3):
        outputs = model(tensor(numbers(4, 6, 8, 1), backend=backend))
        optimizer.zero_grad()
        nn.functional.softmax_cross_entropy(outputs, np.array([0, 3, 1, 1])).backward()
        optimizer.step()
    return model.state_dict()
