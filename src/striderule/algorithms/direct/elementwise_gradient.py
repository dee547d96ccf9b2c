"""Gradients of activations on generated code: one call over arrays at any strides.

The framework is that of `elementwise`, with the gradient of the result as one more operand.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from striderule.algorithms import memory
from striderule.algorithms.direct import giving_way, proof
from striderule.algorithms.direct.activation import PARAMETERS
from striderule.algorithms.direct.channel_passes import bind_slopes
from striderule.algorithms.direct.elementwise import aligned, call_of, words_of
from striderule.algorithms.direct.elementwise_routine import Form
from striderule.algorithms.direct.native import Call
from striderule.algorithms.windows import elementwise_gradient as windows
from striderule.codegen.target import current
from striderule.codegen.tile import ELEMENTS

__all__ = ["agrees", "apply", "bind", "bind_slopes", "prelu"]

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


def apply(name: str, x: Array, g: Array, dtype: np.dtype[Any], parameters: tuple[Any, ...] = ()) -> Array:
    """Return the gradient of activation `name` with respect to x, from that of its result, computed in `dtype`.

    It stands in memory as x does, in the type of g. Names that end in "_of_result" take the result in the place of x.
    """
    if x.size == 0:
        return np.empty_like(g, subok=False)
    other = aligned(g)
    bound = bind(name, aligned(x), other, dtype, parameters)
    return windows.apply(name, x, g, dtype, parameters) if bound is None else bound(other)


def bind(
    name: str, x: Array, g: Array, dtype: np.dtype[Any], parameters: tuple[Any, ...] = ()
) -> Callable[[Array], Array] | None:
    """Return what computes `apply` for gradients that stand as g does, both aligned; None where NumPy computes."""
    if x.size == 0 or g.shape != x.shape or not x.flags.aligned:
        return None
    make = memory.maker(x, x.shape, g.dtype)
    places = (make().strides, x.strides, g.strides)
    call = giving_way.attempt(_call, name, x.shape, places, (g.dtype, x.dtype, g.dtype), dtype, parameters)
    if call is None:
        return None
    run = call.run

    def applied(gradient: Array) -> Array:
        result = make()
        run(x, result, gradient)
        return result

    return applied


def _call(
    name: str, shape: Ints, strides: tuple[Ints, ...], dtypes: tuple[np.dtype[Any], ...], dtype: np.dtype[Any],
    parameters: tuple[Any, ...],
) -> Call | None:  # fmt: skip
    """Return the call for arrays like these, the result first; None where that is left to NumPy."""
    return _bound(name, shape, strides, dtypes, dtype, parameters, current().name)


@lru_cache(maxsize=1024)
def _bound(
    name: str, shape: Ints, strides: tuple[Ints, ...], dtypes: tuple[np.dtype[Any], ...], dtype: np.dtype[Any],
    parameters: tuple[Any, ...], target: str,
) -> Call | None:  # fmt: skip
    word, numbers = words_of(name, dtype, parameters)
    form = _form(name, word, dtype, *dtypes)
    if form is None or numbers is None:
        return None
    call = call_of(form, shape, strides, target)
    return call.telling(call.words + array("q", numbers)) if numbers else call


def prelu(x: Array, weight: Array, g: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return the gradient of prelu with respect to x, and for every element its part of that of its slope.

    The slopes are broadcast to x.
    """
    by_slope = apply("slope", x, g.astype(dtype, copy=False), dtype)
    if x.size == 0:
        return by_slope, by_slope
    one, other, slopes = aligned(x), aligned(g), aligned(weight.astype(dtype, copy=False))
    result = memory.empty_like(one, x.shape, g.dtype)
    call = giving_way.attempt(_bind_prelu, one, other, slopes, dtype, result)
    if call is None:
        return windows.prelu(x, weight, g, dtype)
    call.run(one, result, other, slopes)
    return result, by_slope


def _bind_prelu(x: Array, g: Array, weight: Array, dtype: np.dtype[Any], result: Array) -> Call | None:
    form = _form("prelu", "", dtype, result.dtype, x.dtype, g.dtype, weight.dtype)
    if form is None:
        return None
    strides = (result.strides, x.strides, g.strides, np.broadcast_to(weight, x.shape).strides)
    return call_of(form, x.shape, strides, current().name)


def _form(name: str, word: str, dtype: np.dtype[Any], result: np.dtype[Any], *kinds: np.dtype[Any]) -> Form | None:
    """Return what the code depends on, or None where it does not serve these types."""
    if dtype.kind != "f" or any(one.name not in ELEMENTS for one in (dtype, result, *kinds)):
        return None
    if result != dtype and (result.name, dtype.name) != ("float16", "float32"):
        return None
    return Form(name, word, tuple(one.name for one in kinds), result.name, dtype.name, gradient=True)


def agrees(form: Form) -> bool:
    """Try a form: a few rows of small integers, computed here and in NumPy."""
    x, g = (np.zeros((3, 37), kind) for kind in form.sources[:2])
    dtype = np.dtype(form.element)
    if form.name == "prelu":
        slope = np.zeros((3, 1) if form.level else 37, form.sources[2])
        return proof.agree(prelu, windows.prelu, x, slope, g, dtype)
    if form.level:
        g = np.broadcast_to(np.zeros((3, 1), form.sources[1]), x.shape)
    values = [1, 2][: len(PARAMETERS.get(form.name, ()))]
    parameters = (form.word,) if form.word else tuple(values)
    return proof.agree(apply, windows.apply, form.name, x, g, dtype, parameters)
