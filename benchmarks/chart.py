"""The ratios of all rows as one picture: bars to the right of 1 are ahead of the fastest peer, to the left behind."""

from __future__ import annotations

import textwrap
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.tables import Row, Summary, number

AHEAD, BEHIND, INK = "#2a78b8", "#c4552d", "#333333"
# Inches of a bar with its label, and of what stands above and below them.
BAR, FRAME = 0.2, 1.3


def draw(rows: list[Row], heading: str, path: Path) -> None:
    """Write the chart; rows without a peer are left out. The ending of the file's name says the format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - it takes long to load
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = [row for row in rows if row.ratio is not None]
    if not shown:
        raise SystemExit("there is nothing to draw: no peer took part")
    places, labels, lists = _places(shown)
    figure = Figure(figsize=(9, FRAME + BAR * (places[-1] + 1)), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    ratios = [row.ratio or 1.0 for row in shown]
    _bars(axes, places, ratios)
    for found, first, last in lists:
        words = f"{found.list_name}: geometric mean {number(found.mean)}"
        place = axes.get_yaxis_transform()
        axes.text(0, first - 1, words, transform=place, va="center", fontsize=8, fontweight="bold", color=INK)
        axes.plot([found.mean or 1.0] * 2, [first - 0.5, last + 0.5], color=INK, linewidth=1, linestyle=(0, (2, 2)))
    axes.set_yticks(places, labels, fontsize=7)
    axes.set_ylim(places[-1] + 0.8, -0.8)
    _scale(axes, min(*ratios, 1), max(*ratios, 1))
    axes.set_title("\n".join(textwrap.wrap(heading, 110)), fontsize=8, loc="left", pad=10)
    figure.savefig(path, bbox_inches="tight")


def _bars(axes: Any, places: list[float], ratios: list[float]) -> None:
    colours = [AHEAD if ratio >= 1 else BEHIND for ratio in ratios]
    axes.barh(places, [ratio - 1 for ratio in ratios], left=1, height=0.72, color=colours)
    for place, ratio in zip(places, ratios, strict=True):
        away, side = (3, "left") if ratio >= 1 else (-3, "right")
        axes.annotate(
            number(ratio),
            (ratio, place),
            xytext=(away, 0),
            textcoords="offset points",
            va="center",
            ha=side,
            fontsize=6.5,
            color=INK,
            bbox={"pad": 0.6, "facecolor": "white", "edgecolor": "none"},
        )
    axes.axvline(1, color=INK, linewidth=0.8)


def _scale(axes: Any, least: float, most: float) -> None:
    """Let equal factors be equally long: twice as fast reaches as far to the right as half as fast to the left."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    room = 1.15 * (most / least) ** 0.08  # for the numbers at the ends of the bars
    axes.set_xscale("log")
    axes.set_xlim(least / room, most * room)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("times as fast as the fastest peer (dashed: geometric mean of a list)", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x", linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _places(rows: list[Row]) -> tuple[list[float], list[str], list[tuple[Summary, float, float]]]:
    """Return where each bar stands and its label, and each list's summary with its first and last place."""
    places, labels, lists = [], [], []
    at = 0.0
    for _, some in groupby(rows, key=lambda row: row.shape.list_name):
        members = list(some)
        at += 1  # the name of the list
        first = at
        for row in members:
            places.append(at)
            count = f" ({row.shape.count} times)" if row.shape.count > 1 else ""
            labels.append(f"{row.shape.name}{count}")
            at += 1
        lists.append((Summary.of(members), first, at - 1))
        at += 0.4
    return places, labels, lists
