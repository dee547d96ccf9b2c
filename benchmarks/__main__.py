"""``python -m benchmarks``: the tables of striderule and its peers on this machine."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import sys
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

import striderule as sr
from benchmarks import chart, neighbours
from benchmarks.limits import SIZES, Limits
from benchmarks.shapes import FOLDER, Shape, read
from benchmarks.tables import Row, measure, overall, sentence, summaries, table
from benchmarks.ways import PEERS, Setting, installed, share_threads
from striderule.codegen import workers
from striderule.codegen.target import forget
from striderule.config import config
from striderule.planning import PRECISIONS

# Measurements of other kinds: modules with a function `main` of the words that follow.
OTHERS = ("accelerate", "accuracy", "big", "calls", "gradients", "model", "pictures", "pullbacks", "start", "steps")
# What confines a peer to the instructions of a target, before it is loaded. Above AVX2 peers take what they find.
CONFINED = {
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "sse2": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
# Of the tables, where the output goes to a file.
WIDTH = 160


def as_data(rows: list[Row], limits: Limits, setting: Setting, others: float | None = None) -> dict[str, Any]:
    """Return everything measured, and where, as plain data; `others` is the processors' time that others took."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": config(),
        "others": others,
        "peers": versions(setting.peers),
        "compiled": setting.compiled,
        "channels_last": setting.channels_last,
        "precision": setting.precision,
        "limits": asdict(limits),
        "lists": [asdict(found) for found in summaries(rows)],
        "rows": [row.to_dict(limits) for row in rows],
    }


def versions(peers: dict[str, Any]) -> dict[str, str]:
    """Return the versions of the peers that take part."""
    present = {module: name for module, name in PEERS.items() if peers.get(module) is not None}
    return {name: str(sys.modules[module.partition(".")[0]].__version__) for module, name in present.items()}


def where(data: dict[str, Any]) -> str:
    """Return one line that says when, on what, with how many threads and against which versions."""
    machine, limits = data["machine"], data["limits"]
    listed = ", ".join(f"{name} {number}" for name, number in {"NumPy": machine["numpy"], **data["peers"]}.items())
    peaks = ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {dtype}" for dtype, rate in limits["operations"].items())
    how = f"{'compiled, ' if data['compiled'] else ''}precision {data['precision']}"
    return (
        f"{data['date']}, {how}; {machine['processor']['name']} ({machine['code']['target']}), "
        f"{limits['threads']} threads: {peaks}, copies {limits['copies'][-1][1] / 1e9:,.0f} GB/s; {listed}"
    )


def chosen(words: argparse.Namespace, lists: list[str]) -> list[Shape]:
    """Return the shapes to measure."""
    shapes: list[Shape] = []
    for name in words.lists or lists:
        found = read(FOLDER / f"{name}.txt")
        if words.smoke:
            found = [min(found, key=lambda shape: (shape.multiply_adds, shape.least_bytes))]
        shapes += [shape.of_batch(words.batch) if words.batch else shape for shape in found]
    if words.bf16:
        shapes = [shape.in_bfloat16() if set(shape.dtypes) == {"float32"} else shape for shape in shapes]
    for word in ("kernel", "stride"):
        size = getattr(words, word)
        shapes = [shape for shape in shapes if size is None or set(getattr(shape, word)) == {size}]
    return shapes


def arguments(lists: list[str]) -> argparse.ArgumentParser:
    """Return the words of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="striderule and its peers, by turns.",
        epilog=f"Other measurements: python -m benchmarks {{{','.join(OTHERS)}}} --help.",
    )
    parser.add_argument("lists", nargs="*", metavar="LIST", help=f"which shapes (default: all): {', '.join(lists)}")
    parser.add_argument("--batch", type=int, metavar="N", help="images of every shape (default: as the lists say)")
    parser.add_argument("--compiled", action="store_true", help="calls bound before, and peers with packed weights")
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0], help="what we promise; at medium "
                        "PyTorch may multiply in bfloat16, too (default: highest)")  # fmt: skip
    parser.add_argument("--bf16", action="store_true", help="bfloat16 in and out in the place of float32")
    parser.add_argument("--kernel", type=int, metavar="K", help="only shapes with this kernel along every axis")
    parser.add_argument("--stride", type=int, metavar="S", help="only shapes with this stride along every axis")
    parser.add_argument("--target", metavar="NAME", help="a lesser target, as STRIDERULE_TARGET; with avx2 or sse2 "
                        "PyTorch is confined to these, too (ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA)")  # fmt: skip
    parser.add_argument("--channels-last", action="store_true", help="give us arrays with channels last in memory")
    parser.add_argument("--threads", type=int, metavar="N", help="for us and the peers (default: as striderule takes)")
    parser.add_argument("--rounds", type=int, default=10, help="bursts for each way and shape (default: 10)")
    parser.add_argument("--smoke", action="store_true", help="the smallest shape of each list, briefly, without peers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the ratios to FILE (.png, .svg)")
    return parser


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] and sys.argv[1] in OTHERS:
        importlib.import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])
        return
    lists = sorted(path.stem for path in FOLDER.glob("*.txt"))
    parser = arguments(lists)
    words = parser.parse_args()
    for name in words.lists:
        if name not in lists:
            parser.error(f"no list {name!r}; there are {', '.join(lists)}")
    for word in ("batch", "threads", "rounds"):
        if getattr(words, word) is not None and getattr(words, word) < 1:
            parser.error(f"--{word} must be at least 1, got {getattr(words, word)}")

    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    confine(words.target)
    sr.set_default_precision(words.precision)
    peers = {} if words.smoke else installed()
    for module, name in PEERS.items():
        if peers.get(module) is None:
            console.print(f"without {name}: {'left out by --smoke' if words.smoke else f'{module} is not installed'}")
    share_threads(peers, words.threads or workers.get_num_threads())
    setting = Setting(peers, words.compiled, words.channels_last, words.precision)
    sizes = (1 << 17, 1 << 22) if words.smoke else SIZES
    limits = Limits.measure(sizes)
    rounds, watch = 1 if words.smoke else words.rounds, neighbours.Watch()
    rows = [measure(shape, setting, rounds) for shape in track(chosen(words, lists), console=console, transient=True)]
    others = watch.others()
    limits = limits if words.smoke else limits.better(Limits.measure(sizes))
    show(console, rows, limits, as_data(rows, limits, setting, others), words)


def confine(target: str | None) -> None:
    """Force a target on us, and its instructions on the peers that can be told; they are not loaded yet."""
    if target is not None:
        os.environ |= {"STRIDERULE_TARGET": target} | CONFINED.get(target, {})
        forget()


def show(console: Console, rows: list[Row], limits: Limits, data: dict[str, Any], words: argparse.Namespace) -> None:
    """Print the tables, and write the files that were asked for."""
    found = summaries(rows)
    if words.smoke:
        console.print(table(rows, limits, "smallest of each list"))
    else:
        for one, (name, some) in zip(found, groupby(rows, key=lambda row: row.shape.list_name), strict=True):
            console.print(table(list(some), limits, name))
            console.print(sentence(one) + "\n")
        console.print(overall(found))
    console.print("\n".join(line for line in (where(data), neighbours.told(data["others"])) if line), soft_wrap=True)
    if words.json:
        words.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {words.json}")
    if words.chart:
        chart.draw(rows, where(data), words.chart)
        console.print(f"drawn to {words.chart}")


if __name__ == "__main__":
    main()
