"""The frozen value of `pad`: what is cut off and what is added on each side of each axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry.arguments import check_count, integer, is_sequence
from striderule.geometry.padding import BOUNDARIES, Sides, boundary_word

Ints = tuple[int, ...]

# PyTorch's words, what they mean here, and how much of the axis one side may show at most.
TORCH_MODES = {"constant": "constant", "reflect": "mirror", "replicate": "edge", "circular": "wrap"}


def _sides(pad: Any, shape: Ints) -> Sides:
    """Return (before, after) for each axis from PyTorch's order: the last axis first, before and after for each."""
    rank = len(shape)
    if not is_sequence(pad):
        return _even_sides(integer(pad, "pad"), rank)
    numbers = [integer(entry, "each entry of pad") for entry in pad]
    if len(numbers) % 2:
        raise InvalidArgument(
            f"pad must hold (before, after) for each axis, the last axis first, so an even number of entries, got {pad}"
        )
    if len(numbers) > 2 * rank:
        raise InvalidArgument(
            f"pad must have at most 2 entries for each of the {rank} axes of x, got {len(numbers)}: {tuple(numbers)}"
        )
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    return ((0, 0),) * (rank - len(pairs)) + tuple(reversed(pairs))


def _even_sides(width: int, rank: int) -> Sides:
    """Return the same width for every spatial axis: all of a bare signal or image, else those after the channels."""
    if rank == 3:
        raise InvalidArgument(
            f"pad={width} does not say which of the 3 axes are spatial; write pad={(width,) * 2} for (batch, channels, "
            f"width), pad={(width,) * 4} for (channels, height, width) or pad={(width,) * 6} for a volume"
        )
    spatial = rank if rank < 3 else rank - 2
    return ((0, 0),) * (rank - spatial) + ((width, width),) * spatial


def _boundary(mode: Any) -> str:
    if not isinstance(mode, str):
        raise InvalidType(f"mode must be a word, got {mode!r}")
    if mode in TORCH_MODES:
        return TORCH_MODES[mode]
    try:
        return boundary_word(mode, "mode")
    except InvalidArgument:
        words = ", ".join(dict.fromkeys([*TORCH_MODES, *BOUNDARIES]))
        raise InvalidArgument(f"mode must be one of {words}, got {mode!r}") from None


def _check_width(mode: str, axis: int, size: int, sides: tuple[int, int]) -> None:
    """Refuse widths that PyTorch's reflect and circular do not have, and any border of an axis without elements."""
    limit = {"reflect": size - 1, "circular": size}.get(mode)
    if limit is not None and any(side > max(limit, 0) for side in sides):
        other = "mirror" if mode == "reflect" else "wrap"
        raise InvalidArgument(
            f"pad with mode={mode!r} must be at most {max(limit, 0)} on axis {axis}, which has {size} elements, got "
            f"{sides}; mode={other!r} has no limit"
        )
    if size == 0 and any(side > 0 for side in sides) and mode not in ("constant", "zeros", "fill", "grid-constant"):
        raise InvalidArgument(f"mode={mode!r} cannot extend axis {axis}, which has no elements; use mode='constant'")


@dataclass(frozen=True, slots=True)
class Extension:
    """An array with `crop` taken away on each side, then extended by `padding` with what `boundary` shows.

    Negative padding crops what the extension would have shown; only PyTorch's circular mode crops first, so that the
    cropped array is what repeats.
    """

    shape: Ints
    crop: Sides
    padding: Sides
    boundary: str

    @classmethod
    def from_pad(cls, shape: Ints, pad: Any, mode: Any = "constant") -> Extension:
        """Check everything and return the problem of an array of `shape`.

        >>> Extension.from_pad((1, 1, 4, 5), (1, 2, 0, 3), "reflect").output_shape
        (1, 1, 7, 8)
        """
        boundary, sides = _boundary(mode), _sides(pad, shape)
        for axis, (n, pair) in enumerate(zip(shape, sides, strict=True)):
            # The other modes show the whole axis on one side even where the other side crops more than it has.
            if n + sum(pair) < 0 or (n + min(pair) < 0 and (boundary == "constant" or mode == "circular")):
                raise InvalidArgument(f"pad crops more than the {n} elements of axis {axis}, got {pair}")
            _check_width(mode, axis, n, pair)
        crop: Sides = ((0, 0),) * len(shape)
        if mode == "circular":
            crop = tuple((max(0, -before), max(0, -after)) for before, after in sides)
            sides = tuple((max(0, before), max(0, after)) for before, after in sides)
        problem = cls(shape, crop, sides, boundary)
        check_count(problem.output_shape, "the output")
        return problem

    @property
    def output_shape(self) -> Ints:
        """Shape of the result."""
        axes = zip(self.shape, self.crop, self.padding, strict=True)
        return tuple(n - sum(crop) + sum(padding) for n, crop, padding in axes)
