"""What is computed of a picture: a line of a list, and its data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import striderule as sr

Array = np.ndarray[Any, np.dtype[Any]]
FOLDER = Path(__file__).with_name("lists")
# Sizes in megapixels -> (rows, columns), and the volume in their place.
SIZES = {3: (1536, 2048), 24: (4000, 6000)}
VOLUME = (256, 256, 256)
# One word for each side of rows and columns, where the list says `sides`.
SIDES = (("edge", "mirror"), ("wrap", "constant"))


@dataclass(frozen=True, slots=True)
class Job:
    """One line: the work, its argument, types in and out, the boundary, and the shape of the image."""

    list_name: str
    work: str
    argument: str
    pixel: str
    result: str
    boundary: str = "mirror"
    shape: tuple[int, ...] = SIZES[3]

    @property
    def name(self) -> str:
        """What a table calls it."""
        argument = "" if self.argument == "-" else f" {self.argument.replace(':', ' ')}"
        types = self.pixel if self.pixel == self.result else f"{self.pixel} to {self.result}"
        more = "" if self.boundary == "mirror" else f", {self.boundary}"
        return f"{self.work}{argument}, {types}{more}{', volume' if len(self.shape) == 3 else ''}"

    @property
    def number(self) -> float:
        """The argument as a number."""
        return float(self.argument)

    @property
    def side(self) -> Any:
        """The boundary as we write it."""
        return SIDES if self.boundary == "sides" else self.boundary

    @property
    def image(self) -> Array:
        """Random pixels: integers take their whole range."""
        return drawn(self.shape, self.pixel)

    @property
    def kernel(self) -> Array:
        """The kernel of `correlate`, float32 (float64 for float64)."""
        word, _, size = self.argument.partition(":")
        sizes = [int(n) for n in size.split("x")]
        sizes = sizes * len(self.shape) if len(sizes) == 1 else sizes
        kernel = kernel_of(word, sizes)
        return kernel.astype(np.float64 if self.pixel == "float64" else np.float32)


def waves(job: Job) -> list[Array]:
    """Return the kernels of `bank`: so many Gabor kernels of so many taps, one for each direction."""
    count, size = (int(n) for n in job.argument.split("x"))
    line = np.arange(size) - size // 2
    rows, columns = np.meshgrid(line, line, indexing="ij")
    turns = [math.pi * number / count for number in range(count)]
    along = [columns * math.cos(turn) + rows * math.sin(turn) for turn in turns]
    envelope = np.exp(-(rows**2 + columns**2) / (size / 3) ** 2)
    found = [envelope * np.cos(2 * math.pi * way / 7) for way in along]
    return [(taps / np.abs(taps).sum()).astype(np.float32) for taps in found]


def drawn(shape: tuple[int, ...], dtype: str) -> Array:
    """Return random pixels of a type."""
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.random(shape, dtype=kind.type) + kind.type(0.01)
    return rng.integers(0, np.iinfo(kind).max + 1, shape, kind)


def kernel_of(word: str, sizes: list[int]) -> Array:
    """Return a kernel by its name; its magnitudes sum to one, so that results keep to the range of a type."""
    rng, n = np.random.default_rng(1), sizes[0]
    taps: Array
    if word == "random":
        taps = rng.random(sizes) + 0.01
    elif word.startswith("rank"):
        taps = np.add.reduce([np.multiply.outer(rng.random(n), rng.random(n)) for _ in range(int(word[4:]))])
    elif word == "gauss":
        taps = sr.kernels.gaussian(n / 5, size=n)
    elif word == "laplace":
        taps = np.array([[0.5, 1.0, 0.5], [1.0, -6.0, 1.0], [0.5, 1.0, 0.5]])
    elif word == "gabor":
        line = np.arange(n) - n // 2
        rows, columns = np.meshgrid(line, line, indexing="ij")
        across = 0.8 * columns + 0.6 * rows
        taps = np.exp(-(rows**2 + columns**2) / (n / 3) ** 2) * np.cos(2 * math.pi * across / 7)
    elif word == "disk":
        line = np.arange(n) - n // 2
        taps = (np.add.outer(line**2, line**2) <= (n / 2) ** 2).astype(float)
    elif word == "motion":
        taps = sr.kernels.motion(n, 30)
    else:
        raise ValueError(f"no kernel {word!r}")
    return np.asarray(taps / np.abs(taps).sum())


def read(name: str, megapixels: int) -> Iterator[Job]:
    """Yield the lines of a list."""
    base = Job(name, "", "", "", "", shape=SIZES[megapixels])
    for line in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("--"):
            for word in line.split():
                option, _, value = word.partition("=")
                base = replace(base, shape=VOLUME) if option == "--volume" else replace(base, boundary=value)
        elif line and not line.startswith("#"):
            work, argument, pixel, *result = line.split()
            yield replace(base, work=work, argument=argument, pixel=pixel, result=result[0] if result else pixel)
