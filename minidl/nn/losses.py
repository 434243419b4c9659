"""The loss functions as modules; their definitions are in :mod:`minidl.nn.functional`."""

from typing import Any

from .. import plugins
from ..tensor import Tensor
from . import functional as F
from .module import Module


@plugins.register("loss", "softmax_cross_entropy")
class SoftmaxCrossEntropy(Module):
    """For logits (N, classes) and whole-number labels (N,).

    >>> import minidl as md
    >>> round(SoftmaxCrossEntropy()(md.tensor([[0.0, 0.0]]), [1]).item(), 4)
    0.6931
    """

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        return F.softmax_cross_entropy(logits, labels)


@plugins.register("loss", "binary_cross_entropy_with_logits")
class BinaryCrossEntropyWithLogits(Module):
    """For logits and targets between 0 and 1, of one shape.

    >>> import minidl as md
    >>> BinaryCrossEntropyWithLogits()(md.tensor([1e4, -1e4]), [1, 1]).item()
    5000.0
    """

    def forward(self, logits: Tensor, targets: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets)


@plugins.register("loss", "l1")
class L1Loss(Module):
    """The mean absolute error of predictions and targets of one shape.

    >>> import minidl as md
    >>> L1Loss()(md.tensor([1.0, 2.0]), [0.0, 5.0]).item()
    2.0
    """

    def forward(self, predictions: Tensor, targets: Any) -> Tensor:
        return F.l1_loss(predictions, targets)


@plugins.register("loss", "mse")
class MSELoss(Module):
    """The mean squared error of predictions and targets of one shape.

    >>> import minidl as md
    >>> MSELoss()(md.tensor([1.0, 2.0]), [0.0, 5.0]).item()
    5.0
    """

    def forward(self, predictions: Tensor, targets: Any) -> Tensor:
        return F.mse_loss(predictions, targets)


@plugins.register("loss", "huber")
class HuberLoss(Module):
    """Squared for errors up to ``delta``, linear beyond; predictions and targets have one shape.

    >>> import minidl as md
    >>> HuberLoss()(md.tensor([1.0, 2.0]), [0.0, 5.0]).item()
    1.5
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, predictions: Tensor, targets: Any) -> Tensor:
        return F.huber_loss(predictions, targets, self.delta)
