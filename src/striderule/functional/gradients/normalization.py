"""Gradients of normalisations.

With n = (x - mean) * f, f = 1 / sqrt(var + eps) and g = gy * weight, where mean and variance are those of m values that
x holds itself: gx = f * (g - mean of g - n * mean of g * n), the means over those m values. Where the statistics are
given, gx = f * g. The gradient of the weight is the sum of gy * n over what shares it, that of the bias the sum of gy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from striderule.algorithms import memory, table
from striderule.functional import door
from striderule.functional.door import Array
from striderule.functional.gradients.again import again
from striderule.functional.gradients.call import Call, Pull, Rule
from striderule.functional.layer_normalization import (
    Groups,
    by_image,
    groups_normalized,
    layers_normalized,
    placed,
)
from striderule.functional.normalization import batch_normalized
from striderule.geometry.arguments import integer
from striderule.geometry.pooling import flag


def batch_norm(call: Call) -> tuple[Array, Pull]:
    """Differentiate batch normalisation, in training and with given statistics."""
    learn = flag(call.arguments["training"], "training")
    x = _kept(call)
    result, mean, var = batch_normalized(**call.arguments)
    # Training changes running statistics after this.
    mean, var = np.array(mean, np.float64), np.array(var, np.float64)
    with np.errstate(all="ignore"):
        factor = 1 / np.sqrt(var + float(call.arguments["eps"]))
    weight = _wide(call, "weight")
    slope = factor if weight is None else factor * weight
    # To be multiplied with sums: see `channel_line`.
    with np.errstate(all="ignore"):
        shift = -slope / max(1, x.size // max(1, len(slope)))
        steep = shift * factor**2
    compute = table.family("normalization_gradient")

    def bind(gy: Array) -> Pull | None:
        if not _is_bound(x, gy, result):
            return None
        if learn:
            bound = compute.bind_units(x, weight, mean, factor)
            return _all(call, bound or compute.bind_channels(x, mean, factor, slope, steep, shift))
        if not call.wanted & {"weight", "bias"}:
            return None
        return _all(call, compute.bind_given(x, mean, factor, slope))

    def whole(gy: Array) -> dict[str, Array | None]:
        values, gradient = _pair(x, gy, result)
        if not values.size:
            return _empty(call, values)
        found: dict[str, Array | None] = {}
        if learn and "x" in call.wanted:
            whole = compute.units(values, gradient, weight, mean, factor)
            if whole is not None:
                return _wanted(call, x=whole[0], weight=whole[1], bias=whole[2])
        if learn or call.wanted & {"weight", "bias"}:
            plain, with_x = compute.channel_sums(values, gradient, mean)
            with np.errstate(all="ignore"):
                found = _wanted(call, bias=plain, weight=with_x * factor)
        if "x" not in call.wanted:
            return found
        with np.errstate(all="ignore"):
            if learn:
                found["x"] = compute.channel_line(values, gradient, mean, slope, steep * with_x, shift * plain)
            else:
                found["x"] = compute.channel_scale(gradient, slope)
        return found

    return result, again(getattr(compute, "bind_units", None) and bind, whole)


def group_norm(call: Call) -> tuple[Array, Pull]:
    """Differentiate group normalisation."""
    x = _kept(call)
    result, groups = groups_normalized(**call.arguments)
    weight = _wide(call, "weight")
    with np.errstate(all="ignore"):
        factor = 1 / np.sqrt(groups.var + groups.eps)
    compute = table.family("normalization_gradient")

    def bind(gy: Array) -> Pull | None:
        if not _is_bound(x, gy, result):
            return None
        return _all(call, compute.bind_units(x, weight, groups.mean, factor, groups.groups))

    def whole(gy: Array) -> dict[str, Array | None]:
        values, gradient = _pair(x, gy, result)
        if not values.size:
            return _empty(call, values)
        batch, channels = values.shape[:2]
        with np.errstate(all="ignore"):
            if "x" in call.wanted:
                units = compute.units(values, gradient, weight, groups.mean, factor, groups.groups)
                if units is not None:
                    by_x, by_weight, by_bias = units
                    return _wanted(call, x=by_x, weight=by_weight.sum(axis=0), bias=by_bias.sum(axis=0))
        mean = groups.each(groups.mean, channels)
        parts = by_image(compute.channel_sums, values, gradient, numbers=(mean,))
        plain, with_x = (np.concatenate([part[i] for part in parts]).reshape(batch, channels) for i in range(2))
        with np.errstate(all="ignore"):
            by_weight = (with_x * groups.each(factor, channels)).sum(axis=0)
            found = _wanted(call, bias=plain.sum(axis=0), weight=by_weight)
            if "x" in call.wanted:
                numbers = (mean, *_of_channels(groups, factor, weight, plain, with_x, values.size))
                result_x = memory.empty_like(values, values.shape, values.dtype)

                def line(image: Array, image_gy: Array, target: Array, *channel: Array) -> None:
                    compute.channel_line(image, image_gy, *channel, target)

                by_image(line, values, gradient, result_x, numbers=numbers)
                found["x"] = result_x
        return found

    return result, again(getattr(compute, "bind_units", None) and bind, whole)


def _of_channels(
    groups: Groups, factor: Array, weight: Array | None, plain: Array, with_x: Array, size: int
) -> tuple[Array, Array, Array]:
    """Return slope, steep and shift of every channel: see `channel_line`."""
    batch, channels = plain.shape
    steep = np.ones(channels) if weight is None else weight
    count = size // (batch * groups.groups)
    in_groups = (batch, groups.groups, channels // groups.groups)
    sums, products = ((one * steep).reshape(in_groups).sum(axis=2) for one in (plain, with_x))
    slope = groups.each(factor, channels) * steep
    return slope, groups.each(-(factor**3) * products / count, channels), groups.each(-factor * sums / count, channels)


def layer_norm(call: Call) -> tuple[Array, Pull]:
    """Differentiate layer normalisation."""
    x = _kept(call)
    result, found = layers_normalized(**call.arguments)
    lines = found.lines
    work = door.arithmetic_of(result.dtype)
    given = call.arguments["weight"]
    weight = None if given is None else np.ascontiguousarray(np.asarray(given).reshape(-1), np.float64)
    compute = table.family("normalization_gradient")

    def bind(gy: Array) -> Pull | None:
        if lines.moved is not None or not (call.wanted & {"weight", "bias"} and _is_bound(x, gy, result)):
            return None
        return _all(call, compute.bind_layer(x, lines[:3], weight, found.statistics), found.shape)

    def whole(gy: Array) -> dict[str, Array | None]:
        if not x.size:
            return _empty(call, x.astype(work, copy=False))
        seen, gradient = (lines.seen(one.astype(work, copy=False)) for one in (x, gy))
        parameters = bool(call.wanted & {"weight", "bias"})
        by_x, by_weight, by_bias = compute.layer(
            seen, gradient, weight, found.statistics, "x" in call.wanted, parameters
        )
        shaped = {"weight": by_weight.reshape(found.shape), "bias": by_bias.reshape(found.shape)} if parameters else {}
        return _wanted(call, x=None if by_x is None else lines.back(by_x, x.shape), **shaped)

    return result, again(getattr(compute, "bind_layer", None) and bind, whole)


def local_response_norm(call: Call) -> tuple[Array, Pull]:
    """Differentiate local response normalisation."""
    x = _kept(call)
    result = call.run()
    words = call.arguments
    size, numbers = integer(words["size"], "size"), [float(words[name]) for name in ("alpha", "beta", "k")]

    def pull(gy: Array) -> dict[str, Array | None]:
        values, gradient = _pair(x, gy, result)
        return {"x": table.family("normalization_gradient").response(values, gradient, size, *numbers)}

    return result, pull


def _kept(call: Call) -> Array:
    """Return x, or a copy where the result is going to be written over it."""
    x, out = call.array("x"), call.arguments["out"]
    return x.copy() if isinstance(out, np.ndarray) and np.may_share_memory(x, out) else x


def _wide(call: Call, name: str) -> Array | None:
    value = call.arguments[name]
    return None if value is None else np.array(value, np.float64)


def _pair(x: Array, gy: Array, result: Array) -> tuple[Array, Array]:
    """Return x and gy in the type of the arithmetic, both in the same memory order."""
    work = door.arithmetic_of(result.dtype)
    values = placed(x.astype(work, copy=False))
    if gy.dtype == work and memory.alike(values, gy):
        return values, gy
    gradient = memory.empty_like(values, values.shape, work)
    np.copyto(gradient, gy)
    return values, gradient


def _is_bound(x: Array, gy: Array, result: Array) -> bool:
    """Tell whether x and a gradient stand as those do that gradients are bound to."""
    compact = x.flags.c_contiguous and gy.flags.c_contiguous
    return bool(gy.dtype == x.dtype == door.arithmetic_of(result.dtype) and gy.shape == x.shape and compact and x.size)


def _all(
    call: Call, bound: Callable[[Array], tuple[Array, Array, Array]] | None, shape: tuple[int, ...] = ()
) -> Pull | None:
    """Return what names the gradients of x, weight and bias, the last two of a shape other than one axis."""
    wanted = call.wanted & {"x", "weight", "bias"}
    if bound is None or "x" not in wanted:
        return None
    made = bound

    def pull(gradient: Array) -> dict[str, Array | None]:
        by_x, by_weight, by_bias = made(gradient)
        if len(shape) > 1:
            by_weight, by_bias = by_weight.reshape(shape), by_bias.reshape(shape)
        if len(wanted) == 3:
            return {"x": by_x, "weight": by_weight, "bias": by_bias}
        return _wanted(call, x=by_x, weight=by_weight, bias=by_bias)

    return pull


def _wanted(call: Call, **found: Array | None) -> dict[str, Array | None]:
    """Return those that are wanted."""
    return {name: gradient for name, gradient in found.items() if name in call.wanted}


def _empty(call: Call, values: Array) -> dict[str, Array | None]:
    """Return the gradients where there are no values."""
    shapes = {name: np.shape(call.arguments[name]) for name in ("weight", "bias")}
    return _wanted(call, x=values.copy(), **{name: np.zeros(shape) for name, shape in shapes.items()})


RULES: dict[str, Rule] = {
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "local_response_norm": local_response_norm,
}
