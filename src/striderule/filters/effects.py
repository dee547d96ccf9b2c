"""Filters that sharpen, emboss or look for a texture, and many kernels at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Unpack

import numpy as np

from striderule import kernels
from striderule.errors import InvalidArgument
from striderule.filters import like as likeness
from striderule.filters.differentiable import bank as bank_rule
from striderule.filters.differentiable import by, differentiable
from striderule.filters.formulas import Linear
from striderule.filters.passes import Operator, answer, apply, confidence, few_products, working
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional import banks, door, tracing
from striderule.functional.images import correlate
from striderule.functional.standin import StandIn
from striderule.geometry.arguments import is_sequence
from striderule.kernels.arguments import real
from striderule.kernels.smoothing import gaussian_profiles


@differentiable
@public
def sharpen(image: Any, amount: float = 1.0, **keywords: Unpack[Keywords]) -> Array:
    """Sharpen by taking the Laplacian away: correlation with `striderule.kernels.sharpen`.

    Parameters
    ----------
    image : ndarray of any rank
    amount : float, default 1
        How strongly; 0 changes nothing. In two dimensions 1 is the kernel with 5 in the middle and -1 on four sides.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape and type, rounded half to even and saturated

    Examples
    --------
    >>> import numpy as np
    >>> sharpen(np.array([10, 10, 20, 20], np.uint8))
    array([10,  0, 30, 20], dtype=uint8)
    """
    request = Request.of("sharpen", image, keywords)
    kernel = kernels.sharpen(amount, request.rank)
    request = request.settle(request.image.dtype)
    return answer(request, None, Operator.direct(request, kernel))


@differentiable
@public
def unsharp_mask(
    image: Any,
    radius: float | Sequence[float] = 1.0,
    amount: float = 1.0,
    *,
    truncate: float = 4.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Array:
    """Sharpen by adding what a Gaussian blur takes away: image + amount * (image - gaussian(image, radius)).

    Parameters
    ----------
    image : ndarray of any rank
    radius : float or one float for each filtered axis, default 1
        Standard deviation of the blur in elements (the name is scikit-image's).
    amount : float, default 1
        How strongly; 0 changes nothing.
    truncate : float, default 4.0
        Where the window ends, in standard deviations.
    like : {"skimage"}, optional
        Give exactly what ``skimage.filters.unsharp_mask`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape and type, rounded half to even and saturated
        A missing pixel is given the blur's value.

    Examples
    --------
    >>> import numpy as np
    >>> unsharp_mask(np.array([10, 10, 10, 90, 90, 90], np.uint8), 1)
    array([ 10,   5,   0, 114,  95,  90], dtype=uint8)
    """
    if like is not None:
        arguments = {"radius": radius, "amount": amount, "truncate": truncate}
        return likeness.answer("unsharp_mask", like, image, arguments, keywords)
    request = Request.of("unsharp_mask", image, keywords)
    strength = real(amount, "amount")
    profiles = gaussian_profiles(radius, None, request.rank, truncate=truncate)
    request = request.settle(request.image.dtype)
    if few_products(request, [profiles]):
        kernel = kernels.unsharp(radius, strength, truncate=truncate, ndim=request.rank)
        return answer(request, None, Operator.direct(request, kernel))
    operator = Operator.separable(request, profiles)
    tracing.note(Linear((operator,), (-strength,), 1 + strength))
    blurred = apply(operator)
    # A missing pixel has no value of its own to sharpen: the blur stands for it.
    x = working(request) if request.missing is None else np.where(request.missing, blurred, working(request))
    return answer(request, x + x.real.dtype.type(strength) * (x - blurred), operator)


@differentiable
@public
def emboss(image: Any, **keywords: Unpack[Keywords]) -> Array:
    """Show the image as a relief: correlation with `striderule.kernels.emboss`.

    Edges that grow brighter down to the right turn bright, the opposite ones dark; even areas stay as they are.

    Parameters
    ----------
    image : ndarray with two axes to filter
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape and type, rounded half to even and saturated

    Examples
    --------
    >>> import numpy as np
    >>> emboss(np.full((2, 2), 50, np.uint8))
    array([[50, 50],
           [50, 50]], dtype=uint8)
    """
    request = Request.of("emboss", image, keywords, rank=2)
    request = request.settle(request.image.dtype)
    return answer(request, None, Operator.direct(request, kernels.emboss()))


@public
def gabor(
    image: Any,
    frequency: float | Sequence[float],
    theta: float | Sequence[float] = 0.0,
    *,
    bandwidth: float = 1.0,
    sigma_x: float | None = None,
    sigma_y: float | None = None,
    n_stds: float = 3.0,
    offset: float = 0.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Any:
    """Answer to a wave of one frequency and direction: correlation with the complex `striderule.kernels.gabor`.

    The absolute value says how much of the wave there is, the angle where in the wave the element lies.

    Parameters
    ----------
    image : ndarray with two axes to filter
    frequency : float or sequence of float
        Waves for each element.
    theta : float or sequence of float, default 0
        Direction in radians in which the wave runs; 0 to the right, pi/2 downwards. With a sequence of frequencies, of
        directions, or of both, the result is that of every frequency in every direction, all of which share readings of
        the image.
    bandwidth, sigma_x, sigma_y, n_stds, offset : float, optional
        As in `striderule.kernels.gabor`.
    like : {"skimage"}, optional
        Give exactly what ``skimage.filters.gabor`` gives: the pair (real, imaginary) of a *convolution*, in the image's
        type, truncated for integers.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of the image's shape; (frequencies * directions, *image's shape) for sequences, directions changing first
        complex64 for float32, float16 and integers of up to 16 bits, complex128 for the others; with `like` a pair.

    Examples
    --------
    >>> import numpy as np
    >>> stripes = np.cos(2 * np.pi * 0.25 * np.arange(64.0)) + np.zeros((64, 1))
    >>> along, across = abs(gabor(stripes, 0.25)), abs(gabor(stripes, 0.25, np.pi / 2))
    >>> bool(along[32, 32] > 100 * across[32, 32])
    True
    >>> gabor(stripes, [0.1, 0.25], np.arange(4) * np.pi / 4).shape
    (8, 64, 64)
    """
    shape: dict[str, Any] = {
        "frequency": frequency,
        "theta": theta,
        "bandwidth": bandwidth,
        "sigma_x": sigma_x,
        "sigma_y": sigma_y,
        "n_stds": n_stds,
        "offset": offset,
    }
    if like is not None:
        return likeness.answer_pair("gabor", like, image, shape, keywords)
    request = Request.of("gabor", image, keywords, rank=2)
    if not (is_sequence(frequency) or is_sequence(theta)):
        kernel = kernels.gabor(**shape)
        request = request.settle(np.result_type(request.signed_type, np.complex64))
        operator = Operator.direct(request, kernel)
        return answer(request, apply(operator), operator)
    pairs = product(_each(frequency, "frequency"), _each(theta, "theta"))
    each = [kernels.gabor(**(shape | {"frequency": f, "theta": t})) for f, t in pairs]
    natural = np.result_type(request.signed_type, np.complex64)
    return _stacked(request.settle(natural, (len(each), *request.image.shape)), each)


def _each(value: Any, argument: str) -> list[Any]:
    """Return the entries of a sequence, or the one number."""
    found = list(value) if is_sequence(value) else [value]
    if not found:
        raise InvalidArgument(f"{argument} must hold at least one number, got none")
    return found


def _stacked(request: Request, each: Sequence[Array]) -> Any:
    """Return what each of several complex kernels gives, on a new first axis."""
    plain = request.missing is None and request.fill is not None and not request.confidence
    if plain and request.dtype is not None:
        taps = [kernel.astype(np.result_type(request.working_type, np.complex64), copy=False) for kernel in each]
        words = {
            "boundary": request.boundary, "fill": request.fill, "axes": request.axes, "dtype": request.dtype,
            "precision": request.precision, "algorithm": request.algorithm,
        }  # fmt: skip
        at_once = banks.bank(request.image, taps, request.out, words)
        if at_once is not None:
            return at_once
    operators = [Operator.direct(request, kernel) for kernel in each]
    single = replace(request, out=None)
    result = request.finish(np.stack([single.finish(apply(operator)) for operator in operators]))
    return (result, np.stack([confidence([one]) for one in operators])) if request.confidence else result


@by(bank_rule)
@door.accepts_input
def bank(image: Any, kernels: Any, *, out: Array | None = None, **arguments: Any) -> Array:
    """Apply many kernels to one image: `striderule.correlate` with each, stacked along a new first axis.

    Kernels that are computed tap by tap, or as spectra, share the reading of the image and the transforms of its tiles.

    Parameters
    ----------
    image : ndarray of any rank
    kernels : sequence of arrays, or one array with the kernels along its first axis
        They may differ in size; with ``mode="valid"`` and ``"full"`` the results must agree in shape.
    out : ndarray, optional
        Where to write the stack.
    **arguments
        Every keyword of `striderule.correlate`: ``mode``, ``boundary``, ``stride``, ``dtype``...

    Returns
    -------
    ndarray of shape (number of kernels, *shape of one result)
        In the type that holds the results of all kernels.

    Raises
    ------
    InvalidArgument
        If there is no kernel, or the results differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> from striderule.kernels import box, edge, sharpen
    >>> image = np.pad(np.ones((3, 3), np.uint8), 1)
    >>> maps = bank(image, [edge(), sharpen(), box(3)], mode="valid")
    >>> maps.shape
    (3, 3, 3)
    >>> maps[0]
    array([[5., 3., 5.],
           [3., 0., 3.],
           [5., 3., 5.]])
    """
    x = door.array(image, "image")
    if hasattr(kernels, "__array__") or not isinstance(kernels, Iterable):
        kernels = door.array(kernels, "kernels")  # which refuses what is lazy, foreign or no array at all
    if isinstance(kernels, np.ndarray) and kernels.ndim == 0:
        raise InvalidArgument("kernels must be a sequence of kernels, got a single number")
    each = [door.array(kernel, f"kernel {number}") for number, kernel in enumerate(kernels)]
    if not each:
        raise InvalidArgument("kernels must hold at least one kernel, got none")
    at_once = banks.bank(x, each, out, arguments)
    if at_once is not None:
        return at_once
    results = [correlate(x, kernel, **arguments) for kernel in each]
    if any(result.shape != results[0].shape for result in results):
        shapes = [result.shape for result in results]
        raise InvalidArgument(f"the kernels' results must have one shape, got {shapes}; use mode='same'")
    dtype = np.result_type(*results)
    shape = (len(results), *results[0].shape)
    door.check_out(out, shape, dtype, (x, *each))
    if out is None or isinstance(results[0], StandIn):
        return np.stack([result.astype(dtype, copy=False) for result in results])
    for number, result in enumerate(results):
        out[number] = result
    return out
