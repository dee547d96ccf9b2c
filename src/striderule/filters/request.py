"""What is asked of a filter, read once: the image, the axes, the border, and how to answer.

All filters share these keywords. `Request.of` checks them before anything is computed; what follows computes only.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from striderule.errors import InvalidArgument, InvalidType
from striderule.filters import large
from striderule.functional import bands, door
from striderule.functional.door import Overflow
from striderule.functional.normalized import Holes
from striderule.functional.pixels import fill_number, mask_array
from striderule.functional.planned import noted
from striderule.functional.precision import effective
from striderule.functional.recipes import remembered_with_bfloat16, unheard
from striderule.functional.standin import stand_in
from striderule.geometry.arguments import is_sequence
from striderule.geometry.imaging import axis_number, filtered_axes
from striderule.geometry.padding import Words, parse_boundary
from striderule.geometry.pooling import flag
from striderule.planning import algorithm_word

Array = npt.NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")


class Keywords(TypedDict, total=False):
    """The keywords of every filter."""

    boundary: Any
    fill: complex
    axes: int | tuple[int, ...] | None
    channel_axis: int | None
    dtype: npt.DTypeLike | None
    overflow: Literal["saturate", "wrap"]
    mask: npt.ArrayLike | None
    nan: Literal["propagate", "normalize"]
    confidence: bool
    precision: str | None
    algorithm: str | None
    out: Array | None


DEFAULTS: dict[str, Any] = {
    "boundary": "symmetric",
    "fill": 0,
    "axes": None,
    "channel_axis": None,
    "dtype": None,
    "overflow": "saturate",
    "mask": None,
    "nan": "propagate",
    "confidence": False,
    "precision": None,
    "algorithm": None,
    "out": None,
}

# What the shared keywords mean: put into every filter's docstring in the place of MARK.
MARK = "**keywords\n    See `striderule.filters`."
SHARED = """boundary : str or tuple, default "symmetric"
    What lies outside: ``"symmetric"`` (cba|abc|cba), ``"mirror"`` (cb|abc|ba), ``"edge"`` (aaa|abc|ccc), ``"wrap"``
    (abc|abc|abc) or ``"constant"`` (`fill`); one word, or one entry for each filtered axis, each a word or a (before,
    after) pair.
fill : number, default 0
    The value outside for ``boundary="constant"``: one that the image's type can hold.
axes : int or sequence of int, optional
    The axes to filter, in the order of arguments that have one entry for each; by default all but `channel_axis`.
channel_axis : int, optional
    The axis that holds the channels, each of which is filtered by itself.
dtype : optional
    Type of the result; by default as stated under Returns.
overflow : {"saturate", "wrap"}, default "saturate"
    What becomes of values that an integer type cannot hold.
mask : ndarray of bool, optional
    True where a pixel is valid; of the image's shape, with or without the channel axis. Every other pixel is missing:
    it counts as the weighted mean of the valid ones under the same window, as in `striderule.correlate`.
nan : {"propagate", "normalize"}, default "propagate"
    With ``"normalize"`` NaN pixels are missing, and with ``fill=nan`` the outside is too.
confidence : bool, default False
    Return the pair (result, confidence): for every element the share of the kernel's magnitude that met valid pixels,
    sum of |w| over valid pixels / sum of |w|, from 0 to 1.
precision : {"highest", "high", "medium"}, optional
    The promise on the error, "highest" by default.
algorithm : {"stencil", "separable", "fourier", "windows", "reference"}, optional
    How it is computed; chosen by default.
