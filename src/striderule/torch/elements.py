"""Poolings and activations as operators, registered as `torch.library.custom_op` asks for it.

``torch.ops.striderule.relu(x)``, ``torch.ops.striderule.max_pool2d(x, kernel_size, ...)`` and so on: one for each of
`ACTIVATIONS` and `POOLINGS`, with the arguments of PyTorch's own, and one ``..._backward`` for the gradient of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striderule.functional import activation, adaptive_pooling, pooling
from striderule.functional.gradients.activation import of_input
from striderule.functional.gradients.vjp import differentiated
from striderule.torch.operators import array_of, output_format

# Activations, with their words as PyTorch writes them in schemas.
ACTIVATIONS = {
    "relu": "", "relu6": "", "leaky_relu": "float negative_slope=0.01", "elu": "float alpha=1.0",
    "gelu": 'str approximate="none"', "silu": "", "mish": "", "hardswish": "", "hardsigmoid": "", "sigmoid": "",
    "tanh": "",
}  # fmt: skip
_WINDOW = "int[{n}] kernel_size, int[{n}] stride=[], int[{n}] padding=0, "
# The same of poolings, which are there for one, two and three axes.
POOLINGS = {
    "max_pool": _WINDOW + "int[{n}] dilation=1, bool ceil_mode=False",
    "avg_pool": _WINDOW + "bool ceil_mode=False, bool count_include_pad=True",
    "adaptive_avg_pool": "int[{n}] output_size",
}
OPERATORS: dict[str, Any] = {}


def _register(name: str, words: str, function: Any, rank: int = 0) -> None:
    """Register an operator, what it gives for tensors without data, and its gradient."""
    comma = ", " if words else ""
    forward = torch.library.custom_op(
        f"striderule::{name}", lambda x, *rest: _computed(function, rank, x, _named(name, rest)),
        mutates_args=(), device_types="cpu", schema=f"(Tensor x{comma}{words}) -> Tensor",
    )  # fmt: skip
    backward = torch.library.custom_op(
        f"striderule::{name}_backward", lambda gy, x, *rest: _pulled(function, rank, gy, x, _named(name, rest)),
        mutates_args=(), device_types="cpu", schema=f"(Tensor gy, Tensor x{comma}{words}) -> Tensor",
    )  # fmt: skip
    OPERATORS[name] = forward
    forward.register_fake(lambda x, *rest: _fake(rank, x, _named(name, rest)))
    backward.register_fake(lambda gy, x, *rest: torch.empty_like(x))  # noqa: ARG005 - by their places

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - PyTorch passes it
        ctx.save_for_backward(inputs[0])
        ctx.rest = inputs[1:]

    def pull(ctx: Any, gy: Tensor) -> tuple[Any, ...]:
        return backward(gy, *ctx.saved_tensors, *ctx.rest), *(None for _ in ctx.rest)

    forward.register_autograd(pull, setup_context=keep)


def _named(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return the words of a call by name, as striderule takes them."""
    arguments = OPERATORS[name]._opoverload._schema.arguments[1:]  # noqa: SLF001 - the only place that has it
    whole = [*values, *(one.default_value for one in arguments[len(values) :])]
    found = {
        one.name: tuple(value) if isinstance(value, list) else value
        for one, value in zip(arguments, whole, strict=True)
    }
    return {word: None if value == () else value for word, value in found.items()}


def _computed(function: Any, rank: int, x: Tensor, words: dict[str, Any]) -> Tensor:
    if not rank:
        out = torch.empty_like(x)
        if x.dtype == torch.bfloat16:
            return out.copy_(torch.from_numpy(function(_wide(x), **words)))
        function(array_of(x), **words, out=array_of(out))
        return out
    result = function(_wide(x), **words)
    return torch.from_numpy(np.asarray(result)).to(x.dtype).contiguous(memory_format=output_format(x))


def _pulled(function: Any, rank: int, gy: Tensor, x: Tensor, words: dict[str, Any]) -> Tensor:
    g, image = _wide(gy), _wide(x)
    if rank:
        _, pull = differentiated(function, {"x": image, **words}, frozenset({"x"}))
        found = pull(g)["x"]
    else:
        found = of_input(function.__name__, image, g, tuple(words.values()))
    result = torch.empty_like(x)
    return result.copy_(torch.from_numpy(np.ascontiguousarray(found)))


def _wide(x: Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor as an array; bfloat16, which NumPy does not know, as float32."""
    return array_of(x.float() if x.dtype == torch.bfloat16 else x)


def _fake(rank: int, x: Tensor, words: dict[str, Any]) -> Tensor:
    if not rank:
        return torch.empty_like(x)
    sizes = words.get("output_size")
    if sizes is None:
        kernel, padding = words["kernel_size"], words["padding"]
        stride, dilation = words["stride"] or kernel, words.get("dilation", (1,) * rank)
        sides = zip(x.shape[-rank:], kernel, stride, padding, dilation, strict=True)
        sizes = [_positions(*one, ceil=words["ceil_mode"]) for one in sides]
    return torch.empty((*x.shape[:-rank], *sizes), dtype=x.dtype, device=x.device, memory_format=output_format(x))


def _positions(size: Any, kernel: int, stride: int, padding: int, dilation: int, *, ceil: bool) -> Any:
    """Return the size of the output, which may be a symbol: `striderule.geometry.window.pool_positions`."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil:
        return room // stride + 1
    found = (room + stride - 1) // stride + 1
    # A last window that would begin behind the input is left out.
    return found - 1 if (found - 1) * stride >= size + padding else found


for _name, _words in ACTIVATIONS.items():
    _register(_name, _words, getattr(activation, _name))
for _name, _words in POOLINGS.items():
    for _rank in (1, 2, 3):
        _whole = f"{_name}{_rank}d"
        _home = adaptive_pooling if "adaptive" in _name else pooling
        _register(_whole, _words.format(n=_rank), getattr(_home, _whole), _rank)
