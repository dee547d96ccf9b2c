"""The sliding window as an animation: one frame for each element of the output."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument, InvalidType, MissingExtra
from striderule.figures.canvas import PAPER, sheet_of
from striderule.figures.cells import limits, scale_for
from striderule.figures.sliding import Sliding
from striderule.figures.steps import Layout, Scales, draw_output, draw_step, scales_of

# Together they bound the file: flat colours take far less than one byte a pixel.
MOST_FRAMES = 256
MOST_CELLS_A_SIDE = 24
MOST_PIXELS = 150_000_000
COLOURS = 96
REST_MS = 1500


def animate(
    image: ArrayLike,
    kernel: ArrayLike,
    path: str | os.PathLike[str],
    *,
    stride: Any = 1,
    dilation: Any = 1,
    padding: Any = 0,
    boundary: Any = "constant",
    fps: float = 2,
    dpi: float = 100,
) -> tuple[Path, Path]:
    """Write the sliding window as a GIF, one frame for each element of the output, and a still picture beside it.

    Each frame shows the image with the window, window x kernel = products, their sum, and the output so far.

    Parameters
    ----------
    image, kernel, stride, dilation, padding, boundary
        As for `window`; at most 24 rows and columns with padding, and 256 elements of output.
    path
        Where the GIF goes, ending in ``.gif``; the still picture, from the middle of the animation, has the
        same name ending in ``.png``. Existing files are replaced once the new ones are complete.
    fps
        Frames a second, above 0 and at most 50.
    dpi
        Pixels an inch, 20 to 300; the picture is at most about 10 inches wide.

    Returns
    -------
    (Path, Path)
        The GIF and the PNG.

    Raises
    ------
    InvalidArgument
        For too many frames or pixels, a wrong ending, and a folder that does not exist.
    MissingExtra
        If Pillow is not installed.

    Examples
    --------
    >>> gif, png = animate([[0, 1, 2]], [[1, -1]], "slide.gif")  # doctest: +SKIP
    """
    target = _check_path(path)
    duration = _frame_milliseconds(fps)
    sharpness = _number_between(dpi, "dpi", 20, 300)
    sliding = Sliding.of(image, kernel, stride=stride, dilation=dilation, padding=padding, boundary=boundary)
    places = _check_size(sliding)
    frames = _frames(sliding, places, sharpness)
    still = target.with_suffix(".png")
    pillow = _pillow()
    pictures = [pillow.fromarray(frame) for frame in frames]
    middle = pictures[len(pictures) // 2]
    _replace(target, lambda file: _save_gif(pillow, pictures, file, duration))
    _replace(still, lambda file: middle.quantize(COLOURS).save(file, "PNG", optimize=True))
    return target, still


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError:
        raise MissingExtra.of("figures", needs="pillow") from None


def _check_path(path: Any) -> Path:
    try:
        target = Path(path)
    except TypeError:
        raise InvalidType(f"path must be a file name, got {path!r}") from None
    if target.suffix.lower() != ".gif":
        raise InvalidArgument(f"path must end in .gif, got {str(target)!r}")
    if not target.parent.is_dir():
        raise InvalidArgument(f"path must lie in a folder that exists, got {str(target)!r}; make {target.parent} first")
    return target


def _number_between(value: Any, argument: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidType(f"{argument} must be a number, got {value!r}")
    if not low <= value <= high:
        raise InvalidArgument(f"{argument} must be from {low} to {high}, got {value}")
    return float(value)


def _frame_milliseconds(fps: Any) -> int:
    """Return how long a frame stands; GIF counts in hundredths of a second."""
    return max(20, round(100 / _number_between(fps, "fps", 0.02, 50)) * 10)


def _check_size(sliding: Sliding) -> list[tuple[int, int]]:
    rows, columns = sliding.output
    if not 1 <= rows * columns <= MOST_FRAMES:
        raise InvalidArgument(
            f"an animation has 1 to {MOST_FRAMES} frames, one for each output, got an output of shape "
            f"{sliding.output}; use a smaller image or a larger stride"
        )
    height, width = (last - first for first, last in sliding.frame())
    if max(height, width, *sliding.kernel.shape) > MOST_CELLS_A_SIDE:
        raise InvalidArgument(
            f"image must have at most {MOST_CELLS_A_SIDE} rows and columns with its padding to be animated, "
            f"got {height} x {width}; crop it, such as image[:12, :12]"
        )
    return [(i, j) for i in range(rows) for j in range(columns)]


def _frames(sliding: Sliding, places: list[tuple[int, int]], dpi: float) -> list[NDArray[np.uint8]]:
    """Return the frames as arrays (rows, columns, 3), one figure serving for all."""
    plan = Layout(sliding, sliding.frame(), with_output=True)
    scales = scales_of(sliding, places)
    result = sliding.result()
    numbers = result.astype(np.float64)
    output = scale_for(numbers, cmap="signed" if limits(numbers)[0] < 0 else "gray")
    ax = plan.board(None)
    figure = sheet_of(ax)
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    width, height = canvas.get_width_height()
    if width * height * len(places) > MOST_PIXELS:
        raise InvalidArgument(
            f"an animation has at most {MOST_PIXELS} pixels in all, got {len(places)} frames of {width} x {height}; "
            f"use a smaller dpi than {dpi:g} or a larger stride"
        )
    frames = []
    for place in places:
        plan.board(ax)
        _draw_frame(ax, plan, place, scales, result, output)
        frames.append(_rendered(canvas))
        ax.clear()
    return frames


def _rendered(canvas: FigureCanvasAgg) -> NDArray[np.uint8]:
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    # The buffer is drawn over by the next frame: copy it, without its opacity.
    return pixels[..., :3].copy()


def _draw_frame(
    ax: Any, plan: Layout, place: tuple[int, int], scales: Scales, result: NDArray[Any], output: Any
) -> None:
    draw_step(ax, plan, place, scales)
    draw_output(ax, plan, result, place, output)


def _save_gif(pillow: Any, pictures: list[Any], file: Any, duration: int) -> None:
    """Save frames that share one palette, so that Pillow stores only what changes from frame to frame."""
    chosen = [pictures[0], pictures[len(pictures) // 2], pictures[-1]]
    width, height = pictures[0].size
    sample = pillow.new("RGB", (width, height * len(chosen)), PAPER)
    for k, picture in enumerate(chosen):
        sample.paste(picture, (0, k * height))
    palette = sample.quantize(COLOURS)
    frames = [picture.quantize(palette=palette, dither=0) for picture in pictures]
    durations = [duration] * (len(frames) - 1) + [duration + REST_MS]
    frames[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        optimize=True,  # only then does Pillow leave out the pixels that stay
    )


def _replace(target: Path, save: Callable[[Any], None]) -> None:
    """Write a file beside the target and rename it, so that no half-written file ever bears the name."""
    beside = target.with_name(f".{target.stem}-{uuid.uuid4().hex[:12]}{target.suffix}")
    try:
        with beside.open("xb") as file:
            save(file)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
