"""The common part of all commands: a parser with helpful errors, exit statuses, and robust standard streams."""

import argparse
import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from .errors import MinidlError, suggestion


class UsageError(MinidlError, ValueError):
    """An invalid command line.

    >>> Parser(prog="python -m minidl").given(["--jsn"])
    Traceback (most recent call last):
    minidl.command.UsageError: unknown option --jsn. See --help.
    """


class Parser(argparse.ArgumentParser):
    """Raises :class:`UsageError` for a wrong command line, with what to write instead.

    ``examples`` are pairs of a command line and a remark, printed first in the help. ``elsewhere`` maps option names of
    other tools to the names here. ``bare`` is the option that a positional argument was most likely meant for.

    >>> parser = Parser(elsewhere={"--learning-rate": "--lr"}, bare="--data")
    >>> _ = parser.add_argument("--lr")
    >>> parser.given(["--learning-rate", "0.1"])
    Traceback (most recent call last):
    minidl.command.UsageError: unknown option --learning-rate: it is --lr here. See --help.
    >>> parser.given(["faces.zip"])
    Traceback (most recent call last):
    minidl.command.UsageError: unexpected argument 'faces.zip': write --data faces.zip. See --help.
    """

    def __init__(
        self,
        *,
        examples: Sequence[tuple[str, str]] = (),
        elsewhere: Mapping[str, str] | None = None,
        bare: str = "",
        **settings: Any,
    ) -> None:
        super().__init__(**settings, allow_abbrev=False)
        self.examples, self.elsewhere, self.bare = examples, elsewhere or {}, bare

    def given(self, arguments: Sequence[str] | None = None) -> dict[str, Any]:
        """The arguments by name."""
        words = list(sys.argv[1:] if arguments is None else arguments)
        try:
            namespace, unknown = self.parse_known_args(words)
            if unknown:
                raise UsageError(self._refusal(unknown[0], words))
        except UsageError as error:
            raise UsageError(f"{error}{_dashed(words)} See --help.") from None
        return vars(namespace)

    def _refusal(self, word: str, words: Sequence[str]) -> str:
        if not word.startswith("-"):
            return f"unexpected argument '{word}'{self._home(word, words)}."
        flag = word.partition("=")[0]
        if flag in self.elsewhere:
            return f"unknown option {flag}: it is {self.elsewhere[flag]} here."
        if homes := [parser.prog for parser in self._family() if flag in parser._flags()]:
            return f"unknown option {flag} here: it belongs to {', '.join(homes)}."
        known = [known for parser in self._family(words) for known in parser._flags()]
        return f"unknown option {flag}.{suggestion(flag, known)}"

    def _home(self, word: str, words: Sequence[str]) -> str:
        """Where a word without an option belongs."""
        if f"--{word}" in self._flags():
            return f": write --{word}"
        if not self.bare:
            return ""
        if any(one.partition("=")[0] == self.bare for one in words):
            return f", as {self.bare} was already given: leave it out, or put a name with spaces in quotes"
        return f": write {self.bare} {word}"

    def _family(self, words: Sequence[str] | None = None) -> list["Parser"]:
        """This parser and its subparsers; if ``words`` is given, only the subparsers whose names are in it."""
        family = [self]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                family += [
                    member
                    for name, parser in action.choices.items()
                    if words is None or name in words
                    for member in parser._family(words)
                ]
        return family

    def _flags(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]

    def format_help(self) -> str:
        """The examples, then argparse's help."""
        width = max((len(line) for line, _ in self.examples), default=0)
        lines = [f"  {line:<{width}}  # {remark}\n" for line, remark in self.examples]
        return "".join(["examples:\n", *lines, "\n"] if lines else []) + super().format_help()

    def print_help(self, file: Any = None) -> None:
        """Unlike argparse, raise the error if the help cannot be written."""
        (sys.stdout if file is None else file).write(self.format_help())

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}.")


def _dashed(words: Sequence[str]) -> str:
    """How to write the name of a file that begins with a dash, if one of the words is such a name."""
    found = next((word for word in words if word.startswith("-") and Path(word).exists()), None)
    return f" For the file {found}, write ./{found}." if found else ""


