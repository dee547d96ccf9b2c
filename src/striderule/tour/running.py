"""Run a chapter: execute its cells in order, as a notebook would, and keep what they print, draw and check."""

from __future__ import annotations

import ast
import contextlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from striderule.errors import StrideruleError
from striderule.tour.cells import Cell, Chapter
from striderule.tour.checks import Comparison
from striderule.tour.showing import Shot, collecting


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell and what came of it."""

    cell: Cell
    printed: str = ""
    shots: tuple[Shot, ...] = ()
    checks: dict[str, Comparison] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A chapter, what came of each cell, and the variables that the chapter left."""

    chapter: Chapter
    shown: tuple[Shown, ...]
    variables: dict[str, Any]

    @property
    def checks(self) -> dict[str, Comparison]:
        """Every comparison with the reference loops that the chapter made."""
        return {name: found for part in self.shown for name, found in (part.checks or {}).items()}


def with_photograph(chapter: Chapter, path: Path | None) -> Chapter:
    """Return the chapter working on the reader's own picture; its code, shown and run, then names that file."""
    if path is None:
        return chapter
    own = f"photograph({str(path)!r})"
    cells = tuple(
        cell if cell.kind == "markdown" else replace(cell, source=cell.source.replace("photograph()", own))
        for cell in chapter.cells
    )
    return replace(chapter, cells=cells)


def run(chapter: Chapter) -> Run:
    """Execute a chapter in a namespace of its own.

    Parameters
    ----------
    chapter
        One of `striderule.tour.contents`.

    Returns
    -------
    Run
        What each cell printed and drew, its comparison with the loops, and the variables it left.

    Examples
    --------
    >>> from striderule import tour
    >>> chapter_4 = run(tour.contents()[3])
    >>> chapter_4.variables["image"].shape
    (5, 5)
    """
    variables: dict[str, Any] = {"__name__": "__main__"}
    return Run(chapter, tuple(_show(cell, chapter.path, variables) for cell in chapter.cells), variables)


def _show(cell: Cell, path: Path, variables: dict[str, Any]) -> Shown:
    if cell.kind == "markdown":
        return Shown(cell)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), collecting() as album:
        _execute(cell, path, variables)
    described = [drawing.name for drawing in cell.drawings]
    drawn = [shot.name for shot in album]
    if drawn != described:
        raise StrideruleError(
            f"{path.name}, line {cell.line}: the cell shows {drawn} but describes {described}; every drawing needs a "
            "line '# name: description' below the mark of its cell, in the same order"
        )
    return Shown(cell, printed.getvalue(), tuple(album), variables["checks"] if cell.kind == "check" else None)


def _execute(cell: Cell, path: Path, variables: dict[str, Any]) -> None:
    """Execute a cell so that an error shows the line of the chapter's file."""
    tree = ast.increment_lineno(ast.parse(cell.source), cell.line - 1)
    exec(compile(tree, str(path), "exec", dont_inherit=True), variables)  # noqa: S102 - the chapters' own code, shipped with the library
