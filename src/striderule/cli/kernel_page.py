"""What ``striderule train kernel`` found: in numbers, in lines, and as a page."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule import figures, kernels
from striderule.learning.one_kernel import Learned, Likeness, closest
from striderule.tour import files, markdown, showing, webpage

Figure = Callable[..., str]
TITLE = "A kernel, learned from two pictures"
# Pictures are drawn with at most so many rows and columns, every n-th of them.
SHOWN = 360


@dataclass(frozen=True)
class Result:
    """What was learned, what it is like, and what it makes of the whole source.

    `wrong` is the root of the mean square by which the result misses the target, in the target's units, and `rest`
    that as a part of the target's variance, both over pixels where the kernel fits within.
    """

    learned: Learned
    like: Likeness
    source: NDArray[Any]
    target: NDArray[Any]
    made: NDArray[Any]
    wrong: float
    rest: float


def result(learned: Learned, source: NDArray[Any], target: NDArray[Any]) -> Result:
    """Return what came of (planes, rows, columns)."""
    top, left = (k // 2 for k in learned.weight.shape)
    made = np.stack([learned(plane) for plane in source])
    inside = target[:, top : top + made.shape[1], left : left + made.shape[2]]
    square = float(((made - inside) ** 2).mean())
    share = square / max(float(inside.var()), 1e-30)
    return Result(learned, closest(learned.weight), source, inside, made, square**0.5, share)


def plain(found: Result) -> dict[str, Any]:
    """Return the numbers for JSON."""
    return {
        "kernel": found.learned.weight.tolist(),
        "bias": found.learned.bias,
        "closest": found.like.name,
        "cosine": found.like.cosine,
        "times": found.like.factor,
        "rms_error": found.wrong,
        "unexplained": found.rest,
        "least_squares": found.learned.exact.tolist(),
    }


def verdict(found: Result) -> str:
    """Return the closest kernel, in one line."""
    if not found.like.name:
        return "closest kernel: none with a name is like it"
    return f"closest kernel: {found.like.name}, times {found.like.factor:.4g}, cosine {found.like.cosine:.5f}"


def rest(found: Result) -> list[str]:
    """Return what is left over, in lines."""
    learned = found.learned
    lines = [
        f"plus {learned.bias:.4g}; the result misses the target by {found.wrong:.3g} (root mean square), "
        f"{100 * found.rest:.3g} % of its variance",
        f"within {100 * learned.agreement:.2g} % of what least squares give for the same pixels",
    ]
    if (found.target == np.rint(found.target)).all():
        lines.append("the target holds whole numbers: rounding alone misses by 0.289, which is the root of 1/12")
    if learned.left_out:
        lines.append(
            f"{learned.left_out} of {learned.samples} samples lie at the ends of the target's range, where they may "
            "have "
            "been clipped: not learned from"
        )
    if found.rest > 0.05:
        lines.append(
            "no kernel of this size does all of it: the target may be no sum of neighbours (lengths of gradients, "
            "medians, "
            "edges of one pixel), or take more neighbours (--size)"
        )
    return lines


def write(place: Path, found: Result, source: str, target: str) -> Path:
    """Write the page, its figures and the kernel into a folder, and return the page."""
    with showing.collecting() as album:
        drawings(found)
    shots = {shot.name: shot for shot in album}
    for shot in album:
        files.write(files.folder(place / "figures") / f"{shot.name}.png", shot.png)
    data = io.BytesIO()
    np.save(data, found.learned.weight, allow_pickle=False)
    files.write(place / "kernel.npy", data.getvalue())

    def figure(caption: str, **described: str) -> str:
        return webpage.figure([shots[name] for name in described], list(described.values()), caption)

    introduction = markdown.html(
        f"Two pictures are given, {_code(source)} before and {_code(target)} after; the kernel between them is not. "
        "It is "
        f"found by going downhill: from random numbers, {len(found.learned.losses)} small steps, each of which makes "
        "the "
        "result a little more like the target."
    )
    parts = [
        webpage.Section("kernel", 1, "What was learned", _kernel(found, figure)),
        webpage.Section("way", 2, "How it was learned", _way(found, figure)),
        webpage.Section("pictures", 3, "What it makes of the picture", _pictures(figure)),
    ]
    page = webpage.document(TITLE, introduction, parts, "The pictures are your own.")
    return files.write(place / "index.html", page)


def drawings(found: Result) -> None:
    """Show the figures."""
    learned, like = found.learned, found.like
    low, high = (float(one) for one in np.percentile(found.target, (0.5, 99.5)))
    showing.show(
        learned=figures.kernel(learned.weight, title="learned"),
        scaled=figures.kernel(learned.weight / like.factor, title=f"learned, divided by {like.factor:.3g}"),
        down=figures.kernel(kernels.sobel(0), title="Sobel's, downwards"),
        right=figures.kernel(kernels.sobel(1), title="Sobel's, to the right"),
        closest=figures.kernel(like.kernel, title=f"closest: {like.name or 'none'}"),
        loss=figures.curves({"loss": np.maximum(learned.losses, 1e-12)}, title="loss", xlabel="step", log=True),
        before=figures.image(_small(found.source), title="before"),
        target=figures.image(_small(found.target), title="after, as given", vmin=low, vmax=max(high, low + 1e-9)),
        made=figures.image(
            _small(found.made), title="after, by the learned kernel", vmin=low, vmax=max(high, low + 1e-9)
        ),
        missed=figures.image(_small(found.made - found.target), title="difference", cmap="signed", colorbar=True),
    )


def _small(planes: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of the planes, every n-th row and column of it."""
    step = -(-max(planes.shape[1:]) // SHOWN)
    return np.asarray(planes.mean(axis=0)[::step, ::step])


def _code(name: str) -> str:
    return "`" + name.replace("`", "'") + "`"


def _kernel(found: Result, figure: Figure) -> str:
    lines = "\n".join(f"- {line[0].upper()}{line[1:]}." for line in rest(found))
    name = verdict(found)
    text = f"{name[0].upper()}{name[1:]}. It is that of the angle between the two: 1 for the same direction.\n\n{lines}"
    return (
        figure(
            "The kernel that was learned; the same without its scale; and the closest one with a name.",
            learned="The learned kernel as cells with numbers, blue below zero and orange above.",
            scaled="The learned kernel divided by its scale, as cells with numbers.",
            closest="The closest kernel with a name, as cells with numbers.",
        )
        + markdown.html(text)
        + figure(
            "Beside it, Sobel's two kernels.",
            down="Minus 1, minus 2, minus 1 above; zeros; 1, 2, 1 below.",
            right="Minus 1, 0, 1; minus 2, 0, 2; minus 1, 0, 1.",
        )
    )


def _way(found: Result, figure: Figure) -> str:
    learned = found.learned
    text = (
        "The loss is the mean squared difference from the target, as a part of the target's variance: at 1 the "
        "result is "
        "no better than an even grey. The layer is `nn.Conv2d` with one kernel and a constant, the optimiser "
        "`nn.SGD` with "
        f"Nesterov's momentum. Solving the same problem at once, by least squares, gives numbers that differ by "
        f"{100 * learned.agreement:.2g} % of the largest."
    )
    return markdown.html(text) + figure(
        "The loss of every step.", loss="A curve on an axis of powers of ten that falls, with waves, and flattens."
    )


def _pictures(figure: Figure) -> str:
    return figure(
        "Before, after as it was given, after as the learned kernel makes it, and their difference.",
        before="The picture before, in grey.",
        target="The picture after, as it was given, in grey.",
        made="The picture that the learned kernel makes, in grey.",
        missed="What is left over between the two, blue and orange on white.",
    )
