"""The errors that agegender raises: one line that says what is wrong and what to do."""

from minidl.errors import MinidlError


class DataError(MinidlError, ValueError):
    """A data set that cannot be used as it is.

    >>> from agegender import data
    >>> data.open("nowhere.zip")
    Traceback (most recent call last):
    agegender.errors.DataError: nowhere.zip does not exist. Name ...
    """


class Unusable(Exception):  # noqa: N818 - a reason for leaving one picture out, not a failure of the program
    """Why one picture is left out of a data set, in a few words that repeat from picture to picture.

    >>> from agegender.data.names import parse_name
    >>> parse_name("portrait.jpg")
    Traceback (most recent call last):
    agegender.errors.Unusable: name is not age_gender_ethnicity_date
    """
