"""Tests that need a real GPU: every kernel at full size, and training steps. ``python -m tests.gpu`` runs them, too."""

import secrets
from typing import Any

import numpy as np
import pytest

from minidl import backends
from tests.benchmarks.gpu import kernels
from tests.benchmarks.peers import ours

from ..devices import NEEDS_GPU

pytestmark = NEEDS_GPU


@pytest.fixture
def device() -> Any:
    return backends.get("cupy")


def test_every_kernel_on_fresh_numbers_in_poisoned_memory(device: Any) -> None:
    seed = secrets.randbits(32)
    checks = kernels.check(device, seed)
    assert [check for check in checks if not check.passed] == [], f"seed {seed}"


def test_kernels_give_the_same_bits_every_time(device: Any) -> None:
    batch = ours.random_batch(64)
    for precision in device.precisions:
        device.set_precision(precision)
        results = []
        for _ in range(2):
            training = ours.Training(ours.weights(seed=0), "cupy")
            there = training.put(batch)
            losses = [training(*there) for _ in range(4)]
            assert training.captured.replays, training.captured.reason
            results.append((losses, training.weights()))
        device.set_precision("float32")
        assert results[0][0] == results[1][0]
        np.testing.assert_array_equal(results[0][1], results[1][1])


def test_the_first_losses_are_numpys(device: Any) -> None:
    batch = ours.random_batch(8)
    losses = []
    for backend in ("cupy", "numpy"):
        training = ours.Training(ours.weights(seed=0), backend)
        there = training.put(batch)
        losses.append([training(*there) for _ in range(3)])
    np.testing.assert_allclose(*losses, rtol=1e-3)
