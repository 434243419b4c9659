"""Habits of PyTorch and Keras work, or raise an error with the code to write instead."""

import copy
import doctest
import inspect
import itertools
import pickle
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import answers, equivalents, habits, left_out, nn, optim
from minidl.errors import CallError, MissingImportError, MissingNameError
from tests.habits import HABITS, WORKS

F = nn.functional
ROWS = [(title, row) for title, rows in equivalents.sections().items() for row in rows]
WORLD = """
import numpy as np, minidl as md
from minidl import nn, optim
from minidl.nn import init

F = nn.functional
a, b, path, folder = 2, 3, "weights.safetensors", "."
images, labels = np.ones((2, 28, 28, 1), np.float32), np.array([0, 1])
rng, indices = md.Generator(0), np.array([0, 1])
model = nn.Sequential(nn.Flatten(), nn.Dense(28 * 28, 2))
x = y = md.tensor(np.ones((2, 3), np.float32))
w = md.tensor(np.ones((3, 3), np.float32), requires_grad=True)
loss, array, mask = (w * w).sum(), np.ones((2, 3), np.float32), np.ones((2, 3), bool)
first, second, layer, norm = nn.ReLU(), nn.ReLU(), nn.Dense(2, 2), nn.BatchNorm(3)
self = nn.Sequential(first, second)
self.save, self.saved, self.needs_grad = print, (array,), (True,)
dataset = md.data.ArrayDataset(np.tile(images, (50, 1, 1, 1)), np.tile(labels, 50))
pictures = md.data.ImageDataset(np.zeros((2, 4, 4, 1), np.uint8), labels)
loader = md.data.DataLoader(dataset, batch_size=50)
optimizer = optim.SGD(model.parameters())
trainer = md.Trainer(model, F.softmax_cross_entropy, optimizer)
F.softmax_cross_entropy(model(images), labels).backward()
md.save(path, model.state_dict())
weights, history = model.state_dict(), [{"loss": 1.0}]
f, hook, accuracy = lambda step: 0.1, lambda *call: None, lambda outputs, targets: 1.0
"""
"""The names that the code of habits and of the table uses."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(WORLD, names)
    return names


def answer(habit: str, world: dict[str, Any]) -> str:
    """The error message, or an empty string if the code works."""
    try:
        exec(habit, world)
    except Exception as error:
        return str(error)
    return WORKS


@pytest.mark.parametrize("habit", HABITS)
def test_a_habit_works_or_is_answered_with_what_to_write(habit: str, world: dict[str, Any]) -> None:
    said = answer(habit, world)
    assert HABITS[habit] in said
    assert bool(HABITS[habit]) == bool(said)
    assert "\n" not in said


def test_there_are_enough_habits() -> None:
    assert len(HABITS) >= 100


# The table

OWNERS: dict[str, Any] = {
    "torch": md,
    "tf": md,
    "keras": md,
    "nn": nn,
    "layers": nn,
    "losses": nn,
    "F": F,
    "init": nn.init,
}
OWNERS |= {"initializers": nn.init, "optim": optim, "optimizers": optim, "lr_scheduler": optim, "schedules": optim}
OWNERS |= {"callbacks": md.callbacks, "x": md.tensor([1.0]), "model": nn.ReLU(), "self": nn.ReLU()}
OWNERS |= {"optimizer": optim.SGD(nn.Dense(1, 1).parameters()), "dataset": md.data.ArrayDataset([1])}
"""The classes for which names of the table are mistaken."""


@pytest.mark.parametrize("title", list(equivalents.sections())[:-1])
def test_a_name_of_the_table_is_there_or_is_answered_with_its_line(title: str) -> None:
    rows = equivalents.sections()[title]
    for row, code in itertools.chain.from_iterable([(row, row.keras), (row, row.pytorch)] for row in rows):
        first, *names = answers.path(code)
        if first in OWNERS and names and not hasattr(OWNERS[first], names[-1]):
            with pytest.raises(MissingNameError) as caught:
                getattr(OWNERS[first], names[-1])
            same = [other for _, other in ROWS if names[-1] in answers.path(other.keras) + answers.path(other.pytorch)]
            assert any((other.minidl or other.remark) in str(caught.value) for other in [row, *same]), code


WRITTEN = [row.minidl for title, row in ROWS if title != "Arguments" and row.minidl]


@pytest.mark.parametrize("code", dict.fromkeys(WRITTEN))
def test_what_the_table_says_to_write_runs(code: str, world: dict[str, Any]) -> None:
    exec(code.replace('"cupy"', '"numpy"'), world)


def test_the_table_has_no_line_twice() -> None:
    assert len({row[:3] for _, row in ROWS}) == len(ROWS)
    assert all(row.minidl or row.remark for _, row in ROWS)


TAKERS = [nn.Dense, nn.Conv2D, nn.MaxPooling2D, nn.Dropout, nn.LeakyReLU, nn.BatchNorm, nn.MSELoss, nn.Parameter]
TAKERS += [nn.Softmax, F.softmax, F.relu, md.tensor, md.arange, md.load, md.Tensor.sum, md.Tensor.clip]
TAKERS += [md.Tensor.backward, nn.Module.zero_grad, nn.Module.load_state_dict, md.data.DataLoader, md.Trainer.fit]
TAKERS += [optim.Adam, optim.RMSprop, optim.Optimizer.step, optim.cosine, optim.step, optim.clip_grad_norm]
TAKERS += [md.summary, F.linear, F.mse_loss, F.softmax_cross_entropy, F.binary_cross_entropy_with_logits]
TAKERS += [nn.MSELoss().forward, nn.HuberLoss().forward, nn.HuberLoss]
"""Callables whose errors explain their arguments, each of which lacks some arguments of the table."""


@pytest.mark.parametrize("row", equivalents.sections()["Arguments"], ids=lambda row: row.pytorch or row.keras)
def test_an_argument_of_the_table_is_taken_or_answered_with_its_line(row: equivalents.Row) -> None:
    ours = row.minidl.partition("=")[0]
    for code in filter(None, (row.keras, row.pytorch)):
        name, equals, value = code.partition("=")
        if not equals or name == ours:
            continue
        known = {taker: list(inspect.signature(taker).parameters) for taker in TAKERS}
        able = [one for one in TAKERS if name not in known[one] and (ours in known[one] or not ours.isidentifier())]
        assert able, code
        said = [answers.argument(name, known[one], value.strip('"')) for one in able]
        assert any((row.minidl or row.remark) in one for one in said), (code, said)


LEFT_OUT = " ".join(left_out.LEFT_OUT.values()).split()


def test_what_is_left_out_is_not_in_the_table() -> None:
    assert len(set(LEFT_OUT)) == len(LEFT_OUT)
    assert not {answers.path(code)[-1] for _, row in ROWS for code in (row.keras, row.pytorch)} & set(LEFT_OUT)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_is_in_no_module_and_nothing_else_is_guessed(name: str) -> None:
    places = (md, nn, F, nn.init, optim, md.tensor([1.0]))
    assert not [place for place in places if hasattr(place, name)], f"take {name} out of minidl/left_out.py"
    for place in (nn, optim, nn.init, md.tensor([1.0])):
        assert "Did you mean" not in answers.missing(place, name)


# Names


def test_a_name_that_is_being_imported_in_a_circle_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minidl.later", np)
    from minidl import later  # type: ignore[attr-defined]

    assert later is np


def test_who_asks_whether_a_module_is_there_gets_an_answer_and_no_error() -> None:
    assert find_spec("minidl.layers") is None
    assert find_spec("minidl.nn.utils") is None
    with pytest.raises(ModuleNotFoundError) as caught:
        import_module("minidl.nn.utils")
    assert caught.value.name == "minidl.nn.utils"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'minidlayers'$"):
        import_module("minidlayers")
    assert sys.meta_path.count(habits.Modules) == 1


def test_no_advice_changes_the_array_of_a_tensor() -> None:
    x = md.tensor([3.0, 1.0, 2.0])
    for name in ("sort", "partition", "fill", "put", "resize", "itemset", "setflags", "setfield", "byteswap"):
        assert f"x.numpy().{name}" not in answers.missing(x, name)


def test_a_dir_that_fails_does_not_hide_what_is_lacking() -> None:
    class Net(nn.Module):
        def __dir__(self) -> Any:
            raise ValueError("no names")

    assert str(MissingNameError(Net(), "clasifier")) == "Net has no 'clasifier'"


def test_a_module_that_passes_names_on_is_copied_and_pickled() -> None:
    layer = Passing(nn.Dense(2, 3))
    for again in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert again.w.shape == (2, 3)
        assert [name for name, _ in again.named_parameters()] == ["module.w", "module.b"]


class Passing(nn.Module):
    """The usual wrapper around a module in PyTorch code."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            return getattr(self.module, name)


