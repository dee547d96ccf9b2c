"""``python -m benchmarks``: the table of striderule and its peers on this machine."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.shapes import FOLDER, Shape, read
from benchmarks.turns import Limits, Timing, take_turns
from benchmarks.ways import OURS, PEERS, installed, ways
from striderule.config import config

# A peer that is further than this from the exact result computes something else.
SAME = 1e-3
# Of the table, where the output goes to a file.
WIDTH = 140


@dataclass(frozen=True)
class Row:
    """What was measured of one shape. `ratio` is the fastest peer's best time over ours; above 1 we are ahead."""

    shape: Shape
    timings: dict[str, Timing]
    error: float
    share: float

    @property
    def peer(self) -> str | None:
        """The fastest peer."""
        return min((name for name in self.timings if name != OURS), key=lambda n: self.timings[n].best, default=None)

    @property
    def ratio(self) -> float | None:
        """How many times faster than the fastest peer."""
        return self.timings[self.peer].best / self.timings[OURS].best if self.peer else None


def measure(shape: Shape, peers: dict[str, Any], limits: Limits, rounds: int) -> Row:
    """Check that every way computes the same, then time them by turns."""
    found, exact = ways(shape, peers)
    norm = float(np.linalg.norm(exact))
    errors = {name: float(np.linalg.norm(call() - exact)) / norm for name, call in found.items()}
    wrong = {name: error for name, error in errors.items() if not error <= SAME}
    if wrong:
        raise SystemExit(f"{shape.full_name}: not the same result: {wrong}")
    timings = take_turns(found, rounds)
    share = limits.seconds(shape.multiply_adds, shape.elements) / timings[OURS].best
    return Row(shape, timings, errors[OURS], share)


def table(rows: list[Row]) -> Table:
    """Return the rows as a table that is Markdown too, to be pasted into docs/performance.md."""
    drawn = Table(box=box.MARKDOWN)
    for heading in ("shape", "ours, ms", "peer, ms", "fastest peer", "ratio", "of limit", "error"):
        drawn.add_column(heading, justify="left" if heading in ("shape", "fastest peer") else "right", no_wrap=True)
    for row in rows:
        peer = row.timings[row.peer] if row.peer else None
        drawn.add_row(
            row.shape.full_name, f"{1e3 * row.timings[OURS].best:.3f}",
            f"{1e3 * peer.best:.3f}" if peer else "-", row.peer or "-", f"{row.ratio:.2f}" if row.ratio else "-",
            f"{100 * row.share:.0f} %", f"{row.error:.1e}",
        )  # fmt: skip
    return drawn


def summary(rows: list[Row]) -> str:
    """Return the line below the table: the geometric mean, the worst row and the count of rows below 1."""
    ratios = [(row.ratio, row.shape.full_name) for row in rows if row.ratio is not None]
    if not ratios:
        return "no peer to compare with"
    mean = math.exp(sum(math.log(ratio) for ratio, _ in ratios) / len(ratios))
    worst, name = min(ratios)
    below = sum(ratio < 1 for ratio, _ in ratios)
    return f"ratio: geometric mean {mean:.2f}; worst {worst:.2f} ({name}); {below} of {len(ratios)} rows below 1"


def _version(module: str) -> str:
    return str(importlib.import_module(module.partition(".")[0]).__version__)


def where(data: dict[str, Any]) -> str:
    """Return one line that says when, on what, and against which versions."""
    machine = data["machine"]
    versions = {"NumPy": machine["numpy"], **data["peers"]}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{data['date']}, {machine['processor']['name']}, {machine['threads']['usable']} cores; {listed}"


def as_data(rows: list[Row], limits: Limits, peers: dict[str, Any]) -> dict[str, Any]:
    """Return everything measured, and where, as plain data."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": config(),
        "peers": {name: _version(module) for module, name in PEERS.items() if peers.get(module) is not None},
        "limits": asdict(limits),
        "rows": [asdict(row) | {"peer": row.peer, "ratio": row.ratio} for row in rows],
    }


def main() -> None:
    """Measure and print."""
    lists = sorted(path.stem for path in FOLDER.glob("*.txt"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="striderule and its peers, by turns.")
    parser.add_argument("lists", nargs="*", metavar="LIST", help=f"which shapes (default: all): {', '.join(lists)}")
    parser.add_argument("--smoke", action="store_true", help="the smallest shape of each list, briefly, without peers")
    parser.add_argument("--rounds", type=int, default=10, help="bursts for each way and shape (default: 10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    words = parser.parse_args()
    for name in words.lists:
        if name not in lists:
            parser.error(f"no list {name!r}; there are {', '.join(lists)}")

    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    chosen = [read(FOLDER / f"{name}.txt") for name in words.lists or lists]
    if words.smoke:
        chosen = [[min(shapes, key=lambda shape: shape.multiply_adds)] for shapes in chosen]
    peers = {} if words.smoke else installed()
    for module, name in PEERS.items():
        if peers.get(module) is None:
            console.print(f"without {name}: {'left out by --smoke' if words.smoke else f'{module} is not installed'}")
    limits = Limits.measure()
    shapes = [shape for some in chosen for shape in some]
    rounds = 1 if words.smoke else words.rounds
    rows = [measure(shape, peers, limits, rounds) for shape in track(shapes, console=console, transient=True)]
    data = as_data(rows, limits, peers)
    console.print(table(rows))
    console.print(f"{summary(rows)}\n{where(data)}")
    if words.json:
        words.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {words.json}")


if __name__ == "__main__":
    main()
