"""A picture through filters: colours filtered, opacity carried along, results mapped to what the file holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import striderule
from striderule.cli import display
from striderule.cli.chain import ROUNDING, Named, Step
from striderule.cli.pictures import Frame, Picture
from striderule.cli.specs import Kernel
from striderule.errors import InvalidArgument

DTYPES = ("same", "uint8", "uint16", "int16", "int32", "float16", "float32", "float64")
ALPHAS = ("keep", "filter", "drop")

# From this many taps on, an outer product is applied as a column and a row: k + k multiply-adds a sample, not k * k.
TWO_PASSES = 64


@dataclass(frozen=True)
class Task:
    """What to do with a picture; the words are those of the command's options."""

    steps: tuple[Step, ...]
    boundary: Any = "symmetric"
    fill: float = 0.0
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    flip: bool = False
    alpha: str = "keep"
    show: str = "auto"
    gain: float | None = None
    dtype: str = "same"
    algorithm: str | None = None

    @property
    def text(self) -> str:
        """The filters as they were written."""
        return ", then ".join(step.text for step in self.steps)

    @property
    def remaps(self) -> bool:
        """Whether the filters leave the units of the source."""
        return any(step.shown != "raw" for step in self.steps)


def process(picture: Picture, task: Task) -> Picture:
    """Return the filtered picture, with a note on every value that its type could not hold."""
    if task.alpha == "drop":
        picture = replace(picture, frames=[frame.without_alpha() for frame in picture.frames])
    show = resolve(task, {target_of(frame.pixels.dtype, task).kind for frame in picture.frames})
    for frame in picture.frames:
        check_fill(task, frame.pixels.dtype)
    numbers = [_filter_frame(frame, task) for frame in picture.frames]
    found = display.range_of(numbers)
    frames, beyond, total = [], 0, 0
    for frame, result in zip(picture.frames, numbers, strict=True):
        target = target_of(frame.pixels.dtype, task)
        chosen = chosen_display(picture, show, found, frame.pixels.dtype, task)
        shown, clipped = display.apply(chosen, result, target)
        beyond, total = beyond + clipped, total + result.size
        frames.append(_with_alpha(frame, shown, task, target))
    if beyond:
        picture.note(clipping(beyond, total, found, target_of(picture.frames[0].pixels.dtype, task)))
    return picture.resampled(frames, task.stride, remapped(show, task))


def remapped(show: str, task: Task) -> bool:
    """Tell whether the values of the result no longer are in the units of the source."""
    return show != "raw" or task.gain is not None or task.dtype != "same" or task.remaps


def chosen_display(
    picture: Picture, show: str, found: display.Range, source: np.dtype[Any], task: Task
) -> display.Display:
    """Return how numbers become values, and note it."""
    target = target_of(source, task)
    chosen = display.choose(show, found, source, target, task.gain)
    if chosen.words:
        picture.note(chosen.words)
    elif source.kind == "f" and target.kind in "ui":
        picture.note(
            f"numbers are rounded to whole ones (results reach from {found.low:.6g} to {found.high:.6g}); "
            "--gain multiplies them before, --show scaled stretches them over the range"
        )
    return chosen


def check_fill(task: Task, dtype: np.dtype[Any]) -> None:
    """Refuse a value outside that the picture's type does not hold."""
    room = display.limits(dtype)
    if room is not None and not (room[0] <= task.fill <= room[1] and task.fill == int(task.fill)):
        raise InvalidArgument(
            f"--fill must be a whole number between {room[0]} and {room[1]}, the values of {dtype}, got {task.fill:g}"
        )


def clipping(beyond: int, total: int, found: display.Range, target: np.dtype[Any]) -> str:
    """Return the line about values that the type of the samples does not hold."""
    low, high = display.limits(target) or (0, 0)
    share = 100 * beyond / total
    return (
        f"{beyond} of {total} samples ({'under 0.01' if share < 0.01 else f'{share:.2f}'} %) were beyond {low}..{high} "
        f"and clipped (results reach from {found.low:.6g} to {found.high:.6g}); --show scaled or signed fits them in, "
        "--dtype float32 with .tif keeps them"
    )


def resolve(task: Task, kinds: set[str]) -> str:
    """Return the way to show the numbers that `auto` stands for; `kinds` are those of the types to be written."""
    last = task.steps[-1]
    if task.show == "signed" and isinstance(last, Kernel) and len(last.parts) == 2:
        name = last.text.partition(":")[0]
        one = f"; choose a direction: {name}:axis=0 or {name}:axis=1" if "axis" in last.labels[0] else ""
        raise InvalidArgument(f"--show signed needs a sign, and {last.text} gives a magnitude{one}")
    if task.show != "auto":
        return task.show
    # What is signed before a blur is signed after it.
    words = [step.shown for step in task.steps]
    shown = next((word for word in reversed(words) if word != "raw"), "raw")
    return shown if "u" in kinds or shown == "mask" else "raw"


