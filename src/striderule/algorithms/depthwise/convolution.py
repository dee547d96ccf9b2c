"""Depthwise convolution, and that of small groups: the routine of planes, bound to arrays and called."""

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
from striderule.algorithms.binding import ArrayInfo, Bound
from striderule.algorithms.depthwise import interleaved
from striderule.algorithms.depthwise.routine import plane_routine
from striderule.algorithms.depthwise.schedule import Axis, Layout, Words, with_rows
from striderule.algorithms.depthwise.structure import POINTERS, Structure
from striderule.algorithms.depthwise.transposed import Phases, part_of
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.activation import ACTIVATIONS, PARAMETERS
from striderule.algorithms.direct.operands import STORED
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.algorithms.windows.extend import extend
from striderule.codegen import workers
from striderule.codegen.target import Target, current
from striderule.geometry.problem import Convolution, TransposedConvolution
from striderule.planning.phases import phases

Array = npt.NDArray[Any]

# Bytes of copied inputs that are held at a time; a single image may need more.
WORKSPACE = 1 << 22


def convolution(problem: Convolution, x: Array, weight: Array, fill: Any = 0, out: Array | None = None) -> Array:
    """out[n, o, j] = sum over c and t of weight[o, c, t] * x[n, c, j * stride + t * dilation - before].

    Gives way to `windows`, with one warning, where no code can be made.
    """
    dtype = np.dtype(problem.dtype)
    result = memory.empty(problem.output_shape, dtype) if out is None else out
    if result.size == 0 or problem.terms == 0:
        result[...] = 0
        return result
    x, weight = x.astype(dtype, copy=False), weight.astype(dtype, copy=False)
    bound = _kept(bind, (problem, fill), x, weight, result)
    if bound is None:
        result[...] = windows.convolution(problem, x, weight, fill)
    else:
        bound.run(x, weight, None, None, result)
    return result


def _kept(
    binds: Callable[..., Bound | None], words: tuple[Any, ...], x: Array, weight: Array, out: Array
) -> Bound | None:
    """Return the call of sums alone, of which the latest are kept: binding takes longer than small planes do."""
    infos = tuple(ArrayInfo.of(one) for one in (x, weight, out))
    try:
        return _latest(binds, words, infos, current())
    except LookupError:
        return None


@lru_cache(maxsize=256)
def _latest(
    binds: Callable[..., Bound | None], words: tuple[Any, ...], infos: tuple[ArrayInfo, ...], _: Target
) -> Bound:  # fmt: skip
    x, weight, out = infos
    found = binds(*words, x=x, weight=weight, out=out, bias=False, residual=None, activation=None)
    if found is None:
        raise LookupError  # which is not kept: there may be code the next time
    return found


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
) -> Bound | None:
    """Return the call that does everything at once, or None where only the sums can be formed here, or not even these.

    Gives way to `windows`, with one warning, where no code can be made.
    """
    dtype = np.dtype(problem.dtype)
    infos = [info for info in (x, weight, residual, out) if info is not None]
    if problem.terms == 0 or prod(problem.output_shape) == 0 or not _are_served(dtype, infos):
        return None
    if residual is not None and residual.dtype != out.dtype:
        return None
    words = tuple(word for word in activation or () if isinstance(word, str))
    numbers = [float(number) for number in activation or () if not isinstance(number, str)]
    if words and (words[0] not in ACTIVATIONS or len(numbers) != len(PARAMETERS.get(words[0], ()))):
        return None
    inner, layout, along = _readable(problem, fill, x)
    axes = Axis.all_of(inner)
    given = None if residual is None else with_rows(residual)
    plan = Layout(inner, along, with_rows(layout), with_rows(out), given, axes, current())
    structure = plan.structure(bias=bias, activation=words)
    routine = giving_way.attempt(_routine, structure, plan)
    if routine is None:
        return None
    told = plan.words()
    planes = Planes(
        routine.address,
        _template(told, numbers),
        told,
        told.tasks,
        along == "channels",
        dtype,
    )
    return planes if layout is x else Copied(planes, inner, problem, fill)


def _are_served(dtype: np.dtype[Any], infos: list[ArrayInfo]) -> bool:
    """Tell whether arrays hold the type of the sums, or floats of 16 bits where these are float32, in whole steps."""
    names = (dtype.name, *STORED) if dtype == np.float32 else (dtype.name,)
    whole = all(step % info.dtype.itemsize == 0 for info in infos for step in info.strides)
    return whole and all(info.dtype.name in names for info in infos)


