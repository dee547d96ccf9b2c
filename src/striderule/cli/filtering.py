"""``striderule filter``: one picture in, the filtered one out."""

from __future__ import annotations

import enum
import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer


class Show(enum.StrEnum):
    """How the numbers become brightness."""

    auto = "auto"
    raw = "raw"
    signed = "signed"
    magnitude = "magnitude"
    scaled = "scaled"


class Alpha(enum.StrEnum):
    """What happens to opacity."""

    keep = "keep"
    filter = "filter"
    drop = "drop"


class Depth(enum.StrEnum):
    """The type of the samples written."""

    same = "same"
    uint8 = "uint8"
    uint16 = "uint16"
    int16 = "int16"
    int32 = "int32"
    float16 = "float16"
    float32 = "float32"
    float64 = "float64"


def filter_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The picture to read.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The picture to write.", show_default=False)],
    kernel: Annotated[
        list[str],
        typer.Option(
            "--kernel",
            "-k",
            "--then",
            metavar="KERNEL",
            help="Such as gaussian:2, canny:2, rows of numbers, or a .npy file; several make a chain.",
            show_default=False,
        ),
    ],
    boundary: Annotated[
        str,
        typer.Option(metavar="WORD", help="Beyond the edges: constant, edge, symmetric, mirror, wrap."),
    ] = "symmetric",
    fill: Annotated[float, typer.Option(metavar="VALUE", help="The value outside with --boundary constant.")] = 0.0,
    stride: Annotated[str, typer.Option(metavar="N", help="Keep every n-th row and column; or rows,columns.")] = "1",
    dilation: Annotated[str, typer.Option(metavar="N", help="Spread the taps n pixels apart; or rows,columns.")] = "1",
    convolve: Annotated[
        bool, typer.Option("--convolve/--correlate", help="Flip the kernel first, or slide it as it is.")
    ] = False,
    show: Annotated[
        Show,
        typer.Option(
            metavar="HOW",
            help="raw: numbers as they are; signed: 0 is mid-grey; magnitude: absolute; scaled: stretched; "
            "auto: signed or magnitude for derivatives, else raw.",
        ),
    ] = Show.auto,
    gain: Annotated[
        float | None, typer.Option(metavar="FACTOR", help="Fix the scale, to compare pictures.", show_default=False)
    ] = None,
    alpha: Annotated[
        Alpha, typer.Option(metavar="HOW", help="keep opacity as it is, filter it too, or drop it.")
    ] = Alpha.keep,
    dtype: Annotated[
        Depth,
        typer.Option(
            "--dtype",
            "--depth",
            metavar="TYPE",
            help="Samples written: same, uint8, uint16, int16, int32, float16, float32, float64.",
        ),
    ] = Depth.same,
    page: Annotated[
        int | None, typer.Option(metavar="N", help="Filter only this page (from 1).", show_default=False)
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            metavar="1-100", min=1, max=100, help="Of JPEG, WebP and AVIF; else as the source.", show_default=False
        ),
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Force an algorithm: stencil, separable, fourier, windows or reference.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Write before and after side by side, too.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    r"""Filter a picture with kernels and filters, one after the other.

    The result has the depth and kind of the source, in the format that the
    suffix of OUT names. Profile, resolution, EXIF and TIFF tags are kept; what
    a format cannot keep, and every value clipped, is told in a line.

    [bold]Examples[/bold]

      striderule filter photo.jpg soft.jpg --kernel gaussian:2

      striderule filter photo.jpg edges.png --kernel sobel

      striderule filter in.png out.png --kernel "\[\[0,-1,0],\[-1,5,-1],\[0,-1,0]]"

      striderule filter scan.tif slopes.tif --kernel sobel:axis=1 --dtype float32

      striderule filter logo.png half.png --kernel gaussian:1 --stride 2

      striderule filter photo.jpg lines.png --kernel gaussian:1 --then sobel

      striderule filter photo.jpg edges.png --kernel canny:2 --compare both.png

    TIFF files larger than memory are filtered row by row, every row through
    the whole chain; Ctrl-C leaves nothing behind.

    All kernels and filters with names: [bold]striderule kernel[/bold]
    """
    from striderule.cli import pictures, streaming
    from striderule.cli.chain import parse
    from striderule.cli.pictures import files
    from striderule.cli.processing import Task, process

    files.check_target(target, overwrite)
    task = Task(
        steps=parse(kernel),
        boundary=_words(boundary),
        fill=fill,
        stride=_pair(stride, "--stride"),
        dilation=_pair(dilation, "--dilation"),
        flip=convolve,
        alpha=alpha.value,
        show=show.value,
        gain=_finite(gain),
        dtype=dtype.value,
        algorithm=algorithm,
    )
    if compare is not None:
        files.check_target(compare, overwrite)
    start = time.perf_counter()
    result = streaming.run(source, target, task, overwrite=overwrite, page=page, quiet=quiet)
    sides: Any = None
    if result is not None and compare is not None:
        from striderule.cli import comparing

        sides = comparing.preview(source, page or 1), comparing.preview(target)
    elif result is None:
        picture = pictures.read(source)
        if page is not None:
            picture = files.single_page(picture, page)
        result = process(picture, task)
        pictures.write(target, result, overwrite=overwrite, quality=quality)
        sides = picture.frames[0], result.frames[0]
    if compare is not None:
        from striderule.cli import comparing

        comparing.write(compare, (sides[0], source.name), (sides[1], task.text), overwrite=overwrite)
    if not quiet:
        _report(target, result, task, time.perf_counter() - start)


def _report(target: Path, result: Any, task: Any, seconds: float) -> None:
    from rich.console import Console
    from rich.markup import escape

    from striderule.cli.specs import Kernel

    frame = result.frames[0]
    height, width = frame.size
    pages = f"{len(result.frames)} pages of " if len(result.frames) > 1 else ""
    sizes = [" x ".join(str(n) for n in step.parts[0].shape) for step in task.steps if isinstance(step, Kernel)]
    taps = f" ({', '.join(sizes)})" if sizes else ""
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"[bold]{escape(str(target))}[/bold]  {pages}{width} x {height}, {frame.kind}; "
        f"{escape(task.text)}{taps}, {seconds:.2f} s"
    )
    for line in result.notes:
        console.print(f"  [dim]note:[/dim] {escape(line)}")


def _words(text: str) -> Any:
    """Return one boundary word, or one for rows and one for columns."""
    from striderule.geometry.padding import parse_boundary

    parts = tuple(part.strip() for part in text.split(","))
    words = parts[0] if len(parts) == 1 else parts
    parse_boundary(words, 2, "--boundary")
    return words


def _pair(text: str, option: str) -> tuple[int, int]:
    from striderule.errors import InvalidArgument

    if re.fullmatch(r"\s*\d+\s*([,x]\s*\d+\s*)?", text) is None:
        raise InvalidArgument(f"{option} must be a whole number, or two as rows,columns, got {text!r}")
    numbers = [int(part) for part in re.split("[,x]", text)]
    if min(numbers) < 1:
        raise InvalidArgument(f"{option} must be at least 1, got {text}")
    return numbers[0], numbers[-1]


def _finite(gain: float | None) -> float | None:
    import math

    from striderule.errors import InvalidArgument

    if gain is not None and (not math.isfinite(gain) or gain <= 0):
        raise InvalidArgument(f"--gain must be a finite number above 0, got {gain}")
    return gain
