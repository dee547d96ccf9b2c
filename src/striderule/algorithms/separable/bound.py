"""Passes bound to arrays of known shapes, strides and types: all that a call needs but the addresses."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.casting import result_type
from striderule.algorithms.direct import proof
from striderule.algorithms.images.numbers import fits
from striderule.algorithms.images.terms import Terms
from striderule.algorithms.separable.call import LONG_ACROSS, LONG_RUNNING, Axis, Cut, Passes, cut, is_wide
from striderule.algorithms.separable.layout import layout_of, move, straight, straight_like
from striderule.algorithms.separable.routine import passes_routine
from striderule.algorithms.separable.structure import POINTERS, SHORT
from striderule.algorithms.separable.trying import agrees
from striderule.codegen import workers
from striderule.codegen.target import current
from striderule.codegen.tile import ELEMENTS
from striderule.geometry.problem import Convolution
from striderule.planning.passes import in_double

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


# Taps of a profile that a trial looks at, where they are not all equal: so many times so many pixels of 4 fit 8 bits.
TRIED = 4
# By how much the largest pixel's mean may exceed it, as weights are rounded: less than half, with what sums err.
MEAN = 0.1


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass along an axis of x: how it goes over it, and the profile of every term, in the type of the sums."""

    axis: int
    how: Axis
    profiles: Array


