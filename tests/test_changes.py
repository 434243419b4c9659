"""Memory: changes before the backward pass, shared arrays, and the ownership of gradients."""

import gc
import importlib
import pickle
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.array_utils import byte_bounds

import minidl as md
from minidl import changes, nn, optim
from minidl.errors import GraphError

from .elsewhere import printed
from .tensors import leaf

F = nn.functional


def viewed(w: md.Tensor) -> md.Tensor:
    with md.no_grad():
        return w[:2]


SHARING = {
    "detached": lambda w: w.detach(),
    "detached twice": lambda w: w.detach().detach(),
    "a view under no_grad": viewed,
    "a view of it that is detached": lambda w: w.reshape(2, 1).reshape(-1).detach(),
    "transposed and detached": lambda w: w.reshape(1, 2).T.detach().reshape(-1),
    "its array": lambda w: w.data,
    "a view of its array": lambda w: w.data[::-1],
    "on the backend where it is": lambda w: w.to("numpy").detach(),
    "a tensor of its array": lambda w: md.Tensor(w.data),
    "a window over its array": lambda w: md.Tensor(np.lib.stride_tricks.as_strided(w.data, (2,), (4,))),
}


@pytest.mark.parametrize("how", [name for name in SHARING if "its array" not in name or "tensor" in name])
def test_a_step_between_loss_and_backward_is_noticed_by_what_shares_the_memory(how: str) -> None:
    w, x = leaf(1.0, 2.0), leaf(1.0, 1.0)
    optimizer = optim.SGD([w], lr=1.0)
    (w * w).sum().backward()
    y = (x * SHARING[how](w)).sum()
    optimizer.step()
    with pytest.raises(GraphError, match=r"^Mul: .* was changed"):
        y.backward()
    assert x.grad is None
    (x * SHARING[how](w)).sum().backward()
    np.testing.assert_array_equal(x.grad, w.numpy())


@pytest.mark.parametrize("how", ["its array", "a view of its array"])
def test_an_array_that_is_a_factor_counts_as_it_was(how: str) -> None:
    """A later step does not change the gradient: the array is a constant, so it was copied."""
    w, x = leaf(1.0, 2.0), leaf(1.0, 1.0)
    expected = np.array(SHARING[how](w))
    (w * w).sum().backward()
    y = (x * SHARING[how](w)).sum()
    optim.SGD([w], lr=1.0).step()
    y.backward()
    np.testing.assert_array_equal(x.grad, expected)


def test_what_does_not_share_the_memory_is_not_concerned() -> None:
    w, x = leaf(1.0, 2.0), leaf(1.0, 1.0)
    (w * w).sum().backward()
    y = (x * w.detach().clone()).sum()
    optim.SGD([w], lr=1.0).step()
    y.backward()
    np.testing.assert_array_equal(x.grad, [1.0, 2.0])


def test_memory_that_is_used_again_was_not_changed() -> None:
    """A new array has the address of one that was freed."""
    for _ in range(3):
        w = leaf(*range(100))
        w.mark_changed()
        address = id(w.data)
        del w
        gc.collect()
        assert address not in changes._changed


def test_what_is_known_of_an_address_says_nothing_of_the_next_array_there() -> None:
    """The same, if the freed array has left something behind."""
    w, gone = leaf(1.0, 2.0), weakref.ref(leaf(1.0))
    changes._changed[id(w.data)] = gone, next(changes.numbers)
    assert not changes.is_newer(w.data, 0)
    w.mark_changed()
    assert changes.is_newer(w.data, 0)


@pytest.mark.parametrize("view", [lambda memory: memory, lambda memory: memory[:1], lambda memory: memory[::-1][:1]])
def test_memory_that_is_no_array_s_is_that_of_the_array_over_it(view: Any) -> None:
    over: Any = np.ndarray(2, np.float32, buffer=bytearray(8))
    x, w = leaf(3.0), md.Tensor(view(over))
    y = (x * w).sum()
    md.Tensor(over).mark_changed()
    with pytest.raises(GraphError, match="was changed"):
        y.backward()


def lent_by(owner: str) -> tuple[Any, Any]:
    """Two arrays over the same memory, [1, 2], which no array owns, or of which NumPy does not know the owner."""
    array = np.array([1, 2], np.float32)
    buffer = bytearray(array.tobytes())
    return {
        "a buffer": lambda: (np.frombuffer(buffer, np.float32), np.frombuffer(buffer, np.float32)),
        "a part of a buffer": lambda: (np.frombuffer(buffer, np.float32), np.frombuffer(buffer, np.float32)[:]),
        "an exported array": lambda: (array, np.asarray(memoryview(array))),
        "an array exported twice": lambda: (np.asarray(memoryview(array)), np.asarray(memoryview(array))),
        "DLPack": lambda: (array, np.from_dlpack(array, copy=False)),
    }[owner]()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "owner",
    [
        "a buffer",
        "a part of a buffer",
        "an exported array",
        "an array exported twice",
        "DLPack",
    ],
)
def test_a_change_of_memory_that_no_array_owns_is_noticed(owner: str, turned: bool) -> None:
    first, second = lent_by(owner)[:: -1 if turned else 1]
    require_noticed(first, second)


