"""Layers and losses with one mistake each, and the check that must find it."""

from typing import Any

import numpy as np

import minidl as md
from minidl import nn
from minidl.testing import LayerExample, LayerSubject, LossExample, LossSubject
from minidl.testing.arrays import numbers

F = nn.functional


class Scale(nn.Module):
    """y = x factor + shift, without a mistake."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.factor = nn.Parameter(np.ones(channels, np.float32))
        self.shift = nn.Parameter(np.zeros(channels, np.float32))

    def forward(self, x: md.Tensor) -> md.Tensor:
        if x.shape[-1:] != self.factor.shape:
            raise md.errors.ShapeError(f"expected input (N, C={len(self.factor)}), got {x.shape}")
        return x * self.factor + self.shift


class DetachedParameter(Scale):
    def forward(self, x: md.Tensor) -> md.Tensor:
        return x * self.factor.detach() + self.shift


class UnusedParameter(Scale):
    def forward(self, x: md.Tensor) -> md.Tensor:
        return x * self.factor + 0 * x


class AnyChannels(Scale):
    def forward(self, x: md.Tensor) -> md.Tensor:
        return x * self.factor[:1] + self.shift[:1]


class DrawsFromNumPy(Scale):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(np.random.default_rng().normal(size=3).astype(np.float32))


class SharesParameters(Scale):
    """All layers of this class share one parameter."""

    common = nn.Parameter(np.ones(3, np.float32))

    def __init__(self) -> None:
        super().__init__()
        self.factor = self.common


class Float64Constant(Scale):
    def forward(self, x: md.Tensor) -> md.Tensor:
        return super().forward(x).astype(np.float64)


class ChangesParameter(Scale):
    def forward(self, x: md.Tensor) -> md.Tensor:
        self.factor.data *= 1.5
        return super().forward(x)


class CountsInEvaluation(Scale):
    """Updates its running mean in evaluation, too."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Buffer(np.zeros(3, np.float32))

    def forward(self, x: md.Tensor) -> md.Tensor:
        self.mean.data = self.mean.data * 0.9 + x.data.mean(axis=0) * 0.1
        return super().forward(x)


class ForgetsState(CountsInEvaluation):
    """Its running mean is not a Buffer, so it is not saved."""

    def __init__(self) -> None:
        super().__init__()
        del self.mean
        self.running = np.zeros(3, np.float32)

    def forward(self, x: md.Tensor) -> md.Tensor:
        if self.training:
            self.running = self.running * 0.9 + x.numpy().mean(axis=0) * 0.1
            return super(CountsInEvaluation, self).forward(x)
        return super(CountsInEvaluation, self).forward(x - self.running.astype(x.dtype))


class AlwaysDrops(nn.Dropout):
    """Dropout that ignores self.training."""

    def forward(self, x: md.Tensor) -> md.Tensor:
        return F.dropout(x, self.rate, True, self.rng)


class CentresTheBatch(nn.Module):
    """Subtracts the batch mean in evaluation, where samples should be independent."""

    def forward(self, x: md.Tensor) -> md.Tensor:
        return x - x.mean(axis=0, keepdims=True)


class WritesToInput(nn.Module):
    def forward(self, x: md.Tensor) -> md.Tensor:
        x.data *= 2
        return x * 1.0


class FlattensByMemory(nn.Module):
    """Flattens in memory order."""

    def forward(self, x: md.Tensor) -> md.Tensor:
        rows = x.data.shape[0]
        return x.reshape(rows, -1) * md.Tensor(x.data.ravel(order="K").reshape(rows, -1))


def _layer(make: Any, x: Any = None) -> LayerSubject:
    return LayerSubject(make.__name__, [LayerExample(make, numbers(4, 3) if x is None else x)])


def sum_of_squares(y: md.Tensor, targets: Any) -> md.Tensor:
    return F.mse_loss(y, targets) * y.size


def each_square(y: md.Tensor, targets: Any) -> md.Tensor:
    return (y - targets) ** 2


def overflows(y: md.Tensor, targets: Any) -> md.Tensor:
    p = 1 / (1 + F.exp(-y))
    return -(F.log(p) * targets + F.log(1 - p) * (1 - np.asarray(targets))).mean()


def takes_any_batch(y: md.Tensor, targets: Any) -> md.Tensor:
    return F.mse_loss(y, np.asarray(targets)[: len(y)])


def _loss(loss: Any) -> LossSubject:
    targets = np.array([[True, False, True], [False, True, True]]).astype(np.float64)
    return LossSubject(loss.__name__, [LossExample.of(loss, numbers(2, 3), targets)])


RIGHT = [_layer(Scale), _loss(F.mse_loss)]
BROKEN = [
    (_layer(DetachedParameter), "gradient"),
    (_layer(UnusedParameter), "parameters"),
    (_layer(AnyChannels), "wrong_channels"),
    (_layer(DrawsFromNumPy), "repeats"),
    (_layer(SharesParameters), "instances"),
    (_layer(Float64Constant), "dtype"),
    (_layer(ChangesParameter), "inputs_unchanged"),
    (_layer(CountsInEvaluation), "evaluation"),
    (_layer(ForgetsState), "state"),
    (_layer(AlwaysDrops), "evaluation"),
    (_layer(CentresTheBatch), "batches"),
    (_layer(WritesToInput), "inputs_unchanged"),
    (_layer(FlattensByMemory, numbers(2, 3, 4)), "memory_order"),
    (_loss(sum_of_squares), "mean"),
    (_loss(each_square), "scalar"),
    (_loss(overflows), "extremes"),
    (_loss(takes_any_batch), "wrong_shape"),
]
