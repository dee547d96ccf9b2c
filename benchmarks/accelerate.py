"""``python -m benchmarks accelerate``: networks of PyTorch's before and after `striderule.torch.accelerate`, by turns.

PyTorch runs without gradients (``inference_mode``), in both orders of memory, and with --compile by ``torch.compile``
too; its best way counts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import striderule as sr
import striderule.torch as st
from benchmarks import neighbours
from benchmarks.model import geometric_mean
from benchmarks.networks import NETWORKS, network
from benchmarks.turns import Timing, take_turns
from striderule.codegen import workers
from striderule.config import config
from striderule.planning import PRECISIONS

OURS, EAGER, LAST, COMPILED = "accelerated", "PyTorch", "PyTorch channels last", "PyTorch compiled"


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured of one network: the ways, and the largest difference of the outputs over the largest output."""

    network: str
    ways: dict[str, Timing]
    difference: float
    report: str

    @property
    def ratio(self) -> float:
        """How many times as fast as PyTorch's best way the accelerated network is."""
        return min(one.best for name, one in self.ways.items() if name != OURS) / self.ways[OURS].best


def call_of(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """Return a call without gradients."""

    def call() -> Tensor:
        with torch.inference_mode():
            found: Tensor = model(x)
            return found

    return call


def observe(name: str, batch: int, size: int, rounds: int, *, compiled: bool = False) -> Found:
    """Measure one network."""
    x = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))
    theirs, ours = network(name), network(name)
    report = st.accelerate(ours)
    last = network(name).to(memory_format=torch.channels_last)
    ways = {EAGER: call_of(theirs, x), LAST: call_of(last, x.to(memory_format=torch.channels_last))}
    if compiled:
        ways[COMPILED] = call_of(torch.compile(theirs), x)
    ways[OURS] = call_of(ours, x)
    expected = ways[EAGER]()
    difference = float((ways[OURS]() - expected).abs().max() / expected.abs().max())
    return Found(name, take_turns(ways, rounds, 0.1), difference, str(report))


def table(found: list[Found]) -> Table:
    """Return a row for each network: milliseconds of every way, the ratio to PyTorch's best, and the difference."""
    result = Table(box=box.MARKDOWN)
    names = [name for name in found[0].ways if name != OURS]
    for number, heading in enumerate(("network", *(f"{name}, ms" for name in (*names, OURS)), "ratio", "difference")):
        result.add_column(heading, justify="right" if number else "left")
    for one in found:
        times = [f"{1e3 * one.ways[name].best:.2f}" for name in (*names, OURS)]
        result.add_row(one.network, *times, f"{one.ratio:.2f}", f"{one.difference:.1e}")
    return result


def main(arguments: list[str]) -> None:
    """Measure and print."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks accelerate", description=about)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"which (default: {', '.join(NETWORKS)})")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images a call (default: 1)")
    parser.add_argument(
        "--size", type=int, default=224, metavar="N", help="height and width of an image (default: 224)"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="high", help="what we promise, and PyTorch's "
                        "float32_matmul_precision (default: high)")  # fmt: skip
    parser.add_argument("--compile", action="store_true", help="PyTorch's compiled networks too, which takes minutes")
    parser.add_argument("--threads", type=int, metavar="N", help="for us and PyTorch (default: as striderule takes)")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="bursts for each way (default: 10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    words = parser.parse_args(arguments)
    for name in words.networks:
        if name not in NETWORKS:
            parser.error(f"no network {name!r}; there are {', '.join(NETWORKS)}")
    for word in ("batch", "size", "rounds", "threads"):
        if getattr(words, word) is not None and getattr(words, word) < 1:
            parser.error(f"--{word} must be at least 1, got {getattr(words, word)}")
    console = Console(highlight=False)
    console.width = max(console.width, 160)
    threads = words.threads or workers.get_num_threads()
    sr.set_num_threads(threads)
    torch.set_num_threads(threads)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(words.precision)
    watch, found = neighbours.Watch(), []
    try:
        for name in words.networks or NETWORKS:
            found.append(observe(name, words.batch, words.size, words.rounds, compiled=words.compile))
            console.print(f"{name}: {found[-1].report}")
    finally:
        torch.set_float32_matmul_precision(before)
    console.print(table(found))
    ratios = [one.ratio for one in found]
    console.print(f"geometric mean {geometric_mean(ratios):.2f}, worst {min(ratios):.2f}; PyTorch {torch.__version__}, "
                  f"{threads} threads, batch {words.batch}, precision {words.precision}")  # fmt: skip
    others = watch.others()
    console.print(neighbours.told(others))
    if words.json:
        data: dict[str, Any] = {"machine": config(), "others": others}
        data |= {"torch": torch.__version__, "precision": words.precision, "batch": words.batch, "threads": threads}
        data["networks"] = [asdict(one) | {"ratio": one.ratio} for one in found]
        words.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {words.json}")
