"""Kernels that are sums of outer products: one profile an axis in each term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Terms:
    """A kernel as a sum of outer products, maybe divided by a number.

    kernel[t, u, ...] = sum over terms of term[0][t] * term[1][u] * ... / divisor

    >>> Terms(((np.array([1.0, 2.0]), np.array([1.0, 1.0])),), 4).dense()
    array([[0.25, 0.25],
           [0.5 , 0.5 ]])
    """

    terms: tuple[tuple[Array, ...], ...]
    divisor: float = 1

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        return self.divisor, tuple(tuple((one.dtype.char, one.tobytes()) for one in term) for term in self.terms)

    def __eq__(self, other: object) -> bool:
        """Tell whether the other kernel has the same taps."""
        return isinstance(other, Terms) and self._key == other._key

    def __hash__(self) -> int:
        """Return a number that equal kernels share."""
        return hash(self._key)

    @classmethod
    def outer(cls, profiles: Sequence[Array], divisor: float = 1) -> Terms:
        """Return the outer product of profiles."""
        return cls((tuple(profiles),), divisor)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the kernel."""
        return tuple(len(profile) for profile in self.terms[0])

    def dense(self) -> Array:
        """Return the kernel as an array."""
        whole = sum(reduce(np.multiply.outer, term) for term in self.terms)
        return np.asarray(whole) / self.divisor if self.divisor != 1 else np.asarray(whole)
