"""Batches of images that are in memory as bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def gather_images(pixels: Array, indices: Array, mirror: Array | None) -> Array:
    """See :meth:`ReferenceKernels.gather_images`. Flipping in place is several times as fast as selecting from two
    arrays."""
    chosen = pixels[np.asarray(indices)]  # indexing with an array copies
    if mirror is not None:
        chosen[mirror] = chosen[mirror, :, ::-1]
    images: Array = np.divide(chosen, np.float32(255), dtype=np.float32)
    return images