out : ndarray, optional
    Array of the result's shape and type to write to: one of its own memory, or the image itself where the result has
    its shape and type."""

# Arguments of other libraries' filters, and what to write here.
FOREIGN_ARGUMENTS = {
    "mode": "boundary= (SciPy's 'reflect' is 'symmetric' here and 'nearest' is 'edge'); filters keep the image's size",
    "cval": "fill=",
    "borderType": "boundary= (BORDER_REFLECT_101 is 'mirror', BORDER_REFLECT 'symmetric', BORDER_REPLICATE 'edge')",
    "borderValue": "fill=",
    "output": "out= for an array, or dtype= for a type",
    "ddepth": "dtype=",
    "ksize": "size=",
    "sigmaX": "sigma= (one number, or one for each axis)",
    "sigmaY": "sigma= (one number, or one for each axis)",
    "preserve_range": "no such thing: values keep their range unless like='skimage' is given",
    "multichannel": "channel_axis=-1",
    "low_sigma": "sigma1=",
    "high_sigma": "sigma2=",
}


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Make a filter out of a function that ends in ``**keywords: Unpack[Keywords]``.

    Its signature and its docstring then show the shared keywords, other libraries' argument names are answered with
    ours, and the first argument may be given by the keyword `input`. Calls like an earlier one go straight to what was
    found then, where the filter is one correlation or one length (`functional.recipes`).
    """
    own = inspect.signature(function)
    parameters = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {parameter.name for parameter in parameters}
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in DEFAULTS.items()
        if name not in taken
    ]
    names = [parameter.name for parameter in parameters]

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name in names or name == "input":
                continue
            if name in FOREIGN_ARGUMENTS:
                raise InvalidType(f"{function.__name__} has no argument {name!r}; write {FOREIGN_ARGUMENTS[name]}")
            raise InvalidType(f"{function.__name__} has no argument {name!r}; it has {', '.join(names)}")
        # Infinities and NaN say it themselves: nothing done with them warns.
        with np.errstate(all="ignore"):
            image: Any = args[0] if args else kwargs.get(names[0], kwargs.get("input"))
            if bands.wanted(image, kwargs.get("out")):
                rest = {name: value for name, value in kwargs.items() if name not in (names[0], "input")}
                return unheard(large.in_blocks, function, image, args[1:], rest)  # type: ignore[no-any-return]
            return with_input(*args, **kwargs)

    with_input = door.accepts_input(function)
    wrapper.__doc__ = inspect.cleandoc(function.__doc__ or "").replace(MARK, SHARED)
    wrapper.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return remembered_with_bfloat16(wrapper)


