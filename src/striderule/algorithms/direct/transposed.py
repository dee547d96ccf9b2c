"""Transposed convolution on generated code: tables, calls, and what the library calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.binding import ArrayInfo
from striderule.algorithms.direct import call as convolutions
from striderule.algorithms.direct import giving_way, pointwise
from striderule.algorithms.direct.operands import by_real_sums, readable
from striderule.algorithms.direct.spread.call import Call, call_for
from striderule.algorithms.windows import convolution as windows
from striderule.codegen.target import current
from striderule.geometry.problem import TransposedConvolution
from striderule.planning.schedule import sums_type
from striderule.planning.spreading import as_convolution

Array = npt.NDArray[Any]


def transposed_convolution(problem: TransposedConvolution, x: Array, weight: Array) -> Array:
    """out[n, o, i * stride + t * dilation - before] += x[n, c, i] * weight[c, o, t].

    Gives way to `windows`, with one warning, where no code can be made.
    """
    if 0 in problem.output_shape or x.size == 0:
        return np.zeros(problem.output_shape, sums_type(problem))
    if np.dtype(problem.dtype).kind == "c":
        return by_real_sums(problem, x, weight, transposed_convolution, turned=True)
    out = memory.empty(problem.output_shape, sums_type(problem))
    x, weight = readable(x, out.dtype), np.ascontiguousarray(readable(weight, out.dtype))
    given = {"x": ArrayInfo.of(x), "weight": ArrayInfo.of(weight), "out": ArrayInfo.of(out)}
    bound = bind_transposed(problem, **given, bias=False, residual=None, activation=None)
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
) -> Call | Turned | pointwise.Call | None:
    """Return the call that does everything at once; see `striderule.algorithms.binding`."""
    if 0 in out.shape or 0 in x.shape or np.dtype(problem.dtype).kind == "c":
        return None
    if residual is None and activation is None and not bias:
        found = giving_way.attempt(pointwise.bind, problem, x, weight, out)
        if found is not None:
            return found
    return giving_way.attempt(_call_or_turned, problem, x, weight, residual, activation, out)


def _call_or_turned(
    problem: TransposedConvolution,
    x: ArrayInfo,
    weight: ArrayInfo,
    residual: ArrayInfo | None,
    activation: tuple[Any, ...] | None,
    out: ArrayInfo,
) -> Call | Turned | None:
    spread = partial(call_for, problem, x, weight, residual, activation, out, current())
    turned = as_convolution(problem)
    if turned is None:
        return spread()
    shape = (turned.out_channels, turned.in_channels // turned.groups, *turned.kernel)
    taps = ArrayInfo.of(np.empty(shape, weight.dtype))
    call = convolutions.call_for(turned, 0, x, taps, residual, activation, out)
    return None if call is None else Turned(call, problem, spread)


@dataclass(frozen=True, slots=True)
class Turned:
    """A transposed convolution of stride 1, computed as the convolution that it is, with the weight turned.

    Where the convolution meets zeros beyond the borders the definition has no terms: a weight that is not finite would
    make NaN there. The routine says whether it met one; then the products are spread.
    """

    call: convolutions.Call
    problem: TransposedConvolution
    spread: Callable[[], Call | None]
    weight: Array | None = None

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Compute into out."""
        if residual is not None and np.may_share_memory(residual, out):
            residual = residual.copy()  # it may be needed again
        turned = weight if self.weight is not None else self._turned(weight)
        if self.call.run(x, turned, bias, residual, out):
            spread = self.spread()
            assert spread is not None  # the same arrays are served
            spread.run(x, weight, bias, residual, out)

    def packed(self, weight: Array) -> Turned | Call:
        """Return the same with this weight turned and packed."""
        if not np.isfinite(weight).all():
            spread = self.spread()
            assert spread is not None
            return spread.packed(weight)
        return replace(self, call=self.call.packed(self._turned(weight)), weight=weight)

    def _turned(self, weight: Array) -> Array:
        parts = weight.reshape(self.problem.groups, -1, *weight.shape[1:])
        parts = np.flip(parts.swapaxes(1, 2), tuple(range(3, parts.ndim)))
        return np.ascontiguousarray(parts).reshape(self.problem.out_channels, -1, *self.problem.kernel)
