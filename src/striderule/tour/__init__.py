"""The tour: fifteen chapters on convolution and a closing page, as one web page, pictures and notebooks.

Each chapter is a script in cells in `striderule.tour.chapters`; nothing imports those, the tour reads and runs them.
The code on the page is therefore the code that made its numbers. How the cells are written is said in
`striderule.tour.cells`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from striderule.errors import InvalidArgument, MissingExtra
from striderule.geometry.arguments import integer
from striderule.tour import cells, files, webpage
from striderule.tour.cells import Chapter
from striderule.tour.checks import Comparison, compare, shape_formula
from striderule.tour.notebooks import notebook
from striderule.tour.photographs import photograph
from striderule.tour.racing import race
from striderule.tour.running import Run, run, with_photograph
from striderule.tour.showing import show
from striderule.tour.webpage import page

__all__ = [
    "Chapter",
    "Comparison",
    "Run",
    "build",
    "compare",
    "contents",
    "photograph",
    "race",
    "run",
    "shape_formula",
    "show",
]

Progress = Callable[[int, int, str], None]


def contents() -> list[Chapter]:
    """Return the fifteen chapters in the order of their numbers, then the closing page (number None).

    Returns
    -------
    list of Chapter
        Read from their files, not run.

    Examples
    --------
    >>> [chapter.number for chapter in contents()][-3:]
    [14, 15, None]
    """
    folder = Path(str(resources.files("striderule.tour") / "chapters"))
    return [cells.read(path) for path in [*sorted(folder.glob("ch[0-9][0-9]_*.py")), folder / "closing.py"]]


def build(
    out: str | Path = "tour",
    *,
    image: str | Path | None = None,
    chapter: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Run the chapters and write the page, its figures and the notebooks.

    Parameters
    ----------
    out
        Folder to write into, made where it is missing: ``index.html`` (complete in itself), ``figures/*.png`` and
        ``notebooks/*.ipynb``. Files of an earlier tour are replaced, others left alone.
    image
        A picture to work on instead of the photograph that comes with the library; see `photograph`.
    chapter
        Build only the chapter of this number, 1 to 15. Default: all, and the closing page.
    progress
        Called as ``progress(done, total, title)`` before each chapter, and once more when everything is written.

    Returns
    -------
    Path
        The page, ``out/index.html``.

    Raises
    ------
    InvalidArgument
        If there is no such chapter, the picture cannot be read, or the folder cannot be written.
    MissingExtra
        If matplotlib, Pillow, nbformat or scikit-learn is not installed.

    Examples
    --------
    >>> import striderule as sr
    >>> sr.tour.build("tour", chapter=2)  # doctest: +SKIP
    PosixPath('tour/index.html')
    """
    chosen = _chosen(chapter)
    _check_digits(chosen)
    picture = None if image is None else Path(image).expanduser().absolute()
    if image is not None:
        photograph(image)  # a picture that cannot be read is refused before anything is made
    place = files.folder(out)
    figures, notebooks = files.folder(place / "figures"), files.folder(place / "notebooks")

    runs: list[Run] = []
    for done, part in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen), part.heading)
        finished = run(with_photograph(part, picture))
        runs.append(finished)
        _write_figures(finished, figures)
        if part.number is not None:
            files.write(notebooks / f"{part.slug}.ipynb", notebook(finished.chapter))
    index = files.write(place / "index.html", page(runs, own_photograph=picture is not None))
    if progress is not None:
        progress(len(chosen), len(chosen), "done")
    return index


def _chosen(number: int | None) -> list[Chapter]:
    every = contents()
    if number is None:
        return every
    wanted = integer(number, "chapter")
    found = [chapter for chapter in every if chapter.number == wanted]
    if not found:
        last = max(chapter.number or 0 for chapter in every)
        raise InvalidArgument(f"chapter must be a number from 1 to {last}, got {wanted}; leave it out to build all")
    return found


def _check_digits(chosen: list[Chapter]) -> None:
    """Refuse chapters that learn digits where there are none, before any is run."""
    needed = any(webpage.DIGITS_FROM in cell.source for chapter in chosen for cell in chapter.cells)
    if needed and importlib.util.find_spec("sklearn") is None:
        raise MissingExtra.of("train", needs="scikit-learn")


def _write_figures(finished: Run, folder: Path) -> None:
    prefix = finished.chapter.slug[:2]
    for shown in finished.shown:
        for shot in shown.shots:
            files.write(folder / f"{prefix}-{shot.name}.png", shot.png)
            if shot.gif is not None:
                files.write(folder / f"{prefix}-{shot.name}.gif", shot.gif)
