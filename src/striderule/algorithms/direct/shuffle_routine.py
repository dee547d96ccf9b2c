"""Rows of pixels mixed from rows of channels, and parted again, in the tile language."""

from __future__ import annotations

from dataclasses import dataclass

from striderule.algorithms.direct.native import followed
from striderule.codegen.target import Target
from striderule.codegen.tile import UINT8, UINT16, UINT32, UINT64, Pointer, Routine, Size, Vector

POINTERS = ("x", "y", "walk")
# Steps in bytes: those of a walk, in x and y; from row to row, and from one of the `factor` rows of channels to the
# next.
SIZES = ("walks", "rows", "x_row", "y_row", "task_rows", "row_tasks", "length", "step")
UNITS = {1: UINT8, 2: UINT16, 4: UINT32, 8: UINT64}
FACTORS = (2, 3, 4)


@dataclass(frozen=True, slots=True)
class Mix:
    """The structure: bytes of an element, how many rows are mixed, or parted if `apart`."""

    itemsize: int
    factor: int
    apart: bool

    @property
    def name(self) -> str:
        """What the routine is called."""
        return f"{'part' if self.apart else 'mix'}{self.factor}_{self.itemsize}"


def mix_routine(mix: Mix, target: Target) -> str:
    """Return the routine as LLVM IR: y[i * factor + k] = x_k[i], or y_k[i] = x[i * factor + k] if `apart`.

    Elements follow each other in rows of `length` channels' elements. A task is `task_rows` rows.
    """
    r = Routine(mix.name, target, UNITS[mix.itemsize], pointers=POINTERS, sizes=SIZES)
    with r.tasks() as task:
        first = task % r.size("row_tasks") * r.size("task_rows")
        x, y = followed(r, task // r.size("row_tasks"), first * r.size("x_row"), first * r.size("y_row"))
        with r.loop((r.size("rows") - first).smaller(r.size("task_rows"))) as k:
            source = r.pointer("x").skip(x + k * r.size("x_row"))
            _row(r, mix, source, r.pointer("y").skip(y + k * r.size("y_row")))
    return r.finish()


def _row(r: Routine, mix: Mix, x: Pointer, y: Pointer) -> None:
    """Move a row: vectors, then the rest with half as many lanes each time."""
    length = r.size("length")
    done, lanes = length * 0, r.lanes
    while lanes:
        whole = length // lanes * lanes
        with r.loop(whole - done, step=lanes) as i:
            _vectors(r, mix, x, y, done + i, lanes)
        done, lanes = whole, lanes // 2


def _vectors(r: Routine, mix: Mix, x: Pointer, y: Pointer, at: Size, lanes: int) -> None:
    rows = range(mix.factor)

    def apart(base: Pointer, k: int) -> Pointer:
        return base.skip(r.size("step") * k) + at

    def together(base: Pointer, k: int) -> Pointer:
        return base + (at * mix.factor + k * lanes)

    source, target = (together, apart) if mix.apart else (apart, together)
    vectors = [r.load(source(x, k), lanes=lanes) for k in rows]
    for k in rows:
        # Place p of all vectors one behind the other goes to `factor` p apart, or comes from there.
        places = [(p % mix.factor, p // mix.factor) for p in range(k * lanes, (k + 1) * lanes)]
        if mix.apart:
            places = [divmod(p * mix.factor + k, lanes) for p in range(lanes)]
        r.store(picked(r, vectors, places), target(y, k))


def picked(r: Routine, vectors: list[Vector], places: list[tuple[int, int]]) -> Vector:
    """Return a vector of lanes from several vectors, each named by its vector and its lane there."""
    lanes = len(places)
    result = vectors[0]
    for number in range(1, len(vectors)):
        # Lanes of the first vector are placed along with those of the second.
        old = [lane if number == 1 else at for at, (_, lane) in enumerate(places)]
        pattern = [lanes + lane if vector == number else old[at] for at, (vector, lane) in enumerate(places)]
        result = r.shuffle(result, vectors[number], pattern)
    return result
