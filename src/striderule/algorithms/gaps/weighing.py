"""The sums of a block around gaps: those of the pixels that are there, and what the weights come to on them.

With s = sum of w x, a = sum of |w| x, v = sum of |w| and u = sum of w over what is there, a kernel whose weights have
one sign has a = +-s and u = +-v. Of one with both, pixels are summed once more for the taps of the rarer sign alone,
m, so that a = s - 2 m or 2 m - s; and what is there once for each sign: v = p - n, u = p + n. Where m is infinite that
difference says nothing of the other taps: they are summed, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from striderule.algorithms.gaps.structure import Gapped
from striderule.algorithms.stencil.structure import Meet
from striderule.algorithms.stencil.sums import Block, Looped, Written
from striderule.codegen.tile import Pointer, Register, Routine, Size, Vector


class Weights(NamedTuple):
    """The sums a, v and u of one vector of outputs."""

    a: Vector
    v: Vector
    u: Vector


class Weighed:
    """Sums of taps that are written out: of lines, the elements of which tell of themselves `behind` them."""

    def __init__(self, r: Routine, gapped: Gapped) -> None:
        self.r, self.g = r, gapped
        negative = gapped.negative
        self.all = Written(r, gapped.plain)
        self.some = {
            False: self._only(lambda meet: not negative[meet.weight]),
            True: self._only(lambda meet: negative[meet.weight]),
        }
        signs: list[list[bool]] = [[] for _ in range(gapped.plain.kernels)]
        for meet in {meet._replace(row=0) for load in gapped.plain.loads for meet in load.meets}:
            signs[meet.kernel].append(negative[meet.weight])
        # Of each kernel the rarer sign, if it has both; else that of all.
        self.one_sign = [len(set(each)) == 1 for each in signs]
        self.rarer = [2 * sum(each) <= len(each) for each in signs]
        self.rare, self.others = (self._only(partial(self._is_mixed, negative, which)) for which in (True, False))

    def _is_mixed(self, negative: Sequence[bool], rare: bool, meet: Meet) -> bool:
        """Tell whether a tap is of a kernel with both signs, and of the rarer one or not."""
        k = meet.kernel
        return not self.one_sign[k] and (negative[meet.weight] == self.rarer[k]) == rare

    def _only(self, wanted: Callable[[Meet], bool]) -> Written | None:
        """Return the sums of some taps alone, or None if there is no such tap."""
        loads = [load._replace(meets=tuple(filter(wanted, load.meets))) for load in self.g.plain.loads]
        met = tuple(load for load in loads if load.meets)
        if not met:
            return None
        made = Written(self.r, replace(self.g.plain, loads=met))
        made.count = self.all.count  # the weights of each row stand together, all of them
        return made

    def pixels(self, lines: Sequence[Pointer], at: Size, vectors: int) -> Block:
        """Return s."""
        return self.all.block(lines, at, vectors)

    def weights(
        self, lines: Sequence[Pointer], behind: Sequence[Pointer], at: Size, vectors: int, sums: Block
    ) -> list[list[list[Weights]]]:
        """Return a, v and u; `behind` are the lines of what is there."""
        sizes = self._sizes(lines, at, vectors, sums)
        met = {sign: one.block(behind, at, vectors) for sign, one in self.some.items() if one is not None}
        return [
            [
                [self._joined(k, sizes[k][i][v], {sign: one[k][i][v] for sign, one in met.items()})
                 for v in range(vectors)]
                for i in range(self.g.plain.rows)
            ]
            for k in range(self.g.plain.kernels)
        ]  # fmt: skip

    def _joined(self, kernel: int, a: Vector, met: dict[bool, Vector]) -> Weights:
        if self.one_sign[kernel]:
            # `rarer` is that which no tap has.
            u = met[not self.rarer[kernel]]
            return Weights(a, u, u) if self.rarer[kernel] else Weights(a, -u, u)
        return Weights(a, met[False] - met[True], met[False] + met[True])

    def _sizes(self, lines: Sequence[Pointer], at: Size, vectors: int, sums: Block) -> Block:
        """Return a."""
        r = self.r
        if self.rare is None or self.others is None:
            return [[[s if self.rarer[k] else -s for s in row] for row in one] for k, one in enumerate(sums)]
        rare = self.rare.block(lines, at, vectors)
        found: dict[tuple[int, int, int], Register] = {}
        infinite = r.constant(0).greater(0)
        for k, one in enumerate(sums):
            for i, row in enumerate(one):
                for v, s in enumerate(row):
                    m = rare[k][i][v]
                    a = s if self.one_sign[k] else s - (m + m)
                    found[k, i, v] = r.register(a if self.rarer[k] else -a)
                    if not self.one_sign[k]:
                        infinite = infinite | r.absolute(m).equals(float("inf"))
        with r.when(r.any(infinite)):
            others = self.others.block(lines, at, vectors)
            for (k, i, v), register in found.items():
                if not self.one_sign[k]:
                    m, rest = rare[k][i][v], others[k][i][v]
                    a = rest - m if self.rarer[k] else m - rest
                    register.set(r.select(r.absolute(m).equals(float("inf")), a, register.value))
        return [[[found[k, i, v].value for v in range(vectors)] for i in range(len(one))] for k, one in enumerate(sums)]


class WeighedInLoops:
    """Sums of taps in loops: `lines` and `behind` are tables of addresses."""

    def __init__(self, r: Routine, gapped: Gapped) -> None:
        self.g = gapped
        self.signed = Looped(r, gapped.plain)
        self.sizes = Looped(r, gapped.plain, "magnitudes")

    def pixels(self, lines: Pointer, at: Size, vectors: int) -> Block:
        """Return s."""
        return self.signed.block(lines, at, vectors)

    def weights(
        self, lines: Pointer, behind: Pointer, at: Size, vectors: int, sums: Block
    ) -> list[list[list[Weights]]]:
        """Return a, v and u."""
        there = self.sizes.block(behind, at, vectors)
        a, u = sums, there
        if self.g.mixed:
            a, u = self.sizes.block(lines, at, vectors), self.signed.block(behind, at, vectors)
        return [
            [[Weights(*each) for each in zip(*row, strict=True)] for row in zip(*block, strict=True)]
            for block in zip(a, there, u, strict=True)
        ]
