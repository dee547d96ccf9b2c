"""How a kernel slides over an image: the geometry of a call, its problem, and the sums that a plan forms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from striderule.algorithms.images.terms import Terms
from striderule.errors import InvalidArgument
from striderule.functional.bound import Filtered, offered
from striderule.functional.door import dtype_word, overflow_word
from striderule.functional.forms import form_of
from striderule.functional.parts import planned
from striderule.functional.planned import perform
from striderule.functional.precision import effective
from striderule.functional.standin import StandIn, stand_in
from striderule.geometry.imaging import mode_word
from striderule.geometry.padding import Sides, Words
from striderule.geometry.problem import Convolution
from striderule.planning import algorithm_word
from striderule.planning.forms import KernelForm

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SlideWords:
    """The arguments that are words, known to be right."""

    mode: str
    overflow: Literal["saturate", "wrap", "refuse"]
    normalize: bool
    precision: str
    algorithm: str | None
    dtype: np.dtype[Any] | None

    @classmethod
    def of(cls, mode: Any, overflow: Any, nan: Any, precision: Any, algorithm: Any, dtype: Any) -> SlideWords:
        """Check the words as they were given."""
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
class Slide:
    """How a kernel of one shape slides over an image of one shape, and by which algorithm."""

    axes: Ints
    size: Ints
    kernel: Ints
    stride: Ints
    dilation: Ints
    sides: Sides
    boundary: Words
    output_size: Ints
    words: SlideWords

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
        remember: type[Filtered] | None = None,
    ) -> Array:
        """Return the sums of products; complex ones as their real and imaginary parts, formed from real sums.

        Real ones come in the type `final`, that of the sums unless given, and in `out` where there is one. `remember`
        says that these are all that the function under way does, so that calls like it may do it at once.
        """
        if pixels.dtype.kind != "c" and (isinstance(taps, Terms) or taps.dtype.kind != "c"):
            return self._real(pixels, taps, fill, work, final, out, remember)
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
        remember: type[Filtered] | None = None,
    ) -> Array:
        shape, kind = self.output_shape(pixels.shape), work if final is None else final
        if 0 in shape:
            return np.zeros(shape, kind) if out is None else out
        rank = len(self.axes)
        last = range(-rank, 0)
        planes = np.moveaxis(pixels, self.axes, last)
        problem = problem_of(self, prod(planes.shape[:-rank]), pixels.dtype, kind, work, form_of(taps))
        plan, problem = planned(problem, pixels.shape, self.axes, self.words.precision, self.words.algorithm)
        operands = (problem, planes, taps, fill)
        done: Array | None = offered(remember, plan, operands, self.axes, pixels, out)
        if done is not None:
            return done
        where = {"shape": (*planes.shape[:-rank], *self.output_size), "dtypes": (kind,)}
        target = None if out is None else np.moveaxis(out, self.axes, last)
        result: Array = perform(plan, "stencil", "stencil", *operands, **where, out=target)
        return np.moveaxis(result, last, self.axes) if result is not target or out is None else out


@lru_cache(maxsize=256)
def problem_of(
    slide: Slide,
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
