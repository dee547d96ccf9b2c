"""What a problem asks for, and what an algorithm needs for it: the values that costs are stated in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from striderule.geometry.gradients import WeightGradient
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling
from striderule.geometry.problem import Convolution, LocalConvolution, TransposedConvolution, Unfold
from striderule.planning import dots
from striderule.planning.machine import Machine, itemsize
from striderule.planning.schedule import CHAIN

# Kinds of work that are counted in multiply-adds.
MULTIPLYING = ("convolution", "local", "transposed", "weight gradient")


@dataclass(frozen=True, slots=True)
class Work:
    """What the definition asks for: the same for every algorithm. Sizes in elements, of the arithmetic type."""

    kind: str
    operations: int
    terms: int
    inputs: int
    weights: int
    outputs: int
    dtype: str
    # The type of what is multiplied, where there are instructions for it that form sums in another.
    multiplied: str = ""

    @property
    def operation_name(self) -> str:
        """What is counted: multiply-adds, or comparisons and additions of windows."""
        return "multiply-adds" if self.kind in MULTIPLYING else "window elements"

    @property
    def flops(self) -> int:
        """Operations of arithmetic: two for each multiply-add."""
        return (2 if self.operation_name == "multiply-adds" else 1) * self.operations

    @property
    def least_bytes(self) -> int:
        """Bytes when everything is read and written once."""
        return (self.inputs + self.weights + self.outputs) * itemsize(self.dtype)

    def limit(self, machine: Machine) -> float:
        """Return the seconds below which no machine of that peak and bandwidth can do the definition's operations."""
        return max(self.arithmetic(machine), self.least_bytes / machine.bandwidth)

    def arithmetic(self, machine: Machine) -> float:
        """Return the seconds that the definition's operations take at the machine's peak."""
        return self.flops / machine.peak(self.multiplied or self.dtype)

    @property
    def unit(self) -> float:
        """Half a unit in the last place of the arithmetic; exact integers have none."""
        return {"float32": 2.0**-24, "float64": 2.0**-53}.get(self.dtype, 0.0)

    def errors(self, roundings: float) -> tuple[float, float]:
        """Return the errors of sums in which no term passes more than so many roundings; exact integers have none.

        The first is the bound for any finite data, to first order, as a part of the sum of |x||w|: n roundings err by
        at most n units in the last place's half (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2).
        The second is what zero-mean random data comes to, as a part of the norm of the exact result: there roundings
        add up like a random walk, of which half the root of n is a safe estimate (Higham and Mary, "A new approach to
        probabilistic rounding error analysis", 2019); see docs/accuracy.md.
        """
        return self.unit * roundings, self.unit * max(1.0, math.sqrt(roundings) / 2)

    @property
    def pairwise(self) -> tuple[float, float]:
        """The errors of chains of at most `CHAIN` terms that are added in pairs, which adds log2 of their number."""
        chains = max(1, -(-self.terms // CHAIN))
        return self.errors(min(self.terms, CHAIN) + math.ceil(math.log2(chains)))


def work_of(problem: Any, dtype: str) -> Work:
    """Return what the definition of a problem asks for; `dtype` counts where the problem names no type.

    >>> work_of(Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), padding=1), "float32").operations
    115605504
    """
    if isinstance(problem, Convolution):
        return _convolution_work("convolution", problem, 1)
    if isinstance(problem, LocalConvolution):
        return _convolution_work("local", problem.plain, prod(problem.tile))
    if isinstance(problem, WeightGradient):
        return _weight_gradient_work(problem)
    if isinstance(problem, TransposedConvolution):
        inputs = problem.batch * problem.in_channels * prod(problem.size)
        weights = problem.in_channels * problem.out_channels // problem.groups * prod(problem.kernel)
        outputs = prod(problem.output_shape)
        return Work("transposed", problem.multiply_adds, problem.terms, inputs, weights, outputs, problem.dtype)
    if isinstance(problem, Unfold):
        inputs = problem.batch * problem.channels * prod(problem.size)
        outputs = prod(problem.columns_shape)
        return Work("unfold", outputs, 1, inputs, 0, outputs, dtype)
    inputs, outputs = problem.batch * problem.channels * prod(problem.size), prod(problem.output_shape)
    window = 1
    if isinstance(problem, Pooling | FractionalPooling):
        window = prod(problem.kernel)
    elif isinstance(problem, AdaptivePooling):
        # Windows of adaptive pooling differ by one element; they cover the input about once.
        window = max(1, round(inputs / max(1, outputs)))
    return Work("pooling", outputs * window, window, inputs, 0, outputs, dtype)


def _convolution_work(kind: str, problem: Convolution, kernels: int) -> Work:
    inputs = problem.batch * problem.in_channels * prod(problem.size)
    weights = problem.out_channels * problem.terms * kernels
    outputs = prod(problem.output_shape)
    counted = problem.zero_taps == "count"
    multiplied = "int8" if counted and dots.BYTES.keys() >= set(problem.stored or "-") else ""
    return Work(kind, problem.multiply_adds, problem.terms, inputs, weights, outputs, problem.dtype, multiplied)


def _weight_gradient_work(problem: WeightGradient) -> Work:
    plain = problem.plain
    inputs = plain.batch * (plain.in_channels * prod(plain.size) + prod(plain.output_shape[1:]))
    outputs = prod(problem.output_shape)
    return Work("weight gradient", problem.multiply_adds, problem.terms, inputs, 0, outputs, problem.dtype)


@dataclass(frozen=True, slots=True)
class Cost:
    """What an algorithm needs: operations (those that padding its tiles adds, too), bytes, seconds, errors, tile.

    `error` is the bound for any finite data, as a part of the norm of |x| correlated with |w|; `random_error` is what
    zero-mean random data comes to, as a part of the norm of the exact result. Both are held to what a precision
    promises. `variant` is the word that tells the ways of one algorithm apart (`Rule.variants`), None where it has one.
    `packing` is that part of `seconds` which lays out or transforms the weights, and `packed_bytes` that part of
    `workspace` which holds them then; both go where they are packed before.
    """

    operations: int
    bytes_moved: int
    workspace: int
    seconds: float
    error: float
    random_error: float
    tile: str | None = None
    variant: str | None = None
    packing: float = 0.0
    packed_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return {name: getattr(self, name) for name in self.__slots__}

    def with_packed_weights(self) -> Cost:
        """Return the same for weights that are packed before."""
        seconds, workspace = self.seconds - self.packing, self.workspace - self.packed_bytes
        return replace(self, seconds=seconds, workspace=workspace, packing=0.0, packed_bytes=0)
