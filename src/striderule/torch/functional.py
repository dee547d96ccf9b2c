"""Convolutions of tensors, with the signatures of `torch.nn.functional`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
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


_DOC = """{what} tensors with weights over {axes}.

    Parameters
    ----------
    {words}
        As for `torch.nn.functional.{name}`; tensors are on the CPU.
    precision
        What float32 sums promise: ``"highest"``, ``"high"`` or ``"medium"``. Default: what
        ``torch.get_float32_matmul_precision()`` says.

    Returns
    -------
    torch.Tensor
        Of the type and in the memory format of the input, with gradients.
    """
_AXES = ("", "one axis", "two axes", "three axes")


def _correlating(rank: int) -> Callable[..., Tensor]:
    def conv(
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
        return _convolution(rank, input, weight, bias, stride, padding, dilation, groups, None, precision)

    return _told(conv, f"conv{rank}d", "Correlate", rank)


def _spreading(rank: int) -> Callable[..., Tensor]:
    def conv(
        input: Tensor,  # noqa: A002 - PyTorch's name
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
        return _convolution(rank, input, weight, bias, stride, padding, dilation, groups, output_padding, precision)

    return _told(conv, f"conv_transpose{rank}d", "Spread", rank)


def _told(function: Callable[..., Tensor], name: str, what: str, rank: int) -> Callable[..., Tensor]:
    """Return a function under its public name, with its documentation."""
    words = ", ".join(list(inspect.signature(function).parameters)[:-1])
    function.__name__ = function.__qualname__ = name
    function.__doc__ = _DOC.format(what=what, axes=_AXES[rank], words=words, name=name)
    return function


conv1d, conv2d, conv3d = (_correlating(rank) for rank in (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = (_spreading(rank) for rank in (1, 2, 3))
