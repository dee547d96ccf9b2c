"""Image correlation along two axes by spectra of tiles: the routine bound to shapes, strides and types, and called.

A transform mixes all numbers of two tiles. One that is not finite would be everywhere: such tiles are noted as they are
written, and computed by the products of the definition. A very large one would hide small ones that the definition
keeps apart from it. With ||.|| the root of the sum of squares, the errors of a pair of tiles are at most a part e
(`planning.spectra.error`) of ||pair|| ||w||, and as nothing cancels in |x| * |w|,

    || |x| * |w| ||^2 >= sum over pixels i of x[i]^2 (sum of w[t]^2 over the taps t that meet i in some output)

A pixel half a kernel away from the borders of the padded image meets at least a corner of the taps. The routine notes
the squares of every tile, and of such pixels in it, so that it is soon seen whether e is a small enough part. Where it
is not, as in a dark image with a bright corner, the sum on the right is formed exactly, and if that does not do either,
the products of the definition compute the whole plane.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory, table
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.casting import finished, result_type
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.native import merged, words_of
from striderule.algorithms.fourier import tiles
from striderule.algorithms.fourier.butterflies import factors
from striderule.algorithms.windows import stencil as windows
from striderule.codegen import workers
from striderule.codegen.target import Target, current
from striderule.codegen.values import ELEMENTS
from striderule.geometry.padding import boundary_indices
from striderule.geometry.problem import Convolution
from striderule.planning.spectra import PROMISED, Tiles, error, radices, tiling

Array = npt.NDArray[Any]
Ints = tuple[int, ...]
_AT = {word: i for i, word in enumerate((*tiles.POINTERS, *tiles.SIZES, "fill"))}
# Spectra and inputs whose products would be of this size or below lose digits: what is too small for a normal number.
LEAST = {"float32": 1e-33, "float64": 1e-290}
# Tiles of a plane that are computed by themselves where they are not finite; the whole plane where there are more.
FEW = 1 / 4
# Rows of a padded image that are looked at together.
ROWS = 256


@dataclass(frozen=True, slots=True)
class Call:
    """The routine bound to an image: its address, its words for kernel and image, and their tables.

    `plan` tells the tiles, `rows` and `columns` the source of every place of the padded image (-1 is the fill value),
    `inner` from which place up to which the squares are noted, along both axes, and `kernels` how many there are.
    """

    address: int
    words: bytes
    kernel_words: bytes
    tables: tuple[Array, ...]
    plan: Tiles
    apart: int
    rows: Array
    columns: Array
    inner: tuple[Ints, Ints]
    kernels: int = 1


def correlation(problem: Convolution, x: Array, kernel: Array, fill: Any, out: Array | None) -> Array:
    """Return the correlation of planes x (*planes, rows, columns), written to `out` where there is one."""
    dtype, result = np.dtype(problem.dtype), result_type(problem)
    fused = result == dtype or (result.name in tiles.NARROW and problem.overflow == "saturate")
    shape = (*x.shape[:-2], *problem.output_size)
    if x.dtype.name not in ELEMENTS or any(step % x.itemsize for step in x.strides) or not x.flags.aligned:
        x = x.astype(dtype)
    if not fused or out is None or any(step % out.itemsize for step in out.strides) or not out.flags.aligned:
        target = memory.empty_like(x, shape, result if fused else dtype)
    else:
        target = out
    bare = problem if fused else replace(problem, stored=(), form=None)
    if target.size:
        _into(bare, x, np.ascontiguousarray(kernel, dtype), fill, target)
    if target is out:
        return target
    return finished(problem, target, out) if not fused or out is not None else target


def _into(problem: Convolution, x: Array, kernel: Array, fill: Any, out: Array) -> None:
    """Write the correlation to `out`, by products of the definition where no code can be made."""
    call = giving_way.attempt(call_for, replace(problem, form=None), ArrayInfo.of(x), ArrayInfo.of(out), current())
    if call is None:
        windows.stencil(problem, x, kernel, fill, out)
        return
    power, found = _run(call, x, kernel, fill, out)
    _made_good(problem, call, x, kernel, fill, out, power, found[0])


def _made_good(
    problem: Convolution, call: Call, x: Array, kernel: Array, fill: Any, out: Array, power: Array, found: Array
) -> None:
    """Compute by products of the definition what transforms would spoil of a result."""
    planes = x.shape[:-2]
    for number, index in enumerate(np.ndindex(planes)):
        flagged = found[number] != 0
        image, goal = x[index], out[index]
        if flagged.mean() > FEW or not _keeps_apart(problem, call, image, kernel, fill, power[number], flagged):
            _by_products().stencil(replace(problem, batch=1), image, kernel, fill, goal)
            continue
        for place in np.flatnonzero(flagged).tolist():
            _tile(problem, call, image, kernel, fill, goal, divmod(place, call.plan.counts[1]))


def correlations(
    problem: Convolution, x: Array, kernels: Array, fill: Any, results: tuple[str, ...], out: Sequence[Array]
) -> Sequence[Array]:
    """Write what each of several kernels gives of planes x (*planes, rows, columns) to `out`: the images are read once.

    The problem has an output channel for each of `kernels`; the `results` are their "sums". Arrays of `out` have the
    same strides.
    """
    assert results == ("sums",)  # nothing is made of spectra of several
    single, final = replace(problem, out_channels=1, form=None), result_type(problem)
    dtype, taps = np.dtype(problem.dtype), np.ascontiguousarray(kernels, problem.dtype)
    places = [memory.address(one) - memory.address(out[0]) for one in out]
    fused = final == dtype or (final.name in tiles.NARROW and problem.overflow == "saturate")
    steps = *(step for one in out for step in one.strides), *places
    whole = all(step % final.itemsize == 0 for step in steps) and out[0].flags.aligned and x.flags.aligned
    if not (whole and fused and x.dtype.name in ELEMENTS and not any(step % x.itemsize for step in x.strides)):
        return [correlation(single, x, kernel, fill, one) for kernel, one in zip(taps, out, strict=True)]
    apart = tuple(place // final.itemsize for place in places)
    call = giving_way.attempt(call_for, single, ArrayInfo.of(x), ArrayInfo.of(out[0]), current(), apart)
    if call is None:
        return [windows.stencil(single, x, kernel, fill, one) for kernel, one in zip(taps, out, strict=True)]
    power, found = _run(call, x, taps, fill, out[0])
    for kernel, one, flagged in zip(taps, out, found, strict=True):
        _made_good(single, call, x, kernel, fill, one, power, flagged)
    return out


def _by_products() -> Any:
    """Return the family that computes every product of the definition."""
    return table.family("stencil", "stencil")


def _run(call: Call, x: Array, kernel: Array, fill: Any, out: Array) -> tuple[Array, Array]:
    """Run the routine.

    Returns for each plane and tile the squares of its inputs, and for each kernel besides whether it is not finite.
    """
    address, dtype, kernels = memory.address, kernel.dtype, call.kernels
    count = prod(x.shape[:-2]) * call.plan.count
    threads = workers.get_num_threads()
    flags = array("q", bytes(8 * (threads + kernels * count)))
    start = flags.buffer_info()[0]
    points = 2 * call.plan.points * kernels
    room = memory.room("spectra", (points + threads * call.apart) * dtype.itemsize)
    power = np.empty(2 * max(count, kernels), dtype)
    told = {
        "x": address(kernel), "spectrum": room.address, "room": room.address + points * dtype.itemsize,
        "power": address(power), "flags": start, "found": start + 8 * threads, "threads": threads,
    }  # fmt: skip
    _call(call.address, call.kernel_words, told, kernels)
    told |= {"x": address(x), "y": address(out), "fill": int(np.array(float(fill)).view(np.int64))}
    told["planes"] = prod(x.shape[:-2])
    _call(call.address, call.words, told, prod(x.shape[:-2]) * call.plan.pairs)
    found = np.frombuffer(flags, np.int64)[threads:]
    return power[: 2 * count].reshape(-1, call.plan.count, 2), found.reshape(kernels, -1, call.plan.count)


def _call(routine: int, template: bytes, told: dict[str, int], tasks: int) -> None:
    words = array("q", template)
    for word, value in told.items():
        words[_AT[word]] = value
    workers.run(routine, words.buffer_info()[0], tasks)


# What the routines are told -------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def call_for(problem: Convolution, x: ArrayInfo, out: ArrayInfo, target: Target, places: Ints | None = None) -> Call:
    """Return the call; `CompilationFailed` where no code can be made.

    With `places` it is for several kernels, whose results stand so many elements behind that of the first.
    """
    dtype = np.dtype(problem.dtype)
    lanes = target.lanes(dtype.itemsize)
    plan = tiling(problem, lanes, target.registers)
    assert plan is not None  # the rule has seen to it
    down, across = (radices(size, target.registers) for size in plan.size)
    beside, beside_out = x.strides[-1] == x.dtype.itemsize, out.strides[-1] == out.dtype.itemsize
    several, paired = places is not None, _paired(out, places or ())
    form = tiles.Form(dtype.name, x.dtype.name, out.dtype.name, down, across, beside, beside_out, several, paired)

    def trial() -> bool:
        return _agrees(problem, x, out, target, places)

    routine = proof.compiled(form.name, form, lambda: tiles.tile_routine(form, target), target, trial)
    x_steps, y_steps = ([step // one.dtype.itemsize for step in one.strides] for one in (x, out))
    sources = [_sources(problem, axis) for axis in (0, 1)]
    ends = [count * step + size for count, step, size in zip(plan.counts, plan.step, plan.size, strict=True)]
    rows, columns = (_places(source, step, end) for source, step, end in zip(sources, x_steps[-2:], ends, strict=True))
    kernel = [
        _places(np.where(np.arange(n) % d, -1, np.arange(n) // d), step, size)
        for n, d, step, size in zip(problem.extent, problem.dilation, (problem.kernel[1], 1), plan.size, strict=True)
    ]
    walks = words_of(merged(zip(x.shape[:-2], x_steps[:-2], y_steps[:-2], strict=True)))
    turns = [factors(one, dtype) if len(one) > 1 else np.zeros(1, dtype) for one in (down, across)]
    goals = np.array(places or (0,), np.int64)
    apart = words_of(merged([(len(goals), prod(problem.kernel), 2 * plan.points)]))
    tables = (rows, columns, *kernel, walks, *turns, goals, apart)
    inner = _inner(problem, 0), _inner(problem, 1)
    common = {
        "down": memory.address(turns[0]), "across": memory.address(turns[1]), "apart": tiles.room(form, lanes),
        "places": memory.address(goals), "kernels": len(goals),
    }  # fmt: skip
    told = common | {
        "rows": memory.address(rows), "columns": memory.address(columns),
        "pairs": plan.pairs, "tiles": plan.count, "beside": plan.counts[1],
        "step_down": plan.step[0], "step_across": plan.step[1], "before": problem.padding[1][0],
        "width": problem.size[1], "end": len(sources[1]), "height_out": problem.output_size[0],
        "width_out": problem.output_size[1], "x_column": x_steps[-1], "y_row": y_steps[-2], "y_column": y_steps[-1],
        "walk": memory.address(walks), "walks": len(walks) // 3,
        "top": inner[0][0], "bottom": inner[0][1], "left": inner[1][0], "right": inner[1][1],
    }  # fmt: skip
    alone = common | {
        "kernel": 1, "rows": memory.address(kernel[0]), "columns": memory.address(kernel[1]),
        "pairs": 1, "tiles": 1, "beside": 1, "walk": memory.address(apart), "walks": len(apart) // 3,
        "width": problem.extent[1] if problem.dilation[1] == 1 else 0, "end": problem.extent[1],
    }  # fmt: skip
    return Call(
        routine.address, _template(told), _template(alone), tables, plan,
        tiles.room(form, lanes), sources[0], sources[1], inner, len(goals),
    )  # fmt: skip


def _paired(out: ArrayInfo, places: Ints) -> bool:
    """Tell whether every second result stands between the numbers of the one before it, as imaginary parts do."""
    beside = all(second == first + 1 for first, second in zip(places[::2], places[1::2], strict=False))
    pairs = bool(places) and len(places) % 2 == 0
    return pairs and beside and out.strides[-1] == 2 * out.dtype.itemsize


def _template(values: dict[str, int]) -> bytes:
    return array("q", [values.get(word, 0) for word in _AT]).tobytes()


def _sources(problem: Convolution, axis: int) -> Array:
    """Return which position of the image each place of the padded axis shows, -1 for the fill value."""
    found = boundary_indices(problem.size[axis], *problem.padding[axis], problem.boundary[axis])
    return np.array([-1 if place is None else place for place in found], np.int64)


def _places(sources: Array, step: int, end: int) -> Array:
    """Return the table for the routine: distances in elements, and what stands where there are none."""
    result = np.full(end, tiles.NOTHING, np.int64)
    result[: len(sources)] = np.where(sources < 0, tiles.FILL, sources * step)
    return result


# Giving way -----------------------------------------------------------------------------------------------------------


def _tile(
    problem: Convolution, call: Call, image: Array, kernel: Array, fill: Any, out: Array, place: tuple[int, int]
) -> None:
    """Compute one tile by the products of the definition."""
    plan = call.plan
    spans = []
    for at, step, outputs in zip(place, plan.step, problem.output_size, strict=True):
        spans.append((at * step, min((at + 1) * step, outputs)))
    (top, bottom), (left, right) = spans
    rows = call.rows[top : bottom + problem.extent[0] - 1]
    columns = call.columns[left : right + problem.extent[1] - 1]
    near = _taken(image, rows, columns, fill)
    part = replace(problem, batch=1, size=near.shape, padding=((0, 0), (0, 0)))
    _by_products().stencil(part, near, kernel, 0, out[top:bottom, left:right])


def _keeps_apart(
    problem: Convolution, call: Call, image: Array, kernel: Array, fill: Any, power: Array, flagged: Array
) -> bool:
    """Tell whether the error of transforms is within the promise, as this module's head derives."""
    plan, dtype = call.plan, kernel.dtype.name
    if not (power.any() or fill or flagged.any() or image.any()):
        return True
    taps = np.zeros(problem.extent)
    taps[:: problem.dilation[0], :: problem.dilation[1]] = kernel
    part, least = error(plan.points, dtype) / PROMISED[dtype], LEAST[dtype] * plan.points
    sums = np.zeros((taps.shape[0] + 1, taps.shape[1] + 1))
    with np.errstate(all="ignore"):
        sums[1:, 1:] = (taps**2).cumsum(0).cumsum(1)
        weight = float(sums[-1, -1])
        whole, inside = (float(one) for one in np.where(flagged[:, None], 0, power).astype(float).sum(axis=0))
        met = _rectangles(sums, *(_met(_least_met(call, problem, axis), problem, axis) for axis in (0, 1)))
        apart = part**2 * whole * weight <= inside / plan.overlap * met.min(initial=weight) < np.inf
        if apart and np.sqrt(whole / image.size * weight) > least:
            return True
    return _exactly(problem, call, image, sums, fill, (part, least))