def transposed_convolution(problem: TransposedConvolution, x: Array, weight: Array) -> Array:
    """out[n, o, i * stride + t - before] += x[n, c, i] * weight[c, o, t], of small groups.

    Gives way to `windows`, with one warning, where no code can be made.
    """
    dtype = np.dtype(problem.dtype)
    if 0 in problem.output_shape or x.size == 0:
        return np.zeros(problem.output_shape, dtype)
    out = memory.empty(problem.output_shape, dtype)
    x, weight = x.astype(dtype, copy=False), weight.astype(dtype, copy=False)
    bound = _kept(bind_transposed, (problem,), x, weight, out)
    if bound is None:
        return windows.transposed_convolution(problem, x, weight)
    bound.run(x, weight, None, None, out)
    return out


def bind_transposed(
    problem: TransposedConvolution,
    *,
    x: ArrayInfo,
    weight: ArrayInfo,
    bias: bool,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
) -> Bound | None:
    """Return the call that does everything at once, or None where only the sums can be formed here, or not even these.

    Gives way to `windows`, with one warning, where no code can be made.
    """
    if 0 in out.shape or 0 in x.shape:
        return None
    if residual is None and activation is None and interleaved.serves(problem, current(), (x, out)):
        return giving_way.attempt(interleaved.bound, problem, x, out, current(), bias=bias)
    if residual is None and activation is None and problem.in_channels > problem.groups:
        # Phases add channels up in another order; bits do not depend on where arrays stand.
        compact = _compact(x), _compact(out)
        if compact != (x, out) and interleaved.serves(problem, current(), compact):
            whole = giving_way.attempt(interleaved.bound, problem, *compact, current(), bias=bias)
            return None if whole is None else PutInOrder(whole)
    parts = []
    for phase in phases(problem):
        near = None if residual is None else part_of(residual, phase)
        to = part_of(out, phase)
        one = bind(phase.problem, 0, x=x, weight=weight, bias=bias, residual=near, activation=activation, out=to)
        if one is None:
            return None
        parts.append((phase, one))
    return Phases(tuple(parts))


@dataclass(frozen=True, slots=True)
class PutInOrder:
    """A bound call of x and out side by side, for others."""

    bound: Bound

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Write what the bound call gives to out."""
        result = memory.empty(out.shape, out.dtype)
        self.bound.run(np.ascontiguousarray(x), weight, bias, residual, result)
        np.copyto(out, result)

    def packed(self, weight: Array) -> PutInOrder:
        """Return the same with this weight copied and packed."""
        return PutInOrder(self.bound.packed(weight))


def _compact(x: ArrayInfo) -> ArrayInfo:
    """Return an array of the shape and type of x, side by side."""
    steps = tuple(x.dtype.itemsize * prod(x.shape[axis + 1 :]) for axis in range(len(x.shape)))
    return ArrayInfo(x.shape, steps, x.dtype)


def _readable(problem: Convolution, fill: Any, x: ArrayInfo) -> tuple[Convolution, ArrayInfo, str]:
    """Return the problem to solve, where its input stands, and along what vectors run.

    That is the given input, or a copy of it: where neither columns nor channels lie side by side, and where a constant
    other than zero stands around it.
    """
    itemsize = x.dtype.itemsize
    sides = zip(problem.padding, problem.boundary, strict=True)
    constant = any(n > 0 and word == "constant" for pads, words in sides for n, word in zip(pads, words, strict=True))
    if not (constant and fill != 0):
        columns = x.strides[-1] == itemsize
        channels = x.strides[1] == itemsize and problem.in_channels == problem.groups == problem.out_channels
        if channels and (not columns or (x.shape[-1] == 1 and x.shape[1] > 1)):
            return problem, x, "channels"
        if columns:
            return problem, x, "columns"
    inner = problem
    if constant and fill != 0:
        inner = replace(problem, size=problem.padded_size, padding=((0, 0),) * problem.rank)
    shape = (x.shape[0], x.shape[1], *inner.size)
    return inner, _compact(ArrayInfo(shape, x.strides, x.dtype)), "columns"


def _template(words: Words, parameters: list[float]) -> bytes:
    """Return the routine's words, with room for the addresses of the operands."""
    found = dict.fromkeys(POINTERS, 0)
    for table in ("outer", "beyond_rows", "beyond_columns"):
        found[table] = memory.address(getattr(words, table))
    numbers = np.array(parameters, np.float64).view(np.int64).tolist()
    return array("q", [*found.values(), *words.sizes, *numbers]).tobytes()


def _routine(structure: Structure, plan: Layout) -> Any:
    """Return the routine, made and loaded if it is new."""
    target = plan.target
    name = f"planes_{structure.dtype}_{structure.along}_{structure.down.taps}x{structure.rows}"
    build: Callable[[], str] = lambda: plane_routine(name, target, structure)  # noqa: E731 - short, and used at once
    return proof.compiled(name, structure, build, target, lambda: _agrees(structure, plan))


