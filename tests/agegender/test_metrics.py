"""The metrics are those of scikit-learn; intervals and calibrations hold on samples with known answers."""

from typing import Any

import numpy as np
import pytest

from agegender import calibration, metrics


def drawn(seed: int, count: int = 400) -> tuple[Any, Any]:
    """Labels, and logits that tell something of them, with ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    return labels, np.round(rng.normal(size=count) + labels, 1)


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_those_of_scikit_learn(seed: int) -> None:
    theirs = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed: pip install scikit-learn")
    calibrated = pytest.importorskip("sklearn.calibration")
    labels, logits = drawn(seed)
    probabilities = 1 / (1 + np.exp(-logits))
    answers = probabilities > 0.5
    ages, predicted = np.random.default_rng(seed).uniform(0, 90, (2, 400))
    pairs = [
        (metrics.accuracy(labels, probabilities), theirs.accuracy_score(labels, answers)),
        (metrics.confusion(labels, probabilities), theirs.confusion_matrix(labels, answers)),
        (metrics.balanced_accuracy(labels, probabilities), theirs.balanced_accuracy_score(labels, answers)),
        (metrics.auc(labels, logits), theirs.roc_auc_score(labels, logits)),
        (metrics.log_loss(labels, logits), theirs.log_loss(labels, probabilities)),
        (np.abs(predicted - ages).mean(), theirs.mean_absolute_error(ages, predicted)),
        (np.median(np.abs(predicted - ages)), theirs.median_absolute_error(ages, predicted)),
    ]
    for ours, expected in pairs:
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)
    found = metrics.reliability(labels, probabilities)
    shares, means = calibrated.calibration_curve(labels, probabilities, n_bins=10)
    np.testing.assert_allclose([each.share for each in found], shares, rtol=1e-9)
    np.testing.assert_allclose([each.probability for each in found], means, rtol=1e-9)


def test_one_label_alone_has_no_auc_but_an_accuracy() -> None:
    labels, probabilities = np.ones(3, int), np.array([0.9, 0.8, 0.2])
    assert np.isnan(metrics.auc(labels, probabilities))
    assert metrics.balanced_accuracy(labels, probabilities) == pytest.approx(2 / 3)


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_drew_the_labels_is_found(true: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=100_000) * 3
    labels = rng.random(100_000) < 1 / (1 + np.exp(-logits / true))
    assert metrics.temperature(labels, logits) == pytest.approx(true, rel=0.03)


@pytest.mark.parametrize(("labels", "expected"), [([1, 0], 0.05), ([0, 1], 20.0)])
def test_answers_that_are_all_right_or_all_wrong_have_a_finite_temperature(labels: Any, expected: float) -> None:
    assert metrics.temperature(np.array(labels), np.array([3.0, -3.0])) == pytest.approx(expected)


def test_huge_logits_have_a_finite_loss() -> None:
    assert metrics.log_loss(np.array([0, 1]), np.float32([1e4, -1e4])) == pytest.approx(1e4)


def test_an_interval_contains_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    samples = rng.exponential(size=(200, 100))
    hits = [low <= 1 <= high for low, high in (metrics.interval(np.mean, each, resamples=300) for each in samples)]
    assert 0.88 <= np.mean(hits) <= 0.98


def test_samples_of_an_interval_are_drawn_together() -> None:
    values = np.arange(50)
    low, high = metrics.interval(lambda a, b: float(np.abs(a - b).max()), values, values)
    assert (low, high) == (0, 0)


def test_too_few_faces_give_no_calibration() -> None:
    few = np.ones(calibration.LEAST - 1)
    assert calibration.fit(few, few, few, few) is None


def test_ages_that_are_all_predicted_alike_get_an_interval() -> None:
    ages = np.linspace(20, 40, 100)
    fitted = calibration.fit(np.arange(100) % 2, np.ones(100), ages, np.full(100, 30.0))
    assert fitted is not None
    (low, high), *_ = fitted.intervals(np.array([30.0])).tolist()
    assert (low, high) == pytest.approx((21, 39), abs=0.5)
