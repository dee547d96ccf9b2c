"""The product of weights with an input read at a table of distances, in the tile language.

y[o, q] = sum over k of w[o, k] * x[q + table[k]]

Algorithm: every product of the definition. Schedule: `Tile`, and the blocks of `convolution.Schedule`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, Mask, Pointer, Register, Routine, Size
from striderule.planning.cost import CHAIN

# Distance between two rows of the weights of a chain: no power of two, so that they do not share sets of the cache.
PANEL = CHAIN + 16

POINTERS = ("x", "w", "y", "table", "starts")
SIZES = (
    "rows", "terms", "lines", "length", "groups", "x_group", "w_group", "y_group", "y_row",
    "row_blocks", "row_tasks", "task_lines", "line_tasks", "tiles", "tile_tasks",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tile:
    """What stays in registers: `rows` output channels by `vectors` vectors of output positions."""

    rows: int
    vectors: int


def product_routine(name: str, target: Target, dtype: str, tile: Tile) -> str:
    """Return the routine as LLVM IR: the product above for every image and group.

    `x`, `w` (rows, terms), `y` (rows, lines, length) are in `dtype`, `x_group`, `w_group` and `y_group` elements apart
    from one group to the next (images follow on groups; their weights are the same), and rows of `y` `y_row` apart.
    `table` holds one distance for each term, `starts` the place in `x` of the first position of each line. A task is
    `row_blocks` tiles' rows of `task_lines` lines by `tiles` tiles' columns of one group. Where `length` is shorter
    than a tile, `x` must be readable for a tile behind the last input.
    """
    r = Routine(name, target, ELEMENTS[dtype], pointers=POINTERS, sizes=SIZES)
    width = tile.vectors * r.lanes
    panel = r.scratch(tile.rows * PANEL)
    with r.tasks() as task:
        tile_task, rest = task % r.size("tile_tasks"), task // r.size("tile_tasks")
        line_task, rest = rest % r.size("line_tasks"), rest // r.size("line_tasks")
        row_task, group = rest % r.size("row_tasks"), rest // r.size("row_tasks")
        place = Place(
            r.pointer("x") + group * r.size("x_group"),
            r.pointer("w") + group % r.size("groups") * r.size("w_group"),
            r.pointer("y") + group * r.size("y_group"),
            panel,
        )
        first_row = row_task * r.size("row_blocks") * tile.rows
        first_line = line_task * r.size("task_lines")
        first_column = tile_task * r.size("tiles") * width
        blocks = ((r.size("rows") - first_row + (tile.rows - 1)) // tile.rows).smaller(r.size("row_blocks"))
        lines = (r.size("lines") - first_line).smaller(r.size("task_lines"))
        tiles = ((r.size("length") - first_column + (width - 1)) // width).smaller(r.size("tiles"))
        with r.loop((r.size("terms") + (CHAIN - 1)) // CHAIN) as chain, r.loop(blocks) as block:
            row = first_row + block * tile.rows
            _gather_weights(r, tile, place, chain, row)
            with r.loop(lines) as turn, r.loop(tiles) as number:
                column = first_column + number * width
                here = place.on_line(first_line + turn)
                with r.either((column + (width - 1)).below(r.size("length"))) as (inside, edge):
                    with inside:
                        _tile(r, tile, here, chain, row, column, None)
                    with edge:
                        _tile(r, tile, here, chain, row, (r.size("length") - width).larger(0), column)
    return r.finish()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the operands of a task begin, and the room for the weights of one chain."""

    x: Pointer
    w: Pointer
    y: Pointer
    panel: Pointer

    def on_line(self, line: Size) -> Place:
        """Return the place of one line of positions."""
        r = self.x.routine
        return replace(self, x=self.x + r.entry(r.table("starts"), line), y=self.y + line * r.size("length"))


def _gather_weights(r: Routine, tile: Tile, place: Place, chain: Size, row: Size) -> None:
    """Copy the weights of one chain and one row of tiles side by side: they are read for every tile of columns."""
    start = chain * CHAIN
    count = (r.size("terms") - start).smaller(CHAIN)
    for m in range(tile.rows):
        # Rows beyond the last repeat it, so that nothing outside is read; they are not stored.
        source = place.w + (row + m).smaller(r.size("rows") - 1) * r.size("terms") + start
        with r.loop(count, step=r.lanes) as k:
            r.store(r.load(source + k, r.first_lanes(count - k)), place.panel + k + m * PANEL)


def _tile(r: Routine, tile: Tile, place: Place, chain: Size, row: Size, column: Size, first: Size | None) -> None:
    """Add one chain of terms to one tile of y, whose columns begin at `column`.

    At the edge the tile is moved back to end with the last column, and `first` is the first of its columns that counts:
    nothing is read beyond the end, and nothing added twice.
    """
    start = chain * CHAIN
    count = (r.size("terms") - start).smaller(CHAIN)
    x, table = place.x + column, r.table("table") + start
    sums = r.tile(tile.rows, tile.vectors)
    with r.loop(count) as k:
        under = x + r.entry(table, k)
        inputs = [r.load(under + v * r.lanes) for v in range(tile.vectors)]
        for m in range(tile.rows):
            weight = r.broadcast(place.panel + k + m * PANEL)
            for v in range(tile.vectors):
                sums[m][v].add_product(weight, inputs[v])
    masks = [None if first is None else _counting(r, column + v * r.lanes, first) for v in range(tile.vectors)]
    for m in range(tile.rows):
        with r.when((row + m).below(r.size("rows"))):
            _store_row(r, sums[m], place.y + (row + m) * r.size("y_row") + column, chain, masks)


def _counting(r: Routine, column: Size, first: Size) -> Mask:
    """Return the lanes from `column` on that stand at `first` or later, and before the end."""
    return r.both(r.lanes_from(first - column), r.first_lanes(r.size("length") - column))


def _store_row(r: Routine, sums: list[Register], where: Pointer, chain: Size, masks: list[Mask | None]) -> None:
    """Write the first chain, add the later ones."""
    with r.either(chain.equals(0)) as (first, later):
        with first:
            for v, (total, mask) in enumerate(zip(sums, masks, strict=True)):
                r.store(total.value, where + v * r.lanes, mask)
        with later:
            for v, (total, mask) in enumerate(zip(sums, masks, strict=True)):
                r.store(total.value + r.load(where + v * r.lanes, mask), where + v * r.lanes, mask)
