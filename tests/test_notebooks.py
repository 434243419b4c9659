"""The notebooks: each is its solution with blanks and has been executed, and nothing unknown is in them.

That they run is tried by ``python -m notebooks.build --check``, which takes minutes.
"""

import ast
import base64
import io
import json
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from agegender import data
from minidl import course
from notebooks import build

ROOT = Path(__file__).resolve().parents[1]
NAMES = build.names()
KIBIBYTES_500 = 500 * 1024


def solution(name: str) -> str:
    return (build.SOLUTIONS / f"{name}.py").read_text(encoding="utf-8")


def script(name: str) -> str:
    """What a student gets."""
    return build.student_version(solution(name))


def written(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((build.HERE / f"{name}.ipynb").read_text(encoding="utf-8"))
    return found


def outputs(name: str) -> list[dict[str, Any]]:
    return [output for cell in written(name)["cells"] for output in cell.get("outputs", [])]


def test_there_is_a_solution_and_a_notebook_of_each() -> None:
    files = [path for folder in (build.HERE, build.SOLUTIONS) for path in folder.iterdir() if path.is_file()]
    expected = [build.HERE / "build.py", *(build.HERE / f"{name}.ipynb" for name in NAMES)]
    assert sorted(files) == sorted([*expected, *(build.SOLUTIONS / f"{name}.py" for name in NAMES)])


def terms(name: str) -> set[str]:
    """The words in bold of a unit, without labels such as "Predict:" and "Exercise."."""
    text = " ".join(line[2:] for line in solution(name).splitlines() if line.startswith("# "))
    found = {" ".join(term.lower().split()) for term in re.findall(r"\*\*([^*]+?)\*\*", text)}
    return {term for term in found - LABELS if not term.endswith((":", "."))}


LABELS = {"predict", "you will be able to"}


def test_a_term_is_defined_in_one_unit() -> None:
    """A word in bold is a definition; one with two meanings has two lines in the glossary."""
    glossary = (ROOT / "docs" / "guide" / "glossary.md").read_text(encoding="utf-8")
    meanings = Counter(re.findall(r"^- \*\*(.+?)\*\*", glossary, re.MULTILINE))
    units = Counter(term for name in NAMES for term in terms(name))
    assert {term: count for term, count in units.items() if count > max(1, meanings[term])} == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_blank_is_emptied(name: str) -> None:
    solved = solution(name)
    assert solved.count("# <blank>") == solved.count("# </blank>") == script(name).count("...  # your code here")


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_has_the_cells_of_the_solution(name: str) -> None:
    expected = build.notebook(script(name))["cells"]
    found = [{**cell, "outputs": [], "execution_count": None} for cell in written(name)["cells"]]
    assert found == [{**cell, "outputs": [], "execution_count": None} for cell in expected], (
        f"run: python -m notebooks.build {name}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_blank_has_a_checker(name: str) -> None:
    """Each function with a blank is passed to a checker with the same, or nearly the same, name."""
    solved = solution(name)
    with_blanks = re.findall(r"^def (\w+)\((?:.(?!^def ))*?# <blank>", solved, re.MULTILINE | re.DOTALL)
    checked = re.findall(r"^(\w+) = course\.check_(\w+)\((\w+)\)", solved, re.MULTILINE)
    assert with_blanks
    assert [attempt for _, _, attempt in checked] == with_blanks
    for target, checker, attempt in checked:
        assert target == attempt
        assert attempt.startswith(checker)
        parameters = next(f.args.args for f in ast.walk(ast.parse(solved)) if _defines(f, attempt))
        solved_by = getattr(course, f"check_{checker}").solution.__code__
        assert [p.arg for p in parameters] == list(solved_by.co_varnames[: solved_by.co_argcount])


def _defines(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == name


@pytest.mark.parametrize("name", [name for name in NAMES if "mine(" in solution(name) and '"conv2d"' in solution(name)])
def test_a_slow_convolution_that_was_right_is_replaced(name: str) -> None:
    """One with a loop over all outputs would take many minutes."""
    assert "too slow for" in solution(name)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_there_and_small(name: str) -> None:
    assert (build.HERE / f"{name}.ipynb").stat().st_size <= KIBIBYTES_500
    counts = [cell["execution_count"] for cell in written(name)["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert build.complaints(written(name), solved=False) == []
    said = "".join("".join(output.get("text", [])) for output in outputs(name))
    for checker in re.findall(r"course\.check_(\w+)\(", script(name)):
        assert f"{checker}: not solved yet" in said


@pytest.mark.parametrize("name", NAMES)
def test_every_section_has_a_picture(name: str) -> None:
    section, pictures = "", {}
    for cell in written(name)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            headings = re.findall(r"^## (\d+\. .*)", source, re.MULTILINE)
            section = headings[-1] if headings else "" if "\n## " in f"\n{source}" else section
        for output in cell.get("outputs", []):
            pictures[section] = pictures.get(section, False) or "image/png" in output.get("data", {})
    assert any(pictures)
    assert [heading for heading, found in pictures.items() if heading and not found] == []


@pytest.mark.parametrize("name", NAMES)
def test_outputs_tell_nothing_of_the_machine(name: str) -> None:
    for output in outputs(name):
        data = {key: value for key, value in output.get("data", {}).items() if key != "image/png"}
        text = json.dumps([data, output.get("text", "")])
        assert not re.search(r"(?<![\w.<])/[A-Za-z][\w.-]*(/[\w.-]+)+", text), text  # a path from the root
        assert not re.search(r"(C:\\\\|site-packages|Warning|Traceback)", text), text
        assert not re.search(r" at 0x[0-9a-f]+", text), text


@pytest.mark.parametrize("name", NAMES)
def test_pictures_can_be_read(name: str) -> None:
    pictures = [output["data"]["image/png"] for output in outputs(name) if "image/png" in output.get("data", {})]
    for png in pictures:
        width, height = Image.open(io.BytesIO(base64.b64decode(png))).size
        assert 100 <= width <= 2000
        assert 80 <= height <= 3000


@pytest.mark.parametrize("name", NAMES)
def test_no_real_face_is_in_the_outputs(name: str) -> None:
    """A notebook that uses whichever data set it finds prints which one, and it used the drawn faces."""
    if "data.open(" in script(name):
        said = "".join("".join(output.get("text", [])) for output in outputs(name))
        assert re.findall(r"faces from ([^\s,]+)", said) == ["drawn"]


def test_the_builder_gives_the_notebooks_drawn_faces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Even if real faces exist in ./data, or where the user's variable points."""
    (tmp_path / "data" / "UTKFace").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "drawn", lambda **options: "drawn")
    monkeypatch.setenv("UTKFACE", "mine")
    for name, value in build.DRAWN.items():
        monkeypatch.setenv(name, value)
    assert data.open() == "drawn"


def test_a_complaint_is_found() -> None:
    def cell(text: str, stream: str = "stdout") -> dict[str, Any]:
        return {"cells": [{"outputs": [{"name": stream, "text": [text]}]}, {}]}

    assert build.complaints(cell("hat: right."), solved=True) == []
    assert build.complaints(cell("hat: not solved yet."), solved=False) == []
    assert build.complaints(cell("hat: not solved yet."), solved=True) == ["hat: not solved yet."]
    assert build.complaints(cell("hat: not right yet, for x=1."), solved=False) != []
    assert build.complaints(cell("careful", "stderr"), solved=False) == ["careful"]


def test_a_smaller_picture_is_the_same_picture() -> None:
    whole = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(whole, "PNG")
    small = base64.b64decode(build.smaller(base64.b64encode(whole.getvalue()).decode()))
    before, after = (Image.open(io.BytesIO(png)).convert("RGB") for png in (whole.getvalue(), small))
    assert before.size == after.size
    assert max(abs(a - b) for a, b in zip(before.tobytes(), after.tobytes(), strict=True)) < 8


def executed(name: str, faces: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The variables at the end of a solved notebook that used a folder of the reader's own pictures."""
    monkeypatch.setenv("UTKFACE", str(faces))
    monkeypatch.setenv("MINIDL_CACHE", str(faces / "cache"))
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    variables: dict[str, Any] = {"__name__": "__main__"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            exec(compile(solution(name), name, "exec"), variables)
    finally:
        plt.close("all")
    return variables


def save_noise(folder: Path, number: int, label: str, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).resize((128, 128)).save(folder / f"{label}_0_x{number}.jpg")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if "data.open()" in solution(name)])
def test_what_looks_at_faces_takes_a_few_of_the_reader_s_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty noisy images without very young or old people, and with hardly any of one gender."""
    for number in range(30):
        save_noise(tmp_path, number, f"{20 + number}_{number % 8 == 0:d}", seed=number)
    assert len(executed(name, tmp_path, monkeypatch)["faces"]) == 30


NO_DIFFERENCE = "copies make hardly a difference"


@pytest.mark.slow
def test_faces_of_which_copies_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six hundred images of one age are not an error, but are reported; with the drawn faces copies do look better."""
    for number in range(600):
        save_noise(tmp_path, number, "30_0", seed=number)
    executed("10_faces", tmp_path, monkeypatch)
    assert NO_DIFFERENCE in capsys.readouterr().out
    assert NO_DIFFERENCE in solution("10_faces")
    assert not any(NO_DIFFERENCE in "".join(output.get("text", [])) for output in outputs("10_faces"))


def test_copies_are_not_counted_as_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        save_noise(tmp_path, number, f"{20 + number}_0", seed=number % 3)
    with pytest.raises(AssertionError, match="3 different faces are too few"):
        executed("10_faces", tmp_path, monkeypatch)


def test_thirty_pictures_are_enough_however_often_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of them in the validation part, its error would be the mean of an empty set."""
    for number in range(90):
        save_noise(tmp_path, number, f"{20 + number % 30}_{number % 2}", seed=number % 30)
    assert np.isfinite(executed("10_faces", tmp_path, monkeypatch)["errors"]).all()
