"""Functions of vectors in the tile language: exp, log, tanh, erf, arctan2 and their relatives, for float32 and float64.

There are no calls in them, on any target. Their errors are at most so many units in the last place of the result
(``tests/codegen/test_vmath.py`` holds them to it; a denormal result has the unit of the least normal number):

    exp, log               1.25
    log1p, tanh            1.75
    expm1, log1p_exp       2.25
    sigmoid, erf, arctan2  2.5
    normal                 4.5      the share of the normal distribution, also where it is tiny

Infinities give the limit of the function, NaN stays, and denormal numbers count in full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from striderule.codegen import coefficients
from striderule.codegen.tile import INT32, INT64, Element, Routine, Vector


@dataclass(frozen=True, slots=True)
class _Format:
    """What the functions need to know of a float type."""

    integer: Element
    fraction: int  # bits behind the point
    bias: int
    ln2_high: float  # so few bits that its product with any exponent is exact
    ln2_low: float

    @property
    def magic(self) -> float:
        """Adding it rounds to a whole number, which then stands in the lowest bits."""
        return 1.5 * 2.0**self.fraction


# ln 2 to 40 digits: what its upper bits leave is formed from them, for floats alone would not know it.
_LN2 = 6931471805599453094172321214581765680755
_SCALE = 10**40


# pi / 4 likewise.
_PI_QUARTER = 7853981633974483096156608458198757210493


def _parts(number: int, bits: int) -> tuple[float, float]:
    """Return a number of 40 digits as what so many bits behind the point hold, and the rest."""
    high = (number << bits) // _SCALE
    return high / 2**bits, ((number << bits) - high * _SCALE) / (_SCALE << bits)


_FORMATS = {
    "float32": _Format(INT32, 23, 127, *_parts(_LN2, 15)),
    "float64": _Format(INT64, 52, 1023, *_parts(_LN2, 41)),
}


# The upper bits of pi / 4, times up to 4, are exact.
_QUARTERS = {"float32": _parts(_PI_QUARTER, 21), "float64": _parts(_PI_QUARTER, 50)}


def polynomial(r: Routine, x: Vector, table: Sequence[float]) -> Vector:
    """Return c[0] + c[1] x + c[2] x^2 ..., by Horner's rule."""
    result = x.like(table[-1])
    for coefficient in reversed(table[:-1]):
        result = r.multiply_add(result, x, x.like(coefficient))
    return result


# exp ------------------------------------------------------------------------------------------------------------------


def _power(r: Routine, rounded: Vector) -> Vector:
    """Return 2^n for the n in the lowest bits of a number with the magic one added: no exponent may leave its range."""
    form = _FORMATS[rounded.element.name]
    return r.bits((r.bits(rounded, form.integer) + form.bias) << form.fraction, rounded.element)


def _reduced(r: Routine, x: Vector) -> tuple[Vector, Vector]:
    """Return n + magic and f with x = n ln 2 + f, n whole and f in about half of ln 2 around zero."""
    form = _FORMATS[x.element.name]
    rounded = r.multiply_add(x, x.like(1 / math.log(2)), x.like(form.magic))
    n = rounded - form.magic
    rest = r.multiply_add(n, x.like(-form.ln2_high), x)
    return rounded, r.multiply_add(n, x.like(-form.ln2_low), rest)


def _expm1_reduced(r: Routine, f: Vector) -> Vector:
    """Return exp(f) - 1 for a reduced f."""
    return r.multiply_add(f * f, polynomial(r, f, coefficients.EXP[f.element.name]), f)


def _scaled(r: Routine, x: Vector, rounded: Vector) -> Vector:
    """Return x 2^n, rounded once where it is denormal, for n that may be twice as far from zero as exponents are."""
    form = _FORMATS[x.element.name]
    n = rounded - form.magic
    if r.target.name in ("amx", "avx512") and x.lanes * x.element.itemsize == r.target.vector_bytes:
        return r.scale(x, n)
    half = r.multiply_add(n, x.like(0.5), x.like(form.magic))
    return x * _power(r, half) * _power(r, n - (half - form.magic) + form.magic)


