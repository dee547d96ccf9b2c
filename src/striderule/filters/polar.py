"""The gradient as a length and a direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from striderule.errors import InvalidArgument
from striderule.filters.differentiable import differentiable
from striderule.filters.formulas import Length
from striderule.filters.gradients import direction, root_of_squares
from striderule.filters.passes import Operator, apply, at_once, confidence, gaussian_derivatives
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional import door, tracing
from striderule.kernels.derivatives import PREWITT_SMOOTH, SCHARR_SMOOTH, SOBEL_SMOOTH, gradient_profiles

SMOOTH = {"sobel": SOBEL_SMOOTH, "scharr": SCHARR_SMOOTH, "prewitt": PREWITT_SMOOTH}


@differentiable
@public
def gradient(
    image: Any,
    sigma: float | Sequence[float] | None = None,
    *,
    kernel: str = "sobel",
    normalize: bool = False,
    truncate: float = 4.0,
    derivatives: bool = False,
    **keywords: Unpack[Keywords],
) -> tuple[Array, ...]:
    """Return the length and the direction of the gradient, together; with a small kernel in one pass over the image.

    With a the derivative along the first filtered axis (down) and b that along the second (to the right): sqrt(a^2 +
    b^2) and atan2(a, b).

    Parameters
    ----------
    image : ndarray with two axes to filter
    sigma : float or one float for each filtered axis, optional
        Take Gaussian derivatives of this standard deviation in elements, as `gradient_magnitude` does, instead of
        `kernel`.
    kernel : {"sobel", "scharr", "prewitt"}, default "sobel"
        What to differentiate with.
    normalize : bool, default False
        Divide so that a slope of 1 an element has length 1. Gaussian derivatives always have that scale.
    truncate : float, default 4.0
        Where the Gaussian ends, in standard deviations.
    derivatives : bool, default False
        Return a and b too, behind the direction.
    **keywords
        See `striderule.filters`. `out` is a tuple of arrays, one for each that is returned (but for the confidence).

    Returns
    -------
    length, direction : ndarray of the image's shape; with `derivatives` also a and b
        The direction in which the image grows brighter, in radians from -pi to pi: 0 to the right, pi/2 downwards.
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type. `dtype` is that of
        the length; direction and derivatives have its float type. The direction errs by at most 2.5 units in the last
        place more than what it is computed from.

    Examples
    --------
    >>> import numpy as np
    >>> down = np.tile(np.arange(5.0)[:, np.newaxis], 5)
    >>> length, direction = gradient(down, normalize=True)
    >>> float(length[2, 2]), round(float(direction[2, 2]), 4)
    (1.0, 1.5708)
    """
    out: Any = keywords.pop("out", None)
    request = Request.of("gradient", image, keywords, rank=2)
    request.refuse_complex("gradient")
    request = request.settle(request.length_type)
    if kernel not in SMOOTH:
        raise InvalidArgument(f"kernel must be one of {', '.join(map(repr, SMOOTH))}, got {kernel!r}")
    if sigma is None:
        profiles = [gradient_profiles(SMOOTH[kernel], position, 2, normalize=normalize) for position in range(2)]
        operators = [Operator.separable(request, each) for each in profiles]
    else:
        operators = gaussian_derivatives(request, sigma, 1, truncate)
    tracing.note(Length(tuple(operators)))
    words = ("length", "direction", "sums") if derivatives else ("length", "direction")
    goals = _goals(request, out, 2 + 2 * derivatives)
    found = at_once(operators, words, goals)
    if found is None:
        found = _in_passes(request, operators, derivatives=derivatives)
    if goals is not None and found is not goals and not request.only_planned:
        for goal, one in zip(goals, found, strict=True):
            np.copyto(goal, one)
        found = goals
    return (*found, confidence(operators)) if request.confidence else found


def _goals(request: Request, out: Any, count: int) -> tuple[Array, ...] | None:
    """Return the arrays to write to, known to fit, or None."""
    if out is None:
        return None
    if not isinstance(out, tuple | list) or len(out) != count:
        raise InvalidArgument(f"out must be a tuple of {count} arrays, one for each that gradient returns, got {out!r}")
    assert request.dtype is not None  # settled before
    kinds = [request.dtype, *[door.float_of(request.dtype)] * (count - 1)]
    for number, (one, kind) in enumerate(zip(out, kinds, strict=True)):
        door.check_out(one, request.image.shape, kind, (request.image, *out[:number]))
    return tuple(out)


def _in_passes(request: Request, operators: Sequence[Operator], *, derivatives: bool) -> tuple[Array, ...]:
    """Return length and direction from the two derivatives, and these where they are asked for."""
    down, right = (apply(operator) for operator in operators)
    assert request.dtype is not None  # settled before
    kind = door.float_of(request.dtype)
    angle = door.cast(direction(down, right), kind)
    if derivatives:
        return request.finish(root_of_squares((down, right))), angle, door.cast(down, kind), door.cast(right, kind)
    return request.finish(root_of_squares((down, right), down)), angle
