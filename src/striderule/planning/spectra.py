"""How `fourier` cuts images into tiles: pure arithmetic on sizes, for the cost model and for the algorithm alike.

A tile of n inputs along an axis gives n - extent + 1 outputs that do not wrap around, where extent is
(kernel - 1) dilation + 1.
Two tiles of an image are transformed as one, as the real and the imaginary part of complex numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log2, prod, sqrt

from striderule.geometry.problem import Convolution
from striderule.planning.machine import itemsize

Ints = tuple[int, ...]

# Sizes of tiles to choose from, along each axis, and the most numbers of one.
SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048)
POINTS = 1 << 22
# Operations of vectors for each vector of a pair of tiles: to read, turn, multiply and write it; for each pass; and how
# many more there are as if for each time that tile and spectrum are twice as large as the second-level cache.
LAID, PASS, BEYOND, NEAR = 120.0, 9.0, 12.0, 1 << 20
# Half a unit in the last place.
UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
# What the error may come to for any data, as a part of the norm of |x| correlated with |w|: it is held to this.
PROMISED = {"float32": 8e-6, "float64": 8e-15}


@dataclass(frozen=True, slots=True)
class Tiles:
    """Tiles of `size` inputs along both axes, of which `step` outputs are used, and how many there are: `counts`.

    `operations` are those of vectors, of one image.
    """

    size: tuple[int, int]
    step: tuple[int, int]
    counts: tuple[int, int]
    operations: float

    @property
    def count(self) -> int:
        """Tiles of an image."""
        return prod(self.counts)

    @property
    def pairs(self) -> int:
        """Tasks of an image."""
        return -(-self.count // 2)

    @property
    def points(self) -> int:
        """Numbers of a tile."""
        return prod(self.size)

    @property
    def overlap(self) -> int:
        """In how many tiles a pixel stands, at most."""
        return prod(min(-(-n // step), count) for n, step, count in zip(self.size, self.step, self.counts, strict=True))


@lru_cache(maxsize=64)
def radices(length: int, registers: int) -> Ints:
    """Return the radices of the passes: as few as there are, of up to 8, or 4 where there are few registers.

    >>> radices(128, 32), radices(128, 16)
    ((4, 4, 8), (2, 4, 4, 4))
    """
    most = 3 if registers >= 32 else 2
    levels = length.bit_length() - 1
    passes = -(-levels // most)
    return tuple(1 << (levels + i) // passes for i in range(passes))


@lru_cache(maxsize=1024)
def tiles_of(
    output_size: tuple[int, int], extent: tuple[int, int], lanes: int, registers: int, width: int = 4
) -> Tiles | None:
    """Return the tiles that take the fewest operations, or None where none holds the kernel.

    Vectors have so many `lanes`, and numbers `width` bytes.

    >>> tiles_of((1536, 2048), (31, 31), 16, 32).size
    (256, 256)
    """
    found = [
        _cut(output_size, extent, (rows, columns), lanes, registers, width)
        for rows in _sizes(output_size[0], extent[0], lanes)
        for columns in _sizes(output_size[1], extent[1], lanes)
        if rows * columns <= POINTS
    ]
    return min(found, key=lambda tiles: tiles.operations, default=None)


def _sizes(outputs: int, extent: int, lanes: int) -> list[int]:
    """Return sizes that hold the kernel, of which no smaller one would do for all outputs at once."""
    fitting = [size for size in SIZES if size >= max(extent, lanes)]
    return [size for size in fitting if size == fitting[0] or size // 2 - extent + 1 < outputs]


def _cut(outputs: Ints, extent: Ints, size: tuple[int, int], lanes: int, registers: int, width: int) -> Tiles:
    step = size[0] - extent[0] + 1, size[1] - extent[1] + 1
    counts = -(-outputs[0] // step[0]), -(-outputs[1] // step[1])
    passes = 2 * sum(len(radices(one, registers)) for one in size)
    # Two numbers of a tile, and two of the spectrum.
    held = 4 * prod(size) * width
    each = LAID + PASS * passes + BEYOND * max(0.0, log2(held / NEAR))
    # The kernel is transformed once, one way and without reading and writing.
    pairs = -(-prod(counts) // 2) + 0.4
    return Tiles(size, step, counts, pairs * each * prod(size) / lanes)


def tiling(problem: Convolution, lanes: int, registers: int) -> Tiles | None:
    """Return the tiles of an image correlation along two axes."""
    down, across = problem.output_size
    extent = problem.extent[0], problem.extent[1]
    return tiles_of((down, across), extent, lanes, registers, itemsize(problem.dtype))


def error(points: int, dtype: str) -> float:
    """Return the error of a tile's sums, as a part of the norm of its inputs times that of the taps.

    In each of three transforms every level adds a few roundings of the size of the numbers there, which are as often up
    as down: the root of the number of levels, times a part of a unit in the last place (Schatzman, "Accuracy of the
    discrete Fourier transform and the fast Fourier transform", 1996). Random data measure half of it.
    """
    return 2.5 * UNIT[dtype] * sqrt(log2(points))


def random_error(points: int, dtype: str) -> float:
    """Return what zero-mean random data comes to, as a part of the norm of the exact result."""
    return 1.5 * UNIT[dtype] * sqrt(log2(points))
