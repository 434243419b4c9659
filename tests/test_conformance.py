"""Every check of the conformance kit on every registered plugin."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import minidl as md
from minidl.errors import MinidlError
from minidl.testing import Subject, gradcheck, parametrize_with_checks, subject
from minidl.testing.examples import OPS
from minidl.testing.gradcheck import DIRECTIONS, EVERY_ELEMENT

from .kernels import ON_A_GPU

ROOT = Path(__file__).resolve().parents[1]
TWINS = ROOT / "tests" / "parity" / "twins.py"
KINDS = ("op", "layer", "loss", "optimizer", "conv_algorithm")


def here() -> Iterator[Subject]:
    """Every plugin, except those for a GPU if there is neither a GPU nor g++ to emulate one."""
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
        assert result.worst <= 1e-8, example.label
        directions = sum(x.size if x.size <= EVERY_ELEMENT else DIRECTIONS for x in example.inputs)
        kinks = int(example.label == "kink")
        assert (result.compared, result.kinks) == (directions - kinks, kinks), (
            f"the example '{example}' of '{name}' has {result.kinks} kinks, where no derivative is compared; "
            f"expected {kinks}: an example with the label 'kink' has one, any other has none"
        )


FORMS = [ROOT / "minidl" / path for path in ("nn/functional.py", "nn/fusion.py", "operators.py", "tensor.py")]
"""The modules with the public forms of the ops."""


@pytest.mark.parametrize("name", md.plugins.names("op"))
def test_a_built_in_op_is_complete(name: str) -> None:
    """The four places that CONTRIBUTING.md lists; the rest follows from them."""
    op = md.plugins.get("op", name).__name__
    lacks = {
        f"its name in __all__ of its file in minidl/ops: {op}": op not in md.ops.__all__,
        "examples in minidl/testing/examples.py": name not in OPS,
        "a form in which it is used, in minidl/nn/functional.py or operators.py": not any(
            re.search(rf"\bops\.{op}\b", path.read_text()) for path in FORMS
        ),
        "a twin in PyTorch, in tests/parity/twins.py": f'"{name}":' not in TWINS.read_text(),
    }
    missing = [what for what, lacking in lacks.items() if lacking]
    assert not missing, f"the op '{name}' lacks\n" + "\n".join(missing)


def test_the_examples_are_those_of_registered_ops() -> None:
    assert set(OPS) <= set(md.plugins.names("op"))
