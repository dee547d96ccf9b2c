"""``striderule explain``: how a call would be computed, and how long it takes."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

# What --input, --weight and --kernel-size are called by the functions.
_NAMES = {"input": ("x", "image"), "weight": ("weight", "kernel"), "kernel_size": ("kernel_size",)}
# `--run` leaves out what is predicted to take longer, in seconds.
LONGEST = 5.0


def explain_command(
    operation: Annotated[str, typer.Argument(help="conv2d, conv_transpose1d, max_pool2d, correlate...")],
    shape: Annotated[str, typer.Option("--input", help="Shape of the input: 1,64,56,56.", show_default=False)],
    weight: Annotated[str, typer.Option(help="Shape of the weight or kernel: 64,64,3,3.")] = "",
    kernel_size: Annotated[str, typer.Option(help="Kernel size of pooling and unfold: 3 or 3,5.")] = "",
    stride: Annotated[str, typer.Option(help="One number, or one an axis: 2 or 2,1.")] = "",
    padding: Annotated[str, typer.Option(help="Numbers likewise, or a word such as same.")] = "",
    dilation: Annotated[str, typer.Option(help="Numbers likewise.")] = "",
    groups: Annotated[str, typer.Option(help="Number of groups.")] = "",
    boundary: Annotated[str, typer.Option(help="constant, edge, symmetric, mirror or wrap.")] = "",
    precision: Annotated[str, typer.Option(help="highest, high or medium.")] = "",
    algorithm: Annotated[str, typer.Option(help="Ask for an algorithm by name.")] = "",
    dtype: Annotated[str, typer.Option(help="Type of the operands.")] = "float32",
    run: Annotated[bool, typer.Option("--run", help="Measure every candidate on random data, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell which algorithm a call would take, what it costs, and why not the others.

    [bold]Examples[/bold]

      striderule explain conv2d --input 1,64,56,56 --weight 64,64,3,3 --padding 1

      striderule explain max_pool2d --input 1,64,112,112 --kernel-size 3 --stride 2 --run

      striderule explain correlate --input 480,640 --weight 5,5 --dtype uint8 --json
    """
    import striderule as sr

    op = _operation(operation)
    words = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "boundary": boundary}
    words |= {"precision": precision, "algorithm": algorithm}
    given = {key: _value(text) for key, text in words.items() if text}
    shapes = {"input": _shape(shape, "--input")}
    if weight:
        shapes["weight"] = _shape(weight, "--weight")
    if kernel_size:
        given["kernel_size"] = _value(kernel_size)
    _check(op, operation, shapes, given)
    operands = {_name(op, option): sr.Array(sizes, dtype) for option, sizes in shapes.items()}
    plan = sr.explain(op, **operands, **given)
    measured = _measured(op, operands, given, plan) if run else {}
    if as_json:
        typer.echo(json.dumps(plan.to_dict() | ({"measured_seconds": measured} if run else {}), indent=2))
        return
    _print(plan, measured)


def _operation(name: str) -> Callable[..., Any]:
    import striderule as sr
    from striderule.errors import InvalidArgument
    from striderule.functional.planned import without_choice

    op = getattr(sr, name, None) or getattr(sr.filters, name, None)
    known = [word for word in dir(sr) if _has_input(getattr(sr, word)) and without_choice(getattr(sr, word)) is None]
    if not callable(op) or not (name in known or hasattr(sr.filters, name) or without_choice(op)):
        raise InvalidArgument(f"operation must be one of {', '.join(known)}, or a filter, got {name!r}")
    found: Callable[..., Any] = op
    return found


def _has_input(value: Any) -> bool:
    module = str(getattr(value, "__module__", ""))
    return inspect.isfunction(value) and module.startswith("striderule.functional.") and _name(value, "input") != ""


