"""Direct convolution of words on tiles (`codegen.tiles`): what differs from vectors.

A tile of inputs is a vector of positions of each of 16 planes at one tap: rows that stand a plane apart, since at every
tap all planes are read at the same distance. A tile of weights is what 16 output channels have for them. So the terms
of a chunk go tap by tap, not plane by plane, and chunks are whole numbers of 16 planes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from striderule.codegen.tile import Pointer, Routine
from striderule.codegen.tiles import LOWERINGS, ROWS, WORDS, Amx, Plain
from striderule.geometry.problem import Convolution
from striderule.planning.dots import chunk_of_tiles
from striderule.planning.schedule import Schedule

if TYPE_CHECKING:
    from striderule.algorithms.direct.laying import Form
    from striderule.algorithms.direct.product import Place, Sweep

# Rows of output channels and vectors of positions: four tiles of sums, and two each of weights and inputs.
TILE = (2 * ROWS, 2)


def tiles_of(r: Routine, form: Form) -> Amx | Plain | None:
    """Return what writes the tiles of a routine, or None where it has none."""
    return LOWERINGS[form.tiles](r) if form.tiles else None


def configured(tiles: Amx | Plain | None) -> AbstractContextManager[None]:
    """Return the block in which a thread has its tiles."""
    return nullcontext() if tiles is None else tiles.configured()


def add_up(r: Routine, form: Form, sweep: Sweep, place: Place, panel: Pointer, totals: Pointer) -> None:
    """Form the sums of a chunk for 32 output channels and one or two vectors of positions."""
    tiles, vectors = sweep.tiles, len(place.masks)
    assert tiles is not None  # the form has them
    inputs = sweep.inputs + place.image * r.size("image_step") + place.line * r.size("run") + place.column
    distances, taps = r.table("distances"), r.size("taps")
    count = sweep.terms // taps
    # A plane is as far from the next one as its first tap is.
    pitch = r.entry(distances, taps) - r.entry(distances, 0)
    for m in range(2):
        for v in range(vectors):
            tiles.zero(2 * m + v)
    with r.loop(taps) as tap:
        under, weights = inputs + r.entry(distances, tap), panel + tap * count
        with r.loop(count, step=WORDS) as k:
            for m in range(2):
                tiles.load(4 + m, weights + (k + m * ROWS * form.panel), form.panel)
            for v in range(vectors):
                tiles.load(6 + v, under + (k * pitch + v * r.lanes), pitch)
            for m in range(2):
                for v in range(vectors):
                    tiles.add_products(form.unit, form.turned, 2 * m + v, 4 + m, 6 + v)
    for m in range(2):
        for v in range(vectors):
            tiles.store(2 * m + v, totals + (m * ROWS * vectors + v) * r.lanes, vectors * r.lanes)


def fitted(plan: Schedule, problem: Convolution) -> Schedule:
    """Return the schedule with whole tiles: of output channels, and of planes in a chunk."""
    channels = -(-plan.channels // TILE[0]) * TILE[0]
    chunk = chunk_of_tiles(problem)
    return replace(
        plan, tile=TILE, channels=channels, channel_blocks=-(-(problem.out_channels // problem.groups) // channels),
        chunk=chunk, chain=chunk * len(plan.taps), narrow=0,
    )  # fmt: skip


def ordered(words: npt.NDArray[Any], chunk: int, taps: int) -> npt.NDArray[Any]:
    """Return the words of weights (out, planes, *kernel), with the terms of each chunk tap by tap."""
    terms = prod(words.shape[1:])
    apart = words.reshape(words.shape[0], terms // (chunk * taps), chunk, taps)
    return np.ascontiguousarray(apart.swapaxes(2, 3)).reshape(words.shape)
