"""A wrong call raises one line with the expected and the actual arguments; errors inside the callee are unchanged."""

import functools
import inspect
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import habits, nn, optim
from minidl.errors import CallError, MinidlError

F = nn.functional


def test_an_error_inside_a_constructor_is_left_alone() -> None:
    class Net(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer = len(width)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match=r"object of type 'int' has no len\(\)") as caught:
        Net(3)
    assert not isinstance(caught.value, MinidlError)
    assert caught.traceback[-1].name == "__init__"


def test_an_error_inside_a_decorated_method_is_left_alone() -> None:
    def filled(method: Any) -> Any:
        @functools.wraps(method)
        def call(self: Any, *inputs: Any) -> Any:
            return method(self, *inputs, *[1] * (2 - len(inputs)))

        return call

    class Net(nn.Module):
        @filled
        def __init__(self, width: int, height: Any) -> None:
            super().__init__()
            len(height)

        @filled
        def forward(self, x: md.Tensor, mask: Any) -> Any:
            return len(mask)

    with pytest.raises(TypeError, match=r"^object of type 'int' has no len\(\)$"):
        Net(3)
    net = Net(3, "x")
    with pytest.raises(TypeError, match=r"^object of type 'int' has no len\(\)$"):
        net(md.tensor([1.0]))


def test_what_cannot_be_explained_keeps_the_error_of_python() -> None:
    class Builtin(nn.Module):
        forward = staticmethod(max)  # type: ignore[assignment]

    def start(self: Any, width: int) -> None:
        nn.Module.__init__(self)

    for call, message in {
        nn.Module.__init__: "missing 1 required positional argument: 'self'",
        nn.Dense.__init__: "missing 3 required positional arguments: 'self', 'inputs', and 'outputs'",
        Builtin(): "max expected at least 1 argument, got 0",
    }.items():
        with pytest.raises(TypeError, match=message) as caught:
            call()  # type: ignore[operator]
        assert not isinstance(caught.value, MinidlError)
    start.__name__ = start.__qualname__ = "__init__"
    with pytest.raises(CallError, match=r"^expected Made\(width\), got no width$"):
        type("Made", (nn.Module,), {"__init__": start})()


def test_a_wrong_call_is_told_in_one_line() -> None:
    @habits.explained
    def shade(picture: Any, light: Any = np.eye(9)) -> None: ...  # noqa: B008 - a default of many lines

    with pytest.raises(CallError) as caught:
        shade()  # type: ignore[call-arg]
    assert str(caught.value) == "expected shade(picture, light=...), got no picture"


def test_only_what_follows_a_bare_star_is_said_to_be_given_by_name() -> None:
    with pytest.raises(CallError) as caught:
        md.zeros(2, 3, device="cuda")  # type: ignore[call-arg]
    assert "what follows *" not in str(caught.value)


def test_a_wrong_call_inside_a_constructor_names_what_was_called() -> None:
    class Wide(nn.Dense):
        def __init__(self) -> None:
            super().__init__(10)  # type: ignore[call-arg]

    with pytest.raises(CallError, match=r"^expected Dense\(inputs, outputs, .*\), got inputs=10, no outputs: "):
        Wide()


def test_layers_and_optimizers_of_ones_own_answer_too() -> None:
    class Scale(nn.Module):
        def __init__(self, factor: float, *, shift: float = 0.0) -> None:
            super().__init__()

        def forward(self, x: md.Tensor, mask: Any = None) -> Any:
            return x if mask is None else x * mask

    class Sign(optim.Optimizer):
        def update(self, param: Any, grad: Any, state: Any) -> None: ...

    class Deep(nn.Dense): ...

    x = md.tensor([1.0])
    assert Scale(2.0, shift=1.0)(x, mask=2.0).item() == 2.0
    for code, message in {
        "Scale()": "expected Scale(factor, *, shift=0.0), got no factor",
        "Scale(1, 2)": "expected Scale(factor, *, shift=0.0), got factor=1, 2: parameters after * are keyword-only",
        "Scale(1, shfit=2)": "expected Scale(factor, *, shift=0.0), got factor=1, shfit=2: there is no shfit. Did you "
        "mean 'shift'?",
        "Scale(1)(x, mark=2)": "Scale: expected forward(x, mask=None), got x=..., mark=2: there is no mark. Did you "
        "mean 'mask'?",
        "Sign([x])": "expected Sign(parameters, lr), got parameters=..., no lr",
        "Deep(10)": "expected Deep(inputs, outputs, bias=True, initializer='he_normal', rng=None), got inputs=10, "
        "no outputs: Keras's layers.Dense(b) is nn.Dense(a, b) here",
    }.items():
        with pytest.raises(CallError) as caught:
            eval(code)
        assert str(caught.value) == message


def test_a_wrong_call_shows_nothing_of_how_it_was_found_out() -> None:
    with pytest.raises(CallError) as caught:
        nn.Dense(10)  # type: ignore[call-arg]
    assert [entry.name for entry in caught.traceback] == [
        "test_a_wrong_call_shows_nothing_of_how_it_was_found_out",
        "call",
    ]
    assert caught.value.__context__ is None
    with pytest.raises(CallError) as caught:
        nn.ReLU()(1, 2)
    assert caught.value.__suppress_context__


def test_signatures_are_those_that_were_written() -> None:
    assert list(inspect.signature(nn.Dense).parameters) == ["inputs", "outputs", "bias", "initializer", "rng"]
    assert list(inspect.signature(F.softmax).parameters) == ["x", "axis"]
