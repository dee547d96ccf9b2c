"""The numbers of a window's geometry on one axis or two, and the output size as a formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striderule.errors import InvalidArgument
from striderule.figures.numerals import MINUS
from striderule.geometry.arguments import is_sequence, per_axis
from striderule.geometry.padding import Sides, parse_padding
from striderule.geometry.window import extent_of, output_size

FORMULA = (
    f"output = \N{LEFT FLOOR}(input + padding {MINUS} dilation \N{MIDDLE DOT} (kernel {MINUS} 1) {MINUS} 1) / stride"
    "\N{RIGHT FLOOR} + 1"
)

MOST_POSITIONS = 4096


@dataclass(frozen=True)
class Shape:
    """The numbers of a drawing, one for each axis; positions count from the first element of the input."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pads: Sides
    dilation: tuple[int, ...]
    output: tuple[int, ...]

    @classmethod
    def of(cls, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Shape:
        """Check the arguments and return what they mean on one or two axes."""
        rank = max((len(v) for v in (size, kernel, stride, padding, dilation) if is_sequence(v)), default=1)
        if rank not in (1, 2):
            raise InvalidArgument(
                f"geometry draws one axis or two, got {rank}; draw some of them: size[:2], kernel[:2]"
            )
        sizes, taps = per_axis(size, rank, "size", 1), per_axis(kernel, rank, "kernel", 1)
        steps, gaps = per_axis(stride, rank, "stride", 1), per_axis(dilation, rank, "dilation", 1)
        if max(sizes) > MOST_POSITIONS:
            raise InvalidArgument(f"size must be at most {MOST_POSITIONS} to be drawn, got {size}")
        pads = parse_padding(padding, size=sizes, kernel=taps, stride=steps, dilation=gaps)
        if any(abs(side) > MOST_POSITIONS for pair in pads for side in pair):
            raise InvalidArgument(f"padding must be at most {MOST_POSITIONS} to be drawn, got {padding!r}")
        return cls(sizes, taps, steps, pads, gaps, output_size(sizes, taps, steps, pads, gaps))

    def frame(self, axis: int) -> tuple[int, int]:
        """Return the first position of the input with its padding, and the one after the last."""
        before, after = self.pads[axis]
        return -max(before, 0), self.size[axis] + max(after, 0)

    def start(self, axis: int, position: int) -> int:
        """Return where the first tap stands for an output."""
        return position * self.stride[axis] - self.pads[axis][0]

    def extent(self, axis: int) -> int:
        """Return how far the window reaches."""
        return extent_of(self.kernel[axis], self.dilation[axis])

    def unread(self, axis: int) -> list[int]:
        """Return the positions of the input that no window reads on this axis, cropped ones included."""
        read = {
            self.start(axis, j) + t * self.dilation[axis]
            for j in range(self.output[axis])
            for t in range(self.kernel[axis])
        }
        return [place for place in range(*self.frame(axis)) if place not in read]

    def formula(self, axis: int) -> str:
        """Return the output size of an axis as a formula with its numbers."""
        before, after = self.pads[axis]
        pads = "".join(f" {'+' if side >= 0 else MINUS} {abs(side)}" for side in (before, after))
        k, s, d = self.kernel[axis], self.stride[axis], self.dilation[axis]
        return (
            f"\N{LEFT FLOOR}({self.size[axis]}{pads} {MINUS} {d} \N{MIDDLE DOT} ({k} {MINUS} 1) {MINUS} 1) / {s}"
            f"\N{RIGHT FLOOR} + 1 = {self.output[axis]}"
        )
