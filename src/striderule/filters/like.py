"""What other libraries' filters of the same name do: the one table that ``like=`` reads.

A row says which function is followed, the defaults that it has where the caller gives nothing, and which of our
arguments it knows. How its numbers come about (order of sums, rounding, types) is in `striderule.filters.peers`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striderule.errors import InvalidArgument, InvalidType
from striderule.filters.request import Array, Keywords, Request
from striderule.functional import door

LIBRARIES = {"scipy": "SciPy", "skimage": "scikit-image", "opencv": "OpenCV"}
ALIASES = {"scikit-image": "skimage", "cv2": "opencv", "ndimage": "scipy", "scipy.ndimage": "scipy"}

# The element types that a library's filters take, by NumPy's names.
WHOLE = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
SCIPY_TYPES = (*WHOLE, "float32", "float64", "complex64", "complex128")
SKIMAGE_TYPES = (*WHOLE, "float16", "float32", "float64")
OPENCV_TYPES = ("uint8", "uint16", "int16", "float32", "float64")


@dataclass(frozen=True)
class Rule:
    """One function of one library."""

    function: str
    # The border it takes by default, in our words; what stands outside is 0 everywhere.
    boundary: str
    # Its defaults for our arguments. Arguments that are neither here nor in `knows` it does not have.
    defaults: Mapping[str, Any] = field(default_factory=dict)
    knows: tuple[str, ...] = ()
    types: tuple[str, ...] = SCIPY_TYPES
    # How many axes it filters (None: all), and which axis it takes for channels in images of one axis more.
    rank: int | None = None
    channel_axis: int | None = None
    # It zeroes what a mask leaves out (our masks weigh instead), and which arguments must be given.
    takes_mask: bool = False
    requires: tuple[str, ...] = ()

    def arguments(self, given: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
        """Return the library's arguments: those given, else its defaults; `ours` are our values for "not given"."""
        known = set(self.defaults) | set(self.knows)
        result = dict(self.defaults)
        for name, value in given.items():
            if value is None or (name not in known and name in ours and np.ndim(value) == 0 and value == ours[name]):
                continue
            if name not in known:
                raise InvalidArgument(
                    f"{self.function} has no {name}, got {name}={value!r}; leave it away, or leave like= away"
                )
            result[name] = value
        for name in self.requires:
            if result.get(name) is None:
                raise InvalidArgument(f"{self.function} needs {name}; pass {name}=")
        return result


def _scipy(function: str, **rest: Any) -> Rule:
    return Rule(f"scipy.ndimage.{function}", "symmetric", **rest)


def _skimage(function: str, boundary: str = "symmetric", **rest: Any) -> Rule:
    return Rule(f"skimage.filters.{function}", boundary, types=SKIMAGE_TYPES, **rest)


def _feature(function: str, boundary: str, **rest: Any) -> Rule:
    return Rule(f"skimage.{function}", boundary, types=SKIMAGE_TYPES, **rest)


def _opencv(function: str, **rest: Any) -> Rule:
    return Rule(f"cv2.{function}", "mirror", types=OPENCV_TYPES, rank=2, channel_axis=-1, **rest)


# filter -> library -> rule
TABLE: dict[str, dict[str, Rule]] = {
    "gaussian": {
        "scipy": _scipy(
            "gaussian_filter", defaults={"order": 0, "truncate": 4.0}, knows=("sigma", "size"), requires=("sigma",)
        ),
        "skimage": _skimage("gaussian", "edge", defaults={"sigma": 1.0, "truncate": 4.0}),
        # The size follows from sigma, cvRound(6 sigma + 1) | 1 for uint8 and cvRound(8 sigma + 1) | 1 for other types,
        # or sigma from the size, 0.3 ((size - 1) / 2 - 1) + 0.8.
        "opencv": _opencv("GaussianBlur", knows=("sigma", "size")),
    },
    "box": {
        "scipy": _scipy("uniform_filter", defaults={"size": 3}),
        "opencv": _opencv("blur", knows=("size",), requires=("size",)),
    },
    "sobel": {
        "scipy": _scipy("sobel", defaults={"axis": -1}),
        "skimage": _skimage("sobel", defaults={"axis": None}, takes_mask=True),
        "opencv": _opencv("Sobel", knows=("axis",), requires=("axis",)),
    },
    "scharr": {
        "skimage": _skimage("scharr", defaults={"axis": None}, takes_mask=True),
        "opencv": _opencv("Scharr", knows=("axis",), requires=("axis",)),
    },
    "prewitt": {
        "scipy": _scipy("prewitt", defaults={"axis": -1}),
        "skimage": _skimage("prewitt", defaults={"axis": None}, takes_mask=True),
    },
    "roberts": {
        "skimage": _skimage("roberts", defaults={"axis": None}, takes_mask=True, rank=2),
    },
    "laplace": {
        "scipy": _scipy("laplace"),
        "skimage": _skimage("laplace", takes_mask=True),
        "opencv": _opencv("Laplacian"),
    },
    "log": {
        "scipy": _scipy("gaussian_laplace", defaults={"truncate": 4.0}, knows=("sigma",)),
    },
    "gradient_magnitude": {
        "scipy": _scipy("gaussian_gradient_magnitude", defaults={"truncate": 4.0}, knows=("sigma",)),
    },
    "dog": {
        "skimage": _skimage(
            "difference_of_gaussians", "edge", defaults={"sigma2": None, "truncate": 4.0}, knows=("sigma1",)
        ),
    },
    "unsharp_mask": {
        "skimage": _skimage("unsharp_mask", defaults={"radius": 1.0, "amount": 1.0}),
    },
    "structure_tensor": {
        "skimage": _feature("feature.structure_tensor", "constant", defaults={"sigma": 1.0}),
    },
    "corner_harris": {
        "skimage": _feature(
            "feature.corner_harris",
            "constant",
            defaults={"method": "k", "k": 0.05, "eps": 1e-6, "sigma": 1.0},
            rank=2,
        ),
    },
    "canny": {
        "skimage": _feature(
            "feature.canny",
            "constant",
            defaults={"sigma": 1.0, "use_quantiles": False, "low_threshold": None, "high_threshold": None},
            rank=2,
            takes_mask=True,
        ),
    },
    "match_template": {
        "skimage": _feature("feature.match_template", "constant", defaults={"pad_input": False}, knows=("template",)),
    },
    "pyramid_reduce": {
        "skimage": _feature("transform.pyramid_reduce", "symmetric", defaults={"downscale": 2, "sigma": None}),
        "opencv": _opencv("pyrDown", defaults={"downscale": 2}),
    },
    "pyramid_expand": {
        "skimage": _feature("transform.pyramid_expand", "symmetric", defaults={"upscale": 2, "sigma": None}),
        "opencv": _opencv("pyrUp", defaults={"upscale": 2}),
    },
    "pyramid_gaussian": {
        "skimage": _feature("transform.pyramid_gaussian", "symmetric"),
        "opencv": _opencv("buildPyramid"),
    },
    "gabor": {
        "skimage": _skimage(
            "gabor",
            knows=("frequency", "theta", "bandwidth", "sigma_x", "sigma_y", "n_stds", "offset"),
            rank=2,
        ),
    },
}

