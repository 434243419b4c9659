"""Align a face as those of UTKFace are: its five points move to the places that they have there.

A box with a margin is not enough. UTKFace's faces are upright, and their eyes lie at one height and distance: a network
trained on them is far worse on faces that do not.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PLACES = np.array([(0.295, 0.29), (0.685, 0.285), (0.49, 0.52), (0.31, 0.69), (0.665, 0.69)])
"""The mean places of the eyes, the nose and the corners of the mouth in UTKFace's crops, as shares of the side."""
SIDE = 200
"""Of UTKFace's crops, in pixels."""


def similarity(points: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The similarity that moves ``points`` (K, 2) to ``places`` with the least squared error: (2, 3), [s R | t].

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991), equations 40 to
    43, without reflections.

    >>> square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    >>> similarity(square, 2 * square[[1, 2, 3, 0]] + 5).round(9)
    array([[ 0., -2.,  7.],
           [ 2.,  0.,  5.]])
    """
    centre, goal = points.mean(axis=0), places.mean(axis=0)
    left, values, right = np.linalg.svd((places - goal).T @ (points - centre))
    signs = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    turn = (left * signs) @ right
    scale = (values * signs).sum() / np.square(points - centre).sum()
    return np.column_stack([scale * turn, goal - scale * turn @ centre])


def aligned(picture: Image.Image, points: NDArray[np.float64]) -> Image.Image:
    """The face with the given five points (5, 2), in pixels of the picture, as a crop of 200x200 pixels.

    >>> picture = Image.new("RGB", (300, 300))
    >>> aligned(picture, 150 + 100 * PLACES).size
    (200, 200)
    """
    corners = corners_of(points)
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    shrink = max(1.0, float(np.linalg.norm(corners[1] - corners[0])) / SIDE)  # Pillow's transform does not filter
    size = np.maximum(1, np.rint((high - low) / shrink))
    around = picture.crop((*low.astype(int).tolist(), *high.astype(int).tolist()))
    around = around.resize(tuple(size.astype(int).tolist()), Image.Resampling.LANCZOS)
    back = similarity(SIDE * PLACES, (points - low) * size / (high - low))
    return around.transform((SIDE, SIDE), Image.Transform.AFFINE, back.ravel().tolist(), Image.Resampling.BICUBIC)


def corners_of(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners (4, 2) of the crop in the picture, clockwise from the upper left one.

    >>> corners_of(150 + 100 * PLACES).round(9)
    array([[150., 150.],
           [250., 150.],
           [250., 250.],
           [150., 250.]])
    """
    back = similarity(PLACES, points)
    unit: NDArray[np.float64] = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    corners: NDArray[np.float64] = unit @ back[:, :2].T + back[:, 2]
    return corners