def test_whoever_asks_whether_a_name_is_there_is_not_in_the_way() -> None:
    for thing in (md, nn, F, optim, md.data, md.tensor([1.0]), nn.ReLU()):
        assert not hasattr(thing, "Linear")
        assert getattr(thing, "Linear", 3) == 3
        assert inspect.getmembers(thing)
    assert doctest.DocTestFinder().find(optim)
    with pytest.raises(AttributeError):
        nn.Linear  # noqa: B018 - a habit
    with pytest.raises(ImportError):
        from minidl.nn import Linear  # type: ignore[attr-defined]  # noqa: F401 - a habit


def test_the_table_is_read_only_to_say_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "minidl.equivalents")
    assert not hasattr(nn, "Linear")
    assert copy.deepcopy(nn.Dense(2, 3)) is not None
    with pytest.raises(MissingNameError) as caught:
        nn.Linear  # noqa: B018 - a habit
    assert "minidl.equivalents" not in sys.modules
    assert "Dense" in str(caught.value)
    assert "minidl.equivalents" in sys.modules


def test_a_module_that_nobody_imported_yet_is_found_and_else_named() -> None:
    from minidl import doctor

    assert doctor is md.doctor
    assert answers.missing(md, "viz") == "minidl has no 'viz': write `import minidl.viz` first"


