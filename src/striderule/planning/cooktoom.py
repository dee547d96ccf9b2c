"""Convolutions of few outputs with fewer multiplications: the transforms of Toom, Cook and Winograd, derived exactly.

F(m, r) is the way to get m neighbouring outputs of a kernel with r taps,

    y[j] = sum over a of w[a] x[j + a]        0 <= j < m,

from n = m + r - 1 inputs with n products instead of m r. It is the transpose of the product of two polynomials.

Let u and v be polynomials of m and of r coefficients. Their product has n coefficients, so its values at n points fix
it, and a value of the product is the product of the values (Toom 1963, Cook 1966). With the points p[0] ... p[n - 2]
and, as the last one, infinity (where a polynomial's value is its first coefficient), Lagrange's formula gives

    u v = sum over i of u(p[i]) v(p[i]) / N[i] * product over k != i of (x - p[k])
          + u[m - 1] v[r - 1] * product over all k of (x - p[k]),        N[i] = product over k != i of (p[i] - p[k]).

As matrices, u v = B ((G v) * (A u)): row i of A holds the powers 0 ... m - 1 of p[i], row i of G the powers 0 ... r - 1
divided by N[i], column i of B the coefficients of the product without p[i]; the last row of A and of G has a one at the
end, the last column of B the coefficients of the whole product. For a fixed v this maps u to u v by the matrix
B diag(G v) A. A correlation with v is the transpose of that matrix (`y[j] = sum x[j + a] v[a]`), so

    y = A' ((G w) * (B' x)),

which is Winograd's F(m, r) (Arithmetic Complexity of Computations, SIAM 1980). Two axes nest: y = A' ((G w G') * (B' x
B)) A (Lavin and Gray, arXiv:1509.09308).

Which points are taken decides the error (Barabasz et al., arXiv:1803.10986): those of `POINTS` are the best, or nearly,
that a search among small fractions found by `Transform.random`; of nearly equal ones those of both signs, which share
half of their sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import combinations

Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]

_HALF, _QUARTER = Fraction(1, 2), Fraction(1, 4)
_ZERO, _ONE = Fraction(0), Fraction(1)
# Finite points, by how many there are. Points of both signs share half of their sums.
POINTS: dict[int, tuple[Fraction | int, ...]] = {
    0: (),
    1: (0,),
    2: (1, -1),
    3: (0, 1, -1),
    4: (-1, _HALF, -_QUARTER, Fraction(3, 2)),
    5: (0, Fraction(3, 4), -Fraction(3, 4), Fraction(3, 2), -Fraction(3, 2)),
    6: (1, -1, 2, -2, _QUARTER, -_QUARTER),
    7: (0, 1, -1, _HALF, -_HALF, 2, -2),
    8: (1, -1, _HALF, -_HALF, 2, -2, _QUARTER, -_QUARTER),
    9: (0, 1, -1, _HALF, -_HALF, 2, -2, -_QUARTER, 4),
    10: (1, -1, _HALF, -_HALF, 2, -2, _QUARTER, -_QUARTER, 4, -4),
    11: (0, 1, -1, _HALF, -_HALF, 2, -2, _QUARTER, -_QUARTER, 4, -4),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction of a program: ``factor * values[a] + sign * values[b]``, without b ``factor * values[a]``."""

    factor: Fraction
    a: int
    sign: int = 0
    b: int = -1


@dataclass(frozen=True, slots=True)
class Program:
    """How to apply a matrix: inputs are the first values, each step adds one, `outputs` names those of the rows.

    An output is None where the row is zero.
    """

    inputs: int
    steps: tuple[Step, ...]
    outputs: tuple[int | None, ...]

    @property
    def operations(self) -> int:
        """Instructions, where a multiply-add is one."""
        return len(self.steps)

    def __call__(self, values: Sequence[Fraction]) -> list[Fraction]:
        """Return the matrix times exact numbers."""
        known = list(values)
        for step in self.steps:
            known.append(step.factor * known[step.a] + (step.sign * known[step.b] if step.sign else 0))
        return [Fraction(0) if place is None else known[place] for place in self.outputs]


