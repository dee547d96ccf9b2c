"""Functions that do not know bfloat16 compute with float32 in its place, and what they give is rounded back."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from striderule.functional import bfloat16, door

P = ParamSpec("P")
R = TypeVar("R")

# Functions whose second operand has a say in the type of the result; in others it is that of the first alone.
_BOTH = ("prelu",)


def widened(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function take bfloat16, too."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if is_asked(args, kwargs):
            result: R = by_float32(function, *args, **kwargs)
            return result
        return function(*args, **kwargs)

    return wrapper


def is_asked(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether one of the arguments is an array of bfloat16."""
    return any(isinstance(value, np.ndarray) and bfloat16.holds(value.dtype) for value in (*args, *kwargs.values()))


def by_float32(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function with float32 arrays in the place of bfloat16, and round what it gives half to even.

    Where the function gives float16 for float16, it gives bfloat16 here. Statistics that are updated are rounded, too.
    """
    out = kwargs.pop("out", None)
    words = {**dict(zip(inspect.unwrap(function).__code__.co_varnames, args, strict=False)), **kwargs}
    given = {name: value for name, value in words.items() if isinstance(value, np.ndarray)}
    wide = {name: value.astype(np.float32) for name, value in given.items() if bfloat16.holds(value.dtype)}
    passed = [wide.get(name, value) for name, value in words.items()]
    result = function(*passed[: len(args)], **dict(zip(list(words)[len(args) :], passed[len(args) :], strict=True)))
    if words.get("training"):
        for name in wide.keys() & {"running_mean", "running_var"}:
            given[name][...] = wide[name]
    deciding = list(given.values())[: 2 if function.__name__ in _BOTH else 1] or [out]
    kind = bfloat16.promoted(*(value.dtype for value in deciding))
    if isinstance(result, tuple):
        return tuple(_rounded(part, kind) for part in result)
    result = _rounded(result, kind)
    door.check_out(out, result.shape, result.dtype, list(given.values()), same=True)
    return door.finish(result, result.dtype, out=out)


def _rounded(part: Any, kind: np.dtype[Any]) -> Any:
    return part.astype(kind) if bfloat16.holds(kind) and part.dtype == np.float32 else part
