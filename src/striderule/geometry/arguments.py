"""Arguments that are one integer, or one integer an axis, checked once."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from striderule.errors import InvalidArgument, InvalidType

# Sizes beyond this cannot be indexed by any array library on a 64-bit machine.
LARGEST = 2**63 - 1


def integer(value: Any, argument: str) -> int:
    """Return `value` as a plain int; NumPy integers count, booleans and floats do not."""
    if isinstance(value, bool):
        raise InvalidType(f"{argument} must be an integer, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise InvalidType(f"{argument} must be an integer, got {value!r}") from None


def is_sequence(value: Any) -> bool:
    """Tell whether `value` is a list-like of entries (strings, mappings and arrays without axes are not)."""
    if isinstance(value, str | bytes | Mapping) or not (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
        return False
    try:
        len(value)
    except TypeError:  # an array without axes is one number
        return False
    return True


def per_axis(value: Any, rank: int, argument: str, minimum: int | None = None) -> tuple[int, ...]:
    """Return one integer for each of `rank` axes from an integer or a sequence of `rank` integers.

    A sequence of one entry serves every axis, as in PyTorch.

    Raises
    ------
    InvalidArgument
        If the number of entries is neither 1 nor `rank`, or an entry is below `minimum` or too large to index.
    InvalidType
        If an entry is not an integer.

    Examples
    --------
    >>> per_axis(2, 3, "stride", 1)
    (2, 2, 2)
    """
    if is_sequence(value):
        entries = tuple(integer(entry, f"each entry of {argument}") for entry in value)
        if len(entries) == 1:
            entries = entries * rank
    else:
        entries = (integer(value, argument),) * rank
    if len(entries) != rank:
        raise InvalidArgument(
            f"{argument} must be one integer or one for each of the {rank} spatial axes, "
            f"got {len(entries)} entries: {tuple(value)}"
        )
    if minimum is not None and any(entry < minimum for entry in entries):
        shown = entries if is_sequence(value) else entries[0]
        raise InvalidArgument(f"{argument} must be at least {minimum} in every axis, got {shown}")
    if any(abs(entry) > LARGEST for entry in entries):
        raise InvalidArgument(f"{argument} must be below 2**63, got {value!r}")
    return entries


def check_count(shape: Sequence[int], what: str) -> None:
    """Refuse shapes whose element count overflows the index type."""
    # Axes of length zero are passed over: NumPy refuses the strides of an empty array of such a shape as well.
    count = prod(size for size in shape if size)
    # Sixteen bytes is the widest element (complex128): its byte count must be addressable as well.
    if count * 16 > LARGEST:
        raise InvalidArgument(
            f"{what} would have the shape {tuple(shape)}, more elements than can be addressed; "
            "use a smaller size or padding, or work in pieces"
        )
