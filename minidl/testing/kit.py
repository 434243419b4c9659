"""The conformance kit: the requirements for plugins of a kind, as checks that can be listed, run and skipped.

A :class:`Subject` is a plugin with examples of its use. Each of its methods named ``check_...`` is one check of one
example; the first line of its docstring states the requirement. :func:`minidl.testing.check_op` and the functions for
other kinds run all checks at once; :func:`parametrize_with_checks` makes each a separate test under pytest.
"""

from abc import ABC
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from ..errors import MinidlError, suggestion
from .gradcheck import GradcheckResult

PREFIX = "check_"


class CheckError(MinidlError, AssertionError):
    """A plugin that does not meet a requirement of its kind.

    >>> require(2 + 2 == 5, "2 + 2 is not 5")
    Traceback (most recent call last):
    minidl.testing.kit.CheckError: 2 + 2 is not 5
    """

    report: "Report | None" = None
    """The outcomes of all checks, if :meth:`Subject.run` raised the error."""


def require(condition: Any, message: str) -> None:
    """Raise :class:`CheckError` with ``message`` unless ``condition`` is true.

    >>> require(1 + 1 == 3, "1 + 1 is 2")
    Traceback (most recent call last):
    minidl.testing.kit.CheckError: 1 + 1 is 2
    """
    if not condition:
        raise CheckError(message)


class NotApplicable(Exception):  # noqa: N818 - a reason to skip, not an error
    """Raised, with the reason, by a check that does not apply to an example.

    >>> raise NotApplicable("it has no parameters")
    Traceback (most recent call last):
    minidl.testing.kit.NotApplicable: it has no parameters
    """


@dataclass(frozen=True)
class Outcome:
    """A line of a :class:`Report`: ``status`` is "passed", "failed" or "skipped", with the ``reason`` unless passed."""

    check: str
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """The outcomes of all checks of one plugin.

    >>> print(Report("op", "mine", (Outcome("gradient", "passed"), Outcome("dtype", "skipped", "known"))))
    op 'mine': 1 of 2 checks passed
      gradient  passed
      dtype     skipped  known
    """

    kind: str
    name: str
    outcomes: tuple[Outcome, ...]

    def count(self, status: str) -> int:
        """The number of checks with this status."""
        return sum(outcome.status == status for outcome in self.outcomes)

    def __str__(self) -> str:
        width = max(len(outcome.check) for outcome in self.outcomes)
        lines = [f"{self.kind} '{self.name}': {self.count('passed')} of {len(self.outcomes)} checks passed"]
        for outcome in self.outcomes:
            lines.append(f"  {outcome.check:<{width}}  {outcome.status}  {outcome.reason}".rstrip())
        return "\n".join(lines)


class Subject(ABC):
    """A plugin to be checked; a subclass for each kind defines the checks.

    >>> from minidl.testing import subject
    >>> print(subject("backend", "numpy").descriptions()["round_trip"])
    Arrays of every dtype and shape survive a round trip unchanged, and an array of the backend is not copied.
    """

    kind: ClassVar[str]

    def __init__(self, name: str, examples: Iterable[Any]) -> None:
        self.name, self.examples = name, list(examples)
        if not self.examples:
            raise MinidlError(f"{self.kind} '{name}': at least one example is needed to check it on")

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """The names of all checks of this kind, and what each requires."""
        methods = {attribute: getattr(cls, attribute) for attribute in dir(cls) if attribute.startswith(PREFIX)}
        return {
            name.removeprefix(PREFIX): (method.__doc__ or "").strip().splitlines()[0]
            for name, method in methods.items()
        }

    def checks(self) -> dict[str, Callable[[], None]]:
        """All checks by name, as functions; see :meth:`run_check`."""
        return {name: partial(self.run_check, name) for name in self.descriptions()}

    def run_check(self, name: str) -> None:
        """Run one check on all examples.

        Raises a :class:`MinidlError`, usually :class:`CheckError`, with the plugin and the example, and
        :class:`NotApplicable` if the check applies to none of them.
        """
        reasons = []
        for example in self.examples:
            label = f" ({example})" if str(example) else ""
            try:
                getattr(self, PREFIX + name)(example)
            except NotApplicable as reason:
                reasons.append(reason)
            except CheckError as error:
                error.locate(f"{self.kind} '{self.name}'{label}")
                raise
            except Exception as error:  # a plugin may raise anything
                message = str(error) if isinstance(error, MinidlError) else f"{type(error).__name__}: {error}"
                raise CheckError(message, f"{self.kind} '{self.name}'{label}") from error
        if len(reasons) == len(self.examples):
            raise reasons[0]

    def gradients(self) -> list[GradcheckResult]:
        """The results of all gradient checks, empty for kinds without gradients.

        Raises :class:`minidl.testing.GradientError`.
        """
        return []

    def run(self, skip: Mapping[str, str] | None = None) -> Report:
        """Run all checks except those in ``skip``, a dictionary from check names to reasons.

        Raises :class:`CheckError` with the report if there are failures.
        """
        skip = skip or {}
        for name, reason in skip.items():
            if name not in self.descriptions() or not reason:
                known = ", ".join(self.descriptions())
                why = "is skipped without a reason" if name in self.descriptions() else "does not exist"
                raise MinidlError(f"the check '{name}' {why}.{suggestion(name, self.descriptions())} Checks: {known}.")
        outcomes = [
            Outcome(name, "skipped", skip[name]) if name in skip else _outcome(name, check)
            for name, check in self.checks().items()
        ]
        report = Report(self.kind, self.name, tuple(outcomes))
        if report.count("failed"):
            error = CheckError(str(report))
            error.report = report
            raise error
        return report


def _outcome(name: str, check: Callable[[], None]) -> Outcome:
    try:
        check()
    except NotApplicable as reason:
        return Outcome(name, "skipped", str(reason))
    except CheckError as error:
        return Outcome(name, "failed", str(error))
    return Outcome(name, "passed")


def parametrize_with_checks(subjects: Iterable[Subject]) -> Any:
    """A pytest decorator: run the test function once for every check of every subject, as its argument ``check``.

    >>> from minidl.testing import subject
    >>> @parametrize_with_checks([subject("op", "exp"), subject("layer", "dense")])
    ... def test_my_plugins(check):
    ...     check()
    >>> [case.id for case in test_my_plugins.pytestmark[0].args[1]][:2]
    ['op-exp-accumulation', 'op-exp-backends']
    """
    import pytest

    made = [
        pytest.param(partial(_under_pytest, check), id=f"{subject.kind}-{subject.name}-{name}")
        for subject in subjects
        for name, check in subject.checks().items()
    ]
    return pytest.mark.parametrize("check", made)


def _under_pytest(check: Callable[[], None]) -> None:
    import pytest

    try:
        check()
    except NotApplicable as reason:
        pytest.skip(str(reason))
