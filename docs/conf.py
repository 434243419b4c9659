"""The site: ``sphinx-build -W docs docs/_build/html``. Everything that is on it stands in this repository."""

import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent

project = "minidl"
author = "The minidl developers"
project_copyright = "The minidl developers, MIT licence"
release = metadata.version("minidl")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"minidl {release}"
exclude_patterns = ["_build"]
templates_path: list[str] = []

nb_execution_mode = "off"  # the notebooks are committed with their outputs
myst_enable_extensions = ["dollarmath"]  # the formulas of the notebooks
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True}


def keep_bars(app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """In docstrings |x| is the absolute value, and not reStructuredText's substitution."""
    examples = (number for number, line in enumerate(lines) if line.lstrip().startswith(">>>"))
    for number in range(next(examples, len(lines))):
        if "`" not in lines[number]:
            lines[number] = lines[number].replace("|", r"\|")


def leave_out(app: Any, what: str, name: str, found: Any, skipped: bool, options: Any) -> bool | None:
    """Skip the fields of a NamedTuple whose docstring is the default, "Alias for field number 0"."""
    return True if str(getattr(found, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Any) -> None:
    """Put the notebooks, which lie outside of docs/, where the site can have them."""
    app.connect("autodoc-process-docstring", keep_bars)
    app.connect("autodoc-skip-member", leave_out)
    tutorials = DOCS / "tutorials"
    shutil.rmtree(tutorials, ignore_errors=True)
    tutorials.mkdir()
    for notebook in sorted((DOCS.parent / "notebooks").glob("*.ipynb")):
        shutil.copyfile(notebook, tutorials / notebook.name)
