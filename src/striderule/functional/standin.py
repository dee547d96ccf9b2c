"""Arrays with a shape and a type and nothing in them, for planning without computing.

A `StandIn` is one number seen from every position (all strides are zero). What the functions do with arrays at their
door, it answers with stand-ins: elementwise operations and sums look at that one number only, so a plan for an image of
any size costs the same. JAX's ``eval_shape`` does the same for its own operations.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from striderule.geometry.arguments import is_sequence


class StandIn(np.ndarray[Any, np.dtype[Any]]):
    """One number in the place of an array; made by `stand_in`."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        """Answer elementwise operations and reductions by the one number."""
        out = keywords.pop("out", None)
        keywords.pop("where", None)
        samples = [_sample(value) for value in inputs]
        if method == "reduce":
            return _reduced(ufunc, inputs[0], samples[0], **keywords) if out is None else out[0]
        if method != "__call__" or ufunc.signature is not None:
            return NotImplemented
        result = getattr(ufunc, method)(*samples, **keywords)
        if out is not None:
            return out[0] if len(out) == 1 else out
        shape = np.broadcast_shapes(*(np.shape(value) for value in inputs))
        if isinstance(result, tuple):
            return tuple(stand_in(shape, part.dtype, part.reshape(-1)[0]) for part in result)
        return stand_in(shape, result.dtype, result.reshape(-1)[0])

    def __array_function__(self, function: Any, types: Any, args: Any, keywords: Any) -> Any:
        """Answer the few functions that would fill memory; the others make views, or are small."""
        if function is np.where and len(args) == 3:
            shape = np.broadcast_shapes(*(np.shape(value) for value in args))
            result = np.where(*(_sample(value) for value in args))
            return stand_in(shape, result.dtype, result.reshape(-1)[0])
        if function is np.zeros_like:
            return stand_in(self.shape, args[1] if len(args) > 1 else keywords.get("dtype") or self.dtype, 0)
        if function is np.concatenate:
            axis = (keywords.get("axis", 0) if len(args) < 2 else args[1]) % args[0][0].ndim
            sizes = [
                sum(one.shape[axis] for one in args[0]) if n == axis else size for n, size in enumerate(self.shape)
            ]
            return stand_in(tuple(sizes), np.result_type(*(one.dtype for one in args[0])), self.value)
        if function is np.stack:
            return stand_in((len(args[0]), *self.shape), self.dtype, self.value)
        if function in (np.broadcast_to, np.copy, np.ascontiguousarray):
            return stand_in(args[1] if function is np.broadcast_to else args[0].shape, self.dtype, self.value)
        return super().__array_function__(function, types, args, keywords)

    @property
    def value(self) -> Any:
        """The number."""
        return _sample(self).reshape(-1)[0]

    def astype(self, dtype: Any, *_: Any, **__: Any) -> StandIn:
        """Return a stand-in of another type."""
        with np.errstate(all="ignore"):
            return stand_in(self.shape, np.dtype(dtype), self.value.astype(dtype))

    def copy(self, *_: Any) -> StandIn:
        """Return itself: there is nothing to copy."""
        return self

    def reshape(self, *shape: Any, **_: Any) -> StandIn:
        """Return a stand-in of another shape."""
        wanted = tuple(shape[0]) if len(shape) == 1 and is_sequence(shape[0]) else shape
        known = prod(size for size in wanted if size != -1)
        sizes = tuple(self.size // max(1, known) if size == -1 else int(size) for size in wanted)
        return stand_in(sizes, self.dtype, self.value)

    def __getitem__(self, index: Any) -> Any:
        """Return a view; a mask chooses an unknown number of elements, taken as none."""
        for entry in index if isinstance(index, tuple) else (index,):
            if isinstance(entry, np.ndarray) and entry.dtype.kind == "b":
                return stand_in((0, *self.shape[entry.ndim :]), self.dtype, self.value)
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Do nothing: there is nowhere to write."""


def _sample(value: Any) -> Any:
    """Return an array of one element of an operand's type; plain numbers stay, since they widen no type."""
    if not isinstance(value, np.ndarray):
        return value
    plain = value.view(np.ndarray)
    return plain[(slice(0, 1),) * plain.ndim].reshape(-1) if plain.size else np.ones(1, plain.dtype)


def _reduced(ufunc: np.ufunc, source: Any, sample: Any, **keywords: Any) -> Any:
    """Return a reduction of equal numbers: sums count them, the others give the number."""
    axis, keep = keywords.pop("axis", 0), keywords.pop("keepdims", False)
    chosen = range(source.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = {number % source.ndim for number in chosen} if source.ndim else set()
    result = ufunc.reduce(sample, **{key: value for key, value in keywords.items() if value is not None})
    if ufunc is np.add:
        result = result * result.dtype.type(prod(source.shape[number] for number in axes))
    kept = [1 if number in axes else size for number, size in enumerate(source.shape) if keep or number not in axes]
    return stand_in(tuple(kept), result.dtype, result) if kept else result


def stand_in(shape: tuple[int, ...], dtype: Any, value: Any = 1) -> StandIn:
    """Return an array of a shape and type in which every element is `value`, in the memory of one."""
    one = np.asarray(value, dtype=dtype).reshape(())
    made: StandIn = np.broadcast_to(one, shape).view(StandIn)
    return made
