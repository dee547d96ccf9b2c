"""``striderule predict``: which digit a picture shows, by a model that ``striderule train digits`` made."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from striderule.cli.pictures import Frame


class Ink(enum.StrEnum):
    """Whether the digit is darker or lighter than the paper."""

    auto = "auto"
    dark = "dark"
    light = "light"


def predict_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="What train digits saved.", show_default=False)],
    sources: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="One digit on each.", show_default=False)],
    ink: Annotated[Ink, typer.Option(metavar="WORD", help="The digit is dark or light; auto looks.")] = Ink.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read the digit on a picture, with the probability of each.

    A picture of any size and kind, with one digit: colours are averaged,
    and the first page counts. The paper is what the edge of the picture
    mostly is, the ink what differs most from it. The digit is cut out and
    reduced to 8 x 8 pixels, as those that the model has learned from.

    [bold]Examples[/bold]

      striderule predict digits/model.safetensors seven.png

      striderule predict digits/model.safetensors *.png --json
    """
    import json

    import numpy as np

    from striderule.cli import pictures
    from striderule.errors import InvalidArgument
    from striderule.learning import handwriting, recogniser

    network = recogniser.load(model)
    small = []
    for source in sources:
        level = brightness(pictures.read(source).frames[0])
        try:
            small.append(handwriting.reduced(level, ink.value))
        except InvalidArgument as error:
            raise InvalidArgument(f"{source}: {error}") from None
    found = recogniser.probabilities(network, np.stack(small))
    if as_json:
        answers = [
            {"picture": str(source), "digit": int(row.argmax()), "probabilities": [float(one) for one in row]}
            for source, row in zip(sources, found, strict=True)
        ]
        typer.echo(json.dumps(answers))
    elif len(sources) == 1:
        _print_one(sources[0], found[0])
    else:
        _print_several(sources, found)


def brightness(frame: Frame) -> NDArray[Any]:
    """Return the brightness of a frame's first plane as floats: the mean of the colours, over white where it is clear.

    Raises
    ------
    InvalidArgument
        If it is no picture of rows and columns.
    """
    import numpy as np

    from striderule.cli import display
    from striderule.errors import InvalidArgument

    pixels = frame.pixels
    while pixels.ndim > (3 if frame.has_channels else 2):
        pixels = pixels[0]
    if 0 in pixels.shape or pixels.dtype.kind not in "uif":
        raise InvalidArgument(f"a picture must have rows and columns of numbers, got {pixels.shape}, {pixels.dtype}")
    room = display.limits(pixels.dtype)
    full = 1.0 if room is None else float(room[1])
    level = pixels.astype(np.float64)
    if not frame.has_channels:
        return level
    opacity = None
    if frame.alpha is not None:
        opacity = level[..., frame.alpha] / full
        level = np.delete(level, frame.alpha, axis=-1)
    if frame.colour == "cmyk":
        level = full - np.minimum(level[..., :3] + level[..., 3:], full)
    grey = np.asarray(level.mean(axis=-1))
    return grey if opacity is None else full + opacity * (grey - full)


def _print_one(source: Path, found: NDArray[Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{escape(str(source))}: [bold]{found.argmax()}[/bold]")
    table = Table()
    table.add_column("digit", justify="right")
    table.add_column("probability", justify="right")
    table.add_column("", width=20)
    for digit in found.argsort()[::-1]:
        table.add_row(str(digit), f"{100 * found[digit]:.2f} %", "█" * round(20 * found[digit]))
    console.print(table)


def _print_several(sources: list[Path], found: NDArray[Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    table.add_column("picture", overflow="fold")
    for name in ("digit", "probability", "else", "probability"):
        table.add_column(name, justify="right")
    for source, row in zip(sources, found, strict=True):
        first, second = row.argsort()[::-1][:2]
        cells = (str(first), f"{100 * row[first]:.2f} %", str(second), f"{100 * row[second]:.2f} %")
        table.add_row(escape(str(source)), *cells)
    Console(highlight=False).print(table)
