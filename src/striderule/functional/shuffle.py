"""Channels to pixels and back, under PyTorch's names."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.functional import door, moves, recipes
from striderule.functional.door import Array
from striderule.geometry.arguments import check_count, integer


def _opened(x: Any, factor: Any, argument: str, name: str) -> tuple[Array, int]:
    value, scale = door.array(x, "x"), integer(factor, argument)
    if value.ndim < 3:
        raise InvalidArgument(
            f"{name} needs an array of at least 3 axes (..., channels, height, width), got {value.ndim} "
            f"(shape {value.shape})"
        )
    if scale < 1:
        raise InvalidArgument(f"{argument} must be at least 1, got {factor}")
    return value, scale


def _offer(compute: ModuleType, x: Array, r: int, shape: tuple[int, ...], out: Array | None, *, apart: bool) -> None:
    bind = getattr(compute, "bind", None)
    if bind is not None and x.size:
        moves.offer(lambda result: bind(x, r, result, apart=apart), x, shape, x.dtype, out)


@recipes.remembered
@door.accepts_input
def pixel_shuffle(x: Any, upscale_factor: int, *, algorithm: str | None = None, out: Array | None = None) -> Array:
    """Spread groups of r * r channels over r x r pixels: fine images out of many coarse channels.

    out[..., c, i, j] = x[..., c r r + (i mod r) r + (j mod r), i // r, j // r], with r = upscale_factor

    Parameters
    ----------
    x
        (..., channels, height, width), of any type, which is kept; channels must be a multiple of r * r.
    upscale_factor
        r, at least 1.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to; it must not overlap x.

    Returns
    -------
    numpy.ndarray
        (..., channels / r / r, height * r, width * r).

    Raises
    ------
    InvalidArgument, InvalidType
        If r * r does not divide the channels, for fewer than 3 axes, lazy and foreign arrays.

    Notes
    -----
    Shi et al., Real-time single image and video super-resolution (arXiv:1609.05158); torch.nn.PixelShuffle.

    Examples
    --------
    >>> pixel_shuffle([[[1]], [[2]], [[3]], [[4]]], 2)
    array([[[1, 2],
            [3, 4]]])
    """
    value, r = _opened(x, upscale_factor, "upscale_factor", "pixel_shuffle")
    *lead, channels, height, width = value.shape
    if channels % r**2:
        raise InvalidArgument(
            f"pixel_shuffle needs a multiple of {r**2} channels (upscale_factor squared), got {channels}"
        )
    shape = (*lead, channels // r**2, height * r, width * r)
    check_count(shape, "the output")
    door.check_out(out, shape, value.dtype, [value])
    compute = table.family("shuffle", algorithm)
    _offer(compute, value, r, shape, out, apart=False)
    return door.finish(compute.pixel_shuffle(value, r, **table.into(compute, out)), value.dtype, out=out)


@recipes.remembered
@door.accepts_input
def pixel_unshuffle(x: Any, downscale_factor: int, *, algorithm: str | None = None, out: Array | None = None) -> Array:
    """Gather r x r pixels into r * r channels: the inverse of `pixel_shuffle`.

    out[..., c r r + i r + j, y, z] = x[..., c, y r + i, z r + j], with r = downscale_factor

    Parameters
    ----------
    x
        (..., channels, height, width), of any type, which is kept; height and width must be multiples of r.
    downscale_factor
        r, at least 1.
    algorithm, out
        As in `pixel_shuffle`.

    Returns
    -------
    numpy.ndarray
        (..., channels * r * r, height / r, width / r).

    Raises
    ------
    InvalidArgument, InvalidType
        If r does not divide height and width, for fewer than 3 axes, lazy and foreign arrays.

    Notes
    -----
    torch.nn.PixelUnshuffle.

    Examples
    --------
    >>> pixel_unshuffle([[[1, 2], [3, 4]]], 2).shape
    (4, 1, 1)
    """
    value, r = _opened(x, downscale_factor, "downscale_factor", "pixel_unshuffle")
    *lead, channels, height, width = value.shape
    if height % r or width % r:
        raise InvalidArgument(
            f"downscale_factor must divide height and width, got {r} for {height} x {width}; pad or crop the image"
        )
    shape = (*lead, channels * r**2, height // r, width // r)
    check_count(shape, "the output")
    door.check_out(out, shape, value.dtype, [value])
    compute = table.family("shuffle", algorithm)
    _offer(compute, value, r, shape, out, apart=True)
    return door.finish(compute.pixel_unshuffle(value, r, **table.into(compute, out)), value.dtype, out=out)
