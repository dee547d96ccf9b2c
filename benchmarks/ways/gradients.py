"""Gradients of convolutions of layers: ours and PyTorch's, each with respect to one operand."""

from __future__ import annotations

from typing import Any

from benchmarks import exact
from benchmarks.shapes import Shape
from benchmarks.ways.contest import OURS, Array, Contest, Setting, Way, drawn, formats, operands, ordered, tensor
from striderule.functional.gradients import convolution as gradients
from striderule.geometry.problem import Convolution, TransposedConvolution

# With respect to what, in PyTorch's order.
OPERANDS = ("input", "weight", "bias")


def contest(shape: Shape, operand: str, setting: Setting) -> Contest:
    """Return the contest of the gradient with respect to "input", "weight" or "bias"."""
    x, weight = operands(shape)
    gy = drawn(shape.output_shape, shape.dtypes[2], 2)
    problem = _problem(shape)
    mine = [ordered(one, setting.channels_last) for one in (x, gy)]
    calls = {
        "input": lambda: gradients.input_gradient(problem, mine[1], weight),
        "weight": lambda: gradients.weight_gradient(problem, *mine),
        "bias": lambda: gradients.bias_gradient(mine[1]),
    }
    found = {OURS: Way(calls[operand])}
    if setting.torch is not None:
        found |= _peers(setting.torch, shape, operand, x, weight, gy)
    pick, right = exact.gradient(shape, operand, x, weight, gy)
    return Contest(found, right, pick, setting.same(shape.dtypes[0]))


def _problem(shape: Shape) -> Convolution | TransposedConvolution:
    words: dict[str, Any] = {
        "stride": shape.stride, "padding": shape.padding, "dilation": shape.dilation, "groups": shape.groups,
        "dtype": shape.dtypes[0],
    }  # fmt: skip
    if shape.driver == "deconv":
        words["output_padding"] = shape.output_padding
        return TransposedConvolution.from_shapes(shape.input_shape, shape.weight_shape, **words)
    return Convolution.from_shapes(shape.input_shape, shape.weight_shape, **words)


def _peers(torch: Any, shape: Shape, operand: str, x: Array, weight: Array, gy: Array) -> dict[str, Way]:
    """Return PyTorch's way in every order of memory: what its autograd calls, for this operand alone."""
    number = OPERANDS.index(operand)
    mask = [one == operand for one in OPERANDS]
    transposed = shape.driver == "deconv"
    more = list(shape.output_padding) if transposed else [0] * shape.rank
    words = [list(shape.stride), list(shape.padding), list(shape.dilation), transposed, more, shape.groups, mask]
    found = {}
    for label, order in formats(torch, shape.rank).items():
        tensors = [tensor(torch, one, shape.dtypes[0]).contiguous(memory_format=order) for one in (gy, x, weight)]

        def call(tensors: list[Any] = tensors) -> Any:
            return torch.ops.aten.convolution_backward(*tensors, [shape.channels[1]], *words)[number]

        found[f"PyTorch{label}"] = Way(call, lambda result: result.numpy())
    return found
