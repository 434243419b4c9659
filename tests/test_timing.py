"""Times as ratios, for the notebooks."""

from minidl.course import timing


def test_every_second_round_goes_backwards() -> None:
    calls: list[str] = []
    works = {name: lambda name=name: calls.append(name) for name in "abc"}
    found = timing.ratios(works, rounds=3)
    assert "".join(calls) == "abccbaabccba"
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3, "c": 3}


def test_times_are_in_units_of_the_first_one_of_the_same_round() -> None:
    found = timing.ratios({"first": lambda: sum(range(1_000)), "longer": lambda: sum(range(1_000_000))}, rounds=2)
    assert found["first"] == [1.0, 1.0]
    assert min(found["longer"]) > 1
