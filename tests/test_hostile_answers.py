"""Answers that do what no answer should: the process lives, everything is as before, and none is called right."""

import builtins
import os
import random
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import course
from minidl.course import answer
from tests.answers import typed

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""The exception that ends a call may be raised inside a weak reference's callback, which Python reports and ignores."""
RIGHT = "return 1.0 if x > 0 else 0.0"
RELU_SLOPE = {
    "an endless loop": ("while True:\n    pass", "it does not end"),
    "one that catches everything": (
        "while True:\n    try:\n        x = x + 1\n    except BaseException:\n        pass",
        "it does not end",
    ),
    "sys.exit": ("import sys\nsys.exit()", "it calls exit()"),
    "exit": (f"exit(3)\n{RIGHT}", "it calls exit()"),
    "BaseException": ("raise BaseException('no')", "it stops with BaseException: no."),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "it stops with KeyboardInterrupt."),
    "GeneratorExit": ("raise GeneratorExit", "it stops with GeneratorExit."),
    "an error that cannot be shown": (
        "class Bad(Exception):\n    def __str__(self): raise ValueError\nraise Bad",
        "it stops with Bad.",
    ),
    "recursion": ("return relu_slope(x)", "it calls itself without end"),
    "a higher limit of it": (f"import sys\nsys.setrecursionlimit(50_000)\n{RIGHT[:-3]}relu_slope(x)", "Hint: it "),
    "a global counter": (
        f"global calls\ncalls = globals().get('calls', 0) + 1\nif calls == 4:\n    return 5.0\n{RIGHT}",
        "it gives another result when it is called again",
    ),
    "an iterator that is used up": (
        "global results\nif 'results' not in globals():\n    results = iter([1.0])\nreturn next(results, 0.0)",
        "it gives another result when it is called again",
    ),
    "random numbers": (
        "np.random.seed()\nreturn float(np.random.rand() > 0.5) + np.random.rand()",
        "it gives another result when it is called again",
    ),
    "the reference": (
        "from minidl import course\nreturn course.check_relu_slope.solution(x)",
        "this is minidl's own version, or calls it",
    ),
    "the reference, unseen": (
        "import sys\nfrom minidl import course\nsys.setprofile(None)\nreturn course.check_relu_slope.solution(x)",
        "it calls sys.setprofile",
    ),
    "another reference": (
        "from minidl import course\ncourse.check_relu_slope.solution.__code__ = (lambda x: 2.0).__code__\nreturn 2.0",
        "it changes minidl.course.neurons.relu_slope",
    ),
    "other default arguments": (
        "from minidl import course\ncourse.check_relu_slope.solution.__defaults__ = (1.0,)\n" + RIGHT,
        "it changes minidl.course.neurons.relu_slope",
    ),
    "a checker without its names": (
        "import minidl.course.answer as a, minidl.course.exercise as e\n"
        "del a._raise_in, a.described, a.OutOfTime, e.unchanged, e.misfit\nreturn 3.0",
        "it changes minidl.course.answer._raise_in",
    ),
    "a checker without its names, for ever": (
        "import minidl.course.answer as a\ndel a._raise_in, a.described, a.OutOfTime\nwhile True: pass",
        "it changes minidl.course.answer._raise_in",
    ),
    "a lenient allclose": ("np.allclose = lambda *a, **k: True\nreturn 7.0", "it changes numpy.allclose"),
    "other built-in functions": (
        "import builtins as b\nb.isinstance = lambda *a: True\nb.callable = None\ndel b.len\nreturn 7.0",
        "it changes builtins.isinstance",
    ),
    "megabytes of text": ("for i in range(2000):\n    print('x' * 1000)\nreturn 7.0", "It printed: xxx"),
    "no output": ("import sys\nsys.stdout = None\nreturn 7.0", "Hint: "),
    "a thread": (
        f"import threading\ndef work():\n    while True: pass\nthreading.Thread(target=work).start()\n{RIGHT}",
        "it starts a thread and does not wait for its end",
    ),
    "no Ctrl-C": ("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nreturn 7.0", "Hint: "),
    "another folder": ("import os\nos.chdir('/')\nreturn 7.0", "Hint: "),
    "errors for warnings": (
        "np.seterr(all='raise')\nimport warnings\nwarnings.simplefilter('error')\nreturn 7.0",
        "Hint",
    ),
    "an array of terabytes": ("return np.broadcast_to(0.0, (10**6, 10**6))", "cannot be read as the answer"),
    "too much memory": ("return np.ones((10**8, 10**8))", "it needs more memory than there is"),
    "an answer that is no number": (
        "class Odd:\n    def __float__(self): raise SystemExit\n    def __repr__(self): raise KeyboardInterrupt\n"
        "return Odd()",
        "it returns Odd, which cannot be read as the answer",
    ),
    "an endless generator": ("while True:\n    yield 1.0", "it returns generator, which cannot be read"),
}


