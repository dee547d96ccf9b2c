"""Filters that differentiate twice, or nearly so. Integer images give float32 (float64 for 32 and 64 bits).

The scale and the sign of each are those of the kernel of the same name; `docs/filters.md` compares them with others'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from striderule import kernels
from striderule.filters import like as likeness
from striderule.filters.differentiable import differentiable
from striderule.filters.formulas import Linear
from striderule.filters.passes import Operator, answer, apply, few_products, gaussian_derivatives
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional import tracing
from striderule.kernels.derivatives import dog_sigmas
from striderule.kernels.smoothing import gaussian_profiles


@differentiable
@public
def laplace(image: Any, *, connectivity: int = 1, like: str | None = None, **keywords: Unpack[Keywords]) -> Array:
    """Return the Laplacian: correlation with `striderule.kernels.laplace`.

    Scale: the sum of the second differences (1, -2, 1) over the filtered axes. Sign: positive where an element is
    darker than its neighbours.

    Parameters
    ----------
    image : ndarray of any rank
    connectivity : int, default 1
        1 counts the neighbours along the axes (4 in two dimensions), 2 also those across a corner (8), and so on.
    like : {"scipy", "skimage", "opencv"}, optional
        Give exactly what ``scipy.ndimage.laplace``, ``skimage.filters.laplace`` (of the opposite sign) or
        ``cv2.Laplacian`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type.

    Examples
    --------
    >>> import numpy as np
    >>> laplace(np.array([0, 0, 5, 0, 0], np.uint8))
    array([  0.,   5., -10.,   5.,   0.], dtype=float32)
    """
    if like is not None:
        return likeness.answer("laplace", like, image, {"connectivity": connectivity}, keywords)
    request = Request.of("laplace", image, keywords)
    kernel = kernels.laplace(request.rank, connectivity=connectivity)
    request = request.settle(request.signed_type)
    return answer(request, None, Operator.direct(request, kernel))


@differentiable
@public
def log(
    image: Any,
    sigma: float | Sequence[float],
    *,
    truncate: float = 4.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Array:
    """Return the Laplacian of the Gaussian-smoothed image: the sum of its Gaussian second derivatives.

    Scale: that of the second derivatives (multiply by sigma^2 to compare scales). Sign: positive in dark spots.

    Parameters
    ----------
    image : ndarray of any rank
    sigma : float or one float for each filtered axis
        Standard deviation in elements, more than 0.
    truncate : float, default 4.0
        Where the window ends, in standard deviations.
    like : {"scipy"}, optional
        Give exactly what ``scipy.ndimage.gaussian_laplace`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type.

    Examples
    --------
    >>> import numpy as np
    >>> spot = np.zeros(9)
    >>> spot[4] = 1
    >>> bool(log(spot, 1)[4] < 0 < log(spot, 1)[2])
    True
    """
    if like is not None:
        return likeness.answer("log", like, image, {"sigma": sigma, "truncate": truncate}, keywords)
    request = Request.of("log", image, keywords)
    request = request.settle(request.signed_type)
    narrow = gaussian_profiles(sigma, None, request.rank, truncate=truncate)
    if request.missing is not None or request.fill is None or few_products(request, [narrow]):
        # Gaps are weighed by the magnitudes of the whole kernel, which is not separable.
        return answer(request, None, Operator.direct(request, kernels.log(sigma, truncate=truncate, ndim=request.rank)))
    operators = gaussian_derivatives(request, sigma, 2, truncate)
    tracing.note(Linear(tuple(operators), (1.0,) * len(operators)))
    parts = [apply(operator) for operator in operators]
    return answer(request, sum(parts[1:], start=parts[0]), *operators)


@differentiable
@public
def dog(
    image: Any,
    sigma1: float | Sequence[float],
    sigma2: float | Sequence[float] | None = None,
    *,
    truncate: float = 4.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Array:
    """Return the difference of two Gaussian blurs, the narrow one minus the wide one: a band of detail.

    Scale: each blur keeps the image's scale. Sign: positive in bright spots. Integer images give floats, as the result
    has both signs.

    Parameters
    ----------
    image : ndarray of any rank
    sigma1 : float or one float for each filtered axis
        The narrow standard deviation in elements.
    sigma2 : float or one float for each filtered axis, optional
        The wide one, at least `sigma1`; 1.6 sigma1 by default.
    truncate : float, default 4.0
        Where the windows end, in standard deviations.
    like : {"skimage"}, optional
        Give exactly what ``skimage.filters.difference_of_gaussians`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type.

    Examples
    --------
    >>> import numpy as np
    >>> float(dog(np.full((8, 8), 7.0), 1, 2).round(9).max())
    0.0
    """
    if like is not None:
        arguments = {"sigma1": sigma1, "sigma2": sigma2, "truncate": truncate}
        return likeness.answer("dog", like, image, arguments, keywords)
    request = Request.of("dog", image, keywords)
    both = [
        gaussian_profiles(s, None, request.rank, truncate=truncate) for s in dog_sigmas(sigma1, sigma2, request.rank)
    ]
    request = request.settle(request.signed_type)
    if few_products(request, both):
        kernel = kernels.dog(sigma1, sigma2, truncate=truncate, ndim=request.rank)
        return answer(request, None, Operator.direct(request, kernel))
    operators = [Operator.separable(request, profiles) for profiles in both]
    tracing.note(Linear(tuple(operators), (1.0, -1.0)))
    narrow, wide = (apply(operator) for operator in operators)
    return answer(request, narrow - wide, *operators)
