"""Dense and transposed convolution on generated code: what the library calls."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import giving_way, pointwise
from striderule.algorithms.direct.call import Call, call_for
from striderule.algorithms.direct.operands import before_turning, by_real_sums, is_turned, readable
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.geometry.problem import Convolution
from striderule.planning.schedule import sums_type

Array = npt.NDArray[Any]
# Whether `bind` takes weights of one group as `turned_weights.seen_turned` shows them, too, if it pays.
SEES_TURNED = True


def __getattr__(name: str) -> Any:
    # Of another module, which few calls need, and which would be a tenth of the first one.
    if name in ("bind_transposed", "transposed_convolution"):
        return getattr(importlib.import_module("striderule.algorithms.direct.transposed"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def convolution(problem: Convolution, x: Array, weight: Array, fill: Any = 0) -> Array:
    """out[n, o, j] = sum over c and t of weight[o, c, t] * x[n, c, j * stride + t * dilation - before].

    Gives way to `windows`, with one warning, where no code can be made.
    """
    if 0 in problem.output_shape or problem.terms == 0:
        return np.zeros(problem.output_shape, sums_type(problem))
    if np.dtype(problem.dtype).kind == "c":
        if fill:  # it would stand in the imaginary parts, too
            return windows.convolution(problem, x, weight, fill)
        return by_real_sums(problem, x, weight, convolution, turned=False)
    out = memory.empty(problem.output_shape, sums_type(problem))
    x, weight = readable(x, out.dtype), np.ascontiguousarray(readable(weight, out.dtype))
    given = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    bound = bind(problem, fill, **given, bias=False, residual=None, activation=None)
    if bound is None:
        return windows.convolution(problem, x, weight, fill)
    bound.run(x, weight, None, None, out)
    return out


@dataclass(frozen=True, slots=True)
class Checked:
    """A call whose padding with zeros must contribute nothing, under an infinite weight too.

    An infinite weight on zero padding makes a NaN, where the definition has no term. The routine says whether it met a
    weight that is not finite; then NumPy computes. `activation` is its word and parameters.
    """

    call: Call
    problem: Convolution
    fill: Any
    activation: tuple[Any, ...] | None

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Compute into out."""
        if residual is not None and np.may_share_memory(residual, out):
            residual = residual.copy()  # it may be needed again
        if self.call.run(x, weight, bias, residual, out):
            self._by_numpy(x, weight, bias, residual, out)

    def packed(self, weight: Array) -> Packed:
        """Return the same with this weight packed; NumPy gets a copy if it has to compute."""
        kept = weight.copy()
        return Packed(self, self.call.packed(kept), kept, bool(np.isfinite(kept).all()))

    def _by_numpy(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        by_numpy(self.problem, self.fill, self.activation, x, weight, bias, residual, out)


def by_numpy(
    problem: Convolution,
    fill: Any,
    activation: tuple[Any, ...] | None,
    x: Array,
    weight: Array,
    bias: Array | None,
    residual: Array | None,
    out: Array,
) -> None:
    """Compute a whole call in NumPy."""
    kind = problem.dtype
    sums = windows.convolution(problem, x.astype(kind), weight.astype(kind), fill)
    with np.errstate(invalid="ignore", over="ignore"):
        if bias is not None:
            sums += bias.reshape(-1, *(1,) * problem.rank)
        if residual is not None:
            sums += residual
        if activation is not None:
            word, *parameters = activation
            sums = elementwise.apply(word, sums, sums.dtype, tuple(parameters))
        out[...] = sums


@dataclass(frozen=True, slots=True)
class Packed:
    """A checked call with its weight; see `Checked`."""

    checked: Checked
    call: Call
    weight: Array
    finite: bool

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Compute into out; the weight given is not looked at."""
        if self.finite:
            self.call.run(x, weight, bias, residual, out)
        else:
            self.checked.run(x, self.weight, bias, residual, out)

    def packed(self, weight: Array) -> Packed:
        """Return the same with another weight."""
        return self.checked.packed(weight)


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
) -> Call | Checked | pointwise.Call | None:
    """Return the call that does everything at once; see `striderule.algorithms.binding`."""
    if 0 in (*x.shape, *out.shape, problem.terms) or np.dtype(problem.dtype).kind == "c":
        return None
    if residual is None and activation is None and not bias and is_turned(problem, weight):
        found = giving_way.attempt(pointwise.bind, problem, x, before_turning(weight), out)
        if found is not None:
            return found
    call = giving_way.attempt(call_for, problem, fill, x, weight, residual, activation, out)
    if call is None or not _pads_zeros(problem, fill) or weight.dtype.kind in "biu":
        return call
    return Checked(call, problem, fill, activation)


def _pads_zeros(problem: Convolution, fill: Any) -> bool:
    sides = zip(problem.padding, problem.boundary, strict=True)
    pairs = [(side, word) for pads, words in sides for side, word in zip(pads, words, strict=True)]
    return bool(fill == 0) and any(side > 0 and word == "constant" for side, word in pairs)
