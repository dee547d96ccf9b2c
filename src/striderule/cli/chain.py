"""The filters of one command, in their order: kernels as `specs` reads them, and filters that are no kernel."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule import filters
from striderule.cli import specs
from striderule.cli.specs import Kernel, KernelError
from striderule.errors import InvalidArgument

# Filters with a kernel of the same name go by that; these need several pictures, or change the size.
APART = {
    "mean": "it is another name of box",
    "magnitude": "it combines several pictures; sobel, scharr, prewitt and gradient_magnitude give magnitudes",
    "bank": "it gives one picture for each of many kernels; call the command once for each",
    "pyramid_reduce": "it changes the size; write gaussian:1 and --stride 2",
    "pyramid_expand": "it changes the size, which this command does not",
    "pyramid_gaussian": "it gives several pictures of different sizes",
    "pyramid_laplacian": "it gives several pictures of different sizes",
}
# How a filter's numbers become brightness where nothing else is said; those not named here are lengths.
SHOWN = {"canny": "mask", "unsharp_mask": "raw", "corner_harris": "signed", "match_template": "signed"}
# Filters that answer in the image's type: in a chain they get floats, so that nothing is rounded on the way.
ROUNDING = ("unsharp_mask",)
# One of the results of filters that give several.
PART = "part"


@dataclass(frozen=True)
class Named:
    """A filter of `striderule.filters` and the arguments that it was written with."""

    text: str
    name: str
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    part: int | None = None

    @property
    def shown(self) -> str:
        """How its numbers become brightness: ``raw``, ``signed``, ``magnitude``, or ``mask`` for true and false."""
        # The second result of a gradient is its direction, that of a structure tensor a product of two directions.
        return "signed" if self.part == 1 else SHOWN.get(self.name, "magnitude")

    def __call__(self, plane: NDArray[Any], boundary: Any, fill: float) -> NDArray[Any]:
        """Filter one (height, width, channels) array."""
        function = getattr(filters, self.name)
        words = {"channel_axis": -1, "boundary": boundary, "fill": fill}
        if self.name == "match_template":
            words["pad_input"] = True
        result = function(plane, *self.arguments, **words | self.keywords)
        if isinstance(result, np.ndarray):
            return result
        if self.part is None or not 0 <= self.part < len(result):
            raise InvalidArgument(
                f"{self.name} gives {len(result)} pictures, numbered from 0; choose one with {self.name}:{PART}=0"
            )
        return np.asarray(result[self.part])


Step = Kernel | Named


def filter_names() -> list[str]:
    """Return the filters that can be named beside the kernels."""
    return [name for name in filters.__all__ if name not in specs.names() and name not in APART]


def parse(texts: Sequence[str]) -> tuple[Step, ...]:
    """Return the filters that the texts stand for.

    Raises
    ------
    KernelError
        If there is none, a name is unknown, or arguments do not fit.
    """
    if not texts:
        raise KernelError("--kernel is missing: name at least one filter, such as --kernel gaussian:2")
    return tuple(_step(text.strip()) for text in texts)


def _step(text: str) -> Step:
    name, _, rest = text.partition(":")
    if name in APART:
        raise KernelError(f"{name} cannot be used here: {APART[name]}")
    if name not in filter_names():
        return specs.parse(text, filter_names())
    arguments, keywords = specs.arguments(name, rest, usage(name)) if rest else ([], {})
    part = keywords.pop(PART, None)
    given = set(inspect.signature(getattr(filters, name)).parameters)
    hidden = {"boundary", "fill", "axes", "channel_axis", "mask", "out", "image"} & set(keywords)
    unknown = [key for key in keywords if key not in given] or sorted(hidden)
    if unknown:
        raise KernelError(f"{name} is written {usage(name)}: it has no {unknown[0]!r} here")
    if name == "match_template":
        arguments = [_template(text, arguments), *arguments[1:]]
    return Named(text, name, tuple(arguments), keywords, part)


def usage(name: str) -> str:
    """Return how a filter is written, such as ``unsharp_mask[:radius][,amount]``.

    >>> usage("unsharp_mask")
    'unsharp_mask:[radius],[amount],[truncate=]'
    """
    from striderule.filters.request import DEFAULTS

    words = []
    for parameter in list(inspect.signature(getattr(filters, name)).parameters.values())[1:]:
        if parameter.name in DEFAULTS or parameter.name in ("like", "confidence", "pad_input"):
            continue
        word = parameter.name + ("=" if parameter.kind is parameter.KEYWORD_ONLY else "")
        words.append(word if parameter.default is parameter.empty else f"[{word}]")
    return f"{name}:{','.join(words)}" if words else name


def _template(text: str, arguments: Sequence[Any]) -> NDArray[Any]:
    """Return the picture to look for, whose file the first argument names."""
    from striderule.cli import pictures

    if not arguments or not isinstance(arguments[0], str):
        raise KernelError(f"match_template is written match_template:\"'part.png'\", got {text!r}")
    frame = pictures.read(Path(arguments[0])).frames[0].without_alpha()
    # One template for every channel: its brightness.
    return frame.pixels.mean(axis=-1) if frame.has_channels else frame.pixels
