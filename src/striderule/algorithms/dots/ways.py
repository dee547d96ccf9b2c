"""How two types are multiplied by dot products: what the words of each hold, and what keeps the result right.

Integers of 8 bits are exact in int32. The instruction multiplies bytes without a sign by bytes with one, so 128 is
added to inputs with a sign whose weights have one, or taken from inputs without whose weights have none:

    sum of w * x = sum of w * (x + 128) - 128 * sum of w

for all taps, since what stands beyond the borders is moved like everything else. The last term goes with the bias.

A float32 is a sum of bfloat16, each the nearest to what those before it leave: x = x0 + x1 + x2 with |x1| <= 2**-8 |x|
and |x2| <= 2**-17 |x|, and three are all of it (24 bits). Of the products those are left out that are smaller than what
the sum loses anyway: one part makes x0 w0, two make x0 w0 + x0 w1 + x1 w0, three make the six of the largest.

That holds for numbers that are neither huge nor tiny. The instruction takes what is below 2**-126 for zero, and what
rounds up may round to infinity; so the sizes of all numbers are looked at when they are packed (`Limits`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms.dots.words import Words
from striderule.planning.dots import BYTES, CHAINS, PRODUCTS, TILE_PLANES

FLOATS = ("float32", "bfloat16")
# Each nonzero |x| |w| is at least 2 to this power. Of one part an addition may then lose 2**-126, which is 2**-14 of
# the product; of more parts the smallest is 2**-24 of a number, and its products matter, too.
_LEAST = {1: -112, 2: -96, 3: -96}
# Sums stay below 2 to this power, where no rounding and no order of summation makes them infinite.
_MOST = 126


@dataclass(frozen=True, slots=True)
class Way:
    """Words of inputs and weights; `turned` if those of the inputs are the unit's first numbers.

    `added` times the sum of its weights is added to each output channel; chains have at most `chain` words.
    """

    inputs: Words
    weights: Words
    turned: bool
    added: int = 0
    chain: int = 128

    def in_tiles(self) -> Way:
        """Return the same with planes that fill tiles."""
        inputs, weights = (replace(words, multiple=TILE_PLANES) for words in (self.inputs, self.weights))
        return replace(self, inputs=inputs, weights=weights)

    @property
    def is_float(self) -> bool:
        """Tell whether sums are float32."""
        return self.inputs.unit == "bfloat16"

    @property
    def sums(self) -> str:
        """How the bytes of weights are added up; see `packing.Form`."""
        return {-128: "signed", 0: "", 128: "unsigned"}[self.added]


def way_of(x: str, weight: str, units: tuple[str, ...], variant: str | None) -> Way | None:
    """Return the way for two types on a machine with these units, or None.

    >>> way_of("int8", "int8", ("dot8",), None).added, way_of("uint8", "int8", ("dot8",), None).added
    (-128, 0)
    >>> way_of("float32", "float32", ("bfloat16",), "bf16x2").weights.parts
    (0, 1, 0)
    """
    if x in FLOATS and weight in FLOATS:
        if "bfloat16" not in units:
            return None
        of_x, of_weight = zip(*PRODUCTS[variant or "bf16"], strict=True)
        inputs, weights = Words("bfloat16", x, parts=of_x), Words("bfloat16", weight, parts=of_weight)
        return Way(inputs, weights, turned=False, chain=CHAINS[variant or "bf16"])
    if x not in BYTES or weight not in BYTES:
        return None
    if "dot8" not in units:
        return Way(Words("dot16", x), Words("dot16", weight), turned=True)
    same = x == weight
    added = 0 if not same else -128 if x == "int8" else 128
    return Way(Words("dot8", x, flip=same), Words("dot8", weight), turned=weight == "int8", added=added)


class Limits(NamedTuple):
    """Between what the numbers of an image keep away from infinity and from zero, so that the stated error holds.

    As packing finds them: the bits of the largest magnitude at most, and those of the smallest but zero, less one, at
    least.
    """

    most: int
    least: int

    @classmethod
    def beside(cls, weight: npt.NDArray[np.uint32], terms: int, parts: int) -> Limits:
        """Return the limits for images that meet weights of which packing found this: (..., 2).

        An exponent e says 2**e <= |x| < 2**(e + 1); infinity and NaN have 128, denormal numbers -127.
        """
        largest, smallest = int(weight[..., 0].max()), int(weight[..., 1].min())
        # Where all are zero the smallest is as large as can be.
        most, least = (largest >> 23) - 127, (min(smallest, 0x7F000000) + 1 >> 23) - 127
        if most > 126 or least < _LEAST[parts]:
            return cls(-1, 0)
        highest = min(126, _MOST - 3 - terms.bit_length() - most)
        lowest = max(_LEAST[parts], _LEAST[parts] - least)
        return cls((highest + 128 << 23) - 1, (lowest + 127 << 23) - 1)

    def wild(self, found: npt.NDArray[np.uint32]) -> list[int]:
        """Return the images beyond, of what packing found: (images, tasks, 2). Nearly always there is none."""
        if found[:, :, 0].max() <= self.most and found[:, :, 1].min() >= self.least:
            return []
        beyond = (found[:, :, 0] > self.most) | (found[:, :, 1] < self.least)
        return np.flatnonzero(beyond.any(axis=1)).tolist()