@dataclass(frozen=True)
class Transform:
    """F(m, r): the matrices A' (m x n), G (n x r) and B' (n x n)."""

    outputs: int
    kernel: int
    points: Row
    at: Matrix
    g: Matrix
    bt: Matrix

    @property
    def inputs(self) -> int:
        """Inputs of a tile, and products."""
        return self.outputs + self.kernel - 1

    @cached_property
    def input_program(self) -> Program:
        """How to apply B'."""
        return program(self.bt)

    @cached_property
    def weight_program(self) -> Program:
        """How to apply G."""
        return program(self.g)

    @cached_property
    def output_program(self) -> Program:
        """How to apply A'."""
        return program(self.at)

    @cached_property
    def random(self) -> float:
        """How rounding errors grow for random data: the norm of what they become, over that of the result.

        For independent inputs and weights of variance one, product i has the variance |B'[i]|^2 |G[i]|^2. An error of a
        part e of each product becomes, in output j, the square root of sum over i of A'[j, i]^2 |B'[i]|^2 |G[i]|^2
        times e; and the output itself has variance r.
        """
        sizes = [_square(b) * _square(g) for b, g in zip(self.bt, self.g, strict=True)]
        total = sum(float(a) ** 2 * size for row in self.at for a, size in zip(row, sizes, strict=True))
        return math.sqrt(total / (self.outputs * self.kernel))

    @cached_property
    def single(self) -> float:
        """The same for the worst single input and tap, whose product is all that the exact result can be.

        Where input i meets tap a, errors of each product become sum over k of |A'[j, k] G[k, a] B'[k, i]| in output j,
        at most; the norm is that over j.
        """
        found = 0.0
        for i in range(self.inputs):
            for a in range(self.kernel):
                paths = [abs(g[a] * b[i]) for g, b in zip(self.g, self.bt, strict=True)]
                sums = [float(sum(abs(c) * path for c, path in zip(row, paths, strict=True))) for row in self.at]
                found = max(found, math.sqrt(sum(one**2 for one in sums)))
        return found


def _square(row: Row) -> float:
    return float(sum(number**2 for number in row))


@lru_cache(maxsize=256)
def cook_toom(outputs: int, kernel: int, points: tuple[Fraction | int, ...] | None = None) -> Transform:
    """Return F(outputs, kernel) for distinct finite points (outputs + kernel - 2 of them) and infinity.

    Parameters
    ----------
    outputs, kernel
        Outputs of a tile and taps, at least one of each.
    points
        The finite points. Default those of `POINTS`.

    Raises
    ------
    ValueError
        If there are too many or too few points, or two are the same.

    Examples
    --------
    >>> found = cook_toom(2, 3)
    >>> [[str(number) for number in row] for row in found.bt]
    [['-1', '0', '1', '0'], ['0', '1', '1', '0'], ['0', '-1', '1', '0'], ['0', '-1', '0', '1']]
    >>> [[str(number) for number in row] for row in found.g]
    [['-1', '0', '0'], ['1/2', '1/2', '1/2'], ['1/2', '-1/2', '1/2'], ['0', '0', '1']]
    """
    finite = tuple(Fraction(point) for point in (POINTS[outputs + kernel - 2] if points is None else points))
    if len(finite) != outputs + kernel - 2 or len(set(finite)) != len(finite):
        raise ValueError(f"F({outputs}, {kernel}) needs {outputs + kernel - 2} distinct points, got {points}")
    count = len(finite)
    at = tuple((*(point**power for point in finite), Fraction(int(power == outputs - 1))) for power in range(outputs))
    g, bt = [], []
    for i, point in enumerate(finite):
        others = [finite[k] for k in range(count) if k != i]
        divisor = math.prod((point - other for other in others), start=_ONE)
        g.append(tuple(point**power / divisor for power in range(kernel)))
        # The last of these is one, which saves a multiplication.
        bt.append((*_product(others), _ZERO))
    g.append((*(_ZERO,) * (kernel - 1), _ONE))
    bt.append(tuple(_product(finite)))
    return Transform(outputs, kernel, finite, at, tuple(g), tuple(bt))


def _product(points: Sequence[Fraction]) -> list[Fraction]:
    """Return the coefficients of the product of x - point, the constant first."""
    found = [_ONE]
    for point in points:
        shifted = [_ZERO, *found]
        found = [high - point * low for high, low in zip(shifted, [*found, _ZERO], strict=True)]
    return found


