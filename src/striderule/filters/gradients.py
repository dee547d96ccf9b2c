"""Gradients: filters that differentiate once. Integer images give float32 (float64 for 32 and 64 bits).

The scale and the sign of each are those of the kernel of the same name; `docs/filters.md` compares them with others'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack, cast

import numpy as np

from striderule import kernels
from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.filters import like as likeness
from striderule.filters.differentiable import by, differentiable
from striderule.filters.differentiable import magnitude as magnitude_rule
from striderule.filters.formulas import Length
from striderule.filters.passes import Operator, answer, apply, around, gaussian_derivatives, length
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional import door, tracing
from striderule.functional.standin import StandIn
from striderule.kernels.derivatives import PREWITT_SMOOTH, SCHARR_SMOOTH, SOBEL_SMOOTH, gradient_profiles

Axis = int | Sequence[int] | None


@by(magnitude_rule)
def magnitude(*gradients: Any) -> Array:
    """Return the length of a gradient from its components: sqrt(g1^2 + g2^2 + ...), element by element.

    Parameters
    ----------
    *gradients : ndarray
        One component for each direction, all of one shape; complex ones count with their absolute value.

    Returns
    -------
    ndarray, float32 for integers of up to 16 bits, otherwise as the components

    Raises
    ------
    InvalidArgument
        If there is no component, or their shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> magnitude(np.array([3.0, 0.0]), np.array([4.0, -1.0]))
    array([5., 1.])
    """
    parts = [door.array(part, f"gradient {number}") for number, part in enumerate(gradients)]
    if not parts:
        raise InvalidArgument("magnitude needs at least one component, got none")
    if any(part.shape != parts[0].shape for part in parts):
        raise InvalidArgument(f"the components must have one shape, got {[part.shape for part in parts]}")
    dtype = door.float_of(np.result_type(*parts))
    natural = np.dtype(dtype.char.lower()) if dtype.kind == "c" else dtype
    # Integers go through float64, in which the squares of 16-bit numbers are exact; float16 would overflow.
    wide = np.float64 if any(part.dtype.kind in "biu" for part in parts) else np.float32
    length = root_of_squares([part.astype(np.result_type(part, wide)) for part in parts])
    return door.cast(length, natural)


def root_of_squares(parts: Sequence[Array], out: Array | None = None) -> Array:
    """Return sqrt(|a|^2 + |b|^2 + ...) without the overflow that squares of large numbers would bring.

    Written to `out` where that is of the parts' type, and there is more than one.
    """
    sizes = [np.abs(part) if part.dtype.kind == "c" or len(parts) == 1 else part for part in parts]
    result: Array = sizes[0]
    if isinstance(result, StandIn):
        return result
    for number, part in enumerate(sizes[1:], 2):
        last = number == len(sizes)
        room = out if last and out is not None and out.dtype == result.dtype else None
        # Sums may take the place of those before them, but not of a component that the caller still has.
        result = table.family("elementwise").length(result, part, room if last or number == 2 else result)
    return result


def direction(down: Array, right: Array) -> Array:
    """Return the angle of (right, down) from -pi to pi, element by element."""
    if isinstance(down, StandIn):
        return down
    return table.family("elementwise").direction(down, right)  # type: ignore[no-any-return]


def _edge_filter(
    name: str, smooth_weights: Sequence[int], image: Any, axis: Axis, normalize: bool, keywords: Keywords
) -> Array:
    """Return one component of the gradient, or the length of several."""
    request = Request.of(name, image, keywords)
    positions = request.positions(axis)
    # One axis asked for by number gives its sign too; all axes give a length, be there only one.
    signed = axis is not None and len(positions) == 1
    request = request.settle(request.signed_type if signed else request.length_type)
    profiles = [gradient_profiles(smooth_weights, p, request.rank, normalize=normalize) for p in positions]
    operators = [Operator.separable(request, each) for each in profiles]
    return _vector(request, operators, signed=signed)


def _vector(request: Request, operators: Sequence[Operator], *, signed: bool) -> Array:
    """Return what the one operator gives, or the length of what several do: in one pass, if that can be."""
    if signed:
        return answer(request, None, *operators)
    tracing.note(Length(tuple(operators)))
    made = around(operators, request.dtype, request.out, shared=request.confidence)
    if made is not None:
        return made[0] if not request.confidence else cast(Array, made)
    one_pass = None if request.confidence or request.algorithm not in (None, "stencil") else length(operators)
    if one_pass is not None:
        return one_pass
    parts = [apply(operator) for operator in operators]
    return answer(request, root_of_squares(parts, request.out), *operators)


@differentiable
@public
def sobel(
    image: Any, axis: Axis = None, *, normalize: bool = False, like: str | None = None, **keywords: Unpack[Keywords]
) -> Array:
    """Differentiate with the Sobel kernel: (-1, 0, 1) along `axis`, (1, 2, 1) along the other filtered axes.

    Scale in two dimensions: 4 for a step of height 1, 8 for a slope of 1 an element. Sign: positive where the image
    grows brighter along `axis`.

    Parameters
    ----------
    image : ndarray of any rank
    axis : int, sequence of int or None, default None
        The axis of the image along which to differentiate. None, or several, give the length of the gradient,
        sqrt(g1^2 + g2^2 + ...).
    normalize : bool, default False
        Divide so that a slope of 1 an element gives 1.
    like : {"scipy", "skimage", "opencv"}, optional
        Give exactly what ``scipy.ndimage.sobel``, ``skimage.filters.sobel`` or ``cv2.Sobel`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type.

    Examples
    --------
    >>> import numpy as np
    >>> step = np.array([[0, 0, 1, 1]] * 3, np.uint8)
    >>> sobel(step, axis=1)[1]
    array([0., 4., 4., 0.], dtype=float32)
    """
    if like is not None:
        return likeness.answer("sobel", like, image, {"axis": axis, "normalize": normalize}, keywords)
    return _edge_filter("sobel", SOBEL_SMOOTH, image, axis, normalize, keywords)


@differentiable
@public
def scharr(
    image: Any, axis: Axis = None, *, normalize: bool = False, like: str | None = None, **keywords: Unpack[Keywords]
) -> Array:
    """Differentiate with the Scharr kernel: (-1, 0, 1) along `axis`, (3, 10, 3) along the other filtered axes.

    Scale in two dimensions: 16 for a step of height 1, 32 for a slope of 1 an element. Sign: positive where the image
    grows brighter along `axis`.

    Parameters
    ----------
    image : ndarray of any rank
    axis : int, sequence of int or None, default None
        The axis of the image along which to differentiate. None, or several, give the length of the gradient,
        sqrt(g1^2 + g2^2 + ...).
    normalize : bool, default False
        Divide so that a slope of 1 an element gives 1.
    like : {"skimage", "opencv"}, optional
        Give exactly what ``skimage.filters.scharr`` or ``cv2.Scharr`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type.

    Examples
    --------
    >>> import numpy as np
    >>> scharr(np.array([[0, 0, 1, 1]] * 3, np.uint8), axis=1)[1]
    array([ 0., 16., 16.,  0.], dtype=float32)
    """
    if like is not None:
        return likeness.answer("scharr", like, image, {"axis": axis, "normalize": normalize}, keywords)
    return _edge_filter("scharr", SCHARR_SMOOTH, image, axis, normalize, keywords)


@differentiable
@public
def prewitt(
    image: Any, axis: Axis = None, *, normalize: bool = False, like: str | None = None, **keywords: Unpack[Keywords]
) -> Array:
    """Differentiate with the Prewitt kernel: (-1, 0, 1) along `axis`, (1, 1, 1) along the other filtered axes.

    Scale in two dimensions: 3 for a step of height 1, 6 for a slope of 1 an element. Sign: positive where the image
    grows brighter along `axis`.

    Parameters
    ----------
    image : ndarray of any rank
    axis : int, sequence of int or None, default None
        The axis of the image along which to differentiate. None, or several, give the length of the gradient,
        sqrt(g1^2 + g2^2 + ...).
    normalize : bool, default False
        Divide so that a slope of 1 an element gives 1.
    like : {"scipy", "skimage"}, optional
        Give exactly what ``scipy.ndimage.prewitt`` or ``skimage.filters.prewitt`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type.

    Examples
    --------
    >>> import numpy as np
    >>> prewitt(np.array([[0, 0, 1, 1]] * 3, np.uint8), axis=1)[1]
    array([0., 3., 3., 0.], dtype=float32)
    """
    if like is not None:
        return likeness.answer("prewitt", like, image, {"axis": axis, "normalize": normalize}, keywords)
    return _edge_filter("prewitt", PREWITT_SMOOTH, image, axis, normalize, keywords)


@differentiable
@public
def roberts(image: Any, axis: Axis = None, *, like: str | None = None, **keywords: Unpack[Keywords]) -> Array:
    """Differentiate with Roberts' cross: differences along the two diagonals.

    Scale: the difference of two elements sqrt(2) apart. Sign: positive where the image grows brighter downwards.
    Centre: the lower right element of the 2x2 window.

    Parameters
    ----------
    image : ndarray with two axes to filter
    axis : {0, 1} or None, default None
        0 is the diagonal down to the right, 1 the one down to the left; None gives the length of both.
    like : {"skimage"}, optional
        Give exactly what ``skimage.filters.roberts`` gives, or, with `axis`, ``roberts_pos_diag`` (0) and
        ``roberts_neg_diag`` (1).
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type.

    Examples
    --------
    >>> import numpy as np
    >>> roberts(np.array([[0, 0], [0, 7]], np.uint8), axis=0)
    array([[0., 0.],
           [0., 7.]], dtype=float32)
    """
    if axis not in (None, 0, 1):
        raise InvalidArgument(f"axis must be 0 (down to the right), 1 (down to the left) or None, got {axis!r}")
    if like is not None:
        return likeness.answer("roberts", like, image, {"axis": axis}, keywords)
    request = Request.of("roberts", image, keywords, rank=2)
    request = request.settle(request.length_type if axis is None else request.signed_type)
    diagonals = [kernels.roberts(diagonal) for diagonal in (0, 1) if axis in (None, diagonal)]
    operators = [Operator.direct(request, kernel) for kernel in diagonals]
    return _vector(request, operators, signed=axis is not None)


@differentiable
@public
def gradient_magnitude(
    image: Any,
    sigma: float | Sequence[float],
    *,
    truncate: float = 4.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Array:
    """Return the length of the gradient of the Gaussian-smoothed image: sqrt(sum of squared first derivatives).

    Scale: the slope for each element. Never negative.

    Parameters
    ----------
    image : ndarray of any rank
    sigma : float or one float for each filtered axis
        Standard deviation in elements, more than 0.
    truncate : float, default 4.0
        Where the window ends, in standard deviations.
    like : {"scipy"}, optional
        Give exactly what ``scipy.ndimage.gaussian_gradient_magnitude`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type.

    Examples
    --------
    >>> import numpy as np
    >>> slope = np.tile(np.arange(20.0) * 3, (20, 1))
    >>> round(float(gradient_magnitude(slope, 1)[10, 10]), 2)
    3.0
    """
    if like is not None:
        return likeness.answer("gradient_magnitude", like, image, {"sigma": sigma, "truncate": truncate}, keywords)
    request = Request.of("gradient_magnitude", image, keywords)
    request = request.settle(request.length_type)
    operators = gaussian_derivatives(request, sigma, 1, truncate)
    tracing.note(Length(tuple(operators)))
    return answer(request, root_of_squares([apply(operator) for operator in operators], request.out), *operators)
