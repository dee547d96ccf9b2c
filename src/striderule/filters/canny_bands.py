"""Canny's edges of large images, band by band of rows: equal to those of the whole.

Smoothing, gradient and thinning read a few rows beside a band. Linking does not end at a band's border: every band is
linked by itself first, its weak components at the borders are joined (`striderule.algorithms.edges.joining`), and those
that turn out to be edges are added in a second round. Until then they stand in the result as 2.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from striderule.algorithms.edges.joining import Bands
from striderule.algorithms.edges.picture import STRONG, WEAK
from striderule.filters.canny import Plane, link, smooth, thresholds
from striderule.filters.quantiles import quantiles as quantiles_of
from striderule.filters.request import Array, Keywords, Request
from striderule.functional import bands, door
from striderule.functional.mapped import give_back
from striderule.functional.normalized import Holes
from striderule.functional.pixels import mask_array
from striderule.functional.planned import noting
from striderule.functional.standin import stand_in
from striderule.geometry.imaging import axis_number
from striderule.kernels.arguments import reals_per_axis

# Rows beside a band: of the derivative, and of the neighbours that a length is compared with.
SLOPE, BESIDE = 1, 2
# What stands in the result until it is known whether it is an edge.
PENDING = 2


def in_bands(function: Callable[..., Any], image: Array, arguments: Sequence[Any], keywords: dict[str, Any]) -> Array:
    """Return ``canny(image, *arguments, **keywords)``."""
    out, mask = keywords.get("out"), keywords.get("mask")
    if out is not None and bands.in_place(image, out):
        image = image.copy()
    if image.size <= bands.LARGE:
        return cast(Array, function(image, *arguments, **keywords))
    rest = {name: value for name, value in keywords.items() if name not in ("out", "mask")}
    with noting():  # checks everything else
        likeness = stand_in(image.shape, image.dtype)
        planned = function(likeness, *arguments, **rest)
        shared = {name: rest[name] for name in Keywords.__annotations__ if name in rest}
        request = Request.of(
            "canny", likeness, cast(Keywords, shared | {"nan": "propagate"}), rank=2, boundary="constant"
        )
    if mask is not None:
        channels = keywords.get("channel_axis")
        mask = mask_array(mask, image, None if channels is None else axis_number(channels, image.ndim, "channel_axis"))
    given = inspect.signature(function).bind(image, *arguments, **rest).arguments
    door.check_out(out, image.shape, planned.dtype, (image,))
    result = np.empty(image.shape, planned.dtype) if out is None else out
    quantiles = bool(given.get("use_quantiles", False))
    low, high = thresholds(image.dtype, given.get("low_threshold"), given.get("high_threshold"), quantiles=quantiles)
    views = [None if one is None else np.moveaxis(one, request.axes, (-2, -1)) for one in (image, mask, result)]
    planes, valid, target = cast(Array, views[0]), views[1], cast(Array, views[2])
    words = {"boundary": request.boundary, "nan": keywords.get("nan", "propagate")}
    words |= {"fill": rest["fill"]} if "fill" in rest else {}
    for place in np.ndindex(planes.shape[:-2]):
        one = _Plane(planes[place], None if valid is None else valid[place], words, given.get("sigma", 1.0))
        part = target[place]
        one.into(part.view(np.uint8) if part.dtype == bool else part, low, high, quantiles=quantiles)
    return result


@dataclass(frozen=True)
class _Plane:
    """A plane of the image, which pixels of it are valid, the keywords that every band gets, and the Gaussian."""

    image: Array
    mask: Array | None
    words: dict[str, Any]
    sigma: Any

    @property
    def reach(self) -> int:
        """Rows that the Gaussian reads on each side."""
        return int(4.0 * reals_per_axis(self.sigma, 2, "sigma")[0] + 0.5)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The first row of each band, and the one behind its last: runs of whole rows."""
        height, width = self.image.shape
        halo = self.reach + BESIDE
        room = bands.ROOM // (bands.WEIGHED if self.mask is not None or self.words["nan"] == "normalize" else 1)
        rows = max(room // max(1, width) - 2 * halo, 2 * halo + 1)
        count = max(1, -(-height // rows))
        return [(i * height // count, (i + 1) * height // count) for i in range(count)]

    def part(self, low: int, high: int) -> Plane:
        """Return some rows with what the Gaussian reads beside them."""
        first, last = low - self.reach, high + self.reach
        before, after = self.words["boundary"][0]
        if (first >= 0 or before != "wrap") and (last <= len(self.image) or after != "wrap"):
            # Smoothed rows that the part lacks for the derivative are those at the image's own border.
            return Plane(self._request(max(0, first), min(len(self.image), last)), self.sigma)
        first = first if before == "wrap" else max(0, first)
        last = last if after == "wrap" else min(len(self.image), last)
        request = self._request(first, last)
        # What lies at the other end counts for the Gaussian alone.
        own = slice(low - first, high - first)
        missing = None if request.missing is None else request.missing[own]
        smoothed = smooth(request, self.sigma)[own]
        return Plane(
            replace(request, image=request.image[own], holes=Holes.known(missing, request.image[own])),
            self.sigma,
            smoothed,
        )

    def _request(self, low: int, high: int) -> Request:
        mask = None if self.mask is None else {"mask": _rows(self.mask, low, high)}
        words = cast(Keywords, self.words | (mask or {}))
        return Request.of("canny", _rows(self.image, low, high), words, rank=2)

    def lengths(self) -> Iterator[Array]:
        """Yield the length of the gradient, band by band."""
        for start, stop in self.spans:
            low, high = max(0, start - SLOPE), min(len(self.image), stop + SLOPE)
            yield self._own(self.part(low, high).lengths(), low, high, start, stop)
            self._give_back(start, stop)

    def _own(self, computed: Array, low: int, high: int, start: int, stop: int) -> Array:
        """Return the rows of a band out of what was computed for the rows from `low` to `high` or for more."""
        skipped = start - low if len(computed) == high - low else start - max(0, low - self.reach)
        return computed[skipped : skipped + stop - start]

    def into(self, target: Array, low: float, high: float, *, quantiles: bool) -> None:
        """Write the edges of the plane."""
        if quantiles:
            low, high = quantiles_of(self.lengths, self.image.size, [low, high])
        joined, spans = Bands(), self.spans
        for start, stop in spans:
            first, last = max(0, start - BESIDE), min(len(self.image), stop + BESIDE)
            marks = self.part(first, last).marks(low, high, quantiles=quantiles)
            found, pending = _linked(np.ascontiguousarray(self._own(marks, first, last, start, stop)))
            target[start:stop] = found + pending * np.uint8(PENDING)
            joined.add(found, pending)
            self._give_back(start, stop)
            give_back(target, 0, start, stop)
        for (start, stop), seeds in zip(spans, joined.reached(), strict=True):
            rows = target[start:stop]
            pending = np.ascontiguousarray(rows == PENDING)
            if not pending.any():
                continue
            marks = pending * np.uint8(WEAK)
            for row, columns in zip((0, -1), seeds, strict=True):
                marks[row, columns] = STRONG
            rows[pending] = link(marks)[pending]
            give_back(target, 0, start, stop)

    def _give_back(self, start: int, stop: int) -> None:
        """Give back the rows of mapped files that no later band reads."""
        done = stop - self.reach - BESIDE if stop < len(self.image) else stop
        for one in (self.image, self.mask):
            if one is not None:
                give_back(one, 0, max(0, start - self.reach - BESIDE), done)


def _linked(marks: Array) -> tuple[Array, Array]:
    """Return the edges of a band, and the weak elements of components that touch its first or last row."""
    weak = marks == WEAK
    found = link(marks)
    rest = (weak & ~found) * np.uint8(WEAK)
    rest[[0, -1]] *= STRONG
    return found, link(rest)


def _rows(whole: Array, low: int, high: int) -> Array:
    """Return some rows; those beyond the ends are found at the other end."""
    if low >= 0 and high <= len(whole):
        return whole[low:high]
    return np.take(whole, np.arange(low, high) % len(whole), axis=0)
