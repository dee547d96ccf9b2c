"""``python -m benchmarks pullbacks``: gradients of pooling, normalisation and activations, beside PyTorch's, by turns.

Of each call the pullback is measured: all gradients from that of the result. PyTorch's are `torch.autograd.grad` over a
kept graph, and where that is one node of C++ the node by itself, without what finds it; the quicker of both is what
ratios are to. With --whole the call is measured with its pullback, so that what it keeps for the gradient counts, too.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import striderule as sr
from benchmarks import neighbours
from benchmarks.turns import take_turns
from benchmarks.ways import installed, share_threads
from striderule.codegen import workers

Call = Callable[[], Any]
Shape = tuple[int, ...]

FAMILIES = ("pooling", "normalisation", "activation")
# Layers of ResNet-18 at batch 16, of LeNet at batch 128, and one image of LeNet.
NETWORK: tuple[Shape, ...] = ((16, 64, 56, 56), (16, 256, 14, 14), (16, 512, 7, 7))
SMALL: tuple[Shape, ...] = ((128, 6, 28, 28), (1, 6, 28, 28))
ELEMENTWISE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("relu", {}), ("leaky_relu", {}), ("gelu", {}), ("gelu", {"approximate": "tanh"}), ("silu", {}), ("sigmoid", {}),
    ("tanh", {}), ("hardswish", {}), ("softplus", {}), ("mish", {}), ("elu", {}),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A function, its first argument's shape, the arguments behind it, and what makes those that are arrays."""

    family: str
    op: str
    shape: Shape
    words: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()
    parameters: str = ""

    @property
    def name(self) -> str:
        """The call in words."""
        words = [str(word) for word in self.words] + [f"{key}={value!r}" for key, value in self.named]
        return f"{self.op}({', '.join(('x', *words))})"

    def arguments(self, rng: np.random.Generator, channels_last: bool) -> tuple[Any, ...]:
        """Return the arguments of the call, x first."""

        def drawn(*shape: int) -> Any:
            return rng.standard_normal(shape).astype(np.float32)

        x = drawn(*self.shape)
        if channels_last and x.ndim > 3 and self.op != "layer_norm":
            x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        channels = self.shape[-1 if self.op == "layer_norm" else 1]
        pair = drawn(channels), drawn(channels)
        if self.parameters == "statistics":
            return x, drawn(channels), 1 + np.abs(drawn(channels)), *pair, *self.words
        if self.parameters == "pair":
            return x, *self.words, *pair
        if self.parameters == "slopes":
            return x, drawn(channels)
        if self.parameters == "places":
            large = drawn(*self.shape[:2], *(2 * n for n in self.shape[2:]))
            values, places = getattr(sr, self.op.replace("unpool", "pool"))(large, 2, return_indices=True)
            return values, places, *self.words
        return x, *self.words


