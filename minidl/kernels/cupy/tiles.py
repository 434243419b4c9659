"""How a matrix product is split into tiles, one per block of threads: see tile.cuh."""

TILE_ROWS, TILE_COLUMNS, TILE_THREADS = 128, 64, 256
"""As in tile.cuh."""
BLOCKS = 512
"""A product with few tiles is split along its depth into about this number of blocks: enough for every card, and the
same for each, which makes the sums deterministic."""


def tiles_in(rows: int, columns: int) -> int:
    """The number of tiles in a matrix of this size.

    >>> tiles_in(129, 64)
    2
    """
    return -(-rows // TILE_ROWS) * -(-columns // TILE_COLUMNS)


def parts_in(tiles: int, depth: int, least: int) -> int:
    """The number of parts, of at least ``least`` products each, that the sums over the depth are split into.

    >>> parts_in(tiles=4, depth=9216, least=256), parts_in(tiles=400, depth=9216, least=256)
    (36, 1)
    """
    return max(1, min(BLOCKS // tiles, depth // least))
