"""Labels from file names: UTKFace's ``age_gender_ethnicity_date.jpg.chip.jpg`` and similar ones."""

import re
from typing import NamedTuple

from ..errors import Unusable

MAX_AGE = 130
UNKNOWN = -1  # the ethnicity of a face whose name lacks it
ETHNICITIES = ("0", "1", "2", "3", "4")
PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif",
)  # fmt: skip
_UNREAD_SUFFIXES = (
    ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx", ".jxl", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".psd", ".ico",
    ".svg", ".eps", ".pcx", ".exr", ".dng", ".cr2", ".nef", ".arw",
)  # fmt: skip

# Three names of the published set have a date of 17 digits instead of the ethnicity. Two numbers alone are not a label:
# too many other files have names like 12_1.jpg.
_NAME = re.compile(r"([0-9]{1,3})_([0-9]{1,3})_(?:([0-9]{1,3})(?![^\W_])|[0-9]{8,})")


class Label(NamedTuple):
    """The label in a name: age in years; gender 0 (male) or 1 (female); ethnicity 0 to 4, or -1 if unknown.

    >>> Label(age=26, gender=1, ethnicity=UNKNOWN)
    Label(age=26, gender=1, ethnicity=-1)
    """

    age: int
    gender: int
    ethnicity: int


def parse_name(name: str) -> Label:
    """Read the label from a file name; raises ``Unusable`` if there is none.

    Anything may follow the three numbers. The ethnicity is unknown if the third number is not 0 to 4, or if a date of
    at least 8 digits replaces it.

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
    """Why a file with a label in its name is not read: its suffix is missing or unsupported; "" for other files.

    Other files next to the pictures may have the same labels, such as landmarks in ``26_1_3_20170117.txt``.

    >>> why_unread("26_1_3_anna.heic"), why_unread("26_1_3_anna.txt"), why_unread("26_1_3_anna.jpg")
    ('HEIC is not supported: save it as JPEG', '', '')
    """
    _, dot, suffix = name.rpartition(".")
    if not has_label(name) or (dot and f".{suffix}".lower() not in _UNREAD_SUFFIXES):
        return ""
    return f"{suffix.upper()} is not supported: save it as JPEG" if dot else "no suffix: add one, such as .jpg"


def is_picture(name: str) -> bool:
    """Whether the name has the suffix of a supported picture format.

    >>> is_picture("1_0_0_20170101.JPG"), is_picture("README.txt")
    (True, False)
    """
    return name.lower().endswith(PICTURE_SUFFIXES)