def cases() -> Iterator[Case]:
    """Give all calls that are measured."""
    pools: tuple[tuple[str, tuple[Any, ...], tuple[Shape, ...]], ...] = (
        ("max_pool2d", (2,), ((16, 64, 112, 112), *NETWORK[:2], (16, 512, 14, 14), *SMALL)),
        ("max_pool2d", (3, 2, 1), ((16, 64, 112, 112), (16, 192, 28, 28))),
        ("max_pool2d", (3, 1, 1), ((16, 192, 28, 28), (16, 832, 7, 7))),
        ("avg_pool2d", (2,), ((16, 128, 56, 56), (16, 256, 28, 28), (16, 512, 14, 14), *SMALL)),
        ("avg_pool2d", (3, 1, 1), ((16, 192, 35, 35), (16, 832, 7, 7))),
        ("adaptive_avg_pool2d", (1,), ((16, 1280, 7, 7), (16, 512, 7, 7), (1, 512, 7, 7))),
        ("adaptive_avg_pool2d", (7,), ((16, 512, 14, 14), (16, 512, 7, 7), (16, 256, 13, 13))),
        ("adaptive_max_pool2d", (1,), ((16, 512, 7, 7),)),
        ("max_pool3d", (2,), ((2, 64, 16, 56, 56), (2, 256, 8, 14, 14))),
        ("avg_pool3d", (2,), ((2, 64, 16, 56, 56),)),
        ("lp_pool2d", (2.0, 2), (*NETWORK[:2], *SMALL)),
    )
    for op, words, shapes in pools:
        yield from (Case("pooling", op, shape, words) for shape in shapes)
    for shape in ((16, 64, 56, 56), (16, 512, 7, 7), (1, 6, 14, 14)):
        yield Case("pooling", "max_unpool2d", shape, (2,), parameters="places")
    for training in (True, False):
        for shape in ((16, 64, 112, 112), *NETWORK, *SMALL):
            yield Case("normalisation", "batch_norm", shape, (training,), parameters="statistics")
    for shape in ((16, 56, 56, 96), (16, 28, 28, 192), (16, 14, 14, 384), (16, 7, 7, 768), (16, 197, 768), (1, 49, 96)):
        yield Case("normalisation", "layer_norm", shape, (shape[-1:],), parameters="pair")
    for groups, shapes in ((32, NETWORK), (3, SMALL)):
        for shape in shapes:
            yield Case("normalisation", "group_norm", shape, (groups,), parameters="pair")
    for shape in ((16, 96, 27, 27), (16, 256, 13, 13), (1, 6, 28, 28)):
        yield Case("normalisation", "local_response_norm", shape, (5,))
    for shape in (*NETWORK, *SMALL):
        for op, named in ELEMENTWISE:
            yield Case("activation", op, shape, named=tuple(named.items()))
        yield Case("activation", "prelu", shape, parameters="slopes")
        for op in ("softmax", "log_softmax"):
            yield Case("activation", op, shape, (1,))
    yield from (Case("activation", op, (128, 1000), (1,)) for op in ("softmax", "log_softmax"))


def ways(case: Case, whole: bool, channels_last: bool, with_torch: bool) -> dict[str, Call]:
    """Return what is measured of a call, by names: "striderule" and PyTorch's; refuse results that are not alike."""
    arguments = case.arguments(np.random.default_rng(0), channels_last)
    named, op = dict(case.named), getattr(sr, case.op)
    y, pullback = sr.vjp(op, *arguments, **named)
    gy = np.empty_like(y)
    gy[...] = np.random.default_rng(1).standard_normal(y.shape)
    found: dict[str, Call] = {
        "striderule": (lambda: sr.vjp(op, *arguments, **named)[1](gy)) if whole else (lambda: pullback(gy))
    }
    if with_torch:
        theirs = _torch_ways(case, arguments, gy, whole)
        gradients = [one for one in found["striderule"]() if one is not None]
        for ours, other in zip(gradients, theirs["autograd"](), strict=True):
            np.testing.assert_allclose(ours, other.numpy(), rtol=0, atol=1e-4 * np.abs(ours).max())
        found |= theirs
    return found


def _torch_ways(case: Case, arguments: tuple[Any, ...], gy: Any, whole: bool) -> dict[str, Call]:
    import torch  # noqa: PLC0415 - takes seconds
    import torch.nn.functional as F  # noqa: N812, PLC0415 - everyone calls it that

    op, named = getattr(F, case.op), dict(case.named)
    given = [torch.from_numpy(one) if isinstance(one, np.ndarray) else one for one in arguments]
    fixed = (1, 2) if case.parameters == "statistics" else ()
    wanted = [
        one.requires_grad_()
        for place, one in enumerate(given)
        if isinstance(one, torch.Tensor) and one.is_floating_point() and place not in fixed
    ]
    y, back = op(*given, **named), torch.from_numpy(gy)
    if whole:
        return {"autograd": lambda: torch.autograd.grad(op(*given, **named), wanted, back)}
    found: dict[str, Call] = {"autograd": lambda: torch.autograd.grad(y, wanted, back, retain_graph=True)}
    node = y.grad_fn
    if all(one is None or type(one).__name__ == "AccumulateGrad" for one, _ in node.next_functions):
        rest = (None,) * (len(node._input_metadata) - 1)  # noqa: SLF001 - of results that have no gradient
        found["node"] = lambda: node(back, *rest)
    return found


