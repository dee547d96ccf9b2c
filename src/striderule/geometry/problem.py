"""The frozen values that say what to compute.

A problem is made once, at the door, by `from_shapes`, which checks everything; below it nothing checks again. It holds
plain integers and words, so it can be compared, hashed, printed and kept.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

from striderule.errors import InvalidArgument
from striderule.geometry.arguments import check_count, integer, per_axis
from striderule.geometry.padding import Sides, Words, parse_boundary, parse_padding
from striderule.geometry.window import extent_of, positions, transposed_positions

Ints = tuple[int, ...]
# The type in which sums are formed; "int64" also stands for exact sums in any wider way.
Arithmetic = str


def _check_fits(size: Ints, kernel: Ints, dilation: Ints, padding: Sides) -> None:
    padded = tuple(n + before + after for n, (before, after) in zip(size, padding, strict=True))
    extents = tuple(extent_of(k, d) for k, d in zip(kernel, dilation, strict=True))
    if any(n < e for n, e in zip(padded, extents, strict=True)):
        raise InvalidArgument(
            f"the kernel is larger than the padded input: its extent (kernel {kernel}, dilation {dilation}) is "
            f"{extents}, the padded input has {padded}; pad more (padding='same') or use a smaller kernel or dilation"
        )


def _check_boundary(size: Ints, padding: Sides, boundary: Words) -> None:
    for axis, (n, pads, words) in enumerate(zip(size, padding, boundary, strict=True)):
        for pad, word in zip(pads, words, strict=True):
            if pad > 0 and n == 0 and word != "constant":
                raise InvalidArgument(
                    f"boundary={word!r} cannot extend axis {axis}, which has no elements; use boundary='constant'"
                )


def _check_groups(groups: int, in_channels: int, out_channels: int) -> None:
    if groups < 1:
        raise InvalidArgument(f"groups must be at least 1, got {groups}")
    for name, channels in (("input", in_channels), ("output", out_channels)):
        if channels % groups:
            raise InvalidArgument(f"groups must divide the {channels} {name} channels, got groups={groups}")


def _check_taps(kernel: Ints) -> None:
    if any(k < 1 for k in kernel):
        raise InvalidArgument(f"weight must have at least one tap on every spatial axis, got {kernel}")


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of layers or images: slide the kernel as it is, multiply, add.

    out[n, o, j] = sum over c in the group of o, t of weight[o, c, t] * x[n, c, j * stride + t * dilation - before]

    `zero_taps` is "count" (layers) or "skip" (images: a tap of exactly zero contributes nothing, not even to NaN).
    `dtype` names the arithmetic; for integers `bound` is a proved limit of every |sum|. `stored` names the types of x
    and weight where both are narrower: of 8 bits, or bfloat16; of images those of x and of the result, in which
    `overflow` says what becomes of sums that an integer cannot hold. `form` tells what is known of an image's kernel.
    A part of a larger image has a `place`: for each axis the position where it begins, and the size of the whole.
    """

    batch: int
    in_channels: int
    out_channels: int
    size: Ints
    kernel: Ints
    stride: Ints
    dilation: Ints
    padding: Sides
    groups: int
    boundary: Words
    zero_taps: Literal["count", "skip"] = "count"
    dtype: Arithmetic = "float32"
    bound: int | None = None
    stored: tuple[str, ...] = ()
    overflow: Literal["saturate", "wrap", "refuse"] = "saturate"
    form: Hashable = None
    place: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_shapes(
        cls,
        x: Ints,
        weight: Ints,
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
        boundary: Any = "constant",
        zero_taps: Literal["count", "skip"] = "count",
        dtype: Arithmetic = "float32",
        bound: int | None = None,
        stored: tuple[str, ...] = (),
        overflow: Literal["saturate", "wrap", "refuse"] = "saturate",
        form: Hashable = None,
    ) -> Convolution:
        """Check everything and return the problem of x (batch, channels, *size) and weight (out, in / groups, *kernel).

        Raises
        ------
        InvalidArgument
            With the argument, its value, the rule and the way out.

        Examples
        --------
        >>> Convolution.from_shapes((1, 3, 8, 8), (4, 3, 3, 3), padding="same").output_shape
        (1, 4, 8, 8)
        """
        size, kernel = tuple(x[2:]), tuple(weight[2:])
        rank = len(size)
        _check_taps(kernel)
        steps = per_axis(stride, rank, "stride", 1)
        gaps = per_axis(dilation, rank, "dilation", 1)
        number = integer(groups, "groups")
        pads = parse_padding(padding, size=size, kernel=kernel, stride=steps, dilation=gaps)
        words = parse_boundary(boundary, rank)
        _check_groups(number, x[1], weight[0])
        if weight[1] * number != x[1]:
            raise InvalidArgument(
                f"weight has {weight[1]} input channels a group and groups={number}, so the input must have "
                f"{weight[1] * number} channels, got {x[1]} (input shape {x}, weight shape {weight})"
            )
        _check_fits(size, kernel, gaps, pads)
        _check_boundary(size, pads, words)
        problem = cls(x[0], x[1], weight[0], size, kernel, steps, gaps, pads, number, words, zero_taps, dtype, bound)
        problem = replace(problem, stored=stored, overflow=overflow, form=form) if stored else problem
        check_count((x[0], x[1], *problem.padded_size), "the padded input")
        check_count(problem.output_shape, "the output")
        return problem

    def bounded(self, bound: int) -> Convolution:
        """Return the same problem with a proved limit of every |sum|."""
        return replace(self, bound=bound)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def extent(self) -> Ints:
        """How far the dilated kernel reaches on each axis."""
        return tuple(extent_of(k, d) for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def padded_size(self) -> Ints:
        """Spatial size after padding and cropping."""
        return tuple(n + before + after for n, (before, after) in zip(self.size, self.padding, strict=True))

    @property
    def output_size(self) -> Ints:
        """Spatial size of the output."""
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple(positions(n, k, s, *p, d) for n, k, s, p, d in axes)

    @property
    def output_shape(self) -> Ints:
        """(batch, out channels, *output size)."""
        return (self.batch, self.out_channels, *self.output_size)

    @property
    def terms(self) -> int:
        """Number of products in one sum."""
        return self.in_channels // self.groups * prod(self.kernel)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the definition, padding counted."""
        return prod(self.output_shape) * self.terms


@dataclass(frozen=True, slots=True)
class TransposedConvolution:
    """The transpose of a convolution: every input spreads the kernel over the output.

    out[n, o, i * stride + t * dilation - before] += x[n, c, i] * weight[c, o, t]

    It is the gradient of a convolution of the same arguments with respect to its input (chapter 4 of arXiv:1603.07285).
    """

    batch: int
    in_channels: int
    out_channels: int
    size: Ints
    kernel: Ints
    stride: Ints
    dilation: Ints
    padding: Sides
    output_padding: Ints
    groups: int
    dtype: Arithmetic = "float32"
    bound: int | None = None

    @classmethod
    def from_shapes(
        cls,
        x: Ints,
        weight: Ints,
        *,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: Any = 1,
        dilation: Any = 1,
        dtype: Arithmetic = "float32",
        bound: int | None = None,
    ) -> TransposedConvolution:
        """Check everything and return the problem of x (batch, in, *size) and weight (in, out / groups, *kernel).

        >>> TransposedConvolution.from_shapes((1, 4, 8), (4, 2, 3), stride=2, padding=1, output_padding=1).output_shape
        (1, 2, 16)
        """
        size, kernel = tuple(x[2:]), tuple(weight[2:])
        rank = len(size)
        _check_taps(kernel)
        steps = per_axis(stride, rank, "stride", 1)
        gaps = per_axis(dilation, rank, "dilation", 1)
        extra = per_axis(output_padding, rank, "output_padding", 0)
        number = integer(groups, "groups")
        if number < 1 or x[1] % number:
            raise InvalidArgument(f"groups must be at least 1 and divide the {x[1]} input channels, got {number}")
        if weight[0] != x[1]:
            raise InvalidArgument(
                f"weight of a transposed convolution is (in, out / groups, *kernel): its first axis has {weight[0]}, "
                f"but the input has {x[1]} channels (input shape {x}, weight shape {weight})"
            )
        if any(a >= s and a >= d for a, s, d in zip(extra, steps, gaps, strict=True)):
            raise InvalidArgument(
                f"output_padding must be smaller than stride or dilation in every axis, got {extra} with stride "
                f"{steps} and dilation {gaps}"
            )
        pads = _transposed_padding(padding, size, kernel, steps, gaps)
        problem = cls(x[0], x[1], weight[1] * number, size, kernel, steps, gaps, pads, extra, number, dtype, bound)
        if any(n < 1 for n in problem.output_size):
            raise InvalidArgument(
                f"no output is left: padding {pads} crops the whole output {problem.output_size}; use a smaller padding"
            )
        check_count(problem.output_shape, "the output")
        return problem

    def bounded(self, bound: int) -> TransposedConvolution:
        """Return the same problem with a proved limit of every |sum|."""
        return replace(self, bound=bound)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def output_size(self) -> Ints:
        """Spatial size of the output."""
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, self.output_padding, strict=True)
        return tuple(transposed_positions(n, k, s, p, d, a) for n, k, s, p, d, a in axes)

    @property
    def output_shape(self) -> Ints:
        """(batch, out channels, *output size)."""
        return (self.batch, self.out_channels, *self.output_size)

    @property
    def terms(self) -> int:
        """Largest number of products in one sum."""
        return self.in_channels // self.groups * prod(self.kernel)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the definition, cropped ones counted."""
        return self.batch * self.in_channels * prod(self.size) * self.out_channels // self.groups * prod(self.kernel)


