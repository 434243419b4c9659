"""Tables of text, for a terminal or a document."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Align rows, the first of which is the header; the first ``left`` columns are left-aligned, the others right.

    Raises ``ValueError`` if the rows differ in length.

    >>> print(table([("algorithm", "ms"), ("direct", "12.5"), ("fft", "7.0")]))
    algorithm    ms
    direct     12.5
    fft         7.0
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(_cells(row, widths, left)).rstrip() for row in rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(markdown(["algorithm", "ms"], [["fft", "7.0"]]))
    | algorithm | ms |
    | --- | --- |
    | fft | 7.0 |
    """
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows))


def _cells(row: Sequence[str], widths: Sequence[int], left: int) -> list[str]:
    cells = enumerate(zip(row, widths, strict=True))
    return [text.ljust(width) if column < left else text.rjust(width) for column, (text, width) in cells]
