"""`dropout`, under PyTorch's name."""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule.algorithms import memory
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import door, elementwise, widening
from striderule.functional.door import Array
from striderule.geometry.pooling import flag

# Widths of the random numbers that decide; the least is taken that says p exactly, else the last.
_WIDTHS = (8, 16, 32)


@widening.widened
@door.accepts_input
def dropout(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    *,
    seed: int | np.random.Generator | None = None,
    out: Array | None = None,
) -> Array:
    """Set elements to zero at random, and scale the others so that the expected value stays.

    dropout(x) = keep * x / (1 - p), with keep drawn for each element: 0 with the probability p, else 1

    Parameters
    ----------
    x
        Array of any shape and any real type; integers give floats (float32 up to 16 bits, else float64).
    p
        Probability of a zero, from 0 to 1. Default 0.5.
    training
        With False nothing is dropped, and the result is a copy of x. Default True.
    seed
        An integer for the same mask every time, a `numpy.random.Generator`, which goes on, or None (default) for a new
        mask. The mask depends on the shape of x, and not on how x stands in memory.
    out
        Array to write the result to: of its shape and type; x itself is fine.

    Returns
    -------
    numpy.ndarray
        Of the shape of x. NaN stays NaN.

    Raises
    ------
    InvalidArgument, InvalidType
        For complex numbers, lazy and foreign arrays, an `out` that does not fit, p beyond 0 and 1, and bad seeds.

    Notes
    -----
    Srivastava et al., Dropout (2014), in the form of torch.nn.Dropout, which scales in training. p is kept to 2^-32.

    Examples
    --------
    >>> dropout([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 0.5, seed=0)
    array([0., 0., 0., 2., 0., 2.])
    """
    return dropped(x, p, training, seed, out)[0]


def dropped(x: Any, p: Any, training: Any, seed: Any, out: Any) -> tuple[Array, Array | None, float]:
    """Return what `dropout` gives, which elements it kept (None: all), and by what it scaled them."""
    value = elementwise.opened(x, "dropout")
    dtype = door.float_of(value.dtype)
    door.check_out(out, value.shape, dtype, [value], same=True)
    rate = float(elementwise.real(p, "p"))
    if not 0 <= rate <= 1:
        raise InvalidArgument(f"p must be a probability, from 0 to 1, got {p}")
    rng = generator(seed)
    result = memory.empty_like(value, value.shape, dtype) if out is None else out
    if not flag(training, "training") or rate == 0:
        np.copyto(result, value, casting="unsafe")
        return result, None, 1.0
    keep = kept(value.shape, rate, rng)
    scale = 1 / (1 - rate) if rate < 1 else 0.0
    scaled(value, keep, scale, result)
    return result, keep, scale


def scaled(x: Array, keep: Array | None, scale: float, result: Array) -> None:
    """Write keep * x * scale to `result`, which may be x."""
    with np.errstate(all="ignore"):
        np.multiply(x, np.asarray(scale, result.dtype), out=result, casting="unsafe")
        if keep is not None:
            np.multiply(result, keep, out=result)


def kept(shape: tuple[int, ...], rate: float, rng: np.random.Generator) -> Array:
    """Return a mask of what is kept, drawn in the order of the axes."""
    width = next((bits for bits in _WIDTHS if (rate * 2**bits).is_integer()), _WIDTHS[-1])
    count = int(np.prod(shape, dtype=np.int64))
    drawn = np.frombuffer(rng.bytes(count * width // 8), f"<u{width // 8}")
    # At p = 1 the limit is beyond the type, and nothing is kept.
    limit = round(rate * 2**width)
    keep = drawn >= limit if limit < 2**width else np.zeros(count, bool)
    return keep.reshape(shape)


def generator(seed: Any) -> np.random.Generator:
    """Return a generator for a seed: itself if it is one."""
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer)):
        raise InvalidType(f"seed must be an integer, a numpy.random.Generator or None, got {seed!r}")
    if seed is not None and seed < 0:
        raise InvalidArgument(f"seed must be at least 0, got {seed}")
    return np.random.Generator(np.random.SFC64(seed))
