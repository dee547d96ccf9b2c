"""``striderule train digits`` and ``striderule train kernel``: networks and kernels that learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striderule.cli.kernel_training import train_kernel

if TYPE_CHECKING:
    from rich.console import Console

    from striderule.learning.recogniser import Trained

train = typer.Typer(name="train", no_args_is_help=True)


@train.callback()
def _group() -> None:
    """Train a network on digits, or learn a kernel.

    [bold]Examples[/bold]

      striderule train digits

      striderule train kernel --from photo.jpg --to edges.png
    """


@train.command("digits")
def train_digits(
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="How often every picture is seen.")] = 25,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of weights, order and moves; the first of several.")
    ] = 0,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Train so many networks, each from the next seed.")
    ] = 1,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder for the page, its figures and the model.")
    ] = Path("digits"),
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the model goes, if not there.", show_default=False)
    ] = None,
    rate: Annotated[float, typer.Option(metavar="R", min=1e-6, max=1.0, help="The largest learning rate.")] = 0.003,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table: the last line alone.")] = False,
) -> None:
    """Train LeNet on scikit-learn's handwritten digits; one in five is held out.

    Writes a page with the loss, the learned kernels and the mistakes, and a
    model for [bold]striderule predict[/bold], replacing those of an earlier
    training. Of several seeds, both are of the first. The same seed gives the
    same bits.

    [bold]Examples[/bold]

      striderule train digits

      striderule train digits --seeds 5

      striderule train digits --epochs 5 --seed 7 --out quick
    """
    from rich.console import Console

    from striderule.cli import digits_page
    from striderule.learning import digits, recogniser
    from striderule.tour import files

    training, test = digits.load()
    place = files.folder(out)
    kept = place / "model.safetensors" if model is None else model
    _check_model(kept)
    console = Console(highlight=False, soft_wrap=True)
    if not quiet:
        console.print(f"LeNet, {len(training)} digits to learn from, {len(test)} held out")
    runs: list[Trained] = []
    for number in range(seed, seed + seeds):
        if not quiet and seeds > 1:
            Console(stderr=True, highlight=False).print(f"seed {number}")
        runs.append(recogniser.train(training, test, seed=number, epochs=epochs, rate=rate, progress=not quiet))
        if len(runs) == 1:
            recogniser.save(runs[0], kept)
    index = digits_page.write(place, runs, len(training), kept)
    if not quiet:
        _table(console, runs)
        console.print(f"model: {kept}", markup=False)
        console.print("The page is ready; open it in a browser:")
        console.print(f"  {index.resolve().as_uri()}", markup=False)
    mean = sum(run.accuracy for run in runs) / len(runs)
    several = f"mean test accuracy over {len(runs)} seeds" if len(runs) > 1 else "test accuracy"
    console.print(f"{several}: {100 * mean:.1f} %")


train.command("kernel")(train_kernel)


def _check_model(path: Path) -> None:
    """Refuse a place for the model before the work begins."""
    from striderule.errors import InvalidArgument

    if path.suffix != ".safetensors":
        raise InvalidArgument(f"--model must name a .safetensors file, got {path}")
    if path.is_dir():
        raise InvalidArgument(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise InvalidArgument(f"the folder {path.parent} does not exist; make it first")


def _table(console: Console, runs: list[Trained]) -> None:
    from rich.table import Table

    table = Table()
    for name in ("seed", "test accuracy", "mistakes", "training loss", "seconds"):
        table.add_column(name, justify="right")
    for run in runs:
        table.add_row(*row(run))
    console.print(table)


def row(run: Any) -> list[str]:
    """Return what a training came to: seed, accuracy, mistakes, loss, seconds."""
    return [
        str(run.seed),
        f"{100 * run.accuracy:.2f} %",
        f"{len(run.mistakes)} of {len(run.test)}",
        f"{run.history['loss'][-1]:.4f}",
        f"{run.seconds:.1f}",
    ]
