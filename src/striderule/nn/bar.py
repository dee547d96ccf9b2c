"""How far a training has come: a bar on a terminal where Rich is installed, else a line for each epoch."""

from __future__ import annotations

import sys
from typing import Any, Self


class Bar:
    """A bar over steps; epochs leave a line each."""

    def __init__(self, epochs: int, done: int, steps: int, *, shown: bool) -> None:
        self._shown, self._epochs, self._steps = shown, epochs, steps
        self._bar: Any = _rich() if shown else None
        self._task: Any = None
        if self._bar is not None:
            self._task = self._bar.add_task("training", total=epochs * steps, completed=done * steps, loss="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, loss: float) -> None:
        """Tell that a step is done."""
        if self._bar is not None:
            self._bar.update(self._task, advance=1, loss=f"loss {loss:.4f}")

    def epoch(self, line: str) -> None:
        """Tell that an epoch is done."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False)
        elif self._shown:
            sys.stderr.write(f"{line}\n")


def _rich() -> Any:
    """Return Rich's bar, or None where there is no terminal or no Rich."""
    try:
        from rich.console import Console  # noqa: PLC0415 - an extra
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )
    except ImportError:
        return None
    console = Console(stderr=True)
    columns = (TextColumn("training"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[loss]}"))
    if not console.is_terminal:
        return None
    return Progress(*columns, TimeRemainingColumn(), TextColumn("left"), console=console, transient=True)
