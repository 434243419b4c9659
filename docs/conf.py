"""The site: ``sphinx-build -W docs docs/_build/html``. Everything that is on it stands in this repository."""

import shutil
from importlib import metadata
from pathlib import Path

DOCS = Path(__file__).resolve().parent

project = "minidl"
author = "the authors of minidl"
release = metadata.version("minidl")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"minidl {release}"
exclude_patterns = ["_build", "conftest.py"]
templates_path: list[str] = []

nb_execution_mode = "off"  # the notebooks are committed with their outputs
myst_enable_extensions = ["dollarmath"]  # the formulas of the notebooks
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True}


def setup(app: object) -> None:
    """Put the notebooks, which lie outside of docs/, where the site can have them."""
    tutorials = DOCS / "tutorials"
    shutil.rmtree(tutorials, ignore_errors=True)
    tutorials.mkdir()
    for notebook in sorted((DOCS.parent / "notebooks").glob("*.ipynb")):
        shutil.copyfile(notebook, tutorials / notebook.name)
