"""The structure tensor, and the corners that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any, Unpack, cast

import numpy as np

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.filters import like as likeness
from striderule.filters.differentiable import differentiable
from striderule.filters.formulas import Tensor
from striderule.filters.passes import Operator, apply, confidence
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional import tracing
from striderule.functional.normalized import Holes
from striderule.functional.standin import stand_in
from striderule.kernels.arguments import real
from striderule.kernels.derivatives import SOBEL_SMOOTH, gradient_profiles
from striderule.kernels.smoothing import gaussian_profiles

METHODS = ("k", "eps")


@differentiable
@public
def structure_tensor(
    image: Any,
    sigma: float | Sequence[float] = 1.0,
    *,
    normalize: bool = False,
    truncate: float = 4.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> tuple[Array, ...]:
    """Return the structure tensor: Gaussian means of the products of the Sobel derivatives, A_ij = G * (d_i d_j).

    (W. Forstner and E. Gulch, A fast operator for detection and precise location of distinct points, corners and
    centres of circular features, 1987.)

    Parameters
    ----------
    image : ndarray of any rank
    sigma : float or one float for each filtered axis, default 1
        Standard deviation in elements of the Gaussian that the products are averaged with.
    normalize : bool, default False
        Divide the derivatives so that a slope of 1 an element gives 1, instead of the 8 of the plain Sobel kernel in
        two dimensions.
    truncate : float, default 4.0
        Where the Gaussian ends, in standard deviations.
    like : {"skimage"}, optional
        Give exactly what ``skimage.feature.structure_tensor`` gives.
    **keywords
        See `striderule.filters`. `out` has no use here: several arrays are returned.

    Returns
    -------
    tuple of ndarray of the image's shape
        The upper triangle of the symmetric matrix, row by row: (A00, A01, A11) for two axes, (A00, A01, A02, A11, A12,
        A22) for three. float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type.

    Examples
    --------
    >>> import numpy as np
    >>> slope = np.tile(np.arange(20.0), (20, 1))
    >>> [round(float(part[10, 10]), 9) for part in structure_tensor(slope, 1, normalize=True)]
    [0.0, 0.0, 1.0]
    """
    if like is not None:
        arguments = {"sigma": sigma, "normalize": normalize, "truncate": truncate}
        return likeness.answer_several("structure_tensor", like, image, arguments, keywords)
    request = Request.of("structure_tensor", image, keywords)
    request.refuse("structure_tensor", "out")
    request.refuse_complex("structure_tensor")
    request = request.settle(request.signed_type)
    if tracing.asked():
        tracing.note(_formula(request, sigma, truncate, normalize=normalize))
    found = _at_once(request, sigma, "tensor", truncate, normalize=normalize)
    if found is not None:
        return found
    parts, operators = _products(request, sigma, normalize=normalize, truncate=truncate)
    results = tuple(request.finish(part) for part in parts)
    return (*results, confidence(operators)) if request.confidence else results


@differentiable
@public
def corner_harris(
    image: Any,
    method: str = "k",
    k: float = 0.05,
    eps: float = 1e-6,
    sigma: float | Sequence[float] = 1.0,
    *,
    truncate: float = 4.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Array:
    """Return Harris' corner measure: large where the image changes along both axes, negative along straight edges.

    With A the `structure_tensor`: det(A) - k trace(A)^2 (C. Harris and M. Stephens, A combined corner and edge
    detector, 1988), or 2 det(A) / (trace(A) + eps) (J. A. Noble, Descriptions of image surfaces, 1989).

    Parameters
    ----------
    image : ndarray with two axes to filter
    method : {"k", "eps"}, default "k"
        Which of the two formulas.
    k : float, default 0.05
        How much edges are held against a point, 0 to 0.25.
    eps : float, default 1e-6
        Keeps the quotient of Noble's formula finite.
    sigma : float or one float for each filtered axis, default 1
        Standard deviation in elements of the structure tensor's Gaussian.
    truncate : float, default 4.0
        Where the Gaussian ends, in standard deviations.
    like : {"skimage"}, optional
        Give exactly what ``skimage.feature.corner_harris`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type. The unit is the
        fourth power of the image's; see `structure_tensor` for the scale of the derivatives.

    Examples
    --------
    >>> import numpy as np
    >>> square = np.zeros((12, 12))
    >>> square[4:, 4:] = 1
    >>> response = corner_harris(square)
    >>> [int(i) for i in np.unravel_index(response.argmax(), response.shape)], bool(response[10, 4] < 0)
    ([4, 4], True)
    """
    if like is not None:
        arguments = {"method": method, "k": k, "eps": eps, "sigma": sigma, "truncate": truncate}
        return likeness.answer("corner_harris", like, image, arguments, keywords)
    request = Request.of("corner_harris", image, keywords, rank=2)
    request.refuse_complex("corner_harris")
    request = request.settle(request.signed_type)
    check_method(method)
    weight, floor = real(k, "k"), real(eps, "eps", minimum=0.0)
    if tracing.asked():
        tracing.note(_formula(request, sigma, truncate, normalize=False, response=(method, weight, floor)))
    found = _at_once(request, sigma, method, truncate, k=weight, eps=floor)
    if found is not None:
        return found[0]
    parts, operators = _products(request, sigma, normalize=False, truncate=truncate)
    result = request.finish(corner_response(parts, method, weight, floor))
    return cast(Array, (result, confidence(operators))) if request.confidence else result


def _formula(
    request: Request,
    sigma: Any,
    truncate: float,
    *,
    normalize: bool,
    response: tuple[str, float, float] | None = None,
) -> Tensor:
    """Return the derivatives, and the weights that their products are averaged with."""
    slopes = tuple(
        Operator.separable(request, gradient_profiles(SOBEL_SMOOTH, position, request.rank, normalize=normalize))
        for position in range(request.rank)
    )
    return Tensor(slopes, tuple(gaussian_profiles(sigma, None, request.rank, truncate=truncate)), response)


def averaging(request: Request, blur: Sequence[Array], product: Array) -> Operator:
    """Return the operator that averages a product of derivatives."""
    outside = None if request.fill is None else 0  # beside an even outside there is no slope
    # Where all taps of a derivative that are not zero met missing pixels, there is none.
    gaps = None if request.missing is None else request.missing | np.isnan(product)
    return Operator.separable(replace(request, image=product, fill=outside, holes=Holes.known(gaps, product)), blur)


def check_method(method: object) -> None:
    """Refuse a word that names neither formula."""
    if method not in METHODS:
        raise InvalidArgument(f"method must be 'k' or 'eps', got {method!r}")


def corner_response(parts: Sequence[Array], method: str, k: float, eps: float) -> Array:
    """Return the corner measure from the three elements of the structure tensor."""
    rows, mixed, columns = parts
    determinant = rows * columns - mixed**2
    trace = rows + columns
    return np.asarray(determinant - k * trace**2 if method == "k" else 2 * determinant / (trace + eps))


def _at_once(
    request: Request, sigma: Any, result: str, truncate: float, *, normalize: bool = False, k: float = 0, eps: float = 0
) -> tuple[Array, ...] | None:
    """Return the finished tensor or measure from one pass of generated code; None where it has to be done in steps."""
    gaps = request.missing is not None or request.fill is None or request.confidence
    if request.image.ndim != 2 or request.rank != 2 or gaps or request.algorithm is not None:
        return None
    code = table.generated("corners.call")
    if code is None:
        return None
    if request.only_planned and request.image.dtype.name in code.SERVED:  # one routine, in which nothing is chosen
        return (stand_in(request.image.shape, request.signed_type),) * (3 if result == "tensor" else 1)
    rows, columns = gaussian_profiles(sigma, None, 2, truncate=truncate)
    # The axes may be named in another order than they stand in.
    turned = request.axes != (0, 1)
    weights, words = ((columns, rows), request.boundary[::-1]) if turned else ((rows, columns), request.boundary)
    final, out = request.signed_type, request.out
    room = out is not None and out.dtype == final and out.flags.c_contiguous and result != "tensor"
    parts = code.corners(
        request.image,
        words,
        complex(0 if request.fill is None else request.fill).real,
        weights,
        result,
        scale=1 / 8 if normalize else 1.0,
        k=k,
        eps=eps,
        out=out if room else None,
    )
    if parts is None:
        return None
    finished = tuple(request.finish(part) for part in parts)
    return finished[::-1] if turned else finished


def _products(
    request: Request, sigma: Any, *, normalize: bool, truncate: float
) -> tuple[list[Array], tuple[Operator, ...]]:
    """Return the averaged products of the derivatives, and the operators that confidence is counted with."""
    formula = _formula(request, sigma, truncate, normalize=normalize)
    blur = formula.blur
    derivatives = [apply(slope) for slope in formula.slopes]
    pairs = combinations_with_replacement(derivatives, 2)
    averaged = [apply(averaging(request, blur, one * other)) for one, other in pairs]
    # A result rests on the pixels under the Gaussian's window.
    return averaged, (Operator.separable(request, blur),)
