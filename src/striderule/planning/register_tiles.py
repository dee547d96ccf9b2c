"""Tiles of sums that stay in registers, and the time that sweeping a plane with them takes: sizes in, cycles out."""

from __future__ import annotations

# Bytes of weights that stay in the first-level cache while inputs stream by.
NEAR = 20 << 10
# Cycles of a turn of the inner loop, besides its products.
TURN = 1


def register_tiles(registers: int) -> tuple[tuple[int, int], ...]:
    """Return the (rows, vectors) of sums that leave registers for a row of inputs and a weight."""
    if registers >= 32:
        return (8, 3), (12, 2), (4, 5), (2, 8), (1, 8)
    return (4, 3), (6, 2), (2, 4), (1, 6)


def register_tile(rows: int, vectors: int, registers: int, weights: int, most: int) -> tuple[int, int]:
    """Return the tile with the least predicted time for `rows` channels by `vectors` of positions; of equals the first.

    `weights` counts the bytes of one channel's weights that are read again and again. A tile has at most `most` vectors
    if there is one.

    >>> register_tile(64, 28, 32, 2048, 28), register_tile(1, 196, 32, 100, 196)
    ((8, 3), (1, 8))
    """
    tiles = register_tiles(registers)
    narrow = [tile for tile in tiles if tile[1] <= most]
    return min(narrow or tiles, key=lambda tile: sweep(rows, vectors, tile, weights))


def sweep(rows: int, vectors: int, tile: tuple[int, int], weights: int) -> float:
    """Return the cycles of one term for `rows` channels by `vectors` of positions."""
    height, width = tile
    slow = 1.25 if height * weights > NEAR else 1

    def time(wide: int) -> float:
        # Each cycle takes one multiply-add of vectors, and beside it one vector of inputs or two weights.
        return max(height * wide, wide + height / 2 + 1, 4) * slow + TURN if wide else 0

    return -(-rows // height) * (vectors // width * time(width) + time(vectors % width))
