"""What was found out about the kernel of an image filter, as plain values: what the choice of an algorithm goes by."""

from __future__ import annotations

from dataclasses import dataclass

Ints = tuple[int, ...]

# Outer products that a kernel may be a sum of, to be computed as passes.
MOST_RANK = 6
SYMMETRIC, ANTISYMMETRIC = "symmetric", "antisymmetric"


@dataclass(frozen=True, slots=True)
class Rank:
    """A kernel as a sum of so many outer products, and what that leaves out or adds.

    `left` bounds what is left out for any data, of the norm of |x| correlated with |kernel|; `random_left` is that of
    zero-mean random data, of the norm of the exact result. `growth` is how much larger the sums of magnitudes of the
    products are than those of the kernel: their rounding errors grow with it.
    """

    count: int
    left: float = 0.0
    random_left: float = 0.0
    growth: float = 1.0


@dataclass(frozen=True, slots=True)
class KernelForm:
    """A kernel: its shape, how many taps are not zero, its symmetries, and the outer products that make it.

    `symmetry` holds "symmetric", "antisymmetric" or None for each axis; `equal` says that all taps are the same,
    `whole` that they are integers, `given` that the kernel was given as one profile for each axis, so that passes along
    the axes are its definition.

    >>> print(KernelForm((17, 17), 289, ("symmetric", "symmetric"), ranks=(Rank(2, 1e-8, 1e-8, 1.2),)))
    17x17 taps, rank 2, symmetric in both axes
    """

    shape: Ints
    taps: int
    symmetry: tuple[str | None, ...] = ()
    equal: bool = False
    whole: bool = False
    given: bool = False
    ranks: tuple[Rank, ...] = ()

    def __str__(self) -> str:
        """Return what is known, in words."""
        return ", ".join(filter(None, (self._taps(), self._rank(), self._symmetries())))

    def _taps(self) -> str:
        total = 1
        for length in self.shape:
            total *= length
        size = "x".join(map(str, self.shape))
        zeros = "" if self.taps == total else f", {total - self.taps:,} of which are zero"
        return f"{size} {'equal ' if self.equal else ''}taps{zeros}"

    def _rank(self) -> str:
        if len(self.shape) == 1 or not self.ranks:
            return ""
        counts = [rank.count for rank in self.ranks]
        least, sure = counts[0], counts[-1]
        return f"rank {sure}" + (f" (about {least})" if least != sure else "")

    def _symmetries(self) -> str:
        found = []
        for word in (SYMMETRIC, ANTISYMMETRIC):
            axes = [axis for axis, one in enumerate(self.symmetry) if one == word]
            if not axes:
                continue
            if len(axes) == len(self.shape):
                where = {1: "", 2: " in both axes"}.get(len(axes), " in all axes")
            else:
                where = f" in {'axis' if len(axes) == 1 else 'axes'} {' and '.join(map(str, axes))}"
            found.append(word + where)
        return ", ".join(found)
