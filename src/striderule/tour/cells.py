"""Chapters as scripts in cells: read once, then shown as a page, run, and written as a notebook.

A chapter is an ordinary Python file in the percent format that editors and notebooks share. Its docstring is the title
and one sentence about it; every ``# %%`` line starts a cell:

``# %% [markdown]``
    text, every line behind ``# ``;
``# %%``
    code that is shown, with what it prints;
``# %% shape``
    code that prints an output-shape formula with the numbers put in;
``# %% check``
    code that leaves `checks`, the answer of `striderule.tour.compare`;
``# %% figure: caption``
    code that draws. Comment lines right below, ``# name: description``, say what each drawing is called and what a
    person who cannot see it should know; there is one for each figure that the cell opens, in their order.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

Kind = Literal["markdown", "code", "shape", "check", "figure"]

_MARKER = re.compile(r"^# %%(?: \[(?P<markdown>markdown)\]| (?P<kind>shape|check|figure)(?:: (?P<caption>.+))?)?$")
_DESCRIPTION = re.compile(r"^# (?P<name>[a-z][a-z0-9-]*): (?P<text>.+)$")


@dataclass(frozen=True, slots=True)
class Drawing:
    """The name of a figure (its file's stem) and its description in words."""

    name: str
    alt: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its kind, its text or code, and the line of the file on which that starts."""

    kind: Kind
    source: str
    line: int
    caption: str = ""
    drawings: tuple[Drawing, ...] = ()


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter. `number` is None for the closing page; `slug` names its files, as in ``02-basic-convolution``."""

    number: int | None
    slug: str
    title: str
    summary: str
    path: Path
    cells: tuple[Cell, ...]

    @property
    def heading(self) -> str:
        """The title with its number in front."""
        return self.title if self.number is None else f"{self.number}. {self.title}"


def read(path: Path) -> Chapter:
    """Read a chapter from its file, ``ch02_basic_convolution.py`` or (without a number) ``closing.py``."""
    text = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text)) or path.stem
    title, _, summary = docstring.partition("\n\n")
    numbered = re.fullmatch(r"ch(\d\d)_(.+)", path.stem)
    number = int(numbered[1]) if numbered else None
    words = (numbered[2] if numbered else path.stem).replace("_", "-")
    return Chapter(
        number=number,
        slug=f"{number:02d}-{words}" if number is not None else words,
        title=title.rstrip("."),
        summary=" ".join(summary.split()),
        path=path,
        cells=tuple(_split(text)),
    )


def _split(text: str) -> list[Cell]:
    lines = text.splitlines()
    starts = [(at, match) for at, line in enumerate(lines) if (match := _MARKER.match(line))]
    ends = [at for at, _ in starts[1:]] + [len(lines)]
    return [_cell(lines, start, end, match) for (start, match), end in zip(starts, ends, strict=True)]


def _cell(lines: list[str], start: int, end: int, marker: re.Match[str]) -> Cell:
    first, body = start + 1, lines[start + 1 : end]
    if marker["markdown"]:
        prose = "\n".join(line.removeprefix("#").removeprefix(" ") for line in body)
        return Cell("markdown", prose.strip(), first + 1)
    kind = cast(Kind, marker["kind"] or "code")
    drawings: tuple[Drawing, ...] = ()
    if kind == "figure":
        comments = next((at for at, line in enumerate(body) if not line.startswith("#")), len(body))
        drawings = _drawings(body[:comments])
        first, body = first + comments, body[comments:]
    blank = next((at for at, line in enumerate(body) if line.strip()), 0)
    return Cell(kind, "\n".join(body).strip(), first + blank + 1, marker["caption"] or "", drawings)


def _drawings(comments: list[str]) -> tuple[Drawing, ...]:
    """Read ``# name: description`` lines; a line without a name continues the description above it."""
    found: list[tuple[str, list[str]]] = []
    for line in comments:
        if start := _DESCRIPTION.match(line):
            found.append((start["name"], [start["text"]]))
        elif found:
            found[-1][1].append(line.removeprefix("#").strip())
    return tuple(Drawing(name, " ".join(parts)) for name, parts in found)
