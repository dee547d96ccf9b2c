"""The page: one file with everything in it, so that it opens offline and can be sent to a friend."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template
from typing import Any

from striderule._version import __version__
from striderule.learning.digits import CREDIT as DIGITS
from striderule.tour import highlight, markdown
from striderule.tour.photographs import CREDIT
from striderule.tour.running import Run, Shown
from striderule.tour.showing import Shot

TITLE = "Convolution, step by step"
INTRODUCTION = """
A small array of numbers slides over a large one; at every place the two are multiplied and added up. That is all, and
it blurs photographs, finds edges and makes up most of the work of the networks that recognise faces.

These chapters take it apart, one idea each: first on arrays small enough to do by hand, then on a photograph. The code
that is shown is the code that was run to make this page, so you can paste it, change a number and look again. At the
end of each chapter results are computed a second time, by plain loops written from the definition (of photographs, a
piece), and the largest difference is printed.
"""

# Chapters that say so show digits.
DIGITS_FROM = "digits.load()"
# Wider figures (in inches) hold several panels, which would be too small at half the width of the text.
STRIP = 5.5
# PNG files with more bytes hold photographs.
DRAWING = 100_000


def page(runs: list[Run], *, own_photograph: bool = False) -> str:
    """Return the whole page as HTML.

    Parameters
    ----------
    runs
        The chapters in their order.
    own_photograph
        Whether the reader brought a picture; otherwise the one that comes with the library is credited.
    """
    return document(
        TITLE,
        markdown.html(INTRODUCTION) + _verdict(runs),
        [_section(run) for run in runs],
        _credit(runs, own_photograph),
    )


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page: the name of its place, its number, its title, and its HTML."""

    place: str
    number: int | None
    title: str
    html: str


def document(title: str, introduction: str, sections: Sequence[Section], credit: str) -> str:
    """Return a page that needs nothing but itself; `introduction` and `credit` are HTML, `title` is text."""
    return Template(_part("page.html")).substitute(
        title=escape(title),
        version=escape(__version__),
        style=_part("page.css").strip(),
        script=_part("page.js").strip(),
        contents="\n".join(_entry(section) for section in sections),
        introduction=introduction,
        chapters="\n".join(_framed(section) for section in sections),
        credit=credit,
    )


def _part(name: str) -> str:
    return (resources.files("striderule.tour") / "theme" / name).read_text(encoding="utf-8")


def _entry(section: Section) -> str:
    number = "" if section.number is None else str(section.number)
    return f'<li><a href="#{section.place}"><span>{number}</span>{escape(section.title)}</a></li>'


def _framed(section: Section) -> str:
    heading = section.title if section.number is None else f"{section.number}. {section.title}"
    top = f'<section class="chapter" id="{section.place}">\n<h2>{escape(heading)}</h2>'
    return f"{top}\n{section.html}\n</section>"


def _credit(runs: list[Run], own_photograph: bool) -> str:
    """Return whose pictures are on the page."""
    owners = ["The photograph is your own." if own_photograph else CREDIT]
    if any(DIGITS_FROM in cell.source for run in runs for cell in run.chapter.cells):
        owners.append(DIGITS)
    return "<br>".join(markdown.inline(one) for one in owners)


def _verdict(runs: list[Run]) -> str:
    checks = [found for run in runs for found in run.checks.values()]
    if not checks:
        return ""
    broken = sum(not found.holds for found in checks)
    if broken:
        return f"<p><strong>{broken} of {len(checks)} comparisons with the loops do not hold.</strong></p>"
    return f"<p>On this page: {len(checks)} comparisons with the loops, all within rounding.</p>"


def _section(run: Run) -> Section:
    chapter = run.chapter
    parts = [f'<p class="lede">{markdown.inline(chapter.summary)}</p>']
    parts += [_shown(part) for part in run.shown]
    if chapter.number is not None:
        book = f"notebooks/{chapter.slug}.ipynb"
        parts.append(f'<p class="take">Take it with you: <a href="{book}">this chapter as a notebook</a>.</p>')
    return Section(chapter.slug, chapter.number, chapter.title, "\n".join(parts))


def _shown(part: Shown) -> str:
    cell = part.cell
    if cell.kind == "markdown":
        return markdown.html(cell.source)
    if cell.kind == "figure":
        return _figure(part) + _source(cell.source, "How it is drawn")
    if cell.kind == "check":
        return _check(part)
    printed = f"<pre>{escape(part.printed.rstrip())}</pre>" if part.printed else ""
    return f'<div class="code {cell.kind}"><pre>{highlight.html(cell.source)}</pre>{printed}</div>'


def _source(code: str, summary: str) -> str:
    block = f'<div class="code"><pre>{highlight.html(code)}</pre></div>'
    return f'<details class="source"><summary>{summary}</summary>{block}</details>'


def _check(part: Shown) -> str:
    holds = all(found.holds for found in (part.checks or {}).values())
    words = "✓ Equal to the loops" if holds else "✗ Not equal to the loops"
    source = _source(part.cell.source, "How it is checked")
    kind = "check" if holds else "check broken"
    return f'<div class="{kind}"><p>{words}</p><pre>{escape(part.printed.rstrip())}</pre>{source}</div>'


def _figure(part: Shown) -> str:
    return figure(part.shots, [drawing.alt for drawing in part.cell.drawings], part.cell.caption)


def figure(shots: Sequence[Shot], descriptions: Sequence[str], caption: str) -> str:
    """Return drawings side by side over a caption, each with what a person who cannot see it should know."""
    images = "".join(_image(shot, alt) for shot, alt in zip(shots, descriptions, strict=True))
    return f"<figure><div>{images}</div><figcaption>{markdown.inline(caption)}</figcaption></figure>"


def _image(shot: Shot, alt: str) -> str:
    kind, data, (width, height) = _compact(shot.png)
    scale = 96 * shot.inches / width  # browsers count 96 to the inch
    size = f'width="{round(width * scale)}" height="{round(height * scale)}"'
    still = _data_uri(kind, data)
    source = still if shot.gif is None else _data_uri("gif", shot.gif)
    shape = ' class="strip"' if shot.inches > STRIP else ""
    image = f'<img src="{source}" alt="{escape(alt)}" {size}{shape}>'
    if shot.gif is None:
        return image
    # Who has asked for less motion gets the still picture.
    return f'<picture><source media="(prefers-reduced-motion: reduce)" srcset="{still}">{image}</picture>'


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _compact(png: bytes) -> tuple[str, bytes, tuple[int, int]]:
    """Return an image for the page, a fraction as large: drawings exactly, photographs very closely."""
    from PIL import Image, features

    with Image.open(io.BytesIO(png)) as picture:
        if not features.check("webp"):  # a Pillow built without it
            return "png", png, picture.size
        # PNG is small where colours are flat: in drawings.
        quality: dict[str, Any] = {"lossless": True, "quality": 60} if len(png) < DRAWING else {"quality": 88}
        data = io.BytesIO()
        picture.convert("RGB").save(data, "WEBP", **quality)
        return "webp", data.getvalue(), picture.size
