"""One style for all figures of the course: colours with a meaning, and labels that stay readable on a page.

The colours are the eight of Okabe and Ito, "Color Universal Design" (2008), which people with any kind of colour vision
tell apart. A figure of at most ``viz.PAGE`` inches is not made smaller on a page, so its labels keep their size.

>>> from minidl.course import style
>>> with matplotlib.rc_context():  # a notebook calls it once, in its first cell
...     style.use()
...     matplotlib.rcParams["axes.labelsize"]
10.0
"""

from collections.abc import Mapping

import matplotlib
from cycler import cycler

from ..viz import PAGE

SMALLEST = 9.0
"""The size of the smallest label, in points."""

BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
YELLOW, BLUE, VERMILION, PURPLE = "#f0e442", "#0072b2", "#d55e00", "#cc79a7"

DATA = BLACK
"""What is given: data, targets, the function to learn."""
MODEL = BLUE
"""What a model makes of it: predictions, parameters, the answer of the course's own code."""
GRADIENT = PURPLE
"""Gradients and slopes."""
TRAINING, VALIDATION = SKY, GREEN
"""The loss, or another measure, on the training part and on the validation part."""
REFERENCE = "#767676"
"""What to compare with: a baseline, a bound, minidl beside one's own. A grey beside the eight colours."""
MISTAKE = VERMILION
"""What to look at: a mistake, the worst case, the one that is different."""

MEANINGS: Mapping[str, str] = {
    "data": DATA,
    "model": MODEL,
    "gradient": GRADIENT,
    "training": TRAINING,
    "validation": VALIDATION,
    "reference": REFERENCE,
    "mistake": MISTAKE,
}
"""The colour of each meaning."""
OTHERS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK)
"""The order of colours for curves without a meaning of their own, such as five learning rates; yellow is too light."""


def colour(meaning: str) -> str:
    """The colour of a meaning, one of :data:`MEANINGS`; any other text is matplotlib's name of a colour.

    >>> colour("model"), colour("black")
    ('#0072b2', 'black')
    """
    return MEANINGS.get(meaning, meaning)


def use() -> None:
    """Set the style for all figures that follow, in ``matplotlib.rcParams``."""
    matplotlib.rcParams.update(
        {
            "figure.figsize": (PAGE, 2.8),
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "font.size": 10.0,
            "axes.labelsize": 10.0,
            "axes.titlesize": 10.0,
            "xtick.labelsize": SMALLEST,
            "ytick.labelsize": SMALLEST,
            "legend.fontsize": SMALLEST,
            "legend.frameon": False,
            "axes.prop_cycle": cycler(color=list(OTHERS)),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "lines.linewidth": 1.8,
            "lines.markersize": 4.0,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )
