"""Everything that is registered keeps what its kind promises: every check of the kit on every plugin."""

import shutil
from collections.abc import Callable, Iterator

import pytest

import minidl as md
from minidl.errors import MinidlError
from minidl.testing import Subject, gradcheck, parametrize_with_checks, subject
from minidl.testing.examples import OPS
from minidl.testing.gradcheck import DIRECTIONS, EVERY_ELEMENT

from .test_kernels import ON_A_GPU

KINDS = ("op", "layer", "loss", "optimizer", "conv_algorithm")


def here() -> Iterator[Subject]:
    """Every plugin; without those for a GPU, where there is neither one nor g++ to emulate it."""
    for kind in KINDS:
        for name in md.plugins.names(kind):
            try:
                yield subject(kind, name)
            except MinidlError:
                if name not in ON_A_GPU or shutil.which("g++") is not None:
                    raise


@parametrize_with_checks(list(here()))
def test_plugin(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", OPS)
def test_gradients_are_right_to_1e8_and_all_were_compared(name: str) -> None:
    for example in OPS[name]:
        result = gradcheck(example.call, *example.inputs)
        assert result.worst <= 1e-8
        directions = sum(x.size if x.size <= EVERY_ELEMENT else DIRECTIONS for x in example.inputs)
        assert (result.compared, result.kinks) == ((directions - 1, 1) if example.label == "kink" else (directions, 0))


def test_every_op_of_the_examples_is_registered() -> None:
    assert set(OPS) == set(md.plugins.names("op"))
