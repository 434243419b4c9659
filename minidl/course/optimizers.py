"""The exercises of ``06_optimizers``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercise import Exercise

Array = NDArray[Any]


def _flat(answer: Any, *example: Any) -> Array:
    return np.concatenate([np.ravel(part) for part in answer])


def _rates(rng: np.random.Generator, count: int) -> list[float]:
    """Learning rates and coefficients of running means."""
    return [float(rate) for rate in rng.uniform(0.05, 0.95, count)]


def momentum_step(w: Array, dw: Array, v: Array, lr: float, momentum: float) -> tuple[Array, Array]:
    """The weights and the velocity after one step: v = momentum v + dw, w = w - lr v."""
    v = momentum * v + dw
    return w - lr * v, v


_W, _DW, _V = np.array([1.0, -2.0, 0.5]), np.array([4.0, 2.0, -1.0]), np.array([-1.0, 3.0, 2.0])

check_momentum_step = Exercise(
    momentum_step,
    examples=[(_W, _DW, np.zeros(3), 0.2, 0.9), (_W, _DW, _V, 0.1, 0.9), (_W, _DW, _V, 0.02, 0.5)],
    numbers=_flat,
    draw=lambda rng: (*rng.normal(size=(3, *rng.integers(1, 4, 2))), *_rates(rng, 2)),
    mistakes={
        "it climbs: the velocity follows the gradient, uphill, so subtract it from w.": (
            lambda w, dw, v, lr, momentum: (w + lr * (momentum * v + dw), momentum * v + dw)
        ),
        "v is the new velocity, but w moved by the gradient only: w - lr v.": lambda w, dw, v, lr, momentum: (
            w - lr * dw,
            momentum * v + dw,
        ),
        "w moved by the old velocity: update v first, then w.": lambda w, dw, v, lr, momentum: (
            w - lr * v,
            momentum * v + dw,
        ),
        "the learning rate is in the velocity as well as in the step: v = momentum v + dw, without it.": (
            lambda w, dw, v, lr, momentum: (w - lr * (momentum * v + lr * dw), momentum * v + lr * dw)
        ),
        "the learning rate is in the velocity (some books do this): here v = momentum v + dw and w = w - lr v.": (
            lambda w, dw, v, lr, momentum: (w - lr * dw - momentum * v, momentum * v + lr * dw)
        ),
        "the velocity is momentum v - lr dw (some books do this): here v = momentum v + dw and w = w - lr v.": (
            lambda w, dw, v, lr, momentum: (w + momentum * v - lr * dw, momentum * v - lr * dw)
        ),
        "the gradient is scaled by 1 - momentum, as in Adam: here v = momentum v + dw.": (
            lambda w, dw, v, lr, momentum: (
                w - lr * (momentum * v + (1 - momentum) * dw),
                momentum * v + (1 - momentum) * dw,
            )
        ),
        "the velocity is not reduced: multiply it by momentum, momentum v + dw.": (
            lambda w, dw, v, lr, momentum: (w - lr * (v + dw), v + dw)
        ),
        "the old velocity is ignored: add momentum times the old one.": lambda w, dw, v, lr, momentum: (
            w - lr * dw,
            dw,
        ),
        "this is Nesterov's step, dw + momentum v: here w moves by v.": lambda w, dw, v, lr, momentum: (
            w - lr * (dw + momentum * (momentum * v + dw)),
            momentum * v + dw,
        ),
        "the order is w, v.": lambda w, dw, v, lr, momentum: momentum_step(w, dw, v, lr, momentum)[::-1],
        "the velocity is missing: return both, w and v.": lambda *given: momentum_step(*given)[:1],
    },
)


def adam_step(
    w: Array, dw: Array, m: Array, v: Array, t: int, lr: float, beta1: float, beta2: float, eps: float
) -> tuple[Array, Array, Array]:
    """(w, m, v) after step t (from 1) of Adam: Kingma and Ba (2015), algorithm 1."""
    return _adam(w, dw, m, v, t, lr, beta1, beta2, eps)


def _adam(
    w: Array,
    dw: Array,
    m: Array,
    v: Array,
    t: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    *,
    unbias_m: bool = True,
    unbias_v: bool = True,
    counted_from: int = 0,
    squared: bool = True,
    root: bool = True,
    eps_inside: bool = False,
    swapped: bool = False,
    means: bool = True,
    powers: bool = True,
) -> tuple[Array, Array, Array]:
    """A step of Adam, correct unless an option selects a mistake."""
    first, second = (beta2, beta1) if swapped else (beta1, beta2)
    m = first * m + (1 - first if means else 1) * dw
    v = second * v + (1 - second if means else 1) * (dw * dw if squared else dw)
    t = t + counted_from
    m_hat = m / (1 - (first**t if powers else first * t)) if unbias_m else m
    v_hat = v / (1 - (second**t if powers else second * t)) if unbias_v else v
    scale = np.sqrt(v_hat + eps) if eps_inside else np.sqrt(v_hat) + eps if root else v_hat + eps
    return w - lr * m_hat / scale, m, v


_M, _SECOND = np.array([0.5, -1.0, 0.2]), np.array([4.0, 1.0, 0.25])
_SETTINGS = (0.1, 0.9, 0.99, 1e-8)

check_adam_step = Exercise(
    adam_step,
    examples=[
        (_W, _DW, _M, _SECOND, 3, *_SETTINGS),
        (_W, _DW, np.zeros(3), np.zeros(3), 1, *_SETTINGS),
        (_W, _DW, _M, _SECOND, 3, 0.1, 0.9, 0.99, 0.5),
    ],
    numbers=_flat,
    draw=lambda rng: (*rng.normal(size=(3, 4)), rng.uniform(0.1, 4, 4), int(rng.integers(1, 9)), *_rates(rng, 4)),
    mistakes={
        "the bias of m and v is not corrected: they start at 0, so divide them by 1 - beta^t before the step.": (
            lambda *given: _adam(*given, unbias_m=False, unbias_v=False)
        ),
        "the bias of v is not corrected: divide it by 1 - beta2^t.": lambda *given: _adam(*given, unbias_v=False),
        "the bias of m is not corrected: divide it by 1 - beta1^t.": lambda *given: _adam(*given, unbias_m=False),
        "the steps are counted from 1: the first has t = 1, so it is beta^t, not beta^(t + 1).": (
            lambda *given: _adam(*given, counted_from=1)
        ),
        "v is the running mean of the squares of the gradient: dw * dw.": lambda *given: _adam(*given, squared=False),
        "the root is missing: m is divided by sqrt(v) + eps.": lambda *given: _adam(*given, root=False),
        "eps is inside the root: it is added to sqrt(v).": lambda *given: _adam(*given, eps_inside=True),
        "beta1 and beta2 are swapped: beta1 belongs to m, beta2 to v.": lambda *given: _adam(*given, swapped=True),
        "the factors 1 - beta are missing: m = beta1 m + (1 - beta1) dw, and v likewise.": (
            lambda *given: _adam(*given, means=False)
        ),
        "1 - beta^t contains a power: write beta**t, not beta * t.": lambda *given: _adam(*given, powers=False),
        "m and v are missing: return all three, w, m and v.": lambda *given: _adam(*given)[:1],
        "it climbs: subtract, w - lr m / (sqrt(v) + eps).": lambda w, *given: (
            2 * w - _adam(w, *given)[0],
            *_adam(w, *given)[1:],
        ),
        "m and v are returned with bias correction: keep them as they are, and correct the bias only for the step.": (
            lambda w, dw, m, v, t, lr, beta1, beta2, eps: (
                _adam(w, dw, m, v, t, lr, beta1, beta2, eps)[0],
                _adam(w, dw, m, v, t, lr, beta1, beta2, eps)[1] / (1 - beta1**t),
                _adam(w, dw, m, v, t, lr, beta1, beta2, eps)[2] / (1 - beta2**t),
            )
        ),
    },
)


def early_stopping(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """The epoch (from 0) after which training ends, and the best one so far, the first of equal ones.

    Training ends when the best epoch is ``patience`` epochs ago, or with the last loss.
    """
    return _stopped(losses, patience, lambda epoch, best: losses[epoch] < losses[best])


def _stopped(losses: Sequence[float], patience: int, better: Callable[[int, int], bool]) -> tuple[int, int]:
    best = 0
    for epoch in range(len(losses)):
        if epoch and better(epoch, best):
            best = epoch
        if epoch - best >= patience:
            return epoch, best
    return len(losses) - 1, best


def _never_resets(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """Counts all epochs without a new best, those before the last best included."""
    best = bad = 0
    for epoch in range(1, len(losses)):
        if losses[epoch] < losses[best]:
            best = epoch
        else:
            bad += 1
        if bad == patience:
            return epoch, best
    return len(losses) - 1, best


check_early_stopping = Exercise(
    early_stopping,
    examples=[
        ([5.0, 4.0, 3.0, 2.0], 2),
        ([5.0, 3.0, 4.0, 4.5, 4.75, 5.0], 2),
        ([5.0, 3.0, 4.0, 3.5, 3.75, 3.25, 2.0], 3),
        ([5.0, 3.0, 4.0, 3.5, 3.25, 3.0, 2.0, 4.0], 4),
        ([5.0, 5.0, 6.0], 2),
        ([5.0, 6.0, 4.0, 4.5, 3.0, 3.5, 2.0, 2.5, 1.0], 3),
    ],
    numbers=_flat,
    draw=lambda rng: ([n / 2 for n in rng.integers(2, 20, rng.integers(2, 12)).tolist()], int(rng.integers(1, 5))),
    mistakes={
        "an equal loss is not a new best: take the first of equal ones, with <.": lambda losses, patience: _stopped(
            losses, patience, lambda epoch, best: losses[epoch] <= losses[best]
        ),
        "this compares with the previous epoch: the loss may zigzag. Compare with the best so far.": (
            lambda losses, patience: _stopped(losses, patience, lambda epoch, best: losses[epoch] < losses[epoch - 1])
        ),
        "it stops an epoch too late: when the best is patience epochs ago, not patience + 1.": (
            lambda losses, patience: early_stopping(losses, patience + 1)
        ),
        "it stops an epoch too early: when the best is patience epochs ago, not patience - 1.": (
            lambda losses, patience: early_stopping(losses, patience - 1)
        ),
        "the count of epochs without a new best starts again from 0 at every new best.": _never_resets,
        "it uses future losses: they are not known when training ends.": lambda losses, patience: (
            early_stopping(losses, patience)[0],
            int(np.argmin(losses)),
        ),
        "it never stops: end the loop when the best is patience epochs ago.": lambda losses, patience: early_stopping(
            losses, len(losses)
        ),
        "the weights to keep are those of the best epoch, not of the last.": lambda losses, patience: (
            early_stopping(losses, patience)[0],
            early_stopping(losses, patience)[0],
        ),
        "here the highest loss is the best: it must be the lowest.": lambda losses, patience: _stopped(
            losses, patience, lambda epoch, best: losses[epoch] > losses[best]
        ),
        "it stops after patience epochs, regardless of the losses.": lambda losses, patience: (
            patience,
            int(np.argmin(losses[: patience + 1])),
        ),
        "epochs are counted from 0: this is one more than the epoch after which it ends.": lambda losses, patience: (
            early_stopping(losses, patience)[0] + 1,
            early_stopping(losses, patience)[1],
        ),
        "the second number is the lowest loss: return its epoch.": lambda losses, patience: (
            early_stopping(losses, patience)[0],
            losses[early_stopping(losses, patience)[1]],
        ),
        "the order is the epoch after which it ends, then the best one.": lambda losses, patience: early_stopping(
            losses, patience
        )[::-1],
    },
)


def clip_by_norm(gradients: Sequence[Array], max_norm: float) -> list[Array]:
    """The gradients, scaled by one factor so that their common Euclidean norm is at most max_norm."""
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    return [gradient * (max_norm / max(norm, max_norm)) for gradient in gradients]


check_clip_by_norm = Exercise(
    clip_by_norm,
    examples=[
        ([np.array([3.0, -4.0])], 1.0),
        ([np.array([3.0, -4.0]), np.array([[12.0]])], 2.0),
        ([np.array([0.3, -0.4])], 1.0),
        ([np.array([0.0, 0.0])], 1.0),
    ],
    numbers=_flat,
    draw=lambda rng: (list(rng.normal(size=(rng.integers(1, 4), 2, 3))), float(rng.uniform(0.5, 5))),
    mistakes={
        "each element is clipped separately, which changes the direction: scale all of them by one factor.": (
            lambda gradients, max_norm: [np.clip(g, -max_norm, max_norm) for g in gradients]
        ),
        "each array is scaled by its own norm: one norm and one factor for all of them preserve the direction.": (
            lambda gradients, max_norm: [clip_by_norm([g], max_norm)[0] for g in gradients]
        ),
        "a gradient that is short enough must not change: scale only longer ones.": (
            lambda gradients, max_norm: [g * max_norm / _norm(gradients) for g in gradients]
        ),
        "the factor is the wrong way round: max_norm / norm.": lambda gradients, max_norm: [
            g * max(_norm(gradients), max_norm) / max_norm for g in gradients
        ],
        "the root is missing: the norm is the root of the sum of squares.": lambda gradients, max_norm: [
            g * max_norm / max(_norm(gradients) ** 2, max_norm) for g in gradients
        ],
        "now the norm is 1: it must be max_norm.": lambda gradients, max_norm: [
            g / max(_norm(gradients), 1) for g in gradients
        ],
        "this is the largest element, not the norm: take the root of the sum of squares.": lambda gradients, max_norm: [
            g * max_norm / max(max(abs(g).max() for g in gradients), max_norm) for g in gradients
        ],
        "gradients that are too long become 0: shorten them instead.": lambda gradients, max_norm: [
            g * (_norm(gradients) <= max_norm) for g in gradients
        ],
        "nothing is shortened.": lambda gradients, max_norm: list(gradients),
    },
)


def _norm(gradients: Sequence[Array]) -> float:
    return float(np.sqrt(sum((g**2).sum() for g in gradients)))