def measured(case: Case, words: argparse.Namespace, with_torch: bool) -> dict[str, Any]:
    """Measure one call."""
    timings = take_turns(ways(case, words.whole, words.channels_last, with_torch), 1 if words.smoke else words.rounds)
    best = {name: one.best for name, one in timings.items()}
    return {"family": case.family, "call": case.name, "shape": case.shape, "seconds": best}


def main(arguments: list[str]) -> None:
    """Measure and print."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks pullbacks", description=about)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(FAMILIES)} (default: all)")
    parser.add_argument("--of", nargs="+", metavar="NAME", help="only these functions")
    parser.add_argument("--whole", action="store_true", help="the call with its pullback")
    parser.add_argument("--channels-last", action="store_true", help="arrays with channels last in memory, for both")
    parser.add_argument("--threads", type=int, metavar="N", help="for us and PyTorch (default: as striderule takes)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="bursts of each way (default: 5)")
    parser.add_argument("--smoke", action="store_true", help="one small call of each function, without PyTorch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    words = parser.parse_args(arguments)
    for family in words.families:
        if family not in FAMILIES:
            parser.error(f"no family {family!r}; there are {', '.join(FAMILIES)}")
    for word in ("threads", "rounds"):
        if getattr(words, word) is not None and getattr(words, word) < 1:
            parser.error(f"--{word} must be at least 1, got {getattr(words, word)}")
    chosen = [case for case in cases() if case.family in (words.families or FAMILIES)]
    chosen = [case for case in chosen if not words.of or case.op in words.of]
    if words.smoke:
        smallest = sorted(chosen, key=lambda case: math.prod(case.shape), reverse=True)
        chosen = list({case.op: case for case in smallest}.values())
    peers = {} if words.smoke else {name: one for name, one in installed().items() if name == "torch"}
    with_torch = peers.get("torch") is not None
    share_threads(peers, words.threads or workers.get_num_threads())
    console, watch = Console(highlight=False), neighbours.Watch()
    console.width = max(console.width, 120)
    rows = [measured(case, words, with_torch) for case in track(chosen, console=console, transient=True)]
    show(console, rows)
    console.print(neighbours.told(watch.others()) or "", soft_wrap=True)
    if words.json:
        words.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {words.json}")


def show(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print a table, and for each family the geometric mean of the ratios and the worst of them."""
    drawn = Table(box=box.MARKDOWN)
    for heading in ("call", "x", "ours, µs", "autograd, µs", "node, µs", "ratio"):
        drawn.add_column(heading, justify="left" if heading in ("call", "x") else "right", no_wrap=True)
    for row in rows:
        times = (row["seconds"].get(way) for way in ("striderule", "autograd", "node"))
        told = ("-" if one is None else f"{1e6 * one:.1f}" for one in times)
        drawn.add_row(row["call"], _size(row), *told, f"{_ratio(row):.2f}" if len(row["seconds"]) > 1 else "-")
    console.print(drawn)
    for family in FAMILIES:
        some = [row for row in rows if row["family"] == family and len(row["seconds"]) > 1]
        if not some:
            continue
        worst = min(some, key=_ratio)
        console.print(
            f"{family}: {len(some)} rows, geometric mean {_mean(some, _ratio):.2f}, worst {_ratio(worst):.2f} "
            f"({worst['call']} of {_size(worst)}); to autograd.grad {_mean(some, _to_autograd):.2f}",
            soft_wrap=True,
        )


def _ratio(row: dict[str, Any]) -> float:
    return float(min(one for way, one in row["seconds"].items() if way != "striderule") / row["seconds"]["striderule"])


def _to_autograd(row: dict[str, Any]) -> float:
    return float(row["seconds"]["autograd"] / row["seconds"]["striderule"])


def _mean(rows: list[dict[str, Any]], of: Callable[[dict[str, Any]], float]) -> float:
    return math.exp(sum(math.log(of(row)) for row in rows) / len(rows))


def _size(row: dict[str, Any]) -> str:
    return "x".join(map(str, row["shape"]))
