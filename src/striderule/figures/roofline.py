"""The roofline of a plan: what bounds a computation, and how near each algorithm is predicted to come."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from striderule.errors import InvalidArgument, InvalidType
from striderule.figures.canvas import (
    BLUE,
    FAINT,
    FONT,
    HERE,
    INK,
    PAPER,
    Sheet,
    SheetAxes,
    check_axes,
    heading,
    ink,
)
from striderule.planning import Candidate, Plan

# Where names begin, as parts of the axes: the column's left edge and top, and the distance between two.
COLUMN, TOP, GAP = 0.66, 0.84, 0.075


def roofline(plan: Plan, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw the limit of the machine and where the candidates of a plan lie below it, with the bounds of their errors.

    Candidates that may not be chosen, for one because they may err more than the precision promises, are hollow. Those
    that need fewer or shorter products than the definition has may lie above the limit, which is that of its products.

    The limit is min(peak, bandwidth * intensity), with the intensity in operations for each byte moved (Williams,
    Waterman and Patterson, "Roofline", Communications of the ACM, 2009).

    Parameters
    ----------
    plan
        The plan of one pass, from `striderule.explain`; of several, one of ``plan.passes``.
    ax
        The Axes to draw into; by default one in a new Figure.
    title
        Written above; by default none.

    Returns
    -------
    Axes
        Both axes are logarithmic: operations a byte, and GFLOP/s.

    Raises
    ------
    InvalidArgument, InvalidType
        For anything but a plan of one pass that does arithmetic.

    Examples
    --------
    >>> import striderule as sr
    >>> plan = sr.explain(sr.conv2d, sr.Array((1, 64, 56, 56)), sr.Array((64, 64, 3, 3)))
    >>> sorted(text.get_text() for text in roofline(plan).texts)[-1]
    'winograd:F4, 8e-06'
    """
    check_axes(ax)
    if not isinstance(plan, Plan):
        raise InvalidType(f"plan must be the plan of one pass, got {type(plan).__name__}; pass one of its passes")
    if not plan.work.operations:
        raise InvalidArgument("plan must do arithmetic, this one has an empty result")
    machine, flops = plan.machine, plan.work.flops
    peak, bandwidth = machine.peak(plan.work.dtype) / 1e9, machine.bandwidth / 1e9
    points = {
        found: (flops / found.cost.bytes_moved, flops / found.cost.seconds / 1e9)
        for found in plan.candidates
        if found.cost is not None
    }
    if ax is None:
        sheet = Sheet(figsize=(4.6, 3.2), facecolor=PAPER)
        ax = sheet.add_axes((0.15, 0.16, 0.8, 0.72), axes_class=SheetAxes, facecolor=PAPER)
    ridge, left, right = peak / bandwidth, *_span([x for x, _ in points.values()], peak / bandwidth)
    x = np.array([left, ridge, right])
    ax.plot(x, np.minimum(peak, bandwidth * x), color=BLUE if ink(ax) == INK else "#6fb3e8", linewidth=2.0)
    for found, (intensity, rate) in points.items():
        chosen = found == plan.chosen
        color, inside = (HERE if chosen else FAINT), "none" if found.reason else None
        ax.plot([intensity], [rate], "o", color=color, markersize=8 if chosen else 6, markerfacecolor=inside)
    _dress(ax, left, right)
    _name(ax, plan, points)
    if title:
        heading(ax, title)
    return ax


def _name(ax: Axes, plan: Plan, points: dict[Candidate, tuple[float, float]]) -> None:
    """Write the names in a column, from the quickest down, each with a line to its point: points may lie close."""
    low, high = np.log10(ax.get_ylim())
    height = TOP
    for found, (intensity, rate) in sorted(points.items(), key=lambda item: -item[1][1]):
        height = min(height, (np.log10(rate) - low) / (high - low))
        chosen = found == plan.chosen
        color = ink(ax, muted=not chosen)
        line: dict[str, Any] = {"arrowstyle": "-", "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 4}
        line |= {"color": HERE if chosen else FAINT, "linewidth": 0.6}
        style: dict[str, Any] = {"fontsize": 8, "fontfamily": FONT, "color": color, "va": "center", "ha": "left"}
        where: dict[str, Any] = {"xytext": (COLUMN, max(height, 0.03)), "textcoords": "axes fraction"}
        ax.annotate(_named(found), (intensity, rate), **where, **style, arrowprops=line)
        height -= GAP


def _named(found: Candidate) -> str:
    """Return the label of a candidate, and the bound of its error where it has one."""
    error = 0.0 if found.cost is None else found.cost.error
    return f"{found.label}, {error:.0e}" if error else found.label


def _span(intensities: list[float], ridge: float) -> tuple[float, float]:
    # Names stand on the right.
    return min(*intensities, ridge) / 4, max(*intensities, ridge) * 40


def _dress(ax: Axes, left: float, right: float) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(left, right)
    words: dict[str, Any] = {"fontsize": 9, "fontfamily": FONT, "color": ink(ax)}
    ax.set_xlabel("operations per byte", **words)
    ax.set_ylabel("GFLOP/s, predicted", **words)
    ax.tick_params(labelsize=8, color=FAINT, labelcolor=ink(ax), labelfontfamily=FONT)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