def _inner(problem: Convolution, axis: int) -> tuple[int, int]:
    """Return the places of a padded axis that are in the image, and half a kernel from the ends: from, and up to."""
    half, before, size = problem.extent[axis] // 2, problem.padding[axis][0], problem.size[axis]
    first = max(half, before)
    return first, max(first, min(before + size, problem.padded_size[axis] - half))


def _least_met(call: Call, problem: Convolution, axis: int) -> Array:
    """Return the inner places of an axis that may meet the fewest taps: the ends, where some place meets all taps."""
    first, last = call.inner[axis]
    every = np.arange(first, last)
    return every[:: max(1, len(every) - 1)] if problem.output_size[axis] >= problem.extent[axis] else every


def _exactly(
    problem: Convolution, call: Call, image: Array, sums: Array, fill: Any, limits: tuple[float, float]
) -> bool:
    """Tell the same by the sum itself, some rows of the padded image at a time."""
    (part, least), across = limits, _met(np.arange(len(call.columns)), problem, 1)
    whole = below = 0.0
    with np.errstate(all="ignore"):
        for first in range(0, len(call.rows), ROWS):
            rows = call.rows[first : first + ROWS]
            near = _taken(image, rows, call.columns, fill).astype(float)
            squares = np.where(np.isfinite(near), near, 0) ** 2
            whole += float(squares.sum())
            met = _rectangles(sums, _met(np.arange(first, first + len(rows)), problem, 0), across)
            below += float((squares * met).sum())
        weight = float(sums[-1, -1])
        if whole == 0:
            return True
        apart = part**2 * call.plan.overlap * whole * weight <= below < np.inf
        return bool(apart and np.sqrt(whole / image.size * weight) > least)


