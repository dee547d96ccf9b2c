"""Canny's edges: smoothed, differentiated, thinned, linked."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np

from striderule.algorithms import table
from striderule.algorithms.edges.linking import linked
from striderule.algorithms.edges.picture import STRONG, WEAK, Picture
from striderule.algorithms.edges.thinning import gradients, thinned, threshold
from striderule.errors import InvalidArgument
from striderule.filters import like as likeness
from striderule.filters.peers.floats import as_float
from striderule.filters.peers.scipy import TINY_SIGMA, gaussian_passes, run
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional.normalized import Holes
from striderule.functional.standin import stand_in
from striderule.kernels.arguments import real, reals_per_axis
from striderule.kernels.smoothing import gaussian_profile

# Thresholds where none are given, as parts of the range of the image's type (of 1 for floats).
LOW, HIGH = 0.1, 0.2


@public
def canny(
    image: Any,
    sigma: float | Sequence[float] = 1.0,
    low_threshold: float | None = None,
    high_threshold: float | None = None,
    *,
    use_quantiles: bool = False,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Array:
    """Return Canny's edges, as lines one element wide: True on them.

    The image is smoothed with a Gaussian and differentiated with the Sobel kernel. The gradient's length is kept where
    it is no less than its interpolated neighbours up and down the gradient, and at least `low_threshold`. Of these
    elements the ones stay that reach `high_threshold`, and those that such an element can be reached from through
    others, across sides and corners (J. Canny, A computational approach to edge detection, 1986).

    This is ``skimage.feature.canny`` to the last pixel: ties between neighbours are decided by the last bits, so all
    that it does is done in the same order and precision.

    Parameters
    ----------
    image : ndarray with two axes to filter
    sigma : float or one float for each filtered axis, default 1
        Standard deviation of the Gaussian in elements; its window ends at 4 sigma.
    low_threshold, high_threshold : float, optional
        In the image's unit, against the length of the plain Sobel gradient (4 for a step of height 1). By default 0.1
        and 0.2 times the largest value of an integer type, 0.1 and 0.2 for floats.
    use_quantiles : bool, default False
        The thresholds are quantiles of the gradient's length over the whole image instead, from 0 to 1.
    like : {"skimage"}, optional
        The same.
    **keywords
        See `striderule.filters`. The border is ``"constant"`` by default, and the Gaussian then is a mean of what lies
        inside. Elements beside missing ones, and those on the border, are no edges. `fill` is in units of the type's
        range. `confidence`, `precision` and `algorithm` have no use here.

    Returns
    -------
    ndarray of bool, of the image's shape

    Raises
    ------
    InvalidArgument
        If the lower threshold is above the higher one, or a quantile is not from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> square = np.zeros((9, 9))
    >>> square[3:6, 3:6] = 1
    >>> canny(square, 0.5).astype(int)[2:7, 2:7]
    array([[0, 0, 1, 0, 0],
           [0, 1, 0, 1, 0],
           [1, 0, 0, 0, 1],
           [0, 1, 0, 1, 0],
           [0, 0, 1, 0, 0]])
    """
    arguments: dict[str, Any] = {
        "sigma": sigma,
        "low_threshold": low_threshold,
        "high_threshold": high_threshold,
        "use_quantiles": use_quantiles,
    }
    if like is not None:
        return likeness.answer("canny", like, image, arguments, keywords)
    request = Request.of("canny", image, keywords, rank=2, boundary="constant")
    request.refuse("canny", "confidence", "precision", "algorithm")
    request = request.settle(np.dtype(bool))
    return request.finish(edges(request, **arguments))


def edges(request: Request, *, sigma: Any, low_threshold: Any, high_threshold: Any, use_quantiles: bool) -> Array:
    """Return the edges of every plane of the image."""
    request.refuse_complex("canny")
    low, high = thresholds(request.image.dtype, low_threshold, high_threshold, quantiles=use_quantiles)
    reals_per_axis(sigma, 2, "sigma")
    if request.only_planned:  # smoothed, thinned and linked by routines of its own
        return stand_in(request.image.shape, bool)
    planes = np.moveaxis(request.image, request.axes, (-2, -1))
    gaps = None if request.missing is None else np.moveaxis(request.missing, request.axes, (-2, -1))
    result = np.zeros(planes.shape, bool)
    if not planes.size:
        return np.moveaxis(result, (-2, -1), request.axes)
    for plane in np.ndindex(planes.shape[:-2]):
        missing = None if gaps is None else gaps[plane]
        holes = Holes.known(missing, planes[plane])
        one = replace(request, image=planes[plane], axes=(0, 1), mask=None, holes=holes, dtype=None)
        result[plane] = _plane(Plane(one, sigma), low, high, quantiles=use_quantiles)
    return np.moveaxis(result, (-2, -1), request.axes)


def thresholds(dtype: np.dtype[Any], low: Any, high: Any, *, quantiles: bool) -> tuple[float, float]:
    """Return both thresholds as parts of the type's range, or as quantiles."""
    largest = float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
    found = []
    for value, default, name in ((low, LOW, "low_threshold"), (high, HIGH, "high_threshold")):
        if value is None:
            found.append(default)
            continue
        number = real(value, name)
        if quantiles and not 0.0 <= number <= 1.0:
            raise InvalidArgument(f"{name} must be a quantile from 0 to 1, got {value!r}")
        found.append(number if quantiles else number / largest)
    if found[1] < found[0]:
        raise InvalidArgument(f"low_threshold must be at most high_threshold, got {low!r} and {high!r}")
    return found[0], found[1]