def _transposed_padding(padding: Any, size: Ints, kernel: Ints, stride: Ints, dilation: Ints) -> Sides:
    """Return what each side of the full output is cropped by; ``same`` leaves size * stride, ``valid`` everything."""

    def same(axis: int, word: str) -> tuple[int, int]:
        total = extent_of(kernel[axis], dilation[axis]) - stride[axis]
        small, large = total // 2, total - total // 2
        return (small, large) if word == "same" else (large, small)

    entries = [padding] * len(size) if isinstance(padding, str) else padding
    if isinstance(entries, tuple | list):
        if len(entries) == 1:
            entries = [entries[0]] * len(size)
        names = {"valid": "valid", "same": "same", "same_upper": "same", "same_lower": "same_lower"}
        words = [names.get(entry.lower(), "") if isinstance(entry, str) else None for entry in entries]
        if "" in words:
            raise InvalidArgument(
                f"padding of a transposed convolution must be numbers, 'valid', 'same' or 'same_lower', got {padding!r}"
            )
        if len(entries) == len(size):
            entries = [
                0 if word == "valid" else same(axis, word) if word else entry
                for axis, (word, entry) in enumerate(zip(words, entries, strict=True))
            ]
    return parse_padding(entries, size=size, kernel=kernel, stride=stride, dilation=dilation)


