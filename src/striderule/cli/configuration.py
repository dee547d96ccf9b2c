"""``striderule config``: what a bug report should say."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def config_command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print versions, processor and threads.

    [bold]Examples[/bold]

      striderule config

      striderule config --json
    """
    from striderule.config import config, lines

    found = config()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines(found):
        table.add_row(name, value)
    Console(highlight=False).print(table)