def program(matrix: Matrix) -> Program:
    """Return the steps that apply a matrix, with what two rows or two columns have in common computed once.

    Rows that differ only in some signs (points of both signs) are sum and difference of what they share and what they
    do not. Columns alike come in as their sum and their difference.

    >>> one = Fraction(1)
    >>> program(((one, 2 * one, one), (one, -2 * one, one))).operations
    3
    """
    build = _Build(len(matrix[0]))
    build.rows([list(row) for row in matrix])
    return Program(len(matrix[0]), tuple(build.steps), tuple(build.found))


class _Build:
    """A program while it is made."""

    def __init__(self, inputs: int) -> None:
        self.count = inputs
        self.steps: list[Step] = []
        self.found: list[int | None] = []

    def step(self, step: Step) -> int:
        """Add a step and return the number of its value."""
        self.steps.append(step)
        self.count += 1
        return self.count - 1

    def rows(self, rows: list[list[Fraction]]) -> None:
        """Compute all rows."""
        places = self.paired(rows)
        self.found = [None] * len(rows)
        waiting = [i for i, row in enumerate(rows) if any(row)]
        while waiting:
            i = waiting.pop(0)
            twin = next((k for k in waiting if _twins(rows[i], rows[k])), None)
            if twin is None:
                self.found[i] = self.sum(rows[i], places)
                continue
            waiting.remove(twin)
            pairs = list(zip(rows[i], rows[twin], strict=True))
            same = self.sum([one if one == other else _ZERO for one, other in pairs], places)
            rest = [one if one != other else _ZERO for one, other in pairs]
            # A common factor is multiplied with at the end, if floats hold the quotients.
            exact = (one for one in reversed(rest) if one and all(_is_dyadic(other / one) for other in rest))
            factor = next(exact, _ONE)
            other = self.sum([one / factor for one in rest], places)
            self.found[i] = self.step(Step(factor, other, 1, same))
            self.found[twin] = self.step(Step(-factor, other, 1, same))

    def paired(self, rows: list[list[Fraction]]) -> list[int]:
        """Replace columns that are alike but for signs by two: of the sum and of the difference of their inputs.

        Return the values that the columns stand for.
        """
        places = list(range(len(rows[0])))
        for a, b in combinations(range(len(places)), 2):
            signs = [_sign(row[a], row[b]) for row in rows]
            # Two steps, for one less in each row that has both.
            if None in signs or sum(bool(row[a] and row[b]) for row in rows) <= 2:
                continue
            places += [self.step(Step(_ONE, places[a], sign, places[b])) for sign in (1, -1)]
            for row, sign in zip(rows, signs, strict=True):
                row += [row[a] if sign == 1 else _ZERO, row[a] if sign == -1 else _ZERO]  # noqa: PLW2901 - in place
                row[a] = row[b] = _ZERO
        return places

    def sum(self, row: list[Fraction], places: list[int]) -> int:
        """Compute one sum, which begins with a term that needs no multiplication if there is one."""
        terms = sorted((number != 1, place, number) for place, number in zip(places, row, strict=True) if number)
        _, place, number = terms[0]
        total = place if number == 1 else self.step(Step(number, place))
        for _, place, number in terms[1:]:
            total = self.step(Step(number, place, 1, total))
        return total


def _is_dyadic(number: Fraction) -> bool:
    """Tell whether a float holds a fraction exactly: whether its denominator is a power of two."""
    return number.denominator & (number.denominator - 1) == 0


def _sign(one: Fraction, other: Fraction) -> int | None:
    """Return 1 or -1 where two numbers are equal or opposite, 0 where both are zero, else None."""
    if one == 0 and other == 0:
        return 0
    return 1 if one == other else -1 if one == -other else None


def _twins(one: list[Fraction], other: list[Fraction]) -> bool:
    """Tell whether two rows differ in some signs alone, and sharing saves steps."""
    if any(abs(a) != abs(b) for a, b in zip(one, other, strict=True)):
        return False
    same = sum(a == b for a, b in zip(one, other, strict=True) if a)
    terms = sum(map(bool, one))
    return 0 < same < terms and terms > 2