@pytest.mark.parity
def test_a_change_of_the_memory_of_a_tensor_of_pytorch_is_noticed() -> None:
    tensor = importlib.import_module("torch").tensor([1.0, 2.0])
    require_noticed(tensor.numpy(), tensor.numpy())


def require_noticed(first: Any, second: Any) -> None:
    """A change through one of two arrays over [1, 2] counts for the other, and a change elsewhere does not."""
    if not first.flags.writeable:
        first, second = second, first
    w, x = md.Tensor(first, requires_grad=True), leaf(1.0, 1.0)
    y = (x * md.Tensor(second)).sum()
    w.grad = np.ones(2, np.float32)
    optim.SGD([w], lr=1.0).step()
    with pytest.raises(GraphError, match=r"^Mul: .* was changed"):
        y.backward()
    again = (x * md.Tensor(second)).sum()
    md.Tensor(np.frombuffer(bytearray(8), np.float32)).mark_changed()  # other memory
    again.backward()
    np.testing.assert_array_equal(x.grad, [0.0, 1.0])


def test_a_part_of_a_buffer_that_is_not_changed_is_not_concerned() -> None:
    buffer = bytearray(16)
    first, second = np.frombuffer(buffer, np.float32, 2), np.frombuffer(buffer, np.float32, 2, offset=8)
    x = leaf(1.0, 1.0)
    y = (x * md.Tensor(second)).sum()
    md.Tensor(first).mark_changed()
    y.backward()
    np.testing.assert_array_equal(x.grad, second)


def test_the_record_of_memory_that_no_array_owns_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_MOST_LENT", 2)
    monkeypatch.setattr(changes, "_lent", {})
    kept = [np.frombuffer(bytearray(8), np.float32) for _ in range(9)]
    changes.mark(*kept)
    assert list(changes._lent) == [byte_bounds(array) for array in kept[-2:]]


def test_a_view_that_outlives_the_tensor_is_known() -> None:
    w = leaf(1.0, 2.0)
    x, view = leaf(3.0), md.Tensor(w.data[:1])
    y = x * view
    w.mark_changed()
    del w
    with pytest.raises(GraphError, match="was changed"):
        y.backward()


def test_a_trained_model_goes_on_in_another_process(tmp_path: Path) -> None:
    model = nn.Dense(2, 1, rng=md.Generator(0))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        model(md.tensor([[1.0, 2.0]])).sum().backward()
        optimizer.step()
    (tmp_path / "model").write_bytes(pickle.dumps(model))
    program = (
        "import pickle, minidl as md\n"
        f"model = pickle.load(open({str(tmp_path / 'model')!r}, 'rb'))\n"
        "model.zero_grad(); model(md.tensor([[1.0, 2.0]])).sum().backward(); print(model.w.grad.ravel().tolist())"
    )
    assert printed(program) == "[1.0, 2.0]\n"


# Options and constants are those of the forward pass

ONES = (1.0, 1.0, 1.0)


class Info(np.ndarray[Any, Any]):
    """A view of an array with a class of its own, as in NumPy's "Subclassing ndarray"."""


VIEWS = {
    "itself": lambda array: array,
    "a view": lambda array: array[:],
    "a subclass": lambda array: array.view(Info),
    "a buffer": lambda array: np.asarray(memoryview(array)),
}


def changed_afterwards(x: md.Tensor, array: Any, use: Any, view: str) -> Any:
    """x.grad if ``array`` is changed between the forward and the backward pass."""
    y = use(x, VIEWS[view](array))
    array[...] = array[0]
    y.sum().backward()
    return x.grad


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("array", "use", "expected"),
    [
        ([0, 0, 2], lambda x, index: x[index], [2, 0, 1]),
        ([True, False, False], lambda x, mask: x[mask], [1, 0, 0]),
        ([True, False, False], lambda x, condition: F.where(condition, x, 0), [1, 0, 0]),
        ([1.0, 2.0, 3.0], lambda x, factor: x * factor, [1, 2, 3]),
        ([1.0, 2.0, 4.0], lambda x, divisor: x / divisor, [1, 0.5, 0.25]),
        ([1.0, 2.0, 3.0], lambda x, exponent: x**exponent, [1, 2, 3]),
        ([1.0, 2.0, 3.0], lambda x, vector: x @ vector, [1, 2, 3]),
        ([0.0, 1.0, 3.0], lambda x, t: F.mse_loss(x, t), [2 / 3, 0, -4 / 3]),
        ([0.0, 1.0, 3.0], lambda x, t: F.l1_loss(x, t), [1 / 3, 0, -1 / 3]),
        ([0.0, 1.0, 3.0], lambda x, t: F.huber_loss(x, t), [1 / 3, 0, -1 / 3]),
        ([0.0, 0.0, 1.0], lambda x, t: F.binary_cross_entropy_with_logits(x, t), None),
        ([0, 0, 1], lambda x, labels: F.softmax_cross_entropy(F.stack([x, 0 * x], axis=1), labels), None),
    ],
)
def test_an_array_that_is_changed_before_backward_counts_as_it_was(
    array: Any, use: Any, expected: Any, view: str
) -> None:
    dtype = np.float32 if isinstance(array[0], float) else None
    got = changed_afterwards(leaf(*ONES), np.array(array, dtype), use, view)
    unchanged = leaf(*ONES)
    use(unchanged, np.array(array, dtype)).sum().backward()
    np.testing.assert_array_equal(got, unchanged.grad)
    if expected is not None:
        np.testing.assert_allclose(got, expected, rtol=1e-6)


