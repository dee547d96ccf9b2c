"""Fast Fourier transforms of vectors, in the tile language: every lane is a sequence of its own.

    X[k] = sum over n < N of x[n] exp(-2 pi i k n / N)

A length N = r m is transformed by m transforms of r numbers that stand m apart, a factor for each result, and r
transforms of m neighbours (Cooley and Tukey, 1965). With n = q m + j and k = r l + p,

    X[r l + p] = sum over j < m of exp(-2 pi i l j / m) y[p, j]
    y[p, j] = exp(-2 pi i p j / N) sum over q < r of exp(-2 pi i p q / r) x[q m + j]

`forward` leaves result p of a small transform where its input q = p was, so that spectra stand in the order of their
digits reversed. Products of spectra do not mind, and `backward`, which goes the same way back, takes them so. Nothing
is put in order, nothing is divided by N, and no pass needs room besides the sequence.

A sequence is `length` pairs of vectors, real and imaginary part, one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import prod, sqrt
from operator import floordiv
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.codegen.tile import Pointer, Routine, Size, Vector

Complex = tuple[Vector, Vector]
Change = Callable[[list[Complex], Size], list[Complex]]
ALL = slice(None)


def factors(radices: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the factors of all passes but the last: for each the pairs of j and of p = 1 ... r - 1, in this order.

    >>> factors((4, 2), "float64").reshape(2, 3, 2)[1, 1].round(3) + 0
    array([ 0., -1.])
    """
    found = [np.zeros(0)]
    for length, radix in zip(_lengths(radices), radices[:-1], strict=False):
        angles = -2 * np.pi / length * np.outer(np.arange(length // radix), np.arange(1, radix))
        found.append(np.stack([np.cos(angles), np.sin(angles)], axis=-1).ravel())
    return np.concatenate(found).astype(dtype)


def forward(r: Routine, where: Pointer, radices: Sequence[int], table: Pointer, passes: slice = ALL) -> None:
    """Transform a sequence in place; `passes` of it alone where they are given."""
    for number in range(len(radices))[passes]:
        _pass(r, where, radices, number, table, sign=-1)


def backward(r: Routine, where: Pointer, radices: Sequence[int], table: Pointer, passes: slice = ALL) -> None:
    """Go back from a spectrum to the sequence, times the length; `passes`, of those of `forward`, are gone back."""
    for number in reversed(range(len(radices))[passes]):
        _pass(r, where, radices, number, table, sign=1)


def there_and_back(r: Routine, where: Pointer, radix: int, length: int, change: Change) -> None:
    """Do the last pass of `forward`, change what is then the spectrum, and do the first pass of `backward`.

    `change` is given neighbours in the spectrum, and the place of the first.
    """
    with r.loop(length // radix) as block:
        here = [where + (block * radix + k) * (2 * r.lanes) for k in range(radix)]
        spectrum = small_transform(r, [_load(r, one) for one in here], -1)
        for value, goal in zip(small_transform(r, change(spectrum, block * radix), 1), here, strict=True):
            _store(r, value, goal)


def product_and_back(r: Routine, one: Pointer, other: Pointer, where: Pointer, radix: int, length: int) -> None:
    """Multiply two spectra, and do the first pass of `backward`: the rest is to be done from `where` on."""
    with r.loop(length // radix) as block:
        places = [(block * radix + k) * (2 * r.lanes) for k in range(radix)]
        spectrum = [product(r, _load(r, one + place), _load(r, other + place)) for place in places]
        for value, place in zip(small_transform(r, spectrum, 1), places, strict=True):
            _store(r, value, where + place)


def small_transform(r: Routine, x: list[Complex], sign: int) -> list[Complex]:
    """Return the transform of 1, 2, 4 or 8 numbers, forward for sign -1 and backward for 1, in registers."""
    if len(x) == 1:
        return x
    if len(x) == 2:
        return [_sum(*x), _difference(*x)]
    if len(x) == 4:
        sums, turned = (_sum(x[0], x[2]), _sum(x[1], x[3])), _turned(_difference(x[1], x[3]), sign)
        apart = _difference(x[0], x[2])
        return [_sum(*sums), _sum(apart, turned), _difference(*sums), _difference(apart, turned)]
    even, odd = small_transform(r, x[::2], sign), small_transform(r, x[1::2], sign)
    # exp(sign 2 pi i p / 8) is 1, (1 + sign i) / sqrt(2), sign i, and sign i times the second.
    diagonal = [_sum(odd[p], _turned(odd[p], sign)) for p in (1, 3)]
    diagonal[1] = _turned(diagonal[1], sign)
    plain = {0: odd[0], 2: _turned(odd[2], sign)}
    pairs = []
    for p in range(4):
        if p in plain:
            pairs.append((_sum(even[p], plain[p]), _difference(even[p], plain[p])))
            continue
        a, b = even[p], diagonal[p // 2]
        half = a[0].like(sqrt(0.5))
        up = tuple(r.multiply_add(half, b[i], a[i]) for i in (0, 1))
        down = tuple(r.multiply_add(-half, b[i], a[i]) for i in (0, 1))
        pairs.append(((up[0], up[1]), (down[0], down[1])))
    return [one for one, _ in pairs] + [other for _, other in pairs]


def product(r: Routine, a: Complex, b: Complex, *, conjugate: bool = False) -> Complex:
    """Return a times b, or times the conjugate of b."""
    real, imaginary = (a[1] * b[1], -(a[0] * b[1])) if conjugate else (-(a[1] * b[1]), a[0] * b[1])
    return r.multiply_add(a[0], b[0], real), r.multiply_add(a[1], b[0], imaginary)


def _lengths(radices: Sequence[int]) -> list[int]:
    """Return the length that each pass transforms."""
    return list(accumulate(radices[:-1], floordiv, initial=prod(radices)))


def _pass(r: Routine, where: Pointer, radices: Sequence[int], number: int, table: Pointer, *, sign: int) -> None:
    """Write one pass: over blocks of the length that it transforms, and within them over j < m."""
    length, radix = _lengths(radices)[number], radices[number]
    apart = length // radix
    before = zip(_lengths(radices), radices[:number], strict=False)
    first = sum(2 * (size // one) * (one - 1) for size, one in before)
    with r.loop(prod(radices) // length) as block, r.loop(apart) as j:
        here = [where + (block * length + j + q * apart) * (2 * r.lanes) for q in range(radix)]
        x = [_load(r, one) for one in here]
        if apart == 1:
            x = small_transform(r, x, sign)
        else:
            place = table + (first + j * (2 * (radix - 1)))
            turns = [(r.broadcast(place + 2 * p), r.broadcast(place + (2 * p + 1))) for p in range(radix - 1)]
            if sign < 0:
                x = small_transform(r, x, sign)
                x = x[:1] + [product(r, value, turn) for value, turn in zip(x[1:], turns, strict=True)]
            else:
                x = x[:1] + [product(r, value, turn, conjugate=True) for value, turn in zip(x[1:], turns, strict=True)]
                x = small_transform(r, x, sign)
        for value, goal in zip(x, here, strict=True):
            _store(r, value, goal)


def _load(r: Routine, where: Pointer) -> Complex:
    return r.load(where), r.load(where + r.lanes)


def _store(r: Routine, value: Complex, where: Pointer) -> None:
    r.store(value[0], where)
    r.store(value[1], where + r.lanes)


def _sum(a: Complex, b: Complex) -> Complex:
    return a[0] + b[0], a[1] + b[1]


def _difference(a: Complex, b: Complex) -> Complex:
    return a[0] - b[0], a[1] - b[1]


def _turned(a: Complex, sign: int) -> Complex:
    """Return sign i times a."""
    return (-a[1], a[0]) if sign > 0 else (a[1], -a[0])
