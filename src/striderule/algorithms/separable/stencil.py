"""Image correlation with sums of outer products: passes along the axes, the last two of which are fused."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.casting import finished, result_type
from striderule.algorithms.direct import giving_way
from striderule.algorithms.images.factors import factored
from striderule.algorithms.images.terms import Terms
from striderule.algorithms.separable.bound import Bound, bind
from striderule.algorithms.separable.mending import mend
from striderule.algorithms.windows import stencil as windows
from striderule.codegen.target import current
from striderule.geometry.problem import Convolution

Array = npt.NDArray[Any]


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
    `windows` where no code can be made; where infinities would meet others than the definition lets them meet, its
    own products are formed (`mending`).
    """
    terms = _terms(kernel, variant)
    done = None
    if x.size and all(problem.output_size) and all(one.any() for term in terms.terms for one in term):
        done = giving_way.attempt(_computed, problem, x, kernel, terms, fill, out)
    return windows.stencil(problem, x, kernel, fill, out) if done is None else done


def _terms(kernel: Array | Terms, variant: str | None) -> Terms:
    return kernel if isinstance(kernel, Terms) else factored(kernel, int((variant or "rank1").removeprefix("rank")))


def _computed(
    problem: Convolution, x: Array, kernel: Array | Terms, terms: Terms, fill: Any, out: Array | None
) -> Array:
    """Return the result."""
    where = None if out is None or not out.flags.aligned else out.strides
    bound = _bound(problem, x.shape, x.strides, x.dtype, x.flags.aligned, terms, fill, where, False, current().name)
    target = out if where is not None and bound.final == result_type(problem) else None
    result, spoilt = bound.through(x, target)
    if spoilt and bound.widens:
        # Sums of large numbers leave float32 where their means do not.
        wide = _bound(problem, x.shape, x.strides, x.dtype, x.flags.aligned, terms, fill, None, True, current().name)
        means, spoilt = wide.through(x, None)
        with np.errstate(over="ignore"):
            np.copyto(result, means, "same_kind", where=~np.isfinite(result))
    if spoilt:
        mend(problem, x, kernel, terms, fill, result)
    if result is out or (out is None and result.dtype == result_type(problem)):
        return result
    return finished(problem, result, out)


def bound_for(
    problem: Convolution,
    x: Array,
    kernel: Array | Terms,
    fill: Any = 0,
    out: Array | None = None,
    variant: str | None = None,
) -> Bound | None:
    """Return what computes the outer products of arrays like x and `out`, with no more ado; None if more is needed."""
    terms = _terms(kernel, variant)
    arrays = [x] if out is None else [x, out]
    if not (x.size and all(problem.output_size) and all(one.any() for term in terms.terms for one in term)):
        return None
    if not all(one.flags.aligned for one in arrays):
        return None
    where = None if out is None else out.strides
    operands = (problem, x.shape, x.strides, x.dtype, True, terms, fill, where, False, current().name)
    bound = giving_way.attempt(_bound, *operands)
    return bound if bound is not None and bound.final == result_type(problem) else None


@lru_cache(maxsize=128)
def _bound(
    problem: Convolution,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: np.dtype[Any],
    aligned: bool,
    terms: Terms,
    fill: Any,
    out: tuple[int, ...] | None,
    wide: bool,
    _target: str,
) -> Bound:
    """Return the passes bound to arrays of such shapes, strides and types."""
    return bind(problem, shape, strides, dtype, terms, fill, out, aligned=aligned, wide=wide)
