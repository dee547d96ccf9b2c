"""A bar with the time that is left, on a terminal alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bar(rows: int) -> Iterator[Callable[[int], None]]:
    """Show how many of the rows are done; gives the function that is told of further ones."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("filtering"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("filtering", total=rows)

        def advance(done: int) -> None:
            progress.advance(task, done)

        yield advance
