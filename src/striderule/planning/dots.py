"""Dot-product instructions as the planner sees them: which unit serves a convolution, and what it is then.

A word holds the numbers of two or four channels, and is to the rest of a convolution one channel: the schedule is that
of direct convolution with so many fewer channels, whose multiply-adds are these instructions.
"""

from __future__ import annotations

from dataclasses import replace

from striderule.geometry.problem import Convolution
from striderule.planning.machine import Machine

BYTES = {"int8": 128, "uint8": 255}
"""The types of 8 bits, and their largest magnitudes."""
NUMBERS = {"dot8": 4, "dot16": 2, "bfloat16": 2}
"""How many channels a word of a unit holds."""
# Vector operations of a product: unsigned bytes of weights are broadcast first; two int16 are multiplied, then added.
_OPERATIONS = {"dot8": 1.0, "dot16": 2.0, "bfloat16": 1.0}


def unit_of(problem: Convolution, machine: Machine) -> str | None:
    """Return the unit that multiplies the stored types of a problem, or None.

    >>> one = Convolution.from_shapes((1, 8, 9), (8, 8, 3), dtype="int64", stored=("int8", "uint8"))
    >>> [unit_of(one, Machine.of("avx2", units=units)) for units in ((), ("dot16",), ("dot8", "dot16"))]
    [None, 'dot16', 'dot8']
    """
    if not problem.stored or not BYTES.keys() >= set(problem.stored):
        return None
    return next((unit for unit in ("dot8", "dot16") if unit in machine.units), None)


def largest(problem: Convolution) -> int:
    """Return a limit of every |sum of products| that holds whatever the stored integers are.

    >>> largest(Convolution.from_shapes((1, 8, 9), (8, 8, 3), dtype="int64", stored=("int8", "uint8")))
    783360
    """
    x, weight = (BYTES[name] for name in problem.stored)
    return problem.terms * x * weight


def in_words(problem: Convolution, unit: str) -> Convolution:
    """Return the convolution of words: with fewer channels.

    >>> in_words(Convolution.from_shapes((1, 18, 9), (8, 9, 3), groups=2), "dot8").in_channels
    6
    """
    channels = -(-problem.in_channels // problem.groups // NUMBERS[unit])
    return replace(problem, in_channels=problem.groups * channels, stored=(), bound=None)


def operations_of(unit: str) -> float:
    """Return the vector operations that a product of words takes, beside one of floats."""
    return _OPERATIONS[unit]
