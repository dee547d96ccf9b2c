"""The trial of a routine whose operands are words: numbers are drawn, and packed by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms.direct import proof
from striderule.algorithms.windows import convolution as windows
from striderule.algorithms.windows import elementwise
from striderule.codegen.dots import NUMBERS
from striderule.geometry.problem import Convolution

if TYPE_CHECKING:
    from striderule.algorithms.direct.call import Request

Array = npt.NDArray[Any]


def agrees(problem: Convolution, computed: Callable[..., Array], request: Request, added: bool) -> bool:
    """Tell whether `computed(words of x, words of weight, bias, residual)` is what NumPy makes of the numbers."""
    unit, activation = request.unit, request.activation
    count = NUMBERS[unit]

    def numbers(array: Array) -> Array:
        """Return numbers (..., channels * count, *positions) from (..., channels, *positions, count)."""
        apart = np.moveaxis(array, -1, 2)
        return apart.reshape(apart.shape[0], -1, *apart.shape[3:])

    def by_words(image: Array, taps: Array, bias: Array, other: Array) -> Array:
        return computed(_words(image, unit), _words(taps, unit), bias, other)

    def expected(image: Array, taps: Array, bias: Array, other: Array) -> Array:
        narrow = replace(problem, in_channels=count * problem.in_channels)
        wide = np.dtype(problem.dtype)
        # Groups of words follow one another, and so do those of their numbers.
        sums = windows.convolution(narrow, numbers(image).astype(wide), numbers(taps).astype(wide), _number(request))
        sums = sums.astype(request.element) + bias.reshape(-1, *(1,) * problem.rank)
        sums = sums + other if added else sums
        sums = sums if activation is None else elementwise.apply(activation[0], sums, sums.dtype, activation[1:])
        return sums.astype(request.out.dtype)

    kinds = {
        "dot8": ("uint8", "int8") if request.turned else ("int8", "uint8"), "dot16": ("int16", "int16"),
        "bfloat16": ("float32", "float32"),
    }[unit]  # fmt: skip
    shapes = ((problem.batch, *request.x.shape[1:], count), (*request.weight.shape, count))
    image, taps = (np.empty(shape, kind) for shape, kind in zip(shapes, kinds, strict=True))
    bias, result = np.empty(problem.out_channels, request.element), np.empty(problem.output_shape, request.out.dtype)
    return proof.agree(by_words, expected, image, taps, bias, result)


def _words(numbers: Array, unit: str) -> Array:
    """Return words of numbers along the last axis; small integers are exact in bfloat16."""
    if unit == "bfloat16":
        numbers = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    return np.ascontiguousarray(numbers).view(np.int32)[..., 0]


def _number(request: Request) -> float:
    """Return the number that a word of fill values holds."""
    if request.unit == "bfloat16":
        return 0.0
    low = int(request.fill) % 2 ** (32 // NUMBERS[request.unit])
    kind = {"dot8": "uint8" if request.turned else "int8", "dot16": "int16"}[request.unit]
    return int(np.array([low], np.uint8 if request.unit == "dot8" else np.uint16).view(kind)[0])
