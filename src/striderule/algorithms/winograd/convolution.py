"""Dense convolution by Winograd's way: what the library calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo, Bound
from striderule.algorithms.direct import convolution as direct
from striderule.algorithms.direct import giving_way
from striderule.algorithms.direct.activation import ACTIVATIONS
from striderule.algorithms.direct.operands import STORED, is_compact, is_turned
from striderule.algorithms.windows.turned_weights import seen_turned
from striderule.algorithms.winograd.borders import refuses
from striderule.algorithms.winograd.call import Call, Request, call_for
from striderule.codegen.target import current
from striderule.geometry.problem import Convolution
from striderule.planning.interleaved import parts_of
from striderule.planning.runs import groups_of, joined

Array = npt.NDArray[Any]

# What arrays may hold in memory; everything is computed in float32.
TYPES = ("float32", *STORED)
# Whether `bind` takes weights of one group as `turned_weights.seen_turned` shows them, too.
SEES_TURNED = True


def convolution(problem: Convolution, x: Array, weight: Array, fill: Any = 0, *, variant: str = "F2") -> Array:
    """out[n, o, j] = sum over c and t of weight[o, c, t] * x[n, c, j + t - before].

    `variant` says how large tiles are: F2 has 2 outputs along each axis, F4 has 4. Gives way to `direct` where that
    would not keep the promise: for values that are not finite, or tiny, and for a constant other than zero outside.
    """
    if 0 in problem.output_shape or problem.terms == 0:
        return np.zeros(problem.output_shape, np.float32)
    x, weight = x.astype(np.float32, copy=False), np.ascontiguousarray(weight, np.float32)
    apart = joined_info(ArrayInfo.of(x), problem, problem.size) is None
    if apart or any(step % 4 for step in x.strides) or not x.flags.aligned:
        x = np.ascontiguousarray(x)
    out = memory.empty(problem.output_shape, np.float32)
    given = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    bound = bind(problem, fill, **given, bias=False, residual=None, activation=None, variant=variant)
    if bound is None:
        return direct.convolution(problem, x, weight, fill)
    bound.run(x, weight, None, None, out)
    return out


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
    variant: str = "F2",
) -> Bound | None:
    """Return the call that does everything at once; see `striderule.algorithms.binding`.

    Types in memory but float32 and floats of 16 bits, and a constant other than zero outside, are left to `direct`.
    """
    given: dict[str, Any] = {
        "x": x, "weight": weight, "bias": bias, "residual": residual, "activation": activation, "out": out,
    }  # fmt: skip
    infos = [info for info in (x, weight, residual, out) if info is not None]
    if 0 in (*x.shape, *out.shape, problem.terms):
        return None
    usual = all(info.dtype.name in TYPES for info in infos) and (residual is None or residual.dtype == out.dtype)
    usual = usual and not any(step % info.dtype.itemsize for info in infos for step in info.strides)
    if not usual or (fill != 0 and _has_constant(problem)):
        other: Any = direct.bind(problem, fill, **given)
        return other  # type: ignore[no-any-return]  # what its run returns does not matter
    around = is_turned(problem, weight)
    if not (around or is_compact(weight, 0)) or (activation and activation[0] not in ACTIVATIONS):
        return None
    tiled = joined(problem)
    sides = (x, problem.size), (residual, problem.output_size), (out, problem.output_size)
    image, added, goal = (None if info is None else joined_info(info, problem, size) for info, size in sides)
    if image is None or goal is None or (added is None) != (residual is None):
        return None
    request = Request(tiled, variant, image, weight.dtype, added, activation, goal, current(), around)
    call = giving_way.attempt(call_for, request)
    return None if call is None else Winograd(call, problem, variant, Given(**given))


def joined_info(info: ArrayInfo, problem: Convolution, size: tuple[int, ...]) -> ArrayInfo | None:
    """Return how an array stands with its axes joined as `joined` does; None where they do not follow one another."""
    groups, steps = groups_of(problem), info.strides[2:]
    if any(steps[i] != steps[i + 1] * size[i + 1] for begin, end in groups for i in range(begin, end - 1)):
        return None
    shape = tuple(prod(size[begin:end]) for begin, end in groups)
    last = tuple(steps[end - 1] for _, end in groups)
    return ArrayInfo((*info.shape[:2], *shape), (*info.strides[:2], *last), info.dtype)


def _has_constant(problem: Convolution) -> bool:
    """Tell whether a constant stands around the input."""
    sides = zip(problem.padding, problem.boundary, strict=True)
    return any(n > 0 and it == "constant" for pads, words in sides for n, it in zip(pads, words, strict=True))


@dataclass(frozen=True, slots=True)
class Given:
    """What a call was bound to."""

    x: ArrayInfo
    weight: ArrayInfo
    bias: bool
    residual: ArrayInfo | None
    activation: tuple[Any, ...] | None
    out: ArrayInfo

    def of(self, batch: int) -> dict[str, Any]:
        """Return the same of some of the images."""

        def some(info: ArrayInfo | None) -> ArrayInfo | None:
            return None if info is None else info._replace(shape=(batch, *info.shape[1:]))

        return {
            "x": some(self.x), "weight": self.weight, "bias": self.bias, "residual": some(self.residual),
            "activation": self.activation, "out": some(self.out),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Winograd:
    """A call that gives way to `direct`, image by image, where transforms would not keep the promise.

    `kept` is the weight once it is packed, and `panels` are the transformed ones; None where they must not be.
    """

    call: Call
    problem: Convolution
    variant: str
    given: Given
    kept: Array | None = None
    panels: Array | None = None

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Compute into out."""
        if self.kept is None:
            room = memory.room("winograd weights", 4 * self.call.weights)
            sums = self.call.pack(weight, room.address)
            panels = None if self._refuses(sums) else room.address
        else:
            weight, panels = self.kept, None if self.panels is None else memory.address(self.panels)
        if panels is None:
            self._directly(slice(None), x, weight, bias, residual, out)
            return
        kept = residual
        if residual is not None and np.may_share_memory(residual, out):
            kept = residual.copy()  # it may be needed again
        for n in self.call.run(x, panels, bias, residual, out):
            self._directly(slice(n, n + 1), x, weight, bias, kept, out)

    def packed(self, weight: Array) -> Winograd:
        """Return the same with this weight copied and transformed."""
        kept = seen_turned(seen_turned(weight).copy()) if self.call.around else weight.copy()
        fresh = np.zeros(self.call.weights + 16, np.float32)
        start = -memory.address(fresh) % 64 // 4
        panels = fresh[start : start + self.call.weights]
        sums = self.call.pack(kept, memory.address(panels))
        return replace(self, kept=kept, panels=None if self._refuses(sums) else panels)

    def _refuses(self, sums: Array) -> bool:
        """Tell whether a part must not be computed of transformed weights."""
        parts = {one.problem for one in parts_of(self.call.problem)}
        return any(refuses(problem, self.variant, sums) for problem in parts)

    def _directly(
        self, images: slice, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array
    ) -> None:
        """Compute some images by every product of the definition."""
        x, out, residual = x[images], out[images], None if residual is None else residual[images]
        given = self.given.of(len(x))
        if self.call.around:
            weight = np.ascontiguousarray(weight)
            given["weight"] = ArrayInfo.of(weight)
        if residual is not None:  # it may be a copy
            given["residual"] = ArrayInfo.of(residual)
        problem = replace(self.problem, batch=len(x))
        bound = direct.bind(problem, 0, **given)
        if bound is not None:
            bound.run(x, weight, bias, residual, out)
            return
        # Its results stand without gaps.
        plain = memory.empty(problem.output_shape, out.dtype)
        other = None if residual is None else np.ascontiguousarray(residual)
        given |= {"out": ArrayInfo.of(plain), "residual": None if other is None else ArrayInfo.of(other)}
        bound = direct.bind(problem, 0, **given)
        if bound is None:  # no code can be made any more
            direct.by_numpy(problem, 0, self.given.activation, x, weight, bias, other, plain)
        else:
            bound.run(x, weight, bias, other, plain)
        out[...] = plain
