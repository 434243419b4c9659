"""Every kind of nested structure works wherever batches and outputs are accepted."""

import functools
from collections import Counter, OrderedDict, UserDict, defaultdict
from dataclasses import InitVar, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.data import ArrayDataset, DataLoader, collate
from minidl.errors import DtypeError, MinidlError, ShapeError
from minidl.nested import leaves, map_leaves
from minidl.testing import gradcheck


class Pair(NamedTuple):
    x: Any
    y: Any


@dataclass(frozen=True)
class Face:
    age: Any
    gender: Any
    double: Any = field(init=False, default=0)


STRUCTURES = [[1, 2], (1, 2), {"b": 1, "a": 2}, Pair(1, 2), Face(1, 2), Pair([1], {"x": Face(2, 3)})]


@pytest.mark.parametrize("nested", STRUCTURES, ids=repr)
def test_every_structure_is_mapped_to_one_of_its_kind(nested: Any) -> None:
    doubled = map_leaves(lambda leaf: 2 * leaf, nested)
    assert type(doubled) is type(nested)
    assert list(leaves(doubled)) == [2 * leaf for leaf in leaves(nested)]
    assert map_leaves(lambda leaf: leaf // 2, doubled) == nested


@dataclass
class Sample:
    """Its area is computed on access, its mask if it is declared as a part."""

    x: Any
    mask: Any = field(init=False)

    def __post_init__(self) -> None:
        self.mask = self.x > 0

    @functools.cached_property
    def double(self) -> Any:
        return 2 * self.x


def test_what_is_derived_from_a_sample_is_of_all_samples_in_a_batch() -> None:
    samples = [Sample(np.float32([1, -1])), Sample(np.float32([-1, 1]))]
    assert [sample.double.tolist() for sample in samples] == [[2, -2], [-2, 2]]
    batch = collate(samples)
    assert batch.mask.tolist() == [[True, False], [False, True]]
    assert batch.double.tolist() == [[2, -2], [-2, 2]]
    moved = map_leaves(lambda leaf: -leaf if leaf.dtype == np.float32 else leaf, batch)
    assert moved.mask.tolist() == batch.mask.tolist()  # unchanged, whatever __post_init__ does
    assert moved.double.tolist() == [[-2, 2], [2, -2]]


@dataclass(frozen=True, slots=True)
class Narrow:
    x: Any
    scale: InitVar[float] = 1.0


def test_a_dataclass_with_slots_is_made_of_its_fields() -> None:
    assert collate([Narrow(1, 2.0), Narrow(2)]).x.tolist() == [1, 2]


@dataclass
class Marked:
    x: Any

    def __post_init__(self) -> None:
        self.mark = self.x


class Numbers(list[Any]):
    mark = 0


class Slot(list[Any]):
    __slots__ = ("mark",)


def marked(nested: Any) -> Any:
    nested.mark = 1
    return nested


@pytest.mark.parametrize("make", [Marked, lambda x: marked(Numbers([x])), lambda x: marked(Slot([x]))])
@pytest.mark.parametrize("first", [True, False])
def test_what_is_kept_beside_the_parts_of_a_structure_is_an_error(make: Any, first: bool) -> None:
    plain: Any = type(make(1)).__new__(type(make(1)))
    if isinstance(plain, Marked):
        plain.x = 1
    else:
        plain.append(1)
    assert collate([plain, plain])
    with pytest.raises(MinidlError, match=r"has 'mark', which is not a part, .* `mark: Any = field"):
        collate([make(1), plain] if first else [plain, make(1)])


class Two(tuple[Any, ...]):
    """Takes its parts one by one, as torch.Size does."""

    def __new__(cls, a: Any, b: Any) -> "Two":
        return tuple.__new__(cls, (a, b))


class Ordered(OrderedDict[str, Any]):
    def __init__(self, a: Any) -> None:
        super().__init__(a=a)


@pytest.mark.parametrize(
    ("nested", "kind"),
    [
        (OrderedDict(a=1), OrderedDict),
        (defaultdict(list, a=1), defaultdict),
        (Numbers([1, 2]), Numbers),
        (Two(1, 2), tuple),
        (Ordered(1), OrderedDict),
        (Counter(a=1), dict),
    ],
)
def test_a_class_of_its_own_is_kept_unless_it_has_a_constructor_of_its_own(nested: Any, kind: type) -> None:
    batch = collate([nested, nested])
    assert type(batch) is kind
    assert [leaf.tolist() for leaf in leaves(batch)] == [[leaf, leaf] for leaf in leaves(nested)]
    assert getattr(batch, "default_factory", list) is list


def test_a_dictionary_that_is_no_dict_is_no_sample() -> None:
    with pytest.raises(DtypeError, match="got UserDict"):
        collate([UserDict(a=1.0), UserDict(a=2.0)])


def test_a_dataclass_itself_is_a_leaf() -> None:
    assert list(leaves([Face])) == [Face]


@pytest.mark.parametrize("nested", STRUCTURES, ids=repr)
def test_samples_of_every_structure_form_a_batch_of_it(nested: Any) -> None:
    batch = collate([nested, map_leaves(lambda leaf: leaf + 10, nested)])
    assert type(batch) is type(nested)
    assert [array.tolist() for array in leaves(batch)] == [[leaf, leaf + 10] for leaf in leaves(nested)]


@pytest.mark.parametrize(
    "samples",
    [
        [{"x": 1}, {"x": 1, "y": 2}],
        [(1, 2), (1,)],
        [1.0, (1.0,)],
        [{"x": 1}, 1],
        [{"x": 1}, {"y": 1}],
        [[1], (1,)],
        [Pair(1, 2), (1, 2)],
    ],
)
def test_samples_of_different_structures_are_an_error(samples: list[Any]) -> None:
    with pytest.raises(ShapeError, match="samples of different structures cannot form a batch: "):
        collate(samples)


@pytest.mark.parametrize("targets", [Pair([1.0, 2.0], [3.0, 4.0]), {"x": [1.0, 2.0]}])
def test_a_data_set_takes_lists_in_structures_with_names(targets: Any) -> None:
    ((_, batch),) = DataLoader(ArrayDataset([[1.0], [2.0]], targets), 2)
    assert type(batch) is type(targets)
    assert next(leaves(batch)).tolist() == [1.0, 2.0]


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Dense(2, 1), nn.Dense(2, 1)]

    def forward(self, x: Any) -> Any:
        return Pair(
            self.layers[0](x),
            {
                "face": Face(
                    self.layers[1](x),
                    self.layers[0](x),
                )
            },
        )


