"""How a matrix product is cut into tiles, each the work of one block of threads: see tile.cuh."""

TILE_ROWS, TILE_COLUMNS, TILE_THREADS = 128, 64, 256
"""As in tile.cuh."""
BLOCKS = 512
"""A product with few tiles is cut along its depth into about so many: enough for every card, and the same for each, so
that sums repeat."""


def tiles_in(rows: int, columns: int) -> int:
    """How many tiles a matrix of this size has.

    >>> tiles_in(129, 64)
    2
    """
    return -(-rows // TILE_ROWS) * -(-columns // TILE_COLUMNS)


def parts_in(tiles: int, depth: int, least: int) -> int:
    """Into how many parts, of ``least`` numbers or more, the sums over the depth are cut.

    >>> parts_in(tiles=4, depth=9216, least=256), parts_in(tiles=400, depth=9216, least=256)
    (36, 1)
    """
    return max(1, min(BLOCKS // tiles, depth // least))
