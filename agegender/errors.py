"""The errors that agegender raises: one line that says what is wrong and what to do."""

from collections.abc import Sequence

from minidl.errors import MinidlError


class DataError(MinidlError, ValueError):
    """A data set that cannot be used as it is.

    >>> from agegender import data
    >>> data.open("nowhere.zip")
    Traceback (most recent call last):
    agegender.errors.DataError: nowhere.zip does not exist. Name ...
    """


class TooManySkipped(DataError):  # noqa: N818 - says what is wrong, as its base class does
    """More pictures of a data set cannot be used than is allowed; ``skipped`` has each file's name and reason.

    >>> TooManySkipped("9 of the 10 pictures cannot be used", [("a.jpg", "empty file")]).skipped
    [('a.jpg', 'empty file')]
    """

    def __init__(self, message: str, skipped: Sequence[tuple[str, str]]) -> None:
        super().__init__(message)
        self.skipped = list(skipped)


class Unusable(Exception):  # noqa: N818 - a reason for leaving one picture out, not a failure of the program
    """Why one picture is left out of a data set, in a few words that repeat from picture to picture.

    >>> from agegender.data.names import parse_name
    >>> parse_name("portrait.jpg")
    Traceback (most recent call last):
    agegender.errors.Unusable: name is not age_gender_ethnicity_anything
    """


class Unreadable(Unusable):
    """Why a file could not be read this time, which may be otherwise the next time: permissions, a network, a disk.

    >>> isinstance(Unreadable("unreadable: Permission denied"), Unusable)
    True
    """


def cause(error: BaseException) -> str:
    """What an error says; one of the operating system, without its number and the path.

    >>> cause(PermissionError(13, "Permission denied", "a.jpg"))
    'Permission denied'
    """
    if isinstance(error, MemoryError):
        return "not enough memory"
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
