"""Reference counts: an array without other references may be overwritten or reused.

Without the global interpreter lock, each thread has its own count, which is not reliable: then every array counts as
referenced elsewhere.
"""

import sys
from typing import Any

ARE_COUNTED = bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def is_the_only_one(holders: Any, position: Any) -> bool:
    """Whether a list, tuple or dictionary holds the only reference to its element.

    >>> alone, other = [object()], object()
    >>> is_the_only_one(alone, 0) or not ARE_COUNTED, is_the_only_one([other], 0)
    (True, False)
    """
    return ARE_COUNTED and sys.getrefcount(holders[position]) == 2  # the list's, and the argument of getrefcount
