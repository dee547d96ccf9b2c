"""The arguments that describe a kernel, checked once: real numbers, and one value or one for each axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry.arguments import integer, is_sequence, per_axis

Kernel = npt.NDArray[Any]

# A kernel with more elements than this is a slip of the pen (a size in nanometres, say), not a wish.
LARGEST_KERNEL = 2**28


def real(value: Any, argument: str, *, minimum: float | None = None, above: float | None = None) -> float:
    """Return `value` as a finite float that is at least `minimum`, or more than `above`."""
    if isinstance(value, bool | str) or not isinstance(value, int | float | np.number | np.ndarray):
        raise InvalidType(f"{argument} must be a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidType(f"{argument} must be a single real number, got {value!r}") from None
    if not math.isfinite(number):
        raise InvalidArgument(f"{argument} must be finite, got {value!r}")
    if minimum is not None and number < minimum:
        raise InvalidArgument(f"{argument} must be at least {minimum:g}, got {value!r}")
    if above is not None and number <= above:
        raise InvalidArgument(f"{argument} must be more than {above:g}, got {value!r}")
    return number


def rank_of(ndim: int | None, **arguments: Any) -> int:
    """Return the number of axes: `ndim`, or the entries of the first argument that has one for each axis, or 2."""
    lengths = {name: len(value) for name, value in arguments.items() if is_sequence(value) and len(value) != 1}
    if ndim is None:
        return next(iter(lengths.values()), 2)
    rank = integer(ndim, "ndim")
    if rank < 1:
        raise InvalidArgument(f"ndim must be at least 1, got {ndim}")
    if rank > 16:
        raise InvalidArgument(f"ndim must be at most 16, got {ndim}")
    return rank


def reals_per_axis(value: Any, rank: int, argument: str, minimum: float = 0.0) -> tuple[float, ...]:
    """Return one float for each of `rank` axes from one number or a sequence of `rank` numbers."""
    if not is_sequence(value) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return (real(value, argument, minimum=minimum),) * rank
    entries = tuple(real(entry, f"each entry of {argument}", minimum=minimum) for entry in value)
    if len(entries) == 1:
        return entries * rank
    if len(entries) != rank:
        raise InvalidArgument(f"{argument} must be one number or one for each of the {rank} axes, got {tuple(value)}")
    return entries


def sizes_per_axis(size: Any, rank: int) -> tuple[int, ...]:
    """Return the window's length on each axis, at least 1."""
    sizes = per_axis(size, rank, "size", 1)
    check_elements(sizes)
    return sizes


def check_elements(sizes: tuple[int, ...]) -> None:
    """Refuse kernels that no memory holds before their memory is asked for."""
    if math.prod(sizes) > LARGEST_KERNEL:
        raise InvalidArgument(f"a kernel of {sizes} has {math.prod(sizes)} elements, more than {LARGEST_KERNEL}")


def axis_of(axis: Any, rank: int) -> int:
    """Return `axis` counted from the front."""
    number = integer(axis, "axis")
    if not -rank <= number < rank:
        raise InvalidArgument(f"axis must be between {-rank} and {rank - 1} for {rank} axes, got {axis}")
    return number % rank


def outer(profiles: list[Kernel]) -> Kernel:
    """Return the outer product of one-dimensional kernels, one for each axis."""
    check_elements(tuple(len(profile) for profile in profiles))
    kernel = profiles[0]
    for profile in profiles[1:]:
        kernel = kernel[..., np.newaxis] * profile
    return kernel


def whole(kernel: Kernel) -> Kernel:
    """Return a kernel of whole numbers in int16, the widest type that keeps 16-bit images in int32."""
    return kernel.astype(np.int16)
