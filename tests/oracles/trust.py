"""Every public operation by generated code where there is any, for tests that ask whether results stay the same."""

import numpy as np

from functional.operations import CALLS


def parts(result):
    """Return the arrays of a result."""
    return result if isinstance(result, tuple) else (result,)


def answers(algorithm="direct", numbers=None):
    """Return the results of all calls, or of those with these numbers."""
    return [CALLS[number].by(algorithm) for number in (range(len(CALLS)) if numbers is None else numbers)]


def unlike(results, expected, numbers=None):
    """Return the calls whose results are not the expected ones, to the last bit."""
    numbers = range(len(CALLS)) if numbers is None else numbers
    return [str(CALLS[i]) for i, one, other in zip(numbers, results, expected, strict=True) if not same(one, other)]


def same(one, other):
    """Tell whether two results are alike to the last bit."""
    pairs = zip(parts(one), parts(other), strict=True)
    return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def close(one, other):
    """Tell whether two results agree to rounding."""
    for a, b in zip(parts(one), parts(other), strict=True):
        unit = np.finfo(a.dtype).eps if a.dtype.kind in "fc" else 0
        size = np.abs(b[np.isfinite(b)]).max(initial=0)
        if a.dtype != b.dtype or not np.allclose(a, b, rtol=0, atol=32 * unit * size, equal_nan=True):
            return False
    return True
