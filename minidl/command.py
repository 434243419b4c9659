"""What all commands share: a parser that teaches, exit statuses, and standard streams that may go away."""

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
    """A command line that cannot be followed.

    >>> Parser(prog="python -m minidl").given(["--jsn"])
    Traceback (most recent call last):
    minidl.command.UsageError: unknown option --jsn. See --help.
    """


class Parser(argparse.ArgumentParser):
    """Raises :class:`UsageError` for a wrong command line, and says what to write instead.

    ``examples`` are command lines with a remark each, which begin the help. ``elsewhere`` says what the options are
    called here that people know by another name. ``bare`` is the option that a word without one most likely belongs to.

    >>> parser = Parser(elsewhere={"--learning-rate": "--lr"}, bare="--data")
    >>> _ = parser.add_argument("--lr")
    >>> parser.given(["--learning-rate", "0.1"])
    Traceback (most recent call last):
    minidl.command.UsageError: unknown option --learning-rate: it is --lr here. See --help.
    >>> parser.given(["faces.zip"])
    Traceback (most recent call last):
    minidl.command.UsageError: 'faces.zip' belongs to no option: write --data faces.zip. See --help.
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
        namespace, unknown = self.parse_known_args(words)
        if unknown:
            raise UsageError(f"{self._refusal(unknown[0], words)} See --help.")
        return vars(namespace)

    def _refusal(self, word: str, words: Sequence[str]) -> str:
        if not word.startswith("-"):
            return f"'{word}' belongs to no option{self._home(word, words)}."
        flag = word.partition("=")[0]
        if flag in self.elsewhere:
            return f"unknown option {flag}: it is {self.elsewhere[flag]} here."
        if homes := [parser.prog for parser in self._family() if flag in parser._flags()]:
            return f"unknown option {flag} here: it is one of {', '.join(homes)}."
        known = [known for parser in self._family(words) for known in parser._flags()]
        return f"unknown option {flag}.{suggestion(flag, known)}"

    def _home(self, word: str, words: Sequence[str]) -> str:
        """Where a word without an option belongs."""
        if not self.bare:
            return ""
        if any(one.partition("=")[0] == self.bare for one in words):
            return f", and {self.bare} is there already: leave it out, or put a name with spaces in quotes"
        return f": write {self.bare} {word}"

    def _family(self, words: Sequence[str] | None = None) -> list["Parser"]:
        """This parser and those of its subcommands; of these only the ones named among ``words``, if they are given."""
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
        """As argparse's, after the examples."""
        width = max((len(line) for line, _ in self.examples), default=0)
        lines = [f"  {line:<{width}}  # {remark}\n" for line, remark in self.examples]
        return "".join(["examples:\n", *lines, "\n"] if lines else []) + super().format_help()

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See --help.")


def run(command: Callable[[], int], spare_memory: str = "") -> NoReturn:
    """Carry out a command as this process, with all that :func:`status` does, and exit.

    Standard streams may be closed, or unable to encode a character; a warning is one line, without a place in the code.

    >>> run(lambda: 0)
    Traceback (most recent call last):
    SystemExit: 0
    """
    _prepare_streams()
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        sys.exit(status(command, spare_memory))


def status(command: Callable[[], int], spare_memory: str = "") -> int:
    """Carry out a command; its exit status.

    Wrong input, and files that can't be read or written, are one line on standard error and exit status 2; Ctrl-C is
    exit status 130. Whoever reads standard output may stop reading, as ``head`` does. ``spare_memory`` says what to do
    where memory does not suffice.

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
    except SystemExit as ended:  # argparse, once it has shown the help
        return ended.code if isinstance(ended.code, int) else 0


@contextlib.contextmanager
def _naming_standard_output() -> Iterator[None]:
    """Let an error in writing to standard output say that it is one.

    What the stream still holds in the end is written then; Python would do so at the exit, and could only complain.
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
    """What an error says, in one line; a file that can't be read or written comes first.

    >>> reason(PermissionError(13, "Permission denied", "runs/a"))
    'runs/a: Permission denied'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename is not None else error.strerror
    return " ".join(str(error).split())


@contextlib.contextmanager
def outliving_terminal() -> Iterator[None]:
    """For work that goes on when its terminal is closed, or nobody reads its output any more.

    What can't be written to standard output or standard error is dropped, and SIGHUP is ignored.

    >>> class Gone(io.StringIO):
    ...     def write(self, text):
    ...         raise BrokenPipeError
    >>> with contextlib.redirect_stdout(Gone()), outliving_terminal():
    ...     print("to nobody")
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
    except (AttributeError, ValueError):  # a system without it; not the main thread, which alone may say so
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


class _Lasting:
    """A stream whose reader may go away: from then on, what is written to it is dropped."""

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
    """Standard output, whose errors say so; from the first one on, what is written to it is dropped."""

    def _failed(self, error: OSError) -> None:
        super()._failed(error)
        raise OSError(error.errno, error.strerror, "standard output") from None


def _prepare_streams() -> None:
    """A closed stream is one that drops everything; characters that a stream can't encode are written as escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            with contextlib.suppress(OSError, ValueError):  # a pipe that does not block would drop what is too much
                os.set_blocking(stream.fileno(), True)


def _discard(stream: TextIO) -> None:
    """Let what is still in the buffer of a stream, and all that follows, go nowhere."""
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(line.strip() + "\n")
        sys.stderr.flush()


def _show_warning(message: Warning | str, *_where: Any, **_more: Any) -> None:
    _say(f"warning: {' '.join(str(message).split())}")
