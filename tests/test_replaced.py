"""Parameters that are replaced after the optimizer was created: the trainer notices them, and only them."""

import pickle
import re
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim, plugins
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import MinidlError, ShapeError
from minidl.nn import functional as F
from minidl.train import Callback, Trainer

from .devices import EMULATED
from .tensors import leaf


def line() -> DataLoader:
    """Points of a line, in batches of 2."""
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(-1, 1)
    return DataLoader(ArrayDataset(x, 3 * x), batch_size=2)


def two_layers() -> nn.Sequential:
    md.seed(0)
    return nn.Sequential(nn.Dense(1, 2), nn.Dense(2, 1))


def replace_layer(model: Any) -> None:
    model[1] = nn.Dense(2, 1)


def replace_by_several(model: Any) -> None:
    model[1] = nn.Sequential(nn.Dense(2, 1))


def replace_parameter(model: Any) -> None:
    model[1].w = nn.Parameter(np.ones((2, 1), np.float32))


def give_it_another_name(model: Any) -> None:
    delattr(model, "1")
    model.head = nn.Dense(2, 1)


@pytest.mark.parametrize("change", [replace_layer, replace_by_several, replace_parameter, give_it_another_name])
@pytest.mark.parametrize("is_known", [False, True])
def test_an_optimizer_that_was_made_before_parameters_were_replaced_is_an_error(change: Any, is_known: bool) -> None:
    model = two_layers()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, F.mse_loss, optimizer)
    if is_known:
        trainer.fit(line())
    change(model)
    before = model.state_dict()
    with pytest.raises(MinidlError, match=r"it has the replaced one: make a new one, SGD\(model.parameters\(\)"):
        trainer.fit(line(), epochs=2)
    assert all((model.state_dict()[name] == array).all() for name, array in before.items())
    trainer.optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer.fit(line(), epochs=2)
    assert len(trainer.history) == 2


def test_a_layer_that_is_not_to_be_trained_may_take_the_place_of_one_that_was() -> None:
    model = two_layers()
    trainer = Trainer(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.1))
    replace_layer(model)
    for parameter in model[1].parameters():
        parameter.requires_grad = False
    before = model.state_dict()
    trainer.fit(line())
    after = model.state_dict()
    assert {name for name in after if (after[name] != before[name]).any()} == {"0.w", "0.b"}


@pytest.mark.parametrize("backend", ["numpy", EMULATED])
@pytest.mark.parametrize("name", plugins.names("optimizer"))
@pytest.mark.parametrize("shape", [(2,), (1,), (3, 1), (1, 3), (6,), ()])
def test_data_of_another_shape_do_not_meet_the_old_state(shape: tuple[int, ...], name: str, backend: str) -> None:
    """A kernel would read the state beyond its end, and NumPy might broadcast it."""
    options = {"momentum": 0.9} if name in ("sgd", "rmsprop") else {}
    one, two = (md.ones(3, requires_grad=True, backend=backend) for _ in range(2))
    optimizer = plugins.build("optimizer", name, [one, two], lr=0.1, **options)
    one.grad, two.grad = one.data.copy(), two.data.copy()
    optimizer.step()
    before = pickle.dumps([one.numpy(), optimizer.state_dict()])
    two.data = md.ones(*shape, backend=backend).data
    two.grad = two.data.copy()
    message = rf"^the data of parameter '1' were replaced by an array of shape {re.escape(str(shape))}, .* for \(3,\): "
    with pytest.raises(ShapeError, match=message):
        optimizer.step()
    assert pickle.dumps([one.numpy(), optimizer.state_dict()]) == before
    optimizer.state["1"].clear()
    optimizer.step()
    assert two.shape == shape
    assert (two.numpy() < 1).all()


def test_data_of_another_shape_are_fine_where_there_is_no_state() -> None:
    w = leaf(1.0, 1.0)
    optimizer, w.grad = optim.SGD([w], lr=0.5), np.ones(2, np.float32)
    optimizer.step()
    w.data = w.grad = np.ones(3, np.float32)
    optimizer.step()
    assert w.numpy().tolist() == [0.5, 0.5, 0.5]


def test_a_layer_that_a_callback_replaces_is_noticed_in_the_next_epoch() -> None:
    class Replace(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            replace_layer(trainer.model)

    model = two_layers()
    trainer = Trainer(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.1), callbacks=[Replace()])
    with pytest.raises(MinidlError, match=r"lacks the model's 1.w, 1.b, it has the replaced one"):
        trainer.fit(line(), epochs=3)
    assert trainer.epoch == 1


def test_an_optimizer_may_have_a_part_of_the_model_what_is_beside_it_and_what_takes_turns() -> None:
    def trained(model: nn.Sequential, parameters: Any, loss: Any = F.mse_loss) -> bool:
        return bool(Trainer(model, loss, optim.SGD(parameters, lr=0.1)).fit(line()))

    model = two_layers()
    assert trained(model, model[1].parameters())
    scale, outside = nn.Parameter([1.0]), nn.Dense(1, 1)
    assert trained(model, [*model[1].parameters(), scale], lambda y, t: F.mse_loss(y * scale, t))
    assert trained(model, model[1].parameters() + outside.parameters(), lambda y, t: F.mse_loss(outside(y), t))
    frozen = two_layers()
    kept = frozen.parameters()
    replace_layer(frozen)
    for parameter in frozen[1].parameters():
        parameter.requires_grad = False
    assert trained(frozen, kept)
    first, second = nn.Dense(2, 1), nn.Dense(2, 1)
    heads = nn.Sequential(nn.Dense(1, 2), first)
    both = [*heads.parameters(), *second.parameters()]
    optimizer = optim.SGD(both, lr=0.1)
    for head in (second, first, second):
        heads[1] = head
        assert Trainer(heads, F.mse_loss, optimizer).fit(line())
    moved = two_layers()
    optimizer = optim.SGD(moved.parameters(), lr=0.1)
    moved[1] = nn.Sequential(moved[1], nn.Sequential())
    assert Trainer(moved, F.mse_loss, optimizer).fit(line())
