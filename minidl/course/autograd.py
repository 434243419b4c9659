"""The exercises of ``03_autograd`` and ``04_gradients_of_arrays``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..op import unbroadcast as _unbroadcast
from ..tensor import Tensor
from .exercise import Exercise

Array = NDArray[Any]


class Node:
    """A number in a graph: the ``inputs`` it was computed from, and its ``slopes`` with respect to each of them."""

    def __init__(self, number: int, inputs: Sequence["Node"] = (), slopes: Sequence[float] = ()) -> None:
        self.number, self.inputs, self.slopes = number, tuple(inputs), tuple(slopes)

    def __repr__(self) -> str:
        return f"node {self.number}"


def _graph(*edges: Sequence[tuple[int, float]]) -> list[Node]:
    """Nodes numbered from 0; ``edges[i]`` are pairs (input, slope) of node i, with inputs below i."""
    nodes: list[Node] = []
    for number, inputs in enumerate(edges):
        nodes.append(Node(number, [nodes[i] for i, _ in inputs], [slope for _, slope in inputs]))
    return nodes


# In each of these graphs, every node is computed from the one before, so there is only one right order.
CHAIN = _graph((), [(0, 2.0)], [(1, 3.0)])
SKIP = _graph((), [(0, 2.0)], [(0, 5.0), (1, 3.0)])
LONG_FIRST = _graph((), [(0, 2.0)], [(1, 4.0)], [(2, 3.0), (0, 5.0)])
TWICE = _graph((), [(0, 2.0), (0, 4.0)])
LADDER = _graph((), [(0, 2.0)], [(0, 0.5), (1, 3.0)], [(2, -1.0), (1, 4.0)], [(3, 2.0), (0, 7.0), (2, 1.0)])
DOUBLINGS = _graph((), *([(i, 1.0), (i, 1.0)] for i in range(28)))
"""With this many paths, an answer that follows each of them takes too long; the notebook has a graph with even more."""


def _random_graph(rng: np.random.Generator) -> list[Node]:
    """Each node is computed from the one before and, now and then, from older ones."""
    size = int(rng.integers(2, 9))
    inputs = [[i - 1, *(int(j) for j in range(i) if rng.random() < 0.3)] for i in range(1, size)]
    return _graph((), *([(i, round(float(rng.normal()), 1)) for i in rng.permutation(found)] for found in inputs))


def topological_order(last: Any) -> list[Any]:
    """``last`` and all nodes that it was computed from, each after every node that was computed from it."""
    done: list[Any] = []
    unexplored = [(last, False)]
    while unexplored:
        node, left = unexplored.pop()
        if left:
            done.append(node)
        elif node not in done and (node, True) not in unexplored:
            unexplored += [(node, True), *((x, False) for x in node.inputs)]
    return done[::-1]


def _preorder(last: Any) -> list[Any]:
    """Each node as soon as it is visited, depth first."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if node not in found:
            found.append(node)
            for x in node.inputs:
                visit(x)

    visit(last)
    return found


def _by_distance(last: Any) -> list[Any]:
    """Each node as soon as it is visited, breadth first."""
    found = [last]
    for node in found:
        found += [x for x in dict.fromkeys(node.inputs) if x not in found]
    return found