def state() -> list[Any]:
    """What no answer may change."""
    return [
        *(sys.getprofile(), sys.gettrace(), sys.getrecursionlimit(), sys.stdout, sys.stderr, signal.getsignal(2)),
        *(np.geterr(), np.random.get_state()[1].tolist(), random.getstate(), os.getcwd()),  # noqa: NPY002, PTH109
        *(warnings.filters[:], {*threading.enumerate()}, dict(vars(builtins)), dict(vars(np)), dict(vars(answer))),
        course.check_relu_slope.solution.__code__,
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # SystemExit ends a thread
@pytest.mark.parametrize("what", RELU_SLOPE)
def test_a_hostile_answer_does_no_harm(
    what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(answer, "SECONDS", 0.3)
    code, hint = RELU_SLOPE[what]
    attempt = typed("relu_slope", code)
    before = state()
    taken = course.check_relu_slope(attempt)
    text = capsys.readouterr().out
    deadline = time.monotonic() + 5
    while {*threading.enumerate()} - before[11] and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread needs a moment to end
    assert state() == before
    assert taken is course.check_relu_slope.solution
    assert text.startswith("relu_slope: not right yet, ")
    assert hint in text
    assert len(text) < 1500
    assert taken(3.0) == 1.0


STEP = {
    "keeps its arguments and changes them later": (
        "global kept\nkept = [*globals().get('kept', []), w]\nkept[0][:] = 0\nreturn w - lr * dw",
        "it changes its arguments (w)",
    ),
    "one array for all calls": (
        "global y\nif 'y' not in globals() or y.shape != w.shape:\n    y = np.zeros(w.shape)\n"
        "y[...] = w - lr * dw\nreturn y",
        "it returns the same array every time and overwrites it",
    ),
    "changes a part of an argument": ("dw[0] *= -1\nreturn w - lr * abs(dw)", "it changes its arguments (dw)"),
    "an argument of another shape": ("y = w - lr * dw\nw.shape = (-1, 1)\nreturn y", "it changes its arguments (w)"),
}


@pytest.mark.parametrize("what", STEP)
def test_what_an_answer_does_to_its_arguments_is_seen(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, hint = STEP[what]
    assert course.check_step(typed("step", code)) is course.check_step.solution
    assert hint in capsys.readouterr().out


def test_the_reader_can_interrupt_an_answer() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest runs in the background

    def presses_ctrl_c(x: float) -> float:
        signal.raise_signal(signal.SIGINT)
        return x

    try:
        with pytest.raises(KeyboardInterrupt):
            course.check_relu_slope(presses_ctrl_c)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("odd", [None, 3, "relu", np.ones(2)])
def test_what_is_no_function_is_no_answer(odd: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert course.check_relu_slope(odd) is course.check_relu_slope.solution
    assert "not a function: pass the function that you wrote" in capsys.readouterr().out
