"""Write the students' notebooks from the solutions, or execute all of them: ``python -m notebooks.build [NAME ...]``.

``solutions/NAME.py`` is the only source: a percent script, as jupytext calls it, where ``# <blank>`` and ``# </blank>``
enclose what a student is to find out. ``NAME.ipynb`` is that script with blanks, executed. With ``--check`` both
versions of every notebook are executed, with all exercises once more at the end, and nothing is written: the solved
ones in order and in one folder, so that later ones use the answers of earlier ones. A cell that raises, a word on
stderr, or a solution that its own checker doubts ends it with an error. Notebooks are executed in temporary folders and
on the drawn faces, whatever else this machine has: no real face may get into their outputs.

Only executing needs packages, those of ``pip install -e '.[notebooks]'``.
"""

import argparse
import base64
import io
import json
import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOLUTIONS = HERE / "solutions"
BLANK = re.compile(r"^( *)# <blank>\n.*?^ *# </blank>\n", re.MULTILINE | re.DOTALL)
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
DRAWN = {"UTKFACE": "drawn"}
"""The environment in which ``agegender.data.open()`` looks no further than the drawn faces."""


def names() -> list[str]:
    """All notebooks, in the order of teaching."""
    return sorted(path.stem for path in SOLUTIONS.glob("*.py"))


def student_version(solution: str) -> str:
    """The script with its blanks emptied.

    >>> print(student_version("def double(x):\\n    # <blank>\\n    return 2 * x\\n    # </blank>\\n"), end="")
    def double(x):
        ...  # your code here
    """
    return BLANK.sub(r"\1...  # your code here\n", solution)


def cells(script: str) -> list[tuple[str, str]]:
    """The cells of a percent script, each a pair of its kind ("markdown" or "code") and its source.

    >>> cells("# %% [markdown]\\n# # Title\\n#\\n# Text.\\n\\n# %%\\n1 + 1\\n")
    [('markdown', '# Title\\n\\nText.'), ('code', '1 + 1')]
    """
    found = []
    for part in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        mark, _, source = part.partition("\n")
        if mark.strip() == "[markdown]":
            lines = source.strip().split("\n")
            found.append(("markdown", "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)))
        else:
            found.append(("code", source.strip()))
    return found


def notebook(script: str) -> dict[str, Any]:
    """A percent script as a notebook of format 4.5 without outputs, always with the same ids."""
    content = []
    for number, (kind, source) in enumerate(cells(script)):
        cell = {"cell_type": kind, "id": f"cell-{number:02d}", "metadata": {}, "source": source.splitlines(True)}
        content.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    return {"cells": content, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def going_back(script: str) -> str:
    """The cells with exercises once more, the last first: what is run by someone who comes back to them at the end.

    >>> going_back("# %%\\none = course.check_one(one)\\n\\n# %%\\ntwo = course.check_two(two)\\n\\n# %%\\n3\\n")
    '\\n# %%\\ntwo = course.check_two(two)\\n\\n# %%\\none = course.check_one(one)\\n'
    """
    exercises = [source for kind, source in cells(script) if kind == "code" and "course.check_" in source]
    return "".join(f"\n# %%\n{source}\n" for source in reversed(exercises))


def execute(script: str, folder: str) -> dict[str, Any]:
    """The notebook of a script with its outputs, executed in a folder."""
    import nbformat
    from nbclient import NotebookClient

    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])  # whatever the folder
    made = nbformat.reads(json.dumps(notebook(script)), as_version=4)
    client = NotebookClient(made, kernel_name="python3", record_timing=False, resources={"metadata": {"path": folder}})
    executed: dict[str, Any] = json.loads(
        nbformat.writes(client.execute(env=os.environ | DRAWN | {"PYTHONPATH": path}))
    )
    for cell in executed["cells"]:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                output["data"]["image/png"] = smaller("".join(png))
    return executed | {"metadata": METADATA}


def smaller(png: str) -> str:
    """A picture (base64) with 96 colours, which nobody misses, in a third of the bytes.

    They are chosen so that none is far from its own, as red letters among many greys must stay red.
    """
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    file = io.BytesIO()
    picture.quantize(96, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def complaints(executed: dict[str, Any], solved: bool) -> list[str]:
    """What is wrong with the outputs: anything on stderr, and answers of a solution that are not taken for right."""
    found = []
    for cell in executed["cells"]:
        for output in cell.get("outputs", []):
            text = "".join(output.get("text", []))
            wrong = "not right yet" in text or (solved and "not solved yet" in text)
            if output.get("name") == "stderr" or wrong:
                found.append(text)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m notebooks.build", description="Write or check the notebooks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these (default: all)")
    parser.add_argument("--check", action="store_true", help="execute both versions of each and write nothing")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as solved, tempfile.TemporaryDirectory() as empty:
        for name in options.names or names():
            solution = (SOLUTIONS / f"{name}.py").read_text(encoding="utf-8")
            student = student_version(solution)
            if options.check:
                _checked(f"{name}, as a student gets it", student + going_back(student), empty, solved=False)
                _checked(f"{name}, solved", solution + going_back(solution), solved, solved=True)
            else:
                executed = _checked(name, student, empty, solved=False)
                (HERE / f"{name}.ipynb").write_text(json.dumps(executed, indent=1) + "\n", encoding="utf-8")


def _checked(title: str, script: str, folder: str, solved: bool) -> dict[str, Any]:
    """The executed notebook; exits with what is wrong with its outputs."""
    start = time.perf_counter()
    executed = execute(script, folder)
    print(f"{title}: {time.perf_counter() - start:.0f} s", flush=True)
    if wrong := complaints(executed, solved):
        raise SystemExit("\n".join(wrong))
    return executed


if __name__ == "__main__":
    main()
