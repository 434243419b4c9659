"""The loss functions as modules; their definitions are in :mod:`minidl.nn.functional`."""

from typing import Any

from .. import plugins
from ..tensor import Tensor
from . import functional as F
from .module import Module


@plugins.register("loss", "softmax_cross_entropy")
class SoftmaxCrossEntropy(Module):
    """For logits (N, classes) and whole-number labels (N,)."""

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        return F.softmax_cross_entropy(logits, labels)


@plugins.register("loss", "binary_cross_entropy_with_logits")
class BinaryCrossEntropyWithLogits(Module):
    """For logits and targets between 0 and 1, of one shape."""

    def forward(self, logits: Tensor, targets: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets)


@plugins.register("loss", "l1")
class L1Loss(Module):
    """The mean absolute error."""

    def forward(self, predictions: Tensor, targets: Any) -> Tensor:
        return F.l1_loss(predictions, targets)


@plugins.register("loss", "mse")
class MSELoss(Module):
    """The mean squared error."""

    def forward(self, predictions: Tensor, targets: Any) -> Tensor:
        return F.mse_loss(predictions, targets)


@plugins.register("loss", "huber")
class HuberLoss(Module):
    """Squared for errors up to ``delta``, linear beyond."""

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, predictions: Tensor, targets: Any) -> Tensor:
        return F.huber_loss(predictions, targets, self.delta)
