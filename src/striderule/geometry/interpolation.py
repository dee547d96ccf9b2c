"""The frozen value of `interpolate`: where each result lies between the elements of the input."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry.arguments import check_count, is_sequence, per_axis
from striderule.geometry.pooling import flag

Ints = tuple[int, ...]

# The words, and the spatial axes that each is for; none: any.
MODES = {"nearest": None, "nearest-exact": None, "linear": 1, "bilinear": 2, "trilinear": 3}


class Taps(NamedTuple):
    """The elements of an axis between which each result lies, the latter's share; None where there is one."""

    lower: Ints
    upper: Ints
    share: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Resampling:
    """The last axes of an array resampled. `steps` are distances between results, in elements of the input."""

    shape: Ints
    output_size: Ints
    mode: str
    align_corners: bool
    steps: tuple[float, ...]

    @classmethod
    def of(cls, shape: Ints, size: Any, scale_factor: Any, mode: Any, align_corners: Any) -> Resampling:
        """Check everything and return the problem of an array (batch, channels, *spatial).

        >>> Resampling.of((1, 1, 4, 6), None, 2, "nearest", None).output_size
        (8, 12)
        """
        if not isinstance(mode, str) or mode not in MODES:
            raise InvalidArgument(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        rank = len(shape) - 2
        if rank < 1 or rank > 3 or MODES[mode] not in (None, rank):
            axes = "1 to 3 spatial axes" if MODES[mode] is None else f"{MODES[mode]} spatial axes"
            raise InvalidArgument(
                f"mode={mode!r} needs an array (batch, channels, *spatial) with {axes}, got the shape {shape}"
            )
        corners = align_corners is not None and flag(align_corners, "align_corners")
        if align_corners is not None and mode.startswith("nearest"):
            raise InvalidArgument(f"align_corners belongs to linear modes, not to mode={mode!r}")
        given = shape[2:]
        if (size is None) == (scale_factor is None):
            raise InvalidArgument("give either size or scale_factor, the other must be None")
        if size is not None:
            target = per_axis(size, rank, "size", 1)
            steps = tuple(n / m for n, m in zip(given, target, strict=True))
        else:
            factors = _factors(scale_factor, rank)
            target = tuple(math.floor(n * factor) for n, factor in zip(given, factors, strict=True))
            steps = tuple(1 / factor for factor in factors)
        if 0 in given or 0 in target:
            raise InvalidArgument(f"interpolate cannot make the size {target} of the size {given}")
        if corners:
            steps = tuple((n - 1) / (m - 1) if m > 1 else 0.0 for n, m in zip(given, target, strict=True))
        problem = cls(shape, target, mode, corners, steps)
        check_count(problem.output_shape, "the output")
        return problem

    @property
    def output_shape(self) -> Ints:
        """Shape of the result."""
        return (*self.shape[:2], *self.output_size)

    @property
    def linear(self) -> bool:
        """Whether results lie between elements, and are no copies."""
        return not self.mode.startswith("nearest")

    def taps(self, axis: int) -> Taps:
        """Return the taps of a spatial axis."""
        size, count, step = self.shape[2 + axis], self.output_size[axis], self.steps[axis]
        if self.linear:
            return _linear(size, count, step, self.align_corners)
        return _nearest(size, count, step, 0.5 if self.mode == "nearest-exact" else 0.0)


def _factors(value: Any, rank: int) -> tuple[float, ...]:
    entries = list(value) if is_sequence(value) else [value]
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in entries):
        raise InvalidType(f"scale_factor must be one number or one for each of the {rank} spatial axes, got {value!r}")
    if len(entries) not in (1, rank):
        raise InvalidArgument(f"scale_factor must be one number or {rank}, one for each spatial axis, got {value!r}")
    if not all(0 < one < math.inf for one in entries):
        raise InvalidArgument(f"scale_factor must be above 0, got {value!r}")
    return tuple(map(float, entries)) * (rank if len(entries) == 1 else 1)


def _single(number: float) -> float:
    """Return a number rounded to float32: PyTorch finds the nearest element so."""
    found: float = struct.unpack("f", struct.pack("f", number))[0]
    return found


@lru_cache(maxsize=128)
def _nearest(size: int, count: int, step: float, shift: float) -> Taps:
    """Return element floor((j + shift) * step) for result j."""
    step = _single(step)
    lower = tuple(min(math.floor(_single((j + shift) * step)), size - 1) for j in range(count))
    return Taps(lower, lower, None)


@lru_cache(maxsize=128)
def _linear(size: int, count: int, step: float, corners: bool) -> Taps:
    """Return the elements on both sides of (j + 1/2) * step - 1/2, or with `corners` of j * step."""
    places = [j * step if corners else max((j + 0.5) * step - 0.5, 0.0) for j in range(count)]
    lower = tuple(min(int(place), size - 1) for place in places)
    upper = tuple(min(low + 1, size - 1) for low in lower)
    share = tuple(min(place - low, 1.0) for place, low in zip(places, lower, strict=True))
    return Taps(lower, upper, share)