@dataclass(frozen=True)
class Request:
    """A checked call of a filter."""

    image: Array
    axes: tuple[int, ...]
    boundary: Words
    # None where the outside is missing: fill=nan together with nan="normalize".
    fill: complex | None
    dtype: np.dtype[Any] | None
    overflow: Overflow
    mask: Array | None
    holes: Holes
    confidence: bool
    precision: str
    algorithm: str | None
    out: Array | None
    given: frozenset[str]

    @classmethod
    def of(
        cls,
        name: str,
        image: Any,
        keywords: Keywords,
        *,
        rank: int | None = None,
        boundary: str = "symmetric",
        channel_axis: int | None = None,
    ) -> Request:
        """Check a call of the filter `name`; `rank` is the number of axes that its kernel has, None for any.

        `boundary` and `channel_axis` are what counts where the caller gives none.
        """
        x = door.array(image, "image")
        channels = keywords.get("channel_axis", channel_axis)
        if x.ndim == 0:
            raise InvalidArgument("image must have at least one axis, got a single number")
        axes = filtered_axes(x.ndim, keywords.get("axes"), channels)
        _check_rank(name, x.shape, axes, rank)
        words = parse_boundary(keywords.get("boundary", boundary), len(axes))
        nan = _nan(keywords.get("nan", "propagate"))
        mask = keywords.get("mask")
        channel = None if channels is None else axis_number(channels, x.ndim, "channel_axis")
        valid = None if mask is None else mask_array(mask, x, channel)
        return cls(
            image=x,
            axes=axes,
            boundary=words,
            fill=fill_number(keywords.get("fill", 0), x.dtype, normalize=nan == "normalize"),
            dtype=door.dtype_word(keywords.get("dtype")),
            overflow=door.overflow_word(keywords.get("overflow", "saturate")),
            mask=valid,
            holes=Holes(x, valid, nan=nan == "normalize"),
            confidence=flag(keywords.get("confidence", False), "confidence"),
            precision=effective(keywords.get("precision")),
            algorithm=algorithm_word(keywords.get("algorithm")),
            out=keywords.get("out"),
            given=frozenset(key for key, value in keywords.items() if value is not None),
        )

    @property
    def missing(self) -> Array | None:
        """True where an element is to be left out, or None if there is no such element."""
        return self.holes.missing

    @property
    def rank(self) -> int:
        """The number of axes that are filtered."""
        return len(self.axes)

    @property
    def working_type(self) -> np.dtype[Any]:
        """The type between the passes: float32 for integers of up to 16 bits, which is rounded once, at the end."""
        if self.image.dtype.kind in "biu":
            return door.float_of(self.image.dtype)
        return np.dtype(np.float32) if self.image.dtype == np.float16 else self.image.dtype

    @property
    def only_planned(self) -> bool:
        """Whether nothing is computed, since `striderule.explain` asks: results are stand-ins."""
        return noted.get() is not None

    @property
    def is_alike(self) -> bool:
        """Whether calls with the same words and arrays alike are answered alike: no pixel is looked for."""
        return not (self.confidence or self.gives("nan") or self.gives("mask"))

    def positions(self, axis: Any) -> tuple[int, ...]:
        """Return which of the filtered axes the argument `axis` names: one, several, or None for all."""
        if axis is None:
            return tuple(range(self.rank))
        wanted = tuple(axis) if is_sequence(axis) else (axis,)
        found = []
        for entry in wanted:
            number = axis_number(entry, self.image.ndim, "axis")
            if number not in self.axes:
                raise InvalidArgument(f"axis must be among the axes that are filtered, {self.axes}, got {entry}")
            found.append(self.axes.index(number))
        if not found or len(set(found)) != len(found):
            raise InvalidArgument(f"axis must name different axes, at least one, got {axis!r}")
        return tuple(found)

    def single_position(self, axis: Any, library: str) -> int:
        """Return which of the filtered axes `axis` names, for libraries that differentiate along one axis at a time."""
        positions = self.positions(axis)
        if len(positions) != 1:
            raise InvalidArgument(
                f"axis must be one axis together with like={library!r}, got {axis!r}; filter along each axis and "
                "combine the results with filters.magnitude"
            )
        return positions[0]

    def gives(self, keyword: str) -> bool:
        """Tell whether the caller gave this keyword."""
        return keyword in self.given

    @property
    def signed_type(self) -> np.dtype[Any]:
        """The natural type of results with signs: float32 for integers of up to 16 bits, float64 for wider ones."""
        return door.float_of(self.image.dtype)

    @property
    def length_type(self) -> np.dtype[Any]:
        """The natural type of the length of a gradient: that of its components, but real."""
        return np.dtype(self.signed_type.char.lower()) if self.signed_type.kind == "c" else self.signed_type

    def settle(self, natural: np.dtype[Any], shape: tuple[int, ...] | None = None) -> Request:
        """Return the request with its result's type decided, `natural` unless one was asked for; `out` is checked.

        `shape` is that of the result, by default the image's.
        """
        final = natural if self.dtype is None else self.dtype
        if natural.kind == "c" and final.kind != "c":
            raise InvalidType(
                f"dtype={final} would lose the imaginary part of a {natural} result; take .real or abs() of the result"
            )
        door.check_out(self.out, self.image.shape if shape is None else shape, final, (self.image,))
        return replace(self, dtype=final)

    def shape_with(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return the image's shape with other sizes on the filtered axes."""
        changed = dict(zip(self.axes, sizes, strict=True))
        return tuple(changed.get(axis, n) for axis, n in enumerate(self.image.shape))

    def refuse(self, name: str, *keywords: str) -> None:
        """Refuse shared keywords that a filter has no use for, where they were given."""
        for keyword in keywords:
            if self.gives(keyword) and getattr(self, keyword) is not False:
                raise InvalidArgument(f"{name} has no use for {keyword}; leave {keyword}= away")

    def refuse_complex(self, name: str) -> None:
        """Refuse complex images, which have no order and no direction."""
        if self.image.dtype.kind == "c":
            raise InvalidType(f"{name} takes real images, got {self.image.dtype}; pass image.real, or abs(image)")

    def finish(self, result: Array) -> Array:
        """Return `result` in the settled type, written into `out` when there is one."""
        assert self.dtype is not None  # settled before anything was computed
        if self.only_planned:
            return stand_in(result.shape, self.dtype)
        if self.out is None and np.may_share_memory(result, self.image):
            result = result.copy()  # a filter that changes nothing still gives an array of its own
        return door.finish(result, self.dtype, self.overflow, self.out)


def _check_rank(name: str, shape: tuple[int, ...], axes: tuple[int, ...], rank: int | None) -> None:
    if rank is not None and len(axes) != rank:
        raise InvalidArgument(
            f"{name} filters {rank} axes, but {len(axes)} of the image of shape {shape} are chosen; name them with "
            "axes=, for example axes=(0, 1), or set channel_axis=-1 for an image with channels last"
        )


def _nan(word: Any) -> str:
    if word not in ("propagate", "normalize"):
        raise InvalidArgument(f"nan must be 'propagate' or 'normalize', got {word!r}")
    return str(word)