def _once_per_path(last: Any) -> list[Any]:
    """The right order, but nodes that were visited before are visited again."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        for x in node.inputs:
            visit(x)
        if node not in found:
            found.append(node)

    visit(last)
    return found[::-1]


def _repeated(last: Any) -> list[Any]:
    """Each node once per path to it."""
    return [last, *(node for x in last.inputs for node in _repeated(x))]


check_topological_order = Exercise(
    topological_order,
    examples=[(nodes[-1],) for nodes in (CHAIN, TWICE, LONG_FIRST, SKIP, LADDER, DOUBLINGS)],
    draw=lambda rng: (_random_graph(rng)[-1],),
    mistakes={
        "it takes too long: each doubling doubles the paths, and a node is visited once for every path to it. Remember "
        "which nodes you have visited, and return at once if a node is one of them.": _once_per_path,
        "this is the order of the forward pass, the inputs first. Backward starts at the loss: reverse it.": (
            lambda last: topological_order(last)[::-1]
        ),
        "a node that is used twice appears twice: remember which nodes you have visited.": _repeated,
        "a node is listed as soon as it is visited, but a node computed from it may come later. List it only after all "
        "its inputs were visited, and reverse the list at the end.": _preorder,
        "the nearest nodes come first, but a short and a long path may lead to the same node: it must wait for the "
        "long one. List a node only after all its inputs were visited, and reverse the list at the end.": _by_distance,
        "the last node itself is missing: it is the first in the order.": lambda last: topological_order(last)[1:],
    },
    numbers=lambda order, last: [node.number for node in order],
    form="a list of nodes",
)


def gradients(order: Sequence[Any]) -> dict[Any, float]:
    """The derivative of ``order[0]`` with respect to every node, for nodes in topological order."""
    found = dict.fromkeys(order, 0.0)
    found[order[0]] = 1.0
    for node in order:
        for x, slope in zip(node.inputs, node.slopes, strict=True):
            found[x] += slope * found[node]
    return found


def _path_by_path(order: Sequence[Any]) -> dict[Any, float]:
    """The right gradients, but that of a node is computed again for every path to it."""

    def gradient(node: Any) -> Any:
        if node is order[0]:
            return 1.0
        uses = ((y, slope) for y in order for x, slope in zip(y.inputs, y.slopes, strict=True) if x is node)
        return sum(slope * gradient(y) for y, slope in uses)

    return {node: gradient(node) for node in order}


def _wrong_gradients(
    rule: Callable[[float, float, float], float], start: float = 1.0
) -> Callable[[Sequence[Any]], dict[Any, float]]:
    """Gradients by another rule, a function of the sum so far, the slope and the gradient of the output."""

    def wrong(order: Sequence[Any]) -> dict[Any, float]:
        found = dict.fromkeys(order, 0.0)
        found[order[0]] = start
        for node in order:
            for x, slope in zip(node.inputs, node.slopes, strict=True):
                found[x] = rule(found[x], slope, found[node])
        return found

    return wrong


check_gradients = Exercise(
    gradients,
    examples=[(nodes[::-1],) for nodes in (CHAIN, TWICE, SKIP, LADDER, DOUBLINGS)],
    draw=lambda rng: (_random_graph(rng)[::-1],),
    mistakes={
        "it takes too long: each doubling doubles the paths, and the gradient of a node is computed again for every "
        "path to it. Go through the order once: when a node comes, its own gradient is complete.": _path_by_path,
        "everything is 0: the derivative of the first node of the order with respect to itself is 1.": (
            _wrong_gradients(lambda so_far, slope, dy: so_far + slope * dy, start=0.0)
        ),
        "the gradient that arrived at the node is not passed on: multiply each slope by it (the chain rule).": (
            _wrong_gradients(lambda so_far, slope, dy: so_far + slope)
        ),
        "a node that is used more than once keeps only the last contribution: add them up, += instead of =.": (
            _wrong_gradients(lambda so_far, slope, dy: slope * dy)
        ),
        "slopes are added to gradients: along a path they are multiplied.": (
            _wrong_gradients(lambda so_far, slope, dy: so_far + slope + dy)
        ),
        "only the first contribution is kept: add up all of them.": (
            _wrong_gradients(lambda so_far, slope, dy: so_far or slope * dy)
        ),
    },
    numbers=lambda found, order: [found[node] for node in order],
    form="a dictionary, node -> gradient, for every node",
)


def unbroadcast(dy: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an input of ``shape`` that was broadcast to the shape of dy."""
    result: Array = _unbroadcast(dy, shape)
    return result


def _leading(dy: Array, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(dy.ndim - len(shape)))


def _repeated_axes(dy: Array, shape: tuple[int, ...]) -> tuple[int, ...]:
    leading = _leading(dy, shape)
    return (*leading, *(len(leading) + axis for axis, size in enumerate(shape) if size < dy.shape[len(leading) + axis]))


def _random_broadcast(rng: np.random.Generator) -> tuple[Array, tuple[int, ...]]:
    """A gradient of one to four axes, and a shape that broadcasts to its own."""
    full = tuple(int(size) for size in rng.integers(1, 4, rng.integers(1, 5)))
    shape = tuple(1 if rng.random() < 0.4 else size for size in full[rng.integers(0, len(full) + 1) :])
    return rng.normal(size=full), shape


_DY = np.random.default_rng(2).normal(size=(4, 2, 3))

