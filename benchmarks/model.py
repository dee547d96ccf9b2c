"""``python -m benchmarks model``: how well the cost model knows the machine.

Problems are drawn, not taken from the lists. For each, every algorithm that may serve it is timed; the report says how
often the one that the model chose was the fastest, what was lost where it was not, and how the predicted times compare
with the measured ones. The choice is made for one core of a usual machine (so that results stay the same everywhere);
the times are those of this one, with the threads that it has.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import striderule as sr
from benchmarks import draws, neighbours
from benchmarks.turns import take_turns
from benchmarks.ways.contest import drawn
from striderule.planning import PRECISIONS, Plan

# Whoever is within this part of the fastest is as fast: clocks tell no more.
CLOSE = 1.05
# Candidates that are predicted to take more seconds are not timed; they are never near the fastest.
LONGEST = 1.0
BURST = 5e-3


@dataclass(frozen=True, slots=True)
class Outcome:
    """One problem: what was chosen, and the predicted and measured seconds of every algorithm that may serve it."""

    family: str
    problem: str
    chosen: str
    predicted: dict[str, float]
    measured: dict[str, float]

    @property
    def fastest(self) -> str:
        """The algorithm with the shortest measured time."""
        return min(self.measured, key=lambda name: self.measured[name])

    @property
    def loss(self) -> float:
        """The time of the chosen one over that of the fastest."""
        return self.measured[self.chosen] / self.measured[self.fastest]

    @property
    def right(self) -> bool:
        """Whether the chosen one was the fastest, as far as clocks tell."""
        return self.loss <= CLOSE

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(self) | {"fastest": self.fastest, "loss": self.loss}


def observe(case: draws.Case, rounds: int, precision: str = PRECISIONS[0]) -> Outcome | None:
    """Plan one problem and time its candidates; None where there is nothing to choose between."""
    with sr.precision(precision):
        return _observed(case, rounds)


def _observed(case: draws.Case, rounds: int) -> Outcome | None:
    op = getattr(sr, case.operation)
    plan = sr.explain(op, *(sr.Array(shape, case.dtype) for shape in case.shapes), **case.words)
    if not isinstance(plan, Plan):
        return None
    able = {one.label: one.cost.seconds for one in plan.candidates if one.reason is None and one.cost is not None}
    chosen = plan.chosen.label
    if len(able) < 2 or chosen not in able:
        return None
    arrays = [drawn(shape, case.dtype, number) for number, shape in enumerate(case.shapes)]
    ways = {
        name: partial(op, *arrays, algorithm=name, **case.words)
        for name, seconds in able.items()
        if seconds <= LONGEST or name == chosen
    }
    timings = take_turns(ways, rounds, BURST)
    measured = {name: timing.best for name, timing in timings.items()}
    return Outcome(case.family, str(plan).splitlines()[0].partition(" ")[2].strip(), chosen, able, measured)


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean; 1 of nothing."""
    logarithms = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logarithms)) if logarithms else 1.0


def within(values: Sequence[float]) -> float:
    """Return the factor that nine in ten of some ratios stay within, of 1 in either direction.

    >>> within([1.0, 0.5, 2.0])
    2.0
    """
    apart = sorted(max(value, 1 / value) for value in values)
    return apart[min(len(apart) - 1, math.ceil(0.9 * len(apart)) - 1)]


def by_family(outcomes: list[Outcome]) -> Table:
    """Return how good the choice was, for each family and for all."""
    table = _markdown(
        "drawn from", "problems", "fastest chosen", "lost, geometric mean", "lost, worst", "worst problem"
    )
    for name, some in [*_groups(outcomes), ("all", outcomes)]:
        worst = max(some, key=lambda outcome: outcome.loss)
        table.add_row(
            name,
            str(len(some)),
            f"{100 * sum(outcome.right for outcome in some) / len(some):.0f} %",
            _lost(geometric_mean(outcome.loss for outcome in some)),
            _lost(worst.loss),
            "-" if worst.right else f"{worst.chosen} for {worst.problem}, {worst.fastest} is faster",
        )
    return table


def by_algorithm(outcomes: list[Outcome]) -> Table:
    """Return how the predicted times of each algorithm compare with the measured ones."""
    table = _markdown("algorithm", "may serve", "chosen", "fastest", "measured / predicted", "nine in ten within")
    chosen, fastest = (Counter(getattr(outcome, word) for outcome in outcomes) for word in ("chosen", "fastest"))
    for name in dict.fromkeys(name for outcome in outcomes for name in outcome.measured):
        ratios = [one.measured[name] / one.predicted[name] for one in outcomes if name in one.measured]
        mean = geometric_mean(ratios)
        spread = within([ratio / mean for ratio in ratios])
        counts = (str(len(ratios)), str(chosen[name]), str(fastest[name]))
        table.add_row(name, *counts, f"{mean:.2f}", f"{spread:.1f} times of that")
    return table


def main(arguments: list[str]) -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks model", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=12, metavar="N", help="problems of each family (default: 12)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="what the drawing begins with (default: 0)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="bursts for each algorithm (default: 5)")
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0], help="what is promised")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    words = parser.parse_args(arguments)
    if min(words.count, words.rounds) < 1:
        parser.error("--count and --rounds must be at least 1")

    console = Console(highlight=False)
    console.width = max(console.width, 160)
    watch = neighbours.Watch()
    cases = draws.cases(words.seed, words.count)
    found = [observe(case, words.rounds, words.precision) for case in track(cases, console=console, transient=True)]
    outcomes = [outcome for outcome in found if outcome is not None]
    how = f"seed {words.seed}, precision {words.precision}"
    console.print(f"{len(outcomes)} of {len(cases)} problems leave a choice ({how})")
    if outcomes:
        console.print(by_family(outcomes))
        console.print(by_algorithm(outcomes))
    console.print(neighbours.told(watch.others()))
    if words.json:
        data: dict[str, Any] = {"seed": words.seed, "precision": words.precision, "drawn": len(cases)}
        data["outcomes"] = [outcome.to_dict() for outcome in outcomes]
        words.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {words.json}")


def _groups(outcomes: list[Outcome]) -> list[tuple[str, list[Outcome]]]:
    return [(name, list(some)) for name, some in groupby(outcomes, key=lambda outcome: outcome.family)]


def _lost(ratio: float) -> str:
    return f"{100 * (ratio - 1):.0f} %"


def _markdown(*headings: str) -> Table:
    table = Table(box=box.MARKDOWN)
    for number, heading in enumerate(headings):
        left = number == 0 or heading == "worst problem"
        table.add_column(heading, justify="left" if left else "right", overflow="fold" if left else "ellipsis")
    return table
