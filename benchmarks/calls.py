"""``python -m benchmarks calls``: what a call costs where there is next to nothing to compute, beside PyTorch's.

Small arrays: an image of 3x8x8. Ours and PyTorch's take turns in short bursts, and the quickest burst counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import striderule as sr

# Seconds of a burst.
BURST = 0.004
Call = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """A call: ours, PyTorch's if it is installed, and the seconds that ours may take at most, if something is said."""

    name: str
    ours: Call
    peer: Call | None
    aim: float | None = None


def rows() -> list[Row]:
    """Return the calls that are measured."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    x, w, b, deep = drawn(1, 3, 8, 8), drawn(4, 3, 3, 3), drawn(4), drawn(3, 1, 3, 3)
    bound, layer = sr.compile(sr.conv2d, x, w, b, padding=1), sr.nn.ConvLayer(3, 4, 3, seed=0)
    out, flat = np.empty((1, 4, 8, 8), np.float32), np.empty_like(x)
    rectify = sr.compile(sr.relu, x)
    peer = _torch_calls(x, w, b, deep)
    return [
        Row("conv2d(x, w)", lambda: sr.conv2d(x, w), peer.get("plain"), 8e-6),
        Row("conv2d(x, w, b, padding=1)", lambda: sr.conv2d(x, w, b, padding=1), peer.get("padded"), 8e-6),
        Row("the same, out=", lambda: sr.conv2d(x, w, b, padding=1, out=out), None, 8e-6),
        Row("the same, activation='relu'", lambda: sr.conv2d(x, w, b, padding=1, activation="relu"), peer.get("both")),
        Row("the same as f = compile(conv2d, ...): f(x)", lambda: bound(x), peer.get("padded"), 4e-6),
        Row("f(x, out=)", lambda: bound(x, out=out), None, 4e-6),
        Row("depthwise_conv2d(x, w)", lambda: sr.depthwise_conv2d(x, deep), peer.get("depthwise")),
        Row("a ConvLayer", lambda: layer(x), peer.get("layer")),
        Row("max_pool2d(x, 2)", lambda: sr.max_pool2d(x, 2), peer.get("max_pool2d")),
        Row("avg_pool2d(x, 2)", lambda: sr.avg_pool2d(x, 2), peer.get("avg_pool2d")),
        Row("relu(x)", lambda: sr.relu(x), peer.get("relu")),
        Row("relu(x, out=)", lambda: sr.relu(x, out=flat), None),
        Row("f = compile(relu, x): f(x)", lambda: rectify(x), peer.get("relu")),
        Row("softmax(x, 1)", lambda: sr.softmax(x, 1), peer.get("softmax")),
    ]


def _torch_calls(*arrays: Any) -> dict[str, Call]:
    """Return PyTorch's calls, none if it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch  # noqa: PLC0415 - takes seconds
    import torch.nn.functional as F  # noqa: N812, PLC0415 - everyone calls it that

    torch.set_grad_enabled(mode=False)
    x, w, b, deep = map(torch.from_numpy, arrays)
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    return {
        "plain": lambda: F.conv2d(x, w),
        "padded": lambda: F.conv2d(x, w, b, padding=1),
        "both": lambda: F.relu(F.conv2d(x, w, b, padding=1)),
        "depthwise": lambda: F.conv2d(x, deep, groups=3),
        "layer": lambda: layer(x),
        "max_pool2d": lambda: F.max_pool2d(x, 2),
        "avg_pool2d": lambda: F.avg_pool2d(x, 2),
        "relu": lambda: F.relu(x),
        "softmax": lambda: F.softmax(x, 1),
    }


def measure(row: Row, rounds: int) -> tuple[float, float | None]:
    """Return the seconds of one call of ours, and of PyTorch's."""
    ways = [way for way in (row.ours, row.peer) if way is not None]
    counts = [_count(way) for way in ways]
    best = [float("inf")] * len(ways)
    for _ in range(rounds):
        for number, (way, count) in enumerate(zip(ways, counts, strict=True)):
            best[number] = min(best[number], _seconds(way, count))
    return best[0], best[1] if row.peer is not None else None


def _count(call: Call) -> int:
    """Return how many calls make a burst."""
    call()
    return max(1, int(BURST / max(_seconds(call, 20), 1e-9)))


def _seconds(call: Call, count: int) -> float:
    turns = range(count)
    start = time.perf_counter()
    for _ in turns:
        call()
    return (time.perf_counter() - start) / count


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks calls", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50, metavar="N", help="bursts of each call (default: 50)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    words = parser.parse_args(arguments)
    if words.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {words.rounds}")
    drawn = Table(box=box.MARKDOWN)
    for heading in ("call", "ours, µs", "PyTorch, µs", "ratio", "at most, µs"):
        drawn.add_column(heading, justify="left" if heading == "call" else "right", no_wrap=True)
    found = []
    for row in rows():
        ours, peer = measure(row, words.rounds)
        found.append({"call": row.name, "ours": ours, "peer": peer, "aim": row.aim})
        ratio = f"{peer / ours:.2f}" if peer else "-"
        drawn.add_row(row.name, _microseconds(ours), _microseconds(peer), ratio, _microseconds(row.aim))
    console = Console(highlight=False)
    console.width = max(console.width, 120)
    console.print(drawn)
    if words.json:
        words.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {words.json}")


def _microseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e6 * seconds:.1f}"
