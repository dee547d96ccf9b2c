"""What a window has come to so far: a sum, or the largest and its place."""

from __future__ import annotations

from striderule.algorithms.direct.pooling.structure import Structure
from striderule.codegen.tile import Element, Mask, Register, Routine, Vector


def nothing(element: Element, sums: bool) -> float:
    """Return what a window of no elements comes to: 0, or the least number of the type."""
    if sums or element.kind == "u":
        return 0
    return float("-inf") if element.kind == "f" else -(2 ** (8 * element.itemsize - 1))


def nowhere(element: Element) -> int:
    """Return the place of nothing while others are looked for: behind all others, so that any of them wins."""
    return int(2 ** (8 * element.itemsize - 1) - 1)


class Running:
    """What the windows of some lanes have come to."""

    def __init__(self, r: Routine, s: Structure, lanes: int | None = None) -> None:
        self.r, self.s = r, s
        self._best: Register = r.register(r.constant(nothing(s.work, s.sums), s.work, lanes))
        self._where: Register | None = None
        if s.places:
            self._where = r.register(r.constant(nowhere(s.place), s.place, lanes))

    @property
    def value(self) -> Vector:
        """The sum or the largest."""
        return self._best.value

    @property
    def where(self) -> Vector:
        """The place of the largest."""
        assert self._where is not None
        return self._where.value

    def start_at(self, where: Vector) -> None:
        """Name the place of the first element, which holds where no other is larger than nothing."""
        assert self._where is not None
        self._where.set(where)

    def take(self, value: Vector, where: Vector | None = None) -> None:
        """Take one more element, whose place is behind that of all taken before."""
        if where is None:
            best = self._best.value
            self._best.set(best + value if self.s.sums else self.r.maximum(value, best))
            return
        better = value.greater(self._best.value)
        self._replace(better if self.s.work.kind != "f" else better | value.is_nan(), value, where)

    def meet(self, value: Vector, where: Vector | None = None) -> None:
        """Take one more element of any place: of equals the first counts, of several NaN the last."""
        if where is None:
            self.take(value)
            return
        best, before = self._best.value, where.less(self.where)
        better = value.greater(best) | (value.equals(best) & before)
        if self.s.work.kind == "f":
            better = better | (value.is_nan() & ~(best.is_nan() & before))
        self._replace(better, value, where)

    def _replace(self, better: Mask, value: Vector, where: Vector) -> None:
        assert self._where is not None
        self._best.set(self.r.select(better, value, self._best.value))
        self._where.set(self.r.select(better, where, self._where.value))

    def put(self, value: Vector, where: Vector | None = None) -> None:
        """Hold this and nothing else."""
        self._best.set(value)
        if where is not None and self._where is not None:
            self._where.set(where)

    def like(self) -> Running:
        """Return another one of as many lanes, that nothing was taken by."""
        return Running(self.r, self.s, self.value.lanes)

    def folded(self) -> Running:
        """Return what all lanes together come to, in every lane, always in the same order."""
        half = self.value.lanes // 2
        while half:
            pattern = [i ^ half for i in range(self.value.lanes)]
            value = self.r.shuffle(self.value, self.value, pattern)
            self.meet(value, self.r.shuffle(self.where, self.where, pattern) if self.s.places else None)
            half //= 2
        return self
