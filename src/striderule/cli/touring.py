"""``striderule tour``: the chapters as a page, pictures and notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def tour_command(
    image: Annotated[Path | None, typer.Option(help="Run it on your own picture.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("tour"),
    chapter: Annotated[int | None, typer.Option(min=1, max=15, help="Only this chapter.", show_default=False)] = None,
) -> None:
    """Build the tour: fifteen chapters on convolution, on a page that opens offline, and as notebooks.

    [bold]Examples[/bold]

      striderule tour

      striderule tour --image holiday.jpg --out my-tour

      striderule tour --chapter 4
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from striderule.tour import build

    console = Console(highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=None)

        def report(done: int, total: int, title: str) -> None:
            progress.update(bar, completed=done, total=total, description=title)
            if not console.is_terminal:
                console.print(f"{done:2d}/{total} {title}", markup=False)

        index = build(out, image=image, chapter=chapter, progress=report)
    console.print("The tour is ready; open it in a browser:")
    console.print(f"  {index.resolve().as_uri()}", markup=False)
