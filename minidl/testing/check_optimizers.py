"""The requirements for an optimizer: in-place updates, a state per parameter that can be saved, and a falling loss."""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from .. import checkpoint
from ..nn import Module, Parameter
from ..optim import Optimizer
from .arrays import furthest, numbers, other_backends, same_bits
from .kit import CheckError, Subject, require

Array = Any
SHAPES = ((3, 4), (4,), (1, 1), ())
LR = 0.01


@dataclass(frozen=True)
class OptimizerExample:
    """A function that creates an optimizer from parameters and a learning rate (or schedule).

    >>> from minidl import optim
    >>> example = OptimizerExample(lambda parameters, lr: optim.SGD(parameters, lr, momentum=0.9))
    >>> OptimizerSubject("sgd", [example]).run().count("failed")
    0
    """

    make: Callable[..., Optimizer]
    label: str = ""

    def __str__(self) -> str:
        return self.label


class _Weights(Module):
    """Parameters of several shapes, with a loss that pulls them to a target."""

    def __init__(self, dtype: Any = np.float32, count: int = len(SHAPES)) -> None:
        super().__init__()
        self.p = [Parameter(numbers(*shape, seed=i).astype(dtype)) for i, shape in enumerate(SHAPES[:count])]

    def loss(self) -> Any:
        """Half the squared distance from 1, whose gradient is p - 1."""
        total: Any = 0.0
        for p in self.parameters():
            total = total + ((p - 1.0) ** 2).sum() / 2
        return total

    def arrays(self) -> list[Array]:
        """Copies of all parameters."""
        return list(self.state_dict().values())


