"""The operators as PyTorch registers them: what they compute, the shapes of it, and their gradients.

One operator computes every convolution of layers, one all of its gradients. Arguments are plain numbers, checked and
spelled out before: strides and dilations an entry an axis, padding two (before, after). See `torch.library.custom_op`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striderule.errors import InvalidType
from striderule.functional import convolution, transposed
from striderule.functional.gradients.convolution import input_gradient, weight_gradient
from striderule.functional.precision import precision as held_precision
from striderule.geometry.problem import Convolution, TransposedConvolution

Ints = Sequence[int]


def array_of(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return the array that shares its memory with a tensor."""
    if tensor.device.type != "cpu":
        raise InvalidType(f"striderule computes on the CPU, and the tensor is on {tensor.device}; move it with .cpu()")
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes  # noqa: PLC0415 - NumPy's bfloat16 is of an extra

        words: np.ndarray[Any, Any] = tensor.detach().view(torch.int16).numpy()
        return words.view(ml_dtypes.bfloat16)
    found: np.ndarray[Any, Any] = tensor.detach().numpy()
    return found


def pairs(padding: Ints) -> list[tuple[int, int]]:
    """Return (before, after) for each axis."""
    return list(zip(padding[::2], padding[1::2], strict=True))


def _problem(
    x: Ints,
    weight: Ints,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
    transposed: bool,
    extra: Ints,
    dtype: str = "float32",
) -> Convolution | TransposedConvolution:
    """Return what is computed from shapes; symbolic ones become numbers, on which everything is checked."""
    shapes = tuple(int(n) for n in x), tuple(int(n) for n in weight)
    words: dict[str, Any] = {"stride": tuple(stride), "padding": pairs(padding), "dilation": tuple(dilation)}
    words |= {"groups": groups, "dtype": dtype}
    if transposed:
        return TransposedConvolution.from_shapes(*shapes, output_padding=tuple(extra), **words)
    return Convolution.from_shapes(*shapes, **words)


def output_format(x: Tensor) -> torch.memory_format:
    """Return the memory format that a result has: that of x."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    same = last is not None and x.is_contiguous(memory_format=last) and not x.is_contiguous()
    return last if last is not None and same else torch.contiguous_format


def output_like(x: Tensor, shape: Ints) -> Tensor:
    """Return an empty tensor of a shape, in the memory format of x."""
    return torch.empty(tuple(shape), dtype=x.dtype, device=x.device, memory_format=output_format(x))


@torch.library.custom_op("striderule::convolution", mutates_args=(), device_types="cpu")
def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    transposed_: bool,
    output_padding: Sequence[int],
    precision: str,
) -> Tensor:
    """Return a convolution of (batch, channels, *size), or a transposed one."""
    rank = x.ndim - 2
    words: dict[str, Any] = {"padding": pairs(padding), "precision": precision}
    problem = _problem(x.shape, weight.shape, stride, padding, dilation, groups, transposed_, output_padding)
    out = output_like(x, problem.output_shape)
    arrays = [array_of(x), array_of(weight), None if bias is None else array_of(bias)]
    words |= {"stride": tuple(stride), "dilation": tuple(dilation), "groups": groups, "out": array_of(out)}
    if transposed_:
        op = getattr(transposed, f"conv_transpose{rank}d")
        op(*arrays, output_padding=tuple(output_padding), **words)
    else:
        getattr(convolution, f"conv{rank}d")(*arrays, **words)
    return out


@convolve.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,  # noqa: ARG001 - the shape does not depend on it
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
    transposed_: bool,
    output_padding: Ints,
    precision: str,  # noqa: ARG001
) -> Tensor:
    # Sizes may be symbols here: the relations of `striderule.geometry.window`, written for them.
    sizes = []
    for i, n in enumerate(x.shape[2:]):
        extent = dilation[i] * (weight.shape[2 + i] - 1) + 1
        before, after = padding[2 * i], padding[2 * i + 1]
        if transposed_:
            sizes.append((n - 1) * stride[i] + extent - before - after + output_padding[i])
        else:
            sizes.append((n + before + after - extent) // stride[i] + 1)
    channels = weight.shape[1] * groups if transposed_ else weight.shape[0]
    return output_like(x, (x.shape[0], channels, *sizes))


@torch.library.custom_op("striderule::convolution_backward", mutates_args=(), device_types="cpu")
def convolve_backward(
    gy: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    transposed_: bool,
    output_padding: Sequence[int],
    precision: str,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias; those that are not `wanted` have no elements."""
    arrays = [array_of(one) for one in (gy, x, weight)]
    wide = np.result_type(*(np.float32 if one.dtype.itemsize < 4 else one.dtype for one in arrays))
    g, image, taps = (one.astype(wide, copy=False) for one in arrays)
    problem = _problem(
        x.shape, weight.shape, stride, padding, dilation, groups, transposed_, output_padding, dtype=wide.name
    )
    found: list[Tensor] = []
    with held_precision(precision):
        found.append(_tensor(input_gradient(problem, g, taps), x) if wanted[0] else x.new_empty(0))
        found.append(_tensor(weight_gradient(problem, image, g), weight) if wanted[1] else weight.new_empty(0))
    sums = g.reshape(*g.shape[:2], -1).sum(axis=2).sum(axis=0, dtype=np.float64) if wanted[2] else None
    found.append(x.new_empty(0) if sums is None else _tensor(sums, weight))
    return found[0], found[1], found[2]


def _tensor(array: np.ndarray[Any, Any], like: Tensor) -> Tensor:
    """Return an array as a tensor of the type of another."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(like.dtype)


@convolve_backward.register_fake
def _(
    gy: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: Ints,  # noqa: ARG001
    padding: Ints,  # noqa: ARG001
    dilation: Ints,  # noqa: ARG001
    groups: int,  # noqa: ARG001
    transposed_: bool,  # noqa: ARG001
    output_padding: Ints,  # noqa: ARG001
    precision: str,  # noqa: ARG001
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    shapes = (x.shape, weight.shape, (gy.shape[1],))
    first, second, third = (shape if asked else (0,) for shape, asked in zip(shapes, wanted, strict=True))
    return x.new_empty(first), weight.new_empty(second), weight.new_empty(third)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - PyTorch passes it
    x, weight, bias, *words = inputs
    ctx.save_for_backward(x, weight)
    ctx.words, ctx.biased = words, bias is not None


def _pull(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.biased and ctx.needs_input_grad[2]]
    found = convolve_backward(gy, x, weight, *ctx.words, wanted)
    pulled = [one if asked else None for one, asked in zip(found, wanted, strict=True)]
    return (*pulled, *(None for _ in ctx.words))


convolve.register_autograd(_pull, setup_context=_keep)
