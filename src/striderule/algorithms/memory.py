"""Memory that is used again: a fresh page costs more than many a filter spends on it.

`empty` makes results. When the last view of one is gone its memory waits for the next; what waits is bounded. `scratch`
lends a thread room for the time of a computation.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.codegen.entries import HEAD, reads_heads, word_at

Array = npt.NDArray[Any]

# Smaller arrays come from NumPy, whose own allocator keeps their pages.
LEAST = 1 << 16
# Bytes that may wait to be used again, in all and for each thread's room.
MOST = 1 << 26
# And for results, as much as makes up with those in use what was in use at once before: a training step lets go all
# that it kept, and the next one wants it again. So that waits, but not more than this.
MOST_AGAIN = 1 << 29
ALIGNMENT = 64


class _Waiting:
    """Pieces of memory that nobody uses, by size; and how many bytes are in use, and were at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: dict[int, list[Array]] = {}
        self._bytes = self._used = self._peak = 0
        # Bytes no longer in use that are not counted off yet.
        self._ended: list[int] = []

    def take(self, size: int) -> Array | None:
        """Return a piece of exactly `size` bytes, or None; either way so many more are in use."""
        with self._lock:
            self._count_off()
            self._used = used = self._used + size
            self._peak = max(self._peak, used)
            pieces = self._pieces.get(size)
            if not pieces:
                self._trim(0)  # what is made now counts, too
                return None
            self._bytes -= size
            return pieces.pop()

    def give(self, piece: Array) -> None:
        """Keep a piece for the next taker; drop others, or it, where there is too much."""
        size = piece.nbytes
        self._ended.append(size)
        # Not waiting for the lock: garbage collection may call this while `take` or `give` holds it.
        if not self._lock.acquire(False):
            return
        try:
            self._count_off()
            if size > MOST:
                return
            if self._bytes + size > MOST:
                self._trim(size)
            pieces = self._pieces.get(size)
            if pieces is None:
                self._pieces[size] = [piece]
            else:
                pieces.append(piece)
            self._bytes += size
        finally:
            self._lock.release()

    def _trim(self, size: int) -> None:
        """Drop pieces until `size` bytes more may wait; the lock is held."""
        most = max(MOST, min(self._peak - self._used, MOST_AGAIN))
        while self._bytes + size > most:
            first = next(each for each, pieces in self._pieces.items() if pieces)
            self._pieces[first].pop()
            self._bytes -= first

    def _count_off(self) -> None:
        """Count off what is no longer in use; the lock is held."""
        while self._ended:
            self._used = max(0, self._used - self._ended.pop())


_waiting = _Waiting()


class _Watch(weakref.ref[Array]):
    """Waits for a lease to end. What `weakref.finalize` does, in a third of its time."""

    __slots__ = ("piece",)
    piece: Array


# Those that wait: a reference that nobody keeps calls nobody.
_watches: dict[int, _Watch] = {}


def _ended(watch: weakref.ref[Array]) -> None:
    _waiting.give(_watches.pop(id(watch)).piece)


def _rounded(size: int) -> int:
    """Return the size of the piece for `size` bytes: an eighth of a power of two, so that sizes meet again."""
    step = max((1 << size.bit_length()) >> 4, ALIGNMENT)
    return -(-size // step) * step


def empty(shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Return an uninitialised array like ``numpy.empty``, aligned to 64 bytes and maybe of memory used before.

    >>> empty((2, 3), "float32").shape
    (2, 3)
    """
    kind = np.dtype(dtype)
    size = prod(shape) * kind.itemsize
    if size < LEAST:
        return np.empty(shape, kind)
    whole = _rounded(size)
    piece = _waiting.take(whole)
    if piece is None:
        fresh = np.empty(whole + ALIGNMENT, np.uint8)
        start = -address(fresh) % ALIGNMENT
        piece = fresh[start : start + whole]
    # Views of an array keep the array that owns the memory, not those between; a buffer keeps the very object that gave
    # it. So all views of the result keep the memory view below it, and that keeps the lease.
    lease = piece[:size]
    watch = _Watch(lease, _ended)
    watch.piece = piece
    _watches[id(watch)] = watch
    return np.frombuffer(lease.data, kind).reshape(shape)


def empty_like(x: Array, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Return `empty` memory of a shape with as many axes as x has, which follow one another in memory as those of x do.

    >>> empty_like(np.zeros((2, 3)).T, (4, 5), "float32").strides
    (4, 16)
    """
    if x.flags.c_contiguous:
        return empty(shape, dtype)
    # An axis of one element goes with the next one, whatever its step.
    steps = [0] * (x.ndim + 1)
    for axis in reversed(range(x.ndim)):
        steps[axis] = abs(x.strides[axis]) if x.shape[axis] > 1 else steps[axis + 1]
    order = sorted(range(x.ndim), key=lambda axis: -steps[axis])
    return empty([shape[axis] for axis in order], dtype).transpose(np.argsort(order))


def maker(x: Array, shape: Sequence[int], dtype: npt.DTypeLike) -> Callable[[], Array]:
    """Return what makes one `empty_like` after the other."""
    kind = np.dtype(dtype)
    if not x.flags.c_contiguous:
        return partial(empty_like, x, shape, kind)
    return partial(np.empty if prod(shape) * kind.itemsize < LEAST else empty, tuple(shape), kind)


def alike(x: Array, other: Array) -> bool:
    """Tell whether two arrays of a shape have their elements at the same distances; axes of one element have none.

    >>> alike(np.zeros((1, 3))[:, ::-1][:, ::-1], np.zeros((2, 3))[:1])
    True
    """
    steps = zip(x.shape, x.strides, other.strides, strict=True)
    return x.shape == other.shape and all(one == two for n, one, two in steps if n != 1)


def _asked(array: Array) -> int:
    return int(array.ctypes.data)


# Reading it in the head of the array costs a fifth of asking for `array.ctypes.data`.
def _read(array: Array) -> int:
    return word_at(id(array) + HEAD).value  # type: ignore[return-value]  # no array begins at 0


address: Callable[[Array], int] = _read if reads_heads() else _asked
"""Return the address of the first element of an array, quickly. The array must outlive the use of it."""


class Room(NamedTuple):
    """Memory that is lent: its bytes, aligned, their number, and the address of the first."""

    bytes: Array
    size: int
    address: int


_rooms = threading.local()


def room(name: str, size: int) -> Room:
    """Return room for at least `size` bytes, uninitialised, that this thread may use until it asks for `name` again.

    Whoever takes the address keeps the room itself as long.
    """
    found: Room | None = getattr(_rooms, name, None)
    if found is None or found.size < size:
        whole = np.empty(_rounded(size) + ALIGNMENT, np.uint8)
        start = -address(whole) % ALIGNMENT
        found = Room(whole[start : whole.size - ALIGNMENT + start], whole.size - ALIGNMENT, address(whole) + start)
        if size <= MOST:
            setattr(_rooms, name, found)
    return found


def scratch(name: str, count: int, dtype: npt.DTypeLike) -> Array:
    """Return room for `count` elements, uninitialised, that this thread may use until it asks for `name` again."""
    kind = np.dtype(dtype)
    size = count * kind.itemsize
    part: Array = room(name, size).bytes[:size].view(kind)
    return part
