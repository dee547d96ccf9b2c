"""Dot-product instructions as the planner sees them: which unit serves a convolution, and what it is then.

A word holds the numbers of two or four channels, and is to the rest of a convolution one channel: the schedule is that
of direct convolution with so many fewer channels, whose multiply-adds are these instructions. Floats come in one, two
or three parts (see `algorithms.dots.ways`), each product of which is as many channels again.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from striderule.geometry.problem import Convolution
from striderule.planning.machine import Machine
from striderule.planning.schedule import CHUNK

BYTES = {"int8": 128, "uint8": 255}
"""The types of 8 bits, and their largest magnitudes."""
STORED = frozenset((*BYTES, "bfloat16"))
"""The types for which there are instructions of their own, so that a problem tells of them (`Convolution.stored`)."""
NUMBERS = {"dot8": 4, "dot16": 2, "bfloat16": 2}
"""How many channels a word of a unit holds."""
TILE_PLANES = 16
"""Planes of words that a tile holds at one tap."""
PRODUCTS = {
    "bf16": ((0, 0),),
    "bf16x2": ((0, 0), (0, 1), (1, 0)),
    "bf16x3": ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0)),
}
"""The variants for floats: which part of an input meets which part of a weight."""
CHAINS = {"bf16": 128, "bf16x2": 64, "bf16x3": 32}
"""Words of a chain: each is rounded twice, and more parts promise more."""
# Vector operations of a product: two int16 are multiplied, then added; those of bfloat16 are measured.
_OPERATIONS = {"dot8": 1.0, "dot16": 2.0, "bfloat16": 1.2}
# What the parts of a variant leave out, of |x| |w|: for any numbers, and for random ones. One part errs by 2**-8 of
# each number, two by 2**-17, and what they do not multiply is 2**-16; three are exact but for two products of 2**-25.
# What the instruction takes for zero is 2**-14 of a product by the limits of `ways`, and 2**-30 with more parts.
_LEFT_OUT = {
    "bf16": (2**-7 + 2**-16 + 2**-13, 3.2e-3),
    "bf16x2": (2**-15 + 2**-24, 6e-6),
    "bf16x3": (2**-23, 2**-26),
}
# Of numbers that are stored as bfloat16 nothing is left out.
_STORED = (2**-13, 2**-24)


def variants(problem: Convolution) -> tuple[str | None, ...]:
    """Return the ways in which dot products serve a problem; those of integers are one, which has no word.

    >>> variants(Convolution.from_shapes((1, 8, 9), (8, 8, 3)))
    ('bf16', 'bf16x2', 'bf16x3')
    """
    if problem.dtype != "float32":
        return (None,)
    return ("bf16",) if problem.stored else tuple(PRODUCTS)


def unit_of(problem: Convolution, machine: Machine) -> str | None:
    """Return the unit that multiplies the types of a problem, or None.

    >>> one = Convolution.from_shapes((1, 8, 9), (8, 8, 3), dtype="int64", stored=("int8", "uint8"))
    >>> [unit_of(one, Machine.of("avx2", units=units)) for units in ((), ("dot16",), ("dot8", "dot16"))]
    [None, 'dot16', 'dot8']
    """
    if problem.dtype == "float32" and set(problem.stored) <= {"bfloat16"}:
        return "bfloat16" if "bfloat16" in machine.units else None
    if problem.stored and BYTES.keys() >= set(problem.stored):
        return next((unit for unit in ("dot8", "dot16") if unit in machine.units), None)
    return None


def refused(problem: Convolution, machine: Machine) -> str | None:
    """Return why no unit of a machine serves a problem, or None."""
    if problem.dtype == "float32":
        if set(problem.stored) - {"bfloat16"}:
            return f"it multiplies two types of floats, and these are {' and '.join(problem.stored)}"
        if unit_of(problem, machine) is None:
            return f"it needs instructions for dot products of bfloat16, and {machine.name} has none here"
        return None
    if not problem.stored or not BYTES.keys() >= set(problem.stored):
        types = " and ".join(problem.stored) or problem.dtype
        return f"it multiplies float32 and integers of 8 bits, and these are {types}"
    if unit_of(problem, machine) is None:
        return f"it needs instructions for dot products of integers, and {machine.name} has none here"
    if largest(problem) >= 2**31:
        return f"its sums have 32 bits, and these may reach {largest(problem):,}"
    return None


def largest(problem: Convolution) -> int:
    """Return a limit of every |sum of products| that holds whatever the stored integers are.

    >>> largest(Convolution.from_shapes((1, 8, 9), (8, 8, 3), dtype="int64", stored=("int8", "uint8")))
    783360
    """
    x, weight = (BYTES[name] for name in problem.stored)
    return problem.terms * x * weight


def in_words(problem: Convolution, unit: str, variant: str | None = None, *, tiled: bool = False) -> Convolution:
    """Return the convolution of words: with fewer channels, which fill tiles if these are used.

    >>> in_words(Convolution.from_shapes((1, 18, 9), (8, 9, 3), groups=2), "dot8").in_channels
    6
    """
    channels = -(-problem.in_channels // problem.groups // NUMBERS[unit])
    channels = -(-channels // TILE_PLANES) * TILE_PLANES if tiled else channels
    copies = 1 if variant is None else len(PRODUCTS[variant])
    return replace(problem, in_channels=problem.groups * channels * copies, stored=(), bound=None)


def is_tiled(problem: Convolution, unit: str, units: tuple[str, ...]) -> bool:
    """Tell whether a problem fills tiles: with enough channels on both sides.

    >>> layer = Convolution.from_shapes((1, 64, 14, 14), (64, 64, 3, 3))
    >>> is_tiled(layer, "bfloat16", ("bfloat16", "tiles")), is_tiled(layer, "bfloat16", ("bfloat16",))
    (True, False)
    """
    inputs, outputs = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    # Half a tile at least of each.
    return "tiles" in units and unit != "dot16" and inputs >= 8 * NUMBERS[unit] and outputs >= 16


def chunk_of_tiles(words: Convolution) -> int:
    """Return the planes of a chunk: a whole number of tiles that divides all of them, for about as many terms as usual.

    >>> chunk_of_tiles(Convolution.from_shapes((1, 96, 9, 9), (8, 96, 3, 3))), TILE_PLANES
    (48, 16)
    """
    taps = prod(words.kernel[-2:])
    tiles = words.terms // taps // TILE_PLANES
    most = max(1, CHUNK // (TILE_PLANES * taps))
    return TILE_PLANES * max(count for count in range(1, most + 1) if tiles % count == 0)


def operations_of(unit: str) -> float:
    """Return the vector operations that a product of words takes, beside one of floats."""
    return _OPERATIONS[unit]


def left_out(problem: Convolution, variant: str | None) -> tuple[float, float]:
    """Return what a variant leaves out: of |x| * |w| for any numbers, and of the result for random ones."""
    if variant is None:
        return 0.0, 0.0
    return _STORED if problem.stored else _LEFT_OUT[variant]


def chain_of(variant: str | None, chain: int) -> int:
    """Return the words of a chain, of which direct convolution would have so many."""
    return chain if variant is None else min(chain, CHAINS[variant])
