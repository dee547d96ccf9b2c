"""Transposed convolution of small groups: a convolution for each phase of the outputs (`planning.phases`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.binding import ArrayInfo, Bound
from striderule.planning.phases import Phase

Array = npt.NDArray[Any]


def part_of(info: ArrayInfo, phase: Phase) -> ArrayInfo:
    """Return where the outputs of a phase stand, of all outputs (batch, channels, *spatial)."""
    axes = zip(info.strides[2:], phase.outputs, strict=True)
    steps = tuple(step * outputs.step for step, outputs in axes)
    return ArrayInfo((*info.shape[:2], *phase.problem.output_size), (*info.strides[:2], *steps), info.dtype)


def turned(weight: Array, phase: Phase) -> Array:
    """Return the taps of a phase as those of its convolution: (out, in of a group, *kernel)."""
    problem = phase.problem
    part = weight[(slice(None), slice(None), *phase.taps)]
    part = part.reshape(problem.groups, -1, *part.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(part).reshape(problem.out_channels, -1, *problem.kernel)


@dataclass(frozen=True, slots=True)
class Phases:
    """The phases, each bound to its part of the outputs; with `kept`, to packed weights too."""

    parts: tuple[tuple[Phase, Bound], ...]
    kept: bool = False

    def run(self, x: Array, weight: Array, bias: Array | None, residual: Array | None, out: Array) -> None:
        """Write activation(transposed_convolution(x, weight) + bias + residual) to out; out may be the residual."""
        for phase, bound in self.parts:
            places = (slice(None), slice(None), *phase.outputs)
            taps = weight if self.kept else turned(weight, phase)
            bound.run(x, taps, bias, None if residual is None else residual[places], out[places])

    def packed(self, weight: Array) -> Phases:
        """Return the same with this weight copied; it ignores the weight that `run` is given."""
        parts = tuple((phase, bound.packed(turned(weight, phase))) for phase, bound in self.parts)
        return replace(self, parts=parts, kept=True)
