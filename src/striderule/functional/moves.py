"""Recipes of operations that one call of machine code does: from x, and numbers of its channels, to the result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from striderule.algorithms import memory
from striderule.algorithms.memory import address as address_of
from striderule.errors import CompilationFailed
from striderule.functional import recipes
from striderule.functional.door import Array

if TYPE_CHECKING:
    from striderule.algorithms.direct.native import Call


class Move(recipes.Recipe):
    """An operation of x; the result stands in memory as x does.

    `shape` and `dtype` are those of the result. `same` says that `out` may be x itself; results that are not `ordered`
    as x is have the last axis fastest.
    """

    __slots__ = ("_out_span", "_span", "call", "dtype", "empty", "plain", "same", "shape")

    def __init__(self, call: Call, x: Array, out: Array, *, same: bool = False, ordered: bool = True) -> None:
        self.plain = not ordered or x.flags.c_contiguous
        self.call, self.shape, self.dtype, self.same = call, out.shape, out.dtype, same
        # What `memory.empty` leaves to NumPy is left to it here, without asking.
        self.empty = np.empty if out.nbytes < memory.LEAST else memory.empty
        # The first and the last byte of an array from its address on: what overlap is told by.
        self._span, self._out_span = _span(x), _span(out)

    def perform(self, *arrays: Any) -> Array:
        """Return the result of arrays that are checked, written to `out` if there is one."""
        found = self.run(*arrays)
        assert found is not None  # the check before was the same
        return found

    def run(self, *arrays: Any) -> Array | None:
        """Return the result, or None if the arrays need a closer look."""
        x, out = arrays
        result = self._placed(x, out)
        if result is not None:
            self.call.run(x, result)
        return result

    def _placed(self, x: Array, out: Array | None, *numbers: Array | None) -> Array | None:
        """Return `out` or a new array for the result; None if what is given does not do."""
        if not x.flags.aligned:
            return None
        if out is None:
            return self.empty(self.shape, self.dtype) if self.plain else memory.empty_like(x, self.shape, self.dtype)
        flags = out.flags
        if not (flags.aligned and flags.writeable):
            return None
        # The first and the last byte of what is written.
        at, where = address_of(x), address_of(out)
        (first, last), (low, high) = self._span, self._out_span
        low, high = where + low, where + high
        if at + first < high and low < at + last and not (self.same and out is x):
            return None
        for one in numbers:
            if one is not None:
                at = address_of(one)
                if at < high and low < at + one.nbytes:
                    return None
        return out


class NumberedMove(Move):
    """A `Move` that reads numbers of channels, too, which stand side by side."""

    __slots__ = ()

    def run(self, *arrays: Any) -> Array | None:
        """Return the result, or None if the arrays need a closer look."""
        x, *numbers, out = arrays
        result = self._placed(x, out, *numbers)
        if result is not None:
            self.call.run(x, result, *numbers)
        return result


class ChannelMove(NumberedMove):
    """A `Move` that reads the statistics and parameters of channels."""

    roles: ClassVar[tuple[str, ...]] = ("x", "running_mean", "running_var", "weight", "bias", "out")
    __slots__ = ()


class SlopeMove(NumberedMove):
    """A `Move` that reads slopes."""

    roles: ClassVar[tuple[str, ...]] = ("x", "weight", "out")
    __slots__ = ()


def _span(a: Array) -> tuple[int, int]:
    reach = [(n - 1) * step for n, step in zip(a.shape, a.strides, strict=True)]
    return sum(step for step in reach if step < 0), a.itemsize + sum(step for step in reach if step > 0)


def offer(
    bind: Callable[[Array], Call | None] | None,
    x: Array,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    out: Array | None,
    *,
    same: bool = False,
    ordered: bool = True,
    slopes: Array | None = None,
) -> None:
    """Offer what later calls like this one need, where `bind` makes a call of machine code for arrays like a result.

    Results stand in memory as x does, or, if not `ordered`, with the last axis fastest. `same` says that `out` may be
    x. `slopes` are read where they stand, at each call.
    """
    if bind is None:
        return
    with contextlib.suppress(CompilationFailed):
        result = (
            out if out is not None else memory.empty_like(x, shape, dtype) if ordered else memory.empty(shape, dtype)
        )
        call = bind(result)
        if call is None:
            return
        if slopes is None:
            recipes.offer(Move(call, x, result, same=same, ordered=ordered))
        else:
            recipes.offer(SlopeMove(call, x, result, same=same))
