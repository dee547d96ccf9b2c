"""Numbers as short texts that fit into cells."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

MINUS = "\N{MINUS SIGN}"
# Denominators that people write: ninths, sixteenths, twenty-fifths, sixty-fourths.
LARGEST_DENOMINATOR = 64


def number(value: Any, digits: int = 3) -> str:
    """Return one number as text with at most `digits` decimals, trailing zeros dropped.

    A number that is not zero never reads as zero: it gets one more digit, or an exponent, instead.

    >>> number(-2), number(0.125), number(1e-5), number(float("nan"))
    ('−2', '0.125', '1e−5', 'nan')
    """
    if isinstance(value, (bool, np.bool_)):
        value = int(value)
    if isinstance(value, (int, np.integer)):
        text = str(value) if abs(int(value)) < 10**6 else _exponent(float(value))
        return text.replace("-", MINUS)
    value = float(value)  # float16 cannot be compared with a million
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        text = "\N{INFINITY}" if value > 0 else "-\N{INFINITY}"
    elif abs(value) >= 1e6:
        text = _exponent(value)
    else:
        text = f"{value:.{digits}f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        if text in ("0", "-0"):
            text = "0" if value == 0 else f"{value:.1g}" if abs(value) >= 1e-3 else _exponent(value)
    return text.replace("-", MINUS)


def _exponent(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def digits_for(values: NDArray[Any]) -> int:
    """Return how many decimals all numbers of an array are written with: fewer where they are large."""
    finite = np.abs(values[np.isfinite(values)]) if values.dtype.kind == "f" else np.abs(values).ravel()
    largest = float(finite.max()) if finite.size else 0.0
    if largest >= 1000:
        return 0
    return 3 if largest < 1 else 2 if largest < 100 else 1


def texts(values: NDArray[Any], *, fractions: bool = False) -> NDArray[Any]:
    """Return the numbers of a real array as texts, in an array of the same shape.

    Parameters
    ----------
    fractions
        Write fractions such as 1/9 where one small denominator serves the whole array.

    Examples
    --------
    >>> texts(np.full((1, 2), 1 / 9), fractions=True)
    array([['1/9', '1/9']], dtype=object)
    """
    denominator = common_denominator(values) if fractions else None
    digits = digits_for(values)
    result = np.empty(values.shape, dtype=object)
    for index, value in np.ndenumerate(values):
        if denominator is None:
            result[index] = number(value, digits)
        else:
            result[index] = str(Fraction(round(float(value) * denominator), denominator)).replace("-", MINUS)
    return result


def common_denominator(values: NDArray[Any]) -> int | None:
    """Return the least denominator that makes fractions of all values, or None where decimals read better."""
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        return None
    exact = values.astype(np.float64)
    # Sixteenths may come from float32 arithmetic: allow its rounding, not more.
    close = 4e-7 * max(1.0, float(np.abs(exact).max()))
    if np.abs(exact * 10 - np.rint(exact * 10)).max() <= 10 * close:
        return None
    for denominator in range(2, LARGEST_DENOMINATOR + 1):
        scaled = exact * denominator
        if np.abs(scaled - np.rint(scaled)).max() <= denominator * close:
            return denominator
    return None