def test_tensors_and_modules_are_copied_and_pickled_as_before() -> None:
    x, layer = md.tensor([1.0, 2.0]), nn.Dense(2, 3)
    for again in (copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))):
        assert again(x).numpy().tolist() == [1.0, 2.0]
        assert again(layer)(x.reshape(1, 2)).shape == (1, 3)
        assert again(x.size) == 2


def test_the_error_of_a_property_is_the_one_to_see() -> None:
    class Net(nn.Module):
        @property
        def head(self) -> Any:
            return SimpleNamespace().layer

    class Named(md.Tensor):
        @property
        def title(self) -> Any:
            return SimpleNamespace().text

    with pytest.raises(AttributeError, match=r"'types.SimpleNamespace' object has no attribute 'layer'"):
        Net().head  # noqa: B018 - what is tested
    with pytest.raises(AttributeError, match=r"'types.SimpleNamespace' object has no attribute 'text'"):
        Named(np.ones(1)).title  # noqa: B018 - what is tested


def test_a_name_of_ones_own_is_compared_with_ones_own_names() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = nn.Dense(2, 3)

        def forward(self, x: md.Tensor) -> Any:
            return self.clasifier(x)

    with pytest.raises(MissingNameError, match=r"^Net: Net has no 'clasifier'\. Did you mean 'classifier'\?$"):
        Net()(md.tensor([[1.0, 2.0]]))
    assert str(MissingNameError(Net(), "dropout")) == "Net has no 'dropout'"
    assert str(MissingNameError(Net(), "_hook")) == "Net has no '_hook'"


def test_a_habit_inside_a_model_says_in_which_layer() -> None:
    class Flat(nn.Module):
        def forward(self, x: md.Tensor) -> Any:
            return x.view(1, -1)  # type: ignore[attr-defined]

    with pytest.raises(MissingNameError, match=r"^1 \(Flat\): Tensor has no 'view': PyTorch's x.view\(3, 2\) is "):
        nn.Sequential(nn.ReLU(), Flat())(md.tensor([1.0]))


def test_python_adds_no_guess_of_its_own() -> None:
    with pytest.raises(MissingNameError) as caught:
        nn.Conv2d  # noqa: B018 - a habit
    assert caught.value.name == "Conv2d"
    (line,) = traceback.format_exception_only(caught.value)
    assert line == f"minidl.errors.MissingNameError: {caught.value}\n"


def test_the_error_travels_between_processes() -> None:
    for error in (
        MissingNameError(nn, "Linear"),
        CallError("expected more"),
        MissingImportError("minidl.nn has no ..."),
    ):
        error.locate("2 (Dense)")
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
