"""The traits of an invented person, sampled for an age and a gender.

The traits are those of a cartoon, not a statement about people. Each one depends on age or gender but varies enough
that no single trait decides and every group overlaps with its neighbours.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

HairStyle = Literal["tuft", "short", "curly", "bald", "bob", "long", "bun", "pigtails"]
Beard = Literal["none", "stubble", "moustache", "goatee", "full"]

# Probabilities of the hair styles, in the order of HairStyle, by (gender, stage of life).
_STYLES = {
    (0, "toddler"): (0.44, 0.50, 0.05, 0.00, 0.01, 0.00, 0.00, 0.00),
    (0, "child"): (0.00, 0.89, 0.08, 0.00, 0.02, 0.01, 0.00, 0.00),
    (0, "adult"): (0.00, 0.87, 0.09, 0.00, 0.02, 0.02, 0.00, 0.00),
    (0, "senior"): (0.00, 0.91, 0.07, 0.00, 0.01, 0.01, 0.00, 0.00),
    (1, "toddler"): (0.03, 0.03, 0.05, 0.00, 0.35, 0.07, 0.03, 0.44),
    (1, "child"): (0.00, 0.02, 0.06, 0.00, 0.26, 0.36, 0.06, 0.24),
    (1, "adult"): (0.00, 0.03, 0.07, 0.00, 0.29, 0.46, 0.14, 0.01),
    (1, "senior"): (0.00, 0.05, 0.11, 0.00, 0.44, 0.20, 0.20, 0.00),
}


@dataclass(frozen=True)
class Person:
    """The traits of one face.

    Lengths are in half head heights: the head reaches from y = -1 (top of the skull) to y = 1 (chin), with x
    to the right and y downwards. Tones are grey levels, 0 black to 255 white. Strengths lie between 0 and 1.

    >>> person = sample_person(3, 1, np.random.default_rng(0))
    >>> person.age, person.gender, person.beard
    (3, 1, 'none')
    """

    age: int  # years
    gender: int  # 0 male, 1 female

    width: float  # half the width of the head
    jaw: float  # below 1 square, above 1 pointed
    neck: float  # half the width of the neck
    shoulders: float  # half their width

    ear: float  # half the height of an ear
    eye: float  # half the width of an eye
    eye_y: float  # height of the eyes: low in babies
    openness: float  # height of an eye over its width
    iris: float  # tone
    lashes: float  # length
    lid: float  # how far the upper lid droops, strength
    brow: float  # thickness
    brow_lift: float  # distance above the eye
    arch: float  # curvature of the brow

    nose: float  # half its width
    nose_y: float  # height of its tip
    mouth: float  # half its width
    mouth_y: float  # height of the mouth
    lips: float  # fullness: height of one lip
    lip_tone: float  # tone relative to the skin
    smile: float  # curvature of the mouth

    forehead: float  # strength of the forehead lines
    crow_feet: float  # strength of the lines beside the eyes
    folds: float  # strength of the nasolabial folds
    bags: float  # strength of the bags below the eyes
    hollows: float  # strength of the shade below the cheekbones

    style: HairStyle
    hair: float  # tone
    volume: float  # thickness of the hair on the skull
    hairline: float  # height of the hairline in the middle
    recession: float  # how far the hairline has gone back at the temples
    parting: float  # slope of the hairline: the direction of combing
    length: float  # height at which long hair ends
    wave: float  # waviness of long hair
    beard: Beard
    beard_tone: float

    skin: float  # tone
    glasses: bool
    earrings: bool


def sample_age(rng: np.random.Generator) -> int:
    """Draw an age of 1 to 90 years: some small children, many from 20 to 40, a long tail.

    >>> ages = [sample_age(np.random.default_rng(i)) for i in range(100)]
    >>> 1 <= min(ages) <= max(ages) <= 90
    True
    """
    group = rng.choice(4, p=[0.12, 0.12, 0.44, 0.32])
    low, high = ((1, 5), (6, 19), (20, 39), (40, 90))[group]
    if group == 3:  # the older, the fewer
        return int(rng.triangular(low, low, high + 1))
    return int(rng.integers(low, high + 1))


def sample_person(age: int, gender: int, rng: np.random.Generator) -> Person:
    """Draw the traits of a person of this age (years) and gender (0 male, 1 female).

    >>> baby, adult = (sample_person(age, 1, np.random.default_rng(0)) for age in (1, 40))
    >>> baby.eye > adult.eye and baby.eye_y > adult.eye_y
    True
    """
    grown = 1 - np.exp(-age * rng.lognormal(0, 0.12) / 7)  # 0.1 at one year, 0.9 at 18
    sex = (2 * gender - 1) * (0.6 + 0.4 * grown)

    def vary(mean: float, sd: float, low: float = 0.0) -> float:
        return max(float(rng.normal(mean, sd)), low)

    def female(mean: float, effect: float, sd: float, low: float = 0.0) -> float:
        """Return a trait that is larger in women by twice `effect` (smaller, if negative)."""
        return vary(mean + effect * sex, sd, low)

    def worn(onset: float, span: float) -> float:
        """Return a sign of ageing that grows from 0 at the age of `onset` to 1 after `span` more years."""
        return float(np.clip((age * rng.lognormal(0, 0.10) - onset) / span, 0, 1))

    style = _sample_style(age, gender, rng)
    skin = rng.uniform(130, 225)
    tone = _sample_hair_tone(age, gender, skin, rng)
    beard = _sample_beard(age, gender, rng)
    eye_y = vary(0.26 - 0.34 * grown, 0.02, -np.inf)
    return Person(
        age=age,
        gender=gender,
        width=vary(1.02 - 0.28 * grown - 0.02 * sex, 0.03),
        jaw=female(0.82 - 0.06 * grown, 0.15 * grown, 0.05),
        neck=female(0.26 + 0.17 * grown, -0.07 * grown, 0.03),
        shoulders=female(0.75 + 0.58 * grown, -0.20 * grown, 0.08),
        ear=vary(0.18 + 0.08 * worn(30, 50), 0.015),
        eye=vary(0.245 - 0.098 * grown + 0.008 * sex - 0.030 * worn(35, 50), 0.008),
        eye_y=eye_y,
        openness=vary(0.80 - 0.14 * grown - 0.10 * worn(40, 40), 0.05, 0.40),
        iris=rng.uniform(25, 110),
        lashes=female(0.05, 0.055, 0.015),
        lid=worn(35, 45),
        brow=female(0.050 + 0.020 * grown, -0.032, 0.010, 0.012),
        brow_lift=female(0.12, 0.015, 0.015),
        arch=female(0.05, 0.025, 0.015),
        nose=female(0.10 + 0.05 * grown + 0.02 * worn(45, 40), -0.015, 0.012),
        nose_y=vary(0.48 - 0.10 * grown + 0.04 * worn(45, 40), 0.02),
        mouth=vary(0.22 + 0.09 * grown, 0.025),
        mouth_y=vary(0.70 - 0.04 * grown, 0.02),
        lips=female(0.065 - 0.028 * worn(35, 45), 0.028, 0.010, 0.015),
        lip_tone=female(0.68, -0.20, 0.06),
        smile=vary(0.11, 0.035, 0.0),
        forehead=worn(25, 45),
        crow_feet=worn(28, 42),
        folds=worn(22, 45),
        bags=worn(30, 45),
        hollows=worn(30, 50),
        style=style,
        hair=tone,
        volume=vary((0.10 if style == "short" else 0.16) - 0.06 * worn(35, 50), 0.02, 0.04),
        hairline=vary(-0.52 if rng.random() < 0.7 - 0.15 * gender else -0.30, 0.05, -np.inf),
        recession=0.0 if gender else 0.45 * worn(25, 45) * rng.uniform(0.3, 1.0),
        parting=rng.normal(0, 0.22),
        length=vary(0.75 if style == "bob" else 1.5, 0.12),
        wave=rng.uniform(0, 0.07),
        beard=beard,
        beard_tone=float(np.clip(tone + rng.normal(0, 12), 10, 240)),
        skin=skin,
        glasses=bool(rng.random() < 0.08 + 0.22 * worn(30, 50)),
        earrings=bool(rng.random() < (0.45 * gender + 0.04) * grown),
    )


def _sample_style(age: int, gender: int, rng: np.random.Generator) -> HairStyle:
    if gender == 0 and age > 24 and rng.random() < 0.42 * (age - 24) / 50:
        return "bald"
    stage = "toddler" if age <= 3 else "child" if age <= 12 else "adult" if age <= 59 else "senior"
    styles: tuple[HairStyle, ...] = get_args(HairStyle)
    return styles[rng.choice(len(styles), p=_STYLES[gender, stage])]


def _sample_hair_tone(age: int, gender: int, skin: float, rng: np.random.Generator) -> float:
    """Draw a natural tone, mostly darker than the skin, and let it turn grey; some people dye it."""
    natural = skin * (rng.uniform(0.10, 0.40) if rng.random() < 0.65 else rng.uniform(0.40, 1.10))
    dyed = rng.random() < 0.04 + 0.08 * gender
    grey = 0.0 if dyed else np.clip((age - rng.normal(36, 5)) / 30, 0, 1)
    return float(natural + grey * (rng.uniform(230, 254) - natural))


def _sample_beard(age: int, gender: int, rng: np.random.Generator) -> Beard:
    if gender == 1 or rng.random() > 0.7 * np.clip((age - 15) / 8, 0, 1):
        return "none"
    beards: NDArray[np.str_] = np.array(get_args(Beard)[1:])
    return get_args(Beard)[1 + int(rng.choice(len(beards), p=[0.3, 0.2, 0.18, 0.32]))]  # type: ignore[no-any-return]
