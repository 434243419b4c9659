"""Figures of the inside of a network: a computation graph, its backward pass step by step, images and kernels.

Every function returns a :class:`Picture`, a matplotlib figure that is displayed at the end of a notebook cell and can
be saved with ``savefig``. It does not use pyplot's global state.
"""

import io
import itertools
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from .errors import GraphError
from .files import atomic_write
from .op import Op
from .tensor import Tensor

SIGNS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "MatMul": "@", "Neg": "-", "Pow": "**"}
"""Ops shown as Python operators; the others are shown by name."""

LEAF, CONSTANT, RESULT = "#d6e6f7", "#eeeeee", "#ffffff"
FLOW = "#c81e3a"
BOX_WIDTH, BOX_HEIGHT = 0.66, 0.62
CELL = 1.62, 1.06
"""The width of a column and the height of a row of a graph, in inches."""
PAGE = 6.5
"""The width of the text of a page, in inches: a wider row of images would get smaller titles there."""
LONGEST = 15
"""The maximum number of characters in a box."""


class Picture(Figure):
    """A figure that is displayed in a notebook.

    >>> Picture(4, 3)._repr_png_()[1:4]
    b'PNG'
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")

    def savefig(self, fname: Any, **options: Any) -> None:
        """Like matplotlib's, but atomic: the file is written completely or not at all.

        The format is ``format=``, or else given by the suffix; a name without a suffix gets the default format's,
        ``rcParams["savefig.format"]``. Raises ``FileNotFoundError`` if the folder does not exist.
        """
        if not isinstance(fname, str | os.PathLike):
            super().savefig(fname, **options)
            return
        path = os.fspath(fname)
        form = options.pop("format", None) or os.path.splitext(path)[1][1:]  # noqa: PTH122 - as matplotlib does
        if not form:
            form = self.canvas.get_default_filetype()
            path = f"{path.rstrip('.')}.{form}"
        with atomic_write(path) as file:
            super().savefig(file, format=form, **options)

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png", dpi=90)
        return png.getvalue()


def images(
    pictures: Sequence[Any] | NDArray[Any],
    titles: Sequence[str] = (),
    columns: int = 6,
    size: float = 1.6,
    signed: bool = False,
    limits: tuple[float, float] | None = None,
) -> Picture:
    """Draw images (H, W) or (H, W, 1) side by side, each ``size`` inches wide, but a row at most :data:`PAGE`.

    Black is the smallest value of each image and white its largest; ``limits`` sets both for all images.
    ``signed`` is for kernels and gradients: blue below 0, white at 0, red above.

    >>> len(images(np.ones((3, 8, 8)), titles=["a", "b", "c"]).axes)
    3
    """
    rows = math.ceil(len(pictures) / columns)
    size = min(size, PAGE / min(columns, len(pictures)))
    picture = Picture(size * min(columns, len(pictures)), (size + 0.25 * bool(titles)) * rows)
    for number, pixels in enumerate(pictures):
        plane = np.asarray(pixels, np.float64).reshape(np.shape(pixels)[:2])
        largest = float(np.abs(plane).max()) or 1.0
        low, high = limits or ((-largest, largest) if signed else (float(plane.min()), float(plane.max())))
        axes = picture.add_subplot(rows, min(columns, len(pictures)), number + 1)
        axes.imshow(plane, cmap="RdBu_r" if signed else "gray", vmin=low, vmax=high, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        if number < len(titles):
            axes.set_title(titles[number], fontsize=9)
    return picture


@dataclass(frozen=True)
class Step:
    """A step of the backward pass: the tensor whose gradient is passed on, what each input gets, and the sums so far.

    :class:`Graph` makes them.
    """

    tensor: Tensor | None
    passed: list[tuple[Tensor, Any]]
    gradients: dict[Tensor, Any]


class Graph:
    """The graph of a tensor, before ``backward()`` frees it.

    ``names`` labels tensors in the figure. ``steps`` are the steps of the backward pass, in the order of
    ``backward()``; they are computed here, so ``backward()`` can still be called on the tensor. The first is the seed.

    >>> from minidl import tensor
    >>> x = tensor(3.0, requires_grad=True)
    >>> graph = Graph(x * x, {"x": x})
    >>> [float(step.gradients.get(x, 0)) for step in graph.steps]
    [0.0, 6.0]
    >>> graph.draw().get_size_inches()[0] > 2
    np.True_
    """

    def __init__(self, output: Tensor, names: Mapping[str, Tensor] | None = None) -> None:
        if output.op is None:
            raise GraphError("no graph to draw: the tensor was not computed from one with requires_grad=True")
        self.output = output
        self.names = {tensor: name for name, tensor in (names or {}).items()}
        self.tensors = _all_tensors(output)
        self.inputs = {tensor: _inputs(tensor) for tensor in self.tensors}
        self.steps = list(_backward(output, self.tensors))
        self.places, self.bends = _layout(self.tensors)

    def draw(self, step: int | None = None, axes: Axes | None = None) -> Figure:
        """Draw the graph with all values, and with the gradients known after ``step`` (by default all).

        The gradients passed in that step are red, and written at the arrows.
        """
        ys = [place[1] for place in self.places.values()] + [y for bend in self.bends.values() for _, y in bend]
        columns, rows = max(place[0] for place in self.places.values()) + 1, max(ys) - min(ys) + 1
        if axes is None:
            axes = Picture(columns * CELL[0], rows * CELL[1]).add_subplot()
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(max(ys) + 0.5, min(ys) - 0.5))
        axes.axis("off")
        now = self.steps[-1 if step is None else step]
        for tensor in self.tensors:
            for number, x in enumerate(self.inputs[tensor]):
                passed = [dx for to, dx in now.passed if to is x] if step is not None and tensor is now.tensor else []
                self._arrow(axes, x, tensor, number, passed)
        for tensor in self.tensors:
            self._box(
                axes, tensor, now.gradients.get(tensor), step is not None and tensor is (now.tensor or self.output)
            )
        figure = axes.get_figure()
        assert isinstance(figure, Figure)
        return figure

    def draw_backward(self, columns: int = 2) -> Picture:
        """Draw every step of the backward pass as a separate graph, row by row."""
        size = self.draw().get_size_inches()
        rows = math.ceil(len(self.steps) / columns)
        picture = Picture(columns * size[0], rows * (size[1] + 0.3))
        for number, step in enumerate(self.steps):
            axes = picture.add_subplot(rows, columns, number + 1)
            self.draw(number, axes)
            done = f"back through {_sign(step.tensor.op)}" if step.tensor is not None and step.tensor.op else "the seed"
            axes.set_title(f"{number}. {done}", fontsize=9, loc="left", color=FLOW)
        return picture

    def _box(self, axes: Axes, tensor: Tensor, gradient: Any, active: bool) -> None:
        x, y = self.places[tensor]
        corner = x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2
        colour = RESULT if tensor.op is not None else LEAF if tensor.requires_grad else CONSTANT
        edge = FLOW if active else "#555555"
        style = "round,pad=0.02,rounding_size=0.08"
        axes.add_patch(
            FancyBboxPatch(corner, BOX_WIDTH, BOX_HEIGHT, style, fc=colour, ec=edge, lw=2 if active else 1, zorder=2)
        )
        name, sign = self.names.get(tensor) or tensor.name, _sign(tensor.op) if tensor.op is not None else ""
        title = " = ".join(filter(None, (name, sign))) or "constant"
        words = [name, sign] if name and len(title) > LONGEST else [title]
        lines = [(text, "black") for text in (*words, _shown(tensor.numpy()))]
        if gradient is not None:
            lines.append((f"grad {_shown(tensor.backend.to_numpy(gradient))}", FLOW))
        for number, (text, ink) in enumerate(lines):
            level = y + 0.57 / max(len(lines), 3) * (number - (len(lines) - 1) / 2)
            size, weight = 8.5 * min(1, LONGEST / len(text)), "bold" if name and number == 0 else "normal"
            axes.text(x, level, text, ha="center", va="center", fontsize=size, color=ink, weight=weight, zorder=3)

    def _arrow(self, axes: Axes, x: Tensor, tensor: Tensor, number: int, passed: list[Any]) -> None:
        """Draw the arrow from an input to a tensor computed from it, or back, with the gradients passed along it."""
        start, end = self.places[x], self.places[tensor]
        count = len(self.inputs[tensor])
        into = end[0] - BOX_WIDTH / 2 - 0.02, end[1] + 0.16 * (number - (count - 1) / 2)
        points = [(start[0] + BOX_WIDTH / 2 + 0.02, start[1]), *self.bends.get((x, tensor, number), []), into]
        vertices, codes = [points[0]], [Path.MOVETO]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            middle = (x0 + x1) / 2
            vertices += [(middle, y0), (middle, y1), (x1, y1)]
            codes += [Path.CURVE4] * 3
        path = Path(vertices[::-1] if passed else vertices, codes)
        axes.add_patch(
            FancyArrowPatch(
                path=path,
                arrowstyle="-|>",
                mutation_scale=9,
                color=FLOW if passed else "#888888",
                lw=1.6 if passed else 1,
                zorder=1,
            )
        )
        if passed:
            text = _shown(tensor.backend.to_numpy(passed[min(number, len(passed) - 1)]))
            place = (points[-2][0] + into[0]) / 2, (points[-2][1] + into[1]) / 2
            back = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85}
            axes.text(*place, text, ha="center", va="center", fontsize=7.5, color=FLOW, bbox=back, zorder=4)


def _inputs(tensor: Tensor) -> tuple[Tensor, ...]:
    return () if tensor.op is None else tensor.op.inputs or ()


def _all_tensors(output: Tensor) -> list[Tensor]:
    """The tensor and all that it was computed from, each before its inputs, in the order of the backward pass."""
    found, unexplored = {output}, [output]
    while unexplored:
        tensor = unexplored.pop()
        if tensor.op is not None and tensor.op.inputs is None:
            raise GraphError("the graph was freed by backward(): draw it before calling backward()", tensor.op.name)
        new = set(_inputs(tensor)) - found
        found |= new
        unexplored += new
    made = sorted((t for t in found if t.op is not None), key=lambda t: t.op.number if t.op else 0, reverse=True)
    leaves = dict.fromkeys(x for tensor in reversed(made) for x in _inputs(tensor) if x.op is None)
    return [*made, *leaves]


def _backward(output: Tensor, tensors: Sequence[Tensor]) -> Iterator[Step]:
    """The steps of :meth:`minidl.Tensor.backward`, one op at a time, without freeing anything."""
    gradients: dict[Tensor, Any] = {output: output.backend.xp.ones_like(output.data)}
    yield Step(None, [], dict(gradients))
    for tensor in tensors:
        if tensor.op is None or tensor not in gradients:
            continue
        found = tensor.op.gradients(gradients[tensor])
        inputs = _inputs(tensor)
        passed = [(x, dx) for x, dx in zip(inputs, found, strict=True) if dx is not None and x.requires_grad]
        for x, dx in passed:
            gradients[x] = gradients[x] + dx if x in gradients else dx
        yield Step(tensor, passed, dict(gradients))


Place = tuple[float, float]


def _layout(tensors: Sequence[Tensor]) -> tuple[dict[Tensor, Place], dict[tuple[Tensor, Tensor, int], list[Place]]]:
    """The place (column, row) of each tensor, and the bends of arrows that span more than one column.

    The column is the length of the longest path from a leaf. The barycentre method orders the rows of a column
    (Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures", 1981). An arrow
    that passes through a column takes up a row of it, like a box.
    """
    column: dict[Any, int] = {}
    for tensor in reversed(tensors):
        column[tensor] = 1 + max((column.get(x, 0) for x in _inputs(tensor)), default=-1)
    for leaf in (t for t in tensors if t.op is None):
        column[leaf] = min(column[t] for t in tensors if any(x is leaf for x in _inputs(t))) - 1
    neighbours: dict[Any, list[Any]] = defaultdict(list)
    chains: dict[tuple[Tensor, Tensor, int], list[Any]] = {}
    for tensor in tensors:
        for number, x in enumerate(_inputs(tensor)):
            between = [(x, tensor, number, c) for c in range(column[x] + 1, column[tensor])]
            column |= {bend: bend[3] for bend in between}
            chains[x, tensor, number] = between
            way = [x, *between, tensor]
            for one, other in itertools.pairwise(way):
                neighbours[one].append(other)
                neighbours[other].append(one)
    members = [[item for item in column if column[item] == c] for c in range(max(column.values()) + 1)]
    row: dict[Any, float] = {}
    for items in members:
        row |= {item: i - (len(items) - 1) / 2 for i, item in enumerate(items)}
    for _ in range(8):
        for sweep in (members, members[::-1]):
            for items in sweep:
                items.sort(key=lambda item: float(np.mean([row[other] for other in neighbours[item]])))
                row |= {item: i - (len(items) - 1) / 2 for i, item in enumerate(items)}
    places = {tensor: (float(column[tensor]), row[tensor]) for tensor in tensors}
    return places, {edge: [(float(bend[3]), row[bend]) for bend in chain] for edge, chain in chains.items()}


def _sign(op: Op) -> str:
    return SIGNS.get(op.name, op.name)


def _shown(array: NDArray[Any]) -> str:
    return f"{array.item():.4g}" if array.size == 1 else str(array.shape)
