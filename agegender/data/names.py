"""Labels from the names of files: UTKFace's ``age_gender_ethnicity_date.jpg.chip.jpg``, and one's own like them."""

import re
from typing import NamedTuple

from ..errors import Unusable

MAX_AGE = 130
UNKNOWN = -1  # the ethnicity of a face whose name does not tell
ETHNICITIES = ("0", "1", "2", "3", "4")
PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif",
)  # fmt: skip
_UNREAD_SUFFIXES = (
    ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx", ".jxl", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".psd", ".ico",
    ".svg", ".eps", ".pcx", ".exr", ".dng", ".cr2", ".nef", ".arw",
)  # fmt: skip

# Three names of the published set have the date, of 17 digits, where the ethnicity should be. Two numbers alone are no
# label: too many files that show nobody are called 12_1.jpg.
_NAME = re.compile(r"([0-9]{1,3})_([0-9]{1,3})_(?:([0-9]{1,3})(?![^\W_])|[0-9]{8,})")


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

    Anything may follow the three numbers, or nothing. A date of at least 8 digits in the place of the third one means
    that the ethnicity is unknown, and so does every number but 0 to 4.

    >>> parse_name("26_1_3_20170117195547823.jpg.chip.jpg")
    Label(age=26, gender=1, ethnicity=3)
    >>> parse_name("30_0_0_anna.jpg"), parse_name("30_0_0.jpg").age
    (Label(age=30, gender=0, ethnicity=0), 30)
    >>> parse_name("61_1_20170109142408075.jpg.chip.jpg").ethnicity
    -1
    """
    match = _NAME.match(name)
    if match is None:
        raise Unusable("name is not age_gender_ethnicity_anything")
    age, gender = int(match[1]), int(match[2])
    if age > MAX_AGE:
        raise Unusable(f"age in the name is above {MAX_AGE}")
    if gender not in (0, 1):
        raise Unusable("gender in the name is neither 0 nor 1")
    return Label(age, gender, int(match[3]) if match[3] in ETHNICITIES else UNKNOWN)


def has_label(name: str) -> bool:
    """Whether :func:`parse_name` reads a label from the name.

    >>> has_label("26_1_3_20170117.jpg"), has_label("anna.jpg")
    (True, False)
    """
    try:
        parse_name(name)
    except Unusable:
        return False
    return True


def why_unread(name: str) -> str:
    """Why a file whose name bears a label is not read, if the suffix shows that it is meant as a picture; else "".

    Other files may well lie beside the pictures and bear their labels, such as landmarks in ``26_1_3_20170117.txt``.

    >>> why_unread("26_1_3_anna.heic"), why_unread("26_1_3_anna.txt"), why_unread("26_1_3_anna.jpg")
    ('HEIC is not read: save it as JPEG', '', '')
    """
    _, dot, suffix = name.rpartition(".")
    if not has_label(name) or (dot and f".{suffix}".lower() not in _UNREAD_SUFFIXES):
        return ""
    return (
        f"{suffix.upper()} is not read: save it as JPEG" if dot else "no suffix: add that of its format, such as .jpg"
    )


def is_picture(name: str) -> bool:
    """Whether the name ends as a picture's does.

    >>> is_picture("1_0_0_20170101.JPG"), is_picture("README.txt")
    (True, False)
    """
    return name.lower().endswith(PICTURE_SUFFIXES)