@dataclass(frozen=True, slots=True)
class Settings:
    """How sums are formed: in which type, whether without error, as whole numbers, and divided by what.

    `clear` says that no quotient comes so near to a tie that the last place of an inverse would matter. Sums become
    results in the type `mean`.
    """

    work: np.dtype[Any]
    mean: np.dtype[Any]
    exact: bool
    whole: bool
    divisor: float
    clear: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One or two passes in one call of the routine, with the words that it is told but the addresses of x and y.

    `shape` and `dtype` are those of the result; `moved` says that x is copied first, so that its rows stand side by
    side, and `copied` that the result is not written where it belongs at once, for there they do not.
    """

    address: int
    template: array[int]
    tasks: int
    room: int
    watched: bool
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    moved: tuple[int, ...]
    copied: bool
    kept: Any

    def run(self, x: Array, out: Array | None) -> tuple[Array, bool]:
        """Return the result, and whether it was not finite and had to be."""
        source = straight(x, self.moved) if self.moved else x
        beside = out is None or self.copied
        y = memory.empty_like(source, self.shape, self.dtype) if out is None or beside else out
        threads = workers.get_num_threads()
        room = memory.room("separable", threads * self.room)
        flags = np.zeros(threads + 1, np.int64)  # the last tells of what is not finite
        words, first = self.template[:], memory.address(flags)
        words[X], words[Y] = memory.address(source), memory.address(y)
        words[FLAGS], words[WATCHED], words[WORK] = first, first + 8 * threads, room.address
        words[THREADS] = threads
        workers.run(self.address, words.buffer_info()[0], self.tasks)
        spoilt = self.watched and bool(flags[threads])
        if out is None or y is out:
            return y, spoilt
        move(y, out)
        return out, spoilt


X, Y, FLAGS, WATCHED, WORK = (POINTERS.index(word) for word in ("x", "y", "flags", "watched", "work"))
THREADS = len(POINTERS)


@dataclass(frozen=True, slots=True)
class Bound:
    """The steps of a call; all but the last write what is between. `source` is the type that x is read in.

    `final` is the type of the result, and `widens` says that where it is not finite sums of float64 may be.
    """

    steps: tuple[Step, ...]
    source: np.dtype[Any]
    final: np.dtype[Any]
    widens: bool

    def run(self, x: Array, out: Array | None) -> Array | None:
        """Return the result, in `out` where there is one; None if it was not finite, and had to be."""
        result, spoilt = self.through(x, out)
        return None if spoilt else result

    def through(self, x: Array, out: Array | None) -> tuple[Array, bool]:
        """Return the result, in `out` where there is one, and whether it was not finite and had to be."""
        result, any_spoilt = x if x.dtype == self.source else x.astype(self.source, order="C"), False
        for step in self.steps:
            result, spoilt = step.run(result, out if step is self.steps[-1] else None)
            any_spoilt = any_spoilt or spoilt
        return result, any_spoilt


def bind(
    problem: Convolution,
    shape: Ints,
    strides: Ints,
    dtype: np.dtype[Any],
    terms: Terms,
    fill: Any,
    out: Ints | None,
    *,
    aligned: bool,
    wide: bool,
) -> Bound:
    """Return the call for x of a shape, strides (`aligned` or not) and type, and the strides of the result, if given.

    `wide` asks for sums of float64. `CompilationFailed` where no code can be made.
    """
    final = result_type(problem)
    source = dtype if dtype.isnative and dtype.name in ELEMENTS else np.dtype(problem.dtype)
    mean, exact = _arithmetic(problem, source, terms)
    mean = np.dtype(np.float64) if wide else mean
    kind = final if _is_fused(problem, source, mean, final) else mean
    whole = not problem.dtype.startswith("float") and final.itemsize >= 4
    work = _running(problem, source, terms, mean) or mean
    settings = Settings(work, mean, exact, whole, terms.divisor, _is_clear(source, mean, kind, terms))
    x = _like(shape, strides, source) if source == dtype else np.empty(shape, source)
    passes = _passes(problem, x.ndim - problem.rank, terms, work)
    steps = []
    while len(passes) > 2:
        (one, *passes), bare = passes, replace(settings, mean=work, divisor=1, whole=False)
        step, x = _step(x, [one], fill, work, None, bare, aligned=aligned)
        steps.append(step)
        with np.errstate(all="ignore"):
            fill, aligned = (work.type(fill) * one.profiles[0]).sum(), True
    step, _ = _step(x, passes, fill, kind, out if kind == final else None, settings, aligned=aligned)
    return Bound((*steps, step), source, kind, terms.divisor != 1 and work == np.float32)


def _like(shape: Ints, strides: Ints, dtype: np.dtype[Any]) -> Array:
    """Return a stand-in of a shape and strides, which is not read."""
    return np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides)


def _is_fused(problem: Convolution, source: np.dtype[Any], work: np.dtype[Any], final: np.dtype[Any]) -> bool:
    """Tell whether sums become the result in registers, unless one must be refused or wrapped: of integers alone."""
    if final.kind == "f":
        return final.name in ELEMENTS
    if not problem.dtype.startswith("float") and final.name in ("int32", "int64"):
        return True
    if source.kind not in "biu" or problem.overflow != "saturate" or final.name not in ELEMENTS:
        return False
    return fits(ELEMENTS[work.name], ELEMENTS[final.name])


def _is_clear(source: np.dtype[Any], work: np.dtype[Any], final: np.dtype[Any], terms: Terms) -> bool:
    """Tell whether products with the inverse round to integers as quotients do.

    Of an odd divisor n no quotient is a tie; the nearest are 1 / 2n from one, and two roundings err by less than that
    where 4 n times the largest pixel is below 2**24 (2**53).
    """
    if final.kind not in "iu" or source.kind not in "iu" or terms.divisor % 2 != 1:
        return False
    return 4 * terms.divisor * 2.0 ** (8 * source.itemsize) < 2.0 ** (24 if work == np.float32 else 53)


def _arithmetic(problem: Convolution, source: np.dtype[Any], terms: Terms) -> tuple[np.dtype[Any], bool]:
    """Return the type in which sums are formed, and whether they are whole numbers without error."""
    floats = problem.dtype.startswith("float")
    work = np.dtype(problem.dtype if floats else np.float32)
    profiles = [profile for term in terms.terms for profile in term]
    if source.kind not in "biu":
        equal = all(bool((profile == 1).all()) for profile in profiles)
        return np.dtype(np.float64) if equal and in_double(terms.shape) else work, False
    if any((profile != np.rint(profile)).any() for profile in profiles):
        return work, False
    largest = 1 if source.kind == "b" else max(-int(np.iinfo(source).min), int(np.iinfo(source).max) + 1)
    bound = largest * math.prod(float(np.abs(profile).sum()) for profile in profiles)
    if work == np.float32 and bound < 2**24:
        return work, True
    if not floats or terms.divisor != 1:  # means are exact as far as can be
        work = np.dtype(np.float64)
    return work, bound < 2**53 if work == np.float64 else False


def _running(problem: Convolution, source: np.dtype[Any], terms: Terms, mean: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the integers in which windows of equal taps are summed, each from the one before; None where they are not.

    Sums of 32 bits are exact where the last of them fits, whatever is larger on the way. Short windows take less in
    `mean`, that of the results, if that is as narrow.
    """
    least = LONG_RUNNING if mean == np.float32 else LONG_ACROSS
    profiles = terms.terms[0]
    if source.kind not in "biu" or source.itemsize > 2 or len(terms.terms) > 1 or max(terms.shape) < least:
        return None
    if {*problem.stride, *problem.dilation} != {1} or not all(bool((one == 1).all()) for one in profiles):
        return None
    bits = 8 * source.itemsize
    if math.prod(terms.shape) << (bits - (source.kind == "i")) < 2**31:
        return np.dtype(np.int32)
    return np.dtype(np.uint32) if source.kind != "i" and math.prod(terms.shape) << bits < 2**32 else None


