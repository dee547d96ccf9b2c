"""Copies of images whose axes lie in the other order: squares of elements, turned in registers, on all threads."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.native import Call
from striderule.codegen.target import Target, current
from striderule.codegen.tile import UINT8, UINT16, UINT32, UINT64, Routine

Array = npt.NDArray[Any]
POINTERS = ("x", "y")
SIZES = ("rows", "columns", "x_step", "y_step")
UNITS = {1: UINT8, 2: UINT16, 4: UINT32, 8: UINT64}
# Elements of a side of a square at most, and bytes of the lines of the result that a task writes.
SIDE, LINE = 16, 64


@dataclass(frozen=True, slots=True)
class Squares:
    """The code of a copy: the bytes of an element, the elements of a side of a square, and of a task."""

    itemsize: int
    side: int
    wide: int

    @property
    def name(self) -> str:
        """The routine's name."""
        return f"squares_{self.itemsize}_{self.side}"


def turn(x: Array, y: Array) -> bool:
    """Copy x to y of two axes, of which the last lies side by side in x, and the first in y; False if it cannot."""
    side = min(SIDE, current().lanes(x.itemsize)) if x.itemsize in UNITS else 0
    if not side or min(x.shape) < side:
        return False
    call = giving_way.attempt(_bound, x.shape, x.strides, y.strides, x.dtype, side, current().name)
    if call is None:
        return False
    call.run(x, y)
    return True


@lru_cache(maxsize=64)
def _bound(
    shape: tuple[int, int],
    x_steps: tuple[int, int],
    y_steps: tuple[int, int],
    dtype: np.dtype[Any],
    side: int,
    _target: str,
) -> Call:
    target = current()
    squares = Squares(dtype.itemsize, side, max(side, LINE // dtype.itemsize))
    x = np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, x_steps)

    def made() -> Call:
        routine = proof.compiled(squares.name, squares, lambda: squares_routine(squares, target), target, trial)
        words = array("q", [0, 0, *shape, x_steps[0], y_steps[1]])
        return Call(routine.address, words, -(-shape[0] // squares.wide), None)

    def trial() -> bool:
        def computed(image: Array) -> Array:
            result = np.empty(shape, dtype, order="F")
            source = np.ascontiguousarray(image)
            words = array("q", [0, 0, *shape, source.strides[0], result.strides[1]])
            made().telling(words).run(source, result)
            return result

        return proof.agree(computed, lambda image: image, x)

    return made()


def squares_routine(s: Squares, target: Target) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(s.name, target, UNITS[s.itemsize], pointers=POINTERS, sizes=SIZES)
    x, y, side = r.pointer("x"), r.pointer("y"), s.side
    rows, columns = r.size("rows"), r.size("columns")
    with r.tasks() as task:
        first = task * s.wide
        count = (rows - first).smaller(s.wide)
        with r.loop((columns + (side - 1)) // side) as j, r.loop((count + (side - 1)) // side) as i:
            # The last squares of a line end with it, and overlap those before.
            row = (first + i * side).smaller(rows - side)
            column = (j * side).smaller(columns - side)
            source = (x + column).skip(row * r.size("x_step"))
            goal = (y + row).skip(column * r.size("y_step"))
            step = r.size("x_step")
            for k, one in enumerate(r.transpose([r.load(source.skip(step * k), lanes=side) for k in range(side)])):
                r.store(one, goal.skip(r.size("y_step") * k))
    return r.finish()
