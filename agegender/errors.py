"""The errors that agegender raises: one line that says what is wrong and what to do."""


class DataError(ValueError):
    """A data set that cannot be used as it is."""


class Unusable(Exception):  # noqa: N818 - a reason for leaving one picture out, not a failure of the program
    """Why one picture is left out of a data set, in a few words that repeat from picture to picture."""
