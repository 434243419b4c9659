"""A page of HTML in one file, which needs no network: text, tables and pictures, on light and dark screens."""

import base64
import io
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.files import write_text

if TYPE_CHECKING:
    from minidl.viz import Picture

STYLE = files(__package__).joinpath("page.css").read_text(encoding="utf-8")


class Page:
    """Builds the page from top to bottom.

    >>> page = Page("A model")
    >>> page.text("It is < 1 day old.")
    >>> page.table(["name", "n"], [["a & b", "2"]])
    >>> "It is &lt; 1 day old." in str(page) and "<td>a &amp; b</td><td>2</td>" in str(page)
    True
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.parts = [f"<h1>{escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """The heading of a part."""
        self.parts.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph."""
        self.parts.append(f"<p>{escape(text)}</p>")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], few: Sequence[bool] = ()) -> None:
        """A table; the rows of small groups are marked by ``few``."""
        marked = list(few) or [False] * len(rows)
        head = "".join(f"<th>{escape(name)}</th>" for name in header)
        body = "".join(_row(row, is_few) for row, is_few in zip(rows, marked, strict=True))
        self.parts.append(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>')

    def picture(self, picture: "Picture", description: str) -> None:
        """A figure with a description for those who cannot see it."""
        file = io.BytesIO()
        picture.savefig(file, format="png", dpi=130)
        image = base64.b64encode(file.getvalue()).decode()
        self.parts.append(f'<p><img alt="{escape(description)}" src="data:image/png;base64,{image}"></p>')

    def save(self, path: Path) -> None:
        """Write the page in one step."""
        write_text(path, str(self))

    def __str__(self) -> str:
        head = (
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style>"
        )
        body = "\n".join(self.parts)
        return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _row(cells: Sequence[str], is_few: bool) -> str:
    kind = ' class="few"' if is_few else ""
    return f"<tr{kind}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