def _exp(r: Routine, x: Vector) -> Vector:
    rounded, f = _reduced(r, x)
    return _scaled(r, _expm1_reduced(r, f) + 1, rounded)


def _above(r: Routine, x: Vector) -> Vector:
    """Return x, or a number whose exponential is zero where x is below."""
    form = _FORMATS[x.element.name]
    return r.at_least(x, -(form.bias + form.fraction + 1) * math.log(2))


def exp(r: Routine, x: Vector) -> Vector:
    """Return exp(x)."""
    # Beyond 2^(bias + 1) the result is infinity.
    return _exp(r, r.at_most(_above(r, x), (_FORMATS[x.element.name].bias + 2) * math.log(2)))


def exp_of_negative(r: Routine, x: Vector) -> Vector:
    """Return exp(x) for x <= 0."""
    return _exp(r, _above(r, x))


def expm1(r: Routine, x: Vector) -> Vector:
    """Return exp(x) - 1, exact to the last digits where x is small too."""
    form = _FORMATS[x.element.name]
    # Below the first it is -1; at the second it overflows, but half a power does not.
    least, most = -(form.fraction + 3) * math.log(2), (form.bias + 1.25) * math.log(2)
    rounded, f = _reduced(r, r.at_most(r.at_least(x, least), most))
    rest = _expm1_reduced(r, f)
    # 2^n (1 + rest) - 1 with half of 2^n, which is always finite.
    power = _power(r, rounded - 1)
    general = r.multiply_add(power, rest, power - 0.5)
    # Where x is so small that it is its own result it keeps its sign and, being denormal, its digits.
    return r.select(r.absolute(x).less(2.0 ** -(form.fraction + 2)), x, general + general)


# log ------------------------------------------------------------------------------------------------------------------


def _log_near_one(r: Routine, f: Vector, table: Sequence[float]) -> Vector:
    """Return log(1 + f) = log((1 + s) / (1 - s)) with s = f / (2 + f), as f - s (f - rest): 2 s is f - s f."""
    s = f / (f + 2)
    square = s * s
    return f - s * (f - square * polynomial(r, square, table))


def _log_of_parts(r: Routine, exponent: Vector, f: Vector, correction: Vector | None = None) -> Vector:
    """Return exponent * ln 2 + log(1 + f) + correction."""
    form = _FORMATS[f.element.name]
    rest = _log_near_one(r, f, coefficients.LOG[f.element.name])
    lower = f.like(0) if correction is None else correction
    lower = r.multiply_add(exponent, f.like(form.ln2_low), lower)
    return r.multiply_add(exponent, f.like(form.ln2_high), lower + rest)


def _split(r: Routine, x: Vector) -> tuple[Vector, Vector]:
    """Return the exponent e and m with x = 2^e m, m from sqrt(1/2) to sqrt(2), for normal positive numbers."""
    form = _FORMATS[x.element.name]
    root = r.bits(x.like(math.sqrt(0.5)), form.integer)
    shifted = r.bits(x, form.integer) - root
    mantissa = (shifted & ((1 << form.fraction) - 1)) + root
    return r.convert(shifted >> form.fraction, x.element), r.bits(mantissa, x.element)


def _at_the_ends(r: Routine, x: Vector, zero: float, result: Vector) -> Vector:
    """Return what a logarithm is at `zero`, where it is minus infinity, below it, and at infinity."""
    result = r.select(x.equals(math.inf), x, result)
    result = r.select(x.equals(zero), x.like(-math.inf), result)
    return r.select(x.greater_equal(zero), result, x.like(math.nan))


def log(r: Routine, x: Vector) -> Vector:
    """Return the natural logarithm: minus infinity of 0, NaN of less."""
    form = _FORMATS[x.element.name]
    denormal = x.less(2.0 ** (1 - form.bias))
    exponent, m = _split(r, r.select(denormal, x * 2.0**form.fraction, x))
    exponent = r.select(denormal, exponent - form.fraction, exponent)
    return _at_the_ends(r, x, 0.0, _log_of_parts(r, exponent, m - 1))


