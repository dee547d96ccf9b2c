"""A bar with the time that is left, on a terminal alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bar(total: int, word: str = "filtering") -> Iterator[Callable[[int], None]]:
    """Show how many of the rows or steps are done (0: nothing is shown); gives the function that is told of others."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(word), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=console, transient=True, disable=not (console.is_terminal and total)) as progress:
        task = progress.add_task(word, total=total)

        def advance(done: int) -> None:
            progress.advance(task, done)

        yield advance