def _agrees(structure: Structure, plan: Layout) -> bool:
    """Compare the routine with NumPy on drawn operands like these, of one image."""
    problem = replace(plan.problem, batch=1)
    numbers = (1.0, 2.0)[: len(PARAMETERS.get(structure.activation[0], ()))] if structure.activation else ()
    activation: tuple[Any, ...] | None = (*structure.activation[:1], *numbers, *structure.activation[1:]) or None

    def computed(x: Array, weight: Array, bias: Array, residual: Array) -> Array:
        out = np.empty_like(residual)
        infos = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
        other = ArrayInfo.of(residual) if structure.residual else None
        bound = bind(problem, bias=structure.bias, residual=other, activation=activation, **infos)
        assert bound is not None  # it is being made for operands that stand like these
        bound.run(x, weight, bias if structure.bias else None, residual if structure.residual else None, out)
        return out

    def expected(x: Array, weight: Array, bias: Array, residual: Array) -> Array:
        sums = windows.convolution(problem, x.astype(problem.dtype), weight)
        sums = sums + bias.reshape(-1, *(1,) * problem.rank) if structure.bias else sums
        sums = sums + residual.astype(problem.dtype) if structure.residual else sums
        return sums if activation is None else elementwise.apply(activation[0], sums, sums.dtype, activation[1:])

    weight = np.empty((problem.out_channels, problem.in_channels // problem.groups, *problem.kernel), problem.dtype)
    x, out = (
        _like(info, shape) for info, shape in zip((plan.x, plan.y), (problem.size, problem.output_size), strict=True)
    )
    return proof.agree(computed, expected, x, weight, np.empty(problem.out_channels, problem.dtype), out)


def _like(info: ArrayInfo, size: tuple[int, ...]) -> Array:
    """Return a stand-in for one image that stands like an array: it is not read."""
    steps = (*info.strides[:2], *info.strides[len(info.strides) - len(size) :])
    return np.lib.stride_tricks.as_strided(np.empty(1, info.dtype), (1, info.shape[1], *size), steps)


@dataclass(frozen=True, slots=True)
class Planes:
    """The routine bound to sizes, strides and types.

    `address` is that of the routine; `template` holds its words, but for the addresses of the operands, and `words` the
    tables that these point to. `tasks` are those of one image, `dtype` is the type of the sums. `kept` are packed
    weights, which stand at `kept_at`.
    """

    address: int
    template: bytes
    words: Words
    tasks: int
    by_channels: bool
    dtype: np.dtype[Any]
    kept: Array | None = None
    kept_at: int = 0

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Write activation(convolution(x, weight) + bias + residual) to out; out may be the residual."""
        address = memory.address
        words = array("q", self.template)
        words[0], words[2] = address(x), address(out)
        if self.kept is None:
            near = self.pack(weight)
            words[1] = address(near)
        else:
            words[1] = self.kept_at
        if bias is not None:
            words[3] = address(bias)
        if residual is not None:
            words[4] = address(residual)
        workers.run(self.address, words.buffer_info()[0], self.tasks * len(x))

    def packed(self, weight: Array) -> Planes:
        """Return the same with this weight copied; it ignores the weight that `run` is given."""
        kept = self.pack(weight.copy())
        return replace(self, kept=kept, kept_at=memory.address(kept))

    def pack(self, weight: Array) -> Array:
        """Return the weights in their order, or those of all channels side by side, tap after tap."""
        weight = weight.astype(self.dtype, copy=False)
        if self.by_channels:
            weight = weight.reshape(len(weight), -1).T
        return weight if weight.flags.c_contiguous else np.ascontiguousarray(weight)


@dataclass(frozen=True, slots=True)
class Copied:
    """The routine bound to a copy of the input, made of a few images at a time; maybe with what stands around it."""

    planes: Planes
    inner: Convolution
    problem: Convolution
    fill: Any

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Write activation(convolution(x, weight) + bias + residual) to out; out may be the residual."""
        bare = self.inner is self.problem
        padding = ((0, 0),) * self.problem.rank if bare else self.problem.padding
        image = self.problem.in_channels * prod(self.inner.size) * x.itemsize
        step = max(1, WORKSPACE // max(1, image))
        planes = self.planes if self.planes.kept is not None else self.planes.packed(weight)
        for first in range(0, len(x), step):
            part = slice(first, first + step)
            shape = (*x[part].shape[:2], *self.inner.size)
            near = memory.scratch("images", prod(shape), x.dtype).reshape(shape)
            near[...] = x[part] if bare else extend(x[part], padding, self.problem.boundary, self.fill)
            planes.run(near, weight, bias, None if residual is None else residual[part], out[part])

    def packed(self, weight: Array) -> Copied:
        """Return the same with this weight copied; it ignores the weight that `run` is given."""
        return replace(self, planes=self.planes.packed(weight))