def _passes(problem: Convolution, planes: int, terms: Terms, work: np.dtype[Any]) -> list[Pass]:
    """Return the passes along axes that need one; there is one at least."""
    found = []
    boxes = all(bool((one == 1).all()) for one in terms.terms[0])
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
            _sign(profiles),
            *(problem.place[axis] if boxes and problem.place else (0, 0)),
        )
        if taps > 1 or how.stride > 1 or profiles[0, 0] != 1 or len(terms.terms) > 1:
            found.append(Pass(planes + axis, how, profiles))
    if not found:
        return [Pass(planes + problem.rank - 1, Axis(problem.size[-1], problem.size[-1]), np.ones((1, 1), work))]
    return _scaled(found)


def _sign(profiles: Array) -> int:
    """Return 1 for symmetric taps, -1 for antisymmetric ones, and 0 for others."""
    turned = profiles[:, ::-1]
    return 1 if np.array_equal(profiles, turned) else -int(np.array_equal(profiles, -turned))


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
    return [_with_profiles(first, small), *passes[1:-1], _with_profiles(last, large)]


def _with_profiles(one: Pass, profiles: Array) -> Pass:
    """Return a pass with other profiles."""
    return replace(one, profiles=profiles, how=replace(one.how, equal=bool((profiles == 1).all())))


