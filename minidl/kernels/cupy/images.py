"""Batches of pictures that are on the device: see images.cu."""

from typing import Any

from .source import THREADS, in_blocks, kernel

Array = Any

MOST = 65535 * THREADS
"""Numbers in a picture: there are no more blocks for one."""
COUNT = 4
"""How many bytes a thread reads at once, where rows of pixels consist of so many."""


def supports(pixels: Array) -> bool:
    """Whether a kernel can read these pictures."""
    return bool(pixels.dtype == "uint8") and pixels[:1].size <= MOST


def gather_images(xp: Any, pixels: Array, indices: Array, mirror: Array | None) -> Array:
    """Pictures in [0, 1], as :meth:`ReferenceKernels.gather_images` defines them; ``indices`` are trusted."""
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
