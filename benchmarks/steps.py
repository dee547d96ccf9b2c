"""``python -m benchmarks steps``: steps of training whole networks, ours and PyTorch's, by turns.

A step is forward, loss, backward and the update by SGD with momentum. PyTorch trains eagerly, the same network with the
same weights, in both orders of memory and by both of its quicker optimisers; the quickest counts.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import json
import math
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import striderule as sr
from benchmarks import neighbours
from benchmarks.turns import take_turns
from benchmarks.ways.networks import in_torch
from striderule import models, nn
from striderule.codegen import workers
from striderule.nn.training import loss_and_gradient
from striderule.planning import PRECISIONS

OURS, PEER = "striderule", "PyTorch"
LR, MOMENTUM = 1e-3, 0.9
# Steps whose memory is measured: what is kept from one step to the next is there in the second.
STEPS = 4
Step = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Network:
    """A network, the shape of a batch of its inputs, and whether every pixel has a class."""

    make: Callable[[], nn.Layer]
    shape: tuple[int, ...]
    classes: int = 10
    pixels: bool = False

    def batch(self, count: int | None = None) -> tuple[Any, Any]:
        """Return inputs and classes, drawn."""
        rng = np.random.default_rng(1)
        shape = (count or self.shape[0], *self.shape[1:])
        aims = rng.integers(0, self.classes, (shape[0], *shape[2:]) if self.pixels else shape[0])
        return rng.standard_normal(shape, np.float32), aims


NETWORKS = {
    "lenet-5": Network(lambda: models.lenet5(seed=0), (128, 1, 32, 32)),
    "resnet-18": Network(lambda: models.resnet18(10, seed=0), (16, 3, 64, 64)),
    "mobilenet-v2": Network(lambda: models.mobilenet_v2(10, dropout=0.0, seed=0), (16, 3, 64, 64)),
    "u-net": Network(lambda: models.unet(1, 2, width=16, depth=3, seed=0), (4, 1, 96, 96), 2, True),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A network: seconds of a step of ours and of each way of PyTorch's; peaks of memory in bytes, if they are known.

    `memory` is what the process held at most while it trained, less what it held before it had the network.
    """

    name: str
    shape: tuple[int, ...]
    seconds: dict[str, float]
    memory: dict[str, int | None]

    @property
    def ratio(self) -> float | None:
        """PyTorch's seconds over ours."""
        peers = [seconds for name, seconds in self.seconds.items() if name != OURS]
        return min(peers) / self.seconds[OURS] if peers else None


def our_step(network: Network, count: int | None = None) -> Step:
    """Return a step of ours."""
    model, (x, aims) = network.make().train(), network.batch(count)
    model.want_input_gradient(False)
    optimiser = nn.SGD(model, LR, MOMENTUM)

    def step() -> float:
        value, gradient = loss_and_gradient(sr.cross_entropy, model.forward(x), aims)
        optimiser.zero_gradients()
        model.backward(gradient)
        optimiser.step()
        return value

    return step


def peer_steps(network: Network, torch: Any, count: int | None = None) -> dict[str, Callable[[], Step]]:
    """Return what makes the steps of PyTorch's, by the names of their ways."""
    orders = {"": torch.contiguous_format, ", channels last": torch.channels_last}
    return {
        f"{PEER}{label}, {kind}": lambda order=order, kind=kind: _peer_step(network, torch, order, kind, count)
        for label, order in orders.items()
        for kind in ("foreach", "fused")
    }


def _peer_step(network: Network, torch: Any, order: Any, kind: str, count: int | None) -> Step:
    x, aims = map(torch.from_numpy, network.batch(count))
    model = in_torch(network.make(), torch).to(memory_format=order).train()
    x = x.contiguous(memory_format=order)
    optimiser = torch.optim.SGD(model.parameters(), LR, MOMENTUM, **{kind: True})

    def step() -> float:
        loss = torch.nn.functional.cross_entropy(model(x), aims)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return float(loss.item())

    return step


def measure(name: str, torch: Any, rounds: int, memory: bool, precision: str) -> Row:
    """Measure a network; the ways are seen to begin with the same loss."""
    network = NETWORKS[name]
    ways = {OURS: our_step(network)}
    if torch is not None:
        ways |= {way: make() for way, make in peer_steps(network, torch).items()}
    losses = {way: step() for way, step in ways.items()}
    if not all(math.isclose(loss, losses[OURS], rel_tol=1e-3) for loss in losses.values()):
        raise ValueError(f"{name} does not compute the same everywhere: {losses}")
    found = {way: timing.best for way, timing in take_turns(ways, rounds).items()}
    sides = [OURS, *((PEER,) if torch is not None else ())] if memory else []
    peaks = {side: _in_a_process(peak_memory, name, side, workers.get_num_threads(), precision) for side in sides}
    return Row(name, network.shape, found, peaks)


