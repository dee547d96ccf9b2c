"""A chapter as a Jupyter notebook."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from striderule.errors import MissingExtra
from striderule.tour.cells import Cell, Chapter


def notebook(chapter: Chapter) -> str:
    """Return the chapter as the text of an ``.ipynb`` file (nbformat 4): the same texts, the same code.

    Raises
    ------
    MissingExtra
        If nbformat is not installed.
    """
    nbformat, v4 = _nbformat()
    cells = [v4.new_markdown_cell(f"# {chapter.heading}\n\n{chapter.summary}")]
    cells += [
        v4.new_markdown_cell(cell.source) if cell.kind == "markdown" else v4.new_code_cell(_code(cell))
        for cell in chapter.cells
    ]
    for at, cell in enumerate(cells):
        cell["id"] = f"{chapter.slug[:2]}-{at:02d}"  # random ones would make every build differ
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.validate(book)
    return str(nbformat.writes(book)) + "\n"


def _nbformat() -> tuple[Any, Any]:
    try:
        return import_module("nbformat"), import_module("nbformat.v4")
    except ImportError:
        raise MissingExtra.of("tour", needs="nbformat") from None


def _code(cell: Cell) -> str:
    """Return a cell's code; a drawing keeps its caption as a comment."""
    return f"# {cell.caption}\n{cell.source}" if cell.caption else cell.source
