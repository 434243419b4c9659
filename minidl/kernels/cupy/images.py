"""Batches of images that are on the device: see images.cu."""

from typing import Any

from .source import THREADS, in_blocks, kernel

Array = Any

MOST = 65535 * THREADS
"""Maximum number of elements per image: a grid has no more blocks along its second axis."""
COUNT = 4
"""Bytes that a thread reads at once, if the row length is a multiple of it."""


def supports(pixels: Array) -> bool:
    """Whether the kernel can read these images."""
    return bool(pixels.dtype == "uint8") and pixels[:1].size <= MOST


def gather_images(xp: Any, pixels: Array, indices: Array, mirror: Array | None) -> Array:
    """Images in [0, 1]: see :meth:`ReferenceKernels.gather_images`. ``indices`` are not checked."""
    pixels = xp.ascontiguousarray(pixels)
    _, H, W, C = pixels.shape
    images = xp.empty((len(indices), H, W, C), xp.float32)
    if images.size:
        count = COUNT if C == 1 and W % COUNT == 0 and pixels.data.ptr % COUNT == 0 else 1
        grid, block = in_blocks(len(indices), H * W * C // count)
        indices = xp.ascontiguousarray(indices.astype(xp.int64, copy=False))
        mirror = None if mirror is None else xp.ascontiguousarray(mirror)
        sizes = map(xp.int32, (H * W * C, W, C))
        kernel(xp, "images.cu", f"gather_images<{count}>")(grid, block, (pixels, indices, mirror, images, *sizes))
    return images