check_unbroadcast = Exercise(
    unbroadcast,
    examples=[
        (_DY[0], (2, 3)),
        (_DY[0], (3,)),
        (_DY, (3,)),
        (_DY[0], (2, 1)),
        (_DY, (2, 1)),
        (_DY, (4, 1, 3)),
        (_DY[0], ()),
    ],
    draw=_random_broadcast,
    shortcuts=(_unbroadcast, Tensor.backward),
    mistakes={
        "the shapes are equal: nothing was copied, so nothing is summed.": (
            lambda dy, shape: dy.sum(axis=0) if dy.shape == shape else unbroadcast(dy, shape)
        ),
        "this is the mean: every copy of the input affects the loss, and the effects add up.": (
            lambda dy, shape: dy.mean(axis=_repeated_axes(dy, shape)).reshape(shape)
        ),
        "this takes one of the copies: every copy of the input affects the loss, so sum over them.": (
            lambda dy, shape: dy[tuple(0 if i in _repeated_axes(dy, shape) else slice(None) for i in range(dy.ndim))]
        ),
        "the axes that broadcasting added in front are summed, but those of size 1 were copied as well.": (
            lambda dy, shape: dy.sum(axis=_leading(dy, shape))
        ),
        "the sum is right, but an axis of size 1 is lost: keepdims=True, or reshape to the shape at the end.": (
            lambda dy, shape: dy.sum(axis=_repeated_axes(dy, shape))
        ),
        "this sums over everything: sum only over the axes that were copied.": lambda dy, shape: np.broadcast_to(
            dy.sum(), shape
        ),
        "only one of the axes that broadcasting added in front is summed: there may be several.": (
            lambda dy, shape: dy if dy.shape == shape else dy.sum(axis=0)
        ),
    },
)


def matmul_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """The gradients (dx, dw) of y = x w, given dy (N, out), x (N, in) and w (in, out)."""
    return dy @ w.T, x.T @ dy


def _random_product(rng: np.random.Generator, N: int, inputs: int, outputs: int) -> tuple[Array, Array, Array]:
    return rng.normal(size=(N, outputs)), rng.normal(size=(N, inputs)), rng.normal(size=(inputs, outputs))


def _values_and_shapes(answer: Any, *example: Any) -> Array:
    dx, dw = map(np.asarray, answer)
    if dx.ndim != 2 or dw.ndim != 2:
        raise ValueError("not matrices")
    return np.concatenate([np.ravel(dx), np.ravel(dw), dx.shape, dw.shape])


check_matmul_backward = Exercise(
    matmul_backward,
    examples=[
        (np.array([[1.0, -2.0], [3.0, 0.5]]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, -1.0], [0.0, 2.0]])),
        _random_product(np.random.default_rng(3), 4, 3, 2),
    ],
    draw=lambda rng: _random_product(rng, *rng.integers(1, 6, 3)),
    mistakes={
        "dx and dw are swapped: the order is dx, dw.": lambda dy, x, w: matmul_backward(dy, x, w)[::-1],
        "dx has no w transposed: the sum is over the outputs j, the second index of both dy and w.": lambda dy, x, w: (
            dy @ w,
            x.T @ dy,
        ),
        "dx has its factors swapped: dx[n, i] has row n of dy, so dy comes first.": lambda dy, x, w: (
            w.T @ dy,
            x.T @ dy,
        ),
        "dx is transposed: it has the shape of x, (N, in).": lambda dy, x, w: (w @ dy.T, x.T @ dy),
        "dw has no x transposed: the sum is over the samples n, the first index of both x and dy.": lambda dy, x, w: (
            dy @ w.T,
            x @ dy,
        ),
        "dw is transposed: it has the shape of w, (in, out).": lambda dy, x, w: (dy @ w.T, dy.T @ x),
        "dw has its factors swapped: dw[i, j] has column j of dy, so dy comes second.": lambda dy, x, w: (
            dy @ w.T,
            dy @ x.T,
        ),
        "dw is the mean over the samples: the effects of all samples on the loss add up.": lambda dy, x, w: (
            dy @ w.T,
            x.T @ dy / len(x),
        ),
        "nothing is transposed: write down the indices of each sum, and transpose where the summed index is in the "
        "wrong place.": lambda dy, x, w: (dy @ w, x @ dy),
        "dy is missing: these are the gradients of the sum of y. Each gradient is a product with dy.": (
            lambda dy, x, w: matmul_backward(np.ones_like(dy), x, w)
        ),
        "these are products element by element: a gradient of a matrix product is a matrix product, @.": (
            lambda dy, x, w: (dy * w, x * dy)
        ),
    },
    numbers=_values_and_shapes,
    form="a pair of matrices, (dx, dw)",
    shortcuts=(Tensor.backward,),
)
