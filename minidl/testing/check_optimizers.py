"""What an optimizer owes: parameters changed in place, a state for each that can be saved, and a loss that falls."""

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
    """A function that makes an optimizer of parameters and a learning rate (or schedule).

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
    """Parameters of several shapes, and targets that they are drawn to."""

    def __init__(self, dtype: Any = np.float32, count: int = len(SHAPES)) -> None:
        super().__init__()
        self.p = [Parameter(numbers(*shape, seed=i).astype(dtype)) for i, shape in enumerate(SHAPES[:count])]

    def loss(self) -> Any:
        """Half the squared distance from 1, which gives the gradient p - 1."""
        total: Any = 0.0
        for p in self.parameters():
            total = total + ((p - 1.0) ** 2).sum() / 2
        return total

    def arrays(self) -> list[Array]:
        """Copies of all parameters."""
        return list(self.state_dict().values())


class OptimizerSubject(Subject):
    """An optimizer with ways to make it, each an :class:`OptimizerExample`."""

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
        """The gradients are still there after the step, as they were."""
        weights = _Weights()
        optimizer = example.make(weights.parameters(), lr=LR)
        for _ in range(2):
            optimizer.zero_grad()
            weights.loss().backward()
            before = [np.array(p.grad) for p in weights.parameters()]
            optimizer.step()
            require(same_bits([p.grad for p in weights.parameters()], before), "a step changes the gradients")

    def check_layouts(self, example: OptimizerExample) -> None:
        """Gradients that do not lie in one piece in memory, or column by column, move parameters as others do."""
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
                "parameters move elsewhere when gradients lie otherwise in memory: count on their indices alone",
            )

    def check_state_of_its_own(self, example: OptimizerExample) -> None:
        """What is remembered of one parameter has no influence on another."""
        remedy = "keep what you remember in `state`"
        together, alone = _Weights(), _Weights(count=1)
        _train(example.make(alone.parameters(), lr=LR), alone, steps=4)
        try:
            _train(example.make(together.parameters(), lr=LR), together, steps=4)
        except ValueError as error:  # shapes that do not fit: those of another parameter
            raise CheckError(f"it works for one parameter and fails for several ({error}): {remedy}") from error
        require(
            same_bits(together.arrays()[:1], alone.arrays()),
            f"a parameter moves differently when others are there: {remedy}",
        )

    def check_state(self, example: OptimizerExample) -> None:
        """A training that is saved to a file and resumed goes on as if it had not stopped, bit for bit."""
        whole, resumed = _Weights(), _Weights()
        _train(example.make(whole.parameters(), lr=LR), whole, steps=6)
        first = example.make(resumed.parameters(), lr=LR)
        _train(first, resumed, steps=3)
        with tempfile.TemporaryDirectory() as folder:
            try:
                checkpoint.save_state(f"{folder}/state.safetensors", first.state_dict())
            except TypeError as error:
                require(False, f"the state cannot be saved ({error}): put arrays and numbers into it, nothing else")
            state = checkpoint.load_state(f"{folder}/state.safetensors")
        second = example.make(resumed.parameters(), lr=LR)
        second.load_state_dict(state)
        _train(second, resumed, steps=3)
        require(
            same_bits(whole.arrays(), resumed.arrays()),
            "a resumed training goes another way: keep everything that you remember in `state`",
        )

    def check_missing_gradients(self, example: OptimizerExample) -> None:
        """A parameter without a gradient stays as it is."""
        weights = _Weights()
        optimizer = example.make(weights.parameters(), lr=LR)
        weights.loss().backward()
        idle = weights.parameters()[0]
        idle.grad, before = None, idle.numpy().copy()
        optimizer.step()
        require(same_bits([idle.numpy()], [before]), f"{idle.name} moved though it has no gradient")

    def check_learning_rate(self, example: OptimizerExample) -> None:
        """The learning rate of a schedule is used: at 0 nothing moves, after that it does."""
        weights = _Weights()
        optimizer = example.make(weights.parameters(), lr=lambda step: 0.0 if step < 2 else LR)
        before = weights.arrays()
        _train(optimizer, weights, steps=2)
        require(same_bits(weights.arrays(), before), "parameters move at a learning rate of 0: use self.lr")
        _train(optimizer, weights, steps=1)
        require(not same_bits(weights.arrays(), before), "nothing moves though the schedule says so: use self.lr")

    def check_descent(self, example: OptimizerExample) -> None:
        """The loss of a simple problem falls: at the first step, and to a half in 300 more at one of three rates.

        Optimizers need rates of different sizes: the steps of Adagrad shrink, and 300 of 0.01 do not go far.
        """
        ends = []
        for lr in (LR, 10 * LR, 100 * LR):
            weights = _Weights(np.float64)
            optimizer = example.make(weights.parameters(), lr=lr)
            start = weights.loss().item()
            _train(optimizer, weights, steps=1)
            first = weights.loss().item()
            # a large rate may lead over the minimum, the smallest one must not
            require(lr > LR or first < start, f"the first step leads from {start:.6g} to {first:.6g}")
            _train(optimizer, weights, steps=300)
            end = weights.loss().item()
            if end < first / 2:
                return
            ends.append(f"from {first:.4g} to {end:.4g} with lr={lr:g}")
        require(False, f"300 steps lead the loss {', '.join(ends)}: expected less than a half with one of these")

    def check_repeats(self, example: OptimizerExample) -> None:
        """The same training twice gives the same weights, bit for bit."""
        results = []
        for _ in range(2):
            weights = _Weights()
            _train(example.make(weights.parameters(), lr=LR), weights, steps=4)
            results.append(weights.arrays())
        require(same_bits(*results), "the same training gives other weights the second time")

    def check_backends(self, example: OptimizerExample) -> None:
        """The other backends, the stand-in for CuPy among them, give what NumPy gives."""
        expected = _Weights(np.float64)
        _train(example.make(expected.parameters(), lr=LR), expected, steps=4)
        for backend in other_backends():
            weights = _Weights(np.float64).to(backend)
            _train(example.make(weights.parameters(), lr=LR), weights, steps=4)
            error = furthest(weights.arrays(), expected.arrays())
            require(error < 1e-10, f"'{backend}' differs by {error:.2g}")


def _with_gaps(array: Array) -> Array:
    """The same numbers as every second of a larger array."""
    spread = np.zeros((*array.shape, 2), array.dtype)
    spread[..., 0] = array
    return spread[..., 0]


def _train(optimizer: Optimizer, weights: _Weights, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        weights.loss().backward()
        optimizer.step()