def _step(
    x: Array,
    passes: list[Pass],
    fill: Any,
    final: np.dtype[Any],
    out: Ints | None,
    settings: Settings,
    *,
    aligned: bool,
) -> tuple[Step, Array]:
    """Return one or two passes over arrays like x, and a stand-in of their result."""
    lengths = list(x.shape)
    for one in passes:
        lengths[one.axis] = one.how.outputs
    shape, axes, source = tuple(lengths), [one.axis for one in passes], x
    y = memory.empty_like(x, shape, final) if out is None else _like(shape, out, final)
    layout = layout_of(x, y, axes) if aligned else None
    copied = layout is None
    moved = tuple(axes) if copied else ()
    if layout is None:
        x = straight_like(x, axes)
        y = memory.empty_like(x, shape, final)
        layout = layout_of(x, y, axes)
        assert layout is not None  # both are made so
    hows = {one.axis: one.how for one in passes}
    unit = np.ones((1, 1), settings.work)
    down = hows.get(layout.down) if layout.down is not None else None
    across = hows.get(layout.along) if layout.along is not None else None
    rows = layout.rows
    height = 1 if rows is None else x.shape[rows]
    divided = "" if settings.divisor == 1 else "exact" if settings.exact and not settings.clear else "scaled"
    told = Passes(
        layout,
        Axis(height, height, equal=True) if down is None else down,
        Axis(layout.width, layout.width, equal=True) if across is None else across,
        (0, 0) if rows is None else (x.strides[rows], y.strides[rows]),
        x.dtype.name,
        y.dtype.name,
        settings.work.name,
        settings.mean.name,
        len(passes[0].profiles),
        divided,
        _watched(x, passes) or (divided == "scaled" and x.dtype.kind == "f" and settings.work == np.float32),
        settings.exact,
        settings.whole,
        x.dtype == y.dtype and x.dtype.kind in "iu" and _means(passes, settings.divisor, x.dtype.itemsize),
    )
    target = current()
    plan = cut(told, target)
    structure = plan.structure
    name = structure.name

    def made(given: Sequence[Pass]) -> Step:
        by_axis = {one.axis: one.profiles for one in given}
        profiles = [unit if axis is None else by_axis.get(axis, unit) for axis in (layout.down, layout.along)]
        template, kept = _template(told, plan, profiles, fill, settings)
        routine = proof.compiled(name, structure, lambda: passes_routine(name, target, structure), target, trial)
        return Step(
            routine.address, template, plan.tasks, plan.room, told.watched, shape, final, moved, copied, (plan, *kept)
        )

    def trial() -> bool:
        easy = [_easy(one) for one in passes]
        return agrees(made(easy).run, [(one.axis, one.how, one.profiles) for one in easy], source, y, fill, settings)

    return made(passes), y


def _easy(one: Pass) -> Pass:
    """Return a pass with profiles whose sums are exact and stay within 8 bits: ones at the taps that are looked at."""
    taps, sign = one.profiles.shape[1], one.how.folded
    looked_at = np.linspace(0, len(one.how.kept) - 1, min(TRIED, len(one.how.kept))).astype(int)
    profiles = np.zeros_like(one.profiles)
    profiles[:, range(taps) if one.how.equal else [one.how.kept[i] for i in looked_at]] = 1
    if sign:
        half = taps // 2
        profiles[:, taps - half :] = sign * profiles[:, :half][:, ::-1]
        profiles[:, half : taps - half] = sign > 0
    return Pass(one.axis, one.how, profiles)


def _template(
    told: Passes, plan: Cut, profiles: list[Array], fill: Any, settings: Settings
) -> tuple[array[int], list[Array]]:
    """Return the words but the addresses of a call, and the arrays that they point to."""
    down, across = (np.ascontiguousarray(one) for one in profiles)
    structure = plan.structure
    if structure.across.fold.sign and is_wide(told.source, told.work):
        # What stands between the passes is halved, so that the sum of two of it is a number.
        down, across = 0.5 * down, 2 * across
    blank = np.full(told.across.size * told.layout.pixel if plan.blank else 1, fill, told.source)
    with np.errstate(all="ignore"):
        fills = np.array([(settings.work.type(fill) * one).sum() for one in down], settings.work)
    kept = {"down": 2 * down if structure.down.halved else down, "across": across, "fills": fills, "blank": blank}
    words = plan.words[:]
    for word, one in kept.items():
        words[POINTERS.index(word)] = memory.address(one)
    words.extend(np.array([settings.divisor, 1 / settings.divisor], np.float64).view(np.int64).tolist())
    return words, list(kept.values())


def _means(passes: list[Pass], divisor: float, itemsize: int) -> bool:
    """Tell whether results are weighted means, but for rounding, so that they leave the range of pixels nowhere."""
    total = 1 / divisor
    for one in passes:
        if len(one.profiles) > 1 or (one.profiles < 0).any():
            return False
        total *= float(one.profiles.astype(np.float64).sum())
    return (total - 1) * 2.0 ** (8 * itemsize) < MEAN


def _watched(x: Array, passes: list[Pass]) -> bool:
    """Tell whether infinities would spread: where taps are zero that are multiplied, and where terms cancel."""
    if x.dtype.kind in "biu":
        return False
    zeros = any(len(one.profiles[0]) > SHORT and not one.profiles.all() for one in passes)
    return zeros or len(passes[0].profiles) > 1
