"""Handwritten digits: read from scikit-learn, divided once for all, and laid out as LeNet sees them.

The pictures are the 1,797 of 8x8 that scikit-learn ships, the test part of E. Alpaydin and C. Kaynak, "Optical
Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998. People wrote the digits on paper; bitmaps
of 32x32 were divided into squares of 4x4, in which the inked pixels were counted: 0 to 16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule.errors import MissingExtra

Array = NDArray[Any]

CREDIT = (
    "Handwritten digits: E. Alpaydin and C. Kaynak, [Optical Recognition of Handwritten "
    "Digits](https://doi.org/10.24432/C50P49), UCI Machine Learning Repository, 1998, licence CC BY 4.0; the 1,797 "
    "pictures that come with scikit-learn."
)
# Pixels of a picture along each axis, and what the counts go up to.
GRID, FULL = 8, 16
# One in so many pictures of each digit is held out, for tests.
HELD_OUT = 5
# Digits take 28x28 in the middle of 32x32, as in the paper of LeNet-5; paper is -0.1 and ink 1.175, so that the mean
# is about 0 and the variance about 1.
SIZE, INNER = 32, 28
PAPER, INK = -0.1, 1.175


@dataclass(frozen=True, slots=True)
class Digits:
    """Pictures (count, 8, 8) of float32, from paper (0) to ink (1), and which digit each shows (count,)."""

    pictures: Array
    classes: Array

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True)
class Distortion:
    """How far pictures may be moved before they are learned: the same digit, written a little differently.

    `shift` in pixels of 8, `turn` in degrees, `stretch` as a part of the size; each is drawn evenly from -limit
    to limit.
    """

    shift: float = 0.5
    turn: float = 10.0
    stretch: float = 0.1

    def __call__(self, pictures: Array, rng: np.random.Generator) -> Array:
        """Return the pictures as `placed` does, each moved differently."""
        count = len(pictures)
        angles = np.radians(self.turn * rng.uniform(-1, 1, count))
        scales = 1 + self.stretch * rng.uniform(-1, 1, count)
        shifts = self.shift * rng.uniform(-1, 1, (count, 2))
        return placed(pictures, angles, scales, shifts)


def load() -> tuple[Digits, Digits]:
    """Return the digits to learn from, 1,438 pictures, and those held out for tests, 359: one in five of each digit.

    Which are held out is fixed: it depends on no seed, no version of NumPy and none of scikit-learn.

    Raises
    ------
    MissingExtra
        If scikit-learn is not installed.

    Examples
    --------
    >>> training, test = load()  # doctest: +SKIP
    >>> len(training), len(test)  # doctest: +SKIP
    (1438, 359)
    """
    try:
        datasets: Any = import_module("sklearn.datasets")
    except ImportError:
        raise MissingExtra.of("train", needs="scikit-learn") from None
    found = datasets.load_digits()
    pictures, classes = np.asarray(found.images, np.float32) / FULL, np.asarray(found.target, np.int64)
    held_out = held_out_of(classes)
    return tuple(Digits(pictures[chosen], classes[chosen]) for chosen in (~held_out, held_out))  # type: ignore[return-value]


def held_out_of(classes: Array) -> Array:
    """Return which examples are held out: of every class one in five, drawn by a fixed generator.

    >>> held_out_of(np.repeat([0, 1], 10)).reshape(2, 10).sum(axis=1).tolist()
    [2, 2]
    """
    chosen = np.zeros(len(classes), bool)
    for label in np.unique(classes):
        places = np.flatnonzero(classes == label)
        # The raw numbers of a bit generator are the same in every version of NumPy.
        order = np.argsort(np.random.PCG64(int(label)).random_raw(len(places)), kind="stable")
        chosen[places[order[: round(len(places) / HELD_OUT)]]] = True
    return chosen


def placed(pictures: Array, angles: Any = 0.0, scales: Any = 1.0, shifts: Any = (0.0, 0.0)) -> Array:
    """Return pictures of 8x8 as the network's input, (count, 1, 32, 32), enlarged to 28x28 and moved.

    Each pixel is interpolated linearly between the four around its place in the small picture; outside is paper.

    Parameters
    ----------
    pictures
        (count, 8, 8), paper is 0 and ink 1.
    angles, scales, shifts
        For all or for each: by how much it is turned (radians, against the clock), enlarged, and moved (count, 2) down
        and to the right, in pixels of the small picture. Default: not at all.

    Examples
    --------
    >>> x = placed(np.ones((2, 8, 8), np.float32))
    >>> x.shape, f"{x[0, 0, 16, 16]:.3f}", f"{x[0, 0, 0, 16]:.3f}"
    ((2, 1, 32, 32), '1.175', '-0.009')
    """
    small = np.asarray(pictures, np.float32)
    count = len(small)
    # Around the middle, in pixels of the small picture.
    line = (np.arange(SIZE) - (SIZE - 1) / 2) * (GRID / INNER)
    angles, scales = (np.broadcast_to(np.asarray(one, np.float64), count)[:, None, None] for one in (angles, scales))
    shifts = np.broadcast_to(np.asarray(shifts, np.float64), (count, 2))[:, :, None, None]
    cosine, sine = np.cos(angles) / scales, np.sin(angles) / scales
    down, right = line[:, None] - shifts[:, 0], line[None, :] - shifts[:, 1]
    # Where the pixel comes from: the move, backwards.
    rows = cosine * down + sine * right
    columns = cosine * right - sine * down
    return (PAPER + (INK - PAPER) * _between(small, rows, columns))[:, None]


def _between(small: Array, rows: Array, columns: Array) -> Array:
    """Interpolate linearly at places around the middle; a frame of paper of one pixel surrounds the pictures."""
    count, wide = len(small), GRID + 2
    framed = np.zeros((count, wide, wide), np.float32)
    framed[:, 1:-1, 1:-1] = small
    # Behind the frame all is paper, too; just below the last pixel, so that there is one beyond it.
    last = math.nextafter(wide - 1, 0)
    rows, columns = (np.clip(one + (wide - 1) / 2, 0, last) for one in (rows, columns))
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    below, beside = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    flat, first = framed.reshape(-1), (np.arange(count) * wide**2)[:, None, None] + top * wide + left
    upper = flat[first] * (1 - beside) + flat[first + 1] * beside
    lower = flat[first + wide] * (1 - beside) + flat[first + wide + 1] * beside
    return np.asarray(upper * (1 - below) + lower * below)
