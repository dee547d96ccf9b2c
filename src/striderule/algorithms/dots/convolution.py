"""Convolution of narrow numbers on dot-product instructions: what the library calls.

Integers of 8 bits are exact in int32. The instruction multiplies bytes without a sign by bytes with one, so 128 is
added to inputs with a sign whose weights have one, or taken from inputs without whose weights have none:

    sum of w * x = sum of w * (x + 128) - 128 * sum of w

for all taps, since what stands beyond the borders is moved like everything else. The last term goes with the bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import convolution as direct
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct.call import Call, call_for
from striderule.algorithms.direct.operands import readable
from striderule.algorithms.dots.call import Packing, packing
from striderule.algorithms.dots.words import Words
from striderule.codegen.target import current
from striderule.geometry.problem import Convolution
from striderule.planning.schedule import sums_type

Array = npt.NDArray[Any]

# Bytes of words that are held at a time, unless a single image has more.
WORKSPACE = 1 << 25
BYTES = ("int8", "uint8")


@dataclass(frozen=True, slots=True)
class Way:
    """How two types of bytes are multiplied: words of inputs and weights, and what is added for the sum of weights.

    `turned` if the inputs are the unit's numbers without a sign.
    """

    inputs: Words
    weights: Words
    turned: bool
    added: int


def way_of(x: str, weight: str, units: tuple[str, ...]) -> Way:
    """Return the way for two types on a machine with these units.

    >>> way_of("int8", "int8", ("dot8",)).added, way_of("uint8", "int8", ("dot8",)).added
    (-128, 0)
    """
    if "dot8" not in units:
        return Way(Words("dot16", x), Words("dot16", weight), turned=True, added=0)
    same = x == weight
    added = 0 if not same else -128 if x == "int8" else 128
    return Way(Words("dot8", x, flip=same), Words("dot8", weight), turned=weight == "int8", added=added)


def convolution(problem: Convolution, x: Array, weight: Array, fill: Any = 0) -> Array:
    """out[n, o, j] = sum over c and t of weight[o, c, t] * x[n, c, j * stride + t * dilation - before].

    Gives way to `direct` where arrays are of other types, or no code can be made.
    """
    kind = np.dtype(sums_type(problem))
    if 0 in problem.output_shape or problem.terms == 0 or not _are_bytes(x.dtype, weight.dtype):
        return direct.convolution(problem, x, weight, fill)
    # Sums of bytes fit 32 bits, as the rule has seen, even where what is added to them does not.
    x, weight = readable(x, x.dtype), np.ascontiguousarray(weight)
    out = memory.empty(problem.output_shape, np.int32)
    infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    bound = _bound(replace(problem, bound=2**31 - 1), fill, residual=None, activation=None, **infos)
    if bound is None:
        return direct.convolution(problem, x, weight, fill)
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
) -> Dots | Call | direct.Checked | None:
    """Return the call that does everything at once; see `striderule.algorithms.binding`."""
    if _are_bytes(x.dtype, weight.dtype) and 0 not in (*x.shape, *out.shape, problem.terms):
        found = _bound(problem, fill, x=x, weight=weight, residual=residual, activation=activation, out=out)
        if found is not None:
            return found
    return direct.bind(problem, fill, x=x, weight=weight, bias=bias, residual=residual, activation=activation, out=out)


def _are_bytes(x: np.dtype[Any], weight: np.dtype[Any]) -> bool:
    return x.name in BYTES and weight.name in BYTES


@dataclass(frozen=True, slots=True)
class Dots:
    """A convolution of bytes that is ready to run; see `striderule.algorithms.binding.Bound`.

    `calls` are made for so many images at a time: as many as fit the workspace, and the last ones. `kept` are packed
    weights, and what is added to every sum of a channel.
    """

    way: Way
    weights: Packing
    calls: tuple[tuple[int, Packing, Call], ...]
    kept: Array | None = None

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Compute into out; out may be the residual."""
        if self.kept is None:
            room = memory.room("weights of dots", 4 * prod(self.weights.shape)).bytes
            added = self._packed_into(weight, room)
        else:
            room, added = weight, self.kept
        if bias is not None:
            added = bias if added is None else added + bias
        first = 0
        for images, pack, call in self.calls:
            part = slice(first, first + images)
            words = memory.room("words of dots", 4 * prod(pack.shape)).bytes
            pack.run(x[part], words)
            call.run(words, room, added, None if residual is None else residual[part], out[part])
            first += images

    def packed(self, weight: Array) -> Dots:
        """Return the same with this weight packed; it ignores the weight that `run` is given."""
        room = np.empty(self.weights.shape, np.int32)
        added = self._packed_into(weight, room)
        calls = tuple((images, pack, call.packed(room)) for images, pack, call in self.calls)
        return replace(self, calls=calls, kept=np.zeros(len(weight), np.int32) if added is None else added)

    def _packed_into(self, weight: Array, room: Array) -> Array | None:
        """Pack the weights, and return what their offset adds to the sums of every channel."""
        sums = self.weights.run(weight, room)[:, :, 0].view(np.int32)
        if not self.way.added:
            return None
        # Modulo 2**32, as everything is.
        added: Array = sums.sum(axis=1, dtype=np.int32) * np.int32(self.way.added)
        return added


def _bound(
    problem: Convolution,
    fill: Any,
    *,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
) -> Dots | None:
    """Return the call, or None where the arrays do not stand as it reads them."""
    target = current()
    way = way_of(x.dtype.name, weight.dtype.name, target.units)
    filling = way.inputs.filled(fill)
    if filling is None or sums_type(problem) != "int32" or any(step % x.dtype.itemsize for step in x.strides):
        return None
    channels = problem.in_channels // problem.groups
    wordy = replace(problem, in_channels=problem.groups * way.inputs.planes(channels), stored=())
    calls = []
    for images in _slices(wordy):
        some = x._replace(shape=(images, *x.shape[1:]))
        pack = giving_way.attempt(packing, way.inputs, problem.groups, some, target)
        if pack is None:
            return None
        goal = out._replace(shape=(images, *out.shape[1:]))
        other = None if residual is None else residual._replace(shape=goal.shape)
        taps = (problem.out_channels, way.weights.planes(channels), *problem.kernel)
        places = (_compact(pack.shape), _compact(taps), other, activation, goal)
        part = replace(wordy, batch=images)
        call = giving_way.attempt(call_for, part, filling, *places, way.inputs.unit, way.turned)
        if call is None:
            return None
        calls.append((images, pack, call))
    sums = {-128: "signed", 0: "", 128: "unsigned"}[way.added]
    weights = giving_way.attempt(packing, way.weights, 1, weight, target, sums)
    return None if weights is None else Dots(way, weights, tuple(calls))


def _slices(wordy: Convolution) -> list[int]:
    """Return how many images to take at a time."""
    image = 4 * wordy.in_channels * prod(wordy.size)
    step = max(1, WORKSPACE // image)
    whole, rest = divmod(wordy.batch, step)
    return [step] * whole + [rest] * (rest > 0)


def _compact(shape: tuple[int, ...]) -> ArrayInfo:
    return ArrayInfo.of(np.broadcast_to(np.int32(0), shape))._replace(
        strides=tuple(4 * prod(shape[axis + 1 :]) for axis in range(len(shape)))
    )
