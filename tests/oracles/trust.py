"""Every public operation by generated code where there is any, for tests that ask whether results stay the same."""

import numpy as np

import striderule as sr
from functional.operations import CALLS, Call, drawn
from striderule.algorithms import table
from striderule.errors import InvalidArgument


def large():
    """Yield calls of so many outputs that several threads take part."""
    x = drawn(4, 16, 62, 67)
    yield Call("conv2d", {"x": x, "weight": drawn(32, 16, 3, 3), "bias": drawn(32)}, {"padding": 1})
    yield Call("conv2d", {"x": x, "weight": drawn(32, 16, 1, 1)}, {"activation": "gelu"})
    yield Call("conv_transpose2d", {"x": x, "weight": drawn(16, 4, 2, 2)}, {"stride": 2})
    yield Call("depthwise_conv2d", {"x": x, "weight": drawn(16, 1, 3, 3)}, {"padding": 1})
    yield Call("batch_norm", {"x": x, "running_mean": drawn(16), "running_var": np.abs(drawn(16)) + 1})
    yield Call("max_pool2d", {"x": x}, {"kernel_size": 3, "stride": 2, "padding": 1, "return_indices": True})
    yield Call("avg_pool2d", {"x": x}, {"kernel_size": 2})
    yield Call("pad", {"x": x}, {"pad": 3, "mode": "wrap"})
    for name, words in {"relu": {}, "gelu": {}, "softmax": {"dim": 1}, "local_response_norm": {"size": 5}}.items():
        yield Call(name, {"x": x}, words)


def serves(algorithm, call):
    """Tell whether an algorithm is planned for a call, or computes it where nothing is planned."""
    try:
        plan = sr.explain(call.function, **call.operands, **call.words, algorithm=algorithm)
    except (InvalidArgument, TypeError):
        return False
    return plan.algorithm == algorithm


def entries():
    """Yield every call by the usual way, as `direct` if it serves, and by each other algorithm of generated code."""
    others = set(table.PACKAGES) - {"direct", "windows", "reference", "fourier"}
    for call in (*CALLS, *large()):
        yield call, "direct"
        yield from ((call, algorithm) for algorithm in sorted(others) if serves(algorithm, call))


ENTRIES = list(entries())
# Some of each kind, where every routine is made anew.
FEW = range(0, len(ENTRIES), 9)


def parts(result):
    """Return the arrays of a result."""
    return result if isinstance(result, tuple) else (result,)


def answer(number, algorithm="generated"):
    """Return the result of an entry: by generated code, or by another algorithm if that computes it."""
    call, own = ENTRIES[number]
    return call.by(own if algorithm == "generated" else algorithm)


def answers(algorithm="generated", numbers=None):
    """Return the results of all entries, or of those with these numbers."""
    return [answer(number, algorithm) for number in (range(len(ENTRIES)) if numbers is None else numbers)]


def unlike(results, expected, numbers=None):
    """Return the calls whose results are not the expected ones, to the last bit."""
    numbers = range(len(ENTRIES)) if numbers is None else numbers
    found = zip(numbers, results, expected, strict=True)
    return [str(ENTRIES[number][0]) for number, one, other in found if not same(one, other)]


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
