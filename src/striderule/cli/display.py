"""From the numbers that a filter gives to the values that a picture holds: an affine map, stated and never silent.

A picture of unsigned integers has no room for negative numbers. So the results of derivative filters are shown:
*signed* puts 0 at mid-grey, *magnitude* takes absolute values, *scaled* stretches smallest to largest, *raw* leaves the
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule.errors import InvalidArgument

SHOWS = ("auto", "raw", "signed", "magnitude", "scaled")


@dataclass(frozen=True)
class Range:
    """The smallest and largest finite number of a result, over all pages."""

    low: float
    high: float

    @property
    def peak(self) -> float:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class Display:
    """shown = scale * number + offset (of the absolute number for `magnitude`), and the map in words."""

    scale: float
    offset: float
    absolute: bool
    words: str


def range_of(results: list[NDArray[Any]]) -> Range:
    """Return the range of all finite numbers in the results; 0 to 0 where there are none."""
    lows, highs = [], []
    for result in results:
        if result.size == 0:
            continue
        low, high = float(result.min()), float(result.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            finite = result[np.isfinite(result)]
            if finite.size == 0:
                continue
            low, high = float(finite.min()), float(finite.max())
        lows.append(low)
        highs.append(high)
    return Range(min(lows, default=0.0), max(highs, default=0.0))


def limits(dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """Return the smallest and largest value of an integer type; None for floating point."""
    if dtype.kind not in "ui":
        return None
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def choose(show: str, found: Range, source: np.dtype[Any], target: np.dtype[Any], gain: float | None) -> Display:
    """Return the map for one of the words of `SHOWS` (but ``auto``), or ``mask`` for true and false.

    `gain` fixes the scale, so that pictures can be compared; without it the range found fills the target type.
    """
    room = limits(target)
    if room is None:
        return _floating(show, found, gain)
    low, high = room
    middle = (low + high + 1) // 2
    if show == "raw":
        scale = (1.0 if gain is None else gain) * _depth_ratio(source, target)
        return Display(scale, 0.0, False, "" if scale == 1 else f"raw: numbers times {scale:.6g}")
    if show == "mask":
        return Display(float(high), 0.0, False, f"{high} is an edge")
    if show == "signed":
        scale = _filling(high - middle, found.peak, gain)
        reach = (high - middle) / scale
        return Display(scale, middle, False, f"signed: {middle} is 0, {high} is {reach:.6g}, smaller is darker")
    if show == "magnitude":
        scale = _filling(high, found.peak, gain)
        return Display(scale, 0.0, True, f"magnitude: 0 is 0, {high} is {high / scale:.6g}")
    scale = _filling(high - low, found.high - found.low, gain)
    reach = found.low + (high - low) / scale
    return Display(scale, low - found.low * scale, False, f"scaled: {low} is {found.low:.6g}, {high} is {reach:.6g}")


def _floating(show: str, found: Range, gain: float | None) -> Display:
    scale = 1.0 if gain is None else gain
    if show != "scaled":
        return Display(scale, 0.0, show == "magnitude", "" if scale == 1 else f"{show}: numbers times {scale:.6g}")
    scale = _filling(1.0, found.high - found.low, gain)
    return Display(scale, -found.low * scale, False, f"scaled: 0 is {found.low:.6g}, 1 is {found.low + 1 / scale:.6g}")


def _filling(room: float, span: float, gain: float | None) -> float:
    if gain is not None:
        return gain
    return room / span if span > 0 else 1.0


def _depth_ratio(source: np.dtype[Any], target: np.dtype[Any]) -> float:
    """Return what turns white into white when unsigned integers change their depth: 257 from 8 to 16 bits."""
    if source.kind == "u" and target.kind == "u":
        return float(np.iinfo(target).max / np.iinfo(source).max)
    return 1.0


def apply(display: Display, numbers: NDArray[Any], target: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    """Return the shown values in the target type, and how many of them lay beyond it and were clipped.

    Rounding is half to even.

    Raises
    ------
    InvalidArgument
        If some of the numbers are NaN and the target has no NaN.
    """
    room = limits(target)
    shown = np.abs(numbers) if display.absolute else numbers
    if display.scale != 1 or display.offset != 0:
        working = shown.dtype if shown.dtype.kind == "f" and shown.dtype.itemsize >= 4 else np.dtype(np.float64)
        shown = shown * working.type(display.scale)
        shown += working.type(display.offset)
    if room is None:
        return shown.astype(target, copy=False), 0
    if shown.dtype.kind == "f":
        missing = int(np.isnan(shown).sum()) if np.isnan(shown.sum()) else 0
        if missing:
            raise InvalidArgument(
                f"{missing} samples of the result are not numbers (NaN), which {target} does not hold; "
                "add --dtype float32 and write .tif"
            )
        shown = np.rint(shown)
    low, high = room
    beyond = int(((shown < low) | (shown > high)).sum()) if _exceeds(shown, low, high) else 0
    if beyond:
        shown = np.clip(shown, *_representable(shown.dtype, low, high))
    return shown.astype(target), beyond


def _exceeds(shown: NDArray[Any], low: int, high: int) -> bool:
    return shown.size > 0 and bool(shown.min() < low or shown.max() > high)


def _representable(dtype: np.dtype[Any], low: int, high: int) -> tuple[Any, Any]:
    """Return the limits in a type that may not hold them exactly, rounded inwards."""
    if dtype.kind in "ui":
        info = np.iinfo(dtype)
        return max(low, int(info.min)), min(high, int(info.max))
    top = dtype.type(high)
    return dtype.type(low), top if int(top) <= high else np.nextafter(top, dtype.type(0))


def change_depth(channel: NDArray[Any], target: np.dtype[Any]) -> NDArray[Any]:
    """Return an untouched channel (opacity) in another type, so that full stays full: 255 -> 65535 -> 1.0.

    >>> change_depth(np.array([0, 255], np.uint8), np.dtype(np.uint16)).tolist()
    [0, 65535]
    """
    if channel.dtype == target:
        return channel
    full = {kind: 1.0 if limits(kind) is None else float(np.iinfo(kind).max) for kind in (channel.dtype, target)}
    shown = channel.astype(np.float64) * (full[target] / full[channel.dtype])
    return (shown if target.kind == "f" else np.rint(np.clip(shown, 0, full[target]))).astype(target)
