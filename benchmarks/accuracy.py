"""``python -m benchmarks accuracy``: the errors of every algorithm and variant, measured against float64.

Problems are drawn, of every kind that an algorithm claims. Data is random, constant, of high dynamic range, cancelling,
and adversarial; the errors are those that a precision promises: of the norm of the exact result for zero-mean random
data, and of the norm of |x| correlated with |w| for any. Tables are Markdown, as in docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import striderule as sr
from benchmarks.tables import markdown
from striderule.errors import InvalidArgument
from striderule.planning import PRECISIONS, Plan
from striderule.planning.rules import PROMISES, RULES, keeps_promise

Array = np.ndarray[Any, np.dtype[Any]]
Generator = np.random.Generator
# Multiply-adds above which `reference`, in plain Python, is not asked.
SLOW = 200_000


@dataclass(frozen=True, slots=True)
class Case:
    """A convolution without its values: a function's name, the shapes of x and weight, and its words."""

    operation: str
    x: tuple[int, ...]
    weight: tuple[int, ...]
    words: dict[str, Any]

    def plan(self, **words: Any) -> Plan:
        """Return the plan; `InvalidArgument` where an algorithm asked for cannot serve."""
        plan = sr.explain(getattr(sr, self.operation), sr.Array(self.x), sr.Array(self.weight), **self.words, **words)
        assert isinstance(plan, Plan)
        return plan

    def compute(self, x: Array, weight: Array, **words: Any) -> Array:
        """Return what striderule gives."""
        result: Array = getattr(sr, self.operation)(x, weight, **self.words, **words)
        return result

    def exact(self, x: Array, weight: Array) -> Array:
        """Return the sums in float64, tap by tap from the definition."""
        return by_taps(self.operation.startswith("conv_transpose"), x, weight, **self.words)


