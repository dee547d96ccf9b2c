"""`interpolate`, under PyTorch's name."""

from __future__ import annotations

from typing import Any

from striderule.algorithms import table
from striderule.functional import door, recipes, tracing
from striderule.functional.door import Array
from striderule.geometry.interpolation import Resampling


@recipes.remembered
@door.accepts_input
def interpolate(
    x: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Resample the spatial axes of a batch: repeat the nearest element, or go linearly from one to the next.

    A result j lies at s = (j + 1/2) * step - 1/2 along an axis, with step = size / out size, or with `align_corners`
    at j * (size - 1) / (out size - 1). Linear modes give (1 - t) * x[i] + t * x[i + 1] with i = floor(s) and t = s - i,
    axis after axis; ``"nearest"`` gives x[floor(j * step)], and ``"nearest-exact"`` x[floor((j + 1/2) * step)].

    Parameters
    ----------
    x
        (batch, channels, *spatial) with one to three spatial axes.
    size
        Size of the result: one integer or one for each spatial axis. Give either this or `scale_factor`.
    scale_factor
        What sizes are multiplied with (and rounded down): one number or one for each spatial axis. The step is its
        inverse then.
    mode
        ``"nearest"`` (default), ``"nearest-exact"``, or ``"linear"``, ``"bilinear"``, ``"trilinear"`` for one, two and
        three spatial axes.
    align_corners
        In linear modes, whether the first and the last result lie on the first and the last element. Default: no.
    algorithm
        ``"direct"`` (generated code), ``"windows"`` (NumPy) or ``"reference"`` (plain loops). Default: chosen.
    out
        Array to write the result to; it must not overlap x.

    Returns
    -------
    numpy.ndarray
        (batch, channels, *size). Nearest modes keep any type; linear ones give floats for integers (float32 up to 16
        bits, else float64).

    Raises
    ------
    InvalidArgument, InvalidType
        For sizes below 1, words that do not go with the axes, lazy and foreign arrays, an `out` that does not fit.

    Notes
    -----
    torch.nn.functional.interpolate without its modes area and bicubic.

    Examples
    --------
    >>> interpolate([[[1.0, 2.0]]], scale_factor=2)
    array([[[1., 1., 2., 2.]]])
    >>> interpolate([[[1.0, 2.0]]], size=4, mode="linear")
    array([[[1.  , 1.25, 1.75, 2.  ]]])
    """
    value = door.array(x, "x")
    problem = Resampling.of(value.shape, size, scale_factor, mode, align_corners)
    tracing.note(problem)
    final = door.float_of(value.dtype) if problem.linear else value.dtype
    door.check_out(out, problem.output_shape, final, [value])
    work = door.arithmetic_of(final) if problem.linear else final
    compute = table.family("interpolation", algorithm)
    return door.finish(compute.resample(problem, value, work, **table.into(compute, out)), final, out=out)
