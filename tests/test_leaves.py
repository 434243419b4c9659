"""A leaf owns its gradient and its array, and an op instance is one node of a graph."""

from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, ops, optim
from minidl.errors import DtypeError, GraphError
from minidl.op import Op

from .tensors import leaf


def test_the_gradient_of_a_single_number_is_an_array_that_clipping_changes() -> None:
    x = md.tensor(1.0, requires_grad=True)
    (100.0 * x).backward()
    assert isinstance(x.grad, np.ndarray)
    assert md.optim.clip_grad_norm([x], 1.0) == pytest.approx(100.0)
    np.testing.assert_allclose(x.grad, 1.0, rtol=1e-6)
    optim.SGD([x], lr=1.0).step()
    assert x.item() == pytest.approx(0.0, abs=1e-5)


def test_gradients_of_single_numbers_that_add_up_or_are_retained_are_arrays() -> None:
    x = md.tensor(3.0, requires_grad=True)
    h = x * x
    h.retain_grad()
    (h + x + x).backward()
    (x * 1).backward()
    assert isinstance(x.grad, np.ndarray)
    assert isinstance(h.grad, np.ndarray)
    assert (x.grad, h.grad) == (9.0, 1.0)


class Twice(Op):
    """y = a + b with one array as both gradients."""

    def forward(self, a: Any, b: Any) -> Any:
        return a + b

    def backward(self, dy: Any) -> Any:
        gradient = dy * 1
        return gradient, gradient


class HalfSquare(Op):
    """y = x^2 / 2; where dy is 1 the gradient is the saved array, the data of x itself."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        return x * x / 2

    def backward(self, dy: Any) -> Any:
        return self.saved


def test_two_leaves_share_no_gradient() -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    Twice.apply(a, b).sum().backward()
    a.grad *= 5
    np.testing.assert_array_equal(b.grad, [1.0, 1.0])


def test_a_gradient_is_no_array_of_the_leaf_itself() -> None:
    x = leaf(1.0, 2.0)
    HalfSquare.apply(x).sum().backward()
    x.grad *= 5
    np.testing.assert_array_equal(x.numpy(), [1.0, 2.0])


def test_a_gradient_of_another_dtype_is_an_error() -> None:
    class Widens(Op):
        def forward(self, x: Any) -> Any:
            return x + 1

        def backward(self, dy: Any) -> Any:
            return (dy.astype(np.float64),)

    x = leaf(1.0)
    with pytest.raises(DtypeError, match="float64 came for a tensor of float32"):
        Widens.apply(x).backward()
    assert x.grad is None


def test_a_parameter_keeps_no_array_of_others() -> None:
    start = np.ones(2, np.float32)
    w, again = nn.Parameter(start), nn.Parameter(start)
    (w * 1).sum().backward()
    optim.SGD([w], lr=1.0).step()
    assert start.tolist() == again.numpy().tolist() == [1.0, 1.0]


# An instance of an op is one node


def test_an_instance_of_an_op_is_no_node_twice() -> None:
    f, x = ops.Exp(), leaf(0.5)
    y = f(x)
    with pytest.raises(GraphError, match=r"^Exp: this instance is already part of a graph .*: use Exp\.apply"):
        f(y)
    y.backward()
    np.testing.assert_allclose(x.grad, np.exp(0.5), rtol=1e-6)


def test_an_instance_can_be_used_again_after_its_backward_pass_and_without_a_graph() -> None:
    f, x = ops.Exp(), leaf(0.5)
    for _ in range(2):
        x.zero_grad()
        f(x).backward()
        np.testing.assert_allclose(x.grad, np.exp(0.5), rtol=1e-6)
    with md.no_grad():
        np.testing.assert_allclose(f(f(x)).numpy(), np.exp(np.exp(0.5)), rtol=1e-6)
    y = f(x)
    with md.no_grad(), pytest.raises(GraphError, match="this instance"):
        f(leaf(9.0))
    y.backward()
    np.testing.assert_allclose(x.grad, 2 * np.exp(0.5), rtol=1e-6)


def test_an_instance_that_is_used_again_leaves_the_earlier_output_alone() -> None:
    f, x, other = ops.Exp(), leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = f(x)
    y.retain_grad()
    y.sum().backward()
    again = (f(other) * 100).sum()
    with pytest.raises(GraphError, match="went through this part of the graph before"):
        y.sum().backward()
    again.backward()
    assert y.grad.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(other.grad, 100 * np.exp([3.0, 4.0]), rtol=1e-6)


def test_a_module_that_holds_an_op_is_told() -> None:
    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = ops.Tanh()

        def forward(self, x: md.Tensor) -> md.Tensor:
            return self.f(x)

    model = Holds()
    with pytest.raises(GraphError, match=r"Tanh\.apply"):
        model(model(leaf(0.5)))


class Reusing(Op):
    """x^2, whose backward always returns the same array."""

    buffer = np.empty(2, np.float32)

    def forward(self, x: Any) -> Any:
        self.save(x)
        return x * x

    def backward(self, dy: Any) -> Any:
        (x,) = self.saved
        return (np.multiply(2 * x, dy, out=self.buffer),)


def test_leaves_do_not_share_an_array_that_an_op_returns_again() -> None:
    x, z = leaf(1.0, 2.0), leaf(5.0, 6.0)
    (Reusing.apply(x).sum() + Reusing.apply(z).sum()).backward()
    np.testing.assert_array_equal([x.grad, z.grad], [[2, 4], [10, 12]])


class Keeping(Op):
    """a b, which hides its inputs in an attribute, and returns them where dy is 1."""

    def forward(self, a: Any, b: Any) -> Any:
        self.kept = {"inputs": [a, b]}
        return np.asarray((a * b).sum())

    def backward(self, dy: Any) -> Any:
        a, b = self.kept["inputs"]
        return b, a


def test_a_gradient_is_never_an_array_that_its_op_has_kept() -> None:
    a, b = leaf(3.0, 4.0), leaf(1.0, 1.0)
    Keeping.apply(a, b).backward()
    optim.clip_grad_norm([a, b], 0.1)
    np.testing.assert_array_equal([a.data, b.data], [[3, 4], [1, 1]])


def test_a_leaf_that_is_used_twice_gets_the_rounded_sum_of_one_backward_pass() -> None:
    x = leaf(1.0)
    (x * 1e8).sum().backward()
    (x * 3.0 + x * 3.0).sum().backward()  # 1e8 + 3 is rounded to 1e8, 1e8 + 6 to 1e8 + 8
    assert x.grad == np.float32(1e8 + 6)


def test_an_error_in_a_backward_pass_leaves_all_gradients_as_they_were() -> None:
    class Failing(Op):
        def forward(self, x: Any) -> Any:
            return x * 1

        def backward(self, dy: Any) -> Any:
            raise RuntimeError("no")

    x, z = leaf(1.0), leaf(1.0)
    loss = (z * Failing.apply(x)).sum()
    with pytest.raises(RuntimeError):
        loss.backward()
    assert x.grad is None
    assert z.grad is None
