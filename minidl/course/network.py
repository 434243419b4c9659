"""The exercises of ``11_age_and_gender``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from ..random import Generator
from ..tensor import Tensor
from .exercise import Exercise

Array = NDArray[Any]
Shape = tuple[float, ...]


def block_shape(shape: tuple[int, int, int], filters: int) -> Shape:
    """The output shape for (H, W, C) of a 3x3 convolution without padding, ReLU and 2x2 max pooling with stride 2."""
    H, W, _ = shape
    return (H - 2) // 2, (W - 2) // 2, filters


check_block_shape = Exercise(
    block_shape,
    examples=[((63, 63, 32), 64), ((128, 128, 1), 32), ((20, 31, 3), 8)],
    draw=lambda rng: (tuple(rng.integers(6, 99, 3).tolist()), int(rng.integers(1, 99))),
    mistakes={
        "the convolution is missing: a 3x3 kernel without padding makes height and width smaller by 2.": (
            lambda shape, filters: (shape[0] // 2, shape[1] // 2, filters)
        ),
        "the pooling is missing: it halves height and width.": lambda shape, filters: (
            shape[0] - 2,
            shape[1] - 2,
            filters,
        ),
        "a 3x3 kernel fits at 2 positions fewer than there are pixels, not 3: subtract 2.": lambda shape, filters: (
            (shape[0] - 3) // 2,
            (shape[1] - 3) // 2,
            filters,
        ),
        "the pooling comes after the convolution: first subtract 2, then halve.": lambda shape, filters: (
            shape[0] // 2 - 2,
            shape[1] // 2 - 2,
            filters,
        ),
        "there is no half a pixel: round down, with //.": lambda shape, filters: (
            (shape[0] - 2) / 2,
            (shape[1] - 2) / 2,
            filters,
        ),
        "the result has one channel per filter, regardless of the number of input channels.": lambda shape, filters: (
            *block_shape(shape, filters)[:2],
            shape[2],
        ),
        "every filter reads all channels and gives one: do not multiply by the number of channels.": (
            lambda shape, filters: (*block_shape(shape, filters)[:2], shape[2] * filters)
        ),
        "channels come last: (height, width, channels).": lambda shape, filters: (
            filters,
            *block_shape(shape, filters)[:2],
        ),
    },
)


def conv_parameters(kernel: int, channels: int, filters: int) -> int:
    """The number of weights and biases of a convolution with square kernels."""
    return kernel * kernel * channels * filters + filters


check_conv_parameters = Exercise(
    conv_parameters,
    examples=[(1, 3, 4), (3, 1, 4), (3, 5, 4), (5, 2, 7)],
    draw=lambda rng: tuple(rng.integers(1, 9, 3).tolist()),
    mistakes={
        "the biases are missing: each filter has one.": lambda kernel, channels, filters: (
            kernel**2 * channels * filters
        ),
        "there is one bias per filter, not one for all.": lambda kernel, channels, filters: (
            kernel**2 * channels * filters + 1
        ),
        "the bias belongs to a filter, not to a channel of the input.": lambda kernel, channels, filters: (
            kernel**2 * channels * filters + channels
        ),
        "a filter has one bias in total, not one per input channel.": lambda kernel, channels, filters: (
            (kernel**2 + 1) * channels * filters
        ),
        "a kernel is square: it has kernel times kernel weights.": lambda kernel, channels, filters: (
            kernel * channels * filters + filters
        ),
        "a filter has separate weights for every input channel: multiply by channels.": (
            lambda kernel, channels, filters: kernel**2 * filters + filters
        ),
        "these are the weights of one filter: multiply by filters.": (
            lambda kernel, channels, filters: kernel**2 * channels + 1
        ),
    },
)


def gender_accuracy(logits: Array, labels: Array) -> float:
    """The share of faces whose logit (N, 1) is on the right side of 0, for labels (N, 1) of 0 and 1."""
    return float(((logits > 0) == (labels == 1)).mean())


_LOGITS = np.array([2.0, -1.0, 0.3, -0.2, 0.4, 3.0, -2.0, 0.8, -0.7, 0.2, -0.4])[:, np.newaxis]
_LABELS = np.array([1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0])[:, np.newaxis]


def _random_answers(rng: np.random.Generator, N: int) -> tuple[Array, Array]:
    """Logits of all sizes, and labels."""
    return rng.normal(size=(N, 1)) * 10 ** rng.uniform(-4, 2, (N, 1)), 1.0 * rng.integers(0, 2, (N, 1))


check_gender_accuracy = Exercise(
    gender_accuracy,
    examples=[(_LOGITS, _LABELS)],
    draw=lambda rng: _random_answers(rng, int(rng.integers(1, 30))),
    mistakes={
        "a logit is not a probability: at a probability of 0.5, the logit is 0.": (
            lambda logits, labels: ((logits > 0.5) == (labels == 1)).mean()
        ),
        "this is the number of right answers: take their mean.": lambda logits, labels: (
            (logits > 0) == (labels == 1)
        ).sum(),
        "this is the share of wrong answers: the accuracy is the share of right ones.": lambda logits, labels: (
            1 - gender_accuracy(logits, labels)
        ),
        "this counts right answers only for label 1: a logit below 0 is right if the label is 0.": (
            lambda logits, labels: ((logits > 0) & (labels == 1)).mean()
        ),
        "this is the share of answers 1, right or wrong: compare the answers with the labels.": (
            lambda logits, labels: (logits > 0).mean()
        ),
        "a logit is hardly ever equal to a label: check on which side of 0 it is.": lambda logits, labels: (
            logits == labels
        ).mean(),
        "shapes (N,) and (N, 1) broadcast to (N, N), so every answer was compared with every label.": (
            lambda logits, labels: ((logits.ravel() > 0) == (labels == 1)).mean()
        ),
        "round(probability) is right, but round(logit) is not: logits go beyond 0 and 1.": lambda logits, labels: (
            np.round(logits) == labels
        ).mean(),
    },
)

Loss = Callable[[Any, Any], Tensor]


def training_step(model: nn.Module, loss: Loss, optimizer: optim.Optimizer, images: Tensor, targets: Any) -> float:
    """One step on a batch: forward, backward, update. Returns the loss before the update."""
    value = loss(model(images), targets)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


def _batch(rng: np.random.Generator, N: int, inputs: int) -> tuple[nn.Module, Loss, optim.Optimizer, Tensor, Array]:
    """A small model, a loss, an optimizer and a batch."""
    model = nn.Dense(inputs, 1, rng=Generator(int(rng.integers(99))))
    images = Tensor(rng.normal(size=(N, inputs)).astype(np.float32))
    targets = rng.normal(size=(N, 1))
    return (
        model,
        nn.functional.mse_loss,
        optim.SGD(model.parameters(), lr=float(rng.uniform(0.01, 0.1))),
        images,
        targets,
    )


def _two_steps(step: Callable[..., Any], *batch: Any) -> list[Any] | None:
    """The losses of two steps: the gradients of the first must not be left for the second."""
    losses = [step(*batch) for _ in range(2)]
    return None if any(loss is None or loss is ... for loss in losses) else losses


def _step_of(order: str, *, loss_after: bool = False) -> Callable[..., float]:
    """A training step that makes these calls, given by their first letters, after the forward pass."""

    def step(model: nn.Module, loss: Loss, optimizer: optim.Optimizer, images: Tensor, targets: Any) -> float:
        value = loss(model(images), targets)
        calls = {"z": optimizer.zero_grad, "b": value.backward, "s": optimizer.step}
        for letter in order:
            calls[letter]()
        return loss(model(images), targets).item() if loss_after else value.item()

    return step


check_training_step = Exercise(
    training_step,
    examples=[_batch(np.random.default_rng(0), 3, 2)],
    use=_two_steps,
    draw=lambda rng: _batch(rng, *rng.integers(1, 4, 2)),
    mistakes={
        "zero_grad() is missing: the new gradients are added to those of the previous batch.": (_step_of("bs")),
        "step() found no gradients: call zero_grad(), backward() and step() in this order.": _step_of("bzs"),
        "the parameters have not changed: optimizer.step() changes them.": _step_of("zb"),
        "this is the loss after the update: return the one from before, without a second forward pass.": _step_of(
            "zbs", loss_after=True
        ),
        "two updates were made with the same gradients: call step() once per batch.": _step_of("zbss"),
        "backward() frees the graph: call it once.": _step_of("zbbs"),
    },
    numbers=lambda losses, model, *others: [
        *(float(loss) for loss in losses),
        *(float(w) for p in model.parameters() for w in p.data.flat),
    ],
)
