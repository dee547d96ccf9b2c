"""From a picture of a digit to the 8x8 pixels that the network has learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule.errors import InvalidArgument
from striderule.learning.digits import GRID

Array = NDArray[Any]

INKS = ("auto", "dark", "light")
# Between these parts of the strongest contrast, pixels pass from paper to ink.
FAINT, STRONG = 0.25, 0.6


def reduced(brightness: Array, ink: str = "auto") -> Array:
    """Return the digit of a picture as 8x8 pixels of float32, paper 0 and ink 1.

    The paper is the median of the outermost pixels, and the ink is what differs most from it: darker or lighter, unless
    `ink` says which. What has less than a quarter of that contrast is paper, too. The digit is cut out, keeps its
    shape, and fills the square along its longer side, as the digits of the data do; each of the 8x8 pixels is the mean
    of what lies under it. Pictures of 8x8 are not cut out.

    Parameters
    ----------
    brightness
        (rows, columns), any range.
    ink
        ``"dark"`` on light paper, ``"light"`` on dark paper, or ``"auto"`` (default).

    Raises
    ------
    InvalidArgument
        If there is no ink.

    Examples
    --------
    >>> page = np.full((90, 60), 255.0)
    >>> page[20:70, 28:36] = 30  # a one
    >>> reduced(page).round().astype(int)[:2]
    array([[0, 0, 0, 1, 1, 0, 0, 0],
           [0, 0, 0, 1, 1, 0, 0, 0]])
    """
    if brightness.ndim != 2 or 0 in brightness.shape:
        raise InvalidArgument(f"a picture must have rows and columns, got the shape {brightness.shape}")
    level = brightness.astype(np.float64)
    if not np.isfinite(level).all():
        raise InvalidArgument("the picture has pixels that are no numbers (NaN or infinity)")
    paper = float(np.median(_edge(level)))
    darker, lighter = paper - level.min(), level.max() - paper
    sign = {"dark": -1, "light": 1}.get(ink, 1 if lighter > darker else -1)
    contrast = lighter if sign > 0 else darker
    if contrast <= 0:
        found = "all its pixels are alike" if darker == lighter == 0 else f"nothing in it is as --ink {ink} says"
        raise InvalidArgument(f"the picture shows no digit: {found}")
    inked = np.clip(sign * (level - paper) / contrast, 0, 1)
    if inked.shape == (GRID, GRID):
        return np.asarray(inked, np.float32)
    inked = np.clip((inked - FAINT) / (STRONG - FAINT), 0, 1)
    small = _fitted(inked[_spanned(inked.any(axis=1)), _spanned(inked.any(axis=0))])
    return np.asarray(small / small.max(), np.float32)


def _edge(level: Array) -> Array:
    """Return the outermost pixels."""
    return np.asarray(np.concatenate([level[0], level[-1], level[1:-1, 0], level[1:-1, -1]]))


def _spanned(used: Array) -> slice:
    """Return the slice from the first to the last that is true."""
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1)


def _fitted(cut: Array) -> Array:
    """Return a digit in the middle of a square of 8x8 that its longer side fills: means over areas."""
    side = max(cut.shape)
    rows, columns = (_areas(n, side) for n in cut.shape)
    return np.asarray(rows @ cut @ columns.T)


def _areas(count: int, side: int) -> Array:
    """Return the part of each of 8 equal pieces of `side` that each of `count` pixels in the middle of it covers.

    >>> _areas(4, 16).sum(axis=1).tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    piece = side / GRID
    left = np.arange(GRID)[:, None] * piece
    pixel = np.arange(count)[None, :] + (side - count) / 2
    covered = np.minimum(left + piece, pixel + 1) - np.maximum(left, pixel)
    return np.asarray(np.clip(covered, 0, None) / piece)
