"""The figures that recur in the notebooks, each in one call: curves, points, bars, ranges, numbers in cells, images.

Every function returns a :class:`minidl.viz.Picture`, which is displayed at the end of a cell. With ``axes=`` it draws
into one panel of :func:`panels` instead, and returns the figure of that. Colours are those of
:mod:`minidl.course.style`, by their meaning: ``colours=["data", "model"]``. A notebook calls ``style.use()`` once, in
its first cell.

>>> import numpy as np
>>> x = np.linspace(0, 1, 20)
>>> figure = curves(x, {"wanted": x**2, "model": x}, colours=["data", "model"], xlabel="x", ylabel="y")
>>> figure.axes[0].get_xlabel(), [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
('x', ['wanted', 'model'])
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..viz import PAGE, Picture, images
from . import style

HEIGHT = 2.8
"""The usual height of a figure, in inches."""
CELL = 0.55, 0.34
"""Width and height of a cell with a number, in inches."""

__all__ = [
    "panels",
    "curves",
    "landscape",
    "points",
    "whiskers",
    "bars",
    "spread",
    "compared",
    "ranges",
    "timeline",
    "numbers",
    "positions",
    "heat",
    "images",
]


def panels(count: int, height: float = HEIGHT, share: str = "none", widths: Sequence[float] = ()) -> list[Axes]:
    """``count`` empty panels side by side on a figure as wide as a page, ``panels(...)[0].figure``.

    ``share`` is "x", "y", "both" or "none": the axes that all panels have in common. ``widths`` are relative.

    >>> left, right = panels(2, share="y")
    >>> curves(range(3), {"loss": [3, 2, 1]}, axes=left) is left.figure
    True
    """
    figure = Picture(PAGE, height)
    ratios = list(widths) or [1.0] * count
    common = share in ("x", "both"), share in ("y", "both")
    return list(figure.subplots(1, count, squeeze=False, width_ratios=ratios, sharex=common[0], sharey=common[1])[0])


def curves(
    x: Any,
    ys: Mapping[str, Any],
    colours: Sequence[str] = (),
    marks: str = "-",
    log: str = "",
    axes: Axes | None = None,
    **labels: Any,
) -> Figure:
    """One curve for each entry of ``ys``, over ``x``, with a legend if there is more than one.

    ``colours`` are meanings or matplotlib's names, ``marks`` is matplotlib's format ("-" or "o-"), ``log`` names the
    logarithmic axes ("x", "y" or "xy"). ``labels`` go to ``axes.set``: ``xlabel``, ``ylabel``, ``title``, ``ylim``.

    >>> figure = curves([1, 2, 4], {"training": [3, 2, 1]}, ["training"], marks="o-", log="y", ylabel="loss")
    >>> figure.axes[0].get_yscale(), figure.axes[0].get_legend()
    ('log', None)
    """
    axes = axes or panels(1)[0]
    for number, (name, y) in enumerate(ys.items()):
        axes.plot(x, y, marks, label=name, color=_colour(colours, number))
    return _finished(axes, labels, log, legend=len(ys) > 1)


def landscape(
    loss: Callable[..., Any],
    paths: Mapping[str, Any],
    box: tuple[float, float, float, float],
    colours: Sequence[str] = (),
    axes: Axes | None = None,
    **labels: Any,
) -> Figure:
    """Contour lines of ``loss(a, b)``, and paths (steps, 2) over it; each starts at a cross.

    ``box`` is the left, right, lower and upper limit. There is a legend if there is more than one path.

    >>> path = np.array([[1.0, 1.0], [0.5, 0.5]])
    >>> figure = landscape(lambda a, b: a**2 + b**2, {"descent": path}, (-1, 2, -1, 2), xlabel="a", ylabel="b")
    >>> figure.axes[0].get_xlabel(), len(figure.axes[0].lines)
    ('a', 2)
    """
    axes = axes or panels(1)[0]
    a, b = np.meshgrid(np.linspace(*box[:2], 200), np.linspace(*box[2:], 200))
    heights = np.log(loss(a, b) + 0.01)  # the lines are close together at the lowest point, too
    axes.contour(a, b, heights, levels=12, colors=style.REFERENCE, linewidths=0.5, linestyles="solid")
    for number, (name, path) in enumerate(paths.items()):
        axes.plot(*np.transpose(path), ".-", color=_colour(colours, number), lw=1, label=name)
        axes.plot(*path[0], "x", color=style.DATA, ms=6)
    return _finished(axes, {"xlim": box[:2], "ylim": box[2:], **labels}, legend=len(paths) > 1)


def points(
    x: Any,
    y: Any,
    line: bool = False,
    colours: Sequence[str] = ("data", "model"),
    axes: Axes | None = None,
    **labels: Any,
) -> Figure:
    """Points in the first of ``colours``; with ``line=True`` also the line that fits them best (least squares).

    >>> figure = points([0, 1, 2], [1, 3, 5], line=True, xlabel="x")
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['y = 2 x + 1']
    """
    axes = axes or panels(1)[0]
    axes.scatter(x, y, s=9, color=_colour(colours, 0))
    if line:
        slope, start = np.polyfit(np.ravel(x), np.ravel(y), 1)
        ends = np.array([np.min(x), np.max(x)])
        text = f"y = {slope:.3g} x {'-' if start < 0 else '+'} {abs(start):.3g}"
        axes.plot(ends, slope * ends + start, color=_colour(colours, 1), label=text)
    return _finished(axes, labels, legend=line)


def whiskers(
    x: Any,
    ys: Mapping[str, Any],
    errors: Mapping[str, Any],
    colours: Sequence[str] = (),
    axes: Axes | None = None,
    **labels: Any,
) -> Figure:
    """Points over ``x`` with whiskers of the length ``errors[name]`` up and down, for each entry of ``ys``.

    >>> figure = whiskers(range(2), {"mean": [4.0, 5.0]}, {"mean": [1.0, 2.0]}, ["model"], ylabel="years")
    >>> len(figure.axes[0].containers), figure.axes[0].get_ylabel()
    (1, 'years')
    """
    axes = axes or panels(1)[0]
    for number, (name, y) in enumerate(ys.items()):
        axes.errorbar(x, y, errors[name], fmt="o", capsize=2, lw=1.2, label=name, color=_colour(colours, number))
    return _finished(axes, labels, legend=len(ys) > 1)


def bars(
    values: Mapping[str, float],
    colours: Sequence[str] = ("model",),
    form: str = "{:.3g}",
    axes: Axes | None = None,
    **labels: Any,
) -> Figure:
    """Horizontal bars from top to bottom, each with its name and its value in ``form``.

    ``colours`` is one for all bars or one for each.

    >>> figure = bars({"guess": 0.5, "network": 0.9}, ["reference", "model"], "{:.0%}", xlabel="accuracy")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['50%', '90%']
    """
    axes = axes or panels(1, height=0.6 + 0.32 * len(values))[0]
    each = _each(colours, len(values))
    drawn = axes.barh(list(values), list(values.values()), color=[style.colour(one) for one in each])
    axes.bar_label(drawn, [form.format(value) for value in values.values()], padding=3, fontsize=style.SMALLEST)
    axes.invert_yaxis()
    signs = min(values.values(), default=0) < 0
    axes.margins(x=0.25 if signs else 0.12)  # room for the labels on both sides
    if signs:
        axes.axvline(0, color=style.DATA, lw=0.8)
    return _finished(axes, labels)


def spread(
    values: Mapping[str, Any], colours: Sequence[str] = ("model",), axes: Axes | None = None, **labels: Any
) -> Figure:
    """A row of points for each entry of ``values``, from top to bottom, such as one for each seed; a bar at their mean.

    ``colours`` is one for all rows or one for each.

    >>> figure = spread({"plain": [3.0, 4.0], "dropout": [2.0, 4.0]}, ["validation"], xlabel="years off")
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()], len(figure.axes[0].collections)
    (['plain', 'dropout'], 2)
    """
    axes = axes or panels(1, height=0.7 + 0.32 * len(values))[0]
    each = _each(colours, len(values))
    for row, (points, one) in enumerate(zip(values.values(), each, strict=True)):
        axes.scatter(points, [row] * len(points), s=16, color=style.colour(one))
        axes.plot([np.mean(points)] * 2, [row - 0.3, row + 0.3], color=style.DATA)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.5, -0.5)
    return _finished(axes, labels)


def compared(
    columns: Mapping[str, Mapping[str, float]], colours: Sequence[str] = ("model",), form: str = "{:.3g}", log: str = ""
) -> Figure:
    """Panels of :func:`bars` side by side, with the same names in each: a table of bars.

    ``log`` lists the titles of panels with a logarithmic axis, separated by commas.

    >>> figure = compared({"bytes": {"a": 2, "b": 3}, "time": {"a": 1, "b": 9}}, log="time")
    >>> [axes.get_title() for axes in figure.axes], figure.axes[1].get_xscale()
    (['bytes', 'time'], 'log')
    """
    names = list(next(iter(columns.values())))
    parts = panels(len(columns), height=0.8 + 0.3 * len(names), share="y")
    for axes, (title, values) in zip(parts, columns.items(), strict=True):
        bars({name: values[name] for name in names}, colours, form, axes=axes, title=title)
        axes.set(xscale="log" if title in log.split(",") else "linear")
        axes.margins(x=0.5)
    parts[0].set_ylim(len(names) - 0.5, -0.5)  # each call of bars has inverted the common axis
    return figure_of(parts[0])


def ranges(
    values: Mapping[str, Sequence[float]], colours: Sequence[str] = ("model",), axes: Axes | None = None, **labels: Any
) -> Figure:
    """The median of each list of ratios as a point, on a line over the middle half of them; a dotted line is at 1.

    >>> figure = ranges({"new": [0.5, 0.6, 0.7, 0.6], "newer": [0.2, 0.1, 0.2, 9.0]}, xlabel="relative time")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.60', '0.20']
    """
    axes = axes or panels(1, height=0.7 + 0.3 * len(values))[0]
    each = _each(colours, len(values))
    for row, (name, several) in enumerate(values.items()):
        colour = _colour(each, row)
        low, middle, high = np.quantile(several, (0.25, 0.5, 0.75))
        axes.plot([low, high], [name, name], color=colour, lw=1.2)
        axes.plot(middle, name, "o", color=colour, ms=5)
        axes.annotate(
            f"{middle:.2f}", (middle, row), (0, 4), textcoords="offset points", ha="center", fontsize=style.SMALLEST
        )
    axes.axvline(1, color=style.REFERENCE, ls=":", lw=1)
    axes.set_ylim(len(values) - 0.5, -0.8)
    return _finished(axes, labels)


def timeline(
    rows: Mapping[str, tuple[Any, Any]], colours: Sequence[str] = ("model",), axes: Axes | None = None, **labels: Any
) -> Figure:
    """Who is busy when: for each row a bar from every start to its end.

    >>> figure = timeline({"Python": ([0, 1], [1, 2]), "GPU": ([1, 2], [1.5, 2.5])}, xlabel="us")
    >>> len(figure.axes[0].patches)
    4
    """
    axes = axes or panels(1, height=0.8 + 0.3 * len(rows))[0]
    for row, (name, (starts, ends)) in enumerate(rows.items()):
        widths = np.subtract(ends, starts)
        colour = _colour(colours, row)
        axes.barh([name] * len(widths), widths, left=starts, color=colour, edgecolor="white", height=0.6)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    return _finished(axes, labels)


def numbers(matrices: Mapping[str, Any], form: str = "{:.3g}", limit: float | None = None) -> Figure:
    """Matrices side by side, each with its title and its numbers in the cells: blue below 0, red above.

    ``limit`` is the value of the strongest colour, by default the largest of all matrices.

    >>> figure = numbers({"dy": [[1.0, -2.0]], "db": [[3.0]]}, form="{:.1f}")
    >>> [text.get_text() for text in figure.axes[0].texts], figure.axes[1].get_title()
    (['1.0', '-2.0'], 'db')
    """
    planes = {title: np.atleast_2d(np.asarray(matrix, np.float64)) for title, matrix in matrices.items()}
    strongest = limit or max(float(np.abs(plane).max(initial=0)) for plane in planes.values()) or 1.0
    rows = max(plane.shape[0] for plane in planes.values())
    wide = sum(plane.shape[1] for plane in planes.values()) * CELL[0] + 0.4 * len(planes)
    scale = min(1.0, PAGE / wide)  # the cells of wide matrices are smaller
    parts = panels(len(planes), rows * CELL[1] + 0.5, widths=[plane.shape[1] for plane in planes.values()])
    for axes, (title, plane) in zip(parts, planes.items(), strict=True):
        axes.imshow(plane, cmap="RdBu_r", vmin=-2 * strongest, vmax=2 * strongest, aspect="auto")  # pale: text on it
        for (i, j), value in np.ndenumerate(plane):
            axes.text(j, i, form.format(value), ha="center", va="center", fontsize=style.SMALLEST)
        axes.set(xticks=[], yticks=[], title=title, ylim=(rows - 0.5, -0.5))  # cells of all matrices are equally high
        axes.spines[:].set_visible(False)
    figure = figure_of(parts[0])
    figure.set_size_inches(max(wide * scale, 2.0), rows * CELL[1] + 0.5)
    return figure


def positions(size: int, kernel: int, stride: int, padding: int, axes: Axes | None = None) -> Figure:
    """A row of ``size`` pixels with its padding, dotted, and below it every position of a kernel, one a line.

    >>> figure = positions(7, kernel=3, stride=2, padding=1)
    >>> figure.axes[0].get_title()
    'stride 2, padding 1:\\n4 outputs'
    """
    axes = axes or panels(1)[0]
    starts = range(-padding, size + padding - kernel + 1, stride)
    for pixel in range(-padding, size + padding):
        inside = 0 <= pixel < size
        face, line = ("#d9d9d9", "-") if inside else ("white", ":")
        axes.add_patch(Rectangle((pixel, 0), 1, 1, fc=face, ec=style.DATA, ls=line, lw=1))
    for row, start in enumerate(starts, 1):
        axes.plot([start + 0.1, start + kernel - 0.1], [-0.8 * row] * 2, color=style.MODEL, lw=4, solid_capstyle="butt")
    axes.axis("off")
    below = -0.8 * max(size, len(starts)) - 0.6
    title = f"stride {stride}, padding {padding}:\n{len(starts)} outputs"
    return _finished(axes, {"xlim": (-padding - 0.2, size + padding + 0.2), "ylim": (below, 1.2), "title": title})


def heat(
    pictures: Sequence[Any],
    maps: Sequence[Any],
    box: tuple[float, float, float, float],
    titles: Sequence[str] = (),
    columns: int = 4,
) -> Picture:
    """Images (H, W, 1) with values in [0, 1], each with its map (h, w) over it: yellow where the map is largest.

    ``box`` is what a map covers: its left, right, lower and upper edge, in pixels of the image.

    >>> len(heat(np.ones((2, 8, 8, 1)), np.ones((2, 3, 3)), (1, 6, 6, 1)).axes)
    2
    """
    picture = images(pictures, titles, columns, limits=(0, 1))
    for axes, image, plane in zip(picture.axes, pictures, maps, strict=True):
        axes.imshow(plane, cmap="inferno", alpha=0.5, extent=box, interpolation="bilinear")
        axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    return picture


def _each(colours: Sequence[str], count: int) -> Sequence[str]:
    """A colour for each of ``count`` rows: one is for all of them."""
    return colours if len(colours) > 1 else list(colours) * count


def _colour(colours: Sequence[str], number: int) -> str:
    """The colour of a curve: the one that is asked for, else the next of those without a meaning."""
    return style.colour(colours[number]) if number < len(colours) else style.OTHERS[number % len(style.OTHERS)]


def _finished(axes: Axes, labels: Mapping[str, Any], log: str = "", legend: bool = False) -> Figure:
    for axis in log:
        axes.set(**{f"{axis}scale": "log"})
    axes.set(**labels)
    if legend:
        axes.legend()
    return figure_of(axes)


def figure_of(axes: Axes) -> Figure:
    """The figure that axes belong to."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure
