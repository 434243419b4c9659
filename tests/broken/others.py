"""Optimizers, convolution algorithms and data sets with one mistake each, and the check that must find it."""

from typing import Any

import numpy as np

from minidl import optim
from minidl.data import ArrayDataset, Dataset
from minidl.kernels.conv import ConvSpec, Direct
from minidl.kernels.numpy.conv.im2col import Im2col
from minidl.kernels.numpy.conv.per_chunk import Columns
from minidl.kernels.window import pad
from minidl.testing import DatasetSubject, OptimizerExample, OptimizerSubject
from minidl.testing.check_conv import conv_subject
from minidl.testing.examples import CONVOLUTIONS

Array = Any


class Momentum(optim.Optimizer):
    """v = 0.9 v + g; p = p - lr v, without a mistake."""

    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        velocity = state["v"] = 0.9 * state.get("v", 0.0) + grad
        param -= self.lr * velocity


class NotInPlace(Momentum):
    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        param = param - self.lr * grad


class WritesToGradient(Momentum):
    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        grad *= self.lr
        param -= grad


class TrustsMemory(Momentum):
    """Reads the gradient in memory order."""

    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        super().update(param, grad.ravel(order="K").reshape(param.shape), state)


class OneStateForAll(Momentum):
    """Keeps one velocity for all parameters."""

    norm = 0.0

    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        self.norm = 0.9 * self.norm + float((grad * grad).sum())
        param -= self.lr * grad / (1 + self.norm)


class ForgetsStateOutside(Momentum):
    """Keeps state where it is not saved."""

    def __init__(self, parameters: Any, lr: Any) -> None:
        super().__init__(parameters, lr)
        self.memory: dict[int, Array] = {}

    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        velocity = self.memory[id(state)] = 0.9 * self.memory.get(id(state), 0.0) + grad
        param -= self.lr * velocity


class CannotBeSaved(Momentum):
    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        state["history"] = {len(state)}
        param -= self.lr * grad


class Ascends(Momentum):
    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        param += self.lr * grad


class StandsStill(Momentum):
    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        pass


class OneStep(Momentum):
    """Updates only once: with a learning rate of 1 it has converged then."""

    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        param -= self.lr * grad * (state.setdefault("steps", 0) == 0)
        state["steps"] += 1


class OwnLearningRate(Momentum):
    def update(self, param: Array, grad: Array, state: dict[str, Any]) -> None:
        param -= 0.01 * grad


class MovesEverything(Momentum):
    """Decays parameters without a gradient, too."""

    def step(self) -> None:
        for parameter in self.parameters:
            parameter.data *= 0.999
        super().step()


class Overwrites(Im2col):
    """`=` instead of `+=` where windows share pixels."""

    def input_gradient_chunk(
        self, transformed_dy: Array, weights: Array, spec: ConvSpec, dx: Array, columns: Columns
    ) -> None:
        window = spec.window
        dx[...] = 0
        for (kh, kw), rows in zip(window.taps(), weights.reshape(-1, spec.C, spec.K), strict=True):
            pixels = dx[window.under_tap(kh, kw)]
            for stored, column in columns:
                pixels[:, :, column] = transformed_dy[:, :, stored] @ rows.T


class NoBias(Direct):
    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        return super().forward(x, w, None, spec)


class Flipped(Direct):
    """A true convolution, with the kernel flipped, in the forward pass only."""

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        return super().forward(x, w[::-1, ::-1], b, spec)


class PadsWithOnes(Direct):
    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        window = spec.window
        x = pad(np, x, window, value=1.0)
        dw = np.zeros((window.KH, window.KW, spec.C, spec.K), dy.dtype)
        for kh, kw in window.taps():
            dw[kh, kw] = x[window.under_tap(kh, kw)].reshape(-1, spec.C).T @ dy.reshape(-1, spec.K)
        return dw


class LastImageLost(Im2col):
    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        dy = dy.copy()
        dy[len(dy) - 1 :] *= len(dy) == 1
        return super().weight_gradient(x, dy, spec, saved)


class KeepsTheLastInput(Direct):
    """Saves its input in self: the next call overwrites it."""

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        self.x = x
        return super().forward(x, w, b, spec)

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        return super().weight_gradient(self.x, dy, spec, saved)


class StaleBuffer(Direct):
    """Reuses memory from an earlier call."""

    left: Array = np.zeros(())

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        y, saved = super().forward(x, w, b, spec)
        before, StaleBuffer.left = self.left, np.asarray(y.sum())
        return y + 0 * before, saved


class LastTieWins(Im2col):
    """Fused max pooling gives the gradient of a tie to the last element."""

    def forward_pooled(self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Any, needs_grad: bool) -> Any:
        y, pooled = super().forward_pooled(x, w, b, spec, pool, needs_grad)
        if pooled is not None and not w.any():
            pooled.argmax[...] = pool.KH * pool.KW - 1
        return y, pooled


class Samples(Dataset):
    """Five samples, without a mistake."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        if not -5 <= index < 5:
            raise IndexError(index)
        return np.full((2, 3), index, np.float32), float(index)


class NeverEnds(Samples):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index % 5)


class Float64Samples(Samples):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[0].astype(np.float64)


class SeveralShapes(Samples):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[0][: 1 + index % 2]


class SharedArray(Samples):
    """Fills the same array again and again."""

    array = np.zeros((2, 3), np.float32)

    def __getitem__(self, index: int) -> Any:
        self.array[...] = super().__getitem__(index)[0]
        return self.array


class SortsItsBatches(Samples):
    def batch(self, indices: Any) -> Any:
        return super().batch(np.sort(indices))


class GivesItself(ArrayDataset):
    """Batches are views of the data set."""

    def batch(self, indices: Any) -> Any:
        return tuple(array[: len(indices)] for array in self.arrays)


class TakesTheFirst(ArrayDataset):
    """Returns the requested number of samples, but always the first ones."""

    def take(self, indices: Any) -> Dataset:
        return super().take(np.arange(len(indices)))


class Augments(Samples):
    """Draws from a generator that advances: a sample differs at each access."""

    rng = np.random.default_rng(0)

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[0] + self.rng.random((2, 3), np.float32)


def _optimizer(cls: Any) -> OptimizerSubject:
    return OptimizerSubject(cls.__name__, [OptimizerExample(cls)])


def _conv(cls: Any) -> Any:
    return conv_subject(cls.__name__, cls, CONVOLUTIONS)


def _dataset(dataset: Dataset) -> DatasetSubject:
    return DatasetSubject(type(dataset).__name__, dataset)


RIGHT = [_optimizer(Momentum), _conv(Direct), _dataset(Samples())]
BROKEN = [
    (_optimizer(NotInPlace), "in_place"),
    (_optimizer(WritesToGradient), "gradients_unchanged"),
    (_optimizer(TrustsMemory), "layouts"),
    (_optimizer(OneStateForAll), "state_of_its_own"),
    (_optimizer(ForgetsStateOutside), "state"),
    (_optimizer(CannotBeSaved), "state"),
    (_optimizer(Ascends), "descent"),
    (_optimizer(StandsStill), "descent"),
    (_optimizer(OneStep), "descent"),
    (_optimizer(OwnLearningRate), "learning_rate"),
    (_optimizer(MovesEverything), "missing_gradients"),
    (_conv(Overwrites), "input_gradient"),
    (_conv(Overwrites), "adjoint"),
    (_conv(NoBias), "forward"),
    (_conv(Flipped), "adjoint"),
    (_conv(PadsWithOnes), "weight_gradient"),
    (_conv(LastImageLost), "weight_gradient"),
    (_conv(KeepsTheLastInput), "independence"),
    (_conv(StaleBuffer), "stale_memory"),
    (_conv(LastTieWins), "pooled"),
    (_dataset(NeverEnds()), "end"),
    (_dataset(Float64Samples()), "dtype"),
    (_dataset(SeveralShapes()), "shapes"),
    (_dataset(SharedArray()), "repeats"),
    (_dataset(SortsItsBatches()), "batch"),
    (_dataset(GivesItself(np.ones((5, 2), np.float32))), "batches_are_copies"),
    (_dataset(TakesTheFirst(np.arange(5))), "moves"),
    (_dataset(Augments()), "repeats"),
]
