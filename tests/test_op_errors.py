"""Ops that are written as in torch.autograd.Function, or return something else than an array, say what to write."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, ops
from minidl.errors import CallError, DtypeError, GraphError, MissingNameError
from minidl.op import Op

from .broken.ops import Square

Array = Any
GIVEN = [1.0, 2.0, 3.0]


def leaf() -> md.Tensor:
    return md.tensor(GIVEN, requires_grad=True)


class Scale(Square):
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: Array) -> Array:
        self.save(x * self.factor / 2)
        return x * self.factor


# What forward returns

WRONG_OUTPUTS = {
    "forward returned a tuple of 2 objects, and an op has one output": lambda x: (x, x * x),
    "forward returned a tuple of 1 object, ": lambda x: (x,),
    "forward returned list, expected an array: compute it with self.xp": lambda x: [1.0, 2.0],
    "forward returned float, expected an array": lambda x: float(x.sum()),
    "forward returned int, expected an array": lambda x: x.size,
    "forward returned Tensor, expected an array.*functions of tensors are not for arrays": nn.functional.relu,
}


@pytest.mark.parametrize("said", WRONG_OUTPUTS)
def test_an_op_has_one_output_an_array(said: str) -> None:
    class Wrong(Square):
        def forward(self, x: Array) -> Any:
            return WRONG_OUTPUTS[said](x)

    with pytest.raises(DtypeError, match=f"^Wrong: {said}"):
        Wrong.apply(leaf())


def test_a_scalar_of_numpy_and_an_array_of_another_library_are_outputs() -> None:
    class Foreign:
        def __array__(self, *_: Any, **__: Any) -> Any:
            return np.array([7.0], np.float32)

    class Sum(Op):
        def forward(self, x: Array) -> Any:
            return x.sum()

    class Given(Op):
        def forward(self, x: Array) -> Any:
            return Foreign()

    assert Sum.apply(leaf()).item() == 6
    assert Given.apply(leaf()).item() == 7


WRONG_GRADIENTS = {
    "Wrong: backward returned list as the gradient of input 0": lambda dy: list(dy),
    "Wrong: backward returned float as the gradient of input 0": lambda dy: 1.0,
    "a backward returned Tensor as a gradient, expected an array": lambda dy: md.Tensor(dy),
}


@pytest.mark.parametrize("said", WRONG_GRADIENTS)
def test_a_gradient_is_an_array(said: str) -> None:
    class Wrong(Square):
        def backward(self, dy: Array) -> Any:
            return (WRONG_GRADIENTS[said](dy),)

    x = leaf()
    with pytest.raises(GraphError, match=f"^{said}"):
        Wrong.apply(x).sum().backward()
    assert x.grad is None


def test_an_error_of_the_op_itself_is_left_as_it_is() -> None:
    class Wrong(Square):
        def forward(self, x: Array) -> Array:
            return x + len(3)  # type: ignore[arg-type]

    class Backwards(Square):
        def backward(self, dy: Array) -> Any:
            rows, columns = dy.shape
            return (dy / rows / columns,)

    with pytest.raises(TypeError, match=r"^object of type 'int' has no len\(\)$"):
        Wrong.apply(leaf())
    with pytest.raises(ValueError, match="expected 2, got 1"):
        Backwards.apply(leaf()).backward(np.ones(3))


# torch.autograd.Function


@pytest.mark.parametrize("name", ["forward", "backward"])
def test_static_methods_with_a_context_are_refused_when_the_class_is_made(name: str) -> None:
    with pytest.raises(CallError, match=rf"^Cube: {name} is a static method.* write def {name}\(self, x\), without"):
        type("Cube", (Op,), {name: staticmethod(lambda ctx, x: x)})


def test_a_static_method_without_a_context_works() -> None:
    class Double(Op):
        @staticmethod
        def forward(x: Array) -> Array:
            return 2 * x

    assert Double.apply(leaf()).numpy().tolist() == [2, 4, 6]


@pytest.mark.parametrize(
    ("name", "instead"),
    {
        "save_for_backward": r"self\.save\(x\)",
        "saved_tensors": r"self\.saved",
        "needs_input_grad": r"self\.needs_grad",
        "mark_dirty": "does not change its inputs",
    }.items(),
)
def test_the_context_of_pytorch_is_the_op(name: str, instead: str) -> None:
    class Wrong(Square):
        def forward(ctx, x: Array) -> Array:  # noqa: N805
            getattr(ctx, name)(x)
            return x

    with pytest.raises(MissingNameError, match=rf"has no '{name}': PyTorch's ctx\.{name}.* is .*{instead}"):
        Wrong.apply(leaf())


def test_a_backward_without_a_save_is_told_to_save() -> None:
    class Unpacks(Square):
        def forward(self, x: Array) -> Array:
            return x * x

    class Indexes(Unpacks):
        def backward(self, dy: Array) -> Any:
            return (self.saved[0] * dy,)

    for wrong in (Unpacks, Indexes):
        with pytest.raises(GraphError, match=r"forward saved nothing: keep there what backward needs, self\.save\(x\)"):
            wrong.apply(leaf()).sum().backward()


def test_inputs_are_given_to_apply_and_not_to_the_class() -> None:
    with pytest.raises(CallError, match=r"^Square\(\.\.\.\) makes an op and takes no inputs: write Square\.apply\("):
        Square(leaf())
    assert Square()(leaf()).numpy().tolist() == [1, 4, 9]


def test_another_number_of_inputs_shows_the_signature() -> None:
    for call in (Square.apply, Square(), ops.Exp.apply):
        with pytest.raises(CallError, match=r"^(Square|Exp): expected forward\(x\), got x=\.\.\., \.\.\.$"):
            call(leaf(), leaf())  # type: ignore[operator]


def test_options_that_do_not_fit_show_those_of_the_op() -> None:
    with pytest.raises(CallError, match=r"^expected Scale\(factor\), got no factor\. .* Scale\.apply\(x, factor="):
        Scale.apply(leaf())
    with pytest.raises(CallError, match=r"got factr=2\.0, no factor.* Did you mean 'factor'\? Options are keyword"):
        Scale.apply(leaf(), factr=2.0)
    with pytest.raises(CallError, match=r"^the op Square has no options, got axis"):
        Square.apply(leaf(), axis=1)
    with pytest.raises(CallError, match=r"^the op Exp has no options, got axis"):
        ops.Exp.apply(leaf(), axis=1)
    assert Scale.apply(leaf(), factor=2.0).numpy().tolist() == [2, 4, 6]


def test_an_op_may_be_a_dataclass() -> None:
    @dataclass
    class Shift(Op):
        by: float

        __hash__ = object.__hash__

        def forward(self, x: Array) -> Array:
            return x + self.by

    assert Shift.apply(leaf(), by=1.0).numpy().tolist() == [2, 3, 4]


def test_own_ops_without_options_are_made_as_fast_as_any_object() -> None:
    assert ops.Add.__init__ is object.__init__
