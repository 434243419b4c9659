"""The exercises of ``12_looking_inside``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercise import Exercise

Array = NDArray[Any]

_RNG = np.random.default_rng(3)


def saliency(dx: Array) -> Array:
    """The saliency (N, H, W) of each pixel: the largest absolute value of dx (N, H, W, C) over the channels."""
    largest: Array = np.abs(dx).max(axis=3)
    return largest


check_saliency = Exercise(
    saliency,
    examples=[(_RNG.normal(-0.5, 1, (2, 3, 4, 1)),), (_RNG.normal(-0.5, 1, (2, 3, 4, 3)),)],
    draw=lambda rng: (rng.normal(size=rng.integers(1, 5, 4)),),
    mistakes={
        "a pixel also matters if the output falls with it: take the absolute value of the gradient, np.abs.": (
            lambda dx: dx.max(axis=3)
        ),
        "take the absolute value first, then the maximum: otherwise a large negative gradient is lost.": (
            lambda dx: np.abs(dx.max(axis=3))
        ),
        "the last axis, that of the channels, is still there: take the maximum over it, without keepdims.": np.abs,
        "this is the sum over the channels: take the maximum.": lambda dx: np.abs(dx).sum(axis=3),
        "this is the mean over the channels: take the maximum.": lambda dx: np.abs(dx).mean(axis=3),
        "this is the maximum over the images: channels are the last axis.": lambda dx: np.abs(dx).max(axis=0),
        "this is the square: take the absolute value, np.abs.": lambda dx: (dx**2).max(axis=3),
    },
)


def grad_cam(maps: Array, gradients: Array) -> Array:
    """Where the maps (N, H, W, K) support an output, as (N, H, W), from the gradients of the output by the maps."""
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    heat: Array = np.maximum((weights * maps).sum(axis=3), 0)
    return heat


def _weighed(maps: Array, weights: Array) -> Array:
    heat: Array = np.maximum((weights * maps).sum(axis=3), 0)
    return heat


_MAPS, _GRADIENTS = _RNG.uniform(0, 1, (2, 3, 4, 5)), _RNG.normal(0.1, 1, (2, 3, 4, 5))

check_grad_cam = Exercise(
    grad_cam,
    examples=[(_MAPS[:1], _GRADIENTS[:1]), (_MAPS, _GRADIENTS)],
    draw=lambda rng: tuple(rng.normal(size=(2, *rng.integers(1, 5, 4)))),
    mistakes={
        "ReLU is missing at the end: keep only positive values, which support the output.": lambda maps, gradients: (
            gradients.mean(axis=(1, 2), keepdims=True) * maps
        ).sum(axis=3),
        "ReLU comes last, after the sum over the maps, not before it.": lambda maps, gradients: np.maximum(
            gradients.mean(axis=(1, 2), keepdims=True) * maps, 0
        ).sum(axis=3),
        "each position has its own weight here: use the mean of a map's gradients over all positions.": _weighed,
        "the gradients are summed over the positions: take their mean.": lambda maps, gradients: _weighed(
            maps, gradients.sum(axis=(1, 2), keepdims=True)
        ),
        "the maps are averaged: take their weighted sum.": lambda maps, gradients: (
            grad_cam(maps, gradients) / maps.shape[3]
        ),
        "the maps are added without their weights: where is the gradient used?": lambda maps, gradients: maps.sum(
            axis=3
        ),
        "this uses only the gradients: they are the weights of the maps.": lambda maps, gradients: np.maximum(
            gradients.sum(axis=3), 0
        ),
        "this takes the absolute value of the gradients: a map that opposes the output needs a negative weight.": (
            lambda maps, gradients: _weighed(maps, np.abs(gradients).mean(axis=(1, 2), keepdims=True))
        ),
        "the weights are means over all images: each image needs its own.": lambda maps, gradients: _weighed(
            maps, gradients.mean(axis=(0, 1, 2))
        ),
    },
)


def group_means(values: Array, groups: Array) -> Array:
    """The mean of the values (N,) of each group, for group indices (N,) from 0; NaN for a group without values."""
    members = [values[groups == group] for group in range(groups.max() + 1)]
    return np.array([part.mean() if len(part) else np.nan for part in members])


def _random_groups(rng: np.random.Generator, N: int) -> tuple[Array, Array]:
    """Values of groups, some of which are empty."""
    return rng.normal(size=N), rng.integers(0, 6, N)


check_group_means = Exercise(
    group_means,
    examples=[
        (np.array([1.0, 8.0, 3.0, 5.0, -6.0]), np.array([1, 0, 1, 2, 2])),
        (np.array([1.0, 8.0, 3.0]), np.array([3, 0, 3])),
    ],
    draw=lambda rng: _random_groups(rng, int(rng.integers(2, 12))),
    mistakes={
        "these are sums: divide each by the number of values in its group.": lambda values, groups: np.bincount(
            groups, values
        ),
        "each sum is divided by the number of all values: divide by the number in its group.": lambda values, groups: (
            np.bincount(groups, values) / len(values)
        ),
        "these are the sizes of the groups: return the means of their values.": lambda values, groups: np.bincount(
            groups
        ),
        "groups without values are left out, so that a mean no longer stands at the index of its group.": (
            lambda values, groups: np.array([values[groups == group].mean() for group in np.unique(groups)])
        ),
        "the last group is missing: range(n) ends at n - 1.": lambda values, groups: group_means(values, groups)[:-1],
        "the groups are in the order in which they occur: sort them by their index, 0 first.": (
            lambda values, groups: np.array([values[groups == group].mean() for group in dict.fromkeys(groups)])
        ),
        "this is one mean per value: return one per group.": lambda values, groups: group_means(values, groups)[groups],
        "the signs are lost: do not take absolute values.": lambda values, groups: group_means(np.abs(values), groups),
    },
)


def calibration_error(probabilities: Array, labels: Array, bins: int) -> float:
    """The expected calibration error: the mean difference, over bins, of mean probability and share of label 1.

    ``bins`` intervals of equal width divide 0 ... 1; each is weighted by the number of its samples.
    """
    number = np.minimum((probabilities * bins).astype(int), bins - 1)
    return sum(
        float((number == b).mean() * abs(probabilities[number == b].mean() - labels[number == b].mean()))
        for b in range(bins)
        if (number == b).any()
    )


def _gaps(probabilities: Array, labels: Array, bins: int, centres: bool = False) -> tuple[Array, Array]:
    """Probability minus share of every nonempty bin, and the fraction of all samples in it."""
    number = np.minimum((probabilities * bins).astype(int), bins - 1)
    filled = [b for b in range(bins) if (number == b).any()]
    said = [(b + 0.5) / bins if centres else probabilities[number == b].mean() for b in filled]
    shares = [labels[number == b].mean() for b in filled]
    return np.array(said) - np.array(shares), np.array([(number == b).mean() for b in filled])


_P = np.array([0.05, 0.1, 0.22, 0.28, 0.45, 0.64, 0.68, 0.7, 0.93, 0.97])
_IS = np.array([0, 1, 0, 0, 1, 0, 1, 1, 1, 1])


check_calibration_error = Exercise(
    calibration_error,
    examples=[(_P, _IS, 4), (_P[[0, 2, 3, 8, 9]], _IS[[0, 2, 3, 8, 9]], 5), (np.array([0.3, 0.9, 1.0]), _IS[:3], 2)],
    draw=lambda rng: (
        rng.uniform(size=(N := int(rng.integers(1, 30)))),
        rng.integers(0, 2, N),
        int(rng.integers(1, 9)),
    ),
    mistakes={
        "all bins have the same weight here: weight each by the number of its samples.": (
            lambda probabilities, labels, bins: np.abs(_gaps(probabilities, labels, bins)[0]).mean()
        ),
        "differences of opposite sign cancel: take the abs of each.": lambda probabilities, labels, bins: np.sum(
            _gaps(probabilities, labels, bins)[0] * _gaps(probabilities, labels, bins)[1]
        ),
        "the middle of a bin is not the mean of the probabilities in it.": lambda probabilities, labels, bins: np.sum(
            np.abs(_gaps(probabilities, labels, bins, centres=True)[0]) * _gaps(probabilities, labels, bins)[1]
        ),
        "this is the largest difference: take the mean, with each bin weighted by the number of its samples.": (
            lambda probabilities, labels, bins: np.abs(_gaps(probabilities, labels, bins)[0]).max()
        ),
        "this is the mean of the squares: take the absolute values, abs.": lambda probabilities, labels, bins: np.sum(
            _gaps(probabilities, labels, bins)[0] ** 2 * _gaps(probabilities, labels, bins)[1]
        ),
        "there are no bins: each probability is compared with its own label, which is 0 or 1.": (
            lambda probabilities, labels, bins: np.abs(probabilities - labels).mean()
        ),
        "a probability of exactly 1 belongs to the last bin: it was left out.": lambda probabilities, labels, bins: (
            calibration_error(probabilities[probabilities < 1], labels[probabilities < 1], bins)
            * (probabilities < 1).mean()
        ),
    },
)
