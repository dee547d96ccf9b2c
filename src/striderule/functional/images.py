"""Filters of images and volumes: `correlate` slides a kernel as it is, `convolve` flips it first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from striderule.algorithms import table
from striderule.algorithms.images.terms import Terms
from striderule.errors import InvalidArgument
from striderule.functional.door import accepts_input, array, check_out, dtype_word, finish, overflow_word
from striderule.functional.forms import form_of
from striderule.functional.large import in_blocks
from striderule.functional.names import IMAGE_NAMES, answers
from striderule.functional.normalized import Weights, around_gaps, missing_pixels
from striderule.functional.pixels import (
    Types,
    choose_types,
    fill_number,
    in_work_type,
    kernel_array,
    mask_array,
)
from striderule.functional.planned import noted, perform, plan_for
from striderule.functional.precision import effective
from striderule.functional.recipes import Recipe, clear_of, offer
from striderule.functional.standin import StandIn, stand_in
from striderule.geometry.arguments import per_axis
from striderule.geometry.imaging import (
    axis_number,
    check_kernel_fits,
    filtered_axes,
    image_output_size,
    kernel_sides,
    mode_word,
)
from striderule.geometry.padding import Sides, Words, parse_boundary
from striderule.geometry.problem import Convolution
from striderule.planning import algorithm_word
from striderule.planning.forms import KernelForm

Array = npt.NDArray[Any]
Ints = tuple[int, ...]
Mode = Literal["full", "same", "valid"]
Nan = Literal["propagate", "normalize"]


@answers(IMAGE_NAMES)
@in_blocks(flipped=False)
@accepts_input
def correlate(
    image: npt.ArrayLike,
    kernel: npt.ArrayLike,
    *,
    mode: Mode = "same",
    boundary: Any = "symmetric",
    fill: complex = 0,
    stride: Any = 1,
    dilation: Any = 1,
    origin: Any = 0,
    axes: Any = None,
    channel_axis: int | None = None,
    dtype: npt.DTypeLike | None = None,
    overflow: Literal["saturate", "wrap"] = "saturate",
    mask: npt.ArrayLike | None = None,
    nan: Nan = "propagate",
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Slide the kernel over the image as it is, multiply and add.

    out[i] = sum over taps t of kernel[t] * image[i * stride + (t - centre) * dilation], centre = k // 2 + origin

    A tap that is exactly zero contributes nothing, not even where it meets NaN or infinity. Nothing is conjugated:
    complex numbers are multiplied part by part. The result has the axes of the image.

    Parameters
    ----------
    image
        Any number of axes; booleans, integers, floats or complex numbers. Also accepted as `input`.
    kernel
        One axis for each filtered axis, in their order; finite numbers.
    mode
        ``"same"`` (default): one output for each pixel; ``"full"``: every position where kernel and image touch,
        n + extent - 1 (none on an empty axis); ``"valid"``: only where the kernel lies inside, n - extent + 1, with
        extent = dilation (k - 1) + 1.
    boundary
        What lies outside: ``"symmetric"`` (default, cba|abc|cba), ``"mirror"`` (cb|abc|ba), ``"edge"`` (aaa|abc|ccc),
        ``"wrap"`` (abc|abc|abc) or ``"constant"`` (`fill`); one word, or a tuple with one entry for each filtered axis,
        each a word or a (before, after) pair.
    fill
        The value outside for ``boundary="constant"``: one that the image's type can hold. Default 0.
    stride
        Keep every s-th output, starting with the first; one integer, or one for each filtered axis. Default 1.
    dilation
        Distance between taps in pixels, likewise. Default 1.
    origin
        Shifts the centre by this many taps, likewise, as in ``scipy.ndimage``; only with ``mode="same"``. Default 0.
    axes
        The axes to filter; the others are looped over. Default: all but `channel_axis`.
    channel_axis
        The axis that holds the channels, each of which is filtered by itself. Default: none.
    dtype
        Type of the result. Default: exact int32 (int64 for operands of more than 16 bits, or where sums might not fit)
        for integer image and kernel; float32 (float64 for 32- and 64-bit integers) for an integer image and a float
        kernel; otherwise NumPy's promotion, in which a kernel given as nested lists widens nothing. Floats become
        integers by rounding half to even; NaN does not become an integer.
    overflow
        For an integer `dtype`: ``"saturate"`` (default) or ``"wrap"``.
    mask
        Boolean, True where a pixel is valid; of the image's shape, with or without the channel axis. The others are
        missing, which makes the result a float: a missing pixel counts as the mean of the valid pixels under the same
        window, weighted by the taps' magnitudes. For kernels without negative taps that is normalised convolution
        (Knutsson and Westin, CVPR 1993). The boundary extends the mask as it extends the image, and `fill` is valid.
        Where all taps meet missing pixels the result is NaN, or `fill` for an integer `dtype`.
    nan
        ``"propagate"`` (default) or ``"normalize"``: NaN pixels are missing, and with ``fill=nan`` the outside is too.
    precision
        The promise on the error: ``"highest"`` (default), ``"high"`` or ``"medium"``.
    algorithm
        ``"stencil"`` or ``"fourier"`` (generated code), ``"windows"`` (NumPy), ``"reference"`` (plain loops); default:
        chosen.
    out
        Array of the result's shape and type to write to: one of its own memory, or the image itself where the result
        has its shape and type, which is then filtered in place with a copy of a few rows.

    Returns
    -------
    numpy.ndarray
        With the axes of the image; their sizes are those of `mode`, each divided by the stride and rounded up.

    Raises
    ------
    InvalidArgument, InvalidType
        For arguments that do not fit, with the rule and the way out.
    UnprovenRange
        If sums of 64-bit integers might not fit int64.

    Examples
    --------
    >>> import numpy as np
    >>> import striderule as sr
    >>> image = np.array([[0, 0, 0, 0], [0, 9, 9, 0], [0, 0, 0, 0]], np.uint8)
    >>> sr.correlate(image, [[-1, 0, 1]])
    array([[ 0,  0,  0,  0],
           [ 9,  9, -9, -9],
           [ 0,  0,  0,  0]], dtype=int32)
    >>> sr.correlate([1.0, np.nan, 3.0], [1, 1, 1], nan="normalize", mode="valid")
    array([6.])
    """
    return _filter(
        image,
        kernel,
        flipped=False,
        words=_Words.of(mode, overflow, nan, precision, algorithm, dtype),
        boundary=boundary,
        fill=fill,
        stride=stride,
        dilation=dilation,
        origin=origin,
        axes=axes,
        channel_axis=channel_axis,
        mask=mask,
        out=out,
    )


