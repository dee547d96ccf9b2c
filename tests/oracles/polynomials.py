"""The coefficients of `striderule.codegen.coefficients`, derived: run this file to print them anew.

Each is the polynomial, or the quotient of two, that equals its function at the Chebyshev points of an interval, which
is within a small factor of the best one of its degree. The functions come from their definitions, in decimal arithmetic
with so many digits that differences may lose most of them.
"""

import sys
from decimal import Decimal, getcontext, localcontext

DIGITS = 500


def negligible(term):
    return abs(term) < Decimal(10) ** (2 - getcontext().prec)


def arctan(x):
    """Sum its series for a small x."""
    total, power, n = Decimal(0), x, 1
    while not negligible(power):
        total += power / n if n % 4 == 1 else -power / n
        power *= x * x
        n += 2
    return total


with localcontext(prec=DIGITS):
    PI = 16 * arctan(Decimal(1) / 5) - 4 * arctan(Decimal(1) / 239)  # Machin


def arctan2(y, x):
    """Return the angle of a point, of which no coordinate is zero: halved until its tangent is small."""
    if abs(y) > abs(x):
        acute = PI / 2 - arctan2(abs(x), abs(y))
        return (acute if x > 0 else PI - acute).copy_sign(y)
    tangent, doublings = abs(y / x), 0
    while tangent > Decimal("0.1"):
        tangent, doublings = tangent / (1 + (1 + tangent**2).sqrt()), doublings + 1
    # Of a tangent below 1e-20 less than 1e-40 of it is lost.
    angle = 2**doublings * (arctan(tangent) if tangent > Decimal("1e-20") else tangent)
    return (angle if x > 0 else PI - angle).copy_sign(y)


def cosine(x):
    total, term, n = Decimal(0), Decimal(1), 0
    while not negligible(term):
        total += term
        term *= -x * x / ((n + 1) * (n + 2))
        n += 2
    return total


def erf(x):
    """erf(x) = 2 / sqrt(pi) exp(-x^2) (x + 2 x^3 / 3 + 4 x^5 / (3 * 5) + ...), whose terms are all positive."""
    total, term, n = Decimal(0), x, 1
    while not negligible(term):
        total += term
        n += 2
        term *= 2 * x * x / n
    return 2 / PI.sqrt() * (-x * x).exp() * total


def tanh(x):
    e = (2 * x).exp()
    return (e - 1) / (e + 1)


def atanh(x):
    return ((1 + x) / (1 - x)).ln() / 2


# The functions that are interpolated --------------------------------------------------------------------------------


def exp_rest(x):
    """exp(x) = 1 + x + x^2 f(x)."""
    return (x.exp() - 1 - x) / x**2


def log_rest(z):
    """log((1 + s) / (1 - s)) = 2 s + s z f(z) with z = s^2."""
    s = z.sqrt()
    return (2 * atanh(s) - 2 * s) / s**3


def tanh_rest(z):
    """tanh(x) = x + x z f(z) with z = x^2."""
    x = z.sqrt()
    return (tanh(x) - x) / x**3


def arctan_rest(z):
    """arctan(x) = x + x z f(z) with z = x^2."""
    x = z.sqrt()
    return (arctan(x) - x) / x**3


def erf_rest(z):
    """erf(x) = x + x f(z) with z = x^2."""
    x = z.sqrt()
    return erf(x) / x - 1


def normal_tail(a):
    """Phi(-a) = exp(-a^2 / 2) f(a)."""
    return (a * a / 2).exp() * (1 - erf(a / Decimal(2).sqrt())) / 2


with localcontext(prec=DIGITS):
    ROOT = Decimal(2).sqrt()
    # Reduced arguments end at half of ln 2, and a little beyond where products are rounded twice.
    REDUCED = Decimal(2).ln() / 2 + Decimal("0.001")

# name: function, first and last place, number of coefficients for float32 and float64
TABLE = {
    "EXP": (exp_rest, -REDUCED, REDUCED, (5, 10)),
    # 1 + f from sqrt(1/2) to sqrt(2): s = f / (2 + f).
    "LOG": (log_rest, Decimal(0), ((ROOT - 1) / (ROOT + 1)) ** 2, (3, 7)),
    # 1 + t from 1 to 2.
    "LOG1P": (log_rest, Decimal(0), Decimal(1) / 9, (5, 10)),
    "TANH": (tanh_rest, Decimal(0), Decimal("0.3025"), (5, 11)),
    # Up to tan(pi / 8), and a little beyond.
    "ARCTAN": (arctan_rest, Decimal(0), Decimal("0.1717"), (5, 11)),
    "ERF": (erf_rest, Decimal(0), Decimal("0.5625"), (6, 11)),
}
# name: function, last place and degree, each for float32 and float64. They equal the function where (x - MIDDLE) / (x +
# MIDDLE), from -1 on, has its Chebyshev points.
QUOTIENTS = {
    # float32 ends at Phi(-14.2), float64 at Phi(-38.5): beyond, both are zero.
    "NORMAL": (normal_tail, (Decimal("14.5"), Decimal(39)), (5, 11)),
}
MIDDLE = Decimal(3)


