"""The page of ``striderule train digits``: how the loss fell, what the kernels became, what is still mistaken."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striderule import figures
from striderule.learning import recogniser
from striderule.learning.digits import CREDIT, Digits
from striderule.learning.recogniser import Trained
from striderule.tour import files, markdown, showing, webpage

TITLE = "LeNet learns to read digits"
Figure = Callable[..., str]
# Mistakes and digits that are drawn, at most.
SHOWN, CLOSE = 24, 8


def write(place: Path, runs: Sequence[Trained], learned_from: int, model: Path) -> Path:
    """Write the page and its figures into a folder, and return the page; figures are those of the first training."""
    first = runs[0]
    with showing.collecting() as album:
        drawings(first)
    shots = {shot.name: shot for shot in album}
    for shot in album:
        files.write(files.folder(place / "figures") / f"{shot.name}.png", shot.png)

    def figure(caption: str, **described: str) -> str:
        return webpage.figure([shots[name] for name in described], list(described.values()), caption)

    parts = [
        webpage.Section("curves", 1, "How it learned", _learning(runs, figure)),
        webpage.Section("kernels", 2, "What the kernels became", _kernels(figure)),
        webpage.Section("mistakes", 3, "What it mistakes", _mistakes(first, figure)),
        webpage.Section("use", 4, "Use it", _use(first, model)),
    ]
    page = webpage.document(TITLE, _introduction(first, learned_from), parts, markdown.inline(CREDIT))
    return files.write(place / "index.html", page)


def drawings(trained: Trained) -> None:
    """Show the figures of a training."""
    history = trained.history
    first, second = (trained.model.parameters()[f"{name}.weight"] for name in ("conv1", "conv2"))
    showing.show(
        loss=figures.curves({"loss": history["loss"]}, title="loss of each epoch", log=True),
        accuracy=figures.curves({"accuracy": [100 * one for one in history["accuracy"]]}, title="training accuracy, %"),
        first=figures.feature_maps(
            first[:, 0], values=False, columns=6, titles=[f"map {k + 1}" for k in range(len(first))]
        ),
        second=figures.feature_maps(
            [kernel for kernels in second.transpose(1, 0, 2, 3) for kernel in kernels],
            values=False,
            columns=len(second),
        ),
        close=_read(trained, _closest(trained)),
        digits=_digits(trained.test, range(SHOWN)),
    )
    if len(trained.mistakes):
        showing.show(mistakes=_read(trained, trained.mistakes[:SHOWN]))


def _closest(trained: Trained) -> Any:
    """Return the pictures that were read right with the least certainty, those first."""
    sure = trained.probabilities.max(axis=1)
    order = np.argsort(sure, kind="stable")
    return order[(trained.answers == trained.test.classes)[order]][:CLOSE]


def _digits(digits: Digits, which: Sequence[int]) -> Any:
    """Draw some digits, dark on light, with what they show."""
    titles = [f"{digits.classes[k]}" for k in which]
    return figures.feature_maps(
        [1 - digits.pictures[k] for k in which], values=False, columns=8, titles=titles, cmap="gray"
    )


def _read(trained: Trained, chosen: Any) -> Any:
    """Draw pictures with what each is, what it was read as, and how sure the network was."""
    titles = [
        f"{trained.test.classes[k]} read as {trained.answers[k]} ({100 * trained.probabilities[k].max():.0f} %)"
        for k in chosen
    ]
    pictures = [1 - trained.test.pictures[k] for k in chosen]
    return figures.feature_maps(pictures, values=False, columns=min(4, len(pictures)), titles=titles, cmap="gray")


def _introduction(trained: Trained, learned_from: int) -> str:
    right = len(trained.test) - len(trained.mistakes)
    return markdown.html(
        f"LeNet-5, the network of 1998 that read the amounts on cheques, has learned from {learned_from:,} pictures of "
        f"digits that people wrote by hand. Of {len(trained.test)} others, which it had never seen, it reads {right} "
        f"right: **{100 * trained.accuracy:.2f} %**.\n\n"
        "The pictures are scikit-learn's, 8 by 8 pixels. They are enlarged to 28 by 28 in the middle of 32 by 32, as "
        "the network expects, and each time one is seen it is turned, moved and stretched a little. Which pictures "
        "are held out is fixed, and nothing was chosen by them: they are looked at once, at the end."
    )


def _learning(runs: Sequence[Trained], figure: Figure) -> str:
    first = runs[0]
    text = (
        f"{len(first.history)} times through all pictures, in {first.seconds:.1f} seconds. The loss is the mean of "
        "−log(the probability given to the right digit), over pictures as they were moved. The accuracy is that on the "
        "same pictures, so it starts low and says little about new ones; what counts is the one above."
    )
    drawn = figure(
        "The loss, on an axis that counts powers of ten, and the share of pictures read right while learning.",
        loss="A curve that falls steeply for some epochs and then flattens.",
        accuracy="A curve that rises steeply for some epochs and then flattens near one hundred per cent.",
    )
    return markdown.html(text) + drawn + (markdown.html(_seeds(runs)) if len(runs) > 1 else "")


def _seeds(runs: Sequence[Trained]) -> str:
    from striderule.cli.training import row

    mean = 100 * sum(run.accuracy for run in runs) / len(runs)
    rows = "\n".join(f"| {' | '.join(row(run))} |" for run in runs)
    return (
        f"## {len(runs)} seeds\n\nEach seed draws other first weights, another order and other moves; the pictures "
        f"held out are the same. On average {mean:.2f} % are read right. The rest of this page is of seed "
        f"{runs[0].seed}.\n\n"
        f"| seed | test accuracy | mistakes | training loss | seconds |\n|---|---|---|---|---|\n{rows}"
    )


def _kernels(figure: Figure) -> str:
    text = (
        "Nobody told the network what to look for. Its first layer has six kernels of 5 by 5, which look at the "
        "picture; blue takes away and orange adds. Some have become detectors of strokes in one direction, others of "
        "the ends and edges of strokes. The second layer has a kernel for each pair of one of these six maps (a row) "
        "and one of its sixteen own (a column)."
    )
    return (
        markdown.html(text)
        + figure("The six kernels of the first layer.", first="Six patterns of five by five cells in blue and orange.")
        + figure(
            "The 96 kernels of the second layer: a row for each map of the first layer, a column for each of its own.",
            second="Six rows of sixteen patterns of five by five cells in blue and orange.",
        )
    )


def _mistakes(trained: Trained, figure: Figure) -> str:
    some = figure(
        "Read right, but by a narrow margin.",
        close="Eight handwritten digits that are read right, with the low probabilities of the answers above.",
    ) + figure(
        "Some of the digits held out, as the network gets them: 8 by 8 pixels, and which digit each is.",
        digits="Three rows of eight handwritten digits, coarse and grey, with their names above.",
    )
    if not len(trained.mistakes):
        return markdown.html("None of the pictures held out. Another seed will have some.") + some
    more = f", the surest {SHOWN} of them" if len(trained.mistakes) > SHOWN else ""
    wrong = figure(
        f"The pictures read wrong{more}: what each is, what it was read as, and how sure the network was.",
        mistakes="Handwritten digits that are hard to tell, with their right and their wrong name above.",
    )
    rows = [
        f"| {k} | {(trained.test.classes == k).sum()} | {_confused(trained, k)} |"
        for k in np.unique(trained.test.classes[trained.mistakes])
    ]
    table = "| digit | held out | read as |\n|---|---|---|\n" + "\n".join(rows)
    return wrong + markdown.html(table) + some


def _confused(trained: Trained, digit: int) -> str:
    """Return what a digit was mistaken for, such as ``7 (once), 9 (twice)``."""
    answers = trained.answers[(trained.test.classes == digit) & (trained.answers != digit)]
    times = {1: "once", 2: "twice"}
    counts = [(int((answers == k).sum()), int(k)) for k in np.unique(answers)]
    return ", ".join(f"{k} ({times.get(count, f'{count} times')})" for count, k in counts)


def _use(trained: Trained, model: Path) -> str:
    command = f"striderule predict {shlex.quote(str(model))} picture.png"
    return markdown.html(
        f"`{command}` reads the digit on a picture: dark on light or light on dark, one digit, of any size. It is cut "
        f"out and reduced as the data were: {recogniser.PREPROCESSING}.\n\nThe model is a safetensors file of "
        f"{sum(value.size for value in trained.model.parameters().values()):,} numbers."
    )
