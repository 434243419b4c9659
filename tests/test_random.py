"""The generator behind all random numbers, its copies and its children."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.errors import MinidlError
from minidl.random import default_rng, instead


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_of_what_draws_from_minidl_s_generator_follows_its_seed(made: Any) -> None:
    assert made(default_rng) is default_rng
    with instead(lambda: md.Generator(0)):
        assert made(default_rng) is default_rng
    layer = nn.Dropout(0.5, rng=default_rng)
    x = md.ones(100)
    drawn = []
    for one in (layer, made(layer)):
        md.seed(3)
        drawn.append(one(x).numpy().tolist())
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_of_a_generator_goes_on_by_itself(made: Any) -> None:
    rng = md.Generator(3)
    rng.normal()
    other = made(rng)
    expected = rng.normal(size=3).tolist()
    assert other.normal(size=3).tolist() == expected
    assert type(other) is md.Generator


def test_children_of_a_generator_follow_from_its_state() -> None:
    rng = md.Generator(3)
    state = rng.state
    drawn = [child.normal() for child in rng.spawn(3)]
    assert len(set(drawn)) == 3
    assert drawn[0] != rng.spawn(1)[0].normal()
    rng.state = state
    assert [child.normal() for child in rng.spawn(3)] == drawn
    assert all(type(child) is md.Generator for child in rng.spawn(2))
    md.seed(3)
    assert [child.normal() for child in default_rng.spawn(3)] == drawn
    with instead(lambda: md.Generator(3)):
        assert [child.normal() for child in default_rng.spawn(np.int64(3))] == drawn
    with pytest.raises(MinidlError, match="n_children must be an integer >= 0, got -1"):
        rng.spawn(-1)
