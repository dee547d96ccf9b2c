"""Image correlation: the routine of `routine`, bound to arrays and called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.casting import finished, no_integer, result_type
from striderule.algorithms.direct import giving_way
from striderule.algorithms.stencil.bound import Bound, Room
from striderule.algorithms.stencil.call import Kernels, call_for, combined
from striderule.algorithms.stencil.structure import SUMS, Results
from striderule.algorithms.windows import stencil as windows
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]


def stencil(problem: Convolution, x: Array, kernel: Array, fill: Any = 0, out: Array | None = None) -> Array:
    """out[.., j] = sum over taps t that are not zero of kernel[t] * x[.., j * stride + t * dilation - before].

    `x` is (*planes, *size) with any number of plane axes; the result is (*planes, *output size) in the result's type of
    the problem, written to `out` where there is one, and else in the memory order of `x`. Gives way to `windows`, with
    one warning, where no code can be made.
    """
    final, work = result_type(problem), np.dtype(problem.dtype)
    shape = (*x.shape[: x.ndim - problem.rank], *problem.output_size)
    stored = final if stores(work, final, problem.overflow) else work
    result = out if out is not None and stored == final else memory.empty_like(x, shape, stored)
    taps = np.ascontiguousarray(kernel, work)[None]
    if result.size == 0 or not taps.any():
        result[...] = 0
    else:
        near, seen = windows.closed_up(problem, x, fill)
        call = giving_way.attempt(call_for, near, Kernels.of(taps), fill, ArrayInfo.of(seen), ArrayInfo.of(result))
        if call is None:
            return windows.stencil(problem, x, kernel, fill, out)
        if call.run(seen, taps, result):
            raise no_integer(final)
    return result if stored == final else finished(problem, result, out)


def lengths(problem: Convolution, x: Array, kernels: Array, fill: Any = 0, out: Array | None = None) -> Array:
    """Return the root of the sum of the squares of what several kernels give, in one pass over the image.

    The problem has an output channel for each of `kernels`; all else is as for `stencil`. Large floats do not overflow
    on the way, and small ones do not vanish.
    """
    return together(problem, x, kernels, fill, ("length",), None if out is None else [out])[0]


def together(
    problem: Convolution,
    x: Array,
    kernels: Array,
    fill: Any,
    results: Results,
    out: Sequence[Array] | None = None,
) -> Sequence[Array]:
    """Return `results` of what several kernels give, each like that of `stencil`, in one reading of the image.

    The problem has an output channel for each of `kernels`; all else is as for `stencil`, but that a direction, which
    takes two kernels, is no integer. Arrays of `out` have the same strides.
    """
    single = replace(problem, out_channels=1)
    final, work = result_type(problem), np.dtype(problem.dtype)
    count = sum(len(kernels) if word == "sums" else 1 for word in results)
    stored = final if stores(work, final, problem.overflow) else work
    if out is not None and stored == final:
        made = out
    else:
        shape = (count, *x.shape[: x.ndim - problem.rank], *problem.output_size)
        made = list(memory.empty_like(x[None], shape, stored))
    taps = np.ascontiguousarray(kernels, work)
    places = tuple(memory.address(one) - memory.address(made[0]) for one in made)
    infos = ArrayInfo.of(x), ArrayInfo.of(made[0])
    call = giving_way.attempt(call_for, single, Kernels.of(taps), fill, *infos, places, results)
    if call is None:
        plain = replace(single, stored=(x.dtype.name, work.name), overflow="saturate")
        made = combined([windows.stencil(plain, x, kernel, fill) for kernel in taps], results)
    elif call.run(x, taps, made[0]):
        raise no_integer(final)
    if made is out:
        return made
    goals: Sequence[Array | None] = [None] * count if out is None else out
    return [finished(problem, one, goal) for one, goal in zip(made, goals, strict=True)]


def bound_for(
    problem: Convolution,
    x: Array,
    kernel: Array,
    fill: Any = 0,
    out: Array | None = None,
    *,
    results: Results | None = None,
) -> Bound | None:
    """Return what computes the correlation of arrays like x and `out` with no more ado; None if more is needed.

    With `results` it is these of several kernels, as for `together`; of more than one there is no `out`.
    """
    single = problem if results is None else replace(problem, out_channels=1)
    final, work = result_type(problem), np.dtype(problem.dtype)
    shape = (*x.shape[: x.ndim - problem.rank], *problem.output_size)
    taps = np.ascontiguousarray(kernel[None] if results is None else kernel, work)
    if x.size == 0 or 0 in shape or not taps.any() or not stores(work, final, problem.overflow):
        return None
    near, seen = windows.closed_up(single, x, fill)
    if seen is not x:
        return None
    words = SUMS if results is None else results
    count = sum(len(taps) if word == "sums" else 1 for word in words)
    room = Room(shape, final, None if count == 1 else count)
    made = room.like(x) if out is None else out
    first = made if room.count is None else made[0]
    places = tuple(i * (0 if room.count is None else made.strides[0]) for i in range(count))
    infos = ArrayInfo.of(x), ArrayInfo.of(first)
    call = giving_way.attempt(call_for, near, Kernels.of(taps), fill, *infos, places, words)
    return None if call is None else Bound(call, call.weights(taps), room)


def stores(work: np.dtype[Any], final: np.dtype[Any], overflow: str) -> bool:
    """Tell whether the routine stores sums in a type; elsewhere NumPy casts what it has stored."""
    if work == final:
        return True
    if final.kind == "c" or overflow == "refuse":
        return False
    if final == np.float16:  # of others it would round twice
        return work == np.float32
    # Floats that wrap take integers wider than any.
    return final.kind == "f" or work.kind != "f" or overflow == "saturate"
