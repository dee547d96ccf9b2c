"""Sums of symmetric taps: what stands at equal distances from the middle is added first, and one product serves both.

sum over t < n of w[t] * x[i + t] = sum over t < h of w[t] * (x[i + t] + x[i + n - 1 - t]) + w[h] * x[i + h], h = n // 2

(a difference where taps are antisymmetric, and the last product only where n is odd). Several neighbouring outputs are
formed together: with every t the positions that they need move by one on both sides, so all but two stay in registers.
"""

from __future__ import annotations

from collections.abc import Callable

from striderule.algorithms.separable.structure import Fold
from striderule.codegen.tile import Pointer, Routine, Size, Vector
from striderule.planning.passes import CHAIN


class Folding:
    """Writes the sums of symmetric taps of `outputs` neighbours; `read` gives the vector at a position."""

    def __init__(self, r: Routine, fold: Fold, outputs: int, read: Callable[[Size], Vector]) -> None:
        self.r, self.fold, self.outputs, self.read = r, fold, outputs, read

    def sums(self, weights: Pointer, taps: Size, lanes: int) -> list[Vector]:
        """Return the sums, in chains of so many pairs at any number of outputs together."""
        r, outputs, fold = self.r, self.outputs, self.fold
        zero = r.constant(0.0, lanes=lanes)
        pairs, each = taps // 2, CHAIN // outputs
        turns = pairs // outputs
        totals, sums = ([r.register(zero) for _ in range(outputs)] for _ in range(2))
        # Positions on both sides; of each window one is missing, which the next pair brings.
        near = [r.register(self.read(r.whole(k))) for k in range(outputs - 1)]
        far = [r.register(self.read(taps + k)) for k in range(outputs - 1)]

        def some(first: Size, count: int) -> None:
            """Add some pairs."""
            low, high = [one.value for one in near], [one.value for one in far]
            for k in range(count):
                low.append(self.read(first + (k + outputs - 1)))
                high.insert(0, self.read(taps - first - (k + 1)))
                weight = r.broadcast(weights + (first + k), lanes)
                for one, a, b in zip(sums, low, high, strict=True):
                    one.add_product(a + b if fold.sign > 0 else a - b, weight)
                low.pop(0)
                high.pop()
            for registers, values in ((near, low), (far, high)):
                for register, value in zip(registers, values, strict=True):
                    register.set(value)

        if fold.chained:
            with r.loop(turns // each) as chain:
                with r.loop(each) as i:
                    some((chain * each + i) * outputs, outputs)
                for total, one in zip(totals, sums, strict=True):
                    total.set(total.value + one.value)
                    one.set(zero)
        with r.loop(turns % each if fold.chained else turns) as i:
            some((turns // each * each + i if fold.chained else i) * outputs, outputs)
        some(turns * outputs, fold.rest)
        if fold.odd and fold.sign > 0:
            weight = r.broadcast(weights + pairs, lanes)
            for one, value in zip(sums, [*(one.value for one in near), self.read(pairs + (outputs - 1))], strict=True):
                one.add_product(value, weight)
        return [total.value + one.value if fold.chained else one.value for total, one in zip(totals, sums, strict=True)]