# Our values that mean "not given" for arguments that a library may not have.
NOT_GIVEN: dict[str, Any] = {"order": 0, "normalize": False, "connectivity": 1, "truncate": 4.0}


def needed(value: Any, filter_name: str, argument: str) -> Any:
    """Return `value`, or raise because an argument that only a library has a default for was not given."""
    if value is None:
        raise InvalidType(f"{filter_name} needs {argument}; pass {filter_name}(image, {argument})")
    return value


def rule_for(filter_name: str, like: Any) -> tuple[str, Rule]:
    """Return the library's name and its rule for a filter.

    Raises
    ------
    InvalidArgument
        If there is no such library, or it has no filter of that name; the message lists those that do.
    """
    library = ALIASES.get(like, like) if isinstance(like, str) else like
    rules = TABLE[filter_name]
    have = ", ".join(f"{name!r} ({rule.function})" for name, rule in rules.items())
    if library not in LIBRARIES:
        words = ", ".join(repr(name) for name in LIBRARIES)
        raise InvalidArgument(f"like must be one of {words}, got {like!r}; {filter_name} knows {have}")
    if library not in rules:
        raise InvalidArgument(f"like={like!r}: {LIBRARIES[library]} has no filter like {filter_name}; it is in {have}")
    return library, rules[library]


def answer(filter_name: str, like: Any, image: Any, arguments: Mapping[str, Any], keywords: Keywords) -> Array:
    """Compute a filter as a library's function of the same name does.

    Keywords that the caller gives win over the library's defaults.
    """
    request, result = _computed(filter_name, like, image, arguments, keywords)
    return request.settle(result.dtype, result.shape).finish(result)


def answer_pair(
    filter_name: str, like: Any, image: Any, arguments: Mapping[str, Any], keywords: Keywords
) -> tuple[Array, Array]:
    """Do as `answer` for functions that give two arrays."""
    first, second = answer_several(filter_name, like, image, arguments, keywords)
    return first, second


def answer_several(
    filter_name: str, like: Any, image: Any, arguments: Mapping[str, Any], keywords: Keywords
) -> tuple[Array, ...]:
    """Do as `answer` for functions that give several arrays."""
    if keywords.get("out") is not None:
        raise InvalidArgument("out must not be given here: several arrays are returned; leave it away")
    return tuple(_computed(filter_name, like, image, arguments, keywords)[1])


def _computed(
    filter_name: str, like: Any, image: Any, arguments: Mapping[str, Any], keywords: Keywords
) -> tuple[Request, Any]:
    library, rule = rule_for(filter_name, like)
    _check_keywords(rule, library, keywords)
    x = door.array(image, "image")
    if x.dtype.name not in rule.types:
        raise InvalidType(
            f"{rule.function} takes {', '.join(rule.types)}, got an image of {x.dtype}; convert it, or leave like= away"
        )
    has_channels = rule.rank is not None and x.ndim == rule.rank + 1 and keywords.get("axes") is None
    request = Request.of(
        filter_name,
        x,
        keywords,
        rank=rule.rank,
        boundary=rule.boundary,
        channel_axis=rule.channel_axis if has_channels else None,
    )
    peer = importlib.import_module(f"striderule.filters.peers.{library}")
    return request, getattr(peer, filter_name)(request, **rule.arguments(arguments, NOT_GIVEN))


def _check_keywords(rule: Rule, library: str, keywords: Keywords) -> None:
    name = LIBRARIES[library]
    if keywords.get("nan", "propagate") != "propagate":
        raise InvalidArgument(f"nan must be 'propagate' together with like={library!r}: {name} leaves no NaN out")
    if keywords.get("mask") is not None and not rule.takes_mask:
        raise InvalidArgument(f"mask must not be given together with like={library!r}: {rule.function} has no mask")
    if keywords.get("confidence", False):
        raise InvalidArgument(f"confidence must not be asked for together with like={library!r}: {name} has none")
    if keywords.get("algorithm") is not None:
        raise InvalidArgument(
            f"algorithm must not be given together with like={library!r}: the order of sums is that of {rule.function}"
        )
