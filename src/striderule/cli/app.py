"""The commands, put together. Each command imports what it needs when it runs, so that help comes at once."""

from __future__ import annotations

from typing import Annotated

import typer

from striderule._version import __version__
from striderule.cli.benching import bench
from striderule.cli.configuration import config_command
from striderule.cli.errors import Commands
from striderule.cli.explaining import explain_command
from striderule.cli.filtering import filter_command
from striderule.cli.kernels import kernel_command
from striderule.cli.predicting import predict_command
from striderule.cli.shapes import shape_command
from striderule.cli.touring import tour_command
from striderule.cli.training import train

app = typer.Typer(cls=Commands, rich_markup_mode="rich", pretty_exceptions_enable=False)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"striderule {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def striderule(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback has done the work
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Convolutions: filter pictures, work out layer shapes, train networks, take the tour.

    Every command explains itself with examples: [bold]striderule filter --help[/bold]
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command("filter")(filter_command)
app.command("shape")(shape_command)
app.command("kernel")(kernel_command)
app.command("explain")(explain_command)
app.command("tour")(tour_command)
app.command("config")(config_command)
app.command("predict")(predict_command)
app.add_typer(train)
app.add_typer(bench)
