"""Window arithmetic: how many positions a sliding window has, exactly, in integers.

Symbols as in Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (arXiv:1603.07285):
input size i, kernel size k, stride s, padding p, dilation d, output size o. Every function takes one integer, or one
for each axis, and answers in the same form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from striderule.errors import InvalidArgument
from striderule.geometry.arguments import integer, is_sequence, per_axis

Sizes = int | Sequence[int]
Pads = int | Sequence[int | Sequence[int]]


def _axes(size: Any, kernel: Any, *others: Any) -> int | None:
    """Return the number of axes that the arguments speak of, or None when all are single integers."""
    lengths = {len(value) for value in (size, kernel, *others) if is_sequence(value)}
    lengths.discard(1)
    if len(lengths) > 1:
        raise InvalidArgument(f"all arguments must speak of the same number of axes, got {sorted(lengths)}")
    if lengths:
        return lengths.pop()
    return 1 if is_sequence(size) else None


def side_pairs(value: Any, rank: int, argument: str = "padding") -> tuple[tuple[int, int], ...]:
    """Return (before, after) for each axis from an integer or a sequence of integers and pairs.

    >>> side_pairs((1, (0, 2)), 2)
    ((1, 1), (0, 2))
    """
    entries = list(value) if is_sequence(value) else [value] * rank
    if len(entries) == 1 and rank > 1:
        entries = entries * rank
    if len(entries) != rank:
        hint = "; in one dimension a pair is written nested: ((before, after),)" if rank == 1 else ""
        raise InvalidArgument(
            f"{argument} must be one value or one for each of the {rank} spatial axes, got {value!r}{hint}"
        )
    pairs = []
    for entry in entries:
        if is_sequence(entry):
            if len(entry) != 2:
                raise InvalidArgument(f"{argument} of an axis must be one number or (before, after), got {entry!r}")
            pairs.append(per_axis(entry, 2, argument))
        else:
            pairs.append((integer(entry, argument),) * 2)
    return tuple((before, after) for before, after in pairs)


def _answer(form: int | None, sizes: tuple[int, ...]) -> Any:
    return sizes[0] if form is None else sizes


def extent_of(kernel: int, dilation: int) -> int:
    """Return d (k - 1) + 1 for one axis."""
    return dilation * (kernel - 1) + 1


def positions(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    """Return the number of window positions on one axis; zero or less where none fits.

    o = floor((i + p_before + p_after - extent) / s) + 1 (relation 6 of the guide, with d of relation 15).
    """
    return (size + before + after - extent_of(kernel, dilation)) // stride + 1


def pool_positions(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int, ceil_mode: bool) -> int:
    """Return the number of pooling windows on one axis as PyTorch defines it.

    With `ceil_mode` the division rounds up, but a last window that would start in the padding after the input is
    dropped (torch.nn.MaxPool2d).
    """
    before, after = pads
    span = size + before + after - extent_of(kernel, dilation)
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + before:
        count -= 1
    return count


def transposed_positions(
    size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int, output_padding: int
) -> int:
    """Return s (i - 1) + extent - p_before - p_after + output_padding for one axis (relation 14 of the guide)."""
    return stride * (size - 1) + extent_of(kernel, dilation) - sum(pads) + output_padding


def dilated_extent(kernel: Sizes, dilation: Sizes = 1) -> Any:
    """Return how far a kernel of size k reaches when its taps stand d apart: d (k - 1) + 1.

    Parameters
    ----------
    kernel, dilation
        At least 1; one integer, or one for each axis. Default dilation 1.

    Returns
    -------
    int or tuple of int
        One number, or one for each axis where an argument has one for each axis.

    Examples
    --------
    >>> dilated_extent(3, 2)
    5
    >>> dilated_extent((3, 5), (2, 1))
    (5, 5)
    """
    form = _axes(kernel, dilation)
    rank = form or 1
    sizes = zip(per_axis(kernel, rank, "kernel", 1), per_axis(dilation, rank, "dilation", 1), strict=True)
    return _answer(form, tuple(extent_of(k, d) for k, d in sizes))


def _map(
    one_axis: Callable[..., int],
    why: Callable[..., str],
    size: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    *more: Any,
) -> Any:
    """Apply the formula of one axis to all of them, and refuse sizes that leave no output, saying `why`."""
    form = _axes(size, kernel, stride, padding, dilation, *(value for value, _, _ in more))
    rank = form or 1
    sizes = per_axis(size, rank, "size", 0)
    kernels = per_axis(kernel, rank, "kernel", 1)
    steps = per_axis(stride, rank, "stride", 1)
    gaps = per_axis(dilation, rank, "dilation", 1)
    pads = side_pairs(padding, rank)
    extra = [per_axis(value, rank, name, minimum) for value, name, minimum in more]
    counts = []
    for axis in range(rank):
        count = one_axis(
            sizes[axis], kernels[axis], steps[axis], pads[axis], gaps[axis], *(values[axis] for values in extra)
        )
        if count < 1:
            reason = why(sizes[axis], pads[axis], extent_of(kernels[axis], gaps[axis]))
            raise InvalidArgument(f"no output is left on axis {axis}: {reason}")
        counts.append(count)
    return _answer(form, tuple(counts))


def _too_short(size: int, pads: tuple[int, int], extent: int) -> str:
    return (
        f"size {size} with padding {pads} is shorter than the window's extent {extent}; "
        "pad more or use a smaller kernel or dilation"
    )


def _cropped_away(size: int, pads: tuple[int, int], extent: int) -> str:
    return f"padding {pads} crops all that size {size} and extent {extent} give; use a smaller padding"


def output_size(size: Sizes, kernel: Sizes, stride: Sizes = 1, padding: Pads = 0, dilation: Sizes = 1) -> Any:
    """Return the output size of a convolution: floor((i + p_before + p_after - d (k - 1) - 1) / s) + 1.

    Parameters
    ----------
    size
        Input size i; one integer, or one for each axis.
    kernel, stride, dilation
        At least 1; default stride and dilation 1.
    padding
        Added positions for each side: an integer, or an integer or (before, after) pair for each axis; negative crops.

    Returns
    -------
    int or tuple of int
        One number, or one for each axis where an argument has one for each axis.

    Raises
    ------
    InvalidArgument
        If the window does not fit into the padded input.

    Examples
    --------
    >>> output_size(224, 7, stride=2, padding=3)
    112
    >>> output_size((5, 6), 3, padding=(1, (0, 2)))
    (5, 6)
    """
    return _map(
        lambda i, k, s, p, d: positions(i, k, s, p[0], p[1], d), _too_short, size, kernel, stride, padding, dilation
    )


def pool_output_size(
    size: Sizes,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Pads = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Any:
    """Return the output size of pooling, by PyTorch's rules (torch.nn.MaxPool2d).

    Parameters
    ----------
    size, kernel, padding, dilation
        As in `output_size`.
    stride
        Default: the kernel size.
    ceil_mode
        Round the division up, so that a last window may reach over the end; one that would start in the padding after
        the input is dropped. Default: round down.

    Returns
    -------
    int or tuple of int
        One number, or one for each axis where an argument has one for each axis.

    Raises
    ------
    InvalidArgument
        If the window does not fit into the padded input.

    Examples
    --------
    >>> pool_output_size(112, 3, stride=2, padding=1)
    56
    >>> pool_output_size(5, 2), pool_output_size(5, 2, ceil_mode=True)
    (2, 3)
    """
    step = kernel if stride is None else stride
    return _map(
        lambda i, k, s, p, d: pool_positions(i, k, s, p, d, ceil_mode),
        _too_short,
        size,
        kernel,
        step,
        padding,
        dilation,
    )


def transposed_output_size(
    size: Sizes, kernel: Sizes, stride: Sizes = 1, padding: Pads = 0, dilation: Sizes = 1, output_padding: Sizes = 0
) -> Any:
    """Return the output size of a transposed convolution, the input size of the convolution that it transposes.

    o = s (i - 1) + d (k - 1) + 1 - p_before - p_after + output_padding

    Parameters
    ----------
    size, kernel, stride, dilation
        As in `output_size`.
    padding
        Positions that are cropped from each side of the output, given as in `output_size`. Default 0.
    output_padding
        Positions added after the output, at least 0. Default 0.

    Returns
    -------
    int or tuple of int
        One number, or one for each axis where an argument has one for each axis.

    Raises
    ------
    InvalidArgument
        If the padding crops the whole output.

    Examples
    --------
    >>> transposed_output_size(112, 3, stride=2, padding=1, output_padding=1)
    224
    """
    return _map(
        lambda i, k, s, p, d, a: transposed_positions(i, k, s, p, d, a),
        _cropped_away,
        size,
        kernel,
        stride,
        padding,
        dilation,
        (output_padding, "output_padding", 0),
    )


def unfold_size(size: Sizes, kernel: Sizes, stride: Sizes = 1, padding: Pads = 0, dilation: Sizes = 1) -> int:
    """Return how many windows `unfold` cuts out: the product of the output sizes over the axes.

    Parameters
    ----------
    size, kernel, stride, padding, dilation
        As in `output_size`.

    Returns
    -------
    int
        The length of the last axis of `striderule.unfold`'s result.

    Raises
    ------
    InvalidArgument
        If the window does not fit into the padded input.

    Examples
    --------
    >>> unfold_size((5, 5), 3)
    9
    """
    counts = output_size(size, kernel, stride, padding, dilation)
    total = 1
    for count in counts if isinstance(counts, tuple) else (counts,):
        total *= count
    return total
