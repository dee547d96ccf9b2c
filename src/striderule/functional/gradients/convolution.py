"""Gradients of convolutions of layers: see `striderule.geometry.gradients` for the derivation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from striderule.algorithms import table
from striderule.algorithms.windows.extend import extend, fold_back
from striderule.functional.door import Array
from striderule.functional.gradients.activation import of_input
from striderule.functional.gradients.call import Call, Pull, Rule
from striderule.functional.gradients.ways import input_way, turned, weight_way
from striderule.functional.layers import Activation, activation_of
from striderule.functional.planned import perform, plan_for
from striderule.functional.precision import precision
from striderule.functional.prepared import ConvolutionRecipe
from striderule.geometry import gradients as geometry
from striderule.geometry.problem import Convolution, LocalConvolution, TransposedConvolution
from striderule.planning import TRAINED

Problem = Convolution | TransposedConvolution | LocalConvolution


class Back:
    """What pulls gradients back through a convolution: through its activation, then from its sums to its operands."""

    def __init__(self, call: Call, recipe: ConvolutionRecipe, after: Callable[[Array], Array] | None) -> None:
        self._call, self._recipe, self._after = call, recipe, after

    def __call__(self, gy: Array) -> dict[str, Array | None]:
        """Return the gradients of the operands."""
        return self.of_sums(self.before(gy))

    def before(self, gy: Array) -> Array:
        """Return the gradient of what the activation is applied to."""
        return gy if self._after is None else self._after(gy)

    def of_sums(self, gz: Array) -> dict[str, Array | None]:
        """Return the gradients of the operands, given that."""
        call = self._call
        word = call.arguments.get("precision")
        # What the call was promised holds for its gradients.
        with nullcontext() if word is None else precision(word):
            found = _of_operands(self._recipe, gz, call)
        if "residual" in call.wanted:
            found["residual"] = gz
        return found


def convolution(call: Call) -> tuple[Array, Pull]:
    """Differentiate any convolution of layers, with its bias, residual and activation."""
    activation = activation_of(call.arguments["activation"])
    if activation is not None and _is_cut(activation, call):
        # What is cut off stands on its limit: the result tells as much as the sums, which are then never written.
        result, (recipe,) = call.traced()
        return result, Back(call, recipe, partial(of_input, activation.words[0], result))
    result, (recipe,) = call.traced(activation=None, **({} if activation is None else {"out": None}))
    after = None
    if activation is not None:
        result, after = _activated(activation, result, call.arguments["out"])
    return result, Back(call, recipe, after)


def _is_cut(activation: Activation, call: Call) -> bool:
    """Tell whether an activation only cuts off, and the sums are of the type of the result."""
    operands = [call.arguments[name] for name in ("x", "weight")]
    plain = all(isinstance(one, np.ndarray) and one.dtype.char in "fd" for one in operands)
    return activation.words in (("relu",), ("relu6",)) and plain and call.arguments.get("dtype") is None


def _activated(activation: Activation, sums: Array, out: Array | None) -> tuple[Array, Callable[[Array], Array]]:
    """Return the activation of the sums, and what pulls its gradient back."""
    from striderule.functional.gradients.vjp import differentiated  # noqa: PLC0415 - which looks this module up

    words = {"x": sums, **dict(activation.named), "out": out}
    result, pull = differentiated(activation.function, words, frozenset({"x"}))

    def back(gy: Array) -> Array:
        gz = pull(gy)["x"]
        assert gz is not None  # it is wanted
        return gz

    return result, back


def _of_operands(recipe: ConvolutionRecipe, gz: Array, call: Call) -> dict[str, Array | None]:
    """Return the gradients with respect to x, weight and bias that are wanted."""
    found: dict[str, Array | None] = {}
    problem, axes = recipe.problem, recipe.axes
    g = axes.canonical(gz)
    fill = recipe.outside[0] if recipe.outside else 0
    if "x" in call.wanted:
        taps = call.array("weight").reshape(recipe.weight_shape)
        found["x"] = axes.restore(input_gradient(problem, g, taps))
    if "weight" in call.wanted:
        image = axes.canonical(call.array("x"))
        found["weight"] = weight_gradient(problem, image, g, fill).reshape(call.array("weight").shape)
    if "bias" in call.wanted:
        bias = call.array("bias")
        found["bias"] = (g.sum(axis=0, dtype=np.float64) if bias.ndim > 1 else bias_gradient(g)).reshape(bias.shape)
    return found


def input_gradient(problem: Problem, g: Array, weight: Array) -> Array:
    """Return the gradient of a convolution with respect to its input: (batch, channels, *size), in its arithmetic.

    `g` is that with respect to the result, (batch, out channels, *output size); `weight` has canonical axes.
    """
    plain = problem.plain if isinstance(problem, LocalConvolution) else problem
    if isinstance(plain, Convolution) and geometry.bordered(plain):
        inner = geometry.extended(plain)
        whole = replace(problem, plain=inner) if isinstance(problem, LocalConvolution) else inner
        return fold_back(input_gradient(whole, g, weight), plain.size, plain.padding, plain.boundary)
    g, weight = (one.astype(problem.dtype, copy=False) for one in (g, weight))
    if isinstance(problem, LocalConvolution):
        found: Array = table.family("local_gradients").input_gradient(problem, g, weight)
        return found
    way = input_way(problem, g, weight)
    if way is not None:
        return way(g, weight)
    gradient = geometry.input_gradient(problem)
    if geometry.is_turned(problem):
        weight = turned(weight, problem.groups)
    plan = plan_for(gradient, images=TRAINED)
    transposed = isinstance(gradient, TransposedConvolution)
    name, outside = ("transposed_convolution", ()) if transposed else ("convolution", (0,))
    dtypes = (np.dtype(problem.dtype),)
    result: Array = perform(
        plan, "convolution", name, gradient, g, weight, *outside, shape=gradient.output_shape, dtypes=dtypes
    )
    return result


def weight_gradient(problem: Problem, x: Array, g: Array, fill: Any = 0) -> Array:
    """Return the gradient of a convolution with respect to its weight, of canonical axes, in its arithmetic.

    `x` and `g`, that with respect to the result, have the axes (batch, channels, *size).
    """
    plain = problem.plain if isinstance(problem, LocalConvolution) else problem
    x, g = (one.astype(plain.dtype, copy=False) for one in (x, g))
    filled = fill != 0 and isinstance(plain, Convolution) and any(side > 0 for pair in plain.padding for side in pair)
    if isinstance(plain, Convolution) and (filled or geometry.bordered(plain)):
        x = extend(x, plain.padding, plain.boundary, fill)
        plain = geometry.extended(plain)
    if isinstance(problem, LocalConvolution):
        whole = problem if plain is problem.plain else replace(problem, plain=geometry.extended(problem.plain))
        found: Array = table.family("local_gradients").weight_gradient(whole, x, g)
        return found
    gradient, plan = weight_way(plain)
    operands = (g, x) if isinstance(problem, TransposedConvolution) else (x, g)
    result: Array = perform(
        plan,
        "weight_gradient",
        "weight_gradient",
        gradient,
        *operands,
        shape=gradient.output_shape,
        dtypes=(np.dtype(problem.dtype),),
    )
    return result


def bias_gradient(g: Array) -> Array:
    """Return the gradient with respect to a bias of one number a channel; `g` is (batch, channels, *size)."""
    found: Array = table.family("channel_sums").channel_sums(g)
    return found


_NAMES = ("conv", "conv1d", "conv2d", "conv3d", "pointwise_conv2d", "tiled_conv2d")
_RANKED = ("conv_transpose", "depthwise_conv", "locally_connected")
RULES: dict[str, Rule] = dict.fromkeys((*_NAMES, *(f"{name}{n}d" for name in _RANKED for n in (1, 2, 3))), convolution)
