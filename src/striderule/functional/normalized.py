"""Filters that leave missing pixels out: normalised convolution.

A missing pixel counts as the mean of the valid pixels under the same window, weighted by the magnitudes of the taps:

    m     = sum over valid taps of |w| x / sum over valid taps of |w|
    out   = sum over valid taps of w x + m * sum over missing taps of w

For kernels without negative taps that equals the normalised convolution of Knutsson and Westin (CVPR 1993, equation 4,
with the kernel as applicability and the mask as certainty), times the kernel's sum:

    out   = sum of all w * (sum over valid taps of w x) / (sum over valid taps of w)

That quotient has no meaning for kernels with taps of both signs, whose partial sums may vanish. The form above has one
for all of them: for kernels that sum to zero (derivatives) it is the correlation of the valid pixels' differences from
their local mean. In every case a constant image with holes gives what the constant image gives, adding a constant to
the image adds that constant times the kernel's sum, and windows without missing pixels give the plain result, to the
last bit.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Slide(Protocol):
    """Correlates an array of the image's shape with an array of the kernel's shape."""

    def __call__(self, pixels: Array, taps: Array, fill: Any, work: np.dtype[Any]) -> Array:
        """Return the sums of products, formed in the type `work`."""


def missing_pixels(image: Array, valid: Array | None, *, nan_is_missing: bool) -> Array | None:
    """Return True where a pixel is to be left out, or None if there is no such pixel."""
    missing = None if valid is None else ~valid
    if nan_is_missing and image.dtype.kind in "fc":
        nans = np.isnan(image)
        missing = nans if missing is None else missing | nans
    return missing if missing is not None and missing.any() else None


def normalized(
    slide: Slide, image: Array, missing: Array | None, taps: Array, fill: Any, work: np.dtype[Any], nowhere: Any
) -> Array:
    """Return the filter of the valid pixels as this module defines it.

    `fill` is the valid value outside the image under ``boundary="constant"``, or None if that is missing too; `nowhere`
    is the result where every tap that is not zero lies on a missing pixel.
    """
    outside_missing = fill is None
    outside = 0 if fill is None else fill
    if missing is None and not outside_missing:
        return slide(image, taps, outside, work)
    gaps = np.zeros_like(image, bool) if missing is None else missing
    pixels = image if missing is None else np.where(missing, image.dtype.type(0), image)
    magnitudes = np.abs(taps)
    plain = taps.dtype.kind != "c" and bool((taps >= 0).all())

    result = slide(pixels, taps, outside, work)
    gap_magnitude = slide(gaps, magnitudes, int(outside_missing), work)
    gap_weight = gap_magnitude if plain else slide(gaps, taps, int(outside_missing), work)
    valid_magnitude = slide(~gaps, magnitudes, int(not outside_missing), work)
    valid_sum = result if plain else slide(pixels, magnitudes, outside, work)

    # Sums of positive taps, so they are zero exactly where no tap lies.
    touched = gap_magnitude > 0
    alone = touched & (valid_magnitude == 0)
    corrected = touched & ~alone
    with np.errstate(all="ignore"):
        mean = valid_sum[corrected] / valid_magnitude[corrected]
        answer = result.astype(np.result_type(result, gap_weight, mean), copy=True)
        answer[corrected] += mean * gap_weight[corrected]
    answer[alone] = nowhere
    return answer
