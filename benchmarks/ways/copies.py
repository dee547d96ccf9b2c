"""Padding, unfolding and folding: ours and PyTorch's, written to an array that is there already where they can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import striderule as sr
from benchmarks.shapes import Shape
from benchmarks.ways.contest import OURS, SAME, Array, Contest, Setting, Way, operands, ordered, ours


def contest(shape: Shape, setting: Setting) -> Contest:
    """Return the contest of a copy."""
    x, _ = operands(shape)
    rest = _rest(shape)
    words = {"mode": shape.kind} if shape.driver == "pad" else {}
    op = getattr(sr, shape.driver)
    mine = ordered(x, setting.channels_last and shape.driver != "fold")
    out = np.zeros(shape.output_shape, x.dtype)
    found = {OURS: ours(setting, op, mine, *rest, out=out, **words)}
    if setting.torch is not None:
        found |= {name: Way(call, np.asarray) for name, call in _torch(setting.torch, shape, x, rest)}
    exact = op(x.astype(np.float64), *rest, algorithm="windows", **words)
    return Contest(found, exact, same=SAME if shape.driver == "fold" else 0.0)


def _rest(shape: Shape) -> tuple[Any, ...]:
    """Return the arguments after the first: the same for us and for PyTorch."""
    if shape.driver == "pad":
        return ([more for axis in reversed(shape.padding) for more in (axis, axis)],)
    windows = (shape.kernel, shape.dilation, shape.padding, shape.stride)
    return (shape.size, *windows) if shape.driver == "fold" else windows


def _torch(torch: Any, shape: Shape, x: Array, rest: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    tensor, out = torch.from_numpy(x), torch.zeros(shape.output_shape)
    aten, functional = torch.ops.aten, torch.nn.functional
    if shape.driver == "unfold":
        yield "PyTorch", lambda: functional.unfold(tensor, *rest)
        yield "PyTorch out", lambda: aten.im2col.out(tensor, *rest, out=out)
    elif shape.driver == "fold":
        yield "PyTorch", lambda: functional.fold(tensor, *rest)
        yield "PyTorch out", lambda: aten.col2im.out(tensor, *rest, out=out)
    else:
        yield "PyTorch", lambda: functional.pad(tensor, *rest, mode=shape.kind)
        name = {"constant": "constant_pad_nd", "reflect": "reflection_pad{}d", "replicate": "replication_pad{}d"}
        if shape.kind in name:
            op = getattr(aten, name[shape.kind].format(shape.rank)).out
            yield "PyTorch out", lambda: op(tensor, *rest, out=out)
        # What a careful user writes: the frame once, the inside by a copy.
        if shape.kind == "constant":
            inside = out[(..., *(slice(more, -more or None) for more in shape.padding))]

            def copied() -> Any:
                inside.copy_(tensor)
                return out

            yield "PyTorch copied inside", copied
