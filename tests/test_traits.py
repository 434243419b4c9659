"""Traits, the parts that determine a step: every change is detected, and only changes are."""

import array
import functools
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.sources import library_of
from minidl.traits import Traits

from . import dependencies
from .captures import Network
from .dependencies import ATTRIBUTES, Scale, by_helper, by_module, later_of, rate_of, settings, weighted

pytestmark = pytest.mark.usefixtures("as_before")


class Layer(nn.Dense):
    pass


class Other(nn.Dense):
    pass


class Trained(nn.Parameter):
    pass


def test_traits_are_all_that_a_model_is_made_of() -> None:
    shared = nn.Dense(2, 2)
    model: Any = nn.Sequential(shared, nn.Sequential(nn.BatchNorm(2), shared))
    model.more = {"list": [nn.Parameter([1.0]), nn.ReLU()], "number": 3, "set": {1}}
    traits = Traits(model)
    assert {id(part) for part in traits.modules} == {id(module) for _, module in model.named_modules()}
    assert {id(part) for part in traits.tensors} == {id(tensor) for _, tensor in model.named_tensors()}
    assert (len(traits.modules), len(traits.tensors)) == (5, 7)
    assert traits == Traits(model)
    assert traits != model
    model.seen = tuple(map(int, ["1024", "1024"]))  # other objects with the same value are not a change
    before = Traits(model)
    model.seen = tuple(map(int, ["1024", "1024"]))
    assert before == Traits(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.more.update(number=4),
        lambda model: model.more.update(number=True),
        lambda model: model.more.update(number=1.0),
        lambda model: model.more.update(other=1),
        lambda model: model.more["set"].add(2),
        lambda model: model.more["list"].append(None),
        lambda model: model.more.update(list=tuple(model.more["list"])),
        lambda model: delattr(model, "also"),
        lambda model: (delattr(model, "also"), setattr(model, "then", 0.5)),
        lambda model: setattr(model, "__class__", Network),
        lambda model: setattr(model[0], "__class__", Other),
        lambda model: setattr(model[0].w, "__class__", Trained),
        lambda model: setattr(model.more["list"][0], "__dict__", {**vars(model.more["list"][0]), "new": 1}),
        lambda model: setattr(Layer, "__bases__", (Other,)),
        lambda model: setattr(model[0].w, "data", model[0].w.data.copy()),
        lambda model: model[0].w.data.fill(0),
        lambda model: setattr(model[0].w, "requires_grad", False),
        lambda model: setattr(model, "rng", md.Generator(0)),
    ],
)
def test_no_change_of_a_model_escapes(change: Any) -> None:
    """Neither the recorded traits nor new ones miss it."""
    Layer.__bases__ = (nn.Dense,)
    model: Any = nn.Sequential(Layer(2, 2))
    model.more = {"list": [nn.ReLU()], "number": 1, "set": {1}}
    model.rng, model.also = md.Generator(0), 0.5
    before = Traits(model)
    assert before.hold()
    change(model)
    assert not before.hold()
    assert before != Traits(model)


def test_looking_again_is_enough() -> None:
    """Without a change there is no new walk, whatever the model consists of."""
    model = nn.Sequential(nn.Dense(2, 2), *(Scale(read, start()) for read, start, _ in ATTRIBUTES.values()))
    traits = Traits(model, by_helper, by_module, functools.partial(weighted, table={}))
    assert traits.hold()
    assert traits.hold(*traits.roots)
    assert not traits.hold(model)
    assert traits == Traits(*traits.roots)


def test_equal_values_that_are_other_objects_are_no_change() -> None:
    model = Scale(lambda s: 1.0, {"a": [1024.5, "text"], "b": np.zeros(3)})
    before = Traits(model)
    model.options = {"a": [float("1024.5"), "".join("text")], "b": np.zeros(3)}
    assert not before.hold()
    assert before == Traits(model)


def test_elements_that_move_from_one_list_to_the_next_are_noticed() -> None:
    one, other = [1.0, 2.0], [3.0]
    before = Traits(one, other)
    other.insert(0, one.pop())
    assert not before.hold()
    assert before != Traits(one, other)


def test_generators_are_known_and_their_position_is_no_change() -> None:
    model: Any = Scale(lambda s: 1.0, {"rng": md.Generator(0), "theirs": np.random.default_rng(0)})
    before = Traits(model)
    model.options["rng"].normal()
    model.options["theirs"].normal()
    assert before.hold()
    assert {model.options["rng"], model.options["theirs"]} <= {
        thing for thing in before.things if isinstance(thing, np.random.Generator)
    }


def test_a_name_that_a_module_loses_is_noticed() -> None:
    settings.later = None  # type: ignore[attr-defined]
    before = Traits(later_of, settings)
    assert before.hold()
    del settings.later  # type: ignore[attr-defined]
    assert not before.hold()
    after = Traits(later_of, settings)
    assert before != after
    settings.later = None  # type: ignore[attr-defined]
    assert not after.hold()


def test_what_no_code_names_in_a_module_is_no_change() -> None:
    before = Traits(rate_of, settings)
    settings.unrelated = 7  # type: ignore[attr-defined]
    assert before.hold()
    del settings.unrelated  # type: ignore[attr-defined]


def test_a_name_that_begins_to_hide_a_builtin_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Traits(by_helper)
    monkeypatch.setattr(dependencies, "range", lambda n: [0, 0], raising=False)
    assert not before.hold()
    assert before != Traits(by_helper)


@pytest.mark.parametrize("name", ["statistics", "code", "a_package_of_mine"])
def test_a_module_of_a_user_may_be_called_as_one_of_the_standard_library(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"{name}.py"
    file.write_text("SCALE = 1.0\nclass Scaled:\n    factor = 1.0\n    def use(self):\n        return SCALE\n")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    one = module.Scaled()
    for change in (lambda: setattr(module, "SCALE", 2.0), lambda: setattr(module.Scaled, "factor", 2.0)):
        before = Traits(one)
        change()
        assert before != Traits(one)


@pytest.mark.parametrize("module", [os, sys, functools, array, np, md, importlib._bootstrap])
def test_a_module_of_a_library_is_known_by_where_it_lies(module: Any) -> None:
    assert library_of(vars(module)) == module.__name__.partition(".")[0]
