"""The plan printed: the chosen, the rejected, and the reasons."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from striderule.geometry.gradients import WeightGradient
from striderule.geometry.padding import Sides
from striderule.geometry.problem import Convolution, LocalConvolution, TransposedConvolution, Unfold
from striderule.planning.rules import PROMISES

if TYPE_CHECKING:
    from striderule.planning.choose import Candidate, Plan, Plans

_PLAIN_WORDS: dict[str, Any] = {"stride": 1, "dilation": 1, "padding": 0, "groups": 1, "output_padding": 0}


def describe(problem: Any) -> str:
    """Return a problem in one line: the operation, its shapes, and what is not the default.

    >>> describe(Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), padding=1))
    'convolution of 1x64x56x56 by 64x64x3x3, padding 1, gives 1x64x56x56, float32'
    """
    if isinstance(problem, WeightGradient):
        return f"weight gradient of {describe(problem.plain)}"
    if isinstance(problem, LocalConvolution):
        return f"local {describe(problem.plain)}, tile {_times(problem.tile)}"
    if isinstance(problem, Convolution):
        kernel = (problem.out_channels, problem.in_channels // problem.groups, *problem.kernel)
        return _sentence("convolution", problem, problem.in_channels, kernel)
    if isinstance(problem, TransposedConvolution):
        kernel = (problem.in_channels, problem.out_channels // problem.groups, *problem.kernel)
        return _sentence("transposed convolution", problem, problem.in_channels, kernel)
    if isinstance(problem, Unfold):
        return _sentence("windows", problem, problem.channels, problem.kernel)
    kind = getattr(problem, "kind", "fractional max" if hasattr(problem, "sample_column") else "")
    name = f"{kind} pooling".strip() if kind else "unpooling"
    return _sentence(name, problem, problem.channels, getattr(problem, "kernel", ()))


def _sentence(name: str, problem: Any, channels: int, kernel: tuple[int, ...]) -> str:
    parts = [f"{name} of {_times((problem.batch, channels, *problem.size))}"]
    if kernel:
        parts[0] += f" by {_times(kernel)}"
    for word, usual in _PLAIN_WORDS.items():
        value = getattr(problem, word, usual)
        plain = _sides(value) if word == "padding" and value != usual else _same(value)
        if plain != str(usual):
            parts.append(f"{word} {plain}")
    shape = problem.columns_shape if isinstance(problem, Unfold) else problem.output_shape
    parts.append(f"gives {_times(shape)}")
    if hasattr(problem, "dtype"):
        parts.append(problem.dtype)
    return ", ".join(parts)


def _same(value: Any) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return str(value[0]) if len(set(value)) == 1 else _times(value)


def _sides(padding: Sides) -> str:
    sides = [str(before) if before == after else f"{before}+{after}" for before, after in padding]
    return _same(tuple(sides))


def _times(values: tuple[Any, ...]) -> str:
    return "x".join(str(value) for value in values)


def seconds(value: float) -> str:
    """Return a time in the unit that suits it.

    >>> seconds(0.00123), seconds(4.2e-6), seconds(75)
    ('1.2 ms', '4.2 µs', '75 s')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{_digits(value / scale)} {unit}"
    return f"{value / 1e-9:.0f} ns"


