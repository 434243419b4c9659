"""Labels from the names of UTKFace's files: ``age_gender_ethnicity_date.jpg.chip.jpg``."""

import re
from typing import NamedTuple

from ..errors import Unusable

MAX_AGE = 130
UNKNOWN = -1  # the ethnicity of a face whose name does not tell
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")

# Three names of the published set lack the ethnicity, one has a space after the date and one lacks a dot there.
_NAME = re.compile(r"([0-9]{1,3})_([0-9]{1,3})_(?:([0-9]{1,3})_)?[0-9]{8,}")


class Label(NamedTuple):
    """What a name says: years; 0 for male, 1 for female; 0 to 4, or -1 for an unknown ethnicity.

    >>> Label(age=26, gender=1, ethnicity=UNKNOWN)
    Label(age=26, gender=1, ethnicity=-1)
    """

    age: int
    gender: int
    ethnicity: int


def parse_name(name: str) -> Label:
    """Read the label from a file's name; raises ``Unusable`` where there is none.

    >>> parse_name("26_1_3_20170117195547823.jpg.chip.jpg")
    Label(age=26, gender=1, ethnicity=3)
    >>> parse_name("61_1_20170109142408075.jpg.chip.jpg").ethnicity
    -1
    """
    match = _NAME.match(name)
    if match is None:
        raise Unusable("name is not age_gender_ethnicity_date")
    age, gender, ethnicity = int(match[1]), int(match[2]), int(match[3] or UNKNOWN)
    if age > MAX_AGE:
        raise Unusable(f"age in the name is above {MAX_AGE}")
    if gender not in (0, 1):
        raise Unusable("gender in the name is neither 0 nor 1")
    return Label(age, gender, ethnicity if ethnicity in range(5) else UNKNOWN)


def is_picture(name: str) -> bool:
    """Whether the name ends as a picture's does.

    >>> is_picture("1_0_0_20170101.JPG"), is_picture("README.txt")
    (True, False)
    """
    return name.lower().endswith(PICTURE_SUFFIXES)