def by_taps(
    transposed: bool, x: Array, weight: Array, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1
) -> Array:
    """Return a convolution of layers or a transposed one in float64: for each tap a product of matrices.

    out[n, o, j] = sum over c and t of w[o, c, t] x[n, c, j s + t d - p]; transposed, over all i with i s + t d - p = j.
    """
    size, kernel = x.shape[2:], weight.shape[2:]
    x = np.asarray(x, np.float64).reshape(x.shape[0], groups, -1, *size)
    first, second = weight.shape[0] // groups, weight.shape[1]
    taps = np.asarray(weight, np.float64).reshape(groups, first, second, *kernel)
    sides = [(padding, padding)] * len(size)
    if transposed:
        full = [(n - 1) * stride + (k - 1) * dilation + 1 for n, k in zip(size, kernel, strict=True)]
        out = np.zeros((x.shape[0], groups, second, *full))
    else:
        x = np.pad(x, [(0, 0)] * 3 + sides)
        reach = ((n + 2 * padding - (k - 1) * dilation - 1) // stride + 1 for n, k in zip(size, kernel, strict=True))
        out = np.zeros((x.shape[0], groups, first, *reach))
    count = size if transposed else out.shape[3:]
    for tap in itertools.product(*map(range, kernel)):
        at = tuple(
            slice(t * dilation, t * dilation + (n - 1) * stride + 1, stride) for t, n in zip(tap, count, strict=True)
        )
        one = taps[(..., *tap)]
        if transposed:
            out[(..., *at)] += np.einsum("gco,ngc...->ngo...", one, x)
        else:
            out += np.einsum("goc,ngc...->ngo...", one, x[(..., *at)], optimize=True)
    if transposed and padding:
        out = out[(..., *(slice(padding, n - padding) for n in out.shape[3:]))]
    return out.reshape(out.shape[0], -1, *out.shape[3:])


def drawn_cases(rng: Generator) -> dict[str, Case]:
    """Draw one problem of each kind, of some 100,000 to some million multiply-adds."""

    def some(low: int, high: int) -> int:
        return int(rng.integers(low, high))

    few, many = some(3, 40), some(100, 600)
    ours, wide = some(16, 65), some(8, 25)
    high = some(9, 20)
    return {
        "3x3": Case("conv2d", (1, ours, high, wide), (few, ours, 3, 3), {"padding": 1}),
        "3x3, many channels": Case("conv2d", (1, many, 9, some(7, 15)), (some(8, 33), many, 3, 3), {"padding": 1}),
        "5x5": Case("conv2d", (1, few, high, wide), (some(8, 33), few, 5, 5), {"padding": 2}),
        "1x1": Case("conv2d", (1, many, high, wide), (some(8, 65), many, 1, 1), {}),
        "stride 2": Case("conv2d", (1, ours, 2 * high, wide), (few, ours, 3, 3), {"stride": 2, "padding": 1}),
        "dilation 2": Case("conv2d", (1, ours, high, wide), (few, ours, 3, 3), {"dilation": 2, "padding": 2}),
        "groups": Case("conv2d", (1, 4 * few, 20, 20), (2 * few, 2 * few, 3, 3), {"groups": 2, "padding": 1}),
        "depthwise": Case("conv2d", (1, 8 * few, 24, 24), (8 * few, 1, 7, 7), {"groups": 8 * few, "padding": 3}),
        "signals": Case("conv1d", (1, ours, 40 * wide), (few, ours, some(2, 8)), {"padding": 1}),
        "long kernel": Case("conv1d", (1, 2, 6000 + 10 * wide), (2, 2, 40 * ours), {}),
        "volume": Case("conv3d", (1, few, 7, 8, high), (some(8, 17), few, 3, 3, 3), {"padding": 1}),
        "transposed": Case("conv_transpose2d", (1, ours, high, 10), (ours, few, 4, 4), {"stride": 2, "padding": 1}),
    }


def _random(rng: Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def _spread(rng: Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.choice([-1, 1], shape) * np.exp2(rng.uniform(-30, 30, shape)), np.float32)


def _signs(shape: tuple[int, ...], period: int) -> Array:
    """Return 1 and -1, turning every `period` steps along each axis but the first."""
    places = np.indices(shape)[1:]
    return np.asarray(1 - 2 * ((places // period).sum(axis=0) % 2), np.float32)


def _cancelling(rng: Generator, x: tuple[int, ...], weight: tuple[int, ...]) -> tuple[Array, Array]:
    """Return positive numbers that are nearly the same, and weights of nearly the same size with turning signs."""
    near = [(1 + 0.01 * rng.standard_normal(shape)).astype(np.float32) for shape in (x, weight)]
    return near[0], near[1] * _signs(weight, 1)


def _halves(_: Generator, x: tuple[int, ...], weight: tuple[int, ...]) -> tuple[Array, Array]:
    """Return numbers just below the middle of two of bfloat16, so that all their roundings point the same way."""
    middle = np.float32(1 + 2.0**-8 - 2.0**-23)
    return np.full(x, middle), np.full(weight, middle)


def _waves(_: Generator, x: tuple[int, ...], weight: tuple[int, ...]) -> tuple[Array, Array]:
    """Return signs that turn every two steps, which the sums of transforms of tiles cannot cancel."""
    return np.float32(1.1) * _signs(x, 2), np.float32(0.7) * _signs(weight, 2)


# What data there is: name -> x and weight of these shapes.
DATA: dict[str, Callable[[Generator, tuple[int, ...], tuple[int, ...]], tuple[Array, Array]]] = {
    "random": lambda rng, x, weight: (_random(rng, x), _random(rng, weight)),
    "constant": lambda _, x, weight: (np.full(x, 0.1, np.float32), np.full(weight, 0.7, np.float32)),
    "high dynamic range": lambda rng, x, weight: (_spread(rng, x), _spread(rng, weight)),
    "cancelling": _cancelling,
    "adversarial: halves": _halves,
    "adversarial: waves": _waves,
}


@dataclass(frozen=True, slots=True)
class Errors:
    """The error of one result, as a part of the norm of the exact one and of that of |x| correlated with |w|."""

    of_result: float
    of_absolute: float


def measured(case: Case, kind: str, seed: int, algorithm: str, precision: str = "medium") -> Errors:
    """Return the errors of a candidate."""
    x, weight = DATA[kind](np.random.default_rng(seed), case.x, case.weight)
    found = case.compute(x, weight, algorithm=algorithm, precision=precision)
    return errors(case, x, weight, found)


def errors(case: Case, x: Array, weight: Array, found: Array) -> Errors:
    """Return how far a result is from the exact one."""
    exact = case.exact(x, weight)
    difference = np.linalg.norm(found - exact)
    result, absolute = np.linalg.norm(exact), np.linalg.norm(case.exact(np.abs(x), np.abs(weight)))
    return Errors(float(difference / result) if result else np.inf, float(difference / absolute))


def candidates() -> list[str]:
    """Return all algorithms, in each of their variants."""
    return [f"{name}:{word}" if word else name for name, rule in RULES.items() for word in rule.variants or ("",)]


def served(label: str, cases: dict[str, Case]) -> dict[str, Case]:
    """Return those of the problems that a candidate can serve, in bearable time."""
    found = {}
    for name, case in cases.items():
        try:
            plan = case.plan(algorithm=label)
        except InvalidArgument:
            continue
        if label != "reference" or plan.work.operations <= SLOW:
            found[name] = case
    return found


def promised(case: Case, label: str) -> list[str]:
    """Return the precisions whose promise a candidate claims to keep for a problem."""
    plan = case.plan(algorithm=label)
    claims = (plan.cost.error, plan.cost.random_error)
    return [word for word in PRECISIONS if keeps_promise(word, plan.work.dtype, *claims) is None]


def main(arguments: list[str]) -> None:
    """Draw, compute and print."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks accuracy", description=about)
    parser.add_argument("--draws", type=int, default=3, metavar="N", help="problems of each kind (default: 3)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="what the drawing begins with (default: 0)")
    words = parser.parse_args(arguments)
    if words.draws < 1:
        parser.error(f"--draws must be at least 1, got {words.draws}")
    console = Console(highlight=False)
    console.width = max(console.width, 200)
    problems = {seed: drawn_cases(np.random.default_rng(seed)) for seed in range(words.seed, words.seed + words.draws)}
    console.print(by_candidate(console, problems))
    console.print(by_closeness(console, problems))


def by_candidate(console: Console, problems: dict[int, dict[str, Case]]) -> Table:
    """Return the largest errors of each candidate, over all problems that it serves."""
    table = markdown("candidate", "problems", "keeps", "random, of results", "stated", *DATA, "stated bound")
    for label in track(candidates(), console=console, transient=True):
        cases = [(case, seed) for seed, drawn in problems.items() for case in served(label, drawn).values()]
        if not cases:
            continue
        costs = [case.plan(algorithm=label).cost for case, _ in cases]
        random = max(measured(case, "random", seed, label).of_result for case, seed in cases)
        worst = [max(measured(case, kind, seed, label).of_absolute for case, seed in cases) for kind in DATA]
        claims = [promised(case, label) for case, _ in cases]
        kept = next((word for word in PRECISIONS if all(word in some for some in claims)), "-")
        stated = max(cost.random_error for cost in costs), max(cost.error for cost in costs)
        numbers = (random, stated[0], *worst, stated[1])
        table.add_row(label, str(len(cases)), kept, *(f"{error:.1e}" for error in numbers))
    for word in PRECISIONS:
        random, bound = (f"{error:.0e}" for error in PROMISES[word])
        table.add_row(f"promised by {word}", "", "", random, "", *[bound] * len(DATA), "")
    return table


def by_closeness(console: Console, problems: dict[int, dict[str, Case]]) -> Table:
    """Return what the defaults of `allclose` say of each precision: elements, and results, that pass.

    NumPy's and PyTorch's are the same: |a - b| <= 1e-8 + 1e-5 |b|.
    """
    table = markdown("precision", *DATA)
    for word in track(PRECISIONS, console=console, transient=True):
        cells = []
        for kind in DATA:
            close = [closeness(case, kind, seed, word) for seed, drawn in problems.items() for case in drawn.values()]
            cells.append(f"{100 * float(np.mean(close)):.1f} %, {close.count(1.0)} of {len(close)}")
        table.add_row(word, *cells)
    return table


def closeness(case: Case, kind: str, seed: int, word: str) -> float:
    """Return the part of the elements that `numpy.isclose` takes for the exact ones, of what a precision computes."""
    x, weight = DATA[kind](np.random.default_rng(seed), case.x, case.weight)
    return float(np.isclose(case.compute(x, weight, precision=word), case.exact(x, weight).astype(np.float32)).mean())
