"""``python -m benchmarks start``: what the beginning costs, in fresh processes.

Import time beside NumPy's, the first call of several structures without and with machine code on disk, how many
routines a hundred sizes of one structure make, and the memory of all that. Each figure is the best of several
processes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import neighbours

# name -> the call, once x (float32) and sr are there. The first is the first routine of the process.
STRUCTURES = {
    "conv2d 3x3": "sr.conv2d(x, w(16, 8, 3, 3), padding=1)",
    "conv2d 1x1": "sr.conv2d(x, w(16, 8, 1, 1))",
    "conv2d 7x7, stride 2": "sr.conv2d(x, w(16, 8, 7, 7), stride=2)",
    "conv2d depthwise 3x3": "sr.conv2d(x, w(8, 1, 3, 3), padding=1, groups=8)",
    "conv2d grouped 3x3": "sr.conv2d(x, w(8, 2, 3, 3), padding=1, groups=4)",
    "conv2d with bias and relu": "sr.conv2d(x, w(16, 8, 3, 3), w(16), padding=1, activation='relu')",
    "conv2d float64": "sr.conv2d(x.astype('float64'), w(16, 8, 3, 3).astype('float64'))",
    "conv2d int8": "sr.conv2d(x.astype('int8'), w(16, 8, 3, 3).astype('int8'))",
    "conv1d": "sr.conv1d(x[0], w(16, 40, 3))",
    "conv3d": "sr.conv3d(x[None], w(4, 1, 3, 3, 3))",
    "conv_transpose2d": "sr.conv_transpose2d(x, w(8, 4, 4, 4), stride=2)",
    "max_pool2d": "sr.max_pool2d(x, 2)",
    "avg_pool2d": "sr.avg_pool2d(x, 2)",
    "relu": "sr.relu(x)",
    "gelu": "sr.gelu(x)",
    "softmax": "sr.softmax(x, 1)",
    "batch_norm": "sr.batch_norm(x, w(8), abs(w(8)))",
    "pad": "sr.pad(x, 1)",
}
# What is aimed at, in seconds: import, first and further structures without and with the disk.
IMPORT, FIRST, FURTHER = 0.060, (0.250, 0.060), (0.150, 0.015)

_IMPORT = """
import time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import striderule as sr
face = time.perf_counter()
sr.conv2d, sr.max_pool2d, sr.relu
end = time.perf_counter()
answer = {"numpy": middle - start, "striderule": face - middle, "functions": end - middle}
"""
_MEMORY = """
def resident():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
"""
_CALLS = (
    """
import os, time
import numpy as np
"""
    + _MEMORY
    + """
memory = {"numpy": resident()}
import striderule as sr
rng = np.random.default_rng(0)
w = lambda *shape: rng.standard_normal(shape).astype(np.float32)
x = w(1, 8, 40, 40)
sr.conv2d, sr.max_pool2d, sr.relu
memory["striderule"] = resident()
calls, answer = {}, {}
for name, text in structures.items():
    code = compile(text, name, "eval")
    before = time.perf_counter()
    eval(code)
    after = time.perf_counter()
    eval(code)
    # What the second call takes is the call's own.
    calls[name] = max(0.0, 2 * after - before - time.perf_counter())
    memory.setdefault("the first call", resident())
memory["all structures"] = resident()
from striderule.codegen import jit
before = jit.structures()
for size in range(20, 120):
    sr.conv2d(w(1, 8, size, 2 * size), w(16, 8, 3, 3), padding=1)
answer = {"calls": calls, "routines": before, "of a hundred sizes": jit.structures() - before}
for number in range(times):
    if number == times // 10:
        memory["varying shapes, warm"] = resident()
    size = 8 + number * 7919 % 97
    sr.conv2d(x[:, :, : 8 + size % 30, : 8 + size % 29], w(1 + size % 13, 8, 3, 3))
