"""Make the pictures of the README: `python docs/make_images.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import striderule as sr
from striderule import figures
from striderule.learning import digits, recogniser

HEART = """
.xx.xx.
xxxxxxx
xxxxxxx
.xxxxx.
..xxx..
...x...
"""
EDGES = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]

BOUNDARIES = ("constant", "edge", "symmetric", "mirror", "wrap")
PHOTOGRAPH = Path(sr.__file__).parent / "tour" / "data" / "coffee.jpg"


def main() -> None:
    """Write the sliding window as an animation and as a still picture, every boundary, and what LeNet learns."""
    heart = np.array([[cell == "x" for cell in row] for row in HEART.split()], dtype=np.uint8)
    folder = Path(__file__).parent / "images"
    folder.mkdir(exist_ok=True)
    for path in figures.animate(heart, EDGES, folder / "sliding-window.gif", fps=2, dpi=90):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
    for path in (boundaries(folder / "boundaries.png"), learned(folder / "learned-digits.png")):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def boundaries(path: Path) -> Path:
    """Draw every boundary around four numbers in a line, and around a photograph."""
    numbers, photograph = np.arange(1, 5)[None], np.asarray(Image.open(PHOTOGRAPH))[::6, ::6]
    sheet = Figure(figsize=(10.5, 2.15), facecolor="#fdfdfc")
    axes = sheet.subplots(2, len(BOUNDARIES), height_ratios=(1, 6))
    sheet.subplots_adjust(left=0.01, right=0.99, top=0.87, bottom=0.0, wspace=0.06, hspace=0.0)
    rows, columns = (size // 3 for size in photograph.shape[:2])
    for word, (line, picture) in zip(BOUNDARIES, axes.T, strict=True):
        figures.surroundings(numbers, ((0, 0), (3, 3)), boundary=word, ax=line, title=word)
        figures.surroundings(photograph, (rows, columns), boundary=word, ax=picture)
    sheet.savefig(path, dpi=110)
    return path


def learned(path: Path) -> Path:
    """Draw the kernels that LeNet learns from handwritten digits, and those of the digits that it is least sure of."""
    trained = recogniser.train(*digits.load(), progress=False)
    hard = trained.probabilities.max(axis=1).argsort()[:6]
    titles = [
        f"{trained.test.classes[k]} read as {trained.answers[k]} ({100 * trained.probabilities[k].max():.0f} %)"
        for k in hard
    ]
    sheet = Figure(figsize=(10.5, 3.9), facecolor="#fdfdfc")
    above, below = sheet.subplots(2, 1)
    sheet.subplots_adjust(left=0.01, right=0.99, top=0.97, bottom=0.02, hspace=0.1)
    names = [f"kernel {k + 1}" for k in range(6)]
    figures.feature_maps(trained.model["conv1"].weight[:, 0], ax=above, columns=6, titles=names, values=False)
    small = [1 - trained.test.pictures[k] for k in hard]
    figures.feature_maps(small, ax=below, columns=6, titles=titles, values=False, cmap="gray")
    sheet.savefig(path, dpi=110)
    return path


if __name__ == "__main__":
    main()