class OptimizerSubject(Subject):
    """An optimizer with examples of its construction, each an :class:`OptimizerExample`."""

    kind: ClassVar[str] = "optimizer"

    def __init__(self, name: str, examples: Iterable[OptimizerExample]) -> None:
        super().__init__(name, examples)

    def check_in_place(self, example: OptimizerExample) -> None:
        """A step changes every parameter in place and keeps its dtype."""
        for dtype in (np.float32, np.float64):
            weights = _Weights(dtype)
            arrays, before = [p.data for p in weights.parameters()], weights.arrays()
            _train(example.make(weights.parameters(), lr=LR), weights, steps=1)
            for p, array, old in zip(weights.parameters(), arrays, before, strict=True):
                require(p.data is array, f"{p.name} is another array after the step: change param in place")
                require(p.dtype == dtype, f"{p.name} became {p.dtype}, it was {np.dtype(dtype)}")
                require(not np.array_equal(array, old), f"{p.name} has not moved: change param in place")

    def check_gradients_unchanged(self, example: OptimizerExample) -> None:
        """A step does not modify the gradients."""
        weights = _Weights()
        optimizer = example.make(weights.parameters(), lr=LR)
        for _ in range(2):
            optimizer.zero_grad()
            weights.loss().backward()
            before = [np.array(p.grad) for p in weights.parameters()]
            optimizer.step()
            require(same_bits([p.grad for p in weights.parameters()], before), "a step changes the gradients")

    def check_layouts(self, example: OptimizerExample) -> None:
        """The memory layout of gradients does not matter: strided and Fortran-ordered ones give the same update."""
        results = []
        for arrange in (partial(np.array, order="C"), partial(np.array, order="F"), _with_gaps):
            weights = _Weights()
            optimizer = example.make(weights.parameters(), lr=LR)
            for _ in range(3):
                optimizer.zero_grad()
                weights.loss().backward()
                for p in weights.parameters():
                    p.grad = arrange(p.grad)
                optimizer.step()
            results.append(weights.arrays())
            require(
                furthest(results[-1], results[0]) < 1e-6,
                "the update depends on the memory layout of gradients: do not rely on it",
            )

    def check_state_of_its_own(self, example: OptimizerExample) -> None:
        """The state of one parameter does not affect another."""
        remedy = "keep everything that you remember in `state`"
        together, alone = _Weights(), _Weights(count=1)
        _train(example.make(alone.parameters(), lr=LR), alone, steps=4)
        try:
            _train(example.make(together.parameters(), lr=LR), together, steps=4)
        except ValueError as error:  # the shapes of another parameter do not fit
            raise CheckError(f"it works for one parameter, but fails for several ({error}): {remedy}") from error
        require(
            same_bits(together.arrays()[:1], alone.arrays()),
            f"a parameter is updated differently if there are others: {remedy}",
        )

    def check_state(self, example: OptimizerExample) -> None:
        """Training that is saved to a file and resumed gives bitwise the same weights as without interruption."""
        whole, resumed = _Weights(), _Weights()
        _train(example.make(whole.parameters(), lr=LR), whole, steps=6)
        first = example.make(resumed.parameters(), lr=LR)
        _train(first, resumed, steps=3)
        with tempfile.TemporaryDirectory() as folder:
            try:
                checkpoint.save_state(f"{folder}/state.safetensors", first.state_dict())
            except TypeError as error:
                require(False, f"the state cannot be saved ({error}): it may hold only arrays and numbers")
            state = checkpoint.load_state(f"{folder}/state.safetensors")
        second = example.make(resumed.parameters(), lr=LR)
        second.load_state_dict(state)
        _train(second, resumed, steps=3)
        require(
            same_bits(whole.arrays(), resumed.arrays()),
            "resumed training differs: keep everything that you remember in `state`",
        )

    def check_missing_gradients(self, example: OptimizerExample) -> None:
        """A parameter without a gradient is not changed."""
        weights = _Weights()
        optimizer = example.make(weights.parameters(), lr=LR)
        weights.loss().backward()
        idle = weights.parameters()[0]
        idle.grad, before = None, idle.numpy().copy()
        optimizer.step()
        require(same_bits([idle.numpy()], [before]), f"{idle.name} moved though it has no gradient")

    def check_learning_rate(self, example: OptimizerExample) -> None:
        """The learning rate of a schedule is used: at 0 nothing changes, after that everything does."""
        weights = _Weights()
        optimizer = example.make(weights.parameters(), lr=lambda step: 0.0 if step < 2 else LR)
        before = weights.arrays()
        _train(optimizer, weights, steps=2)
        require(same_bits(weights.arrays(), before), "parameters move at a learning rate of 0: use self.lr")
        _train(optimizer, weights, steps=1)
        require(not same_bits(weights.arrays(), before), "nothing moves at a positive learning rate: use self.lr")

    def check_descent(self, example: OptimizerExample) -> None:
        """The loss of a simple problem falls: in the first step, and below a half in 300 more at one of three rates.

        Optimizers need rates of different sizes: Adagrad's steps shrink, so 300 steps at 0.01 are not enough.
        """
        ends = []
        for lr in (LR, 10 * LR, 100 * LR):
            weights = _Weights(np.float64)
            optimizer = example.make(weights.parameters(), lr=lr)
            start = weights.loss().item()
            _train(optimizer, weights, steps=1)
            first = weights.loss().item()
            # a large rate may overshoot the minimum, the smallest one must not
            require(lr > LR or first < start, f"the first step leads from {start:.6g} to {first:.6g}")
            _train(optimizer, weights, steps=300)
            end = weights.loss().item()
            if end < first / 2:
                return
            ends.append(f"from {first:.4g} to {end:.4g} with lr={lr:g}")
        require(False, f"300 steps lead the loss {', '.join(ends)}: expected less than a half with one of these")

    def check_repeats(self, example: OptimizerExample) -> None:
        """Two identical trainings give bitwise equal weights."""
        results = []
        for _ in range(2):
            weights = _Weights()
            _train(example.make(weights.parameters(), lr=LR), weights, steps=4)
            results.append(weights.arrays())
        require(same_bits(*results), "the same training gives different weights the second time")

    def check_backends(self, example: OptimizerExample) -> None:
        """The other backends, including the stand-in for CuPy, give the same results as NumPy."""
        expected = _Weights(np.float64)
        _train(example.make(expected.parameters(), lr=LR), expected, steps=4)
        for backend in other_backends():
            weights = _Weights(np.float64).to(backend)
            _train(example.make(weights.parameters(), lr=LR), weights, steps=4)
            error = furthest(weights.arrays(), expected.arrays())
            require(error < 1e-10, f"'{backend}' differs by {error:.2g}")


def _with_gaps(array: Array) -> Array:
    """The same values, as every second element of a larger array."""
    spread = np.zeros((*array.shape, 2), array.dtype)
    spread[..., 0] = array
    return spread[..., 0]


def _train(optimizer: Optimizer, weights: _Weights, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        weights.loss().backward()
        optimizer.step()
