"""How far an operation reads around each of its outputs, found by trying: NaN goes exactly as far as the taps do.

One slice of a small random image is made NaN. The results that are NaN then are those that read it, so the first and
the last of them tell how far the operation reads forwards and backwards. That needs no table of filters, holds for
every function of an image whose outputs read a few neighbours each, filters in a chain too, and leaves out taps that
are zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.errors import InvalidArgument, InvalidType, StrideruleError

Array = npt.NDArray[Any]

# The first size of the tried image, its growth, and the largest; and elements that it may have.
FIRST, GROWTH, LAST, ROOM = 64, 4, 1 << 20, 1 << 22
# What does not change how far an operation reads, or would hide it.
LEFT_AWAY = frozenset(
    ("out", "mask", "nan", "confidence", "fill", "dtype", "overflow", "boundary", "precision", "algorithm")
)


def halo(op: Callable[..., Any], image: Any, *args: Any, **kwargs: Any) -> dict[int, tuple[int, int]]:
    """Tell how much of the image around a block an operation reads for the results of that block.

    A result at position p along an axis depends on the positions p - before to p + after.

    Parameters
    ----------
    op
        A function of an image that gives an array of its shape, each of whose elements depends on the neighbours of one
        pixel: `striderule.correlate`, `convolve`, the filters of `striderule.filters`, or any function made of them.
    image
        Its first argument, or anything with a `shape`: a `striderule.Array`, a Dask array. Nothing of it is read.
    *args, **kwargs
        Its other arguments, as they will be passed to it.

    Returns
    -------
    dict
        axis -> (before, after), with an entry for every axis of the image: the ``depth`` of
        ``dask.array.map_overlap``, together with ``boundary="none"``, as the operation itself knows what to do at the
        borders of the image.

    Raises
    ------
    InvalidType
        If `op` cannot be called, or `image` has no shape.
    InvalidArgument
        If the result has another shape than the image (a stride, ``mode="full"``), is not made of floats (Canny), or
        depends on the whole image, and for arguments that `op` refuses.

    Examples
    --------
    >>> import striderule as sr
    >>> sr.halo(sr.correlate, sr.Array((512, 512)), [[1, 2, 3, 4]])
    {0: (0, 0), 1: (2, 1)}
    >>> sr.halo(sr.filters.gaussian, sr.Array((512, 512, 3)), 2, channel_axis=-1)
    {0: (8, 8), 1: (8, 8), 2: (0, 0)}
    >>> sr.halo(lambda x: sr.filters.sobel(sr.filters.gaussian(x, 1)), sr.Array((512, 512)))
    {0: (5, 5), 1: (5, 5)}
    """
    if not callable(op):
        raise InvalidType(f"op must be a function of an image, got {op!r}")
    shape = getattr(image, "shape", None)
    if not isinstance(shape, tuple) or not all(isinstance(n, int) for n in shape):
        raise InvalidType(f"image must have a shape, such as striderule.Array((512, 512)), got {image!r}")
    named = {name: value for name, value in kwargs.items() if name not in LEFT_AWAY}
    return {axis: _along(op, shape, axis, args, named) for axis in range(len(shape))}


def _along(
    op: Callable[..., Any], shape: tuple[int, ...], axis: int, args: tuple[Any, ...], named: dict[str, Any]
) -> tuple[int, int]:
    """Return how far `op` reads along one axis, trying larger and larger images."""
    size = FIRST
    while True:
        try:
            found = _tried(op, _shape(shape, axis, size), axis, args, named)
        except StrideruleError:
            # A window that has to fit into the image fits into a larger one; what else is wrong stays so.
            if size >= LAST or size > 4 * max(shape):
                raise
            found = None
        if found is not None:
            return found
        if size >= LAST:
            name = getattr(op, "__name__", type(op).__name__)
            raise InvalidArgument(
                f"{name} has no halo: its results depend on more than {LAST // 2} positions along axis {axis}, if not "
                "on the whole image"
            )
        size *= GROWTH


def _shape(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    """Return the shape of the tried image: `size` along the axis, and along the others as much as there is room for."""
    others = len(shape) - 1
    room = max(1, int((ROOM / size) ** (1 / others))) if others else 1
    return tuple(size if place == axis else min(n, size, room) for place, n in enumerate(shape))


def _tried(
    op: Callable[..., Any], shape: tuple[int, ...], axis: int, args: tuple[Any, ...], named: dict[str, Any]
) -> tuple[int, int] | None:
    """Return how far `op` reads, or None if that is further than the tried image can tell."""
    middle = shape[axis] // 2
    image = np.random.default_rng(0).random(shape, np.float32)
    image[(slice(None),) * axis + (middle,)] = np.nan
    with np.errstate(all="ignore"):
        given = op(image, *args, **named)
    touched = np.zeros(shape[axis], bool)
    for result in given if isinstance(given, tuple | list) else (given,):
        if not isinstance(result, np.ndarray) or result.shape != shape or result.dtype.kind not in "fc":
            what = f"{result.dtype} of shape {result.shape}" if isinstance(result, np.ndarray) else repr(type(result))
            name = getattr(op, "__name__", type(op).__name__)
            raise InvalidArgument(
                f"{name} has no halo for blocks of an image: it must give floats of the image's shape, got {what} for "
                f"an image of shape {shape}"
            )
        others = tuple(place for place in range(result.ndim) if place != axis)
        touched |= np.isnan(result).any(axis=others)
    if touched[0] or touched[-1]:
        return None
    places = np.flatnonzero(touched)
    # A result that reads nothing along the axis, not even its own place, needs no neighbours.
    return (max(0, int(places[-1]) - middle), max(0, middle - int(places[0]))) if places.size else (0, 0)
