"""Convolutions of tensors, with the signatures of `torch.nn.functional`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from striderule.errors import InvalidArgument
from striderule.geometry.arguments import per_axis
from striderule.geometry.padding import parse_padding
from striderule.torch.operators import convolve

Numbers = int | Sequence[int]


def _convolution(
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Numbers,
    padding: Any,
    dilation: Numbers,
    groups: int,
    output_padding: Numbers | None,
    precision: str | None,
) -> Tensor:
    """Spell the arguments out, and call the operator."""
    if x.ndim not in (rank + 1, rank + 2):
        raise InvalidArgument(f"input must have {rank + 2} axes, or {rank + 1} without batch, got {tuple(x.shape)}")
    alone = x.ndim == rank + 1
    image = x[None] if alone else x
    steps, gaps = (
        per_axis(_plain(value), rank, name, 1) for value, name in ((stride, "stride"), (dilation, "dilation"))
    )
    size, kernel = tuple(image.shape[2:]), tuple(weight.shape[2:])
    sides = parse_padding(_plain(padding), size=size, kernel=kernel, stride=steps, dilation=gaps)
    flat = [side for pair in sides for side in pair]
    transposed = output_padding is not None
    extra = per_axis(_plain(output_padding), rank, "output_padding", 0) if transposed else (0,) * rank
    promise = precision or torch.get_float32_matmul_precision()
    found: Tensor = convolve(
        image, weight, bias, list(steps), flat, list(gaps), groups, transposed, list(extra), promise
    )
    return found[0] if alone else found


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, torch.Size | list) else value


def conv1d(
    input: Tensor,  # noqa: A002 - PyTorch's name
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    precision: str | None = None,
) -> Tensor:
    """Correlate tensors with weights over one axis.

    Parameters
    ----------
    input, weight, bias, stride, padding, dilation, groups
        As for `torch.nn.functional.conv1d`; tensors are on the CPU.
    precision
        What float32 sums promise: ``"highest"``, ``"high"`` or ``"medium"``. Default: what
        ``torch.get_float32_matmul_precision()`` says.

    Returns
    -------
    torch.Tensor
        Of the type and in the memory format of the input, with gradients.
    """
    return _convolution(1, input, weight, bias, stride, padding, dilation, groups, None, precision)


def conv2d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    precision: str | None = None,
) -> Tensor:
    """Correlate tensors with weights over two axes.

    Parameters
    ----------
    input, weight, bias, stride, padding, dilation, groups
        As for `torch.nn.functional.conv2d`; tensors are on the CPU.
    precision
        What float32 sums promise: ``"highest"``, ``"high"`` or ``"medium"``. Default: what
        ``torch.get_float32_matmul_precision()`` says.

    Returns
    -------
    torch.Tensor
        Of the type and in the memory format of the input, with gradients.
    """
    return _convolution(2, input, weight, bias, stride, padding, dilation, groups, None, precision)


def conv3d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    precision: str | None = None,
) -> Tensor:
    """Correlate tensors with weights over three axes.

    Parameters
    ----------
    input, weight, bias, stride, padding, dilation, groups
        As for `torch.nn.functional.conv3d`; tensors are on the CPU.
    precision
        What float32 sums promise: ``"highest"``, ``"high"`` or ``"medium"``. Default: what
        ``torch.get_float32_matmul_precision()`` says.

    Returns
    -------
    torch.Tensor
        Of the type and in the memory format of the input, with gradients.
    """
    return _convolution(3, input, weight, bias, stride, padding, dilation, groups, None, precision)


def conv_transpose1d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
    *,
    precision: str | None = None,
) -> Tensor:
    """Spread tensors with weights over one axis.

    Parameters
    ----------
    input, weight, bias, stride, padding, output_padding, groups, dilation
        As for `torch.nn.functional.conv_transpose1d`; tensors are on the CPU.
    precision
        What float32 sums promise: ``"highest"``, ``"high"`` or ``"medium"``. Default: what
        ``torch.get_float32_matmul_precision()`` says.

    Returns
    -------
    torch.Tensor
        Of the type and in the memory format of the input, with gradients.
    """
    return _convolution(1, input, weight, bias, stride, padding, dilation, groups, output_padding, precision)


def conv_transpose2d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
    *,
    precision: str | None = None,
) -> Tensor:
    """Spread tensors with weights over two axes.

    Parameters
    ----------
    input, weight, bias, stride, padding, output_padding, groups, dilation
        As for `torch.nn.functional.conv_transpose2d`; tensors are on the CPU.
    precision
        What float32 sums promise: ``"highest"``, ``"high"`` or ``"medium"``. Default: what
        ``torch.get_float32_matmul_precision()`` says.

    Returns
    -------
    torch.Tensor
        Of the type and in the memory format of the input, with gradients.
    """
    return _convolution(2, input, weight, bias, stride, padding, dilation, groups, output_padding, precision)


def conv_transpose3d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
    *,
    precision: str | None = None,
) -> Tensor:
    """Spread tensors with weights over three axes.

    Parameters
    ----------
    input, weight, bias, stride, padding, output_padding, groups, dilation
        As for `torch.nn.functional.conv_transpose3d`; tensors are on the CPU.
    precision
        What float32 sums promise: ``"highest"``, ``"high"`` or ``"medium"``. Default: what
        ``torch.get_float32_matmul_precision()`` says.

    Returns
    -------
    torch.Tensor
        Of the type and in the memory format of the input, with gradients.
    """
    return _convolution(3, input, weight, bias, stride, padding, dilation, groups, output_padding, precision)
