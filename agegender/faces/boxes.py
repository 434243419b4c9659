"""Boxes (N, 4), the left, top, right and bottom edge of each in pixels, turned clockwise about their centres.

``turns`` (N,) are in radians.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Boxes: TypeAlias = NDArray[np.float64]
Points: TypeAlias = NDArray[np.float64]
"""(N, K, 2), the x and y of K points for each box."""


def squares(boxes: Boxes) -> Boxes:
    """The squares with the same centres, and with the longer side.

    >>> squares(np.array([[0.0, 0.0, 4.0, 10.0]]))
    array([[-3.,  0.,  7., 10.]])
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.hstack([centre - half, centre + half])


def placed(boxes: Boxes, turns: NDArray[Any], shares: NDArray[Any]) -> Points:
    """The positions in the picture of points that are given as shares of the width and height of a box.

    >>> box = np.array([[0.0, 0.0, 10.0, 10.0]])
    >>> placed(box, np.array([0.0]), np.array([[[1.0, 0.5]]]))
    array([[[10.,  5.]]])
    >>> placed(box, np.array([np.pi / 2]), np.array([[[1.0, 0.5]]])).round()
    array([[[ 5., 10.]]])
    """
    low, high = boxes[:, np.newaxis, :2], boxes[:, np.newaxis, 2:]
    x, y = np.moveaxis((shares - 0.5) * (high - low), -1, 0)
    sine, cosine = np.sin(turns)[:, np.newaxis], np.cos(turns)[:, np.newaxis]
    points: Points = (low + high) / 2 + np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=-1)
    return points


def corrected(boxes: Boxes, turns: NDArray[Any], offsets: NDArray[Any]) -> Boxes:
    """Boxes whose edges are moved by shares of their width and height.

    >>> corrected(np.array([[0.0, 0.0, 10.0, 20.0]]), np.zeros(1), np.array([[0.1, 0.1, 0.0, -0.5]]))
    array([[ 1.,  2., 10., 10.]])
    """
    corners = np.stack([offsets[:, :2], 1 + offsets[:, 2:]], axis=1)
    (centre,) = np.moveaxis(placed(boxes, turns, corners.mean(axis=1, keepdims=True)), 1, 0)
    half = (corners[:, 1] - corners[:, 0]) * (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.hstack([centre - half, centre + half])


def suppressed(boxes: Boxes, scores: NDArray[Any], overlap: float, *, of_smaller: bool = False) -> NDArray[np.intp]:
    """Non-maximum suppression: the indices of the boxes to keep, by falling score.

    A box is dropped if it overlaps a kept box of higher score by more than ``overlap``: the area of the intersection
    over that of the union (IoU), or over that of the smaller box.

    >>> boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]])
    >>> suppressed(boxes, np.array([0.8, 0.9, 0.7]), 0.5)
    array([1, 2])
    """
    order = np.argsort(-scores, kind="stable")
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        low, high = np.maximum(boxes[best, :2], boxes[order, :2]), np.minimum(boxes[best, 2:], boxes[order, 2:])
        both = np.prod(np.maximum(high - low, 0), axis=1)
        whole = np.minimum(areas[best], areas[order]) if of_smaller else areas[best] + areas[order] - both
        order = order[both <= overlap * whole]
    return np.array(kept, np.intp)
