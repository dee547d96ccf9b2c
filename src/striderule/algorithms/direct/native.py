"""A call of machine code that is ready but for the addresses of its arrays."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.memory import address
from striderule.codegen import entries, workers

if TYPE_CHECKING:  # what it stands for is loaded when a routine is written
    from striderule.codegen.tile import Routine, Size

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


class Call:
    """A routine, its words, of which the first are the addresses of the arrays, and what the others point to.

    ``call.run(*arrays)`` runs it on arrays whose shapes, strides and types are those that it was made for, or None.
    """

    __slots__ = ("address", "kept", "run", "tasks", "threads", "words")
    run: Callable[..., None]

    def __init__(self, address: int, words: array[int], tasks: int, threads: int | None, kept: Any = None) -> None:
        """Make a call; `threads` is 1 where the calling thread does it all, None for as many as a call may use."""
        self.address, self.words, self.tasks, self.threads, self.kept = address, words, tasks, threads, kept

    def __getattr__(self, name: str) -> Any:
        """Make `run` when it is first wanted; all else is there."""
        if name != "run":
            raise AttributeError(name)
        entry = entries.entry(self.address, self.words, self.tasks, self.kept) if self.threads == 1 else None
        self.run = entry or self._run
        return self.run

    def telling(self, words: array[int]) -> Call:
        """Return the call with other words."""
        return Call(self.address, words, self.tasks, self.threads, self.kept)

    def _run(self, *arrays: Array | None) -> None:
        words = self.words[:]
        for i, one in enumerate(arrays):
            if one is not None:
                words[i] = address(one)
        if self.threads == 1:
            workers.alone(self.address, words.buffer_info()[0], self.tasks)
        else:
            workers.run(self.address, words.buffer_info()[0], self.tasks)


def merged(walks: Iterable[Ints]) -> list[Ints]:
    """Return walks over the axes of arrays from the innermost outwards, joined where two go on like one in all arrays.

    Each is a size and the steps of the arrays; the last array says which are inner ones.

    >>> merged([(4, 60, 60), (5, 12, 12), (3, 4, 4), (1, 7, 7)])
    [(60, 4, 4)]
    """
    result: list[Ints] = []
    for walk in sorted((walk for walk in walks if walk[0] != 1), key=lambda walk: abs(walk[-1])):
        last = result[-1] if result else None
        if last is not None and walk[1:] == tuple(last[0] * step for step in last[1:]):
            result[-1] = (walk[0] * last[0], *last[1:])
        else:
            result.append(walk)
    return result


def words_of(walks: Iterable[Ints]) -> npt.NDArray[np.int64]:
    """Return walks one behind the other as a routine reads them; one word at least, so that it has an address."""
    words = np.array([word for walk in walks for word in walk] or [0], np.int64)
    words.setflags(write=False)
    return words


def followed(r: Routine, number: Size, *starts: Size | int) -> list[Size]:
    """Write how walks are followed: return each start moved to where `number` stands, counted along all walks.

    The routine finds `words_of` them in its table "walk", each with as many steps as there are starts, and their number
    in its size "walks".
    """
    rest, places, fields = r.count(number), [r.count(start) for start in starts], 1 + len(starts)
    walks, table = r.size("walks"), r.table("walk")

    def move(w: Size, index: Size) -> None:
        for field, place in enumerate(places, 1):
            place.set(place.value + index * r.entry(table, w * fields + field))

    # The last walk needs no division, which takes longer than all else here.
    with r.loop(walks - 1) as w:
        size = r.entry(table, w * fields)
        move(w, rest.value % size)
        rest.set(rest.value // size)
    with r.when(walks.above(0)):
        move(walks - 1, rest.value)
    return [place.value for place in places]
