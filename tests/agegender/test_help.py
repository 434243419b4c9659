"""The help of the commands, and mistyped commands."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Command, finish

from agegender import __main__ as overview
from agegender import train
from agegender.data import inspect

pytestmark = pytest.mark.usefixtures("elsewhere", "without_pictures")


def test_the_commands_are_listed_with_a_sentence_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert overview.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in overview.COMMANDS:
        (line,) = [line for line in lines if line.startswith(f"python -m agegender.{name} ")]
        assert len(line.split()) > 6
    modules = {path.stem for path in Path(train.__file__).parent.glob("*.py") if "__main__" in path.read_text()}
    assert modules - {"__main__"} <= set(overview.COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--epochs", "3"], "write the command with a dot: python -m agegender.train --epochs 3"),
        (["trian"], "there is no command 'trian'. Did you mean 'train'? See python -m agegender."),
    ],
)
def test_a_command_without_its_dot_is_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(lambda: overview.main(words)) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize("main", [train.main, inspect.main])
def test_help_begins_with_three_examples(main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(lambda: main(["--help"])) == 0
    head, *examples, empty = capsys.readouterr().out.splitlines()[:5]
    assert (head, empty) == ("examples:", "")
    assert all(re.match(r"  python -m agegender\.\S+ .* # \w", line) for line in examples)


THERE = "as --data was already given: leave it out, or put a name with spaces in quotes"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["UTKFace.zip"], "unexpected argument 'UTKFace.zip': write --data UTKFace.zip. See --help."),
        (["--data", "../faces", "extra"], f"unexpected argument 'extra', {THERE}. See --help."),
        (["resume", "runs/a"], "unexpected argument 'resume': write --resume. See --help."),
        (["--data", "drawn", "help"], "unexpected argument 'help': write --help. See --help."),
        (["--list", "a"], "unexpected argument 'a': write --out a. See --help."),
        (["--data=my", "faces"], f"unexpected argument 'faces', {THERE}. See --help."),
        (["--learning-rate=0.1"], "unknown option --learning-rate: it is --lr here. See --help."),
        (["--frob"], "unknown option --frob. See --help."),
        (["--gpu"], "unknown option --gpu: it is --device cupy here. See --help."),
        (["--batch_size", "8"], "unknown option --batch_size. Did you mean '--batch-size'? See --help."),
        (["--resume", ""], "--resume is empty: give a value, or leave it out"),
        (["--name", "a/b"], "--name is the name of a folder in --out, without '/', got a/b"),
        (
            ["--val", "x", "--val-fraction", "0.5"],
            "--val replaces the split: leave out --val-fraction, or --val",
        ),
    ],
)
def test_what_is_no_option_here_is_told_with_what_is(command: Command, words: list[str], message: str) -> None:
    done = command(*words)
    assert (done.code, done.err) == (2, f"error: {message}\n")


@pytest.mark.parametrize(
    ("main", "words", "message"),
    [
        (train.main, ["--data", "-dash"], "argument --data: expected one argument."),
        (train.main, ["--data", "--dash"], "argument --data: expected one argument."),
        (inspect.main, ["-dash"], "the following arguments are required: data."),
        (inspect.main, ["drawn", "--dash"], "unknown option --dash."),
    ],
)
def test_a_file_that_looks_like_an_option_has_another_name(
    main: Callable[[list[str]], int], words: list[str], message: str, utkface: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = f"./{words[-1]}"
    assert finish(lambda: main(words)) == 2
    assert capsys.readouterr().err == f"error: {message} See --help.\n"
    Path(named).symlink_to(utkface)
    assert finish(lambda: main(words)) == 2
    assert capsys.readouterr().err == f"error: {message} For the file {words[-1]}, write {named}. See --help.\n"
    if words[0] != "drawn":
        options = ["--dry-run"] if main is train.main else []
        assert finish(lambda: main([*words[:-1], named, *options])) == 0
