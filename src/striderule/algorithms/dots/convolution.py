"""Convolution of narrow numbers on dot-product instructions: what the library calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import convolution as direct
from striderule.algorithms.direct import giving_way, pointwise
from striderule.algorithms.direct.call import Call, call_for
from striderule.algorithms.direct.operands import readable
from striderule.algorithms.dots.call import Packing, packing
from striderule.algorithms.dots.ways import Limits, Way, way_of
from striderule.algorithms.dots.words import Panels
from striderule.codegen.target import current
from striderule.geometry.problem import Convolution
from striderule.planning.dots import is_tiled
from striderule.planning.schedule import sums_type

Array = npt.NDArray[Any]

# Bytes of words that are held at a time, unless a single image has more.
WORKSPACE = 1 << 25
# What writes tiles where the processor has them.
TILES = "amx"


def convolution(problem: Convolution, x: Array, weight: Array, fill: Any = 0, variant: str | None = None) -> Array:
    """out[n, o, j] = sum over c and t of weight[o, c, t] * x[n, c, j * stride + t * dilation - before].

    Gives way to `direct` where arrays are of other types, or no code can be made.
    """
    kind = np.dtype(sums_type(problem))
    if kind.kind == "i":
        # Sums of bytes fit 32 bits, as the rule has seen, even where what is added to them does not.
        problem, own = replace(problem, bound=2**31 - 1), np.dtype(np.int32)
    else:
        own = kind
    x, weight = readable(x, own), np.ascontiguousarray(readable(weight, own))
    out = memory.empty(problem.output_shape, own)
    infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    bound = _bound(problem, fill, variant, residual=None, activation=None, **infos)
    if bound is None:
        return direct.convolution(problem, x, weight, fill).astype(kind, copy=False)
    bound.run(x, weight, None, None, out)
    return out.astype(kind, copy=False)


def bind(
    problem: Convolution,
    fill: Any = 0,
    *,
    x: ArrayInfo,
    weight: ArrayInfo,
    bias: bool,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
    variant: str | None = None,
) -> Dots | Call | direct.Checked | pointwise.Call | None:
    """Return the call that does everything at once; see `striderule.algorithms.binding`."""
    found = _bound(problem, fill, variant, x=x, weight=weight, residual=residual, activation=activation, out=out)
    if found is not None:
        return found
    return direct.bind(problem, fill, x=x, weight=weight, bias=bias, residual=residual, activation=activation, out=out)


@dataclass(frozen=True, slots=True)
class Kept:
    """Weights: themselves, in words, and what is added to every sum of a channel; the limits of floats they meet."""

    weight: Array
    words: Array
    added: Array | None
    limits: Limits | None


@dataclass(frozen=True, slots=True)
class Plain:
    """What direct convolution is told where the sizes of an image's numbers forbid parts: that image, alone."""

    problem: Convolution
    fill: Any
    activation: tuple[Any, ...] | None

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Compute one image."""
        infos: dict[str, Any] = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
        other = None if residual is None else ArrayInfo.of(residual)
        words: dict[str, Any] = {"bias": bias is not None, "residual": other, "activation": self.activation}
        bound = direct.bind(self.problem, self.fill, **infos, **words)
        if bound is None:
            direct.by_numpy(self.problem, self.fill, self.activation, x, weight, bias, residual, out)
        else:
            bound.run(x, weight, bias, residual, out)


@dataclass(frozen=True, slots=True)
class Dots:
    """A convolution that is ready to run; see `striderule.algorithms.binding.Bound`.

    `calls` are made for so many images at a time: as many as fit the workspace, and the last ones. `weights` packs
    these, with `in_panels` into the panels that the calls read, where words fall into them in packing.
    """

    way: Way
    plain: Plain
    weights: Packing
    calls: tuple[tuple[int, Packing, Call], ...]
    in_panels: bool
    kept: Kept | None = None

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Compute into out; out may be the residual."""
        kept = self.kept
        if kept is None:
            kept = self._kept(weight, memory.room("weights of dots", 4 * prod(self.weights.shape)).bytes)
        added = kept.added
        if bias is not None:
            added = bias if added is None else added + bias
        first = 0
        for images, pack, call in self.calls:
            part = slice(first, first + images)
            words = memory.room("words of dots", 4 * prod(pack.shape)).bytes
            found = pack.run(x[part], words)
            other = None if residual is None else residual[part]
            wild = [] if kept.limits is None else kept.limits.wild(found)
            before = None if other is None or not wild else other[wild]
            call.run(words, kept.words, added, other, out[part])
            for i, image in enumerate(wild):
                one = slice(first + image, first + image + 1)
                self.plain.run(x[one], kept.weight, bias, None if before is None else before[i : i + 1], out[one])
            first += images

    def packed(self, weight: Array) -> Dots:
        """Return the same with this weight packed; it ignores the weight that `run` is given."""
        # Floats may be needed themselves.
        kind = np.float32 if self.way.is_float else np.int32
        room = memory.empty(self.weights.shape, kind)
        kept = self._kept(weight.copy() if self.way.is_float else weight, room)
        if not self.way.is_float:
            kept = replace(kept, weight=kept.words)
        if self.in_panels:
            return replace(self, kept=kept)
        calls = tuple((images, pack, call.packed(kept.words)) for images, pack, call in self.calls)
        return replace(self, calls=calls, kept=kept)

    def _kept(self, weight: Array, room: Array) -> Kept:
        """Pack the weights into room."""
        found = self.weights.run(weight, room)
        if self.way.inputs.multiple > 1:  # in the order of tiles
            room = self.calls[0][2].ordered(_seen(room, self.weights.shape))
        if self.way.is_float:
            limits = Limits.beside(found, self.plain.problem.terms, self.way.inputs.different)
            return Kept(weight, room, None, limits)
        if not self.way.added:
            return Kept(weight, room, None, None)
        # Modulo 2**32, as everything is.
        sums = found[:, :, 0].view(np.int32).sum(axis=1, dtype=np.int32)
        return Kept(weight, room, sums * np.int32(self.way.added), None)


