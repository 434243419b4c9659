"""Who else refers to an array: what nobody else has may be written into, or used again.

Without the global interpreter lock threads count for themselves, and the count does not tell: then everything counts as
referred to by others.
"""

import sys
from collections.abc import Sequence
from typing import Any

ARE_COUNTED = bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def is_the_only_one(holders: Sequence[Any], position: int) -> bool:
    """Whether a list or tuple is all that refers to its element.

    >>> alone, other = [object()], object()
    >>> is_the_only_one(alone, 0) or not ARE_COUNTED, is_the_only_one([other], 0)
    (True, False)
    """
    return ARE_COUNTED and sys.getrefcount(holders[position]) == 2  # the list's, and the argument of getrefcount
