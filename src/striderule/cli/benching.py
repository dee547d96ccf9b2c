"""``striderule bench image``: filters on a picture, ours beside those of the libraries that are installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from striderule.cli.contest import Row

bench = typer.Typer(name="bench", help="Measure speed on this machine.", no_args_is_help=True)


@bench.callback()
def _group() -> None:
    """Measure speed on this machine."""


@bench.command("image")
def bench_image(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="PICTURE", help="A picture; else 3 megapixels of noise.", show_default=False),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=0.01, max=60, help="Time for each filter of each library.")
    ] = 0.3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time filters on a picture: ours, OpenCV's, SciPy's, scikit-image's.

    The libraries take turns; the best time of each counts. Libraries that are
    not installed are left out.

    [bold]Examples[/bold]

      striderule bench image

      striderule bench image photo.jpg --seconds 0.05
    """
    import json

    import numpy as np

    from striderule.cli import contest, pictures
    from striderule.errors import InvalidArgument

    if source is None:
        pixels = np.random.default_rng(0).integers(0, 256, (1536, 2048), np.uint8)
    else:
        frame = pictures.read(source).frames[0].without_alpha()
        pixels = frame.pixels
        if frame.has_channels:
            pixels = np.rint(pixels.mean(axis=-1)).astype(pixels.dtype)
        if pixels.ndim != 2 or pixels.dtype.kind not in "uif" or 0 in pixels.shape:
            raise InvalidArgument(f"{source} must hold a picture of rows and columns, got {pixels.shape} samples")
    rows = contest.rows(pixels, seconds)
    if as_json:
        typer.echo(json.dumps([{"filter": row.name, "milliseconds": row.times} for row in rows]))
        return
    _print(pixels, rows)


def _print(pixels: Any, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    from striderule.cli import contest
    from striderule.codegen.workers import get_num_threads

    present = [name for name in contest.LIBRARIES if any(name in row.times for row in rows)]
    height, width = pixels.shape
    title = f"{width} x {height} grey, {pixels.dtype}; milliseconds, {get_num_threads()} threads"
    table = Table(title=title, title_justify="left")
    table.add_column("filter")
    for name in present:
        table.add_column(name, justify="right")
    table.add_column("ours against the best", justify="right")
    for row in rows:
        best = min((time for name, time in row.times.items() if name != contest.OURS), default=None)
        cells = [f"{row.times[name]:.2f}" if name in row.times else "" for name in present]
        against = "" if best is None else f"{best / row.times[contest.OURS]:.2f} x"
        table.add_row(row.name, *cells, against)
    console = Console(highlight=False)
    console.print(table)
    if present == [contest.OURS]:
        console.print("[dim]without OpenCV, SciPy and scikit-image: none is installed[/dim]")
