"""The gradients of filters in their image, from what they noted: formulas of linear operators.

A linear operator gives back by its transpose (`striderule.functional.gradients.slides`), made of correlations like its
own. With g the gradient with respect to the result y:

- a length y = sqrt(sum of d_i^2) gives d_i g / y to each derivative, and 0 where y = 0;
- the variance of a window of n elements with the mean m gives 2 / n * sum over windows of g (x - m) to x, which is
  2 (x B'(g / n) - B'(g m / n)) with B' the transpose of the window's sums; the standard deviation is its root, and
  gives 0 where it is 0;
- A_ij = G (d_i d_j) gives G'(g) d_j to d_i and G'(g) d_i to d_j, G' being the transpose of the Gaussian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from striderule.algorithms.images.terms import Terms
from striderule.filters.coefficients import coefficients_back
from striderule.filters.corners import averaging
from striderule.filters.formulas import Coefficients, Deviations, Formula, Length, Linear, Resampled, Tensor
from striderule.filters.gradients import root_of_squares
from striderule.filters.passes import Operator, apply, at_once
from striderule.filters.pyramids import resampled_back
from striderule.filters.request import Array, Request
from striderule.functional.gradients.slides import Gapped, Kernel, transposed
from striderule.functional.normalized import Holes, Weights
from striderule.functional.profiles import slide_of_profiles


def pulled(formula: Formula, g: Array, result: Array, wanted: frozenset[str]) -> dict[str, Array | None]:
    """Return the gradients of a formula that are wanted, by the names of the arguments."""
    if isinstance(formula, Coefficients):
        return coefficients_back(formula, g, wanted)
    if "image" not in wanted:
        return {}
    if isinstance(formula, Linear):
        found = _linear(formula, _wide(g, formula.operators[0].request))
    elif isinstance(formula, Length):
        found = _length(formula.operators, _wide(g, formula.operators[0].request))
    elif isinstance(formula, Tensor):
        found = _tensor(formula, _wide(g, formula.slopes[0].request))
    elif isinstance(formula, Deviations):
        found = _deviations(formula, g, result)
    else:
        assert isinstance(formula, Resampled)  # there is no other
        found = resampled_back(formula, _wide(g, formula.request))
    return {"image": found}


def _work(request: Request) -> np.dtype[Any]:
    return np.result_type(request.working_type, np.float32)


def _wide(g: Array, request: Request) -> Array:
    return g.astype(_work(request), copy=False)


def transpose(operator: Operator, g: Array) -> Array:
    """Return the transpose of an operator, applied to g: of the filter where nothing is missing."""
    profiles, work = operator.profiles, g.dtype
    if profiles is not None:
        return _pass(operator.request, [position for (position,), _ in operator.stages], profiles, g)
    for positions, kernel in reversed(operator.stages):
        g = _pass(operator.request, positions, kernel.astype(work, copy=False), g)
    return g


def _pass(request: Request, positions: Sequence[int], taps: Array | Terms, g: Array) -> Array:
    axes = tuple(request.axes[position] for position in positions)
    boundary = tuple(request.boundary[position] for position in positions)
    slide = slide_of_profiles(g.shape, taps.shape, axes, boundary, "saturate", request.precision, request.algorithm)
    return transposed(slide, taps, g, g.dtype)


def _has_gaps(request: Request) -> bool:
    return request.missing is not None or request.fill is None


def back(operator: Operator, g: Array) -> Array:
    """Return what the gradient g of a filtered image gives to the image, around its gaps."""
    request = operator.request
    if not _has_gaps(request):
        return transpose(operator, g)
    there = np.ones(request.image.shape, bool) if request.missing is None else ~request.missing
    magnitudes = None if operator.plain else _kernel(operator.magnitudes())
    weights = Weights.of([kernel for _, kernel in operator.stages], operator.divisor)
    return Gapped(_kernel(operator), magnitudes, weights, there, request.fill, g.dtype).image(g)


def _kernel(operator: Operator) -> Kernel:
    return Kernel(operator, lambda g: transpose(operator, g))


def _sum(parts: Sequence[Array]) -> Array:
    first, *others = parts
    for other in others:
        first = first + other
    return first


def _linear(formula: Linear, g: Array) -> Array:
    (first, *others), (factor, *factors) = formula.operators, formula.factors
    to_first = g if factor == 1 else g * g.dtype.type(factor)
    request, kept = first.request, None
    if formula.identity:
        kept = g * g.dtype.type(formula.identity)
        if request.missing is not None:
            to_first = to_first + np.where(request.missing, kept, 0)
            kept = np.where(request.missing, g.dtype.type(0), kept)
    found = [back(first, to_first)]
    found += [back(one, g * g.dtype.type(share)) for one, share in zip(others, factors, strict=True)]
    return _sum(found if kept is None else [*found, kept])


def _length(operators: Sequence[Operator], g: Array) -> Array:
    request = operators[0].request
    together = at_once(operators, ("length", "sums")) if request.dtype == g.dtype else None
    if together is None:
        parts = [apply(operator) for operator in operators]
        length = root_of_squares(parts)
    else:
        length, *parts = together
    if _has_gaps(request):
        length[np.isnan(length)] = 0  # there is nothing to compute from
    # All of these arrays are our own: each makes room for what follows.
    share = np.divide(g, length, out=length, where=length != 0)
    found, *others = (
        back(operator, np.multiply(part, share, out=part)) for operator, part in zip(operators, parts, strict=True)
    )
    for other in others:
        found += other
    return found


def _tensor(formula: Tensor, g: Array) -> Array:
    derivatives = [apply(slope).astype(g.dtype, copy=False) for slope in formula.slopes]
    request = formula.slopes[0].request
    wanted = {(0, 0): g} if formula.response is None else _of_response(formula, derivatives, g)
    given = [np.zeros_like(g) for _ in derivatives]
    for (i, j), share in wanted.items():
        product = derivatives[i] * derivatives[j]
        to_product = back(averaging(request, formula.blur, product), share)
        given[i] += to_product * derivatives[j]
        given[j] += to_product * derivatives[i]
    if _has_gaps(request):
        given = [np.where(np.isnan(one), one.dtype.type(0), one) for one in given]
    return _sum([back(slope, one) for slope, one in zip(formula.slopes, given, strict=True) if one.any()] or given)


def _of_response(formula: Tensor, derivatives: Sequence[Array], g: Array) -> dict[tuple[int, int], Array]:
    """Return the gradient with respect to each element of the tensor."""
    assert formula.response is not None  # asked before
    method, k, eps = formula.response
    request, pairs = formula.slopes[0].request, ((0, 0), (0, 1), (1, 1))
    rows, mixed, columns = (apply(averaging(request, formula.blur, derivatives[i] * derivatives[j])) for i, j in pairs)
    trace = rows + columns
    if method == "k":
        slope = trace * g.dtype.type(2 * k)
        shares = columns - slope, -2 * mixed, rows - slope
    else:
        below = trace + g.dtype.type(eps)
        measure = 2 * (rows * columns - mixed * mixed) / below
        shares = (2 * columns - measure) / below, -4 * mixed / below, (2 * rows - measure) / below
    found = [g * share for share in shares]
    if _has_gaps(request):
        found = [np.where(np.isnan(one), one.dtype.type(0), one) for one in found]
    return dict(zip(pairs, found, strict=True))


def _deviations(formula: Deviations, g: Array, result: Array) -> Array:
    """Return the gradient of local variances, in float64: differences of large numbers are formed on the way."""
    request = formula.request
    x, missing = request.image.astype(np.float64), request.missing
    valid = x if missing is None else x[~missing]
    near = float(valid.mean()) if valid.size and np.isfinite(valid).all() else 0.0
    x -= near
    if missing is not None:
        x[missing] = 0
    fill = 0.0 if request.fill is None else complex(request.fill).real - near
    wide = replace(request, image=x, holes=Holes.known(None, x), fill=fill, dtype=x.dtype)
    sums = Operator.separable(wide, [np.ones(length) for length in formula.sizes])
    count: Any = float(np.prod(formula.sizes))
    if _has_gaps(request):
        there = np.ones(x.shape) if missing is None else (~missing).astype(np.float64)
        count = np.rint(sums(there, 0.0 if request.fill is None else 1.0))
    share = g.astype(np.float64) * (2 / np.maximum(count, 1))
    if formula.root:
        share = np.divide(share, 2 * result, out=np.zeros_like(share), where=result != 0)
    share = np.where(count > 0, share, 0)
    mean = sums(x, fill) / np.maximum(count, 1)
    found = x * transpose(sums, share) - transpose(sums, share * mean)
    return found if missing is None else np.where(missing, 0, found)