def _name(op: Callable[..., Any], option: str) -> str:
    """Return what an option is called by a function, or nothing where it has no such argument."""
    parameters = inspect.signature(op).parameters
    return next((name for name in _NAMES.get(option, (option,)) if name in parameters), "")


def _check(op: Callable[..., Any], operation: str, shapes: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuse options that the function has not, and options that it needs."""
    from striderule.errors import InvalidArgument

    for option in (*shapes, *given):
        if not _name(op, option):
            raise InvalidArgument(
                f"{operation} has no {option.replace('_', '-')}; leave --{option.replace('_', '-')} away"
            )
    parameters = inspect.signature(op).parameters
    for option in ("weight", "kernel_size"):
        name = _name(op, option)
        if name and option not in (*shapes, *given) and parameters[name].default is inspect.Parameter.empty:
            raise InvalidArgument(f"{operation} needs --{option.replace('_', '-')}")


def _shape(text: str, option: str) -> tuple[int, ...]:
    from striderule.errors import InvalidArgument

    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdecimal() and part.isascii() for part in parts):
        raise InvalidArgument(f"{option} must be whole numbers such as 1,64,56,56, got {text!r}")
    return tuple(int(part) for part in parts)


def _value(text: str) -> Any:
    """Return a number, a tuple of numbers, or the word itself."""
    parts = text.split(",")
    if not all(part.strip().removeprefix("-").isdecimal() for part in parts):
        return text
    numbers = tuple(int(part) for part in parts)
    return numbers if len(numbers) > 1 else numbers[0]


def _measured(op: Callable[..., Any], operands: dict[str, Any], given: dict[str, Any], plan: Any) -> dict[str, float]:
    """Return candidate -> the best of a few measured times in seconds, of those that can serve in bearable time."""
    import numpy as np

    random = np.random.default_rng(0)
    arrays = {}
    for name, spec in operands.items():
        data = random.standard_normal(spec.shape) if spec.dtype.kind in "fc" else random.integers(0, 2, spec.shape)
        arrays[name] = data.astype(spec.dtype)
    words = {key: value for key, value in given.items() if key != "algorithm"}
    found = {}
    for label, some in _candidates(plan).items():
        if len(some) == len(plan.passes) and sum(one.cost.seconds for one in some) <= LONGEST:
            found[label] = _best(partial(op, **arrays, **words, algorithm=label))
    return found


def _candidates(plan: Any) -> dict[str, list[Any]]:
    """Return label -> the candidates of all passes that can serve, the chosen one first, then the quickest."""
    able = [one for step in plan.passes for one in step.candidates if one.cost is not None]
    chosen = {step.chosen.label for step in plan.passes}
    order = sorted(able, key=lambda one: (one.label not in chosen, one.cost.seconds))
    return {label: [one for one in able if one.label == label] for label in dict.fromkeys(one.label for one in order)}


def _best(call: Callable[[], Any]) -> float:
    """Return the shortest time of calls within half a second, after one that does not count if it was short."""
    started = time.perf_counter()
    call()
    best = time.perf_counter() - started
    while time.perf_counter() - started < 0.5:
        before = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - before)
    return best


def _print(plan: Any, measured: dict[str, float]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from striderule.planning.report import seconds

    console = Console(highlight=False)
    console.print(escape(str(plan)), soft_wrap=True)
    if not measured:
        return
    headings = ("candidate", "predicted", "measured", "error at most", "may be chosen")
    table = Table.grid(*("" for _ in headings), padding=(0, 2))
    table.add_row(*(f"[bold]{heading}" for heading in headings))
    for label, some in _candidates(plan).items():
        taken = seconds(measured[label]) if label in measured else "-"
        bound = max(one.cost.error for one in some)
        may = "yes" if all(one.reason is None for one in some) else "no"
        row = (label, seconds(sum(one.cost.seconds for one in some)), taken, f"{bound:.1e}" if bound else "exact", may)
        table.add_row(*row)
    console.print()
    console.print(table)
