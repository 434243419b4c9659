"""A class that does not call the constructor of its base says so, whatever the base."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, ops, optim, plugins
from minidl.data import ArrayDataset, DataLoader, Subset
from minidl.errors import MinidlError
from minidl.kernels.conv import ConvAlgorithm

F = nn.functional
DATA = ArrayDataset(np.ones((3, 2), np.float32), np.ones((3, 2), np.float32))


def forgetful(base: Any, **methods: Any) -> Any:
    """A class whose constructor calls none."""

    def init(self: Any, *_: Any) -> None: ...

    return type("Mine", (base,), {"__init__": init, **methods})


def trained(callback: Any) -> None:
    model = nn.Dense(2, 2)
    md.Trainer(model, F.mse_loss, optim.SGD(model.parameters()), callbacks=[callback]).fit(DataLoader(DATA))


OPTIMIZER = forgetful(optim.Optimizer, update=lambda *_: None)
USES: dict[str, tuple[str, Callable[[], Any]]] = {
    "step": ("parameters, lr", lambda: OPTIMIZER().step()),
    "state_dict": ("parameters, lr", lambda: OPTIMIZER().state_dict()),
    "a step of SGD": ("parameters", lambda: forgetful(optim.SGD)().step()),
    "a forward pass": ("", lambda: forgetful(nn.Module, forward=lambda self, x: x)()(md.ones(1))),
    "a layer": ("inputs, outputs", lambda: forgetful(nn.Dense)()(md.ones(1, 2))),
    "a loss": ("", lambda: forgetful(nn.MSELoss)()(md.ones(1), md.ones(1))),
    "a data set": ("*arrays", lambda: len(forgetful(ArrayDataset)())),
    "a subset": ("dataset, indices", lambda: len(forgetful(Subset)())),
    "a trainer": ("model, loss, optimizer", lambda: forgetful(md.Trainer)().fit(DataLoader(DATA))),
    "Checkpoint": ("folder", lambda: trained(forgetful(md.callbacks.Checkpoint)())),
    "CSVLog": ("path", lambda: trained(forgetful(md.callbacks.CSVLog)())),
    "EarlyStopping": ("", lambda: trained(forgetful(md.callbacks.EarlyStopping)())),
    "Progress": ("", lambda: trained(forgetful(md.callbacks.Progress)())),
    "an op": ("", lambda: forgetful(ops.Sum).apply(md.ones(1))),
}


@pytest.mark.parametrize("use", USES)
def test_a_missing_attribute_is_one_that_the_base_sets(use: str) -> None:
    arguments, call = USES[use]
    with pytest.raises(MinidlError) as caught:
        call()
    assert str(caught.value).endswith(f": call super().__init__({arguments}) in Mine.__init__")


@pytest.mark.parametrize(
    "call",
    [lambda: OPTIMIZER().zero_grad(), lambda: list(forgetful(DataLoader)()), lambda: len(forgetful(DataLoader)())],
)
def test_an_option_that_is_not_set_says_so(call: Callable[[], Any]) -> None:
    with pytest.raises(MinidlError, match=r"^\w+ is not set yet: call super\(\).__init__\(\) before using it$"):
        call()


def test_an_algorithm_without_its_backend_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = dict.fromkeys(("forward", "input_gradient", "weight_gradient"), lambda self, *_: self.xp.zeros(1))
    monkeypatch.setitem(plugins._registered["conv_algorithm"], "mine", forgetful(ConvAlgorithm, **passes))
    with pytest.raises(MinidlError, match=r"'mine' has no xp: call super\(\).__init__\(backend\) in its __init__$"):
        nn.Conv2D(1, 1, 3, algorithm="mine")(md.ones(1, 4, 4, 1))


def test_an_attribute_that_no_constructor_sets_is_only_missing() -> None:
    with pytest.raises(MinidlError, match=r"has no 'stepps'\. Did you mean 'step'"):
        OPTIMIZER().stepps  # noqa: B018
    with pytest.raises(MinidlError, match=r"^Mine has no 'folder'$"):
        type("Mine", (md.Callback,), {"__init__": lambda self: None})().folder  # type: ignore[attr-defined]  # noqa: B018


def test_a_constructor_that_sets_everything_itself_need_not_call_it() -> None:
    class Own(ArrayDataset):
        def __init__(self) -> None:
            self.arrays = (np.ones(3),)

    assert len(Own()) == 3