@dataclass(frozen=True)
class Plane:
    """One plane, both of whose axes are filtered, and the Gaussian; or what that has made of it."""

    request: Request
    sigma: Any
    smoothed: Array | None = None

    @functools.cached_property
    def picture(self) -> Picture:
        """The plane for generated code."""
        return _picture(self.request, self.sigma) if self.smoothed is None else _as_it_is(self.smoothed)

    def gradients(self) -> tuple[Array, Array, Array]:
        """Return the derivatives of the smoothed plane, and their length, in NumPy."""
        return gradients(smooth(self.request, self.sigma) if self.smoothed is None else self.smoothed)

    def lengths(self) -> Array:
        """Return the length of the gradient."""
        code = table.generated("edges.detection")
        found = None if code is None else code.length(self.picture)
        return self.gradients()[2] if found is None else found

    def marks(self, low: float, high: float, *, quantiles: bool) -> Array:
        """Return what is left after thinning, as bytes: `WEAK`, or `STRONG` where the higher threshold is reached."""
        code = table.generated("edges.detection")
        if code is not None:
            # Thresholds that are given are compared in the image's precision.
            single = self.picture.stored == "float32" and not quantiles
            marks: Array | None = code.marks(
                self.picture, threshold(low), float(np.float32(high)) if single else float(high)
            )
            if marks is not None:
                if self.request.missing is not None:
                    marks[~_kept(self.request)] = 0
                return marks
        ridges = thinned(*self.gradients(), _kept(self.request), low)
        return np.where(ridges >= high, np.uint8(STRONG), np.uint8(WEAK)) * (ridges > 0)


def link(marks: Array) -> Array:
    """Return which marks are strong or touch such ones through others; the marks may be changed."""
    code = table.generated("edges.detection")
    found: Array | None = None if code is None else code.linked(marks)
    return linked(marks > 0, marks == STRONG) if found is None else found


def _plane(plane: Plane, low: float, high: float, *, quantiles: bool) -> Array:
    """Return the edges of one plane."""
    if quantiles:
        low, high = np.percentile(plane.lengths(), [100.0 * low, 100.0 * high])
    return link(plane.marks(low, high, quantiles=quantiles))


def _picture(request: Request, sigma: Any) -> Picture:
    """Return the image with its Gaussian for generated code, already smoothed where that has not the same border."""
    image = (
        request.image if request.image.dtype.isnative else request.image.astype(request.image.dtype.newbyteorder("="))
    )
    if request.missing is not None or request.fill not in (0, None):
        return _as_it_is(smooth(request, sigma))
    scale = 1.0 / np.iinfo(image.dtype).max if image.dtype.kind in "iu" else 1.0
    if image.dtype == np.float16:
        image = image.astype(np.float32)
    weights = tuple(
        gaussian_profile(one) if one > TINY_SIGMA else np.ones(1) for one in reals_per_axis(sigma, 2, "sigma")
    )
    share = None
    if any("constant" in words for words in request.boundary):
        rows = min(image.shape[0], len(weights[0]))
        ones = np.ones((rows, image.shape[1]), np.float32 if image.dtype == np.float32 else np.float64)
        share = _share(replace(request, image=ones, holes=Holes.known(None, ones), fill=0), sigma)
    first, second = request.boundary
    return Picture(image, scale, (first, second), (weights[0], weights[1]), share)


def _as_it_is(smoothed: Array) -> Picture:
    """Return a picture that is not smoothed any more."""
    none = np.ones(1)
    return Picture(smoothed, 1.0, (("edge", "edge"),) * 2, (none, none))


def _share(inside: Request, sigma: Any) -> Array:
    """Return which share of the Gaussian lies on ones, and a last bit more, so that nothing is divided by 0."""
    return np.asarray(run(inside, gaussian_passes(inside, sigma)) + np.finfo(inside.image.dtype).eps)


def smooth(request: Request, sigma: Any) -> Array:
    """Return the Gaussian mean of what is there, in floats of range 0 to 1."""
    floats = as_float(request.image)
    inside = np.ones(floats.shape, floats.dtype)
    if request.missing is not None:
        floats = np.where(request.missing, floats.dtype.type(0), floats)
        inside[request.missing] = 0
    outside = 0 if request.fill is None else request.fill
    settled = replace(request, image=floats, holes=Holes.known(None, floats), fill=outside)
    smoothed = run(settled, gaussian_passes(settled, sigma))
    if request.missing is not None or any("constant" in words for words in request.boundary):
        smoothed = smoothed / _share(replace(settled, image=inside), sigma)
    return smoothed


def _kept(request: Request) -> Array:
    """Return where no element of the 3x3 window is missing, or outside."""
    keep = np.zeros(request.image.shape, bool)
    keep[1:-1, 1:-1] = True
    if request.missing is not None:
        wide = np.pad(~request.missing, 1)
        rows = wide[:-2] & wide[1:-1] & wide[2:]
        keep &= rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    return keep
