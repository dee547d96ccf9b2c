"""What a routine of image correlation around gaps is made for, and the words that it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt

from striderule.algorithms.stencil import structure as plain
from striderule.algorithms.stencil.structure import Structure

Array = npt.NDArray[Any]

POINTERS = (
    *plain.POINTERS,
    # The mask, and where its rows, elements of lines and outer taps are found; what is valid outside it and inside.
    "mask", "mask_rows", "mask_line", "mask_outer", "there",
    # The magnitudes of taps that are gone over in loops; a line without gaps.
    "magnitudes", "ones",
    # Numbers of each kernel (`NUMBERS`) and what stands where nothing is; where the shares of what is there go.
    "numbers", "shares",
)  # fmt: skip
SIZES = (*plain.SIZES, "lines_at")
NUMBERS = ("total", "none")
"""Of each kernel: the sum of its weights, and up to which magnitude nothing is there."""


class Gaps(NamedTuple):
    """What is missing: where a mask says no, NaN if `nan`, and outside if `fill` is None, else that is valid there.

    `nowhere` stands where there is nothing to compute from. `shared` asks for the share of what is there, too.
    """

    mask: Array | None
    nan: bool
    fill: Any
    nowhere: float
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Gapped:
    """What a routine is made for: the correlation that it is, and how it learns what is missing.

    `nan` says that NaN is missing, and `masked` that a mask tells of more. `behind` is how many elements behind a line
    it is laid out what is there. `negative` tells for each weight whether it is, if taps are written out; if they are
    gone over in loops, `mixed` says that some are. `shared` asks for the shares of what is there.
    """

    plain: Structure
    nan: bool
    masked: bool
    behind: int
    negative: tuple[bool, ...]
    mixed: bool
    shared: bool

    @property
    def name(self) -> str:
        """The name of the routine."""
        return f"gapped_{self.plain.name}"
