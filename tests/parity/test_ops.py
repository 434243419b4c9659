"""Every op, optimizer and schedule against PyTorch; ``python -m tests.parity.ops`` writes the figures."""

from types import ModuleType

import pytest

from minidl import plugins

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def ops() -> ModuleType:
    from tests.parity import ops

    return ops


@pytest.mark.parametrize("name", plugins.names("op"))
def test_op(ops: ModuleType, name: str) -> None:
    if name in ops.WITHOUT:
        assert name not in ops.TWINS, "it has a twin: delete the reason why it has none"
        return
    assert name in ops.TWINS, "give it a twin in tests/parity/twins.py, or the reason why it has none"
    row = ops.compare(name)
    for errors in (row.forward, row.backward):
        assert errors.double <= ops.BOUNDS["float64"]
        assert errors.minidl <= ops.BOUNDS["float32"]


@pytest.mark.parametrize("name", plugins.names("optimizer"))
def test_optimizer(ops: ModuleType, name: str) -> None:
    for options in ops.OPTIMIZERS[name][1]:
        errors = ops.compare_optimizer(name, options)
        assert errors.double <= ops.BOUNDS["float64"]
        assert errors.minidl <= ops.BOUNDS["float32"]


@pytest.mark.parametrize("name", plugins.names("schedule"))
def test_schedule(ops: ModuleType, name: str) -> None:
    assert ops.compare_schedule(name) <= ops.BOUNDS["float64"]


def test_the_page_tells_the_conventions_of_both(ops: ModuleType) -> None:
    assert ops.conventions() in ops.PAGE.read_text()
