"""``striderule kernel``: kernels listed, described, shown and saved."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console
    from rich.text import Text

    from striderule.cli.specs import Kernel


def kernel_command(
    spec: Annotated[
        str | None,
        typer.Argument(metavar="KERNEL", help="Such as gaussian:2; without it, all kernels.", show_default=False),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the values as a table.")] = False,
    save: Annotated[Path | None, typer.Option(help="Write the values to this .npy file.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --save if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe a kernel, or list all that have names.

    [bold]Examples[/bold]

      striderule kernel

      striderule kernel gaussian:2 --show

      striderule kernel sobel:axis=0 --save down.npy
    """
    from rich.console import Console

    from striderule.cli.specs import parse
    from striderule.errors import InvalidArgument

    if spec is None:
        if show or save is not None:
            raise InvalidArgument(
                f"{'--show' if show else '--save'} needs a KERNEL, such as gaussian:2; none was given"
            )
        _list(Console(highlight=False), as_json)
        return
    kernel = parse(spec)
    if save is not None:
        _save(kernel, save, overwrite)
    if as_json:
        typer.echo(json.dumps(_plain(kernel)))
        return
    console = Console(highlight=False)
    for label, part in zip(kernel.labels, kernel.parts, strict=True):
        _describe(console, kernel.text, label, part)
        if show:
            _values(console, part)
    if len(kernel.parts) == 2:
        console.print("A filter with this name gives the magnitude of both: sqrt(a*a + b*b).")
    if save is not None:
        console.print(f"saved as {save}", markup=False)


def _list(console: Console, as_json: bool) -> None:
    from rich.table import Table

    from striderule.cli.specs import names, usage

    rows = {name: (usage(name, brief=not as_json), _summary(function)) for name, function in names().items()}
    if as_json:
        typer.echo(json.dumps({name: {"usage": written, "summary": text} for name, (written, text) in rows.items()}))
        return
    from striderule import filters
    from striderule.cli import chain

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for written, text in rows.values():
        table.add_row(written.replace("[", "\\["), text.replace("[", "\\["))
    console.print(table)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", overflow="fold")
    table.add_column()
    console.print("\nFilters that are no kernel, for [bold]striderule filter[/bold]:")
    for name in chain.filter_names():
        texts = chain.usage(name), _summary(getattr(filters, name))
        table.add_row(*(text.replace("[", "\\[") for text in texts))
    console.print(table)


def _summary(function: Any) -> str:
    """Return the first sentence of the docstring, from "the ..." on."""
    first = (inspect.getdoc(function) or "").partition("\n")[0]
    return first.removeprefix("Return ").partition(": ")[0].rstrip(".").replace("`", "")


def _save(kernel: Kernel, path: Path, overwrite: bool) -> None:
    import numpy as np

    from striderule.cli import beside
    from striderule.errors import InvalidArgument

    if len(kernel.parts) > 1:
        raise InvalidArgument(f"--save writes one kernel and {kernel.text} is two; add an argument such as :axis=0")
    if path.suffix != ".npy":
        raise InvalidArgument(f"--save must name a .npy file, got {path}")
    if path.is_dir():
        raise InvalidArgument(f"{path} is a folder; name a file in it")
    if path.exists() and not overwrite:
        raise InvalidArgument(f"{path} exists; add --overwrite to replace it, or choose another name")
    if not path.parent.is_dir():
        raise InvalidArgument(f"the folder {path.parent} does not exist; make it first")
    with beside.replacing(path, overwrite=overwrite) as fresh:
        np.save(fresh, kernel.parts[0], allow_pickle=False)


def _plain(kernel: Kernel) -> dict[str, Any]:
    parts = [
        {
            "label": label,
            "shape": list(part.shape),
            "dtype": str(part.dtype),
            "sum": part.sum().item(),
            "values": part.tolist(),
        }
        for label, part in zip(kernel.labels, kernel.parts, strict=True)
    ]
    return {"kernel": kernel.text, "parts": parts}


def _describe(console: Console, name: str, label: str, part: NDArray[Any]) -> None:
    import numpy as np
    from rich.markup import escape

    rows, columns = part.shape
    total, absolute = part.sum().item(), np.abs(part).sum().item()
    if abs(total) <= 1e-9 * absolute:
        meaning = "sums to 0: answers to changes, flat areas give 0"
    elif abs(total - 1) <= 1e-9 * absolute:
        meaning = "sums to 1: keeps the brightness of flat areas"
    else:
        meaning = f"sums to {total:.6g}: flat areas are multiplied by it"
    title = escape(name) + (f", {label}" if label else "")
    console.print(f"[bold]{title}[/bold]  {rows} x {columns}, {part.dtype}, centre at ({rows // 2}, {columns // 2})")
    console.print(f"values from {part.min():.6g} to {part.max():.6g}")
    console.print(meaning)


def _values(console: Console, part: NDArray[Any]) -> None:
    """Print the values in as many columns as the terminal has, in further blocks where they do not fit."""
    from rich import box
    from rich.table import Table

    texts, factor = _texts(part, console.width)
    if factor:
        console.print(f"each number times {factor}")
    blocks = _blocks(texts, console.width)
    for start, stop in blocks:
        table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 0, 0, 1), show_header=len(blocks) > 1)
        table.add_column(" ", style="dim", justify="right")
        for column in range(start, stop):
            table.add_column(str(column), justify="right", no_wrap=True)
        for row, numbers in enumerate(part):
            cells = [_coloured(texts[row][column], numbers[column], part) for column in range(start, stop)]
            table.add_row(str(row), *cells)
        console.print(table)
    if console.color_system is not None:
        console.print("[orange3]orange[/orange3] is positive, [blue]blue[/blue] negative")


def _blocks(texts: list[list[str]], width: int) -> list[tuple[int, int]]:
    """Return the columns, from and to, that fit side by side into `width` characters."""
    # Beside its text a column takes one space and one separator; before them stand the row numbers and the edges.
    taken = [max(len(row[c]) for row in texts) + 2 for c in range(len(texts[0]))]
    room = width - 4 - len(str(len(texts)))
    if sum(taken) <= room:
        return [(0, len(taken))]
    digits = len(str(len(taken))) + 2
    fitting = max(1, room // max(digits, *taken))
    return [(start, min(start + fitting, len(taken))) for start in range(0, len(taken), fitting)]


def _texts(part: NDArray[Any], width: int) -> tuple[list[list[str]], str]:
    """Return the values as texts, and the factor that they must be multiplied with ("" for none).

    Four decimals where they fit; else whole multiples of a power of ten, which keep three digits of the largest.
    """
    import math

    import numpy as np

    if part.dtype.kind in "iu":
        return [[str(value) for value in row] for row in part.tolist()], ""
    texts = [[f"{value:.4f}" for value in row] for row in part.tolist()]
    largest = float(np.abs(part).max())
    if largest == 0 or (largest >= 0.01 and len(_blocks(texts, width)) == 1):
        return texts, ""
    exponent = math.floor(math.log10(largest)) - 2
    whole = np.rint(part / 10.0**exponent).astype(np.int64)
    return [[str(value) for value in row] for row in whole.tolist()], f"1e{exponent}"


def _coloured(text: str, value: Any, part: NDArray[Any]) -> Text:
    """Return a number in the colour of its sign, dim where it is small beside the largest."""
    import numpy as np
    from rich.text import Text

    strength = abs(float(value)) / (float(np.abs(part).max()) or 1.0)
    if strength == 0:
        return Text(text, style="dim")
    colour = "orange3" if value > 0 else "blue"
    return Text(text, style=f"bold {colour}" if strength > 0.5 else colour)
