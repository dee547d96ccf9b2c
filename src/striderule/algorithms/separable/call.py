"""How passes are cut into bands and blocks, and what the routine is told of it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct.native import words_of
from striderule.algorithms.images.tables import shown
from striderule.algorithms.separable.doubling import SWEPT, levels_of
from striderule.algorithms.separable.down import BLANK
from striderule.algorithms.separable.layout import Layout
from striderule.algorithms.separable.sides import FIELDS, pieces
from striderule.algorithms.separable.structure import POINTERS, SHORT, SIZES, Across, Down, Fold, Structure
from striderule.algorithms.separable.turning import STRIP
from striderule.codegen.target import Target
from striderule.planning.passes import BAND, CHAIN

Array = npt.NDArray[Any]

# Equal taps from which on windows take less than a product for each.
LONG_DOWN, LONG_ACROSS = 8, 6
# Whole numbers run along a line from here on; shorter windows are summed by doubling within registers.
LONG_RUNNING = 16
# Products of a task: enough to be worth handing to another thread.
TASK = 1 << 20
# Rows of a band of windows: enough to share what a band begins with, and few enough that there are many bands.
LEAST_BAND, MOST_BAND = 64, 256
# Bytes of a thread's sums from a row on, and elements of rows that go down together where rows may be cut.
SUFFIX, SIDE_BY_SIDE = 1 << 20, 1 << 12
# Bytes of lines that stand on end, and bands that there are at least, of images that have so many.
LINES, LEAST = 1 << 19, 32
# How often each row may be read.
OFTEN = 4
LINE = 64


@dataclass(frozen=True, slots=True)
class Axis:
    """A pass along an axis: its size and outputs, the window, and what of its taps the code depends on.

    `kept` are the taps that are not zero in some term; `equal` says that all taps are one, `sign` that they are
    symmetric (1) or antisymmetric (-1) in all terms. Part of a larger image begins at `first` of the `whole` (0: it is
    whole itself).
    """

    size: int
    outputs: int
    taps: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    words: tuple[str, str] = ("constant", "constant")
    kept: tuple[int, ...] = (0,)
    equal: bool = False
    sign: int = 0
    first: int = 0
    whole: int = 0

    @property
    def all_outputs(self) -> int:
        """The outputs of the whole image."""
        return self.outputs + max(0, self.whole - self.size)

    @property
    def folded(self) -> int:
        """The sign of taps of which those at equal distances from the middle are added first, or 0."""
        return self.sign if self.taps > SHORT and self.stride == self.dilation == 1 and not self.equal else 0

    @property
    def extent(self) -> int:
        """How many positions a window reaches over."""
        return (self.taps - 1) * self.dilation + 1


@dataclass(frozen=True, slots=True)
class Passes:
    """All that a call depends on but the values: arrays as `layout` sees them, the axes, and the types.

    `row_steps` are the bytes between rows of x and of y. `exact` says that the sums are whole numbers without error;
    `whole` and `inside` are those of `Structure`.
    """

    layout: Layout
    down: Axis
    across: Axis
    row_steps: tuple[int, int]
    source: str
    result: str
    work: str
    mean: str
    terms: int
    divided: str
    watched: bool
    exact: bool
    whole: bool
    inside: bool


class Cut(NamedTuple):
    """The structure of the routine, its words, tables and tasks, and the bytes that each thread needs."""

    structure: Structure
    words: array[int]
    tables: dict[str, Array]
    tasks: int
    room: int
    blank: bool


def structure_of(passes: Passes, target: Target) -> Structure:
    """Return what code serves these passes."""
    lanes = target.lanes(np.dtype(passes.work).itemsize)
    down, across = _down(passes, target), _across(passes, lanes, 8 if _is_roomy(target) else 4)
    if across.kind == "turned":
        down = replace(down, rows=across.vectors, fold=_fold(passes.down, across.vectors), kept=passes.down.kept)
    if across.fold.sign and is_wide(passes.source, passes.work):
        down = replace(down, ones=False)  # what it forms is halved
    return Structure(
        passes.source,
        passes.result,
        passes.work,
        passes.mean,
        _held(passes, down, across),
        down,
        across,
        passes.divided,
        passes.terms > 1,
        passes.watched,
        passes.whole,
        passes.inside,
    )


def _held(passes: Passes, down: Down, across: Across) -> str:
    """Return the type of sums down the rows: 16 bits hold those of a few rows of 8 bits."""
    source = np.dtype(passes.source)
    if down.kind != "run" or across.kind != "running" or source.itemsize > 1:
        return passes.work
    signed = source.kind == "i"
    return passes.work if passes.down.taps << 8 > 1 << 16 else "int16" if signed else "uint16"


def _is_roomy(target: Target) -> bool:
    """Tell whether so many sums stay in registers; where multiply-adds take no operand from memory, loads need some."""
    return target.registers >= 32 and target.vector_bytes >= 64


def _down(passes: Passes, target: Target) -> Down:
    axis = passes.down
    rows, vectors = (8, 2) if _is_roomy(target) else (4, 2)
    plain = axis.stride == axis.dilation == 1
    fewer = 1 << max(0, (axis.all_outputs - 1).bit_length())
    if axis.equal and plain and axis.taps >= LONG_DOWN and passes.terms == 1:
        # Windows of a band share rows, so a band has no more rows than a window.
        rows = min(4, fewer)
        return Down("run" if passes.exact else "blocks", rows, vectors)
    if axis.folded:
        return Down("folded", rows, 1, fold=_fold(axis, rows), halved=is_wide(passes.source, passes.work))
    if axis.taps <= SHORT:
        return Down("few", min(rows if plain else 2, fewer), vectors, axis.kept, axis.stride, axis.dilation, axis.equal)
    return Down("many", min(rows if plain else 1, fewer), vectors if plain else 2 * vectors)


def _across(passes: Passes, lanes: int, vectors: int) -> Across:
    axis, pixel = passes.across, passes.layout.pixel
    gap = axis.dilation * pixel
    known = gap if gap <= 4 else 0
    stepped = axis.stride > 1
    if axis.equal and axis.taps >= LONG_ACROSS and passes.terms == 1:
        if known and not stepped and np.dtype(passes.work).kind in "iu":
            return Across("running", 1, gap=known)
        levels = levels_of(lanes, known, axis.taps)
        rest, blocks = axis.taps % (1 << levels), axis.taps >> levels
        several = blocks.bit_count() > 1
        return Across("window", 2, gap=known, stepped=stepped, several=several, rest=rest, levels=levels)
    short, kept = axis.taps <= SHORT, axis.kept if axis.taps <= SHORT else ()
    if _is_turned(passes, lanes):
        together = min(vectors, lanes)
        return Across("turned", together, kept, loop=not short, gap=0, fold=_fold(axis, together))
    if axis.folded:
        return Across("taps", 1, gap=known, fold=_fold(axis, 1))
    if short:
        return Across("taps", vectors, kept, gap=known, stepped=stepped, ones=axis.equal)
    return Across("taps", vectors, tuple(range(axis.taps % SHORT)), loop=True, gap=known, stepped=stepped)


def _is_turned(passes: Passes, lanes: int) -> bool:
    """Tell whether lines stand on end: where shifts would take longer, and there are squares to be turned."""
    down, across = passes.down, passes.across
    windows = down.equal and down.stride == down.dilation == 1 and down.taps >= LONG_DOWN and passes.terms == 1
    if (
        windows
        or passes.work not in ("float32", "float64")
        or min(across.size * passes.layout.pixel, across.outputs) < lanes
    ):
        return False
    return across.stride > 1 or across.taps > SHORT


def _fold(axis: Axis, outputs: int) -> Fold:
    """Return how the taps of an axis are folded where so many outputs are formed together."""
    if not axis.folded:
        return Fold()
    pairs = axis.taps // 2
    return Fold(axis.folded, pairs % outputs, axis.taps % 2 == 1, pairs >= CHAIN)


def is_wide(source: str, work: str) -> bool:
    """Tell whether the sum of two elements may leave the range of the sums."""
    return source == work or (source, work) == ("bfloat16", "float32")


@lru_cache(maxsize=256)
def cut(passes: Passes, target: Target) -> Cut:
    """Return how the passes are cut for a target."""
    structure = structure_of(passes, target)
    down, across, layout = passes.down, passes.across, passes.layout
    itemsize = np.dtype(passes.work).itemsize
    lanes, pixel = target.lanes(itemsize), layout.pixel
    turned = structure.across.kind == "turned"
    needed = (across.outputs - 1) * across.stride + across.extent if across.outputs else 0
    after = max(0, needed - across.before - across.size)
    width, outputs = across.size * pixel, ((across.outputs - 1) * across.stride + 1) * pixel
    # What goes down alone may go down parts of rows.
    parts = -(-width // SIDE_BY_SIDE) if structure.down.kind == "blocks" and layout.along is None else 1
    part = -(-width // parts) if parts > 1 else max(width, outputs)
    slack = (2 * SWEPT + 8) * lanes
    length = max(across.before * pixel + width + after * pixel, needed * pixel)
    length = (length if parts == 1 else part) + slack
    line = _apart(length, np.dtype(structure.held).itemsize)
    stack = _stack(passes, lanes, passes.terms * line * itemsize) if turned else 0
    strip = (stack * lanes - 1) * down.stride + down.extent
    rows = stack * lanes if turned else structure.down.rows
    band = _band(passes, structure.down, rows)
    # Windows of floats are cut at the same rows of the whole image in every part of it.
    lead = down.first % band if structure.down.kind == "blocks" else 0
    bands = -(-(down.outputs + lead) // band)

    # What stands before a line may be read.
    at = {"lines_at": LINE // itemsize}
    at["state_at"] = at["lines_at"] + passes.terms * rows * line
    at["suffix_at"] = at["state_at"] + (2 * line if structure.down.kind in ("run", "blocks") else 0)
    at["sums_at"] = at["suffix_at"] + (band * line if structure.down.kind == "blocks" else 0)
    beside = (4 if structure.across.kind == "window" else int(structure.across.stepped)) * line
    room = at["sums_at"] + (((pixel + 1) * lanes + strip * STRIP) * lanes if turned else beside)

    last = bands * band * down.stride + rows * down.stride + down.extent
    sources = shown(down.size, -down.before - lead, last - down.before - lead, down.words)
    begins = np.where(sources < 0, BLANK, sources * passes.row_steps[0])
    left = shown(across.size, -across.before, 0, across.words)
    right = shown(across.size, across.size, across.size + after, across.words)
    beyond = [*pieces(left, -across.before), *pieces(right, across.size)]
    chunks = -(-down.taps // CHAIN)
    levels, rest = _levels(structure.across, across, pixel)
    tables = {
        "rows": begins,
        "beyond": _elements(beyond, across.before, pixel),
        "chunks": np.arange(chunks + 1) * down.taps // chunks,
        "levels": np.array(levels, np.int64),
        "walk": words_of(layout.walks),
    }
    tables = {name: np.ascontiguousarray(table, np.int64) for name, table in tables.items()}
    sizes = at | {
        "room": room, "walks": len(layout.walks), "bands": bands, "band": band, "height": down.outputs + lead,
        "lead": lead, "parts": parts, "part": part,
        "y_row": passes.row_steps[1], "line": line, "before": across.before * pixel, "pieces": len(beyond) // FIELDS,
        "pixel": pixel, "width": width, "outputs": outputs, "stride_down": down.stride,
        "dilation_down": down.dilation, "taps_down": down.taps, "chunks_down": chunks, "taps_across": across.taps,
        "gap": across.dilation * pixel, "groups": across.taps // SHORT, "terms": passes.terms,
        "level_count": len(levels) // 3 - 1, "top": needed * pixel, "rest": rest, "columns": across.outputs,
        "stride_across": across.stride, "strip": strip, "stack": stack,
    }  # fmt: skip
    words = array("q", [0] * len(POINTERS) + [sizes.get(word, 0) for word in SIZES])
    for name, table in tables.items():
        words[POINTERS.index(name)] = memory.address(table)
    planes = int(np.prod([walk[0] for walk in layout.walks], dtype=np.int64))
    return Cut(structure, words, tables, planes * parts * bands, room * itemsize, bool((sources < 0).any()))


def _elements(beyond: list[int], before: int, pixel: int) -> Array:
    """Return `pieces` as `sides.extend` reads them: of elements behind the beginning of a line."""
    table = np.array(beyond or [0] * FIELDS, np.int64).reshape(-1, FIELDS)
    inside = table[:, 1] >= 0
    table[:, 0] = (table[:, 0] + before) * pixel
    table[:, 1] = np.where(inside, (table[:, 1] + before) * pixel, -1)
    return table


def _stack(passes: Passes, lanes: int, line: int) -> int:
    """Return how many vectors of rows are formed together: the more there are, the less often each row is read."""
    down = passes.down
    most = min(down.taps // (OFTEN * lanes * down.stride), LINES // (line * lanes), down.outputs // (lanes * LEAST))
    return max(1, most)


def _apart(length: int, itemsize: int) -> int:
    """Return the elements between lines: whole cache lines, and no multiple of a page, where lines meet in few sets."""
    each = LINE // itemsize
    lines = -(-length // each)
    return each * (lines + (lines % 64 == 0))


def _band(passes: Passes, down: Down, rows: int) -> int:
    """Return how many rows of outputs a task forms: whole blocks of `rows`, whatever the number of threads."""
    axis = passes.down
    if down.kind == "run":
        wanted = min(max(axis.taps, LEAST_BAND), MOST_BAND)
        bands = max(1, axis.outputs // wanted)
        # Four threads, or two, finish together.
        wanted = -(-axis.outputs // (bands if bands < 4 else -(-bands // 4) * 4)) + rows - 1
    elif down.kind == "blocks":
        # Bits depend on it, and so neither on the number of planes nor on where they stand in memory.
        line = 1 if passes.layout.along is None else max(passes.across.whole, passes.across.size)
        line *= np.dtype(passes.work).itemsize
        wanted = min(axis.taps, BAND, max(2 * rows, SUFFIX // line)) // rows * rows
    else:
        each = passes.across.outputs * passes.layout.pixel * (axis.taps + passes.across.taps + 8) * passes.terms
        wanted = TASK // max(1, each)
    blocks = max(1, min(wanted, axis.all_outputs + rows - 1) // rows)
    return blocks * rows


def _levels(code: Across, axis: Axis, pixel: int) -> tuple[list[int], int]:
    """Return (taken, offset, distance) of every level of sums above those in registers, and where the rest begins."""
    if code.kind != "window":
        return [0, 0, 0], 0
    gap = axis.dilation * pixel
    first = code.levels
    blocks, offset, levels = axis.taps >> first, 0, list[int]()
    for level in range(blocks.bit_length()):
        taken = blocks >> level & 1
        distance = gap << (first + level)
        levels += [taken, offset, distance]
        offset += taken * distance
    return levels, offset
