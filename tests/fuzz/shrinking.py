"""Shrink a failing list of lines to a few lines that can be read and run."""

from collections.abc import Callable, Iterable

Lines = list[str]


def shrunk(lines: Lines, fails: Callable[[Lines], bool], simpler: Callable[[str], Iterable[str]]) -> Lines:
    """The shortest failing list found, with its lines replaced by simpler ones where it still fails.

    >>> shrunk(["a", "bb", "c", "dd"], lambda lines: "".join(lines).count("d") > 0, lambda line: {line[:1]} - {line})
    ['d']
    """
    before: Lines = []
    while before != lines:
        before = lines
        lines = _without(lines, fails)
        lines = _replaced(lines, fails, simpler)
    return lines


def _without(lines: Lines, fails: Callable[[Lines], bool]) -> Lines:
    """Remove halves, quarters, ..., single lines, as long as the rest still fails."""
    size = max(1, len(lines) // 2)
    while True:
        start = 0
        while start < len(lines):
            rest = lines[:start] + lines[start + size :]
            if rest and fails(rest):
                lines = rest
            else:
                start += size
        if size == 1:
            return lines
        size //= 2


def _replaced(lines: Lines, fails: Callable[[Lines], bool], simpler: Callable[[str], Iterable[str]]) -> Lines:
    for number in range(len(lines)):
        for line in simpler(lines[number]):
            candidate = [*lines[:number], line, *lines[number + 1 :]]
            if fails(candidate):
                lines = candidate
                break
    return lines
