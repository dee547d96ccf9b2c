"""A kernel that stands at one place of an image: which elements its taps meet, the products and their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule.errors import InvalidArgument
from striderule.figures.cells import plane
from striderule.geometry.arguments import per_axis
from striderule.geometry.padding import Sides, parse_boundary, parse_padding, source_index
from striderule.geometry.window import extent_of, output_size

Span = tuple[int, int]
LARGEST_WINDOW = 32


@dataclass(frozen=True)
class Sliding:
    """An image, a kernel and how it steps; rows and columns count from the first one of the image.

    The numbers are exact: integers of any size as Python integers, all others as float64.
    """

    image: NDArray[Any]
    kernel: NDArray[Any]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: Sides
    words: tuple[tuple[str, str], ...]
    output: tuple[int, ...]

    @classmethod
    def of(cls, image: Any, kernel: Any, *, stride: Any, dilation: Any, padding: Any, boundary: Any) -> Sliding:
        """Check the arguments and return what they mean."""
        pixels, taps = plane(image, "image"), plane(kernel, "kernel")
        steps, gaps = per_axis(stride, 2, "stride", 1), per_axis(dilation, 2, "dilation", 1)
        pads = parse_padding(padding, size=pixels.shape, kernel=taps.shape, stride=steps, dilation=gaps)
        extent = [extent_of(k, d) for k, d in zip(taps.shape, gaps, strict=True)]
        if max(extent) > LARGEST_WINDOW:
            raise InvalidArgument(
                f"kernel must reach over at most {LARGEST_WINDOW} rows and columns to be drawn, got shape {taps.shape} "
                f"with dilation {gaps}"
            )
        output = output_size(pixels.shape, taps.shape, steps, pads, gaps)
        words = parse_boundary(boundary, 2)
        return cls(_exact(pixels), _exact(taps), steps, gaps, pads, words, output)

    def at(self, row: int, column: int) -> Any:
        """Return the value at a place, which may lie in the padding."""
        source = [
            source_index(place, size, word[0] if place < 0 else word[1])
            for place, size, word in zip((row, column), self.image.shape, self.words, strict=True)
        ]
        return 0 if None in source else self.image[source[0], source[1]]

    def taps(self, position: tuple[int, int]) -> tuple[list[int], list[int]]:
        """Return the rows and the columns that the kernel's taps stand on for one output."""
        rows, columns = (
            [position[axis] * self.stride[axis] - self.pads[axis][0] + t * self.dilation[axis] for t in range(count)]
            for axis, count in enumerate(self.kernel.shape)
        )
        return rows, columns

    def seen(self, position: tuple[int, int]) -> NDArray[Any]:
        """Return the values under the taps."""
        rows, columns = self.taps(position)
        return filled([[self.at(row, column) for column in columns] for row in rows], self.image.dtype)

    def products(self, position: tuple[int, int]) -> NDArray[Any]:
        """Return value times tap; a tap of zero contributes nothing, whatever stands below it."""
        seen = self.seen(position)
        rows = [
            [0 if tap == 0 else value * tap for value, tap in zip(*pair, strict=True)]
            for pair in zip(seen, self.kernel, strict=True)
        ]
        return filled(rows, np.result_type(self.image, self.kernel))

    def total(self, position: tuple[int, int]) -> Any:
        """Return the sum of the products: one element of the output."""
        return sum(self.products(position).ravel().tolist())

    def result(self) -> NDArray[Any]:
        """Return the whole output."""
        rows = [[self.total((i, j)) for j in range(self.output[1])] for i in range(self.output[0])]
        return filled(rows, np.result_type(self.image, self.kernel))

    def frame(self) -> tuple[Span, Span]:
        """Return the rows and the columns of the image with its padding, cropped ones included."""
        rows, columns = (
            (-max(before, 0), size + max(after, 0))
            for size, (before, after) in zip(self.image.shape, self.pads, strict=True)
        )
        return rows, columns

    def cropped(self, row: int, column: int) -> bool:
        """Tell whether negative padding has removed a place."""
        return any(
            not -before <= place < size + after
            for place, size, (before, after) in zip((row, column), self.image.shape, self.pads, strict=True)
        )


def _exact(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float64 if array.dtype.kind == "f" else object)


def filled(rows: list[list[Any]], dtype: Any) -> NDArray[Any]:
    """Return rows of numbers as an array; dtype object keeps Python integers."""
    return np.array(rows, dtype=dtype)
