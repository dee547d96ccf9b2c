"""A call of machine code that is ready but for the addresses of its arrays."""

from __future__ import annotations

from array import array
from typing import Any, NamedTuple

import numpy.typing as npt

from striderule.algorithms.memory import address
from striderule.codegen import workers

Array = npt.NDArray[Any]


class Call(NamedTuple):
    """A routine, its words, of which the first are the addresses of the arrays, and what the others point to."""

    address: int
    words: array[int]
    tasks: int
    # 1 where the calling thread does it all; None for as many as a call may use.
    threads: int | None
    kept: Any = None

    def run(self, *arrays: Array | None) -> None:
        """Run the routine on arrays whose shapes, strides and types are those that it was made for, or None."""
        words = self.words[:]
        for i, one in enumerate(arrays):
            if one is not None:
                words[i] = address(one)
        if self.threads == 1:
            workers.alone(self.address, words.buffer_info()[0], self.tasks)
        else:
            workers.run(self.address, words.buffer_info()[0], self.tasks)