def test_outputs_of_every_structure_are_profiled() -> None:
    rows = md.profile(Heads(), np.ones((3, 2), np.float32), steps=1).rows()
    assert {row.layer for row in rows} >= {"layers.0", "layers.1"}


def test_a_model_without_outputs_to_profile_is_named() -> None:
    class Number(nn.Module):
        def forward(self, x: Any) -> Any:
            return [1.0]

    with pytest.raises(MinidlError, match="the model returned no tensors"):
        md.profile(Number(), np.ones((3, 2), np.float32))


def test_gradients_of_every_structure_are_checked() -> None:
    assert gradcheck(lambda x: Pair(x * x, [x]), np.array([1.0, 2.0])).compared == 2


def test_a_profile_leaves_buffers_in_lists_as_they_were() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.counts = [nn.Buffer(np.zeros(1, np.float32))]
            self.dense = nn.Dense(1, 1)

        def forward(self, x: Any) -> Any:
            self.counts[0].data[...] += 1
            return self.dense(x)

    model = Counts()
    md.profile(model, np.ones((2, 1), np.float32))
    assert model.counts[0].numpy().tolist() == [0]


@pytest.mark.parametrize("model", [nn.Sequential(nn.Dense(1, 1)), nn.Dense(1, 1), nn.MSELoss()])
def test_an_option_that_a_model_does_not_take_is_named(model: nn.Module) -> None:
    with pytest.raises(MinidlError, match=r"expected forward\(.*scale=2\.0"):
        model(md.tensor([[1.0]]), scale=2.0)
