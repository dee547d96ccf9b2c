"""What was measured of a list of shapes, and the tables that tell it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from rich import box
from rich.table import Table

from benchmarks.limits import Limits
from benchmarks.shapes import Shape
from benchmarks.turns import Timing, take_turns
from benchmarks.ways import OURS, Contest, Setting, contest

# Errors below are those of one rounding of the result: twice of less says nothing.
ROUNDING = {"float32": 2.0**-24, "float64": 2.0**-53}


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one shape. `ratio` is the fastest peer's best time over ours; above 1 we are ahead."""

    shape: Shape
    timings: dict[str, Timing]
    errors: dict[str, float]

    @property
    def peer(self) -> str | None:
        """The fastest peer."""
        return min((name for name in self.timings if name != OURS), key=lambda n: self.timings[n].best, default=None)

    @property
    def ratio(self) -> float | None:
        """How many times faster than the fastest peer."""
        return self.timings[self.peer].best / self.timings[OURS].best if self.peer else None

    @property
    def exceeds(self) -> bool:
        """Whether our error is more than twice the fastest peer's, and more than that of two roundings."""
        least = ROUNDING.get(self.shape.dtypes[2], 0.0)
        return self.peer is not None and self.errors[OURS] > 2 * max(self.errors[self.peer], least)

    def share(self, limits: Limits) -> float:
        """Return the least time of the work as a part of our time."""
        return limits.seconds(self.shape) / self.timings[OURS].best

    def to_dict(self, limits: Limits) -> dict[str, Any]:
        """Return everything as plain data."""
        told = {"peer": self.peer, "ratio": self.ratio, "share": self.share(limits), "error_exceeds": self.exceeds}
        return asdict(self) | told


def measure(shape: Shape, setting: Setting, rounds: int) -> Row:
    """Check that every way computes the same, then time them by turns."""
    return contested(shape, setting, rounds, lambda: contest(shape, setting))


def contested(shape: Shape, setting: Setting, rounds: int, make: Callable[[], Contest]) -> Row:
    """Do the same for a contest of the shape that `make` makes."""
    with ExitStack() as stack:
        if setting.torch is not None:  # the fastest way to call PyTorch: nothing is kept for gradients
            stack.enter_context(setting.torch.inference_mode())
        competing = make()
        try:
            errors = competing.errors()
        except ValueError as error:
            raise SystemExit(f"{shape.full_name}: not the same result: {error}") from error
        timings = take_turns({name: way.call for name, way in competing.ways.items()}, rounds)
    return Row(shape, timings, errors)


@dataclass(frozen=True, slots=True)
class Summary:
    """One list as a whole. `ours` and `peers` are the seconds of all its layers, each as often as the network has it.

    The peer's seconds are those of its fastest way for each layer.
    """

    list_name: str
    batch: int
    rows: int
    mean: float | None
    worst: float | None
    worst_name: str
    below: int
    exceeding: int
    ours: float
    peers: float | None

    @classmethod
    def of(cls, rows: list[Row]) -> Summary:
        """Return the summary of the rows of one list."""
        ratios = [(row.ratio, row.shape.name) for row in rows if row.ratio is not None]
        worst, name = min(ratios, default=(None, ""))
        seconds = [(row.shape.count, row.timings[OURS].best, row.timings[row.peer].best) for row in rows if row.peer]
        return cls(
            rows[0].shape.list_name,
            rows[0].shape.batch,
            len(rows),
            math.exp(sum(math.log(ratio) for ratio, _ in ratios) / len(ratios)) if ratios else None,
            worst,
            name,
            sum(ratio < 1 for ratio, _ in ratios),
            sum(row.exceeds for row in rows),
            sum(row.shape.count * row.timings[OURS].best for row in rows),
            sum(count * theirs for count, _, theirs in seconds) if len(seconds) == len(rows) else None,
        )


def summaries(rows: Iterable[Row]) -> list[Summary]:
    """Return the summaries of all lists, in their order."""
    return [Summary.of(list(some)) for _, some in groupby(rows, key=lambda row: row.shape.list_name)]


def table(rows: list[Row], limits: Limits, heading: str) -> Table:
    """Return rows as a table that is Markdown too, to be pasted into docs/performance.md."""
    drawn = markdown(heading, "count", "ours, ms", "peer, ms", "fastest peer", "ratio", "of limit", "error", "peer's")
    for row in rows:
        peer = row.timings[row.peer] if row.peer else None
        drawn.add_row(
            row.shape.name, str(row.shape.count), f"{1e3 * row.timings[OURS].best:.3f}",
            f"{1e3 * peer.best:.3f}" if peer else "-", row.peer or "-", number(row.ratio),
            f"{100 * row.share(limits):.0f} %", f"{row.errors[OURS]:.1e}{' !' if row.exceeds else ''}",
            f"{row.errors[row.peer]:.1e}" if row.peer else "-",
        )  # fmt: skip
    return drawn


def overall(found: list[Summary]) -> Table:
    """Return one row for each list."""
    drawn = markdown(
        "list",
        "rows",
        "ratio, geometric mean",
        "worst",
        "worst row",
        "below 1",
        "all layers, ms",
        "peer, ms",
        "ratio of all",
    )
    for one in found:
        together = one.peers / one.ours if one.peers else None
        drawn.add_row(
            one.list_name,
            str(one.rows),
            number(one.mean),
            number(one.worst),
            one.worst_name or "-",
            str(one.below) if one.mean else "-",
            f"{1e3 * one.ours:.1f}",
            f"{1e3 * one.peers:.1f}" if one.peers else "-",
            number(together),
        )
    return drawn


def sentence(found: Summary) -> str:
    """Return the line below a table: the geometric mean, the worst row and the count of rows below 1."""
    if found.mean is None or found.worst is None:
        return "no peer to compare with"
    text = f"ratio: geometric mean {found.mean:.2f}; worst {number(found.worst)} ({found.worst_name}); "
    text += f"{found.below} of {found.rows} rows below 1"
    return text + (f"; {found.exceeding} with more than twice the peer's error" if found.exceeding else "")


def number(value: float | None) -> str:
    """Return a ratio with two decimals, or more where they would tell nothing.

    >>> number(1.234), number(0.0123), number(None)
    ('1.23', '0.012', '-')
    """
    if value is None:
        return "-"
    return f"{value:.2f}" if value >= 0.095 else f"{value:.2g}"


def markdown(*headings: str) -> Table:
    """Return an empty table that is Markdown, too."""
    drawn = Table(box=box.MARKDOWN)
    left = (headings[0], "fastest peer", "worst row")
    for heading in headings:
        drawn.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    return drawn
