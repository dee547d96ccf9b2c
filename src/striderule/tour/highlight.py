"""Python code as HTML with its parts marked, by the standard library's own tokenizer."""

from __future__ import annotations

import io
import keyword
import tokenize
from html import escape

# token type -> the class that the page's style gives a colour
_CLASSES = {tokenize.COMMENT: "c", tokenize.STRING: "s", tokenize.NUMBER: "n"}
# From Python 3.12 the pieces of an f-string are tokens of their own.
_PIECES = {getattr(tokenize, name, None) for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")} - {None}


def html(source: str) -> str:
    """Return Python source as HTML, escaped, with keywords, strings, numbers and comments in spans.

    >>> html("x = 1  # one")
    'x = <span class="n">1</span>  <span class="c"># one</span>'
    """
    lines = source.splitlines(keepends=True)
    pieces: list[str] = []
    row, column = 1, 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        start, end = token.start, token.end
        if start == end or token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            continue
        pieces.append(escape(_between(lines, (row, column), start)))
        pieces.append(_span(_class(token), escape(_between(lines, start, end))))
        row, column = end
    pieces.append(escape(_between(lines, (row, column), (len(lines) + 1, 0))))
    return "".join(pieces)


def _class(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME and keyword.iskeyword(token.string):
        return "k"
    return "s" if token.type in _PIECES else _CLASSES.get(token.type, "")


def _span(name: str, text: str) -> str:
    return f'<span class="{name}">{text}</span>' if name else text


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return the text from one (row, column) up to another; rows count from 1."""
    if start[0] > len(lines):
        return ""
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    last = lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else ""
    return lines[start[0] - 1][start[1] :] + "".join(middle) + last
