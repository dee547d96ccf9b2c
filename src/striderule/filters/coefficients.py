"""The gradient of `match_template`, in the image and in the template.

With t the template's deviations from its mean, n its elements, m and S the mean and the sum of squared deviations of
the window at i, and |t| = sqrt(sum of t^2):

    r[i] = P[i] / sqrt(S[i] |t|^2),   P[i] = sum over k of t[k] x[i + k]
    dL/dx = C'(a) - (x B'(b) - B'(b m)),   a = g / sqrt(S |t|^2),   b = g r / S
    dL/dt = sum over i of a[i] x[i + k] - t[k] / |t|^2 * sum of g r,   less its mean

C' and B' are the transposes of the correlation with t and of the windows' sums. Where a window is constant, r is 0 and
gives nothing.
"""

from __future__ import annotations

import numpy as np

from striderule.algorithms.images.terms import Terms
from striderule.filters.formulas import Coefficients
from striderule.filters.request import Array
from striderule.filters.templates import NOISE, Windows
from striderule.functional.gradients.slides import by_taps, transposed
from striderule.functional.sliding import Slide, SlideWords
from striderule.geometry.imaging import image_output_size, kernel_sides


def coefficients_back(formula: Coefficients, g: Array, wanted: frozenset[str]) -> dict[str, Array | None]:
    """Return the gradients with respect to image and template, of those wanted, in float64."""
    request, taps, eps = formula.request, formula.template, float(np.finfo(np.float64).eps)
    deviations = taps - taps.mean()
    power, x = float((deviations**2).sum()), request.image.astype(np.float64)
    found: dict[str, Array | None] = {"image": np.zeros(x.shape), "template": np.zeros(taps.shape)}
    if g.size == 0 or power <= NOISE * eps * float((taps * taps).sum()):
        return found
    middle = float(x.mean())
    middle = middle if np.isfinite(middle) else 0.0
    x -= middle
    fill = complex(request.fill or 0).real - middle
    windows = Windows(request, taps.shape, pad_input=formula.pad_input)
    sums, squares = windows.sums(x, fill), windows.sums(x * x, fill * fill)
    spread = squares - sums * sums / taps.size
    flat = spread <= NOISE * eps * squares
    spread[flat] = 1
    a = np.where(flat, 0, g / np.sqrt(spread * power))
    of_result = a * windows.correlate(x, deviations, fill)  # g r
    slide, work = _slide(formula), np.dtype(np.float64)
    if "image" in wanted:
        ones, b = Terms.outer([np.ones(n) for n in taps.shape]), of_result / spread
        mean = sums / taps.size
        inside = x * transposed(slide, ones, b, work) - transposed(slide, ones, b * mean, work)
        found["image"] = transposed(slide, deviations, a, work) - inside
    if "template" in wanted:
        by_deviations = by_taps(slide, x, fill, a, work) - deviations * (of_result.sum() / power)
        found["template"] = by_deviations - by_deviations.mean()
    return found


def _slide(formula: Coefficients) -> Slide:
    request, kernel = formula.request, formula.template.shape
    size, ones = tuple(request.image.shape[axis] for axis in request.axes), (1,) * len(kernel)
    mode = "same" if formula.pad_input else "valid"
    outputs = image_output_size(mode, size, kernel, ones, ones)
    words = SlideWords(mode, "saturate", False, request.precision, None, None)
    sides = kernel_sides(mode, kernel, ones)
    return Slide(request.axes, size, kernel, ones, ones, sides, request.boundary, outputs, words)