@dataclass(frozen=True, slots=True)
class LocalConvolution:
    """A convolution whose weights change with the output position j: those of j modulo `tile`.

    `tile` equal to the output size is a locally connected (unshared) layer; smaller is tiled convolution; all ones is
    an ordinary convolution (Goodfellow, Bengio and Courville, Deep Learning, section 9.5).
    """

    plain: Convolution
    tile: Ints

    @classmethod
    def from_shapes(cls, x: Ints, weight: Ints, *, tile: str, **words: Any) -> LocalConvolution:
        """Check everything; weight is (out, in / groups, *tile, *kernel).

        `tile="output"` demands one kernel for each output position, `tile="any"` takes what the weight has.

        >>> LocalConvolution.from_shapes((1, 2, 5), (3, 2, 3, 3), tile="output").plain.output_shape
        (1, 3, 3)
        """
        rank = len(x) - 2
        shares, kernel = tuple(weight[2 : 2 + rank]), tuple(weight[2 + rank :])
        plain = Convolution.from_shapes(x, (*weight[:2], *kernel), **words)
        if tile == "output" and shares != plain.output_size:
            raise InvalidArgument(
                f"weight of a locally connected layer is (out, in / groups, *output size, *kernel): axes 2 to "
                f"{1 + rank} must be the output size {plain.output_size}, got {shares}"
            )
        if any(t < 1 for t in shares):
            raise InvalidArgument(f"weight must have at least one kernel on every tile axis, got {shares}")
        return cls(plain, shares)

    def bounded(self, bound: int) -> LocalConvolution:
        """Return the same problem with a proved limit of every |sum|."""
        return replace(self, plain=self.plain.bounded(bound))

    @property
    def output_shape(self) -> Ints:
        """(batch, out channels, *output size)."""
        return self.plain.output_shape

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return self.plain.out_channels

    @property
    def dtype(self) -> Arithmetic:
        """The type in which sums are formed."""
        return self.plain.dtype

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the definition."""
        return self.plain.multiply_adds


@dataclass(frozen=True, slots=True)
class Unfold:
    """Windows cut out of an array (unfold) or added back into one (fold)."""

    batch: int
    channels: int
    size: Ints
    kernel: Ints
    stride: Ints
    dilation: Ints
    padding: Sides
    boundary: Words

    @classmethod
    def from_shape(
        cls,
        x: Ints,
        kernel: Any,
        *,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
        boundary: Any = "constant",
    ) -> Unfold:
        """Check everything and return the problem of x (batch, channels, *size).

        >>> Unfold.from_shape((1, 2, 5, 5), 3).columns_shape
        (1, 18, 9)
        """
        size = tuple(x[2:])
        rank = len(size)
        taps = per_axis(kernel, rank, "kernel_size", 1)
        steps = per_axis(stride, rank, "stride", 1)
        gaps = per_axis(dilation, rank, "dilation", 1)
        pads = parse_padding(padding, size=size, kernel=taps, stride=steps, dilation=gaps)
        words = parse_boundary(boundary, rank)
        _check_fits(size, taps, gaps, pads)
        _check_boundary(size, pads, words)
        problem = cls(x[0], x[1], size, taps, steps, gaps, pads, words)
        padded = tuple(n + before + after for n, (before, after) in zip(size, pads, strict=True))
        check_count((x[0], x[1], *padded), "the padded input")
        check_count(problem.columns_shape, "the output")
        return problem

    @property
    def output_size(self) -> Ints:
        """Number of windows on each axis."""
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple(positions(n, k, s, *p, d) for n, k, s, p, d in axes)

    @property
    def columns_shape(self) -> Ints:
        """(batch, channels * taps, windows)."""
        return (self.batch, self.channels * prod(self.kernel), prod(self.output_size))
