"""Image correlations bound to arrays of known shapes, strides and types, and to their taps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.casting import no_integer
from striderule.algorithms.stencil.call import Call

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """What results are: their shape and type, and how many there are; of a single one it may be None."""

    shape: Ints
    dtype: np.dtype[Any]
    count: int | None

    def like(self, x: Array) -> Array:
        """Return memory for the results, which lie as x does; of several the first axis tells them apart."""
        if self.count is None:
            return memory.empty_like(x, self.shape, self.dtype)
        return memory.empty_like(x[None], (self.count, *self.shape), self.dtype)


@dataclass(frozen=True, slots=True)
class Bound:
    """A call with its taps, in the order in which the routine takes them."""

    call: Call
    weights: Array
    room: Room

    def run(self, x: Array, out: Array | None) -> Any:
        """Return the result, in `out` where there is one, or a tuple of several; InvalidArgument where one is NaN."""
        room = self.room
        made = room.like(x) if out is None else out
        if self.call.with_weights(x, self.weights, made):
            raise no_integer(room.dtype)
        return made if room.count is None else tuple(made)
