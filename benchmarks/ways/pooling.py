"""Pooling: ours and PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import striderule as sr
from benchmarks.shapes import Shape
from benchmarks.ways.contest import OURS, SAME, Array, Contest, Setting, Way, formats, operands, ordered, ours

# kind -> the function of both, without its rank, and what it is called with.
Call = tuple[str, Callable[[Shape], tuple[tuple[Any, ...], dict[str, Any]]]]
CALLS: dict[str, Call] = {
    "max": ("max_pool", lambda s: ((s.kernel, s.stride, s.padding, s.dilation), {})),
    "max_indices": ("max_pool", lambda s: ((s.kernel, s.stride, s.padding, s.dilation), {"return_indices": True})),
    "avg": ("avg_pool", lambda s: ((s.kernel, s.stride, s.padding), {})),
    "lp": ("lp_pool", lambda s: ((2, s.kernel, s.stride), {})),
    "adaptive_avg": ("adaptive_avg_pool", lambda s: ((s.output,), {})),
    "adaptive_max": ("adaptive_max_pool", lambda s: ((s.output,), {})),
}


def contest(shape: Shape, setting: Setting) -> Contest:
    """Return the contest of pooling."""
    name, arguments = CALLS[shape.kind]
    rest, words = arguments(shape)
    if shape.rank == 1:  # one number for the one axis: PyTorch's lp_pool1d takes no tuple
        rest = tuple(part[0] if isinstance(part, tuple) else part for part in rest)
    x, _ = operands(shape)
    op = getattr(sr, f"{name}{shape.rank}d")
    call = ours(setting, op, ordered(x, setting.channels_last), *rest, **words).call
    found = {OURS: Way(call, _whole)}
    if setting.torch is not None:
        theirs = getattr(setting.torch.nn.functional, f"{name}{shape.rank}d")
        for label, order in formats(setting.torch, shape.rank).items():
            tensor = setting.torch.from_numpy(x).contiguous(memory_format=order)
            found[f"PyTorch{label}"] = Way(partial(theirs, tensor, *rest, **words), _whole)
    exact = _whole(op(x.astype(np.float64), *rest, algorithm="windows", **words))
    return Contest(found, exact, same=0.0 if "max" in shape.kind else SAME)


def _whole(result: Any) -> Array:
    """Return the values, with the indices behind them where there are any."""
    if isinstance(result, tuple):
        return np.stack([np.asarray(part, np.float64) for part in result])
    return np.asarray(result)
