"""Right answers are kept in mine/ with all that they need, and used again as long as they are right."""

import itertools
import linecache
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import course
from minidl.errors import MinidlError

NUMBERS = itertools.count()
OUTPUT_SIZE = """
def output_size(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1
"""
CHECK = "\noutput_size = course.check_output_size(output_size)\n"


class Notebook:
    """Cells that run one after another in a common namespace, as in Jupyter."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__", "course": course, "np": np, "md": md}

    def run(self, cell: str) -> None:
        name = f"<cell {next(NUMBERS)}>"
        linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
        exec(compile(cell, name, "exec"), self.names)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Notebook:
    monkeypatch.chdir(tmp_path)
    return Notebook()


Says = Callable[[], str]


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Says:
    return lambda: capsys.readouterr().out


def test_a_right_answer_comes_back(notebook: Notebook, says: Says) -> None:
    notebook.run(OUTPUT_SIZE + CHECK)
    assert says() == "output_size: right. It is kept in mine/output_size.py for later notebooks.\n"
    again = course.mine("output_size")
    assert says() == "output_size: yours, from mine/output_size.py.\n"
    assert again(7, 3, 2, 0) == 3
    assert again is not notebook.names["output_size"]
    assert again is not course.check_output_size.solution


def test_a_wrong_answer_and_minidl_s_own_are_not_kept(notebook: Notebook, says: Says) -> None:
    notebook.run(OUTPUT_SIZE.replace("2 *", "") + CHECK)
    notebook.run("output_size = course.check_output_size(course.check_output_size.solution)")
    notebook.run("def output_size(*a): return course.check_output_size.solution(*a)" + CHECK)
    assert not Path("mine").exists()
    says()
    assert course.mine("output_size") is course.check_output_size.solution
    assert says() == "output_size: minidl's own version, as there is no mine/output_size.py.\n"


def test_a_later_right_answer_replaces_the_earlier_one(notebook: Notebook) -> None:
    notebook.run(OUTPUT_SIZE + CHECK)
    notebook.run(OUTPUT_SIZE.replace("return", "return 0 +") + CHECK)
    assert "return 0 +" in Path("mine/output_size.py").read_text()
    notebook.run(OUTPUT_SIZE.replace("+ 1", "+ 2") + CHECK)
    assert "return 0 +" in Path("mine/output_size.py").read_text()
    assert [path.name for path in Path("mine").iterdir()] == ["output_size.py"]


WITH_HELPERS = """
import math
from functools import lru_cache
ONE, unused = 1, 2
def places(room, stride):
    return math.floor(room / stride) + ONE

@lru_cache
def padded(size, padding):
    return size + 2 * padding

def output_size(size, kernel, stride, padding):
    # every stride-th place
    return places(padded(size, padding) - kernel, stride)
"""


def test_what_the_answer_uses_of_its_cell_is_kept_with_it(notebook: Notebook, says: Says) -> None:
    notebook.run(WITH_HELPERS + CHECK + "print(output_size(5, 3, 1, 0))")
    assert "It is kept" in says()
    text = Path("mine/output_size.py").read_text()
    for part in ("import math", "lru_cache\ndef padded", "def places", "ONE, unused", "# every stride-th place"):
        assert part in text
    assert "print" not in text
    assert course.mine("output_size")(8, 3, 2, 1) == 4


def test_modules_constants_imports_and_other_answers_may_come_from_other_cells(notebook: Notebook, says: Says) -> None:
    notebook.run("import math as m\nfrom numpy.lib.stride_tricks import sliding_window_view\nONE = 1")
    notebook.run(OUTPUT_SIZE + CHECK)
    notebook.run(
        "def im2col(x, KH, KW):\n"
        "    OH, OW = (output_size(n, k, ONE, m.floor(0.5)) for n, k in zip(x.shape, (KH, KW)))\n"
        "    windows = sliding_window_view(x, (KH, KW), axis=(0, 1)).transpose(0, 1, 3, 4, 2)\n"
        "    return np.array(windows).reshape(OH * OW, -1)\n"
        "im2col = course.check_im2col(im2col)"
    )
    assert "im2col: right. It is kept in" in says()
    assert course.mine("im2col")(np.ones((3, 3, 2)), 2, 2).shape == (4, 8)
    assert says() == "im2col: yours, from mine/im2col.py.\n"


def test_a_function_of_another_name_is_kept_under_that_of_the_exercise(notebook: Notebook) -> None:
    notebook.run("def mine_of(w, dw, lr):\n    return w - lr * dw\nmine_of = course.check_step(mine_of)")
    assert course.mine("step")(1.0, 2.0, 0.5) == 0.0


USES_HELPER = """
def output_size(size, kernel, stride, padding):
    return helper(size + 2 * padding - kernel, stride)
"""
MAKES = f"def make():{OUTPUT_SIZE}\n    return output_size\noutput_size = make()".replace(
    "\ndef output", "\n    def output"
)
MAKES = MAKES.replace("    return (size", "        return (size")


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (
            ["output_size = lambda size, kernel, stride, padding: (size + 2 * padding - kernel) // stride + 1"],
            "with def",
        ),
        (
            ["def helper(a, b):\n    return a // b + 1", USES_HELPER],
            "it uses helper, which another cell defines. Define it in the cell of output_size.",
        ),
        (["table = np.arange(99)", OUTPUT_SIZE.replace("return", "return table[0] +")], "it uses table, which another"),
        ([MAKES], "with def, at the left margin of a cell"),
    ],
)
def test_what_cannot_be_kept_is_told_why(notebook: Notebook, says: Says, cells: list[str], reason: str) -> None:
    *others, last = cells
    for cell in others:
        notebook.run(cell)
    notebook.run(last + CHECK)
    text = says()
    assert text.startswith("output_size: right. It is not kept for later notebooks: ")
    assert reason in text
    assert text.count("\n") == 1
    assert not Path("mine").exists()


KEPT = f"import numpy as np{OUTPUT_SIZE}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (KEPT[:-20], "it stops with SyntaxError"),
        ("raise ValueError('no')", "it stops with ValueError: no."),
        ("import sys; sys.exit()", "it calls exit()"),
        ("while True: pass", "it does not end"),
        ("def conv2d(): ...", "it does not define output_size."),
        ("output_size = 3", "it does not define output_size."),
        (KEPT.replace("2 *", ""), "it is not right for size=5"),
        (KEPT.replace("return", "print"), "it is not right"),
        ("\0", "it stops with"),
        ("from minidl.course.convolution import output_size", "it is not right this is minidl's own version"),
    ],
)
def test_a_file_that_cannot_be_used_is_answered_by_one_line(
    notebook: Notebook, says: Says, text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course.answer, "SECONDS", 0.5)
    Path("mine").mkdir()
    Path("mine/output_size.py").write_text(text)
    assert course.mine("output_size") is course.check_output_size.solution
    said = says()
    assert said.startswith("output_size: minidl's own version, as mine/output_size.py cannot be used: ")
    assert reason in said
    assert said.count("\n") == 1


def test_a_file_that_cannot_be_read(notebook: Notebook, says: Says) -> None:
    Path("mine/output_size.py").mkdir(parents=True)
    assert course.mine("output_size") is course.check_output_size.solution
    Path("mine/step.py").write_bytes(b"\xff\xfe")
    assert course.mine("step") is course.check_step.solution
    assert says().count("cannot be used") == 2


def test_a_folder_that_cannot_be_written(notebook: Notebook, says: Says) -> None:
    Path("mine").write_text("in the way")
    notebook.run(OUTPUT_SIZE + CHECK)
    assert says().startswith("output_size: right. It is not kept for later notebooks: ")
    assert Path("mine").read_text() == "in the way"


def test_an_unknown_exercise_is_an_error() -> None:
    with pytest.raises(MinidlError, match=r"there is no exercise 'conv3d'. Did you mean 'conv2d'\?"):
        course.mine("conv3d")


def test_functions_of_modules_are_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    course.check_step(lambda w, dw, lr: w - lr * dw)
    assert [*tmp_path.iterdir()] == []
