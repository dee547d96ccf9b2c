"""``python -m benchmarks gradients``: the gradients of convolutions of layers, ours and PyTorch's, by turns.

Each layer of the lists is measured for each operand by itself: with respect to the input, the weight and the bias.
PyTorch's ways are what its autograd calls, in both orders of memory, with everything else left out.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import track

import striderule as sr
from benchmarks import neighbours
from benchmarks.limits import SIZES, Limits
from benchmarks.shapes import FOLDER, Shape, read
from benchmarks.tables import Row, contested
from benchmarks.ways import PEERS, Setting, installed, share_threads
from benchmarks.ways.gradients import OPERANDS, contest
from striderule.codegen import workers
from striderule.planning import PRECISIONS

NETWORKS = ("vgg-16", "resnet-50", "mobilenet-v2", "convnext-t")
BATCH = 16


def chosen(words: argparse.Namespace) -> list[tuple[Shape, str]]:
    """Return the shapes to measure, each with an operand."""
    found = []
    for name in words.lists or NETWORKS:
        shapes = [shape for shape in read(FOLDER / f"{name}.txt") if shape.driver in ("conv", "deconv")]
        shapes = [shape for shape in shapes if set(shape.dtypes) <= {"float32", "float64"}]
        if words.smoke:
            shapes = [min(shapes, key=lambda shape: shape.multiply_adds)]
        for operand in words.of or OPERANDS:
            for shape in shapes:
                whole = shape.of_batch(1 if words.smoke else words.batch)
                found.append((replace(whole, list_name=f"{name}: {operand} gradients"), operand))
    return found


def main(arguments: list[str]) -> None:
    """Measure and print."""
    # The command's own module shows tables and names lists; it is loaded before this one.
    from benchmarks.__main__ import WIDTH, as_data, show  # noqa: PLC0415

    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks gradients", description=about)
    parser.add_argument("lists", nargs="*", metavar="LIST", help=f"which layers (default: {', '.join(NETWORKS)})")
    parser.add_argument("--of", nargs="+", choices=OPERANDS, help="with respect to what (default: each)")
    parser.add_argument("--batch", type=int, default=BATCH, metavar="N", help=f"images of a layer (default: {BATCH})")
    parser.add_argument("--precision", choices=PRECISIONS, default="high", help="what we promise (default: high)")
    parser.add_argument("--channels-last", action="store_true", help="give us arrays with channels last in memory")
    parser.add_argument("--threads", type=int, metavar="N", help="for us and PyTorch (default: as striderule takes)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="bursts for each way and layer (default: 5)")
    parser.add_argument("--smoke", action="store_true", help="the smallest of each list, one image, without PyTorch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    parser.set_defaults(chart=None)
    words = parser.parse_args(arguments)
    for name in words.lists:
        if not (FOLDER / f"{name}.txt").exists():
            parser.error(f"no list {name!r}")
    for word in ("batch", "threads", "rounds"):
        if getattr(words, word) is not None and getattr(words, word) < 1:
            parser.error(f"--{word} must be at least 1, got {getattr(words, word)}")
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    peers = {} if words.smoke else {name: one for name, one in installed().items() if name == "torch"}
    if peers.get("torch") is None:
        console.print(f"without {PEERS['torch']}")
    share_threads(peers, words.threads or workers.get_num_threads())
    setting = Setting(peers, channels_last=words.channels_last, precision=words.precision)
    sizes = (1 << 17, 1 << 22) if words.smoke else SIZES
    limits, watch = Limits.measure(sizes), neighbours.Watch()
    with sr.precision(words.precision):
        rows = [row(*one, setting, 1 if words.smoke else words.rounds) for one in track(
            chosen(words), console=console, transient=True
        )]  # fmt: skip
    show(console, rows, limits, as_data(rows, limits, setting, watch.others()), words)


def row(shape: Shape, operand: str, setting: Setting, rounds: int) -> Row:
    """Measure one gradient of one layer. That of a bias only reads the gradient of the output."""
    told = shape
    if operand == "bias":
        told = replace(shape, driver="bnorm", channels=shape.channels[1:] * 2, size=shape.output, output=())
    return contested(told, setting, rounds, lambda: contest(shape, operand, setting))