def _bound(
    problem: Convolution,
    fill: Any,
    variant: str | None,
    *,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
) -> Dots | None:
    """Return the call, or None where the arrays do not stand as it reads them, or are of other types."""
    target = current()
    infos: dict[str, Any] = {"x": x, "weight": weight, "residual": residual, "activation": activation, "out": out}
    way = way_of(x.dtype.name, weight.dtype.name, target.units, variant)
    if way is None or 0 in (*x.shape, *out.shape, problem.terms):
        return None
    found = None
    if is_tiled(problem, way.inputs.unit, target.units):
        found = _bound_to(problem, fill, way.in_tiles(), TILES, **infos)
    return found or _bound_to(problem, fill, way, "", **infos)


def _bound_to(
    problem: Convolution,
    fill: Any,
    way: Way,
    tiles: str,
    *,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
) -> Dots | None:
    target = current()
    filling = way.inputs.filled(fill)
    kind = "float32" if way.is_float else "int32"
    if filling is None or sums_type(problem) != kind or any(step % x.dtype.itemsize for step in x.strides):
        return None
    channels = problem.in_channels // problem.groups
    planes = len(way.weights.parts) * way.weights.planes(channels)
    wordy = replace(problem, in_channels=problem.groups * planes, stored=())
    taps = _compact((problem.out_channels, planes, *problem.kernel), kind)
    calls = []
    for images in _slices(wordy):
        some = x._replace(shape=(images, *x.shape[1:]))
        pack = giving_way.attempt(packing, way.inputs, problem.groups, some, target)
        if pack is None:
            return None
        goal = out._replace(shape=(images, *out.shape[1:]))
        other = None if residual is None else residual._replace(shape=goal.shape)
        places = (_compact(pack.shape, kind), taps, other, activation, goal)
        words = (way.inputs.unit, way.turned, way.chain, tiles)
        call = giving_way.attempt(call_for, replace(wordy, batch=images), filling, *places, *words)
        if call is None:
            return None
        calls.append((images, pack, call))
    # Of all calls the same, or none.
    found = {None if tiles else _panels(call, len(way.weights.parts)) for _, _, call in calls}
    panels = found.pop() if len(found) == 1 else None
    if panels is not None:
        calls = [(images, pack, call.of_panels()) for images, pack, call in calls]
    weights = giving_way.attempt(packing, way.weights, 1, weight, target, way.sums, panels)
    plain = Plain(replace(problem, batch=1, stored=()), fill, activation)
    return None if weights is None else Dots(way, plain, weights, tuple(calls), panels is not None)


def _panels(call: Call, parts: int) -> Panels | None:
    """Return the panels that a call reads weights from, or None where words do not fall into them in packing."""
    problem, plan, rows = call.problem, call.schedule, call.form.rows
    taps, planes = len(plan.taps), problem.terms // len(plan.taps)
    whole = problem.out_channels // problem.groups % rows == 0 and prod(problem.kernel[:-2]) == 1
    # Vectors of planes of a single tap do not part. Last positions are summed along the terms, up to whole vectors:
    # what stands behind a row meets zeros then, and must be no NaN.
    fits = plan.chunk >= planes or taps > 1 or plan.chunk % 16 == planes // parts % 16 == 0
    if not whole or not fits or (plan.narrow and call.form.unit == "bfloat16"):
        return None
    return Panels(rows, call.form.panel, plan.chunk, -(-planes // plan.chunk))


def _seen(room: Array, shape: tuple[int, ...]) -> Array:
    """Return the words at the beginning of a room, or those of an array, by their shape."""
    words: Array = room.reshape(-1).view(np.int32 if room.dtype.itemsize == 1 else room.dtype)[: prod(shape)]
    return words.reshape(shape)


def _slices(wordy: Convolution) -> list[int]:
    """Return how many images to take at a time."""
    image = 4 * wordy.in_channels * prod(wordy.size)
    step = max(1, WORKSPACE // image)
    whole, rest = divmod(wordy.batch, step)
    return [step] * whole + [rest] * (rest > 0)


def _compact(shape: tuple[int, ...], kind: str) -> ArrayInfo:
    return ArrayInfo(shape, tuple(4 * prod(shape[axis + 1 :]) for axis in range(len(shape))), np.dtype(kind))
