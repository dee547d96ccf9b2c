"""The little Markdown that the chapters' texts use, as HTML.

Paragraphs, ``## headings``, ``- lists``, pipe tables, and inside a line ``**strong**``, ``*emphasis*``, ```code``` and
``[links](https://...)``. Notebooks show the same text through their own Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

_LINK = re.compile(r"\[([^\]]+)\]\(((?:https?://|#)[^)\s]+)\)")


def html(text: str) -> str:
    """Return Markdown text as HTML; everything that is not markup is escaped.

    >>> html("A *window* of `3 x 3` cells.")
    '<p>A <em>window</em> of <code>3 x 3</code> cells.</p>'
    """
    return "\n".join(_blocks(text))


def inline(text: str) -> str:
    """Return one line of Markdown as HTML, without a paragraph around it."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(f"<code>{escape(part)}</code>" if at % 2 else _marked(escape(part)) for at, part in enumerate(parts))


def _marked(text: str) -> str:
    text = _LINK.sub(r'<a href="\2">\1</a>', text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)


def _blocks(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if lines[0].startswith("## "):
            yield f"<h3>{inline(lines[0].removeprefix('## '))}</h3>"
            lines = lines[1:]
        if not lines:
            continue
        if lines[0].startswith("- "):
            items = "\n".join(lines).removeprefix("- ").split("\n- ")
            yield "<ul>" + "".join(f"<li>{inline(' '.join(item.split()))}</li>" for item in items) + "</ul>"
        elif lines[0].startswith("|"):
            yield _table(lines)
        else:
            yield f"<p>{inline(' '.join(lines))}</p>"


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    head, body = rows[0], rows[2:]  # the line between them only rules the columns

    def row(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{inline(cell)}</{tag}>" for cell in cells) + "</tr>"

    inner = "".join(row(cells, "td") for cells in body)
    return f'<div class="wide"><table><thead>{row(head, "th")}</thead><tbody>{inner}</tbody></table></div>'
