"""Gradients that a user keeps, and views of them, stay unchanged when a CUDA graph is replayed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md

from .captures import BATCH, data, dense_trainer, steps, trainer

VIEWS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda grad: grad,
    "row": lambda grad: grad[0],
    "slice": lambda grad: grad[1:],
    "all": lambda grad: grad[...],
    "of a view": lambda grad: grad[1:].reshape(-1)[1:],
    "reshaped": lambda grad: grad.reshape(-1),
    "transposed": lambda grad: grad.T,
    "ravelled": lambda grad: grad.ravel(),
    "bytes": lambda grad: grad.view(np.uint8),
    "in a tensor": lambda grad: md.Tensor(grad),
    "detached": lambda grad: md.Tensor(grad).detach().reshape(-1),
    "a tensor's row": lambda grad: md.Tensor(grad)[0],
    "scaled in place": lambda grad: grad.__imul__(2.0),
    "memory": lambda grad: (grad.data.mem, grad[...])[1],
}


@pytest.mark.parametrize("how", VIEWS)
def test_views_of_kept_gradients_stay_as_they_were(how: str, device: Any, replays: list[int]) -> None:
    one, expected, kept = dense_trainer(device), [], []
    for number in range(6):
        one.train_step(*data().batch(np.arange(BATCH) + number))
        view = VIEWS[how](one.model[1].w.grad)  # type: ignore[index]
        kept.append(view)
        expected.append(device.to_numpy(getattr(view, "data", view) if isinstance(view, md.Tensor) else view))
        del view
    for number, (then, view) in enumerate(zip(expected, kept, strict=True)):
        now = device.to_numpy(view.data if isinstance(view, md.Tensor) else view)
        np.testing.assert_array_equal(then, now, err_msg=f"step {number}")
    assert one.captured.replays
    assert one.captured._gives_copies


@pytest.mark.parametrize("how", ["whole", "row"])
def test_kept_gradients_outlive_batches_of_another_shape(how: str, device: Any) -> None:
    one = dense_trainer(device)
    steps(one, 3)
    kept = VIEWS[how](one.model[1].w.grad)  # type: ignore[index]
    expected = device.to_numpy(kept)
    for size in (BATCH - 1, BATCH, BATCH - 1, BATCH, BATCH, BATCH):
        one.train_step(*data().batch(np.arange(size)))
        np.testing.assert_array_equal(device.to_numpy(kept), expected)
    assert one.captured.replays


def test_views_that_are_gone_cost_nothing(device: Any, replays: list[int]) -> None:
    one = dense_trainer(device)
    for number in range(6):
        one.train_step(*data().batch(np.arange(BATCH) + number))
        for parameter in one.model.parameters():
            assert parameter.grad is not None
            parameter.grad[...] *= 0.5
            parameter.grad.reshape(-1)[:1].sum()
    assert not one.captured._gives_copies
    assert len(replays) == 5


def test_the_memory_of_a_view_is_that_of_its_base(device: Any) -> None:
    """This is how changed tensors and kept gradients are recognised."""
    x = device.xp.zeros((2, 3))
    for view in (x[0], x.reshape(-1), x.T, x[1:][0], x.ravel()[1:]):
        assert view.base is x
        assert view.data.mem is x.data.mem
    assert x.base is None
    y = x
    y += 1
    assert y is x
    assert (x + 1).data.mem is not x.data.mem


@pytest.mark.parametrize("kept", ["whole", "last", "none"])
def test_gradients_that_somebody_keeps_stay_as_they_were(kept: str, device: Any, replays: list[int]) -> None:
    one, copies, arrays = trainer(device), [], []
    for number in range(6):
        one.train_step(*data().batch(np.arange(BATCH) + number))
        gradients = [p.grad for p in one.model.parameters()]
        copies.append([device.to_numpy(gradient).tobytes() for gradient in gradients])
        arrays.append({"whole": gradients, "last": gradients[-1:], "none": []}[kept])
        del gradients
    for expected, found in zip(copies, arrays, strict=True):
        bits = [device.to_numpy(gradient).tobytes() for gradient in found]
        assert bits == expected[len(expected) - len(bits) :]
    assert one.captured.replays
    assert len(replays) == 5
    assert one.captured._gives_copies == (kept != "none")
