"""Image correlation with sums of outer products: passes along the axes, the last two of which are fused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.casting import finished, result_type
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.images.factors import factored
from striderule.algorithms.images.numbers import fits
from striderule.algorithms.images.terms import Terms
from striderule.algorithms.separable.call import Axis, Passes, cut
from striderule.algorithms.separable.layout import layout_of, order_of, straight
from striderule.algorithms.separable.routine import passes_routine
from striderule.algorithms.separable.structure import POINTERS, SHORT
from striderule.algorithms.windows import stencil as windows
from striderule.codegen import workers
from striderule.codegen.target import current
from striderule.codegen.tile import ELEMENTS
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass along an axis of x: how it goes over it, and the profile of every term, in the type of the sums."""

    axis: int
    how: Axis
    profiles: Array


def stencil(
    problem: Convolution,
    x: Array,
    kernel: Array | Terms,
    fill: Any = 0,
    out: Array | None = None,
    variant: str | None = None,
) -> Array:
    """out[.., j] = sum over taps t that are not zero of kernel[t] * x[.., j * stride + t * dilation - before].

    `x` is (*planes, *size) with any strides; the result comes in its type of the problem, written to `out` where there
    is one. A kernel that is no `Terms` is taken for the sum of as many outer products as `variant` says. Gives way to
    `windows` where no code can be made, and where infinities would meet others than the definition lets them meet.
    """
    terms = kernel if isinstance(kernel, Terms) else factored(kernel, int((variant or "rank1").removeprefix("rank")))
    shape = (*x.shape[: x.ndim - problem.rank], *problem.output_size)
    done = None
    if 0 not in x.shape and 0 not in shape and all(one.any() for term in terms.terms for one in term):
        done = giving_way.attempt(_computed, problem, x, terms, fill, out)
    return windows.stencil(problem, x, kernel, fill, out) if done is None else done


def _computed(problem: Convolution, x: Array, terms: Terms, fill: Any, out: Array | None) -> Array | None:
    """Return the result, or None where values were not finite that had to be."""
    final = result_type(problem)
    source = x if x.dtype.isnative and x.dtype.name in ELEMENTS else x.astype(problem.dtype)
    work, exact = _arithmetic(problem, source, terms)
    passes = _passes(problem, x.ndim - problem.rank, terms, work)
    whole = not problem.dtype.startswith("float")
    # Sums in the result's type, unless a sum must be refused or wrapped first; integers come from integers alone.
    fused = final.kind == "f" or (whole and final.name in ("int32", "int64"))
    fused = fused or (
        source.dtype.kind in "biu"
        and problem.overflow == "saturate"
        and final.name in ELEMENTS
        and fits(ELEMENTS[work.name], ELEMENTS[final.name])
    )
    kind = final if fused else work
    target = out if fused and out is not None and out.flags.aligned else None
    settings = _Settings(work, exact, whole and final.itemsize >= 4, terms.divisor)
    result = _in_steps(source, passes, fill, kind, target, settings)
    if result is None and terms.divisor != 1 and work == np.float32:
        # Sums of large numbers leave float32 where their means do not.
        wide = replace(settings, work=np.dtype(np.float64))
        passes = _passes(problem, x.ndim - problem.rank, terms, wide.work)
        result = _in_steps(source, passes, fill, kind, target, wide)
    if result is None:
        return None
    if fused and (out is None or result is out):
        return result
    return finished(problem, result, out)


@dataclass(frozen=True, slots=True)
class _Settings:
    """How sums are formed: in which type, whether without error, as whole numbers, and divided by what."""

    work: np.dtype[Any]
    exact: bool
    whole: bool
    divisor: float


def _arithmetic(problem: Convolution, x: Array, terms: Terms) -> tuple[np.dtype[Any], bool]:
    """Return the type in which sums are formed, and whether they are whole numbers without error."""
    floats = problem.dtype.startswith("float")
    work = np.dtype(problem.dtype if floats else np.float32)
    profiles = [profile for term in terms.terms for profile in term]
    if x.dtype.kind not in "biu" or any((profile != np.rint(profile)).any() for profile in profiles):
        return work, False
    largest = 1 if x.dtype.kind == "b" else max(-int(np.iinfo(x.dtype).min), int(np.iinfo(x.dtype).max) + 1)
    bound = largest * math.prod(float(np.abs(profile).sum()) for profile in profiles)
    if work == np.float32 and bound < 2**24:
        return work, True
    if not floats or terms.divisor != 1:  # means are exact as far as can be
        work = np.dtype(np.float64)
    return work, bound < 2**53 if work == np.float64 else False


def _passes(problem: Convolution, planes: int, terms: Terms, work: np.dtype[Any]) -> list[Pass]:
    """Return the passes along axes that need one; there is one at least."""
    found = []
    for axis in range(problem.rank):
        profiles = np.array([term[axis] for term in terms.terms], work)
        taps = profiles.shape[1]
        kept = tuple(np.flatnonzero(profiles.any(axis=0)).tolist())
        how = Axis(
            problem.size[axis],
            problem.output_size[axis],
            taps,
            problem.stride[axis],
            problem.dilation[axis],
            problem.padding[axis][0],
            problem.boundary[axis],
            kept if taps <= SHORT else tuple(range(taps)),
            bool((profiles == 1).all()),
        )
        if taps > 1 or how.stride > 1 or profiles[0, 0] != 1 or len(terms.terms) > 1:
            found.append(Pass(planes + axis, how, profiles))
    if not found:
        return [Pass(planes + problem.rank - 1, Axis(problem.size[-1], problem.size[-1]), np.ones((1, 1), work))]
    return _scaled(found)