@answers(IMAGE_NAMES)
@in_blocks(flipped=True)
@accepts_input
def convolve(
    image: npt.ArrayLike,
    kernel: npt.ArrayLike,
    *,
    mode: Mode = "same",
    boundary: Any = "symmetric",
    fill: complex = 0,
    stride: Any = 1,
    dilation: Any = 1,
    origin: Any = 0,
    axes: Any = None,
    channel_axis: int | None = None,
    dtype: npt.DTypeLike | None = None,
    overflow: Literal["saturate", "wrap"] = "saturate",
    mask: npt.ArrayLike | None = None,
    nan: Nan = "propagate",
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Flip the kernel along every axis, then slide it over the image, multiply and add.

    out[i] = sum over taps t of kernel[t] * image[i * stride + (centre - t) * dilation], centre = k // 2 + origin

    The arguments, their defaults, the result and the errors are those of `correlate`. With the kernel flipped first
    this is `correlate` centred on (k - 1) // 2 - origin, as in ``scipy.ndimage.convolve``. ``scipy.signal`` and NumPy
    centre kernels of even length elsewhere: see docs/centre.md.

    Parameters
    ----------
    image, kernel, mode, boundary, fill, stride, dilation, origin, axes, channel_axis
        As in `correlate`.
    dtype, overflow, mask, nan, precision, algorithm, out
        As in `correlate`.

    Returns
    -------
    numpy.ndarray
        As from `correlate`.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        As in `correlate`.

    Examples
    --------
    >>> import numpy as np
    >>> import striderule as sr
    >>> sr.convolve(np.array([0, 0, 1, 0, 0]), [1, 2, 3], boundary="constant")
    array([0, 1, 2, 3, 0])
    >>> sr.correlate(np.array([0, 0, 1, 0, 0]), [1, 2, 3], boundary="constant")
    array([0, 3, 2, 1, 0])
    """
    return _filter(
        image,
        kernel,
        flipped=True,
        words=_Words.of(mode, overflow, nan, precision, algorithm, dtype),
        boundary=boundary,
        fill=fill,
        stride=stride,
        dilation=dilation,
        origin=origin,
        axes=axes,
        channel_axis=channel_axis,
        mask=mask,
        out=out,
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """The arguments that are words, known to be right."""

    mode: str
    overflow: Literal["saturate", "wrap", "refuse"]
    normalize: bool
    precision: str
    algorithm: str | None
    dtype: np.dtype[Any] | None

    @classmethod
    def of(cls, mode: Any, overflow: Any, nan: Any, precision: Any, algorithm: Any, dtype: Any) -> _Words:
        if nan not in ("propagate", "normalize"):
            raise InvalidArgument(f"nan must be 'propagate' or 'normalize', got {nan!r}")
        return cls(
            mode_word(mode),
            overflow_word(overflow),
            nan == "normalize",
            effective(precision),
            algorithm_word(algorithm),
            dtype_word(dtype),
        )


@dataclass(frozen=True, slots=True)
class _Slide:
    """How a kernel of one shape slides over an image of one shape, and by which algorithm."""

    axes: Ints
    size: Ints
    kernel: Ints
    stride: Ints
    dilation: Ints
    sides: Sides
    boundary: Words
    output_size: Ints
    words: _Words

    def output_shape(self, image: Ints) -> Ints:
        """Return the shape of the result, whose axes stand as in the image."""
        sizes = dict(zip(self.axes, self.output_size, strict=True))
        return tuple(sizes.get(axis, n) for axis, n in enumerate(image))

    def __call__(
        self,
        pixels: Array,
        taps: Array | Terms,
        fill: Any,
        work: np.dtype[Any],
        final: np.dtype[Any] | None = None,
        out: Array | None = None,
    ) -> Array:
        """Return the sums of products; complex ones as their real and imaginary parts, formed from real sums.

        Real ones come in the type `final`, that of the sums unless given, and in `out` where there is one.
        """
        if pixels.dtype.kind != "c" and (isinstance(taps, Terms) or taps.dtype.kind != "c"):
            return self._real(pixels, taps, fill, work, final, out)
        if isinstance(taps, Terms):
            parts = self._real(pixels.real, taps, fill.real, work), self._real(pixels.imag, taps, fill.imag, work)
        elif pixels.dtype.kind != "c":
            parts = self._real(pixels, taps.real, fill, work), self._real(pixels, taps.imag, fill, work)
        elif taps.dtype.kind != "c":
            parts = self._real(pixels.real, taps, fill.real, work), self._real(pixels.imag, taps, fill.imag, work)
        else:
            with np.errstate(all="ignore"):
                parts = (
                    self._real(pixels.real, taps.real, fill.real, work)
                    - self._real(pixels.imag, taps.imag, fill.imag, work),
                    self._real(pixels.real, taps.imag, fill.real, work)
                    + self._real(pixels.imag, taps.real, fill.imag, work),
                )
        dtype = np.result_type(work, np.complex64)
        if isinstance(parts[0], StandIn):
            return stand_in(parts[0].shape, dtype)
        result = np.empty(parts[0].shape, dtype)
        result.real, result.imag = parts
        return result

    def _real(
        self,
        pixels: Array,
        taps: Array | Terms,
        fill: Any,
        work: np.dtype[Any],
        final: np.dtype[Any] | None = None,
        out: Array | None = None,
    ) -> Array:
        shape, kind = self.output_shape(pixels.shape), work if final is None else final
        if 0 in shape:
            return np.zeros(shape, kind) if out is None else out
        rank = len(self.axes)
        last = range(-rank, 0)
        planes = np.moveaxis(pixels, self.axes, last)
        problem = _problem(self, prod(planes.shape[:-rank]), pixels.dtype, kind, work, form_of(taps))
        plan = plan_for(problem, self.words.precision, self.words.algorithm)
        operands = (problem, planes, taps, fill)
        where = {"shape": (*planes.shape[:-rank], *self.output_size), "dtypes": (kind,)}
        target = None if out is None else np.moveaxis(out, self.axes, last)
        result: Array = perform(plan, "stencil", "stencil", *operands, **where, out=target)
        return np.moveaxis(result, last, self.axes) if result is not target or out is None else out


@lru_cache(maxsize=256)
def _problem(
    slide: _Slide,
    batch: int,
    source: np.dtype[Any],
    final: np.dtype[Any],
    work: np.dtype[Any],
    form: KernelForm | None,
    kernels: int = 1,
) -> Convolution:
    """Return the problem of real sums, once for calls alike."""
    return Convolution.from_shapes(
        (batch, 1, *slide.size),
        (kernels, 1, *slide.kernel),
        stride=slide.stride,
        padding=slide.sides,
        dilation=slide.dilation,
        boundary=slide.boundary,
        zero_taps="skip",
        dtype=work.name,
        stored=(source.name, final.name),
        overflow=slide.words.overflow,
        form=form,
    )


def _slide(
    image: Array,
    taps: Array,
    flipped: bool,
    words: _Words,
    *,
    boundary: Any,
    stride: Any,
    dilation: Any,
    origin: Any,
    axes: Any,
    channel_axis: Any,
) -> _Slide:
    """Check the geometry and return it."""
    if image.ndim == 0:
        raise InvalidArgument("image must have at least one axis, got a single number")
    chosen = filtered_axes(image.ndim, axes, channel_axis)
    check_kernel_fits(taps.shape, image.shape, chosen, channel_axis)
    rank = len(chosen)
    size = tuple(image.shape[axis] for axis in chosen)
    steps = per_axis(stride, rank, "stride", 1)
    gaps = per_axis(dilation, rank, "dilation", 1)
    sides = kernel_sides(words.mode, taps.shape, gaps, origin, flipped=flipped)
    outputs = image_output_size(words.mode, size, taps.shape, steps, gaps)
    return _Slide(chosen, size, taps.shape, steps, gaps, sides, parse_boundary(boundary, rank), outputs, words)


def _filter(
    image: Any,
    kernel: Any,
    *,
    flipped: bool,
    words: _Words,
    fill: Any,
    channel_axis: int | None,
    mask: Any,
    out: Array | None,
    **geometry: Any,
) -> Array:
    """Check everything, compute, and cast the result."""
    pixels = array(image, "image")
    taps, weak = kernel_array(kernel)
    slide = _slide(pixels, taps, flipped, words, channel_axis=channel_axis, **geometry)
    outside = fill_number(fill, pixels.dtype, normalize=words.normalize)
    channel = None if channel_axis is None else axis_number(channel_axis, pixels.ndim, "channel_axis")
    valid = None if mask is None else mask_array(mask, pixels, channel)
    leaves_out = valid is not None or outside is None
    types = choose_types(pixels, taps, weak=weak, fill=outside, asked=words.dtype, normalized=leaves_out)
    inputs = [operand for operand in (pixels, taps, valid) if operand is not None]
    check_out(out, slide.output_shape(pixels.shape), types.final, inputs)
    ready = in_work_type(np.flip(taps) if flipped else taps, types.work)
    missing = missing_pixels(pixels, valid, nan_is_missing=words.normalize)
    if missing is None and outside is not None and types.final.kind != "c":
        return slide(pixels, ready, outside, types.work, types.final, out)
    if missing is None and outside is not None:
        result = slide(pixels, ready, outside, types.work)
    else:
        plain = ready.dtype.kind != "c" and bool((ready >= 0).all())
        magnitudes = None if plain else partial(_slid, slide, np.abs(ready), types.work)
        signed = partial(_slid, slide, ready, types.work)
        support = partial(_slid, slide, (ready != 0).astype(types.work), types.work)
        nowhere = _nowhere(types, outside)
        result = around_gaps(signed, magnitudes, support, Weights.of([ready]), pixels, missing, outside, nowhere, out)
    return finish(result, types.final, words.overflow, out)


def by_profiles(
    image: Array,
    profiles: Terms,
    *,
    axes: Ints,
    boundary: Words,
    fill: Any,
    work: np.dtype[Any],
    final: np.dtype[Any],
    overflow: Literal["saturate", "wrap", "refuse"],
    precision: str,
    algorithm: str | None,
    out: Array | None = None,
    remember: bool = False,
) -> Array:
    """Correlate an image with the outer product of `profiles`, one for each of `axes`, and give it in the type `final`.

    Everything was checked before. Sums are formed in the type `work`, that of real numbers. `remember` says that this
    is all that the function under way does, so that calls like it may do it at once.
    """
    slide = _slide_of_profiles(image.shape, profiles.shape, axes, boundary, overflow, precision, algorithm)
    if final.kind == "c":
        return finish(slide(image, profiles, fill, work), final, overflow, out)
    if remember and image.dtype.kind != "c" and noted.get() is None:
        _offer(slide, image, profiles, fill, work, final, out)
    return slide(image, profiles, fill, work, final, out)


def _offer(
    slide: _Slide,
    image: Array,
    profiles: Terms,
    fill: Any,
    work: np.dtype[Any],
    final: np.dtype[Any],
    out: Array | None,
) -> None:
    """Offer passes that are bound to arrays like these, where they are what computes."""
    if image.size == 0:
        return
    rank = len(slide.axes)
    order = [axis for axis in range(image.ndim) if axis not in slide.axes] + list(slide.axes)
    planes, target = image.transpose(order), None if out is None else out.transpose(order)
    problem = _problem(slide, prod(planes.shape[:-rank]), image.dtype, final, work, form_of(profiles))
    plan = plan_for(problem, slide.words.precision, slide.words.algorithm)
    if plan.algorithm == "separable":
        bound = table.family("stencil", plan.algorithm).bound_for(problem, planes, profiles, fill, target)
        if bound is not None:
            offer(_Passes(bound, tuple(order), tuple(int(axis) for axis in np.argsort(order))))


@dataclass(frozen=True, slots=True)
class _Passes(Recipe):
    """Passes bound to arrays, whose axes they see in another order."""

    bound: Any
    order: Ints
    back: Ints
    roles: ClassVar[tuple[str, ...]] = ("image", "out")

    def perform(self, *arrays: Any) -> Any:
        """Return the result, or None where that takes more."""
        return self.run(*arrays)

    def run(self, *arrays: Any) -> Any:
        """Return the result, or None where the call must be checked anew."""
        image, out = arrays
        if not image.flags.aligned or not clear_of(out, image) or (out is not None and not out.flags.aligned):
            return None
        target = None if out is None else out.transpose(self.order)
        result = self.bound.run(image.transpose(self.order), target)
        return result if result is None else result.transpose(self.back) if out is None else out


def lengths(
    image: Array,
    kernels: Array,
    *,
    axes: Ints,
    boundary: Words,
    fill: Any,
    work: np.dtype[Any],
    final: np.dtype[Any],
    overflow: Literal["saturate", "wrap", "refuse"],
    precision: str,
    algorithm: str | None,
    out: Array | None = None,
) -> Array | None:
    """Return the root of the sum of the squares of what real `kernels` give, or None where it takes several passes.

    The kernels are side by side on their first axis; all else is as for `by_profiles`.
    """
    slide = _slide_of_profiles(image.shape, kernels.shape[1:], axes, boundary, overflow, precision, algorithm)
    if image.size == 0:
        return None
    rank, last = len(axes), range(-len(axes), 0)
    planes = np.moveaxis(image, axes, last)
    problem = _problem(slide, prod(planes.shape[:-rank]), image.dtype, final, work, None, len(kernels))
    plan = plan_for(problem, precision, algorithm)
    if plan.algorithm != "stencil":
        return None
    target = None if out is None else np.moveaxis(out, axes, last)
    where = {"shape": planes.shape, "dtypes": (final,)}
    operands = (problem, planes, kernels.astype(work, copy=False), fill)
    result: Array = perform(plan, "stencil", "lengths", *operands, **where, out=target)
    return np.moveaxis(result, last, axes) if out is None else out


@lru_cache(maxsize=256)
def _slide_of_profiles(
    image: Ints,
    kernel: Ints,
    axes: Ints,
    boundary: Words,
    overflow: Literal["saturate", "wrap", "refuse"],
    precision: str,
    algorithm: str | None,
) -> _Slide:
    """Return how a kernel of profiles slides, once for calls alike."""
    size, ones = tuple(image[axis] for axis in axes), (1,) * len(axes)
    words = _Words("same", overflow, False, precision, algorithm, None)
    return _Slide(axes, size, kernel, ones, ones, kernel_sides("same", kernel, ones), boundary, size, words)


def _slid(slide: _Slide, taps: Array, work: np.dtype[Any], pixels: Array, fill: Any) -> Array:
    return slide(pixels, taps, fill, work)


def _nowhere(types: Types, fill: Any) -> Any:
    """Return what stands where there is nothing to compute from: NaN, or `fill` in integers, which have no NaN."""
    return np.nan if types.final.kind in "fc" or fill is None else fill
