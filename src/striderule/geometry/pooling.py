"""The frozen values of pooling: which positions of the input each output looks at.

As in `geometry.problem`, a value is made once by `from_shape`, which checks everything; below it nothing checks again.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Literal

from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry.arguments import check_count, integer, is_sequence, per_axis
from striderule.geometry.padding import Sides, parse_padding
from striderule.geometry.window import extent_of, pool_positions, side_pairs

Ints = tuple[int, ...]
Kind = Literal["max", "average", "lp"]


def flag(value: Any, argument: str) -> bool:
    """Return a truth value; anything that is not True or False is refused.

    >>> flag(True, "ceil_mode")
    True
    """
    # numpy.bool_ is neither a bool nor an int, and is recognised by its name so that no NumPy is needed here.
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise InvalidType(f"{argument} must be True or False, got {value!r}")


def check_spatial(size: Ints, what: str) -> None:
    """Refuse arrays without elements on a spatial axis: a window would have nothing to look at."""
    if any(n < 1 for n in size):
        raise InvalidArgument(f"{what} needs at least one element on every spatial axis, got the spatial size {size}")


def _is_empty(value: Any) -> bool:
    return is_sequence(value) and len(value) == 0


def _check_half(padding: Sides, kernel: Ints) -> None:
    """Refuse what would let a window lie in the padding alone (torch.nn.MaxPool2d: "at most half the kernel size")."""
    if any(side < 0 for pair in padding for side in pair):
        raise InvalidArgument(f"padding of a pooling must be at least 0, got {padding}; crop the array by slicing it")
    if any(side > k // 2 for pair, k in zip(padding, kernel, strict=True) for side in pair):
        raise InvalidArgument(
            f"padding of a pooling must be at most half the kernel size, got padding {padding} for kernel_size "
            f"{kernel}; use a larger kernel, or pad the array first with pad(x, ...)"
        )


def _divisor(value: Any) -> int | None:
    if value is None:
        return None
    divisor = integer(value, "divisor_override")
    if divisor == 0:
        raise InvalidArgument("divisor_override must not be 0; None divides by the number of elements in the window")
    return divisor


def norm_value(value: Any) -> float:
    """Return the exponent of an LP pooling: any number but 0; plus and minus infinity are the largest and smallest.

    >>> norm_value(2)
    2.0
    """
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise InvalidType(f"norm_type must be a number, got {value!r}")
    norm = float(value)
    if norm == 0 or math.isnan(norm):
        raise InvalidArgument(f"norm_type must be a number other than 0, got {value!r}; 1 sums, inf takes the largest")
    return norm


@dataclass(frozen=True, slots=True)
class Pooling:
    """A pooling with one window shape: out[n, c, j] is taken over x[n, c, j * stride + t * dilation - before].

    `kind` is "max", "average" or "lp" (with `norm`). Positions outside the array are never looked at by "max"; they
    count as zeros in an average, and in its divisor only with `count_include_pad`.
    """

    kind: Kind
    batch: int
    channels: int
    size: Ints
    kernel: Ints
    stride: Ints
    dilation: Ints
    padding: Sides
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None
    norm: float | None = None

    @classmethod
    def from_shape(
        cls,
        kind: Kind,
        x: Ints,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: Any = False,
        *,
        count_include_pad: Any = True,
        divisor_override: Any = None,
        norm: Any = None,
    ) -> Pooling:
        """Check everything and return the problem of x (batch, channels, *size).

        Raises
        ------
        InvalidArgument
            With the argument, its value, the rule and the way out.

        Examples
        --------
        >>> Pooling.from_shape("max", (1, 64, 112, 112), 3, stride=2, padding=1).output_shape
        (1, 64, 56, 56)
        """
        size = tuple(x[2:])
        rank = len(size)
        taps = per_axis(kernel_size, rank, "kernel_size", 1)
        # PyTorch takes an empty stride for none.
        steps = taps if stride is None or _is_empty(stride) else per_axis(stride, rank, "stride", 1)
        gaps = per_axis(dilation, rank, "dilation", 1)
        pads = parse_padding(padding, size=size, kernel=taps, stride=steps, dilation=gaps)
        _check_half(pads, taps)
        check_spatial(size, f"{kind} pooling")
        problem = cls(
            kind,
            x[0],
            x[1],
            size,
            taps,
            steps,
            gaps,
            pads,
            flag(ceil_mode, "ceil_mode"),
            flag(count_include_pad, "count_include_pad"),
            _divisor(divisor_override),
            None if kind != "lp" else norm_value(norm),
        )
        if any(count < 1 for count in problem.output_size):
            extents = tuple(extent_of(k, d) for k, d in zip(taps, gaps, strict=True))
            raise InvalidArgument(
                f"the output would have the size {problem.output_size}: the window's extent (kernel_size {taps}, "
                f"dilation {gaps}) is {extents}, the padded input has {problem.padded_size}; use a smaller kernel_size "
                "or pad the array"
            )
        check_count(problem.output_shape, "the output")
        return problem

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def padded_size(self) -> Ints:
        """Spatial size with padding."""
        return tuple(n + before + after for n, (before, after) in zip(self.size, self.padding, strict=True))

    @property
    def output_size(self) -> Ints:
        """Spatial size of the output."""
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple(pool_positions(n, k, s, p, d, self.ceil_mode) for n, k, s, p, d in axes)

    @property
    def output_shape(self) -> Ints:
        """(batch, channels, *output size)."""
        return (self.batch, self.channels, *self.output_size)

    def positions(self, axis: int, j: int) -> tuple[int, ...]:
        """Return the positions inside the input that output `j` of a spatial axis looks at.

        >>> Pooling.from_shape("max", (1, 1, 5), 3, stride=2, padding=1).positions(0, 0)
        (0, 1)
        """
        start = j * self.stride[axis] - self.padding[axis][0]
        everywhere = (start + t * self.dilation[axis] for t in range(self.kernel[axis]))
        return tuple(p for p in everywhere if 0 <= p < self.size[axis])

    def counted(self, axis: int) -> Ints:
        """Return for each output of an axis how many positions of its window count in the divisor of an average.

        The positions inside the input, and with `count_include_pad` those in the padding; what a ceil-mode window
        reaches beyond the padding never counts (torch.nn.AvgPool2d).

        >>> Pooling.from_shape("average", (1, 1, 5), 2, ceil_mode=True).counted(0)
        (2, 2, 1)
        """
        n, k, s, d = self.size[axis], self.kernel[axis], self.stride[axis], self.dilation[axis]
        before, after = self.padding[axis]
        counts = []
        for j in range(self.output_size[axis]):
            start = j * s - before
            # How many of start, start + d, ... lie below a limit: ceil((limit - start) / d), at most k.
            end = min(k, -((start - (n + (after if self.count_include_pad else 0))) // d))
            skipped = 0 if self.count_include_pad else max(0, -(start // d))
            counts.append(max(end - skipped, 0))
        return tuple(counts)


@dataclass(frozen=True, slots=True)
class AdaptivePooling:
    """A pooling with a given output size: output j of an axis looks at floor(j n / o) up to ceil((j + 1) n / o).

    The windows have (nearly) equal lengths and may overlap by one (torch.nn.AdaptiveAvgPool2d).
    """

    kind: Kind
    batch: int
    channels: int
    size: Ints
    output_size: Ints

    @classmethod
    def from_shape(cls, kind: Kind, x: Ints, output_size: Any) -> AdaptivePooling:
        """Check everything and return the problem of x (batch, channels, *size); an entry None keeps the size.

        >>> AdaptivePooling.from_shape("average", (1, 8, 10, 9), (3, None)).output_shape
        (1, 8, 3, 9)
        """
        size = tuple(x[2:])
        rank = len(size)
        entries = list(output_size) if is_sequence(output_size) else [output_size] * rank
        if len(entries) == 1:
            entries = entries * rank
        if len(entries) == rank:
            entries = [n if entry is None else entry for entry, n in zip(entries, size, strict=True)]
        counts = per_axis(entries, rank, "output_size", 0)
        check_spatial(size, "adaptive pooling")
        problem = cls(kind, x[0], x[1], size, counts)
        check_count(problem.output_shape, "the output")
        return problem

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def output_shape(self) -> Ints:
        """(batch, channels, *output size)."""
        return (self.batch, self.channels, *self.output_size)

    def segments(self, axis: int) -> tuple[tuple[int, int], ...]:
        """Return (start, end) of the window of each output of a spatial axis.

        >>> AdaptivePooling.from_shape("average", (1, 1, 10), 3).segments(0)
        ((0, 4), (3, 7), (6, 10))
        """
        n, o = self.size[axis], self.output_size[axis]
        return tuple((j * n // o, -(-(j + 1) * n // o)) for j in range(o))

    def positions(self, axis: int, j: int) -> tuple[int, ...]:
        """Return the positions that output `j` of a spatial axis looks at."""
        return tuple(range(*self.segments(axis)[j]))


def _ratio_size(size: Ints, output_ratio: Any) -> Ints:
    """Return int(size * ratio) for each axis, as PyTorch rounds it."""
    rank = len(size)
    ratios = list(output_ratio) if is_sequence(output_ratio) else [output_ratio] * rank
    if len(ratios) != rank:
        raise InvalidArgument(
            f"output_ratio must be one number or one for each of the {rank} spatial axes, got {output_ratio!r}"
        )
    if any(isinstance(ratio, bool | str) or not hasattr(ratio, "__float__") for ratio in ratios):
        raise InvalidType(f"output_ratio must be a number or a tuple of numbers, got {output_ratio!r}")
    if not all(0 < float(ratio) <= 1 for ratio in ratios):
        raise InvalidArgument(f"output_ratio must be above 0 and at most 1 in every axis, got {output_ratio!r}")
    return tuple(int(n * float(ratio)) for n, ratio in zip(size, ratios, strict=True))


@dataclass(frozen=True, slots=True)
class FractionalPooling:
    """A max pooling whose windows start at uneven steps, drawn at random for each image, channel and axis.

    Graham, "Fractional Max-Pooling" (arXiv:1412.6071); the pseudo-random sequence is PyTorch's (see `starts_of`).
    """

    batch: int
    channels: int
    size: Ints
    kernel: Ints
    output_size: Ints

    @classmethod
    def from_shape(
        cls, x: Ints, kernel_size: Any, output_size: Any = None, output_ratio: Any = None
    ) -> FractionalPooling:
        """Check everything and return the problem of x (batch, channels, *size); `output_size` wins over the ratio.

        >>> FractionalPooling.from_shape((1, 1, 9, 9), 2, output_ratio=0.7).output_shape
        (1, 1, 6, 6)
        """
        size = tuple(x[2:])
        rank = len(size)
        taps = per_axis(kernel_size, rank, "kernel_size", 1)
        if output_size is None and output_ratio is None:
            raise InvalidArgument("fractional pooling needs output_size or output_ratio, got neither")
        if output_size is None:
            counts = _ratio_size(size, output_ratio)
        else:
            counts = per_axis(output_size, rank, "output_size", 0)
        check_spatial(size, "fractional pooling")
        if any(o + k - 1 > n for n, k, o in zip(size, taps, counts, strict=True)):
            raise InvalidArgument(
                f"output_size + kernel_size - 1 must be at most the input's size in every axis, got output_size "
                f"{counts} and kernel_size {taps} for {size}; use a smaller output_size or kernel_size"
            )
        return cls(x[0], x[1], size, taps, counts)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def output_shape(self) -> Ints:
        """(batch, channels, *output size)."""
        return (self.batch, self.channels, *self.output_size)

    def sample_column(self, axis: int) -> int:
        """Return which of the `rank` samples belongs to a spatial axis: PyTorch reverses them in two dimensions."""
        return 1 - axis if self.rank == 2 else axis

    def starts(self, axis: int, sample: float, digits: str = "d") -> Ints:
        """Return where the windows of a spatial axis start."""
        return starts_of(self.size[axis], self.kernel[axis], self.output_size[axis], sample, digits)


def starts_of(size: int, kernel: int, outputs: int, sample: float, digits: str = "d") -> Ints:
    """Return the starts of fractional windows on one axis.

    int((j + u) a) - int(u a) with a = (size - kernel) / (outputs - 1) for every output j but the last, which ends
    at the border. `sample` is u, 0 to 1. PyTorch forms the products in the type of the array, and a start may jump with
    the rounding; `digits` is that type's struct letter ("e", "f" or "d"). Rounding twice, first to 64 bits, gives the
    same: the mantissa of a double is more than twice as long as that of the others.

    >>> starts_of(10, 2, 4, 0.5)
    (0, 3, 5, 8)
    """

    def rounded(value: float) -> float:
        return float(struct.unpack(digits, struct.pack(digits, value))[0])

    if outputs == 0:
        return ()
    starts = []
    if outputs > 1:
        step = rounded(rounded(size - kernel) / rounded(outputs - 1))
        first = int(rounded(sample * step))
        starts = [int(rounded(rounded(j + sample) * step)) - first for j in range(outputs - 1)]
    return (*starts, size - kernel)


@dataclass(frozen=True, slots=True)
class Unpooling:
    """The partial inverse of max pooling: values go to the positions that `indices` name, zeros everywhere else."""

    batch: int
    channels: int
    size: Ints
    output_size: Ints

    @classmethod
    def from_shape(
        cls, x: Ints, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
    ) -> Unpooling:
        """Check everything and return the problem of x (batch, channels, *size).

        The output size defaults to (size - 1) stride + kernel_size - padding on both sides; `output_size` (spatial, or
        with batch and channels before it) may differ from that by less than a stride.

        >>> Unpooling.from_shape((1, 1, 2, 2), 2, output_size=(5, 5)).output_shape
        (1, 1, 5, 5)
        """
        size = tuple(x[2:])
        rank = len(size)
        taps = per_axis(kernel_size, rank, "kernel_size", 1)
        steps = taps if stride is None or _is_empty(stride) else per_axis(stride, rank, "stride", 1)
        pads = side_pairs(padding, rank)
        if any(side < 0 for pair in pads for side in pair):
            raise InvalidArgument(f"padding of a pooling must be at least 0, got {pads}")
        natural = tuple((n - 1) * s + k - sum(p) for n, s, k, p in zip(size, steps, taps, pads, strict=True))
        counts = natural if output_size is None else _unpooled_size(output_size, natural, steps)
        if any(count < 0 for count in counts):
            raise InvalidArgument(f"padding {pads} leaves the output size {counts}; use a smaller padding")
        problem = cls(x[0], x[1], size, counts)
        check_count(problem.output_shape, "the output")
        return problem

    @property
    def output_shape(self) -> Ints:
        """(batch, channels, *output size)."""
        return (self.batch, self.channels, *self.output_size)


def _unpooled_size(output_size: Any, natural: Ints, stride: Ints) -> Ints:
    rank = len(natural)
    entries = list(output_size) if is_sequence(output_size) else [output_size] * rank
    if len(entries) == rank + 2:
        entries = entries[2:]
    counts = per_axis(entries, rank, "output_size", 0)
    if any(abs(count - n) >= s for count, n, s in zip(counts, natural, stride, strict=True)):
        raise InvalidArgument(
            f"output_size must differ from {natural} by less than the stride {stride} in every axis, got {counts}"
        )
    return counts
