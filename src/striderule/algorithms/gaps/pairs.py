"""The routine of passes around gaps, in the tile language: bands of the image, and of what is there, and then mended.

y = s + s / v * (sum of all w - v), with the sums s of pixels, 0 where one is missing, and v of what is there. A band of
both is summed by the code of `separable` into a thread's room, so that neither leaves the cache before it is mended.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.algorithms.direct.native import followed
from striderule.algorithms.images.numbers import narrowed
from striderule.algorithms.separable import structure as passes
from striderule.algorithms.separable.routine import in_room, write_band
from striderule.algorithms.separable.spans import spans
from striderule.algorithms.separable.structure import Structure
from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, INT64, Pointer, Routine, Size

EACH = (*passes.POINTERS, *passes.SIZES, *passes.NUMBERS)
"""The words of the passes over pixels ("x_") and over what is there ("t_"), whose results are lines of the room."""
OWN = (
    "result", "shares", "flags", "room", "status", "threads",
    # Bytes of a thread's room; where the other passes' room begins, and the sums of both.
    "room_bytes", "there_at", "sums_at", "met_at",
    # Bytes between rows of results, if their elements are those of sums; the columns.
    "row", "columns",
)  # fmt: skip
NUMBERS = ("magnitude", "whole", "none", "nowhere")
WORDS = (*OWN, *(f"x_{word}" for word in EACH), *(f"t_{word}" for word in EACH), *NUMBERS)


@dataclass(frozen=True, slots=True)
class Pair:
    """What a routine is made for: the passes over pixels and over what is there, and the type of the results.

    `shared` asks for the shares of what is there.
    """

    pixels: Structure
    there: Structure
    final: str
    shared: bool

    @property
    def name(self) -> str:
        """The routine's name."""
        return f"gapped_{self.pixels.name}"


def paired_routine(name: str, target: Target, pair: Pair) -> str:
    """Return the routine as LLVM IR."""
    element = ELEMENTS[pair.pixels.result]
    r = Routine(name, target, element, pointers=WORDS, sizes=())
    flags = r.table("flags")
    slot = r.claim(flags, r.size("threads"))
    base = r.pointer("room").skip(slot * r.size("room_bytes"))
    sums, met = base.skip(r.size("sums_at")), base.skip(r.size("met_at"))
    parts = [
        (r.part(prefix, ELEMENTS[s.work]), s, prefix, room, goal)
        for prefix, s, room, goal in (
            ("x_", pair.pixels, base, sums), ("t_", pair.there, base.skip(r.size("there_at")), met)
        )
    ]  # fmt: skip
    written = [(part, s, goal, *in_room(part, s, room.of(ELEMENTS[s.work]))) for part, s, _, room, goal in parts]
    size = parts[0][0].size
    with r.tasks() as task:
        band, plane = task % size("bands"), task // size("bands")
        first = band * size("band")
        for part, s, goal, room, across in written:
            x_at, _ = followed(part, plane, 0, 0)
            # Rows are counted from the first one of the plane.
            y = goal.skip(0 - first * part.size("y_row"))
            write_band(part, s, room, across, band, part.pointer("x", ELEMENTS[s.source]).skip(x_at), y)
        _, y_at = followed(parts[0][0], plane, 0, 0)
        with r.loop((size("height") - first).smaller(size("band"))) as i:
            final = ELEMENTS[pair.final]
            at, far = (y_at + (first + i) * r.size("row")) // element.itemsize, i * size("y_row")
            _mend(r, pair, (sums.skip(far), met.skip(far)), r.pointer("result", final) + at, r.pointer("shares") + at)
    watch = written[0][4].watch
    if watch is not None:
        part = parts[0][0]
        with part.when(part.any(watch.value.is_nan())):
            part.store(part.constant(1, INT64, 1), r.table("status"))
    r.give_back(flags, slot)
    return r.finish()


def _mend(r: Routine, pair: Pair, found: tuple[Pointer, Pointer], y: Pointer, shares: Pointer) -> None:
    """Write a row of results, and of shares."""
    sums, met = found
    numbers = {word: r.number(word) for word in NUMBERS}

    def body(start: Size, vectors: int, lanes: int) -> None:
        told = {word: one if lanes == r.lanes else r.shuffle(one, one, range(lanes)) for word, one in numbers.items()}
        for v in range(vectors):
            at = start + v * lanes
            s, there = r.load(sums + at, lanes=lanes), r.load(met + at, lanes=lanes)
            value = s + s / there * (told["magnitude"] - there)
            value = r.select(there.less(told["whole"]), value, s)
            value = r.select(there.less_equal(told["none"]), told["nowhere"], value)
            r.store(narrowed(r, value, ELEMENTS[pair.final]), y + at)
            if pair.shared:
                r.store(r.at_most(there / told["whole"], 1), shares + at)

    spans(r, r.size("columns"), 2, body)
