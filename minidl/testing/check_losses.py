"""The requirements for a loss: the ones for an op, a scalar result, no overflow, and the mean over the batch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import MinidlError, counted
from ..tensor import Tensor, tensor
from .arrays import distance, numbers
from .check_ops import OpExample, OpSubject
from .kit import require

Loss = Callable[..., Tensor]


@dataclass(frozen=True, kw_only=True)
class LossExample(OpExample):
    """A loss with outputs and targets; ``call`` is the loss as a function of the outputs, which are the ``inputs``.

    >>> from minidl.nn import functional as F
    >>> LossExample.of(F.mse_loss, [[0.5, 2.0]], [[1.0, 2.0]]).inputs
    (array([[0.5, 2. ]]),)
    """

    loss: Loss
    targets: Any

    @classmethod
    def of(cls, loss: Loss, outputs: Any, targets: Any, label: str = "") -> Self:
        """An example from its parts."""
        outputs, targets = np.asarray(outputs, np.float64), np.asarray(targets)
        return cls(lambda y: loss(y, targets), (outputs,), label, loss=loss, targets=targets)


class LossSubject(OpSubject):
    """A loss ``loss(outputs, targets)`` with examples of both.

    >>> from minidl import nn
    >>> LossSubject("mse", [default_example(nn.functional.mse_loss)]).run().count("failed")
    0
    """

    kind: ClassVar[str] = "loss"

    def __init__(self, name: str, examples: Iterable[LossExample]) -> None:
        super().__init__(name, examples)

    def check_scalar(self, example: LossExample) -> None:
        """It returns a scalar, as backward() requires."""
        shape = example.loss(tensor(example.inputs[0]), example.targets).shape
        require(shape == (), f"it returns the shape {shape}, expected a scalar: take the mean")

    def check_mean(self, example: LossExample) -> None:
        """It is the mean over the batch: a batch concatenated with itself has the same loss."""
        outputs, targets = example.inputs[0], example.targets
        once = example.loss(tensor(outputs), targets).item()
        twice = example.loss(tensor(np.concatenate([outputs] * 2)), np.concatenate([targets] * 2)).item()
        require(abs(twice - once) <= 1e-12 * abs(once), f"a batch gives {once:.6g}, the same twice {twice:.6g}")

    def check_extremes(self, example: LossExample) -> None:
        """Outputs of +-1e4 give finite losses and gradients, also in float32."""
        for dtype in (np.float32, np.float64):
            for size in (1e4, -1e4):
                y = tensor(np.copysign(size, example.inputs[0]).astype(dtype), requires_grad=True)
                loss = example.loss(y, example.targets)
                loss.backward()
                require(np.isfinite(loss.item()), f"outputs of {size:g} give {loss.item()} in {np.dtype(dtype)}")
                require(np.isfinite(np.asarray(y.grad)).all(), f"outputs of {size:g} give infinite gradients")

    def check_targets(self, example: LossExample) -> None:
        """Targets as arrays, tensors or lists of any numeric type give the same loss, in the dtype of the outputs."""
        outputs, targets = tensor(example.inputs[0], dtype=np.float32), example.targets
        expected = example.loss(outputs, targets)
        other = np.int32 if targets.dtype.kind in "iu" else np.float32
        for form in (targets.tolist(), tensor(targets), targets.astype(other)):
            got = example.loss(outputs, form)
            require(got.dtype == np.float32, f"outputs of float32 give {got.dtype}")
            error = distance(got.numpy(), expected.numpy())
            require(error < 1e-6, f"targets as {type(form).__name__} give a different loss ({error:.2g})")

    def check_wrong_shape(self, example: LossExample) -> None:
        """Targets of another batch size raise an error that names both sizes."""
        count = len(example.targets)
        outputs = counted(count, "output")
        longer = np.concatenate([example.targets] * 2)[: count + 1]
        try:
            example.loss(tensor(example.inputs[0]), longer)
        except MinidlError as error:
            clear = str(count) in str(error) and str(count + 1) in str(error)
            require(clear, f"the error for {count + 1} targets and {outputs} does not name both: {error}")
        else:
            require(False, f"{count + 1} targets for {outputs} are accepted")


def default_example(loss: Loss) -> LossExample:
    """Outputs, and the first kind of targets that a loss accepts.

    >>> from minidl import nn
    >>> default_example(nn.functional.mse_loss).inputs[0].shape
    (4, 3)
    """
    outputs, reasons = numbers(4, 3), []
    for targets in (numbers(4, 3, low=0.0, high=1.0, seed=1), np.array([2, 0, 1, 1])):
        try:
            loss(tensor(outputs), targets)
            return LossExample.of(loss, outputs, targets)
        except (MinidlError, ValueError, TypeError) as error:
            reasons.append(str(error))
    raise MinidlError(f"pass outputs and targets for the loss; it raised errors for the defaults: {'; '.join(reasons)}")
