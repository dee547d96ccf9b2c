"""How a kernel lies on an image: which axes it filters, where its centre is, what it needs beyond the border.

The centre of a kernel of length k is the tap k // 2 when it is slid as it is (correlate). Flipped first (convolve), it
is the tap (k - 1) // 2 of the flipped kernel, so in both the tap k // 2 *of the kernel as written* lies on the pixel.
Both are the choice of ``scipy.ndimage``, whose `origin` is followed too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry.arguments import integer, is_sequence, per_axis
from striderule.geometry.padding import BOUNDARIES, BOUNDARY_ALIASES, Sides
from striderule.geometry.window import extent_of

MODES = ("full", "same", "valid")

Ints = tuple[int, ...]


def axis_number(axis: Any, rank: int, argument: str) -> int:
    """Return `axis` counted from the front; negative numbers count from the back.

    >>> axis_number(-1, 3, "channel_axis")
    2
    """
    number = integer(axis, argument)
    if not -rank <= number < rank:
        raise InvalidArgument(
            f"{argument} must be from {-rank} to {rank - 1} for an image of {rank} axes, got {number}"
        )
    return number % rank


def filtered_axes(rank: int, axes: Any = None, channel_axis: Any = None) -> Ints:
    """Return the axes of an image of `rank` axes that are filtered, in the order of the kernel's axes.

    None filters all axes but `channel_axis`.

    Raises
    ------
    InvalidArgument
        If an axis is out of range, named twice, or is the channel axis.

    Examples
    --------
    >>> filtered_axes(3, channel_axis=-1)
    (0, 1)
    >>> filtered_axes(4, axes=(-1, 1))
    (3, 1)
    """
    channel = None if channel_axis is None else axis_number(channel_axis, rank, "channel_axis")
    if axes is None:
        chosen = tuple(axis for axis in range(rank) if axis != channel)
    else:
        entries = axes if is_sequence(axes) else (axes,)
        chosen = tuple(axis_number(axis, rank, "axes") for axis in entries)
    if len(set(chosen)) < len(chosen):
        raise InvalidArgument(f"axes must name each axis once, got {axes} for an image of {rank} axes")
    if channel in chosen:
        raise InvalidArgument(
            f"axes must not name the channel axis, which is left alone, got axes={axes} and "
            f"channel_axis={channel_axis}; leave channel_axis away to filter across the channels"
        )
    if not chosen:
        raise InvalidArgument(
            f"at least one axis must be filtered, got axes={axes} and channel_axis={channel_axis} for an image of "
            f"{rank} axes"
        )
    return chosen


def check_kernel_fits(kernel: Ints, image: Ints, axes: Ints, channel_axis: Any) -> None:
    """Refuse a kernel that has not one axis for each filtered axis, or no taps."""
    if any(k == 0 for k in kernel):
        raise InvalidArgument(f"kernel must have at least one tap on every axis, got the shape {kernel}")
    if len(kernel) == len(axes):
        return
    ways_out = ["choose the filtered axes with axes=, for example axes=(0, 1)"]
    if channel_axis is None and len(image) == len(axes) == len(kernel) + 1:
        ways_out.append("or name the axis that holds the channels with channel_axis=, for example channel_axis=-1")
    raise InvalidArgument(
        f"kernel must have one axis for each filtered axis: its shape {kernel} has {len(kernel)}, but axes {axes} of "
        f"the image of shape {image} are filtered (channel_axis={channel_axis}); {', '.join(ways_out)}"
    )


def mode_word(mode: Any) -> str:
    """Return ``full``, ``same`` or ``valid``; a boundary given as mode is answered with the name to use."""
    if not isinstance(mode, str):
        raise InvalidType(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if mode in MODES:
        return mode
    word = mode.lower()
    hint = ""
    if word == "reflect":
        hint = "; what lies outside the image is boundary='mirror' (cb|abc|ba) or boundary='symmetric' (cba|abc|cba)"
    elif word in BOUNDARIES or word in BOUNDARY_ALIASES:
        hint = f"; what lies outside the image is named by boundary={mode!r}"
    raise InvalidArgument(f"mode must be one of {', '.join(MODES)}, got {mode!r}{hint}")


def centre_taps(kernel: Ints, origin: Any = 0, *, flipped: bool = False) -> Ints:
    """Return, for each axis, which tap lies on the output pixel, counted in the kernel as it is slid.

    That is k // 2 + origin, or (k - 1) // 2 - origin for a kernel that was flipped.

    Raises
    ------
    InvalidArgument
        If `origin` moves the centre off the kernel.

    Examples
    --------
    >>> centre_taps((3, 4)), centre_taps((3, 4), flipped=True), centre_taps((3, 4), origin=(1, -2))
    ((1, 2), (1, 1), (2, 0))
    """
    shifts = per_axis(origin, len(kernel), "origin")
    if flipped:
        centres = tuple((k - 1) // 2 - shift for k, shift in zip(kernel, shifts, strict=True))
    else:
        centres = tuple(k // 2 + shift for k, shift in zip(kernel, shifts, strict=True))
    for axis, (k, centre) in enumerate(zip(kernel, centres, strict=True)):
        if not 0 <= centre < k:
            low, high = (-(k // 2), (k - 1) // 2)
            raise InvalidArgument(
                f"origin must keep the centre on the kernel, from {low} to {high} for {k} taps on kernel axis {axis}, "
                f"got {shifts[axis]}"
            )
    return centres


def kernel_sides(mode: str, kernel: Ints, dilation: Ints, origin: Any = 0, *, flipped: bool = False) -> Sides:
    """Return how many positions beyond the image each side needs.

    ``same`` puts the centre tap on every pixel in turn; ``full`` takes every position where the kernel touches the
    image; ``valid`` those where it lies inside.

    >>> kernel_sides("same", (4,), (1,)), kernel_sides("full", (3,), (2,)), kernel_sides("valid", (3,), (1,))
    (((2, 1),), ((4, 4),), ((0, 0),))
    """
    centres = centre_taps(kernel, origin, flipped=flipped)
    if mode == "same":
        axes = zip(kernel, dilation, centres, strict=True)
        return tuple((d * centre, d * (k - 1 - centre)) for k, d, centre in axes)
    if any(per_axis(origin, len(kernel), "origin")):
        raise InvalidArgument(
            f"origin moves the centre, which only mode='same' has, got origin={origin} with mode={mode!r}"
        )
    if mode == "valid":
        return ((0, 0),) * len(kernel)
    return tuple((extent_of(k, d) - 1,) * 2 for k, d in zip(kernel, dilation, strict=True))


def image_output_size(mode: str, size: Sequence[int], kernel: Ints, stride: Ints, dilation: Ints) -> Ints:
    """Return the output size: every s-th of n (same), n + extent - 1 (full) or n - extent + 1 (valid) positions.

    An empty axis has no position for the kernel to touch, so it stays empty in ``full``.

    Raises
    ------
    InvalidArgument
        If the mode is ``valid`` and the kernel does not fit into the image.

    Examples
    --------
    >>> image_output_size("full", (5, 0), (3, 3), (2, 1), (1, 1))
    (4, 0)
    """
    counts = []
    for axis, (n, k, s, d) in enumerate(zip(size, kernel, stride, dilation, strict=True)):
        extent = extent_of(k, d)
        if mode == "valid" and extent > max(n, 1):
            raise InvalidArgument(
                f"mode='valid' needs an image at least as large as the kernel: on kernel axis {axis} the kernel reaches"
                f" over {extent} pixels ({k} taps, dilation {d}), the image has {n}; use mode='same' or 'full', or a "
                "smaller kernel"
            )
        reach = {"same": 0, "full": extent - 1, "valid": 1 - extent}[mode]
        counts.append(-(-(n + reach) // s) if n else 0)
    return tuple(counts)
