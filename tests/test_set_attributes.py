"""Setting an attribute that would have no effect is an error on objects of minidl's own classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import MinidlError, MissingNameError

F = nn.functional
X = np.ones((4, 2), np.float32)
MODEL = nn.Sequential(nn.Dense(2, 2))


def things() -> dict[str, Any]:
    return {
        "model": nn.Sequential(nn.Dense(2, 2)),
        "dropout": nn.Dropout(),
        "sgd": optim.SGD(MODEL.parameters()),
        "trainer": md.Trainer(MODEL, F.mse_loss, optim.SGD(MODEL.parameters())),
        "loader": DataLoader(ArrayDataset(X, X)),
        "dataset": ArrayDataset(X, X),
        "callback": md.callbacks.EarlyStopping(),
    }


SLIPS = {
    ("model", "traning"): "training",
    ("model", "Training"): "training",
    ("dropout", "raet"): "rate",
    ("sgd", "lrr"): "lr",
    ("sgd", "momentun"): "momentum",
    ("sgd", "weightdecay"): "weight_decay",
    ("trainer", "callback"): "callbacks",
    ("trainer", "step"): "steps",
    ("loader", "batchsize"): "batch_size",
    ("dataset", "array"): "arrays",
    ("callback", "patiense"): "patience",
}


@pytest.mark.parametrize(("name", "slip"), SLIPS)
def test_a_name_that_differs_by_a_letter_is_refused(name: str, slip: str) -> None:
    thing, meant = things()[name], SLIPS[name, slip]
    with pytest.raises(MissingNameError, match=f"has no '{slip}' to set. Did you mean '{meant}'"):
        setattr(thing, slip, 1)
    assert slip not in vars(thing)


@pytest.mark.parametrize("name", things())
def test_other_names_are_free(name: str) -> None:
    thing = things()[name]
    for own in ("best", "losses", "trained_on", "notes", "v", "patients", "conv1", "conv2"):
        setattr(thing, own, 1)
        assert getattr(thing, own) == 1


def test_a_class_of_a_user_has_any_names() -> None:
    class Net(nn.Sequential):
        pass

    class Mine(optim.SGD):
        pass

    class Early(md.callbacks.EarlyStopping):
        pass

    for thing in (Net(), Mine(MODEL.parameters()), Early()):
        thing.traning = thing.lrr = thing.patiense = thing.trainable = 1  # type: ignore[union-attr]


def test_an_attribute_of_its_own_does_not_stand_for_others() -> None:
    model = nn.Module()
    model.conv1 = nn.Dense(2, 2)
    model.conv2 = nn.Dense(2, 2)
    assert len(model.children()) == 2


def test_the_end_of_training_is_set_by_fit_and_inside_it() -> None:
    class Longer(md.Callback):
        def on_epoch_end(self, trainer: md.Trainer) -> None:
            trainer.epochs = 2

    model = nn.Dense(2, 2)
    trainer = md.Trainer(model, F.mse_loss, optim.SGD(model.parameters()), callbacks=[Longer()])
    for name in ("epochs", "steps"):
        with pytest.raises(MinidlError, match=r"write trainer\.fit\(\.\.\., epochs=5\)"):
            setattr(trainer, name, 1)
    assert len(trainer.fit(DataLoader(ArrayDataset(X, X)), epochs=1)) == 2
    with pytest.raises(MinidlError, match=r"write trainer\.fit"):
        trainer.epochs = 3


def test_the_guide_lists_the_attributes_that_are_refused() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "guide" / "faq.md").read_text()
    paragraph = guide[guide.index("Some attributes of PyTorch and Keras") : guide.index("So is a name that")]
    lists = paragraph.partition(":")[2].split(";")
    for cls, listed in zip((nn.Module, optim.Optimizer, md.Trainer), lists, strict=True):
        assert set(listed.split("`")[1::2]) == cls.in_vain
