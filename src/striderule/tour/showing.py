"""Show drawings wherever the code of a chapter runs: on the page, in a notebook, or at a plain prompt."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from striderule.errors import InvalidType
from striderule.tour.files import write

# Twice what screens had for decades: sharp on today's, and photographs keep their pixels.
DPI = 144


@dataclass(frozen=True, slots=True)
class Shot:
    """A drawing as a PNG file, its width on paper in inches, and its frames as a GIF file if it moves."""

    name: str
    png: bytes
    inches: float
    gif: bytes | None = None


_album: ContextVar[list[Shot] | None] = ContextVar("album", default=None)


@contextlib.contextmanager
def collecting() -> Iterator[list[Shot]]:
    """Collect what `show` is given, instead of showing it."""
    album: list[Shot] = []
    token = _album.set(album)
    try:
        yield album
    finally:
        _album.reset(token)


def show(**drawings: Any) -> None:
    """Show drawings: in a notebook below the cell, elsewhere as a file for each in the current folder.

    Parameters
    ----------
    **drawings
        ``name=axes``: what the functions of `striderule.figures` give back; the file is called ``name.png``. Or
        ``name=function`` of a path, which writes an animation there as `striderule.figures.animate` does.

    Raises
    ------
    InvalidType
        If something is neither a matplotlib Axes nor a function.

    Examples
    --------
    >>> import striderule as sr
    >>> sr.tour.show(kernel=sr.figures.kernel([[-1, 0, 1]]))  # doctest: +SKIP
    wrote kernel.png
    """
    shots = [_shot(name.replace("_", "-"), drawing) for name, drawing in drawings.items()]
    album = _album.get()
    if album is not None:
        album.extend(shots)
    elif _in_notebook():
        display: Any = import_module("IPython.display")
        for shot in shots:
            display.display(display.Image(shot.gif or shot.png, width=round(96 * shot.inches)))
    else:
        for shot in shots:
            data, ending = (shot.png, "png") if shot.gif is None else (shot.gif, "gif")
            print(f"wrote {write(Path(f'{shot.name}.{ending}'), data)}")


def _shot(name: str, drawing: Any) -> Shot:
    figure = getattr(drawing, "figure", None)
    if figure is not None:
        data = io.BytesIO()
        # Without the version of matplotlib in it, the same drawing is the same file.
        figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
        return Shot(name, data.getvalue(), float(figure.get_figwidth()))
    if not callable(drawing):
        raise InvalidType(
            f"{name} must be a matplotlib Axes or a function that writes an animation, got {type(drawing).__name__}"
        )
    with tempfile.TemporaryDirectory() as folder:
        moving, still = drawing(Path(folder) / f"{name}.gif")
        png = still.read_bytes()
        width = int.from_bytes(png[16:20])  # the first field of a PNG file's header
        return Shot(name, png, width / DPI, moving.read_bytes())


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code; a terminal, even IPython's, cannot show pictures."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return running is not None and hasattr(running, "kernel")
