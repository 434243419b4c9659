import pytest

from agegender.data.names import Label, is_picture, parse_name
from agegender.errors import Unusable


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("100_0_0_20170112213500903.jpg.chip.jpg", Label(100, 0, 0)),
        ("1_1_4_20161219140623097.jpg.chip.jpg", Label(1, 1, 4)),
        # the five irregular names of the published set
        ("39_1_20170116174525125.jpg.chip.jpg", Label(39, 1, -1)),
        ("61_1_20170109142408075.jpg.chip.jpg", Label(61, 1, -1)),
        ("61_1_20170109150557335.jpg.chip.jpg", Label(61, 1, -1)),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", Label(24, 0, 1)),
        ("55_0_0_20170116232725357jpg.chip.jpg", Label(55, 0, 0)),
        # limits
        ("0_0_0_20170101.jpg", Label(0, 0, 0)),
        ("130_1_0_20170101.png", Label(130, 1, 0)),
        ("30_1_7_20170101.jpg", Label(30, 1, -1)),
        # your own pictures: any text after the third number, or none
        ("30_0_0_anna.jpg", Label(30, 0, 0)),
        ("30_0_0.jpg", Label(30, 0, 0)),
        ("30_1_0_.png", Label(30, 1, 0)),
        ("30_0_2_copy (1).jpg", Label(30, 0, 2)),
        ("30_0_2 (1).jpg", Label(30, 0, 2)),
        ("30_0_4-anna.jpg", Label(30, 0, 4)),
        ("30_0_001.jpg", Label(30, 0, -1)),  # an index, not an ethnicity
        # nor is a date of 8 digits or more
        ("30_0_20170101.jpg", Label(30, 0, -1)),
        ("30_0_20170101_anna.jpg", Label(30, 0, -1)),
    ],
)
def test_names_are_read_as_far_as_they_go(name: str, label: Label) -> None:
    assert parse_name(name) == label


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("131_0_0_20170101.jpg", "age"),
        ("30_3_0_20170101.jpg", "gender"),
        ("30_20170116174525125.jpg", "name is not"),
        ("30__0_20170116174525125.jpg", "name is not"),
        ("holiday.jpg", "name is not"),
        ("-1_0_0_20170101.jpg", "name is not"),
        ("30_0_anna.jpg", "name is not age_gender_ethnicity_anything"),
        ("30_0.jpg", "name is not"),
        ("30_0_0anna.jpg", "name is not"),
        ("30_0_0417.jpg", "name is not"),
        (" 30_0_0.jpg", "name is not"),
        ("٣٠_1_0_20170101.jpg", "name is not"),
        ("9" * 6000 + "_1_0_20170101.jpg", "name is not"),
    ],
)
def test_other_names_have_a_reason(name: str, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        parse_name(name)


def test_pictures_are_told_by_their_suffix() -> None:
    assert is_picture("a.jpg.chip.JPG")
    assert is_picture("a.png")
    assert all(is_picture(f"a.{suffix}") for suffix in ("webp", "gif", "avif", "jfif", "TIFF", "BMP"))
    assert not is_picture("a.jpg.txt")
    assert not is_picture("a.csv")
