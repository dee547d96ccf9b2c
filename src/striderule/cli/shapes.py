"""``striderule shape``: sizes through a chain of layers."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer


def shape_command(
    size: Annotated[str, typer.Argument(metavar="SIZE", help="224, 224x320, any number of axes.", show_default=False)],
    layers: Annotated[
        list[str],
        typer.Argument(metavar="LAYER...", help="conv:7,s2,p3  pool:3,s2,p1  convT:4,s2,p1", show_default=False),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Work out sizes, receptive field and effective stride through a chain of layers.

    A layer is its kind (conv, pool or convT), the kernel size, and options:
    s2 stride, p3 padding (or psame, psame_lower, pvalid, pfull, pcausal),
    d2 dilation, ceil for pooling, op1 output padding of convT. A value for
    each axis is written 3x5.

    [bold]Examples[/bold]

      striderule shape 224 conv:7,s2,p3 pool:3,s2,p1 conv:3,p1

      striderule shape 224x320 conv:3x5,psame,s2 --json

      striderule shape 16x64x64 conv:3,d2 convT:4,s2,p1
    """
    from striderule.cli.layers import parse_layer, parse_size, run

    start = parse_size(size)
    steps = run(start, [parse_layer(layer) for layer in layers])
    if as_json:
        typer.echo(json.dumps(_plain(start, steps), indent=2))
    else:
        _print(start, steps)


def _plain(start: tuple[int, ...], steps: list[Any]) -> dict[str, Any]:
    def number(value: Any) -> int | float:
        return int(value) if value.denominator == 1 else float(value)

    layers = [
        {
            "layer": step.layer.text,
            "kind": step.layer.kind,
            "input_size": list(step.before),
            "size": list(step.after),
            "padding": [list(pair) for pair in step.padding],
            "formula": list(step.formulas),
            "receptive_field": list(step.field),
            "effective_stride": [number(value) for value in step.stride],
        }
        for step in steps
    ]
    return {"input_size": list(start), "layers": layers}


def _print(start: tuple[int, ...], steps: list[Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", style="bold", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("formula", overflow="fold")
    table.add_column("field", justify="right", no_wrap=True)
    table.add_column("stride", justify="right", no_wrap=True)
    table.add_row("input", _times(start), "", _times((1,) * len(start)), _times((1,) * len(start)))
    for step in steps:
        alike = len(set(step.formulas)) == 1
        lines = step.formulas[0] if alike else "\n".join(step.formulas)
        table.add_row(escape(step.layer.text), _times(step.after), lines, _times(step.field), _times(step.stride))
    console = Console(highlight=False)
    console.print(table)
    console.print("[dim]field: input positions that an output sees; stride: between its neighbours[/dim]")


def _times(values: tuple[Any, ...]) -> str:
    return "x".join(str(value) for value in values)
