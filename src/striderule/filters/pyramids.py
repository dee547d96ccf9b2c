"""Pyramids: the image at half its size, and at half of that, and so on (P. J. Burt and E. H. Adelson, 1983).

Each element of a smaller image stands in the middle of the `downscale` elements that it takes the place of. So output i
of m is the blurred image at position p_i = (i + 1/2) n / m - 1/2, between two elements interpolated linearly:

    reduce(x)[i] = (1 - w) (G x)[floor p_i] + w (G x)[floor p_i + 1],   w = p_i - floor p_i

Where n is a whole multiple of m, that is one kernel at every (n / m)-th element, and only those are computed. Along
each axis the outer product is taken one axis after the other, so that each pass has less to do than the one before.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack, cast

import numpy as np

from striderule.algorithms import table
from striderule.algorithms.resampling.maps import Map, applied, growing, positions, shrinking, transposed
from striderule.algorithms.windows.extend import extend
from striderule.errors import InvalidArgument
from striderule.filters import like as likeness
from striderule.filters.differentiable import differentiable
from striderule.filters.formulas import Resampled
from striderule.filters.passes import nowhere
from striderule.filters.request import Array, Keywords, Request, public
from striderule.functional import tracing
from striderule.functional.images import correlate
from striderule.functional.normalized import Holes
from striderule.functional.standin import StandIn, stand_in
from striderule.geometry.arguments import integer
from striderule.kernels.arguments import real, reals_per_axis
from striderule.kernels.smoothing import gaussian_profile

# A pyramid ends where nothing becomes smaller; this many layers are more than any image has.
ALL = -1


@differentiable
@public
def pyramid_reduce(
    image: Any,
    downscale: float = 2,
    sigma: float | Sequence[float] | None = None,
    *,
    truncate: float = 4.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Array:
    """Blur with a Gaussian and keep one element of `downscale` along every axis; only those are computed.

    Parameters
    ----------
    image : ndarray of any rank
    downscale : float, default 2
        How much smaller, more than 1.
    sigma : float or one float for each filtered axis, optional
        Standard deviation in elements of the image; 2 downscale / 6 by default.
    truncate : float, default 4.0
        Where the Gaussian ends, in standard deviations.
    like : {"skimage", "opencv"}, optional
        Give exactly what ``skimage.transform.pyramid_reduce`` or ``cv2.pyrDown`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of ceil(n / downscale) elements along every filtered axis
        In the image's type, rounded half to even and saturated. Each stands in the middle of those it replaces.

    Examples
    --------
    >>> import numpy as np
    >>> pyramid_reduce(np.array([0, 0, 0, 0, 80, 80, 80, 80], np.uint8))
    array([ 0,  8, 72, 80], dtype=uint8)
    """
    if like is not None:
        arguments = {"downscale": downscale, "sigma": sigma, "truncate": truncate}
        return likeness.answer("pyramid_reduce", like, image, arguments, keywords)
    request = Request.of("pyramid_reduce", image, keywords)
    scale = factor(downscale, "downscale")
    size = reduced_size(request, scale)
    sigmas = reals_per_axis(2 * scale / 6 if sigma is None else sigma, request.rank, "sigma")
    request = request.settle(request.image.dtype, request.shape_with(size))
    return _answer(request, [_Reduce(s, truncate) for s in sigmas], size)


@differentiable
@public
def pyramid_expand(
    image: Any,
    upscale: float = 2,
    sigma: float | Sequence[float] | None = None,
    *,
    truncate: float = 4.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> Array:
    """Interpolate linearly at `upscale` times as many elements along every axis, and blur with a Gaussian.

    Parameters
    ----------
    image : ndarray of any rank
    upscale : float, default 2
        How much larger, more than 1.
    sigma : float or one float for each filtered axis, optional
        Standard deviation in elements of the result; 2 upscale / 6 by default.
    truncate : float, default 4.0
        Where the Gaussian ends, in standard deviations.
    like : {"skimage", "opencv"}, optional
        Give exactly what ``skimage.transform.pyramid_expand`` or ``cv2.pyrUp`` gives.
    **keywords
        See `striderule.filters`.

    Returns
    -------
    ndarray of ceil(n upscale) elements along every filtered axis
        In the image's type, rounded half to even and saturated.

    Examples
    --------
    >>> import numpy as np
    >>> pyramid_expand(np.array([0, 80], np.uint8))
    array([ 4, 24, 56, 76], dtype=uint8)
    """
    if like is not None:
        arguments = {"upscale": upscale, "sigma": sigma, "truncate": truncate}
        return likeness.answer("pyramid_expand", like, image, arguments, keywords)
    request = Request.of("pyramid_expand", image, keywords)
    scale = factor(upscale, "upscale")
    size = tuple(math.ceil(scale * request.image.shape[axis]) for axis in request.axes)
    sigmas = reals_per_axis(2 * scale / 6 if sigma is None else sigma, request.rank, "sigma")
    request = request.settle(request.image.dtype, request.shape_with(size))
    return _answer(request, [_Expand(s, truncate) for s in sigmas], size)


@public
def pyramid_gaussian(
    image: Any,
    max_layer: int = ALL,
    downscale: float = 2,
    sigma: float | Sequence[float] | None = None,
    *,
    truncate: float = 4.0,
    like: str | None = None,
    **keywords: Unpack[Keywords],
) -> list[Array]:
    """Return the image, the image reduced, that reduced again, and so on: see `pyramid_reduce`.

    Parameters
    ----------
    image : ndarray of any rank
    max_layer : int, default -1
        How many reductions; -1 for as many as there are, down to one element.
    downscale, sigma, truncate
        As in `pyramid_reduce`.
    like : {"skimage", "opencv"}, optional
        Give what ``skimage.transform.pyramid_gaussian`` or repeated ``cv2.pyrDown`` gives.
    **keywords
        See `striderule.filters`. `out`, `mask` and `confidence` have no use here.

    Returns
    -------
    list of ndarray, the first a copy of the image
        In the image's type; each layer is made of the rounded one before it.

    Examples
    --------
    >>> import numpy as np
    >>> [layer.shape for layer in pyramid_gaussian(np.zeros((8, 5)))]
    [(8, 5), (4, 3), (2, 2), (1, 1)]
    """
    request = Request.of("pyramid_gaussian", image, keywords)
    request.refuse("pyramid_gaussian", "out", "mask", "confidence")
    layers, words = _layers(max_layer), cast(Any, dict(keywords))

    def smaller(one: Array) -> Array:
        return pyramid_reduce(one, downscale, sigma, truncate=truncate, like=like, **words)

    if like is None:
        factor(downscale, "downscale")
        found = [request.settle(request.image.dtype).finish(request.image)]
    else:
        found = [likeness.answer("pyramid_gaussian", like, image, {}, keywords)]
    while layers != 0 and found[-1].size:
        following = smaller(found[-1])
        if following.shape == found[-1].shape:
            break
        found.append(following)
        layers -= 1
    return found


@public
def pyramid_laplacian(
    image: Any,
    max_layer: int = ALL,
    downscale: float = 2,
    sigma: float | Sequence[float] | None = None,
    *,
    truncate: float = 4.0,
    **keywords: Unpack[Keywords],
) -> list[Array]:
    """Return what each layer of the Gaussian pyramid has that the next one lacks; the last layer is kept whole.

    layer[k] = g[k] - expand(g[k + 1]) with g the Gaussian pyramid, expanded to the size of g[k] by `pyramid_expand`;
    layer[last] = g[last]. Adding it all up again from the last layer gives the image back.

    Parameters
    ----------
    image : ndarray of any rank
    max_layer : int, default -1
        How many reductions; -1 for as many as there are, down to one element.
    downscale, sigma, truncate
        As in `pyramid_reduce`.
    **keywords
        See `striderule.filters`. `out`, `mask` and `confidence` have no use here.

    Returns
    -------
    list of ndarray
        float32 for integers of up to 16 bits, float64 for wider ones, otherwise the image's type.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(12.0).reshape(3, 4)
    >>> [layer.shape for layer in pyramid_laplacian(image, 1)], float(pyramid_laplacian(image, 0)[0][2, 3])
    ([(3, 4), (2, 2)], 11.0)
    """
    request = Request.of("pyramid_laplacian", image, keywords)
    request.refuse("pyramid_laplacian", "out", "mask", "confidence")
    scale = factor(downscale, "downscale")
    sigmas = reals_per_axis(2 * scale / 6 if sigma is None else sigma, request.rank, "sigma")
    layers = _layers(max_layer)
    final = request.settle(request.signed_type)
    current = request.image.astype(request.working_type)
    found = []
    while layers != 0 and current.size:
        here = replace(request, image=current, dtype=current.dtype, holes=Holes.known(None, current))
        if reduced_size(here, scale) == tuple(current.shape[axis] for axis in request.axes):
            break
        smaller = _passes(here, current, [_Reduce(s, truncate) for s in sigmas], reduced_size(here, scale))
        back = replace(here, image=smaller)
        size = tuple(current.shape[axis] for axis in request.axes)
        found.append(final.finish(current - _passes(back, smaller, [_Expand(s, truncate) for s in sigmas], size)))
        current, layers = smaller, layers - 1
    found.append(final.finish(current))
    return found


def factor(value: Any, argument: str) -> float:
    """Return a factor that is more than 1."""
    return real(value, argument, above=1.0)


def reduced_size(request: Request, scale: float) -> tuple[int, ...]:
    """Return the size of the next smaller image."""
    return tuple(math.ceil(request.image.shape[axis] / scale) for axis in request.axes)


def _layers(max_layer: Any) -> int:
    layers = integer(max_layer, "max_layer")
    if layers < ALL:
        raise InvalidArgument(f"max_layer must be at least 0, or -1 for all, got {max_layer}")
    return layers


@dataclass(frozen=True)
class Step(ABC):
    """What is done along one axis, by a Gaussian of `sigma` elements."""

    sigma: float
    truncate: float

    @abstractmethod
    def map(self, size: int, outputs: int, words: tuple[str, str], work: np.dtype[Any]) -> Map:
        """Return what the step does along an axis, as weights in the type `work`."""

    def profile(self) -> tuple[float, ...]:
        """Return the Gaussian's weights."""
        return tuple(gaussian_profile(self.sigma, truncate=self.truncate).tolist())

    @abstractmethod
    def __call__(self, request: Request, x: Array, position: int, outputs: int, fill: complex) -> Array:
        """Return x with `outputs` elements along one of the filtered axes."""

    def blurred(self, request: Request, x: Array, position: int, fill: complex, **more: Any) -> Array:
        """Return x filtered along one of the filtered axes."""
        profile = more.pop("profile", None)
        taps = gaussian_profile(self.sigma, truncate=self.truncate) if profile is None else profile
        return correlate(
            x,
            taps.astype(x.real.dtype),
            boundary=(request.boundary[position],),
            fill=fill,
            axes=request.axes[position],
            precision=request.precision,
            algorithm=request.algorithm,
            **more,
        )


class _Reduce(Step):
    def map(self, size: int, outputs: int, words: tuple[str, str], work: np.dtype[Any]) -> Map:
        return shrinking(size, outputs, self.profile(), words, work)

    def __call__(self, request: Request, x: Array, position: int, outputs: int, fill: complex) -> Array:
        axis = request.axes[position]
        inputs = x.shape[axis]
        if outputs and inputs % outputs == 0:
            return self._kept(request, x, position, inputs // outputs, fill)
        return _between(self.blurred(request, x, position, fill), axis, positions(inputs, outputs))

    def _kept(self, request: Request, x: Array, position: int, step: int, fill: complex) -> Array:
        """Return every step-th output of one kernel: that of the blur, and of the interpolation after it."""
        profile = gaussian_profile(self.sigma, truncate=self.truncate)
        radius = len(profile) // 2
        shift, between = (step - 1) // 2, step % 2 == 0
        if between:
            profile = (np.append(profile, 0.0) + np.append(0.0, profile)) / 2
        # The first output lies `shift` elements into the image: the kernel is centred so much before its middle, and
        # made longer (zeros cost nothing) where it does not reach back so far.
        lead = max(0, shift - radius)
        profile = np.append(np.zeros(lead), profile)
        origin = radius + lead - shift - len(profile) // 2
        return self.blurred(request, x, position, fill, profile=profile, stride=step, origin=origin)


class _Expand(Step):
    def map(self, size: int, outputs: int, words: tuple[str, str], work: np.dtype[Any]) -> Map:
        return growing(size, outputs, self.profile(), words, work)

    def __call__(self, request: Request, x: Array, position: int, outputs: int, fill: complex) -> Array:
        axis = request.axes[position]
        words = (request.boundary[position],)
        if isinstance(x, StandIn):
            wide: Array = x
        else:
            wide = np.moveaxis(extend(np.moveaxis(x, axis, -1), ((1, 1),), words, fill), -1, axis)
        larger = _between(wide, axis, positions(x.shape[axis], outputs) + 1.0)
        return self.blurred(request, larger, position, fill)


def _between(x: Array, axis: int, where: Array) -> Array:
    """Return x at positions between its elements along an axis, interpolated linearly."""
    if isinstance(x, StandIn):
        return stand_in((*x.shape[:axis], len(where), *x.shape[axis + 1 :]), x.dtype)
    low = np.clip(np.floor(where).astype(np.intp), 0, x.shape[axis] - 1)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    shape = [1] * x.ndim
    shape[axis] = len(where)
    share = (where - low).astype(x.real.dtype).reshape(shape)
    return np.asarray(np.take(x, low, axis=axis) * (1 - share) + np.take(x, high, axis=axis) * share)


def _at_once(
    request: Request,
    x: Array,
    steps: Sequence[Step],
    size: Sequence[int],
    fill: Any,
    final: np.dtype[Any],
    out: Array | None = None,
) -> Array | None:
    """Return what the steps give in one pass over x, in the type `final`, or None where that is not done."""
    work = np.result_type(request.working_type, np.float32)
    code = table.generated("resampling.call") if request.algorithm is None and work.kind == "f" else None
    if code is None or not code.is_fused(x.dtype, work, final):
        return None
    if request.only_planned:  # one routine, in which nothing is chosen
        return cast(Array, stand_in(request.shape_with(size), final))
    order = sorted(range(request.rank), key=lambda position: request.axes[position])
    maps = []
    for position in order:
        axis = request.axes[position]
        maps.append((axis, steps[position].map(x.shape[axis], size[position], request.boundary[position], work)))
    return cast("Array | None", code.resampled(x, maps, fill, work, final, out))


def _passes(request: Request, x: Array, steps: Sequence[Step], size: Sequence[int], fill: Any = None) -> Array:
    outside = (0 if request.fill is None else request.fill) if fill is None else fill
    if x.size == 0:
        return np.zeros(request.shape_with(size), x.dtype)
    made = _at_once(request, x, steps, size, outside, x.dtype)
    if made is not None:
        return made
    for position, (step, outputs) in enumerate(zip(steps, size, strict=True)):
        x = step(request, x, position, outputs, outside)
    return x


def _answer(request: Request, steps: Sequence[Step], size: Sequence[int]) -> Array:
    """Return the finished image; around gaps, the quotient of what is there by how much is there."""
    tracing.note(Resampled(request, tuple(steps), tuple(size)))
    x, plain = request.image, request.missing is None and request.fill is not None
    if plain and not request.confidence and request.overflow == "saturate" and x.size:
        assert request.dtype is not None  # settled before
        made = _at_once(request, x, steps, size, request.fill, request.dtype, request.out)
        if made is not None:
            return made
    x = x.astype(request.working_type, copy=False)
    if plain:
        result = request.finish(_passes(request, x, steps, size))
        return cast(Array, (result, np.ones(result.shape, request.length_type))) if request.confidence else result
    there = _there(request, steps, size)
    sums = _passes(
        request, x if request.missing is None else np.where(request.missing, x.dtype.type(0), x), steps, size
    )
    mean = np.divide(sums, there, out=np.full_like(sums, nowhere(request)), where=there > 0)
    result = request.finish(mean)
    share = np.clip(there, 0, 1).astype(request.length_type)
    return cast(Array, (result, share)) if request.confidence else result


def _there(request: Request, steps: Sequence[Step], size: Sequence[int]) -> Array:
    """Return how much of what each result is made of is there."""
    kind = np.dtype(request.working_type.char.lower())
    present = np.ones(request.image.shape, kind) if request.missing is None else (~request.missing).astype(kind)
    return _passes(request, present, steps, size, 0.0 if request.fill is None else 1.0)


def resampled_back(formula: Resampled, g: Array) -> Array:
    """Return the gradient of a step with respect to the image: the transposed map of every axis."""
    request, image = formula.request, formula.request.image
    if g.size == 0 or image.size == 0:
        return np.zeros(image.shape, g.dtype)
    if request.missing is not None or request.fill is None:
        there = _there(request, formula.steps, formula.size)
        g = np.divide(g, there, out=np.zeros_like(g), where=there > 0)
    back = []
    for position in sorted(range(request.rank), key=lambda position: request.axes[position]):
        axis, words = request.axes[position], request.boundary[position]
        back.append(
            (axis, transposed(formula.steps[position].map(image.shape[axis], formula.size[position], words, g.dtype)))
        )
    code = table.generated("resampling.call")
    made = None if code is None else cast("Array | None", code.resampled(g, back, 0.0, g.dtype, g.dtype))
    if made is None:
        made = g
        for axis, one in back:
            made = applied(made, axis, one)
    return made if request.missing is None else np.where(request.missing, made.dtype.type(0), made)
