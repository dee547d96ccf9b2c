"""``striderule config``: what a bug report should say."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def config_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Measure peak, bandwidth and cost of a call, and keep them for predictions."),
    ] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Remove what --calibrate has measured.")] = False,
) -> None:
    """Print versions, processor, threads and measured rates.

    What --calibrate measures, in a second or two, changes what [bold]striderule explain[/bold] predicts, and never the
    choice of an algorithm: results stay the same. Let nothing else run meanwhile.

    [bold]Examples[/bold]

      striderule config

      striderule config --json

      striderule config --calibrate
    """
    from striderule import config as machine
    from striderule.cli.errors import fail
    from striderule.errors import InvalidArgument

    if calibrate and forget:
        raise InvalidArgument("--calibrate and --forget are opposites; give one of them")
    if forget:
        machine.forget()
    try:
        found = machine.calibrate() if calibrate else machine.config()
    except OSError as error:
        fail(f"what was measured cannot be kept: {error}")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in machine.lines(found):
        table.add_row(name, value)
    Console(highlight=False).print(table)
