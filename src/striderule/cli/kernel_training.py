"""``striderule train kernel``: the kernel that turns one picture into another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from striderule.learning.one_kernel import Learned


def train_kernel(
    source: Annotated[Path, typer.Option("--from", metavar="PICTURE", help="The picture before.", show_default=False)],
    target: Annotated[Path, typer.Option("--to", metavar="PICTURE", help="The picture after.", show_default=False)],
    size: Annotated[str, typer.Option(metavar="N", help="Of the kernel, 1 to 15, odd or even; or rows,columns.")] = "3",
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Steps downhill.")] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the first weights.")] = 0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the page and its figures.")] = Path("kernel"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, and only the closest kernel.")] = False,
) -> None:
    """Learn the kernel that turns one picture into another.

    Both must be of one size. Beside Sobel's kernels and the closest one with a
    name, a page shows what was learned and how far it carries: what no kernel
    does (lengths of gradients, medians, edges of one pixel) leaves a rest, and
    how much is told. The kernel itself is written as kernel.npy.

    [bold]Examples[/bold]

      striderule filter photo.jpg edges.png --kernel sobel:axis=1

      striderule train kernel --from photo.jpg --to edges.png --size 3

      striderule train kernel --from a.tif --to b.tif --size 5 --out found
    """
    from rich.console import Console

    from striderule.cli import kernel_page, progress
    from striderule.cli.filtering import _pair
    from striderule.learning import one_kernel
    from striderule.tour import files

    before, after, limits, notes = planes(source, target)
    shape = _pair(size, "--size")
    place = files.folder(out)
    with progress.bar(0 if quiet or as_json else steps, "learning") as advance:
        learned = one_kernel.learn(
            before, after, shape, limits=limits, steps=steps, seed=seed, tell=lambda _: advance(1)
        )
    found = kernel_page.result(learned, before, after)
    index = kernel_page.write(place, found, source.name, target.name)
    if as_json:
        typer.echo(json.dumps(kernel_page.plain(found)))
        return
    console = Console(highlight=False, soft_wrap=True)
    if not quiet:
        _report(console, learned, notes, found)
        console.print("The page is ready; open it in a browser:")
        console.print(f"  {index.resolve().as_uri()}", markup=False)
    console.print(kernel_page.verdict(found), markup=False)


def _report(console: Console, learned: Learned, notes: list[str], found: Any) -> None:
    from striderule.cli import kernel_page
    from striderule.cli.kernels import _values

    for note in notes:
        console.print(f"[dim]note:[/dim] {note}")
    console.print("[bold]learned kernel[/bold], with the centre as that of correlate")
    _values(console, learned.weight)
    for line in kernel_page.rest(found):
        console.print(line, markup=False)


def planes(source: Path, target: Path) -> tuple[NDArray[Any], NDArray[Any], tuple[float, float] | None, list[str]]:
    """Return both pictures as (planes, rows, columns) of floats, the ends of the target's range, and notes.

    Raises
    ------
    PictureError, InvalidArgument
        If one cannot be read, or they are of different sizes.
    """
    import numpy as np

    from striderule.cli import display, pictures
    from striderule.errors import InvalidArgument

    frames = [pictures.read(path).frames[0].without_alpha() for path in (source, target)]
    if frames[0].size != frames[1].size:
        sizes = [f"{width} x {height}" for height, width in (frame.size for frame in frames)]
        raise InvalidArgument(
            f"--from and --to must be pictures of one size, got {source} of {sizes[0]} and {target} of {sizes[1]}"
        )
    values, notes = [], []
    for frame, path in zip(frames, (source, target), strict=True):
        pixels = frame.pixels
        while pixels.ndim > (3 if frame.has_channels else 2):
            pixels = pixels[0]
        if pixels.dtype.kind not in "uif" or not np.isfinite(pixels).all():
            raise InvalidArgument(f"{path} must hold finite numbers, got {pixels.dtype} with others among them")
        level = pixels.astype(np.float64)
        values.append(level.transpose(2, 0, 1) if frame.has_channels else level[None])
    if len(values[0]) != len(values[1]):
        values = [one.mean(axis=0, keepdims=True) for one in values]
        notes.append("only one of the pictures has colours: both are taken as their mean")
    limits = display.limits(frames[1].pixels.dtype)
    return values[0], values[1], None if limits is None else (float(limits[0]), float(limits[1])), notes
