"""bfloat16, the upper half of a float32: a type of the optional package ml_dtypes, which NumPy does not have.

Numbers are stored in it, and computed with in float32. Convolutions of layers read and write it; other functions of
networks get float32 in its place (`widening`). All others refuse it at their door.

NumPy knows how bfloat16 goes with its own types only in part, so `promoted` says it for all: with booleans and integers
of 8 bits it stays, with anything else it counts as float32. That is how float16 goes with them, but for float16 itself:
neither of the two holds the other, and float32 holds both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from striderule.errors import MissingExtra

NAME = "bfloat16"


def holds(dtype: np.dtype[Any]) -> bool:
    """Tell whether a type is bfloat16."""
    return dtype.kind == "V" and dtype.name == NAME


def dtype_of_package() -> np.dtype[Any]:
    """Return the type.

    Raises
    ------
    MissingExtra
        If ml_dtypes is not installed.
    """
    try:
        import ml_dtypes  # noqa: PLC0415 - an optional package
    except ImportError:
        raise MissingExtra.of(NAME, needs="ml_dtypes") from None
    dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return dtype


def promoted(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that holds numbers of all of these types: NumPy's promotion, with bfloat16 as said above.

    >>> promoted(np.dtype("float16"), np.dtype("int16"))
    dtype('float32')
    """
    stored = [dtype for dtype in dtypes if holds(dtype)]
    if not stored:
        return np.result_type(*dtypes)
    others = [dtype for dtype in dtypes if not holds(dtype)]
    if all(dtype.kind in "biu" and dtype.itemsize == 1 for dtype in others):
        return stored[0]
    return np.result_type(np.float32, *others)
