"""Recipes of operations that one call of machine code does: from x, and numbers of its channels, to the result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from striderule.algorithms import memory
from striderule.algorithms.memory import address
from striderule.codegen.workers import alone, run
from striderule.errors import CompilationFailed
from striderule.functional import recipes
from striderule.functional.door import Array

if TYPE_CHECKING:
    from striderule.algorithms.direct.native import Call


class Move(recipes.Recipe):
    """An operation of x, and of numbers that stand side by side; the result stands in memory as x does.

    `shape` and `dtype` are those of the result. `same` says that `out` may be x itself; results that are not `ordered`
    as x is have the last axis fastest.
    """

    __slots__ = ("_out_span", "_spans", "call", "dtype", "plain", "same", "shape")

    def __init__(
        self, call: Call, arrays: Sequence[Array | None], out: Array, *, same: bool = False, ordered: bool = True
    ) -> None:
        self.plain = not ordered or arrays[0] is None or arrays[0].flags.c_contiguous
        self.call, self.shape, self.dtype, self.same = call, out.shape, out.dtype, same
        # The first and the last byte of each array from its address on: what overlap is told by.
        self._spans = [(0, 0) if one is None else _span(one) for one in arrays]
        self._out_span = _span(out)

    def perform(self, x: Array, *arrays: Any) -> Array:
        """Return the result of arrays that are checked, written to `out` if there is one."""
        found = self.run(x, *arrays)
        assert found is not None  # the check before was the same
        return found

    def run(self, x: Array, *arrays: Any) -> Array | None:
        """Return the result, or None if `out` needs a closer look."""
        call, out = self.call, arrays[-1]
        words = call.words[:]
        words[0] = at = address(x)
        if out is None:
            result = (
                memory.empty(self.shape, self.dtype) if self.plain else memory.empty_like(x, self.shape, self.dtype)
            )
            words[1] = address(result)
        elif out.flags.writeable:
            result = out
            words[1] = where = address(out)
            low, high = self._out_span
            low, high = where + low, where + high
            first, last = self._spans[0]
            if at + first < high and low < at + last and not (self.same and out is x):
                return None
        else:
            return None
        for i, numbers in enumerate(arrays[:-1], 1):
            if numbers is not None:
                words[i + 1] = at = address(numbers)
                if out is not None and at < high and low < at + self._spans[i][1]:
                    return None
        if call.threads == 1:
            alone(call.address, words.buffer_info()[0], call.tasks)
        else:
            run(call.address, words.buffer_info()[0], call.tasks)
        return result


class ChannelMove(Move):
    """A `Move` that reads the statistics and parameters of channels, too."""

    roles: ClassVar[tuple[str, ...]] = ("x", "running_mean", "running_var", "weight", "bias", "out")
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
    ordered: bool = True,
) -> None:
    """Offer what later calls like this one need, where `bind` makes a call of machine code for arrays like a result.

    Results stand in memory as x does, or, if not `ordered`, with the last axis fastest.
    """
    if bind is None:
        return
    with contextlib.suppress(CompilationFailed):
        result = (
            out if out is not None else memory.empty_like(x, shape, dtype) if ordered else memory.empty(shape, dtype)
        )
        call = bind(result)
        if call is not None:
            recipes.offer(Move(call, (x,), result, ordered=ordered))
