"""What the conformance kit says of several versions of a plugin, in one table.

>>> from minidl.testing import check_op
>>> from minidl import ops
>>> said = verdicts(check_op, ops.Exp, [[0.5, -1.0]])
>>> said["gradient"], len(said)
(('passed', ''), 14)
"""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ..testing.kit import CheckError
from . import plots, style

Verdicts = Mapping[str, tuple[str, str]]
"""For each check its status, "passed", "failed" or "skipped", and the reason."""

STATES = ("failed", "skipped", "passed")
COLOURS = (style.MISTAKE, "white", "#cfe3f0")
MARKS = ("x", "-", "")


def verdicts(check: Callable[..., Any], *arguments: Any, **options: Any) -> Verdicts:
    """The outcome of every check of the kit, whether or not the plugin passes them all."""
    try:
        report = check(*arguments, **options)
    except CheckError as error:
        if error.report is None:  # not all checks were run
            raise
        report = error.report
    return {outcome.check: (outcome.status, outcome.reason) for outcome in report.outcomes}


def compared(versions: Mapping[str, Verdicts]) -> Figure:
    """A row for each version and a column for each check: pale if passed, "x" if failed, "-" if skipped.

    >>> passed, failed = {"dtype": ("passed", "")}, {"dtype": ("failed", "it is float64")}
    >>> axes = compared({"right": passed, "wrong": failed}).axes[0]
    >>> axes.get_title(), [text.get_text() for text in axes.texts]
    ('right: 1 of 1 checks passed', ['', 'x'])
    """
    checks = list(next(iter(versions.values())))
    found = [[STATES.index(said[check][0]) for check in checks] for said in versions.values()]
    [axes] = plots.panels(1, height=1.5 + 0.27 * len(versions))
    axes.pcolormesh(found, cmap=ListedColormap(COLOURS), vmin=0, vmax=2, edgecolors=style.REFERENCE, linewidth=0.5)
    for row, states in enumerate(found):
        for column, state in enumerate(states):
            axes.text(column + 0.5, row + 0.5, MARKS[state], ha="center", va="center")
    names = [check.replace("_", " ") for check in checks]
    axes.set_xticks([column + 0.5 for column in range(len(checks))], names, rotation=40, ha="right")
    axes.set_yticks([row + 0.5 for row in range(len(found))], list(versions))
    axes.tick_params(length=0)
    first = next(iter(versions))
    axes.set_title(f"{first}: {found[0].count(STATES.index('passed'))} of {len(checks)} checks passed")
    axes.invert_yaxis()
    return plots.figure_of(axes)
