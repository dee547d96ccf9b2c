"""``python -m benchmarks big``: a mapped file larger than memory is filtered, beside a copy of it in bands.

The source holds noise, repeated; both ways write a new file each time, and the file cache of the system has room for
both or has not: that is the same for both. What is held is the largest RssAnon seen while a way ran.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import striderule as sr
from benchmarks import neighbours

Array = np.ndarray[Any, np.dtype[Any]]
# Rows of the noise, and bytes of a band that is copied.
NOISE, BAND = 256, 1 << 24
# What is aimed at: the share of a copy's speed, and bytes held.
SHARE, HELD = 0.6, 1 << 30


@dataclass(frozen=True)
class Result:
    """One way: the best seconds of the rounds, and the most anonymous memory held, in bytes."""

    name: str
    seconds: float
    held: int


def ways() -> dict[str, Callable[[Array, Array], Any]]:
    """Return name -> what reads the first array and writes the second."""
    kernel = np.ones((3, 3), np.float32) / 9
    return {
        "gaussian, sigma 2": lambda x, y: sr.filters.gaussian(x, 2, out=y),
        "gaussian, sigma 12": lambda x, y: sr.filters.gaussian(x, 12, out=y),
        "box 15 x 15": lambda x, y: sr.filters.box(x, 15, out=y),
        "correlate 3 x 3": lambda x, y: sr.correlate(x, kernel, dtype=x.dtype, out=y),
    }


def copied(source: Array, target: Array) -> None:
    """Copy one mapped file to the other, band by band."""
    rows = max(1, BAND // source[0].nbytes)
    for row in range(0, len(source), rows):
        target[row : row + rows] = source[row : row + rows]


def handed_on(source: Path, target: Path) -> None:
    """Copy one file to the other through a buffer, band by band."""
    buffer = memoryview(bytearray(BAND))
    with source.open("rb", buffering=0) as read, target.open("r+b", buffering=0) as write:
        while count := read.readinto(buffer):
            write.write(buffer[:count])


def held() -> int:
    """Return the bytes of anonymous memory that the process holds; 0 where the system does not say."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = [line.split() for line in text.splitlines() if line.startswith("RssAnon")]
    return int(lines[0][1]) * 1024 if lines else 0


def watched(call: Callable[[], Any]) -> tuple[float, int]:
    """Return the seconds of a call and the most memory that was held while it ran."""
    most, over = held(), threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(0.01):
            most = max(most, held())

    thread = threading.Thread(target=look)
    thread.start()
    start = time.perf_counter()
    try:
        call()
    finally:
        seconds = time.perf_counter() - start
        over.set()
        thread.join()
    return seconds, most


def measure(folder: Path, side: int, names: list[str], rounds: int) -> list[Result]:
    """Return the results of both copies and of the named ways, on an image of side x side bytes."""
    shape = (side, side)
    place, target = folder / "source.raw", folder / "target.raw"
    source = np.memmap(place, np.uint8, "w+", shape=shape)
    noise = np.random.default_rng(0).integers(0, 256, (NOISE, side), np.uint8)
    for row in range(0, side, NOISE):
        source[row : row + NOISE] = noise[: min(NOISE, side - row)]
    source.flush()

    def into(way: Callable[[Array, Array], Any]) -> Callable[[], None]:
        return lambda: way(np.memmap(place, np.uint8, "r", shape=shape), np.memmap(target, np.uint8, "r+", shape=shape))

    calls = {"copy, mapped": into(copied), "copy, read and written": lambda: handed_on(place, target)}
    calls |= {name: into(ways()[name]) for name in names}
    small = noise[:, : min(side, 512)].copy()
    for name in names:
        ways()[name](small, np.empty_like(small))  # what is compiled once is compiled
    best: dict[str, tuple[float, int]] = {}
    for _ in range(rounds):
        for name, call in calls.items():
            target.unlink(missing_ok=True)
            with target.open("wb") as file:
                file.truncate(side * side)
            seconds, most = watched(call)
            before = best.get(name, (float("inf"), 0))
            best[name] = min(before[0], seconds), max(before[1], most)
    return [Result(name, *found) for name, found in best.items()]


def main(words: list[str]) -> None:
    """Measure as the words say, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks big", description=__doc__)
    parser.add_argument("--gigapixels", type=float, default=4.0, help="size of the image, of one byte a pixel")
    parser.add_argument("--folder", type=Path, help="where the two files are made; by default for temporary files")
    parser.add_argument("--ways", nargs="*", choices=list(ways()), default=list(ways())[:1], help="what is measured")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(words)
    side = max(NOISE, int((asked.gigapixels * 2**30) ** 0.5))
    room = os.statvfs(asked.folder or tempfile.gettempdir())
    if room.f_bavail * room.f_frsize < 2.5 * side * side:
        parser.error(f"two files of {side * side / 2**30:.1f} GiB do not fit; take another --folder")
    watch = neighbours.Watch()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        results = measure(Path(folder), side, asked.ways, asked.rounds)
    console = Console(highlight=False)
    show(console, side, results)
    console.print(neighbours.told(watch.others()))
    if asked.json:
        data = {"side": side, "results": [asdict(one) for one in results]}
        asked.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def show(console: Console, side: int, results: list[Result]) -> None:
    """Print the table: the share is that of the faster copy's speed."""
    copy = min(one.seconds for one in results if one.name.startswith("copy"))
    table = Table(title=f"{side} x {side} bytes in a mapped file", title_justify="left")
    for name in ("way", "s", "GB/s", f"of a copy (aim {SHARE})", f"MiB held (aim {HELD >> 20})"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for one in results:
        cells = (one.seconds, side * side / one.seconds / 1e9, copy / one.seconds)
        table.add_row(one.name, *(f"{cell:.2f}" for cell in cells), f"{one.held >> 20}")
    console.print(table)
