"""A pooling bound to shapes, strides and types: the routine, the words that it is told, and its tables."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import proof
from striderule.algorithms.direct.pooling.axes import Windowed
from striderule.algorithms.direct.pooling.recipe import Layout, layout_of, recipe_of
from striderule.algorithms.direct.pooling.routine import pooling_routine
from striderule.algorithms.windows import pooling as windows
from striderule.codegen import workers
from striderule.codegen.target import Target, current
from striderule.geometry.pooling import FractionalPooling, Pooling

Array = npt.NDArray[Any]
Ints = tuple[int, ...]

# Outputs of all axes up to which a call, with its tables, is kept for the next one.
KEPT = 1 << 16


@dataclass(frozen=True, slots=True)
class Call:
    """A pooling that is ready to run; arrays are seen as (batch, channels, *spatial).

    `template` holds the words that are the same for every call; `tables` keeps alive what they point to. `shape` and
    `dtype` are those of the values, `order` is that of the axes of new results in memory; `places` tells that there are
    places, too.
    """

    address: int
    template: bytes
    tables: tuple[Array, ...]
    tasks: int
    shape: Ints
    order: Ints
    dtype: np.dtype[Any]
    places: bool

    def run(self, x: Array, values: Array | None, places: Array | None) -> tuple[Array, Array | None]:
        """Write values and places to arrays like those that the call was bound to, or to new ones; return them."""
        values = self.maker(self.dtype)() if values is None else values
        places = self.maker(np.dtype(np.int64))() if places is None and self.places else places
        self.write(x, values, places)
        return values, places

    def write(self, x: Array, values: Array, places: Array | None) -> None:
        """Write to arrays that are there."""
        words = array("q", self.template)
        words[0], words[1] = memory.address(x), memory.address(values)
        if places is not None:
            words[2] = memory.address(places)
        workers.run(self.address, words.buffer_info()[0], self.tasks)

    def maker(self, dtype: np.dtype[Any], missing: int = 0) -> Callable[[], Array]:
        """Return what makes arrays for results, without their `missing` first axes."""
        axes = [axis - missing for axis in self.order if axis >= missing]
        inside, turn = tuple(self.shape[missing:][axis] for axis in axes), tuple(np.argsort(axes).tolist())
        # What `memory.empty` leaves to NumPy is left to it here, without asking.
        empty = np.empty if prod(inside) * dtype.itemsize < memory.LEAST else memory.empty
        if turn == tuple(range(len(turn))):
            return lambda: empty(inside, dtype)
        return lambda: empty(inside, dtype).transpose(turn)


def order_of(layout: Layout) -> Ints:
    """Return the axes (0: images, 1: channels, then the spatial ones) from the slowest in memory to the fastest."""
    if layout.lane is None:
        return 0, 1, *layout.order
    return 1 - layout.lane, *layout.order, layout.lane


def call_for(
    kind: str,
    problem: Windowed,
    x: ArrayInfo,
    out: ArrayInfo | None,
    places: ArrayInfo | None,
    dtype: np.dtype[Any],
    starts: list[Array] | None = None,
) -> Call | None:
    """Return the call, or None where generated code does not serve these types, sizes and strides.

    Calls for the latest arrays are kept; not those of fractional poolings, whose windows `starts` are new every time.
    """
    if starts is not None or sum(problem.output_size) > KEPT:
        return _call_for(kind, problem, x, out, places, dtype, current(), starts)
    return _kept_call(kind, problem, x, out, places, dtype, current())


def _call_for(
    kind: str,
    problem: Windowed,
    x: ArrayInfo,
    out: ArrayInfo | None,
    places: ArrayInfo | None,
    dtype: np.dtype[Any],
    target: Target,
    starts: list[Array] | None = None,
) -> Call | None:
    if not _serves(kind, problem, (x, out, places), dtype):
        return None
    steps = _steps(x)
    # The largest is the same whichever axis comes last.
    layout = layout_of(x.shape, steps, any_order=kind == "max" and starts is None, lanes=starts is None)
    order, shape = order_of(layout), problem.output_shape
    values = _made(shape, order, dtype) if out is None else out
    where = None if kind != "argmax" else places or _made(shape, order, np.dtype(np.int64))
    all_steps = steps, _steps(values), _steps(where or values)
    recipe = recipe_of(kind, problem, (x.dtype.name, dtype.name), all_steps, layout, target, starts)
    s = recipe.structure
    routine = proof.compiled(
        s.name,
        s,
        lambda: pooling_routine(target, s),
        target,
        lambda: _agrees(kind, problem, x, values, where, starts),
    )
    words = recipe.words.tobytes()
    return Call(routine.address, words, recipe.tables, recipe.tasks, shape, order, dtype, places=kind == "argmax")


_kept_call = lru_cache(maxsize=256)(_call_for)


def _made(shape: Ints, order: Ints, dtype: np.dtype[Any]) -> ArrayInfo:
    """Return where the elements of a new result stand whose axes follow one another in an order."""
    strides, step = [0] * len(shape), dtype.itemsize
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return ArrayInfo(shape, tuple(strides), dtype)


def _steps(info: ArrayInfo) -> Ints:
    return tuple(step // info.dtype.itemsize for step in info.strides)


def _serves(kind: str, problem: Windowed, infos: tuple[ArrayInfo | None, ...], dtype: np.dtype[Any]) -> bool:
    """Tell whether generated code serves these types, sizes and strides."""
    x = infos[0]
    assert x is not None
    if any(step % info.dtype.itemsize for info in infos if info is not None for step in info.strides):
        return False
    plain = x.dtype.kind in "biuf" and dtype.kind in ("biuf" if kind in ("max", "argmax") else "f")
    ranked = 1 <= problem.rank <= 3 and 0 not in problem.output_shape
    # Places are counted in 32 bits where numbers have no more.
    counted = kind != "argmax" or x.dtype.itemsize == 8 or prod(problem.size) < 2**31 - 2**16
    return plain and ranked and counted


def _agrees(
    kind: str,
    problem: Windowed,
    x: ArrayInfo,
    out: ArrayInfo,
    places: ArrayInfo | None,
    starts: list[Array] | None,
) -> bool:
    """Compare a routine with NumPy on a few drawn images like these."""
    few = min(problem.batch, 2)
    one = replace(problem, batch=few)
    first = None if starts is None else [axis[:few] for axis in starts]

    def room(info: ArrayInfo) -> Array:
        """Return a stand-in, which is not read: the trial draws an array of its shape and strides."""
        return np.lib.stride_tricks.as_strided(np.empty(1, info.dtype), (few, *info.shape[1:]), info.strides)

    def computed(image: Array, values: Array, where: Array) -> tuple[Array, ...]:
        given = ArrayInfo.of(where) if places is not None else None
        call = call_for(kind, one, ArrayInfo.of(image), ArrayInfo.of(values), given, values.dtype, first)
        assert call is not None  # it is being made for arrays that stand like these
        call.write(image, values, where if places is not None else None)
        return (values, where) if places is not None else (values,)

    def expected(image: Array, values: Array, _: Array) -> tuple[Array, ...]:
        if isinstance(one, FractionalPooling):
            found = windows.max_pool_from(first or [], one, image, places is not None)
        elif kind in ("max", "argmax"):
            found = windows.max_pool(one, image, places is not None)
        elif isinstance(one, Pooling) and one.kind == "lp":
            return (windows.lp_pool(one, image, values.dtype),)
        else:
            return (windows.average_pool(one, image, values.dtype),)
        return tuple(part for part in found if part is not None)

    return proof.agree(computed, expected, room(x), room(out), room(places or out))
