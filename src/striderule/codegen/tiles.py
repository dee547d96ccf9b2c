"""Tiles: registers of 16 rows of 16 words, and the product of two of them (AMX of x86-64).

    c[m][n] += sum over k of the products of the numbers of a[m][k] and b[k][n]        m, n, k < 16

The words are those of `codegen.dots`. There are eight tiles, named by their numbers. A thread configures its tiles
before it uses them and releases them after, since the configuration belongs to it alone: `configured` does both.

The instructions are written as LLVM's functions of tile *numbers*, which no register allocation touches: nothing is
spilled, and nothing else may use tiles meanwhile. ``plain`` is the same in vectors, with tiles in memory, for tests on
processors without: its integers are the same, and so is the order in which floats are added, as Intel's Architecture
Instruction Set Extensions (319433, TDPBF16PS) writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from striderule.codegen import ir
from striderule.codegen.dots import SUMS, dot
from striderule.codegen.tile import FLOAT32, UINT8, UINT16, UINT32, Pointer, Register, Routine, Size, Vector
from striderule.codegen.values import I8, I64

ROWS, WORDS = 16, 16
"""Rows of a tile, and words of a row: 64 bytes."""
TILES = 8
# The table that ldtilecfg reads: palette, bytes of a row of each tile, rows of each tile.
_PALETTE, _ROW_BYTES, _ROWS = 0, 16, 48


class Amx:
    """The tiles of the processor."""

    def __init__(self, r: Routine) -> None:
        self.r = r

    @contextmanager
    def configured(self) -> Iterator[None]:
        """Configure all tiles whole for what is written inside, and release them behind it."""
        r = self.r
        table = r.scratch(64, UINT8)
        r.store(r.constant(0, UINT8, 64), table)
        r.store(r.constant(1, UINT8, 1), table + _PALETTE)
        row_bytes = Pointer(r, UINT16, r.build.bitcast((table + _ROW_BYTES).value, UINT16.type.as_pointer()))
        r.store(r.constant(4 * WORDS, UINT16, TILES), row_bytes)
        r.store(r.constant(ROWS, UINT8, TILES), table + _ROWS)
        self._call("ldtilecfg", table)
        yield
        self._call("tilerelease")

    def zero(self, tile: int) -> None:
        """Fill a tile with zeros."""
        self._call("tilezero", tile)

    def load(self, tile: int, where: Pointer, pitch: Size | int) -> None:
        """Read a tile whose rows stand `pitch` words apart."""
        self._call("tileloadd64", tile, where, _bytes(self.r, pitch))

    def store(self, tile: int, where: Pointer, pitch: Size | int) -> None:
        """Write a tile in rows `pitch` words apart."""
        self._call("tilestored64", tile, where, _bytes(self.r, pitch))

    def add_products(self, unit: str, turned: bool, c: int, a: int, b: int) -> None:
        """Add the products of a and b to c; of bytes those of a have no sign, or with `turned` those of b."""
        name = "tdpbf16ps" if unit == "bfloat16" else "tdpbsud" if turned else "tdpbusd"
        self._call(name, c, a, b)

    def _call(self, name: str, *arguments: int | Pointer | Size) -> None:
        values = []
        for one in arguments:
            if isinstance(one, Pointer):
                values.append(self.r.build.bitcast(one.value, I8.as_pointer()))
            else:
                values.append(one.value if isinstance(one, Size) else ir.constant(I8, one))
        self.r.call(f"llvm.x86.{name}", ir.VOID, values)


class Plain:
    """The same in vectors, with tiles in memory."""

    def __init__(self, r: Routine) -> None:
        self.r = r
        self._room = r.scratch(TILES * ROWS * WORDS, r.element)

    @contextmanager
    def configured(self) -> Iterator[None]:
        """Do nothing: memory needs no configuration."""
        yield

    def _row(self, tile: int, row: Size) -> Pointer:
        return self._room + (row * WORDS + tile * ROWS * WORDS)

    def zero(self, tile: int) -> None:
        """Fill a tile with zeros."""
        with self.r.loop(ROWS) as m:
            self.r.store(self.r.constant(0, lanes=WORDS), self._row(tile, m))

    def load(self, tile: int, where: Pointer, pitch: Size | int) -> None:
        """Read a tile whose rows stand `pitch` words apart."""
        with self.r.loop(ROWS) as m:
            self.r.store(self.r.load(where + m * pitch, lanes=WORDS), self._row(tile, m))

    def store(self, tile: int, where: Pointer, pitch: Size | int) -> None:
        """Write a tile in rows `pitch` words apart."""
        with self.r.loop(ROWS) as m:
            self.r.store(self.r.load(self._row(tile, m), lanes=WORDS), where + m * pitch)

    def add_products(self, unit: str, turned: bool, c: int, a: int, b: int) -> None:
        """Add the products of a and b to c; of bytes those of a have no sign, or with `turned` those of b."""
        r = self.r
        with r.loop(ROWS) as m:
            zero = r.constant(0, SUMS[unit], WORDS)
            even, odd = r.register(zero), r.register(zero)
            with r.loop(WORDS) as k:
                pair = r.broadcast(self._row(a, m) + k, WORDS), r.load(self._row(b, k), lanes=WORDS)
                if unit == "bfloat16":
                    _add_halves(r, even, odd, *pair)
                else:
                    even.set(dot(r, unit, even.value, *pair[:: -1 if turned else 1]))
            total = r.load(self._row(c, m), lanes=WORDS)
            r.store(total + (even.value + odd.value), self._row(c, m))


def _add_halves(r: Routine, even: Register, odd: Register, a: Vector, b: Vector) -> None:
    """Add the products of the lower and of the upper numbers of words, each to a sum of its own."""
    bits = [r.bits(one, UINT32) for one in (a, b)]
    for total, parts in ((even, [one << 16 for one in bits]), (odd, [one & 0xFFFF0000 for one in bits])):
        x, y = (r.bits(one, FLOAT32) for one in parts)
        total.add_product(x, y)


def _bytes(r: Routine, words: Size | int) -> Size:
    """Return a distance in bytes, of one in words."""
    return (words if isinstance(words, Size) else Size(r, ir.constant(I64, words))) * 4


LOWERINGS: dict[str, type[Amx | Plain]] = {"amx": Amx, "plain": Plain}
"""What writes the tiles of a routine."""
