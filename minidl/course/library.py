"""The exercise of ``13_your_own_library``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercise import Exercise

Array = NDArray[Any]


class Node:
    """An array in a graph: the ``inputs`` it was computed from, each with a matrix, or None where it is only added."""

    def __init__(self, number: int, inputs: Sequence["Node"] = (), matrices: Sequence[Any] = ()) -> None:
        self.number, self.inputs, self.matrices = number, tuple(inputs), tuple(matrices)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """The gradient for each input, given that of this node; a sum passes on ``dy`` itself."""
        return tuple(dy if matrix is None else dy @ np.array(matrix) for matrix in self.matrices)

    def __repr__(self) -> str:
        return f"node {self.number}"


Edges = Sequence[tuple[int, Any]]


def _order(*edges: Edges) -> list[Node]:
    """Nodes in topological order, the last first; ``edges[i]`` are pairs (input, matrix) of node i."""
    nodes: list[Node] = []
    for number, inputs in enumerate(edges):
        nodes.append(Node(number, [nodes[i] for i, _ in inputs], [matrix for _, matrix in inputs]))
    return nodes[::-1]


_A, _B = ((1.0, 2.0), (3.0, -1.0)), ((0.5, 0.0), (4.0, 1.0))
_DY = np.array([[1.0, 2.0], [-3.0, 0.5]])
CHAIN = _order((), [(0, _A)], [(1, _B)])
SKIP = _order((), [(0, _A)], [(0, _B), (1, _A)])
TWICE = _order((), [(0, _A), (0, _B)])
SUM = _order((), [(0, _A)], [(0, None), (1, None)], [(2, _B)])


def _random(rng: np.random.Generator) -> tuple[list[Node], Array]:
    """A graph with sums and products of square matrices, and a gradient for its last node."""
    size = int(rng.integers(1, 4))
    edges: list[Edges] = [()]
    for i in range(1, int(rng.integers(3, 7))):
        inputs = [i - 1, *(int(j) for j in range(i) if rng.random() < 0.4)]
        matrices = [rng.normal(size=(size, size)).round(1).tolist() if rng.random() < 0.7 else None for _ in inputs]
        edges.append(list(zip(inputs, matrices, strict=True)))
    return _order(*edges), rng.normal(size=(2, size))


def array_gradients(order: Sequence[Any], dy: Array) -> dict[Any, Array]:
    """The gradient of the loss for every node in topological order, given ``dy`` for ``order[0]``."""
    found = {order[0]: dy}
    for node in order:
        for x, dx in zip(node.inputs, node.backward(found[node]), strict=True):
            found[x] = found[x] + dx if x in found else dx
    return found


def _by(rule: Callable[[Any, Array], Array]) -> Callable[..., dict[Any, Array]]:
    """Gradients where ``rule`` says what becomes of an earlier contribution and a further one."""

    def wrong(order: Sequence[Any], dy: Array) -> dict[Any, Array]:
        found = {order[0]: dy}
        for node in order:
            for x, dx in zip(node.inputs, node.backward(found[node]), strict=True):
                found[x] = rule(found[x], dx) if x in found else dx
        return found

    return wrong


def _in_place(order: Sequence[Any], dy: Array) -> dict[Any, Array]:
    """Adds to arrays that other nodes have as well."""
    return _by(lambda so_far, dx: np.add(so_far, dx, out=so_far))(order, dy.copy())


def _not_passed_on(order: Sequence[Any], dy: Array) -> dict[Any, Array]:
    """Every node gets the gradient of the first."""
    found = {order[0]: dy}
    for node in order:
        for x, dx in zip(node.inputs, node.backward(dy), strict=True):
            found[x] = found[x] + dx if x in found else dx
    return found


check_array_gradients = Exercise(
    array_gradients,
    examples=[(order, _DY) for order in (CHAIN, TWICE, SKIP, SUM)],
    draw=_random,
    mistakes={
        "the first node has the gradient dy, not 1: start with {order[0]: dy}.": (
            lambda order, dy: array_gradients(order, np.ones_like(dy))
        ),
        "the first node has the gradient dy, an array, not the number 1: start with {order[0]: dy}.": (
            lambda order, dy: array_gradients(order, 1.0)  # type: ignore[arg-type]
        ),
        "every node is given the first dy: pass on the gradient that arrived at the node, found[node].": _not_passed_on,
        "a node that is used more than once keeps only the last contribution: add them up.": _by(lambda so_far, dx: dx),
        "only the first contribution is kept: add up all of them.": _by(lambda so_far, dx: so_far),
        "the contributions of several uses are averaged: add them up.": _by(lambda so_far, dx: (so_far + dx) / 2),
        "+= changes the array in place, and a sum gives the same array to both of its inputs: write "
        "found[x] = found[x] + dx.": _in_place,
    },
    numbers=lambda found, order, dy: [found[node] for node in order],
    form="a dictionary, node -> gradient, for every node",
)
