"""The tables of filters: ours and every peer that can do the job, by turns in one process."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import striderule as sr
from benchmarks import neighbours
from benchmarks.pictures import more, ndimage, opencv, ours, tensors
from benchmarks.pictures.jobs import FOLDER, SIZES, Array, Job, read
from benchmarks.tables import markdown, number
from benchmarks.turns import Timing, take_turns
from benchmarks.ways import OURS, installed, share_threads
from striderule.codegen import workers

Call = Callable[[], Array]
# Lists of what is compared with SciPy alone.
SCIPY = ("wide",)
# A peer that takes so many times as long as the fastest in a first call takes no further part.
HOPELESS = 4.0
# What is still the same result: of floats, of the norm; of integers, in mean (some peers truncate where we round).
SAME, LEVELS = 2e-3, 1.6


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one job."""

    job: Job
    timings: dict[str, Timing]
    apart: float

    @property
    def peer(self) -> str | None:
        """The fastest peer."""
        return min((name for name in self.timings if name != OURS), key=lambda n: self.timings[n].best, default=None)

    @property
    def ratio(self) -> float | None:
        """How many times faster than the fastest peer."""
        return self.timings[self.peer].best / self.timings[OURS].best if self.peer else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        times = {name: {"best": timing.best, "median": timing.median} for name, timing in self.timings.items()}
        known = {"list": self.job.list_name, "name": self.job.name, "shape": self.job.shape, "peer": self.peer}
        return known | {"ratio": self.ratio, "apart": self.apart, "timings": times}


def competing(job: Job, peers: dict[str, Any]) -> dict[str, Call]:
    """Return every way to do the job, ours first."""
    image = job.image
    found = {OURS: ours.way(job, image)}
    if job.list_name in SCIPY:
        peers = {"scipy.ndimage": peers.get("scipy.ndimage")}
    if peers.get("cv2") is not None:
        found |= opencv.ways(peers["cv2"], job, image)
    if peers.get("scipy.ndimage") is not None:
        found |= ndimage.ways(peers["scipy.ndimage"], job, image)
    if peers.get("skimage") is not None:
        found |= ndimage.scikit(job, image)
    if peers.get("torch") is not None:
        found |= tensors.ways(peers["torch"], job, image)
    return found


def measure(job: Job, peers: dict[str, Any], rounds: int) -> Row:
    """Time the ways by turns; a peer whose result is another than ours stops the run."""
    ways = competing(job, peers)
    mine = ways[OURS]().copy()
    first: dict[str, float] = {}
    apart = 0.0
    for name, call in ways.items():
        start = time.perf_counter()
        result = call()
        first[name] = time.perf_counter() - start
        if name != OURS:
            apart = max(apart, difference(job, name, mine, result))
    least = min((seconds for name, seconds in first.items() if name != OURS), default=0.0)
    taking = {n: call for n, call in ways.items() if n == OURS or first[n] <= HOPELESS * least}
    return Row(job, take_turns(taking, rounds), apart)


def difference(job: Job, name: str, mine: Array, theirs: Array) -> float:
    """Return how far a result is from ours: of the norm for floats, the mean of levels for integers.

    Raises
    ------
    SystemExit
        If it is another result.
    """
    mine, theirs = _inner(job, mine), _inner(job, theirs)
    if mine.dtype == bool:
        found, most = float(np.mean(mine != theirs)), SAME
    elif mine.dtype.kind in "iu":
        found, most = float(np.mean(np.abs(mine.astype(np.int32) - theirs.astype(np.int32)))), LEVELS
    else:
        wide = mine.astype(np.float64)
        found, most = float(np.linalg.norm(wide - theirs) / (np.linalg.norm(wide) or 1.0)), SAME
    if not found <= most:
        raise SystemExit(f"{job.name}: {name} computes something else, {found:.1e} from ours")
    return found


def _inner(job: Job, array: Array) -> Array:
    """Cut a border off where the peer's boundary cannot be told."""
    return array[64:-64, 64:-64] if job.work in ("canny", "corner_harris") else array


def table(rows: list[Row], heading: str) -> Any:
    """Return rows as a table that is Markdown too."""
    drawn = markdown(heading, "ours, ms", "peer, ms", "fastest peer", "ratio", "apart")
    for row in rows:
        peer = row.timings[row.peer] if row.peer else None
        drawn.add_row(
            row.job.name, f"{1e3 * row.timings[OURS].best:.2f}", f"{1e3 * peer.best:.2f}" if peer else "-",
            row.peer or "-", number(row.ratio), f"{row.apart:.1e}",
        )  # fmt: skip
    return drawn


def sentence(rows: Iterable[Row]) -> str:
    """Return the geometric mean, the worst row and the count of rows below 1."""
    ratios = [(row.ratio, row.job.name) for row in rows if row.ratio is not None]
    if not ratios:
        return "no peer to compare with"
    mean = math.exp(sum(math.log(ratio) for ratio, _ in ratios) / len(ratios))
    worst, name = min(ratios)
    below = sum(ratio < 1 for ratio, _ in ratios)
    return f"ratio: geometric mean {mean:.2f}; worst {number(worst)} ({name}); below 1: {below} of {len(ratios)}"


def peers_here() -> dict[str, Any]:
    """Return the peers that are installed."""
    found = installed()
    try:
        found["skimage"] = importlib.import_module("skimage")
    except ImportError:
        found["skimage"] = None
    return found


def main(arguments: list[str]) -> None:
    """Measure and print."""
    lists = sorted(path.stem for path in FOLDER.glob("*.txt"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks pictures", description="Filters and their peers.")
    parser.add_argument("lists", nargs="*", metavar="LIST", help=f"which (default: all): {', '.join(lists)}")
    parser.add_argument("--megapixels", type=int, choices=sorted(SIZES), default=3, help="(default: 3)")
    parser.add_argument("--only", metavar="TEXT", default="", help="only rows whose name holds this")
    parser.add_argument("--threads", type=int, metavar="N", help="for us and the peers (default: as striderule takes)")
    parser.add_argument("--rounds", type=int, default=5, help="bursts for each way and row (default: 5)")
    parser.add_argument(
        "--more", action="store_true", help="against copies, boxes by size, missing pixels, small images"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    words = parser.parse_args(arguments)
    for name in words.lists:
        if name not in lists:
            parser.error(f"no list {name!r}; there are {', '.join(lists)}")
    if words.rounds < 1 or (words.threads is not None and words.threads < 1):
        parser.error("--rounds and --threads must be at least 1")
    console = Console(highlight=False)
    console.width = max(console.width, 120)
    peers, watch = peers_here(), neighbours.Watch()
    share_threads(peers, words.threads or workers.get_num_threads())
    everything: list[Row] = []
    for name in words.lists or ([] if words.more else lists):
        jobs = [job for job in read(name, words.megapixels) if words.only in job.name and _there(job)]
        rows = [measure(job, peers, words.rounds) for job in jobs]
        everything += rows
        if rows:
            console.print(table(rows, f"{name}, {words.megapixels} megapixels"))
            console.print(sentence(rows) + "\n")
    if words.more:
        for drawn in more.tables(words.megapixels, words.rounds, peers.get("cv2")):
            console.print(drawn)
    told = neighbours.told(watch.others())
    if told:
        console.print(told)
    if words.json:
        words.json.write_text(json.dumps([row.to_dict() for row in everything], indent=1) + "\n", encoding="utf-8")


def _there(job: Job) -> bool:
    """Tell whether our filter exists."""
    return job.work in ("correlate", "sobel_length") or hasattr(sr.filters, job.work)
