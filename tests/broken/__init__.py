"""Plugins with one mistake each, the check that must find it, and their twins without a mistake."""

import warnings

from minidl.testing import CheckError, Subject

from . import layers, ops, others

BROKEN: list[tuple[Subject, str]] = ops.BROKEN + layers.BROKEN + others.BROKEN
RIGHT: list[Subject] = [*ops.RIGHT, *layers.RIGHT, *others.RIGHT]


def caught(subject: Subject, check: str) -> str:
    """The error of the check for the plugin; empty if there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow is the subject of one of them
        try:
            subject.run_check(check)
        except CheckError as error:
            return str(error)
    return ""