def log1p(r: Routine, x: Vector) -> Vector:
    """Return log(1 + x), exact to the last digits where x is small too: minus infinity of -1, NaN of less."""
    form = _FORMATS[x.element.name]
    total = x + 1
    exponent, m = _split(r, total)
    # What rounding lost of 1 + x, x - (total - 1) or 1 - (total - x), counts as much as its share of the total.
    lost = r.select(x.greater(1), 1 - (total - x), x - (total - 1))
    general = _log_of_parts(r, exponent, m - 1, lost / total)
    small = r.absolute(x).less(2.0 ** -(form.fraction + 2))
    return _at_the_ends(r, x, -1.0, r.select(small, x, general))


def log1p_exp(r: Routine, x: Vector) -> Vector:
    """Return log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    return r.at_least(x, 0) + log1p_unit(r, exp_of_negative(r, -r.absolute(x)))


def log1p_unit(r: Routine, x: Vector) -> Vector:
    """Return log(1 + x) for x from 0 to 1."""
    return _log_near_one(r, x, coefficients.LOG1P[x.element.name])


# tanh and sigmoid -----------------------------------------------------------------------------------------------------


def tanh_rest(r: Routine, x: Vector) -> Vector:
    """Return tanh(x) - x for |x| up to 0.55."""
    square = x * x
    return x * (square * polynomial(r, square, coefficients.TANH[x.element.name]))


# Up to here `tanh_rest` serves.
TANH_SMALL = 0.55


def tanh_large(r: Routine, x: Vector) -> Vector:
    """Return tanh(x) = 1 - 2 / (exp(2 |x|) + 1), with the sign of x, for |x| from 0.55."""
    size = r.absolute(x)
    return r.copy_sign(1 - 2 / (exp(r, size + size) + 1), x)


def tanh(r: Routine, x: Vector) -> Vector:
    """Return the hyperbolic tangent."""
    small = r.absolute(x).less(TANH_SMALL)
    # The sum would lose the sign of zero.
    return r.select(small, r.copy_sign(x + tanh_rest(r, x), x), tanh_large(r, x))


def sigmoid(r: Routine, x: Vector) -> Vector:
    """Return 1 / (1 + exp(-x))."""
    return weighted_sigmoid(r, x.like(1), x)


def weighted_sigmoid(r: Routine, weight: Vector, x: Vector) -> Vector:
    """Return weight / (1 + exp(-x)); the exponential of -|x| never overflows."""
    small = exp_of_negative(r, -r.absolute(x))
    return r.select(x.less(0), weight * small, weight) / (small + 1)


# arctan2 --------------------------------------------------------------------------------------------------------------


def arctan2(r: Routine, y: Vector, x: Vector) -> Vector:
    """Return the angle of (x, y) from -pi to pi, in the quadrant that the signs of both say, those of zeros too.

    As C's and NumPy's: where both are zero, 0 or pi with the sign of y, and where both are infinite, odd multiples of
    pi / 4.
    """
    up, along = r.absolute(y), r.absolute(x)
    steep = up.greater(along)
    small, large = r.select(steep, along, up), r.select(steep, up, along)
    # Infinities become 1 and 0, of which 0 times what is no number is none; what is large must not overflow in a sum.
    endless = large.equals(math.inf)
    small = r.select(endless, r.select(small.equals(math.inf), x.like(1), small * 0), small)
    large = r.select(endless, x.like(1), large)
    scale = r.select(large.greater(2.0 ** (_FORMATS[x.element.name].bias - 1)), x.like(0.25), x.like(1))
    small, large = small * scale, large * scale
    # arctan q = pi / 4 + arctan((q - 1) / (q + 1)), with q = small / large above tan(pi / 8).
    turned = small.greater(large * math.tan(math.pi / 8))
    upper, lower = r.select(turned, small - large, small), r.select(turned, small + large, large)
    tangent = upper / r.select(lower.equals(0), x.like(1), lower)
    square = tangent * tangent
    angle = r.multiply_add(tangent * square, polynomial(r, square, coefficients.ARCTAN[x.element.name]), tangent)
    # Eighths of a turn: q upside down is pi / 2 less its angle, and left of zero it is pi less that.
    eighths = r.select(turned, x.like(1), x.like(0))
    eighths, angle = r.select(steep, 2 - eighths, eighths), r.select(steep, -angle, angle)
    left = r.copy_sign(x.like(1), x).less(0)
    eighths, angle = r.select(left, 4 - eighths, eighths), r.select(left, -angle, angle)
    high, low = _QUARTERS[x.element.name]
    return r.copy_sign(eighths * high + r.multiply_add(eighths, x.like(low), angle), y)


# The normal distribution ----------------------------------------------------------------------------------------------


def normal_tail(r: Routine, size: Vector, *, weighted: bool = False) -> Vector:
    """Return Phi(-size) = (1 - erf(size / sqrt 2)) / 2 for size >= 0, without cancellation.

    If `weighted`, size times that, which keeps its digits where Phi itself is denormal.
    """
    # Beyond this it is zero.
    size = r.at_most(size, 15 if size.element.itemsize == 4 else 39)
    first, second, factor = coefficients.NORMAL[size.element.name]
    common = size + first[-1]
    for coefficient in reversed(first[:-1]):
        common = r.multiply_add(common, size, size.like(coefficient))
    # Where size is large the common factor goes out of the quotient, and so do its errors.
    product = common * size
    share = (product if weighted else common) / r.multiply_add(product, size.like(factor), polynomial(r, size, second))
    rest, rounded = _bell_parts(r, size)
    return _scaled(r, r.multiply_add(share, rest, share), rounded)


def _bell_parts(r: Routine, size: Vector) -> tuple[Vector, Vector]:
    """Return e and n + magic with exp(-size^2 / 2) = (1 + e) 2^n."""
    form = _FORMATS[size.element.name]
    # Of a rounded square the exponential is wrong in its last digits, so the square comes in two parts.
    square = size * size
    if r.target.fma:
        low = r.multiply_add(size, size, -square)
    else:
        # The square of the upper half of the digits is exact.
        upper = r.bits(r.bits(size, form.integer) & (-1 << (form.fraction // 2 + 1)), size.element)
        square = upper * upper
        low = (size - upper) * (size + upper)
    rounded = r.multiply_add(square, size.like(-0.5 / math.log(2)), size.like(form.magic))
    n = rounded - form.magic
    # -size^2 / 2 = n ln 2 - g / 2, and exp(f) - 1 = f + f^2 rest(f) with f = -g / 2: nothing need be halved.
    g = r.multiply_add(n, size.like(2 * form.ln2_low), r.multiply_add(n, size.like(2 * form.ln2_high), square) + low)
    table = [-0.5, *(c * 0.25 * (-0.5) ** k for k, c in enumerate(coefficients.EXP[size.element.name]))]
    return g * polynomial(r, g, table), rounded


def bell(r: Routine, size: Vector) -> Vector:
    """Return exp(-size^2 / 2) for size >= 0."""
    rest, rounded = _bell_parts(r, r.at_most(size, 15 if size.element.itemsize == 4 else 39))
    return _scaled(r, rest + 1, rounded)


def normal(r: Routine, x: Vector) -> Vector:
    """Return Phi(x) = (1 + erf(x / sqrt 2)) / 2, the share of the normal distribution below x."""
    tail = normal_tail(r, r.absolute(x))
    return r.select(x.greater(0), 1 - tail, tail)


def erf(r: Routine, x: Vector) -> Vector:
    """Return the error function."""
    square = x * x
    small = r.multiply_add(x, polynomial(r, square, coefficients.ERF[x.element.name]), x)
    size = r.absolute(x)
    tail = normal_tail(r, size * math.sqrt(2))
    return r.copy_sign(r.select(size.less(0.75), small, 1 - (tail + tail)), x)