def chebyshev(low, high, count):
    """Return `count` points between two places, from the upper one down."""
    middle, half = (high + low) / 2, (high - low) / 2
    return [middle + half * cosine(PI * (2 * k + 1) / (2 * count)) for k in range(count)]


def interpolated(function, low, high, count):
    """Return the coefficients, constant first, of the polynomial that equals `function` at `count` Chebyshev points."""
    points = chebyshev(low, high, count)
    # A middle of zero is a limit of 0 / 0: an argument of 1e-100 gives it to 100 digits.
    points = [point if abs(point) > Decimal("1e-100") else Decimal("1e-100") for point in points]
    slopes = [function(point) for point in points]  # Newton's divided differences
    for order in range(1, count):
        for k in range(count - 1, order - 1, -1):
            slopes[k] = (slopes[k] - slopes[k - 1]) / (points[k] - points[k - order])
    result = [Decimal(0)] * count
    for slope, point in zip(reversed(slopes), reversed(points), strict=True):  # result = result * (x - point) + slope
        shifted = [Decimal(0), *result[:-1]]
        result = [up - point * here for up, here in zip(shifted, result, strict=True)]
        result[0] += slope
    return [float(value) for value in result]


def quotient(function, high, degree):
    """Return d, n and k where d(x) / (k x d(x) + n(x)) equals `function`: coefficients, constant first.

    d is of the degree before `degree`, and its last coefficient, 1, is left away. With the numerator p = d / k and the
    denominator q = x d + n / k, f q = p in 2 * degree places are linear equations, which Gauss's elimination solves.
    The first place is 0, so that the quotient is exact there.
    """
    last, first = (high - MIDDLE) / (high + MIDDLE), cosine(PI / (4 * degree))
    far = chebyshev((last * (first - 1) - 2) / (first + 1), last, 2 * degree)
    far[-1] = Decimal(-1)  # as it is but for rounding
    rows = []
    for x in (MIDDLE * (1 + y) / (1 - y) for y in far):
        value, powers = function(x), [Decimal(1)]
        for _ in range(degree):
            powers.append(powers[-1] * x)
        rows.append([*powers[:-1], *(-value * power for power in powers[:-1]), value * powers[-1]])
    for k in range(2 * degree):
        pivot = max(range(k, 2 * degree), key=lambda row: abs(rows[row][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [entry / rows[k][k] for entry in rows[k]]
        for other in range(2 * degree):
            if other != k:
                factor = rows[other][k]
                rows[other] = [entry - factor * own for entry, own in zip(rows[other], rows[k], strict=True)]
    found = [row[-1] for row in rows]
    factor = 1 / found[degree - 1]
    shares = [value * factor for value in found[:degree]]
    rest = [(value - share) * factor for value, share in zip(found[degree:], [0, *shares], strict=False)]
    return tuple(map(float, shares[:-1])), tuple(map(float, rest)), float(factor)


def coefficients(name):
    """Return the tables of a name for float32 and float64."""
    with localcontext(prec=DIGITS):
        if name in QUOTIENTS:
            function, *each = QUOTIENTS[name]
            return tuple(quotient(function, high, degree) for high, degree in zip(*each, strict=True))
        function, low, high, counts = TABLE[name]
        return tuple(tuple(interpolated(function, low, high, count)) for count in counts)


def written(values, indent):
    """Return numbers, or tuples of them, one a line."""
    lines = []
    for value in values:
        inner = [f"{value!r},"] if isinstance(value, float) else ["(", *written(value, 4), "),"]
        lines += [" " * indent + line for line in inner]
    return lines


def table():
    """Return the tables as they are written in the module."""
    lines = []
    for name in (*TABLE, *QUOTIENTS):
        lines.append(f"{name} = {{")
        for element, values in zip(("float32", "float64"), coefficients(name), strict=True):
            lines += [f'    "{element}": (', *written(values, 8), "    ),"]
        lines.append("}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