def target_of(source: np.dtype[Any], task: Task) -> np.dtype[Any]:
    """Return the type of the samples written for a picture of this type."""
    return source if task.dtype == "same" else np.dtype(task.dtype)


def _filter_frame(frame: Frame, task: Task) -> NDArray[Any]:
    """Return the numbers that the filters give."""
    pixels = frame.pixels
    if frame.alpha is not None and task.alpha == "keep":
        pixels = np.delete(pixels, frame.alpha, axis=-1)
    if not frame.has_channels:
        pixels = pixels[..., np.newaxis]
    planes = pixels.reshape(-1, *pixels.shape[-3:])
    filtered = (
        np.stack([filter_plane(plane, task) for plane in planes])
        if len(planes) != 1
        else (filter_plane(planes[0], task)[np.newaxis])
    )
    result = filtered.reshape(*pixels.shape[:-3], *filtered.shape[1:])
    return result if frame.has_channels else result[..., 0]


def filter_plane(plane: NDArray[Any], task: Task) -> NDArray[Any]:
    """Send one (height, width, channels) array through all filters.

    Between them the numbers are floats, neither rounded nor clipped, as they would be in files. Only the last filter
    leaves out rows and columns.
    """
    source = plane.dtype
    for number, step in enumerate(task.steps):
        if number:
            plane = plane.astype(_between(source), copy=False)
        stride = task.stride if number == len(task.steps) - 1 else (1, 1)
        if isinstance(step, Named):
            plane = _named(step, plane, source, task)[:: stride[0], :: stride[1]]
        else:
            plane = _kernel(step, plane, replace(task, stride=stride))
    return plane


def _between(source: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type between filters: float32 holds the sums of 16 bits."""
    return np.dtype(np.float32 if source.itemsize <= 2 or source == np.float32 else np.float64)


def _named(step: Named, plane: NDArray[Any], source: np.dtype[Any], task: Task) -> NDArray[Any]:
    if step.name in ROUNDING:
        plane = plane.astype(_between(source), copy=False)
    room = display.limits(source)
    if step.name == "canny" and plane.dtype != source and room is not None:
        plane = np.clip(np.rint(plane), *room).astype(source)  # its thresholds are shares of that type's range
    words = task.boundary if isinstance(task.boundary, tuple) else (task.boundary,) * 2
    return step(plane, words, task.fill)


def _kernel(kernel: Kernel, plane: NDArray[Any], task: Task) -> NDArray[Any]:
    """Return what a kernel gives: for two parts, the root of the sum of their squares."""
    parts = [_slide(plane, part, task) for part in kernel.parts]
    if len(parts) == 1:
        return parts[0]
    working = np.float64 if plane.dtype.itemsize > 2 and plane.dtype != np.float32 else np.float32
    vertical, horizontal = (part.astype(working, copy=False) for part in parts)
    magnitude: NDArray[Any] = np.hypot(vertical, horizontal)
    return magnitude


def _slide(plane: NDArray[Any], kernel: NDArray[Any], task: Task) -> NDArray[Any]:
    slide: Callable[..., NDArray[Any]] = striderule.convolve if task.flip else striderule.correlate
    words = task.boundary if isinstance(task.boundary, tuple) else (task.boundary,) * 2
    common: dict[str, Any] = {"channel_axis": -1, "boundary": words, "algorithm": task.algorithm}
    column_row = _column_and_row(kernel)
    if column_row is None:
        return slide(plane, kernel, stride=task.stride, dilation=task.dilation, fill=task.fill, **common)
    column, row = column_row
    down = slide(plane, column, stride=(task.stride[0], 1), dilation=(task.dilation[0], 1), fill=task.fill, **common)
    # Beyond the sides stands what the column makes of the fill value.
    beside = task.fill * float(column.sum())
    return slide(down, row, stride=(1, task.stride[1]), dilation=(1, task.dilation[1]), fill=beside, **common)


def _column_and_row(kernel: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return a large kernel of floats as the outer product of a column and a row, where it is one."""
    if kernel.size < TWO_PASSES or kernel.dtype.kind != "f" or min(kernel.shape) == 1:
        return None
    top, left = np.unravel_index(np.abs(kernel).argmax(), kernel.shape)
    peak = kernel[top, left]
    if peak == 0:
        return None
    column, row = kernel[:, left : left + 1], kernel[top : top + 1] / peak
    matches = np.allclose(column * row, kernel, rtol=0, atol=1e-12 * abs(float(peak)))
    return (np.ascontiguousarray(column), row) if matches else None


def _with_alpha(frame: Frame, shown: NDArray[Any], task: Task, target: np.dtype[Any]) -> Frame:
    """Return the frame with its new colours and, where it was not filtered, every stride-th opacity."""
    if frame.alpha is None or task.alpha != "keep":
        return replace(frame, pixels=shown)
    opacity = frame.pixels[..., :: task.stride[0], :: task.stride[1], frame.alpha]
    pixels = np.insert(shown, frame.alpha, display.change_depth(opacity, target), axis=-1)
    return replace(frame, pixels=pixels)