def _in_a_process(function: Callable[..., int | None], *words: Any) -> int | None:
    """Return the least that a function gives in two processes of its own: the first leaves machine code on disk."""
    found = []
    for _ in range(2):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found.append(pool.submit(function, *words).result())
    known = [one for one in found if one is not None]
    return min(known) if known else None


def peak_memory(name: str, side: str, threads: int, precision: str) -> int | None:
    """Return the bytes that training a network takes at most, over what this process held before; None if unknown.

    What the libraries themselves need is there before: they have trained a network of two small pictures.
    """
    sr.set_default_precision(precision)
    sr.set_num_threads(threads)
    network, first = NETWORKS[name], NETWORKS["lenet-5"]
    if side == OURS:
        for _ in range(2):
            our_step(first, 2)()
        make: Callable[[], Step] = lambda: our_step(network)  # noqa: E731 - the other is given by name
    else:
        torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        for _ in range(2):
            peer_steps(first, torch, 2)[f"{PEER}, fused"]()()
        make = peer_steps(network, torch)[f"{PEER}, fused"]
    gc.collect()
    before = _resident("VmRSS")
    if before is None or not _forget_peak():
        return None
    step = make()
    for _ in range(STEPS):
        step()
    peak = _resident("VmHWM")
    return None if peak is None else peak - before


def _resident(word: str) -> int | None:
    """Return a figure of this process's memory in bytes, as Linux tells it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{word}:"))
    except (OSError, StopIteration):
        return None


def _forget_peak() -> bool:
    """Let the peak of this process's memory be what it holds now; tell whether that was done."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def main(arguments: list[str]) -> None:
    """Measure and print."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks steps", description=about)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"default: {', '.join(NETWORKS)}")
    parser.add_argument("--memory", action="store_true", help="measure the peak of memory too, in processes of its own")
    parser.add_argument("--precision", choices=PRECISIONS, default="high", help="what we promise (default: high)")
    parser.add_argument("--threads", type=int, metavar="N", help="for us and PyTorch (default: as striderule takes)")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="bursts for each way (default: 10)")
    parser.add_argument("--alone", action="store_true", help="without PyTorch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    words = parser.parse_args(arguments)
    for name in words.networks:
        if name not in NETWORKS:
            parser.error(f"no network {name!r}; there are {', '.join(NETWORKS)}")
    for word in ("threads", "rounds"):
        if getattr(words, word) is not None and getattr(words, word) < 1:
            parser.error(f"--{word} must be at least 1, got {getattr(words, word)}")
    console = Console(highlight=False)
    console.width = max(console.width, 120)
    torch = None
    if not words.alone and importlib.util.find_spec("torch") is not None:
        torch = importlib.import_module("torch")
    threads = words.threads or workers.get_num_threads()
    sr.set_num_threads(threads)
    if torch is None:
        console.print(f"without {PEER}")
    else:
        torch.set_num_threads(threads)
    watch = neighbours.Watch()
    with sr.precision(words.precision):
        names = words.networks or NETWORKS
        rows = [measure(name, torch, words.rounds, words.memory, words.precision) for name in names]
    console.print(table(rows, memory=words.memory))
    ratios = [row.ratio for row in rows if row.ratio is not None]
    if ratios:
        mean = math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
        console.print(f"ratio: geometric mean {mean:.2f}, worst {min(ratios):.2f}")
    version = "" if torch is None else f", {PEER} {torch.__version__}"
    console.print(f"precision {words.precision}, {threads} threads of {os.cpu_count()}{version}")
    console.print(neighbours.told(watch.others()))
    if words.json:
        data = [asdict(row) | {"ratio": row.ratio} for row in rows]
        words.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {words.json}")


def table(rows: list[Row], *, memory: bool) -> Table:
    """Return what was measured."""
    found = Table(box=box.MARKDOWN)
    headings = ["network", "batch", "ours, ms", "PyTorch, ms", "ratio", "its best way"]
    headings += ["ours, MB", "PyTorch, MB"] if memory else []
    for heading in headings:
        found.add_column(heading, justify="left" if heading in ("network", "its best way") else "right", no_wrap=True)
    for row in rows:
        peers = {way: seconds for way, seconds in row.seconds.items() if way != OURS}
        best = min(peers, key=lambda way: peers[way], default=None)
        cells = [row.name, "x".join(map(str, row.shape)), f"{1e3 * row.seconds[OURS]:.2f}"]
        cells += ["-"] * 3 if best is None else [
            f"{1e3 * peers[best]:.2f}", f"{row.ratio:.2f}", best.removeprefix(f"{PEER}, ")
        ]  # fmt: skip
        if memory:
            peaks = [row.memory.get(side) for side in (OURS, PEER)]
            cells += ["-" if peak is None else f"{peak / 1e6:.1f}" for peak in peaks]
        found.add_row(*cells)
    return found
