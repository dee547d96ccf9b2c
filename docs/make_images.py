"""Make the pictures of the README: `python docs/make_images.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from striderule import figures

HEART = """
.xx.xx.
xxxxxxx
xxxxxxx
.xxxxx.
..xxx..
...x...
"""
EDGES = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]


def main() -> None:
    """Write the sliding window as an animation and as a still picture."""
    heart = np.array([[cell == "x" for cell in row] for row in HEART.split()], dtype=np.uint8)
    folder = Path(__file__).parent / "images"
    folder.mkdir(exist_ok=True)
    for path in figures.animate(heart, EDGES, folder / "sliding-window.gif", fps=2, dpi=90):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