def _met(places: Array, problem: Convolution, axis: int) -> tuple[Array, Array]:
    """Return which taps meet places of the padded axis in some output: from, and up to."""
    extent, outputs = problem.extent[axis], problem.output_size[axis]
    return np.clip(places - outputs + 1, 0, extent), np.clip(places + 1, 0, extent)


def _rectangles(sums: Array, down: tuple[Array, Array], across: tuple[Array, Array]) -> Array:
    """Return sums over rectangles of taps, from those over all that begin with the first tap."""
    met = sums[down[1]] - sums[down[0]]
    found: Array = met[:, across[1]] - met[:, across[0]]
    return found


def _taken(image: Array, rows: Array, columns: Array, fill: Any) -> Array:
    """Return a part of the padded image."""
    near: Array = image[np.ix_(np.maximum(rows, 0), np.maximum(columns, 0))]
    near[rows < 0] = fill
    near[:, columns < 0] = fill
    return near


def _agrees(problem: Convolution, x: ArrayInfo, out: ArrayInfo, target: Target, places: Ints | None = None) -> bool:
    """Compare the routine with NumPy on drawn operands like these, of one plane, and two kernels or one."""
    problem, count = replace(problem, batch=1), 1 if places is None else 2

    def like(info: ArrayInfo) -> Array:  # a stand-in, which is not read
        return np.lib.stride_tricks.as_strided(np.empty(1, info.dtype), info.shape[-2:], info.strides[-2:])

    def computed(image: Array, taps: Array, result: Array) -> Array:
        # As far apart as those of pairs, so that the routine is the same one.
        pair = np.empty((*result.shape, 2), result.dtype) if _paired(out, places or ()) else None
        found = [np.empty_like(result) for _ in taps] if pair is None else [pair[..., 0], pair[..., 1]]
        if places is None:
            _run(call_for(problem, ArrayInfo.of(image), ArrayInfo.of(found[0]), target), image, taps, 0, found[0])
        else:
            distances = [memory.address(one) - memory.address(found[0]) for one in found]
            apart = tuple(distance // result.itemsize for distance in distances)
            one = call_for(problem, ArrayInfo.of(image), ArrayInfo.of(found[0]), target, apart)
            _run(one, image, taps, 0, found[0])
        return np.stack(found)

    def expected(image: Array, taps: Array, result: Array) -> Array:
        return np.stack([windows.stencil(problem, image, one, 0, np.empty_like(result)) for one in taps])

    return proof.agree(computed, expected, like(x), np.empty((count, *problem.kernel), problem.dtype), like(out))