def _scaled(passes: list[Pass]) -> list[Pass]:
    """Return the same sums of products, the first of which stay below the largest pixel: powers of two change hands."""
    first = passes[0]
    if len(passes) < 2 or all(one.how.equal for one in passes):
        return passes
    sizes = np.abs(first.profiles.astype(np.float64)).sum(axis=1)
    exponents = np.ceil(np.log2(np.maximum(sizes, np.finfo(np.float32).tiny))).astype(np.int32)[:, None]
    if not exponents.any():
        return passes
    last = passes[-1]
    small, large = np.ldexp(first.profiles, -exponents), np.ldexp(last.profiles, exponents)
    return [replace(first, profiles=small), *passes[1:-1], replace(last, profiles=large)]


def _in_steps(
    x: Array, passes: list[Pass], fill: Any, final: np.dtype[Any], out: Array | None, settings: _Settings
) -> Array | None:
    """Return the result: all but the last two passes write what is between in the type of the sums."""
    order = order_of(x)
    passes = sorted(passes, key=lambda one: order.index(one.axis))
    while len(passes) > 2:
        (one, *passes), bare = passes, replace(settings, divisor=1, whole=False)
        between = _step(x, [one], fill, settings.work, None, bare)
        if between is None:
            return None
        x = between
        with np.errstate(all="ignore"):
            fill = (settings.work.type(fill) * one.profiles[0]).sum()
    return _step(x, passes, fill, final, out, settings)


def _step(
    x: Array, passes: list[Pass], fill: Any, final: np.dtype[Any], out: Array | None, settings: _Settings
) -> Array | None:
    """Return the result of one or two passes, in one call of the routine; None if it was not finite, and had to be."""
    shape = list(x.shape)
    for one in passes:
        shape[one.axis] = one.how.outputs
    axes = [one.axis for one in passes]
    y = memory.empty_like(x, shape, final) if out is None else out
    layout = layout_of(x, y, axes) if x.flags.aligned else None
    if layout is None:
        x = straight(x)
        y = memory.empty_like(x, shape, final)
        layout = layout_of(x, y, axes)
        assert layout is not None  # both are made so
    by_axis = {one.axis: one for one in passes}
    unit = np.ones((1, 1), settings.work)
    down = by_axis.get(layout.down) if layout.down is not None else None
    across = by_axis.get(layout.along) if layout.along is not None else None
    rows = layout.rows
    height = 1 if rows is None else x.shape[rows]
    divided = "" if settings.divisor == 1 else "exact" if settings.exact else "scaled"
    told = Passes(
        layout,
        Axis(height, height) if down is None else down.how,
        Axis(layout.width, layout.width) if across is None else across.how,
        (0, 0) if rows is None else (x.strides[rows], y.strides[rows]),
        x.dtype.name,
        y.dtype.name,
        settings.work.name,
        len(passes[0].profiles),
        divided,
        _watched(x, passes) or (divided == "scaled" and x.dtype.kind == "f" and settings.work == np.float32),
        settings.exact,
        settings.whole,
    )
    finite = run(
        told,
        x,
        y,
        unit if down is None else down.profiles,
        unit if across is None else across.profiles,
        fill,
        settings.divisor,
    )
    if not finite:
        return None
    if out is None or y is out:
        return y
    np.copyto(out, y)
    return out


def _watched(x: Array, passes: list[Pass]) -> bool:
    """Tell whether infinities would spread: where taps are zero that are multiplied, and where terms cancel."""
    if x.dtype.kind in "biu":
        return False
    zeros = any(len(one.profiles[0]) > SHORT and not one.profiles.all() for one in passes)
    return zeros or len(passes[0].profiles) > 1


def run(passes: Passes, x: Array, y: Array, down: Array, across: Array, fill: Any, divisor: float) -> bool:
    """Compute y from x by the routine; tell whether all results were finite, or not watched."""
    target = current()
    plan = cut(passes, target)
    structure = plan.structure
    name = structure.name
    routine = proof.compiled(name, structure, lambda: passes_routine(name, target, structure), target, lambda: True)
    threads = workers.get_num_threads()
    room = memory.room("separable", threads * plan.room)
    flags, watched = np.zeros(threads, np.int64), np.zeros(1, np.int64)
    blank = np.full(passes.across.size * passes.layout.pixel if plan.blank else 1, fill, passes.source)
    work = np.dtype(passes.work)
    with np.errstate(all="ignore"):
        fills = np.array([(work.type(fill) * one).sum() for one in down], work)
    told = {
        "x": x, "y": y, "down": down, "across": across, "fills": fills, "blank": blank, "flags": flags,
        "watched": watched,
    }  # fmt: skip
    words = plan.words[:]
    for word, one in told.items():
        words[POINTERS.index(word)] = memory.address(one)
    words[POINTERS.index("work")] = room.address
    words[len(POINTERS)] = threads
    words.extend(np.array([divisor, 1 / divisor], np.float64).view(np.int64).tolist())
    workers.run(routine.address, words.buffer_info()[0], plan.tasks)
    return not watched[0]
