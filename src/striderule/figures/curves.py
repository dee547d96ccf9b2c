"""How numbers change on the way: the loss of a training, its accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from striderule.errors import InvalidArgument
from striderule.figures.canvas import BLUE, FAINT, FONT, INK, ORANGE, PAPER, Sheet, SheetAxes, check_axes, heading, ink

# On light paper and on dark.
COLOURS = ((BLUE, "#6fb3e8"), (ORANGE, "#f0a35e"), ("#009e73", "#5fcfa6"), ("#7a4f9c", "#c3a2e0"))


def curves(
    series: ArrayLike | Mapping[str, ArrayLike],
    *,
    x: Sequence[float] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    xlabel: str = "epoch",
    log: bool = False,
) -> Axes:
    """Draw one curve or several, such as the loss of each epoch.

    Parameters
    ----------
    series
        Numbers, or name -> numbers: at most four, of any lengths. The name stands at the end of its curve.
    x
        Where the numbers stand; by default 1, 2, 3...
    ax
        The Axes to draw into; by default one in a new Figure.
    title
        Written above.
    xlabel
        Written below. Default: ``"epoch"``.
    log
        Whether the upright axis counts powers of ten; then all numbers must be above 0. Default: False.

    Returns
    -------
    Axes
        Its lines are the curves, in their order.

    Raises
    ------
    InvalidArgument
        For no curves or more than four, curves without numbers, and numbers that are not finite, or not above 0 where
        powers of ten are counted.

    Examples
    --------
    >>> ax = curves({"loss": [1.2, 0.4, 0.1]}, title="training", log=True)
    >>> ax.lines[0].get_xdata().tolist(), ax.get_yscale()
    ([1.0, 2.0, 3.0], 'log')
    """
    check_axes(ax)
    named = dict(series) if isinstance(series, Mapping) else {"": series}
    if not 1 <= len(named) <= len(COLOURS):
        raise InvalidArgument(f"series must be 1 to {len(COLOURS)} curves, got {len(named)}")
    drawn = {name: _numbers(values, name, log) for name, values in named.items()}
    if ax is None:
        figure = Sheet(figsize=(5.0, 2.9), facecolor=PAPER)
        ax = figure.add_axes((0.12, 0.17, 0.74, 0.7), axes_class=SheetAxes, facecolor=PAPER)
    dark = ink(ax) != INK
    for (name, values), colour in zip(drawn.items(), COLOURS, strict=False):
        where = np.arange(1.0, len(values) + 1) if x is None else np.asarray(x, np.float64)
        if len(where) != len(values):
            raise InvalidArgument(f"x must have as many numbers as {name or 'series'}, {len(values)}, got {len(where)}")
        alone = len(values) == 1
        ax.plot(where, values, color=colour[dark], linewidth=2.0, marker="o" if alone else None, markersize=4)
        style: Any = {"textcoords": "offset points", "va": "center", "fontsize": 9, "fontfamily": FONT}
        ax.annotate(name, (where[-1], values[-1]), (6, 0), color=colour[dark], annotation_clip=False, **style)
    if log:
        ax.set_yscale("log")
    ax.grid(axis="y", color=FAINT, alpha=0.35, linewidth=0.7)
    for side in ("top", "right", "left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(which="both", labelsize=8, color=FAINT, labelcolor=ink(ax), labelfontfamily=FONT)
    ax.set_xlabel(xlabel, fontsize=9, color=ink(ax, muted=True), fontfamily=FONT)
    if title:
        heading(ax, title)
    return ax


def _numbers(values: ArrayLike, name: str, log: bool) -> Any:
    found = np.asarray(values, np.float64).reshape(-1)
    if not found.size or not np.isfinite(found).all() or (log and found.min() <= 0):
        above = ", above 0" if log else ""
        raise InvalidArgument(f"series {name!r} must be at least one number, finite{above}; got {np.asarray(values)!r}")
    return found
