"""Activations, softmax and normalisation: ours and PyTorch's, written to an array that is there already.

Where PyTorch has several ways all of them take part: the function that its users call, which makes an array, and the
operation below it that takes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import striderule as sr
from benchmarks.shapes import Shape
from benchmarks.ways.contest import OURS, Array, Contest, Setting, Way, drawn, formats, operands, ordered, ours

# Constants of SELU: Klambauer, Unterthiner, Mayr and Hochreiter, arXiv:1706.02515.
ALPHA, SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

# kind -> PyTorch's operations that take `out`: of its operations `aten`, the data and the result.
OUT: dict[str, Callable[[Any, Any, Any], Any]] = {
    "relu": lambda aten, x, y: aten.clamp_min.out(x, 0, out=y),
    "leaky_relu": lambda aten, x, y: aten.leaky_relu.out(x, 0.01, out=y),
    "relu6": lambda aten, x, y: aten.hardtanh.out(x, 0.0, 6.0, out=y),
    "elu": lambda aten, x, y: aten.elu.out(x, 1.0, 1.0, 1.0, out=y),
    "selu": lambda aten, x, y: aten.elu.out(x, ALPHA, SCALE, 1.0, out=y),
    "celu": lambda aten, x, y: aten.elu.out(x, 1.0, 1.0, 1.0, out=y),
    "gelu": lambda aten, x, y: aten.gelu.out(x, out=y),
    "gelu_tanh": lambda aten, x, y: aten.gelu.out(x, approximate="tanh", out=y),
    "silu": lambda aten, x, y: aten.silu.out(x, out=y),
    "mish": lambda aten, x, y: aten.mish.out(x, out=y),
    "sigmoid": lambda aten, x, y: aten.sigmoid.out(x, out=y),
    "tanh": lambda aten, x, y: aten.tanh.out(x, out=y),
    "hardtanh": lambda aten, x, y: aten.hardtanh.out(x, -1.0, 1.0, out=y),
    "hardswish": lambda aten, x, y: aten.hardswish.out(x, out=y),
    "hardsigmoid": lambda aten, x, y: aten.hardsigmoid.out(x, out=y),
    "softplus": lambda aten, x, y: aten.softplus.out(x, out=y),
    "logsigmoid": lambda aten, x, y: aten.log_sigmoid.out(x, out=y),
}


def contest(shape: Shape, setting: Setting) -> Contest:
    """Return the contest of an operation on every element, or on the elements of an axis or a channel."""
    x, _ = operands(shape)
    name, rest, words = _call(shape)
    op = getattr(sr, name)
    mine = ordered(x, setting.channels_last)
    out = np.zeros_like(mine)
    found = {OURS: ours(setting, op, mine, *rest, out=out, **words)}
    if setting.torch is not None:
        found |= {label: Way(call, np.asarray) for label, call in _torch(setting.torch, shape, x)}
    wide = [part.astype(np.float64) if isinstance(part, np.ndarray) else part for part in rest]
    return Contest(found, op(x.astype(np.float64), *wide, algorithm="windows", **words))


def _call(shape: Shape) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return our function, its arguments after the first, and its words."""
    if shape.driver == "softmax":
        return {"logsoftmax": "log_softmax"}.get(shape.kind, shape.kind), (shape.extent,), {}
    if shape.driver == "bnorm":
        return "batch_norm", _statistics(shape), {}
    if shape.driver == "lrn":
        return "local_response_norm", (shape.extent,), {}
    if shape.kind == "gelu_tanh":
        return "gelu", (), {"approximate": "tanh"}
    if shape.kind == "prelu":
        return "prelu", (_slopes(shape),), {}
    return shape.kind, (), {}


def _statistics(shape: Shape) -> tuple[Array, ...]:
    """Return mean, variance, weight and bias of every channel."""
    mean, variance, weight, bias = (drawn((shape.channels[0],), shape.dtypes[0], seed) for seed in (2, 3, 4, 5))
    return mean, 0.5 + np.abs(variance), weight, bias


def _slopes(shape: Shape) -> Array:
    return np.abs(drawn((shape.channels[0],), shape.dtypes[0], 6))


def _torch(torch: Any, shape: Shape, x: Array) -> Iterator[tuple[str, Callable[[], Any]]]:
    tensor = torch.from_numpy(x)
    if shape.driver == "eltwise":
        yield from _activation(torch, shape, tensor)
    elif shape.driver == "softmax":
        yield from _softmax(torch, shape, tensor)
    else:
        for label, order in formats(torch, shape.rank).items():
            yield from _normalised(torch, shape, tensor.contiguous(memory_format=order), label)


def _activation(torch: Any, shape: Shape, tensor: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    functional, kind, out = torch.nn.functional, shape.kind, torch.zeros_like(tensor)
    if kind == "prelu":
        slopes = torch.from_numpy(_slopes(shape))
        yield "PyTorch", lambda: functional.prelu(tensor, slopes)
    elif kind == "gelu_tanh":
        yield "PyTorch", lambda: functional.gelu(tensor, approximate="tanh")
    else:
        op = getattr(functional, kind)
        yield "PyTorch", lambda: op(tensor)
    if kind in OUT:
        yield "PyTorch out", lambda: OUT[kind](torch.ops.aten, tensor, out)


def _softmax(torch: Any, shape: Shape, tensor: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    logarithm, out = shape.kind == "logsoftmax", torch.zeros_like(tensor)
    op = torch.log_softmax if logarithm else torch.softmax
    below = getattr(torch.ops.aten, "_log_softmax" if logarithm else "_softmax")
    yield "PyTorch", lambda: op(tensor, shape.extent)
    yield "PyTorch out", lambda: below.out(tensor, shape.extent, False, out=out)


def _normalised(torch: Any, shape: Shape, tensor: Any, label: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    functional = torch.nn.functional
    if shape.driver == "lrn":
        yield f"PyTorch{label}", lambda: functional.local_response_norm(tensor, shape.extent)
        return
    mean, variance, weight, bias = (torch.from_numpy(values) for values in _statistics(shape))
    out, none = torch.zeros_like(tensor), torch.zeros(0)
    below = torch.ops.aten.native_batch_norm.out
    yield f"PyTorch{label}", lambda: functional.batch_norm(tensor, mean, variance, weight, bias)
    yield (
        f"PyTorch out{label}",
        lambda: below(
            tensor, weight, bias, mean, variance, False, 0.1, 1e-5, out=out, save_mean=none, save_invstd=none
        )[0],
    )