REPLACED = {
    "a copy of its array": lambda model, _: setattr(model[0].w, "data", model[0].w.data.copy()),
    "loaded weights": lambda model, state: model.load_state_dict(state),
    "another dtype": lambda model, _: model.astype(np.float64),
    "another backend": lambda model, _: model.to("strict"),
}


@pytest.mark.parametrize("how", REPLACED)
@pytest.mark.parametrize("layer", [lambda: nn.Dense(3, 2, bias=False), lambda: nn.Conv2D(3, 2, 1, bias=False)])
def test_a_step_is_noticed_where_the_parameter_has_another_array_since(layer: Any, how: str) -> None:
    model = nn.Sequential(layer())
    state, optimizer = model.state_dict(), optim.SGD(model.parameters(), lr=1.0)
    x = md.tensor(np.ones((1, 2, 2, 3), np.float32), requires_grad=True)
    y = model(x).sum()
    model(x.detach()).sum().backward()
    optimizer.step()
    REPLACED[how](model, state)
    with pytest.raises(GraphError, match=r"0\.w was changed"):
        y.backward()
    assert x.grad is None


def test_weights_that_are_replaced_and_not_changed_leave_the_gradient_right() -> None:
    w, x = leaf(3.0), leaf(1.0)
    y = (x * w).sum()
    w.data = np.array([7.0], np.float32)
    (w * 1).sum().backward()
    optim.SGD([w], lr=1.0).step()  # changes the new array alone
    y.backward()
    np.testing.assert_array_equal(x.grad, [3.0])


def test_a_graph_that_was_used_keeps_no_array() -> None:
    w, x = leaf(3.0), leaf(1.0)
    y = (x * w).sum()
    data, w.data = weakref.ref(w.data), np.ones(1, np.float32)
    assert data() is not None
    y.backward()
    gc.collect()
    assert data() is None


# What an op saved must not be changed either

KEEP_THEIR_OUTPUT = {
    "exp": lambda x: x.exp(),
    "sqrt": lambda x: x.sqrt(),
    "relu": F.relu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "softmax": F.softmax,
    "log_softmax": F.log_softmax,
    "pow": lambda x: 2**x,
    "one pass": lambda x: nn.Sequential(nn.Conv2D(1, 1, 1), nn.ReLU(), nn.MaxPooling2D(1))(x.reshape(1, 1, 2, 1)),
}
KEEP_NOTHING_OF_IT = {
    "add": lambda x: x + 1,
    "mul": lambda x: x * x,
    "log": lambda x: x.log(),
    "clip": lambda x: x.clip(0, 9),
    "leaky_relu": F.leaky_relu,
    "matmul": lambda x: x @ np.eye(2, dtype=np.float32),
    "avg_pool2d": lambda x: F.avg_pool2d(x.reshape(1, 1, 2, 1), 1),
}
"""PyTorch allows these, too."""


@pytest.mark.parametrize("name", KEEP_THEIR_OUTPUT)
@pytest.mark.parametrize("view", [False, True])
def test_an_output_that_was_saved_is_not_to_be_changed(name: str, view: bool) -> None:
    x = leaf(0.5, 1.5)
    y = KEEP_THEIR_OUTPUT[name](x)
    changed = y.detach().reshape(-1) if view else y
    changed.data[...] = 0.5
    changed.mark_changed()
    with pytest.raises(GraphError, match=r"its output of shape .* was changed after this was computed"):
        y.sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("name", KEEP_NOTHING_OF_IT)
def test_an_output_that_nobody_saved_may_be_changed(name: str) -> None:
    x, unchanged = leaf(0.5, 1.5), leaf(0.5, 1.5)
    y = KEEP_NOTHING_OF_IT[name](x)
    y.data[...] = 0.25
    y.mark_changed()
    y.sum().backward()
    KEEP_NOTHING_OF_IT[name](unchanged).sum().backward()
    np.testing.assert_array_equal(x.grad, unchanged.grad)


def test_a_copy_of_an_output_may_be_changed() -> None:
    x = leaf(0.5, 1.5)
    y = x.exp()
    y.clone().mark_changed()
    y.sum().backward()
    np.testing.assert_allclose(x.grad, np.exp([0.5, 1.5]), rtol=1e-6)


def test_a_saved_array_that_was_changed_counts_though_the_input_is_another_one_now() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (x * w).sum()
    w.data[...] = 0
    w.mark_changed()
    w.data = np.ones(2, np.float32)
    with pytest.raises(GraphError, match=r"Mul: .* was changed"):
        y.backward()
