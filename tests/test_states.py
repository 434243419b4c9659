"""States are loaded completely or not at all."""

import pytest

from minidl import nn
from minidl.states import all_or_nothing


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, GeneratorExit])
def test_whatever_interrupts_loading_undoes_it(error: type[BaseException]) -> None:
    a, b = nn.Dense(1, 1), nn.Dense(1, 1)
    before = a.w.item()

    def load() -> None:
        with all_or_nothing(a, b):
            a.load_state_dict({"w": [[before + 1]], "b": [0.0]})
            raise error

    with pytest.raises(error):
        load()
    assert a.w.item() == before