def size(count: float) -> str:
    """Return a number of bytes in the unit that suits it.

    >>> size(512), size(1_900_000)
    ('512 B', '1.9 MB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{_digits(count / scale)} {unit}"
    return f"{count:.0f} B"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def items(plan: Plan) -> list[tuple[str, str]]:
    """Return what is told of the chosen algorithm, as (name, text) lines."""
    cost, machine = plan.cost, plan.machine
    arithmetic = plan.work.arithmetic(machine)
    bound = "arithmetic" if arithmetic >= plan.work.least_bytes / machine.bandwidth else "memory"
    asked = " (asked for)" if plan.forced else ""
    return [
        ("problem", describe(plan.problem)),
        *([("kernel", str(plan.problem.form))] if getattr(plan.problem, "form", None) else []),
        ("chosen", f"{plan.chosen.label}{asked}: {plan.chosen.describes}"),
        *([("tile", cost.tile)] if cost.tile else []),
        ("predicted", f"{seconds(cost.seconds)}, {plan.share:.0%} of the limit, which {bound} sets"),
        ("operations", f"{plan.work.operations:,} {plan.work.operation_name}{_added(plan)}"),
        ("bytes moved", size(cost.bytes_moved)),
        ("workspace", size(cost.workspace)),
        *([("weights", _weights(plan))] if plan.packed or cost.packing else []),
        ("error", _error(plan)),
    ]


def _added(plan: Plan) -> str:
    extra = plan.cost.operations - plan.work.operations
    if not extra or not plan.work.operations:
        return ""
    if extra < 0:
        return f", in the place of which {plan.cost.operations:,} do"
    return f", and {extra / plan.work.operations:.0%} more at the edges of tiles"


def _weights(plan: Plan) -> str:
    return "packed before" if plan.packed else f"packed by each call, {seconds(plan.cost.packing)} of the time"


def _error(plan: Plan) -> str:
    if plan.cost.error == 0 or plan.work.operation_name != "multiply-adds":
        return "none: exact" if not plan.work.dtype.startswith(("float", "complex")) else "that of one rounding"
    found = f"at most {plan.cost.error:.1e} of |x| * |w|, {plan.cost.random_error:.1e} of random results"
    if plan.work.dtype != "float32":
        return found
    random, bound = PROMISES[plan.precision]
    return f"{found}; {plan.precision!r} promises {bound:.0e} and {random:.0e}"


def verdict(candidate: Candidate) -> str:
    """Return why a candidate was not chosen: its reason, or its predicted time; and how far it may err."""
    if candidate.cost is None:
        return candidate.reason or ""
    parts = [candidate.reason, f"{seconds(candidate.cost.seconds)} predicted"]
    if candidate.cost.error and "its error" not in (candidate.reason or ""):
        parts.append(f"error at most {candidate.cost.error:.1e}")
    return "; ".join(part for part in parts if part)


def rejected(plan: Plan) -> list[tuple[str, str]]:
    """Return (label, why) of the candidates that were not chosen."""
    return [(other.label, verdict(other)) for other in plan.others]


def text(plan: Plan) -> str:
    """Return a plan in words and numbers."""
    lines = items(plan)
    for name, why in rejected(plan):
        lines.append(("not chosen", f"{name}: {why}"))
    machine = plan.machine
    gigaflops = machine.peak(plan.work.multiplied or plan.work.dtype) / 1e9
    lines.append(
        (
            "machine",
            f"{machine.name}, {machine.cores} {'core' if machine.cores == 1 else 'cores'}: "
            f"{gigaflops:,.0f} GFLOP/s, {machine.bandwidth / 1e9:,.0f} GB/s",
        )
    )
    return "\n".join(f"{name:12}{line}" for name, line in lines)


def text_of_passes(plans: Plans) -> str:
    """Return the passes one after the other; equal ones in a row are told once."""
    if not plans.passes:
        return f"{plans.operation}: {plans.note}"
    total = sum(plan.cost.seconds for plan in plans.passes)
    parts = [f"{plans.operation}: {len(plans.passes)} passes, {seconds(total)} predicted"]
    number = 1
    for plan, group in groupby(plans.passes):
        count = len(list(group))
        name = f"pass {number}" if count == 1 else f"passes {number} to {number + count - 1}, alike"
        parts.append(f"\n{name}\n{text(plan)}")
        number += count
    return "\n".join(parts)


def plain(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain data."""
    return {
        "problem": describe(plan.problem),
        "kernel": str(getattr(plan.problem, "form", None) or "") or None,
        "algorithm": plan.algorithm,
        "forced": plan.forced,
        "packed": plan.packed,
        "precision": plan.precision,
        "promised": _promised(plan),
        "operations": plan.work.operations,
        "operation_name": plan.work.operation_name,
        "dtype": plan.work.dtype,
        "limit_seconds": plan.work.limit(plan.machine),
        "share_of_limit": plan.share,
        **{name: value for name, value in plan.cost.to_dict().items() if name != "operations"},
        "candidates": [candidate.to_dict() for candidate in plan.candidates],
        "machine": plan.machine.to_dict(),
    }


def _promised(plan: Plan) -> dict[str, float] | None:
    """Return the errors that a precision promises for float32: of random data, and of any."""
    if plan.work.dtype != "float32":
        return None
    random, bound = PROMISES[plan.precision]
    return {"random_error": random, "error": bound}