def run(command: Callable[[], int], spare_memory: str = "") -> NoReturn:
    """Run a command as this process, as :func:`status` does, and exit.

    Standard streams may be closed, or unable to encode a character; a warning is printed as one line, without its
    location in the code.

    >>> run(lambda: 0)
    Traceback (most recent call last):
    SystemExit: 0
    """
    _prepare_streams()
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        sys.exit(status(command, spare_memory))


def status(command: Callable[[], int], spare_memory: str = "") -> int:
    """Run a command and return its exit status.

    Invalid input, and files that can't be read or written, print one line to standard error and return 2; Ctrl-C
    returns 130. The reader of standard output may stop reading, as ``head`` does. ``spare_memory`` is a hint for the
    user if memory runs out.

    >>> def command():
    ...     raise FileNotFoundError(2, "No such file or directory", "faces.zip")
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     status(command)
    error: faces.zip: No such file or directory
    2
    """
    try:
        with _naming_standard_output():
            return _done(command)
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except MemoryError as error:
        _say(f"error: not enough memory{f' ({error})' if str(error) else ''}. {spare_memory}")
        return 2
    except (MinidlError, OSError) as error:
        _say(f"error: {reason(error)}")
        return 2


def _done(command: Callable[[], int]) -> int:
    try:
        return command()
    except SystemExit as ended:  # argparse, after printing the help
        return ended.code if isinstance(ended.code, int) else 0


@contextlib.contextmanager
def _naming_standard_output() -> Iterator[None]:
    """Name standard output in errors from writing to it.

    The stream is flushed at the end: Python would do so at exit, where errors can no longer be handled.
    """
    stream = sys.stdout
    sys.stdout = cast(TextIO, _Named(stream))
    try:
        yield
        sys.stdout.flush()
    except BaseException:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        raise
    finally:
        sys.stdout = stream


def reason(error: Exception) -> str:
    """The message of an error in one line; for a file that can't be read or written, its name comes first.

    >>> reason(PermissionError(13, "Permission denied", "runs/a"))
    'runs/a: Permission denied'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename is not None else error.strerror
    return " ".join(str(error).split())


@contextlib.contextmanager
def outliving_terminal() -> Iterator[None]:
    """A context for work that continues when its terminal is closed or its output is no longer read.

    Output that can't be written to standard output or standard error is dropped, and SIGHUP is ignored.

    >>> class Gone(io.StringIO):
    ...     def write(self, text):
    ...         raise BrokenPipeError
    >>> with contextlib.redirect_stdout(Gone()), outliving_terminal():
    ...     print("dropped")
    """
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Lasting(stream)) for stream in streams)
    try:
        with _hangup_ignored():
            yield
    finally:
        sys.stdout, sys.stderr = streams


@contextlib.contextmanager
def _hangup_ignored() -> Iterator[None]:
    try:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    except (AttributeError, ValueError):  # a system without SIGHUP; a thread other than the main one
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


class _Lasting:
    """A stream that drops all output after its reader has closed it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError as error:
            self._failed(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, _error: OSError) -> None:
        _discard(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Named(_Lasting):
    """Standard output, named in its errors; all output after the first error is dropped."""

    def _failed(self, error: OSError) -> None:
        super()._failed(error)
        raise OSError(error.errno, error.strerror, "standard output") from None


def _prepare_streams() -> None:
    """Replace closed streams by ones that drop everything, and escape characters that a stream can't encode."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            with contextlib.suppress(OSError, ValueError):  # a non-blocking pipe would drop output when full
                os.set_blocking(stream.fileno(), True)


def _discard(stream: TextIO) -> None:
    """Drop the buffered output of a stream, and all further output."""
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def printable(text: str) -> str:
    """The text with escapes for control characters, such as those of names of files, which a terminal would obey.

    >>> print(printable("runs/\\x1b[31mred\\nends"))
    runs/\\x1b[31mred
    ends
    """
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(printable(line.strip()) + "\n")
        sys.stderr.flush()


def _show_warning(message: Warning | str, *_where: Any, **_more: Any) -> None:
    _say(f"warning: {' '.join(str(message).split())}")
