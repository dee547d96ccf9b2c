"""The filters of ``skimage.feature`` and ``skimage.transform``: floats of range 0 to 1 first, then SciPy's filters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.resampling.maps import positions
from striderule.algorithms.windows.extend import extend
from striderule.filters.canny import edges
from striderule.filters.corners import check_method, corner_response
from striderule.filters.peers.floats import as_float, on_floats
from striderule.filters.peers.scipy import gaussian_passes, request_fill, run
from striderule.filters.peers.scipy import sobel as scipy_sobel
from striderule.filters.pyramids import factor, reduced_size
from striderule.filters.request import Request
from striderule.filters.templates import coefficients_of, template_array

Array = npt.NDArray[Any]


def structure_tensor(request: Request, *, sigma: Any) -> list[Array]:
    """Follow ``structure_tensor``: the border value stands outside of the image and of the products alike."""
    floats = on_floats(request)
    slopes = [scipy_sobel(floats, axis=axis) for axis in request.axes]
    averaged = []
    for one, other in combinations_with_replacement(slopes, 2):
        product = replace(floats, image=one * other)
        averaged.append(run(product, gaussian_passes(product, sigma)))
    return averaged


def corner_harris(request: Request, *, method: str, k: float, eps: float, sigma: Any) -> Array:
    """Follow ``corner_harris``."""
    check_method(method)
    return corner_response(structure_tensor(request, sigma=sigma), method, k, eps)


def canny(
    request: Request, *, sigma: Any, use_quantiles: bool, low_threshold: Any = None, high_threshold: Any = None
) -> Array:
    """Follow ``canny``, as ours does."""
    return edges(
        request,
        sigma=sigma,
        low_threshold=low_threshold,
        high_threshold=high_threshold,
        use_quantiles=use_quantiles,
    )


def match_template(request: Request, *, template: Any, pad_input: bool) -> Array:
    """Follow ``match_template``, which keeps the image's range."""
    taps = template_array(request, template)
    found, _ = coefficients_of(request, taps, pad_input=pad_input, relative=False)
    return found.astype(as_float(request.image[:0]).dtype)


def _zoomed(request: Request, x: Array, size: Sequence[int]) -> Array:
    """Return x with another size, interpolated linearly in float64 at the middles of the new elements.

    scikit-image calls "reflect" what is symmetric to its Gaussian and mirror to its interpolation.
    """
    words = tuple(
        tuple("mirror" if word == "symmetric" else word for word in pair) if not request.gives("boundary") else pair
        for pair in request.boundary
    )
    result = x.astype(np.float64)
    for axis, pair, outputs in zip(request.axes, words, size, strict=True):
        if outputs == x.shape[axis]:
            continue
        lines = np.moveaxis(result, axis, -1)
        where = positions(lines.shape[-1], outputs) + 1.0
        wide = extend(lines, ((1, 1),), ((pair[0], pair[1]),), request_fill(request))
        low = np.clip(np.floor(where).astype(np.intp), 0, wide.shape[-1] - 2)
        share = where - low
        result = np.moveaxis(wide[..., low] * (1.0 - share) + wide[..., low + 1] * share, -1, axis)
    return result.astype(x.dtype)


def pyramid_reduce(request: Request, *, downscale: Any, sigma: Any) -> Array:
    """Follow ``pyramid_reduce`` with its linear interpolation."""
    floats, scale = on_floats(request), factor(downscale, "downscale")
    blurred = run(floats, gaussian_passes(floats, 2 * scale / 6 if sigma is None else sigma))
    return _zoomed(request, blurred, reduced_size(request, scale))


def pyramid_expand(request: Request, *, upscale: Any, sigma: Any) -> Array:
    """Follow ``pyramid_expand`` with its linear interpolation."""
    floats, scale = on_floats(request), factor(upscale, "upscale")
    size = [math.ceil(scale * request.image.shape[axis]) for axis in request.axes]
    larger = replace(floats, image=_zoomed(request, floats.image, size))
    return run(larger, gaussian_passes(larger, 2 * scale / 6 if sigma is None else sigma))


def pyramid_gaussian(request: Request) -> Array:
    """Return the first layer of ``pyramid_gaussian``."""
    return as_float(request.image)
