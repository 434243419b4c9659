"""``python -m tests.fuzz`` in short: no differences from PyTorch or the plain loop, and planted faults are found."""

import re
from pathlib import Path

import pytest

from tests.fuzz import contracts, faults, machine

PROGRAMS, HISTORIES = 150, 250


@pytest.mark.parity
def test_random_programs_give_what_pytorch_gives() -> None:
    from tests.fuzz import against_torch as fuzzer

    for seed in range(PROGRAMS):
        program, found = fuzzer.write(seed)
        assert found is None, fuzzer.report(fuzzer.shortest(program, found), found, seed)


def test_random_histories_of_training_are_those_of_the_plain_loop() -> None:
    for seed in range(HISTORIES):
        history = machine.write(seed)
        found = machine.run(history)
        assert found is None, machine.report(machine.shortest(history, found), seed)


@pytest.mark.parametrize("name", [name for name, fault in faults.FAULTS.items() if fault.finder == "machine"])
def test_the_machine_finds_a_fault(name: str) -> None:
    assert faults.found(name)[0] < faults.ENOUGH


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name, fault in faults.FAULTS.items() if fault.finder == "programs"])
def test_the_programs_find_a_fault(name: str) -> None:
    assert faults.found(name)[0] < faults.ENOUGH


def test_what_is_reported_runs_by_itself_and_is_short() -> None:
    _, history, found = faults.found("forgets_the_step")
    with pytest.MonkeyPatch.context() as patch:
        faults.FAULTS["forgets_the_step"].plant(patch)
        lines = machine.report(machine.shortest(history, found)).splitlines()
        assert len(lines) <= 8
        with pytest.raises(AssertionError, match=r"w: .*expected"):
            exec("\n".join(lines), {})


def test_every_contract_that_is_translated_is_in_the_table() -> None:
    folder = Path(__file__).parent / "fuzz"
    text = (folder / "theirs.py").read_text() + (folder / "torch_tensor.py").read_text()
    named = re.findall(r"  # (\w+(?:, \w+)*)$", text, re.MULTILINE)
    assert {name for names in named for name in names.split(", ")} <= {*contracts.CONTRACTS}
