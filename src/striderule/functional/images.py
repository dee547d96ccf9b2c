"""Filters of images and volumes: `correlate` slides a kernel as it is, `convolve` flips it first."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from striderule.algorithms.memory import empty
from striderule.errors import InvalidArgument
from striderule.functional.bound import Correlated, Filtered
from striderule.functional.door import accepts_input, array, check_out, finish, is_integer
from striderule.functional.large import in_blocks
from striderule.functional.names import IMAGE_NAMES, answers
from striderule.functional.normalized import Gaps, Holes, Weights, around_gaps, at_once
from striderule.functional.pixels import (
    Types,
    choose_types,
    fill_number,
    in_work_type,
    kernel_array,
    mask_array,
)
from striderule.functional.planned import noted
from striderule.functional.recipes import remembered_by_values
from striderule.functional.sliding import Slide, SlideWords
from striderule.functional.together import Wanted, each
from striderule.geometry.arguments import per_axis
from striderule.geometry.imaging import (
    axis_number,
    check_kernel_fits,
    filtered_axes,
    image_output_size,
    kernel_sides,
)
from striderule.geometry.padding import parse_boundary
from striderule.geometry.pooling import flag

Array = npt.NDArray[Any]
Ints = tuple[int, ...]
Mode = Literal["full", "same", "valid"]
Nan = Literal["propagate", "normalize"]


@remembered_by_values("kernel")
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
    confidence: bool = False,
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
    confidence
        Return the pair (result, confidence): for every element the share of the kernel's magnitude that met valid
        pixels, sum of ``|w|`` over valid pixels / sum of ``|w|``, from 0 to 1. `out` is the result's. Default False.
    precision
        The promise on the error: ``"highest"`` (default), ``"high"`` or ``"medium"``.
    algorithm
        ``"stencil"``, ``"separable"`` or ``"fourier"`` (generated code), ``"windows"`` (NumPy), ``"reference"`` (plain
        loops); default: chosen.
    out
        Array of the result's shape and type to write to: one of its own memory, or the image itself where the result
        has its shape and type, which is then filtered in place with a copy of a few rows.

    Returns
    -------
    numpy.ndarray
        With the axes of the image; their sizes are those of `mode`, each divided by the stride and rounded up. With
        `confidence` two of them.

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
    result: Array = filtered(
        image,
        kernel,
        flipped=False,
        words=SlideWords.of(mode, overflow, nan, precision, algorithm, dtype),
        boundary=boundary,
        fill=fill,
        stride=stride,
        dilation=dilation,
        origin=origin,
        axes=axes,
        channel_axis=channel_axis,
        mask=mask,
        confidence=confidence,
        out=out,
        remember=Correlated if isinstance(kernel, np.ndarray) else Filtered,
    )
    return result


@remembered_by_values("kernel")
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
    confidence: bool = False,
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
    dtype, overflow, mask, nan, confidence, precision, algorithm, out
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
    result: Array = filtered(
        image,
        kernel,
        flipped=True,
        words=SlideWords.of(mode, overflow, nan, precision, algorithm, dtype),
        boundary=boundary,
        fill=fill,
        stride=stride,
        dilation=dilation,
        origin=origin,
        axes=axes,
        channel_axis=channel_axis,
        mask=mask,
        confidence=confidence,
        out=out,
        remember=Correlated if isinstance(kernel, np.ndarray) else Filtered,
    )
    return result


def _slide(
    image: Array,
    taps: Array,
    flipped: bool,
    words: SlideWords,
    *,
    boundary: Any,
    stride: Any,
    dilation: Any,
    origin: Any,
    axes: Any,
    channel_axis: Any,
) -> Slide:
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
    return Slide(chosen, size, taps.shape, steps, gaps, sides, parse_boundary(boundary, rank), outputs, words)


def filtered(
    image: Any,
    kernel: Any,
    *,
    flipped: bool,
    words: SlideWords,
    fill: Any,
    channel_axis: int | None,
    mask: Any,
    out: Array | None,
    confidence: bool = False,
    remember: type[Filtered] | None = None,
    **geometry: Any,
) -> Any:
    """Check everything, compute, and cast the result; with `confidence` give the shares of what is there, too.

    Calls like this one may do the same at once, if they find how by the values of the kernel: as `remember`.
    """
    call = checked(
        image, kernel, flipped=flipped, words=words, fill=fill, channel_axis=channel_axis, mask=mask, **geometry
    )
    pixels, ready, slide, outside, types, holes, inputs = call
    check_out(out, slide.output_shape(pixels.shape), types.final, inputs)
    gaps = Gaps(holes.valid, holes.nan, outside, _nowhere(types, outside), flag(confidence, "confidence"))
    if holes.possible or outside is None:
        made = at_once(slide, pixels, ready, gaps, types.work, types.final, out)
        if made is not None:
            return made if confidence else made[0]
    if call.plain and confidence:
        rest = {"channel_axis": channel_axis, "mask": mask, "out": out}
        result = filtered(image, kernel, flipped=flipped, words=words, fill=fill, **rest, **geometry)
        return result, np.ones(result.shape, types.work)
    if call.plain and types.final.kind != "c":
        # The range of wide integers is that of their values.
        looked_at = is_integer(pixels.dtype, inputs[1].dtype) and pixels.dtype.itemsize > 2
        kind = None if looked_at or mask is not None or words.normalize else remember
        return slide(pixels, ready, outside, types.work, types.final, out, kind)
    if call.plain and pixels.dtype.kind != "c" and noted.get() is None:
        result = empty(slide.output_shape(pixels.shape), types.final) if out is None else out
        each(pixels, call.wanted(result))
        return result
    if call.plain:
        result = slide(pixels, ready, outside, types.work)
    else:
        plain = ready.dtype.kind != "c" and bool((ready >= 0).all())
        magnitudes = None if plain else partial(_slid, slide, np.abs(ready), types.work)
        signed = partial(_slid, slide, ready, types.work)
        support = partial(_slid, slide, (ready != 0).astype(types.work), types.work)
        weights, missing = Weights.of([ready]), holes.missing
        result, shares = around_gaps(
            signed, magnitudes, support, weights, pixels, missing, outside, gaps.nowhere, out, shared=confidence
        )
        if confidence:
            return finish(result, types.final, words.overflow, out), shares
    return finish(result, types.final, words.overflow, out)


class Checked(NamedTuple):
    """A call that is known to be right: `holes` are missing pixels, `outside` is None where there is nothing."""

    pixels: Array
    taps: Array
    slide: Slide
    outside: Any
    types: Types
    holes: Holes
    inputs: list[Array]

    @property
    def plain(self) -> bool:
        """Whether nothing is missing."""
        return self.holes.missing is None and self.outside is not None

    def wanted(self, goal: Array) -> list[Wanted]:
        """Return the real kernels, and where their results go: those of a complex kernel to the parts of `goal`."""
        if goal.dtype.kind != "c":
            return [Wanted(self.slide, self.taps, self.outside, self.types.work, goal)]
        parts = (np.ascontiguousarray(self.taps.real), goal.real), (np.ascontiguousarray(self.taps.imag), goal.imag)
        return [Wanted(self.slide, taps, self.outside, self.types.work, part) for taps, part in parts]


def checked(
    image: Any,
    kernel: Any,
    *,
    flipped: bool,
    words: SlideWords,
    fill: Any,
    channel_axis: int | None,
    mask: Any,
    **geometry: Any,
) -> Checked:
    """Check everything but `out`."""
    pixels = array(image, "image")
    taps, weak = kernel_array(kernel)
    slide = _slide(pixels, taps, flipped, words, channel_axis=channel_axis, **geometry)
    outside = fill_number(fill, pixels.dtype, normalize=words.normalize)
    channel = None if channel_axis is None else axis_number(channel_axis, pixels.ndim, "channel_axis")
    valid = None if mask is None else mask_array(mask, pixels, channel)
    leaves_out = valid is not None or outside is None
    types = choose_types(pixels, taps, weak=weak, fill=outside, asked=words.dtype, normalized=leaves_out)
    inputs = [operand for operand in (pixels, taps, valid) if operand is not None]
    ready = in_work_type(np.flip(taps) if flipped else taps, types.work)
    return Checked(pixels, ready, slide, outside, types, Holes(pixels, valid, nan=words.normalize), inputs)


def _slid(slide: Slide, taps: Array, work: np.dtype[Any], pixels: Array, fill: Any) -> Array:
    return slide(pixels, taps, fill, work)


def _nowhere(types: Types, fill: Any) -> Any:
    """Return what stands where there is nothing to compute from: NaN, or `fill` in integers, which have no NaN."""
    return np.nan if types.final.kind in "fc" or fill is None else fill
