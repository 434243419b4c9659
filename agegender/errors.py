"""The errors that agegender raises: one line with the problem and its fix."""

from collections.abc import Sequence

from minidl.errors import MinidlError


class DataError(MinidlError, ValueError):
    """A data set that cannot be used.

    >>> from agegender import data
    >>> data.open("nowhere.zip")
    Traceback (most recent call last):
    agegender.errors.DataError: nowhere.zip does not exist. Expected ...
    """


class TooManySkipped(DataError):  # noqa: N818 - named after the problem, like its base class
    """More unusable pictures in a data set than allowed; ``skipped`` has the name and reason of each file.

    >>> TooManySkipped("9 of the 10 pictures cannot be used", [("a.jpg", "empty file")]).skipped
    [('a.jpg', 'empty file')]
    """

    def __init__(self, message: str, skipped: Sequence[tuple[str, str]]) -> None:
        super().__init__(message)
        self.skipped = list(skipped)


class Unusable(Exception):  # noqa: N818 - the reason to skip a picture, not a failure
    """Why a picture is skipped, in words that are the same for every picture with this problem, so they can be counted.

    >>> from agegender.data.names import parse_name
    >>> parse_name("portrait.jpg")
    Traceback (most recent call last):
    agegender.errors.Unusable: name is not age_gender_ethnicity_anything
    """


class Unreadable(Unusable):
    """Why a file could not be read this time; the next attempt may succeed (permissions, a network, a disk).

    >>> isinstance(Unreadable("unreadable: Permission denied"), Unusable)
    True
    """


def cause(error: BaseException) -> str:
    """The message of an error; for an OSError, without its number and path.

    >>> cause(PermissionError(13, "Permission denied", "a.jpg"))
    'Permission denied'
    """
    if isinstance(error, MemoryError):
        return "not enough memory"
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
