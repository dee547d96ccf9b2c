"""What `correlate` and `convolve` read along each axis of a large image, so that it can be filtered in blocks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy.typing as npt

from striderule.functional import bands
from striderule.functional.pixels import kernel_array
from striderule.functional.recipes import unheard
from striderule.geometry.arguments import per_axis
from striderule.geometry.bands import Reach
from striderule.geometry.imaging import check_kernel_fits, filtered_axes, image_output_size, kernel_sides, mode_word
from striderule.geometry.padding import Words, parse_boundary
from striderule.geometry.window import extent_of

Array = npt.NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")


def in_blocks(flipped: bool) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function of image and kernel take large images block by block, and write its result over the image."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            image: Any = args[0] if args else kwargs.get("image", kwargs.get("input"))
            if len(args) > 2 or not bands.wanted(image, kwargs.get("out")):
                return function(*args, **kwargs)
            named: dict[str, Any] = {name: value for name, value in kwargs.items() if name not in ("image", "input")}
            if len(args) == 2:
                named["kernel"] = args[1]
            if "kernel" not in named:
                return function(*args, **kwargs)
            found = _reaches(image, flipped, **named)
            return unheard(bands.run, function, image, named, found)  # type: ignore[no-any-return]

        return wrapper

    return decorate


def wraps(words: Words) -> list[tuple[bool, bool]]:
    """Return on which sides each axis goes on at its other end."""
    return [(before == "wrap", after == "wrap") for before, after in words]


def _reaches(
    image: Array,
    flipped: bool,
    kernel: Any,
    *,
    mode: Any = "same",
    boundary: Any = "symmetric",
    stride: Any = 1,
    dilation: Any = 1,
    origin: Any = 0,
    axes: Any = None,
    channel_axis: int | None = None,
    **_: Any,
) -> list[Reach]:
    """Return what the outputs read along each axis of the image: j * stride - before and the extent of the kernel."""
    taps, _weak = kernel_array(kernel)
    chosen = filtered_axes(image.ndim, axes, channel_axis)
    check_kernel_fits(taps.shape, image.shape, chosen, channel_axis)
    rank = len(chosen)
    steps, gaps = per_axis(stride, rank, "stride", 1), per_axis(dilation, rank, "dilation", 1)
    word = mode_word(mode)
    sides = kernel_sides(word, taps.shape, gaps, origin, flipped=flipped)
    outputs = image_output_size(word, [image.shape[axis] for axis in chosen], taps.shape, steps, gaps)
    turns = wraps(parse_boundary(boundary, rank))
    reaches = [Reach(n, n) for n in image.shape]
    for place, axis in enumerate(chosen):
        before = sides[place][0]
        after = extent_of(taps.shape[place], gaps[place]) - 1 - before
        # Beyond an image that holds every window, nothing is met.
        turn = (False, False) if word == "valid" else turns[place]
        reaches[axis] = Reach(image.shape[axis], outputs[place], before, after, steps[place], turn)
    return reaches
