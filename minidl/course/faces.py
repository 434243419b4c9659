"""The exercises of ``10_faces``."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercise import Exercise

Array = NDArray[Any]


def parse_name(name: str) -> tuple[int, int, int]:
    """Age, gender and ethnicity (-1: unknown) from ``age_gender_ethnicity_date``; the ethnicity may be missing."""
    age, gender, *rest = [int(part) for part in name.split("_")[:-1]]
    return age, gender, rest[0] if rest else -1


def _random_name(rng: np.random.Generator) -> tuple[str]:
    """A name with or without the ethnicity, as they come in the data set."""
    labels = [rng.integers(1, 117), rng.integers(0, 2), *rng.integers(0, 5, rng.integers(0, 2))]
    return ("_".join(str(part) for part in [*labels, f"201701{rng.integers(10**10, 10**11)}.jpg.chip.jpg"]),)


def _label_numbers(label: Any, name: str) -> list[int]:
    """The numbers of a label; strings of digits do not count as numbers, and None differs from every number."""
    return [-2 if number is None else number + 0 for number in label]


check_parse_name = Exercise(
    parse_name,
    examples=[
        ("26_1_3_20170117195547823.jpg.chip.jpg",),
        ("100_0_1_20170112213500903.jpg.chip.jpg",),
        ("9_1_4_20170103213057382.jpg.chip.jpg",),
        ("61_1_20170109142408075.jpg.chip.jpg",),
        ("24_0_1_20170116220224657 .jpg.chip.jpg",),
        ("55_0_0_20170116232725357jpg.chip.jpg",),
    ],
    draw=_random_name,
    mistakes={
        "these are still strings: int('26') converts one to a number.": lambda name: tuple(name.split("_")[:3]),
        "age and gender are swapped: the age comes first.": lambda name: (
            parse_name(name)[1],
            parse_name(name)[0],
            parse_name(name)[2],
        ),
        "an age has one, two or three digits: split the name at its underscores, name.split('_').": lambda name: (
            int(name[:2]),
            int(name[3]),
            int(name[5]),
        ),
        "this name has no ethnicity, so its third part is the date. Without the date, how many parts are left?": (
            lambda name: tuple(int(part) for part in name.split("_")[:3])
        ),
        "this name has no ethnicity, and the date was taken for it. Without the date, how many parts are left?": (
            lambda name: tuple(int(part.partition(".")[0]) for part in name.split("_")[:3])
        ),
        "this name has three parts, not four: *rest takes any number of them, age, gender, *rest = ...": (
            lambda name: _of_four(*name.split("_"))
        ),
        "this name has three parts, not four: take the parts before the date, and count them.": (
            lambda name: _unpacked(name)
        ),
        "0 is one of the ethnicities: return -1 if it is not known.": lambda name: (
            *parse_name(name)[:2],
            max(parse_name(name)[2], 0),
        ),
        "return -1 if the ethnicity is not known: a number, like the others.": lambda name: (
            *parse_name(name)[:2],
            None if parse_name(name)[2] < 0 else parse_name(name)[2],
        ),
        "the pattern does not match the end of this name: the date is not used, so do not match it.": (
            lambda name: _by_strict_pattern(name)
        ),
    },
    numbers=_label_numbers,
)


def _of_four(age: str, gender: str, ethnicity: str, date: str) -> tuple[int, int, int]:
    return int(age), int(gender), int(ethnicity)


def _unpacked(name: str) -> tuple[int, int, int]:
    age, gender, ethnicity, _ = name.split("_")
    return int(age), int(gender), int(ethnicity)


def _by_strict_pattern(name: str) -> tuple[int, int, int]:
    match: Any = re.match(r"(\d+)_(\d)_(?:(\d)_)?\d{17}\.jpg\.chip\.jpg$", name)
    return int(match[1]), int(match[2]), int(match[3] or -1)


BT601 = np.array([0.299, 0.587, 0.114])
"""The weights of red, green and blue for the luma of ITU-R BT.601."""


def luma(rgb: Array) -> Array:
    """Grey levels (H, W) from red, green and blue (H, W, 3), with the weights of ITU-R BT.601."""
    grey: Array = rgb @ BT601
    return grey


_COLOURS = np.array([[[200.0, 100.0, 40.0], [10.0, 20.0, 250.0]], [[0.0, 90.0, 60.0], [255.0, 30.0, 70.0]]])

check_luma = Exercise(
    luma,
    examples=[(np.array([[[100.0, 50.0, 0.0]]]),), (_COLOURS,)],
    draw=lambda rng: (rng.uniform(0, 255, (*rng.integers(1, 5, 2), 3)),),
    mistakes={
        "all three colours have the same weight here, but green looks bright and blue looks dark: use the weights.": (
            lambda rgb: rgb.mean(axis=2)
        ),
        "this adds the colours without their weights.": lambda rgb: rgb.sum(axis=2),
        "red and blue are swapped: the channels are red, green, blue, in this order.": lambda rgb: luma(rgb[..., ::-1]),
        "this takes the largest of the three colours: multiply them by their weights and add them.": lambda rgb: (
            rgb.max(axis=2)
        ),
        "these are the weights of BT.709, for high-definition television: JPEG files and Pillow use those of BT.601.": (
            lambda rgb: rgb @ np.array([0.2126, 0.7152, 0.0722])
        ),
        "the weights already add up to 1: add the weighted colours, and do not divide.": (lambda rgb: luma(rgb) / 3),
        "the colours are weighted, but not added yet: a pixel gets one grey level.": lambda rgb: rgb * BT601,
    },
)


def best_constant(ages: Array) -> float:
    """The number c for which the mean of abs(ages - c) is smallest."""
    return float(np.median(ages))


check_best_constant = Exercise(
    best_constant,
    examples=[(np.array([50.0, 3.0, 90.0, 60.0, 3.0, 20.0, 8.0]),), (np.array([4.0, 80.0, 30.0, 25.0, 1.0, 26.0]),)],
    draw=lambda rng: (rng.integers(1, 100, rng.integers(1, 12)).astype(float),),
    mistakes={
        "this is the mean, which is best for squared errors. For absolute errors, a step to the right helps as long as "
        "more ages are to the right than to the left: where does that end?": np.mean,
        "this is the most common age: it is right most often, but when it is wrong it may be far off.": (
            lambda ages: np.bincount(ages.astype(int)).argmax()
        ),
        "this is halfway between the youngest and the oldest: the others count as well.": (
            lambda ages: (ages.min() + ages.max()) / 2
        ),
        "this is the middle of the list: sort it first.": lambda ages: ages[len(ages) // 2],
        "this is the smallest error: return the constant that has it.": lambda ages: np.abs(
            ages - np.median(ages)
        ).mean(),
        "this is the largest age, and all others are younger: find the age where half of them are older.": np.max,
    },
    # With an even number of ages, every value between the two in the middle is equally good.
    numbers=lambda constant, ages: np.abs(ages - constant).mean(),
)


def first_copies(digests: Sequence[str]) -> list[int]:
    """For each file, the index of the first file with the same digest, which may be its own."""
    first: dict[str, int] = {}
    return [first.setdefault(digest, number) for number, digest in enumerate(digests)]


check_first_copies = Exercise(
    first_copies,
    examples=[(["a", "b", "c"],), (["a", "b", "a"],), (["b", "a", "b", "c", "a", "b"],)],
    draw=lambda rng: (rng.choice(list("abcde"), rng.integers(1, 9)).tolist(),),
    mistakes={
        "these are the digests themselves: return the index of a file.": lambda digests: [
            digests[digests.index(d)] for d in digests
        ],
        "this is the last copy of each: {digest: number} keeps the last one, unless you check for an earlier one.": (
            lambda digests: [len(digests) - 1 - digests[::-1].index(d) for d in digests]
        ),
        "this is the previous copy, so the third of three copies gets the second: all must get the first.": (
            lambda digests: [max((j for j in range(i) if digests[j] == d), default=i) for i, d in enumerate(digests)]
        ),
        "only neighbours are compared: copies may be far apart.": lambda digests: [
            i - (i > 0 and digests[i - 1] == d) for i, d in enumerate(digests)
        ],
        "this numbers the distinct contents: use the index of the file in which each comes first.": (
            lambda digests: [list(dict.fromkeys(digests)).index(d) for d in digests]
        ),
        "this counts the copies before each file: return the index of the first one.": (
            lambda digests: [digests[:i].count(d) for i, d in enumerate(digests)]
        ),
        "this is the number of copies of each: return the index of the first one.": (
            lambda digests: [digests.count(d) for d in digests]
        ),
    },
)