memory["varying shapes, at the end"] = resident()
answer["memory"] = memory
"""
)


def fresh(code: str, folder: Path, **words: Any) -> dict[str, Any]:
    """Run code in a process of its own, with `folder` for machine code, and return its `answer`.

    Python finds its own bytecode beside that folder, as it does beside an installed package.
    """
    program = "".join(f"{name} = {value!r}\n" for name, value in words.items())
    program += f"{code}\nimport json\nprint(json.dumps(answer))"
    bytecode = str(folder.parent / "bytecode")
    environment = os.environ | {"STRIDERULE_CACHE_DIR": str(folder), "PYTHONPYCACHEPREFIX": bytecode}
    for name in ("STRIDERULE_CACHE", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise SystemExit(f"a fresh process failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def measure(rounds: int, times: int) -> dict[str, Any]:
    """Return all figures as plain data; `times` calls of varying shapes are watched for growing memory."""
    with tempfile.TemporaryDirectory() as place:
        # The first process of all, which writes bytecode, is not counted.
        fresh(_CALLS, Path(place) / "none", structures=STRUCTURES, times=0)
        imports = [fresh(_IMPORT, Path(place) / "none") for _ in range(rounds)]
        without, kept = [], []
        for number in range(rounds):
            folder = Path(place) / f"routines{number}"
            without.append(fresh(_CALLS, folder, structures=STRUCTURES, times=0))
            kept.append(fresh(_CALLS, folder, structures=STRUCTURES, times=times if number == 0 else 0))
    return {
        "import": {name: min(one[name] for one in imports) for name in imports[0]},
        "without": _best(without),
        "kept": _best(kept),
        "routines": without[0]["routines"],
        "of a hundred sizes": without[0]["of a hundred sizes"],
        "memory": kept[0]["memory"],
        "times": times,
    }


def _best(answers: list[dict[str, Any]]) -> dict[str, float]:
    return {name: min(answer["calls"][name] for answer in answers) for name in STRUCTURES}


def show(console: Console, found: dict[str, Any]) -> None:
    """Print the figures as tables that are Markdown too."""
    table = _markdown("first call of", "without code on disk, ms", "with it, ms", "at most")
    for number, name in enumerate(STRUCTURES):
        aims = FURTHER if number else FIRST
        told = (found["without"][name], found["kept"][name])
        table.add_row(name, *map(_milliseconds, told), " and ".join(map(_milliseconds, aims)) + _above(told, aims))
    console.print(table)
    taken = found["import"]
    console.print(
        f"import numpy {_milliseconds(taken['numpy'])} ms; import striderule {_milliseconds(taken['striderule'])} ms "
        f"more, with its functions {_milliseconds(taken['functions'])} ms (at most {_milliseconds(IMPORT)})"
    )
    console.print(
        f"{found['routines']} routines for all of these; a hundred sizes of one structure made "
        f"{found['of a hundred sizes']} more"
    )
    if all(found["memory"].values()):
        steps = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in found["memory"].items())
        console.print(f"memory after: {steps} ({found['times']} calls)")


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks start", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="processes for each figure (default: 3)")
    parser.add_argument("--calls", type=int, default=10_000, metavar="N", help="of varying shapes (default: 10000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    words = parser.parse_args(arguments)
    if words.rounds < 1 or words.calls < 0:
        parser.error("--rounds must be at least 1, and --calls at least 0")
    console = Console(highlight=False)
    console.width = max(console.width, 120)
    watch = neighbours.Watch()
    found = measure(words.rounds, words.calls)
    show(console, found)
    console.print(neighbours.told(watch.others()))
    if words.json:
        words.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {words.json}")


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f}" if seconds >= 0.01 else f"{1e3 * seconds:.1f}"


def _above(told: Iterable[float], aims: Iterable[float]) -> str:
    return " !" if any(one > aim for one, aim in zip(told, aims, strict=True)) else ""


def _markdown(*headings: str) -> Table:
    table = Table(box=box.MARKDOWN)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table
