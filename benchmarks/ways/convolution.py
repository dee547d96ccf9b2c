"""Convolutions of layers and transposed ones: ours and PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import striderule as sr
from benchmarks import exact
from benchmarks.shapes import Shape
from benchmarks.ways.contest import OURS, Array, Contest, Setting, Way, formats, operands, ordered, ours, tensor


def contest(shape: Shape, setting: Setting) -> Contest:
    """Return the contest of a convolution."""
    x, weight = operands(shape)
    words: dict[str, Any] = {
        "stride": shape.stride, "padding": shape.padding, "dilation": shape.dilation, "groups": shape.groups,
    }  # fmt: skip
    if shape.driver == "deconv":
        words["output_padding"] = shape.output_padding
    op = getattr(sr, _name(shape, shape.rank))
    found = {OURS: ours(setting, op, ordered(x, setting.channels_last), weight, **words)}
    if setting.torch is not None:
        calls = list(_calls(setting.torch, shape, x, weight, words))
        found |= dict(_plain(setting.torch, shape, calls))
        if setting.compiled:
            found |= dict(_packed(setting.torch, shape, calls))
        if setting.precision == "medium" and shape.dtypes[0] == "float32":
            theirs = {name: way for name, way in found.items() if name != OURS}
            found |= {f"{name}, bf16 products": _rougher(setting.torch, way) for name, way in theirs.items()}
    pick, right = exact.convolution(shape, x, weight)
    return Contest(found, right, pick, 0.0 if x.dtype.kind in "iu" else setting.same(shape.dtypes[0]))


@dataclass(frozen=True, slots=True)
class Call:
    """One of PyTorch's calls: `label` ends its name, `flat` says that its second axis is to be taken away again."""

    label: str
    rank: int
    x: Any
    weight: Any
    words: dict[str, Any]
    flat: bool = False

    def way(self, op: Callable[..., Any], *arguments: Any, **words: Any) -> Way:
        """Return the call of `op`."""
        if self.flat:
            return Way(lambda: op(*arguments, **words)[:, :, 0], _numpy)
        return Way(lambda: op(*arguments, **words), _numpy)


def _calls(torch: Any, shape: Shape, x: Array, weight: Array, words: dict[str, Any]) -> Iterator[Call]:
    """Give data and weights in every order of memory; one axis also as two, which have the faster ways.

    Integers are in the type of the result: PyTorch's sums have that of its operands.
    """
    tensors = [tensor(torch, operand, shape.dtypes[2]) for operand in (x, weight)]
    for label, order in formats(torch, shape.rank).items():
        a, w = (one.contiguous(memory_format=order) for one in tensors)
        yield Call(label, shape.rank, a, w, words)
    if shape.rank == 1 and x.dtype.kind in "fV":
        a, w = (one[:, :, None].contiguous(memory_format=torch.channels_last) for one in tensors)
        first = {"stride": (1,), "padding": (0,), "dilation": (1,), "output_padding": (0,)}
        wide = {word: first[word] + value if word in first else value for word, value in words.items()}
        yield Call(" 2-D channels last", 2, a, w, wide, flat=True)


def _plain(torch: Any, shape: Shape, calls: list[Call]) -> Iterator[tuple[str, Way]]:
    """Give the calls that users write."""
    for call in calls:
        op = getattr(torch.nn.functional, _name(shape, call.rank))
        yield f"PyTorch{call.label}", call.way(op, call.x, call.weight, **call.words)


def _packed(torch: Any, shape: Shape, calls: list[Call]) -> Iterator[tuple[str, Way]]:
    """Give oneDNN's calls with weights that it has packed before; none where it has none.

    They are what torch.compile makes of a frozen model, without its compiler: the weights are reordered for the shape
    of the input, and the call takes the reordered ones. Nothing that PyTorch offers for float32 is nearer to oneDNN.
    """
    for call in calls:
        padding, stride, dilation = (list(call.words[word]) for word in ("padding", "stride", "dilation"))
        if shape.driver == "deconv":
            more = [padding, list(call.words["output_padding"]), stride, dilation, shape.groups]
            names = "_reorder_convolution_transpose_weight", "_convolution_transpose_pointwise"
        else:
            more = [padding, stride, dilation, shape.groups]
            names = "_reorder_convolution_weight", "_convolution_pointwise"
        pack, op = (getattr(torch.ops.mkldnn, name) for name in names)
        try:
            arguments = (call.x, pack(call.weight, *more, list(call.x.shape)), None, *more, "none", [], None)
            op(*arguments)
        except RuntimeError:  # oneDNN does not serve this type or structure
            continue
        yield f"PyTorch packed{call.label}", call.way(op, *arguments)


def _rougher(torch: Any, way: Way) -> Way:
    """Return a way that may multiply float32 numbers in bfloat16, which PyTorch is asked for by its own setting."""
    settings = torch.backends.mkldnn.conv

    def call() -> Any:
        settings.fp32_precision = "bf16"
        try:
            return way.call()
        finally:
            settings.fp32_precision = "none"

    return Way(call, way.array)


def _name(shape: Shape, rank: int) -> str:
    return f"{'conv_transpose' if shape.driver == 'deconv' else 'conv'}{rank}d"


def _numpy(result: Any) -> Array:
    return np.asarray(result.float().numpy() if str(result.dtype) == "torch.bfloat16" else result.numpy())
