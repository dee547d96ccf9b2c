"""Looking for a template in large images, band by band of rows: equal to what the whole image gives.

What the last bits depend on is found out about the whole image first. Sums that are kept from row to row begin anew
every so many rows; bands begin at such rows, so that they are the same sums.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from striderule.algorithms.templates.coefficients import BAND
from striderule.filters.request import Array, Keywords, Request
from striderule.filters.templates import Facts, known, nearness
from striderule.functional import bands, door
from striderule.functional.mapped import give_back
from striderule.functional.pixels import mask_array
from striderule.functional.planned import noting
from striderule.functional.standin import stand_in
from striderule.geometry.imaging import axis_number

# Arrays in float64 that are held of a band, so that it is smaller by this factor.
HELD = 2


def in_bands(function: Callable[..., Any], image: Array, arguments: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """Return ``match_template(image, *arguments, **keywords)``."""
    out, mask = keywords.get("out"), keywords.get("mask")
    if out is not None and bands.in_place(image, out):
        image = image.copy()
    if image.size <= bands.LARGE:
        return function(image, *arguments, **keywords)
    rest = {name: value for name, value in keywords.items() if name not in ("out", "mask")}
    with noting():  # checks everything else
        likeness = stand_in(image.shape, image.dtype)
        planned = function(likeness, *arguments, **rest)
        shared = {name: rest[name] for name in Keywords.__annotations__ if name in rest}
        request = Request.of(
            "match_template", likeness, cast(Keywords, shared | {"nan": "propagate"}), boundary="constant"
        )
    if mask is not None:
        channels = keywords.get("channel_axis")
        mask = mask_array(mask, image, None if channels is None else axis_number(channels, image.ndim, "channel_axis"))
    given = inspect.signature(function).bind(image, *arguments, **rest).arguments
    template = door.array(given["template"], "template")
    several = isinstance(planned, tuple)
    results = list(planned) if several else [planned]
    door.check_out(out, results[0].shape, results[0].dtype, (image, template))
    targets = [np.empty(one.shape, one.dtype) for one in results[1 if out is not None else 0 :]]
    if out is not None:
        targets.insert(0, out)
    weighs = mask is not None or keywords.get("nan") == "normalize"
    job = _Job(image, mask, request, template.shape, bool(given.get("pad_input", False)), weighs, targets)
    job.run(lambda part, **more: function(part, *arguments, **rest | more))
    return tuple(targets) if several else targets[0]


@dataclass(frozen=True)
class _Span:
    """The planes of a band, its rows of the result, and the rows of the image that it reads."""

    planes: slice
    start: int
    stop: int
    low: int
    high: int


@dataclass(frozen=True)
class _Job:
    """An image, which pixels of it are valid, how it is looked at, and where the results go."""

    image: Array
    mask: Array | None
    request: Request
    template: tuple[int, ...]
    padded: bool
    # Whether missing pixels are weighed, which takes more room.
    weighs: bool
    targets: list[Array]

    @property
    def rows(self) -> int:
        """The axis that is cut."""
        return self.request.axes[0]

    @property
    def outer(self) -> int | None:
        """The axis that is cut before, which is not filtered."""
        free = [axis for axis in range(self.image.ndim) if axis not in self.request.axes]
        return free[0] if free else None

    def run(self, op: Callable[..., Any]) -> None:
        """Compute all bands by a function of a part and of the keyword `mask`."""
        facts = self._facts()
        for span in self._spans():
            one = facts if self.outer is None else replace(facts, near=facts.near[span.planes])
            token = known.set(one)
            try:
                given = op(self._part(self.image, span), **self._mask(span))
            finally:
                known.reset(token)
            for target, result in zip(self.targets, given if isinstance(given, tuple) else (given,), strict=True):
                own = bands.along(result, self.rows, span.start - span.low, span.stop - span.low)
                np.copyto(bands.along(self._planes(target, span), self.rows, span.start, span.stop), own)
                give_back(self._planes(target, span), self.rows, span.start, span.stop)
            done = span.high if span.stop == self.targets[0].shape[self.rows] else span.stop - self._before
            for source in (self.image, self.mask):
                if source is not None:
                    give_back(self._planes(source, span), self.rows, max(0, span.low), done)

    @property
    def _step(self) -> int:
        """Rows after which sums begin anew."""
        return max(BAND, self.template[0])

    @property
    def _before(self) -> int:
        """Rows that are read before those of the result: no fewer than the window reaches back."""
        return -(-(self.template[0] // 2) // self._step) * self._step if self.padded else 0

    def _spans(self) -> Iterator[_Span]:
        """Yield the bands, in the order of memory if the axes are."""
        size, outputs = self.image.shape[self.rows], self.targets[0].shape[self.rows]
        planes = 1 if self.outer is None else self.image.shape[self.outer]
        line = max(1, self.image.size // max(1, planes * size))  # of one plane
        room = bands.ROOM // (HELD * bands.WEIGHED if self.weighs else HELD)
        together = max(1, min(planes, room // max(1, line * size)))
        after = self.template[0] - 1 - (self.template[0] // 2 if self.padded else 0)
        halo = self._before + after
        rows = max(room // (line * together) - halo, halo) // self._step * self._step
        rows = max(rows, self._step)
        before, behind = self.request.boundary[0]
        for first in range(0, planes, together):
            for start in range(0, outputs, rows):
                stop = min(start + rows, outputs)
                low, high = start - self._before, stop + after
                low = low if self.padded and before == "wrap" else max(0, low)
                high = high if self.padded and behind == "wrap" else min(size, high)
                yield _Span(slice(first, min(first + together, planes)), start, stop, low, high)

    def _planes(self, array: Array, span: _Span) -> Array:
        return array if self.outer is None else bands.along(array, self.outer, span.planes.start, span.planes.stop)

    def _part(self, array: Array, span: _Span) -> Array:
        """Return what a band reads; rows beyond the ends are found at the other end."""
        array, size = self._planes(array, span), array.shape[self.rows]
        if span.low >= 0 and span.high <= size:
            return bands.along(array, self.rows, span.low, span.high)
        return np.asarray(np.take(array, np.arange(span.low, span.high) % size, axis=self.rows))

    def _mask(self, span: _Span) -> dict[str, Any]:
        return {} if self.mask is None else {"mask": self._part(self.mask, span)}

    def _facts(self) -> Facts:
        """Return what there is to know of the whole image, found out band by band."""
        x = self.image
        near, near_all = nearness(x, self.mask, self.request.axes)
        finite, largest = True, 0
        for span in self._spans():
            part = bands.along(self._planes(x, span), self.rows, max(0, span.start), min(span.high, x.shape[self.rows]))
            if x.dtype.kind == "f":
                finite = finite and bool(np.isfinite(part).all())
            elif x.dtype.kind in "biu":
                largest = max(largest, abs(int(part.min(initial=0))), abs(int(part.max(initial=0))))
            give_back(self._planes(x, span), self.rows, max(0, span.start), span.stop)
        return Facts(near, near_all, finite, largest)
