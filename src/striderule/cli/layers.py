"""The layer grammar of ``striderule shape``, and what each layer makes of a size.

- ``conv:7,s2,p3``: kernel 7, stride 2, padding 3; ``conv:3x5,s1x2,psame,d2``: values for each axis, words, dilation
- ``pool:3,s2,ceil``: pooling; the stride defaults to the kernel
- ``convT:4,s2,p1,op1``: transposed, with output padding
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from striderule.errors import StrideruleError
from striderule.geometry.padding import parse_padding
from striderule.geometry.pooling import Pooling
from striderule.geometry.problem import TransposedConvolution
from striderule.geometry.receptive import Window, receptive_field
from striderule.geometry.window import dilated_extent, output_size

Ints = tuple[int, ...]
KINDS = {"conv": "conv", "pool": "pool", "convt": "convT"}
WORDS = ("same", "same_lower", "valid", "full", "causal")
GRAMMAR = "kind:kernel,sSTRIDE,pPADDING,dDILATION (conv, pool or convT; psame, ceil and op as well)"


class LayerError(StrideruleError):
    """A layer is written in a way that the grammar does not know, or does not fit."""


@dataclass(frozen=True)
class Layer:
    """One layer as written: entries per axis, or one entry for all of them."""

    text: str
    kind: str
    kernel: Ints
    stride: Ints | None = None
    padding: Ints | str = (0,)
    dilation: Ints = (1,)
    output_padding: Ints = (0,)
    ceil: bool = False


@dataclass(frozen=True)
class Step:
    """A layer at work: sizes, the padding of each side, the formula with the numbers, and what an output sees.

    `field` and `stride` are in positions of the first input; after a transposed convolution `field` is the largest
    (its outputs differ) and `stride` may be a fraction.
    """

    layer: Layer
    before: Ints
    after: Ints
    padding: tuple[tuple[int, int], ...]
    formulas: tuple[str, ...]
    field: Ints
    stride: tuple[Fraction, ...]


def parse_size(text: str) -> Ints:
    """Return the axes of ``224`` or ``224x320``."""
    if re.fullmatch(r"[0-9]+(x[0-9]+)*", text) is None or min(map(int, text.split("x"))) < 1:
        raise LayerError(f"the size must be whole numbers of at least 1 such as 224 or 224x320, got {text!r}")
    return tuple(int(part) for part in text.split("x"))


def parse_layer(text: str) -> Layer:
    """Return the layer that `text` describes.

    >>> layer = parse_layer("conv:7,s2,psame")
    >>> layer.kernel, layer.stride, layer.padding
    ((7,), (2,), 'same')
    """
    name, _, rest = text.partition(":")
    kind = KINDS.get(name.lower())
    if kind is None:
        raise LayerError(f"unknown layer {text!r}; write {GRAMMAR}")
    first, *options = rest.split(",")
    found: dict[str, object] = {"text": text, "kind": kind, "kernel": _numbers(first, text, "the kernel size")}
    for option in options:
        key, value = _option(option, text, kind)
        if key in found:
            raise LayerError(f"{text!r} states {key.replace('_', ' ')} twice")
        found[key] = value
    return Layer(**found)  # type: ignore[arg-type]


def _option(option: str, text: str, kind: str) -> tuple[str, object]:
    option = option.strip()
    if option == "ceil" and kind == "pool":
        return "ceil", True
    if option.startswith("op") and kind == "convT":
        return "output_padding", _numbers(option[2:], text, "the output padding")
    if option[:1] == "p" and option[1:] in WORDS and kind != "convT":
        return "padding", option[1:]
    names = {"s": "stride", "p": "padding", "d": "dilation"}
    if option[:1] in names:
        name = names[option[:1]]
        words = f", or one of {', '.join(WORDS)}" if name == "padding" and kind != "convT" else ""
        return name, _numbers(option[1:], text, f"the {name}", words)
    raise LayerError(f"{option!r} in {text!r} is not understood; write {GRAMMAR}")


def _numbers(part: str, text: str, what: str, words: str = "") -> Ints:
    if re.fullmatch(r"[0-9]+(x[0-9]+)*", part) is None:
        raise LayerError(f"{what} in {text!r} must be a whole number, or one for each axis as 3x5{words}, got {part!r}")
    return tuple(int(number) for number in part.split("x"))


def run(size: Ints, layers: list[Layer]) -> list[Step]:
    """Return what each layer makes of the size before it.

    Raises
    ------
    LayerError
        If a layer speaks of other axes than the size, or its window does not fit; it names the layer by its number.
    """
    rank = len(size)
    field, stride = (1,) * rank, (Fraction(1),) * rank
    steps = []
    for number, layer in enumerate(layers, 1):
        try:
            step = _step(size, layer, field, stride)
        except StrideruleError as error:
            raise LayerError(f"layer {number} ({layer.text}): {error}") from error
        steps.append(step)
        size, field, stride = step.after, step.field, step.stride
    return steps


def _step(size: Ints, layer: Layer, field: Ints, stride: tuple[Fraction, ...]) -> Step:
    rank = len(size)
    kernel, dilation = _each(layer.kernel, rank, "kernel"), _each(layer.dilation, rank, "dilation")
    default = kernel if layer.kind == "pool" else (1,) * rank
    step = default if layer.stride is None else _each(layer.stride, rank, "stride")
    padding = layer.padding if isinstance(layer.padding, str) else _each(layer.padding, rank, "padding")
    pads = parse_padding(padding, size=size, kernel=kernel, stride=step, dilation=dilation)
    extra = _each(layer.output_padding, rank, "output padding")
    extents = dilated_extent(kernel, dilation)
    # Pooling and transposed convolution have rules beyond fitting; their problems know them, as the functions do.
    if layer.kind == "conv":
        after = output_size(size, kernel, step, pads, dilation)
    elif layer.kind == "pool":
        after = Pooling.from_shape("max", (1, 1, *size), kernel, step, pads, dilation, layer.ceil).output_size
    else:
        shape, weight = (1, 1, *size), (1, 1, *kernel)
        after = TransposedConvolution.from_shapes(
            shape, weight, stride=step, padding=pads, output_padding=extra, dilation=dilation
        ).output_size
    axes = range(rank)
    formulas = tuple(_formula(layer, size[a], kernel[a], step[a], pads[a], dilation[a], extra[a]) for a in axes)
    if layer.kind == "convT":
        # Between two taps that reach the same output lie s positions, so ceil(extent / s) inputs are seen at most.
        field = tuple(int(field[a] + (-(-extents[a] // step[a]) - 1) * stride[a]) for a in axes)
        stride = tuple(stride[a] / step[a] for a in axes)
    else:
        alone = receptive_field([Window(kernel, step, dilation, pads)])
        field = tuple(int(field[a] + (alone.size[a] - 1) * stride[a]) for a in axes)
        stride = tuple(stride[a] * alone.stride[a] for a in axes)
    return Step(layer, size, after, pads, formulas, field, stride)


def _each(values: Ints, rank: int, name: str) -> Ints:
    if len(values) == 1:
        return values * rank
    if len(values) != rank:
        raise LayerError(f"{name} has {len(values)} entries and the size {rank}; write one, or one for each axis")
    return values


def _formula(layer: Layer, i: int, k: int, s: int, pads: tuple[int, int], d: int, extra: int) -> str:
    """Return the output-size formula of one axis with the numbers put in."""
    before, after = pads
    padding = f"2*{before}" if before == after else f"{before} + {after}"
    reach = f"({k}-1)" if d == 1 else f"{d}*({k}-1)"
    if layer.kind == "convT":
        minus = padding if before == after else f"({padding})"
        return f"{s}*({i}-1) + {reach} + 1 - {minus} + {extra}"
    formula = f"{'ceil' if layer.ceil else 'floor'}(({i} + {padding} - {reach} - 1)/{s}) + 1"
    dropped = layer.ceil and -(-(i + before + after - d * (k - 1) - 1) // s) * s >= i + before
    # PyTorch's rule for ceil: a last window that would start in the padding behind the input is not counted.
    return f"{formula} - 1" if dropped else formula
