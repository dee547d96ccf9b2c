"""`compile`: a call with everything bound but its first argument."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import door
from striderule.functional.planned import Array, explain, noted, replaced
from striderule.functional.precision import Standing, standing, under
from striderule.functional.recipes import recipe_of
from striderule.planning import Plan, Plans

# Kinds of arrays, by their strides, that a compiled function is bound to; others take the way of an ordinary call.
MOST = 4


class Compiled:
    """A function of one array, made by `striderule.compile`.

    ``f(x)`` takes an array of the shape and type that it was compiled for; ``f(x, out=y)`` writes the result to y, if
    the function has `out`. ``f.plan`` is the plan of the call. It pickles; what is read back is planned anew, for the
    machine that reads it, with the same precision.
    """

    def __init__(
        self, op: Callable[..., Any], spec: Array, args: tuple[Any, ...], kwargs: dict[str, Any], precision: str
    ) -> None:
        self.op = op
        self.spec = spec
        self._args, self._kwargs = args, kwargs
        # What holds in every call, wherever it is made: all are planned alike.
        self._held = Standing(precision, packed=True)
        with under(self._held):
            self.plan: Plan | Plans = explain(op, spec, *args, **kwargs)
        # What layers say that they call; functions are called as they are.
        says = getattr(op, "__compile__", None)
        self._call = (op, args, kwargs) if says is None else says()
        self._ready: dict[Any, Callable[[Any, Any], Any]] = {}
        self._bind(np.zeros(spec.shape, spec.dtype), None)

    def __call__(self, x: Any, *, out: Any = None) -> Any:
        """Return what the function gives for x.

        Raises
        ------
        InvalidArgument
            If x has another shape or type than was compiled for.
        """
        if type(x) is np.ndarray and noted.get() is None:
            ready = self._ready.get((x.shape, x.strides, x.dtype) if out is None else _like(x, out))
            result = None if ready is None else ready(x, out)
            if result is not None:
                return result
        value = door.stored(x, "x")
        if value.shape != self.spec.shape or value.dtype != self.spec.dtype:
            raise InvalidArgument(
                f"x must have the shape {self.spec.shape} and the type {self.spec.dtype}, which this was compiled for, "
                f"got {value.shape} and {value.dtype}; compile again for another"
            )
        if type(x) is np.ndarray and noted.get() is None and len(self._ready) < MOST:
            self._bind(value, out)
        with under(self._held):
            return self.op(value, *self._args, **(self._kwargs if out is None else self._kwargs | {"out": out}))

    def _bind(self, x: Any, out: Any) -> None:
        """Be ready for arrays like these, if the function can be."""
        function, args, kwargs = self._call
        with under(self._held):
            recipe = recipe_of(function, (x, *args), kwargs if out is None else {**kwargs, "out": out})
        if recipe is not None:
            self._ready[_like(x, out)] = recipe

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.op, self.spec, self._args, self._kwargs, self._held.precision)

    def __repr__(self) -> str:
        return f"<compiled {getattr(self.op, '__name__', type(self.op).__name__)} of {self.spec}>"


def _like(x: Any, out: Any) -> Any:
    """Return what tells arrays apart that a bound call tells apart; None where `out` is no plain array."""
    if out is None:
        return x.shape, x.strides, x.dtype
    return (x.shape, x.strides, x.dtype, out.shape, out.strides, out.dtype) if type(out) is np.ndarray else None


def compile(op: Callable[..., Any], *args: Any, **kwargs: Any) -> Compiled:  # noqa: A001 - the name that users know
    """Bind everything of a call but its first argument, and plan it once.

    Parameters
    ----------
    op
        A function of striderule, or a layer.
    *args, **kwargs
        What would be passed to it. Of the first argument, an array or a `striderule.Array`, only shape and type are
        kept. All others are copied: changing an array afterwards changes nothing. Weights are packed once, if the
        algorithm packs them.

    Returns
    -------
    Compiled
        ``f(x)`` gives what ``op(x, ...)`` gives. ``f.plan`` tells how; it pickles as long as `op` does. Machine code is
        made now, for the target of now: ``STRIDERULE_TARGET`` is not looked at again. So is the precision: what holds
        now, if the call names none, is kept. The number of threads is that of each call. Since nobody waits for the
        packing of weights, the algorithm may be another than that of the call, and then its last digits are.

    Raises
    ------
    InvalidArgument, InvalidType, UnprovenRange
        What the call would raise for these arguments, and if a `striderule.Array` stands for anything but the first.

    Examples
    --------
    >>> import numpy as np
    >>> import striderule as sr
    >>> f = sr.compile(sr.conv2d, sr.Array((1, 3, 8, 8)), np.ones((4, 3, 3, 3), np.float32), padding=1)
    >>> f(np.ones((1, 3, 8, 8), np.float32)).shape
    (1, 4, 8, 8)
    >>> f.plan.work.operations
    6912
    """
    if not callable(op):
        raise InvalidType(f"op must be a function of striderule or a layer, got {op!r}")
    x, rest, words = _first(op, args, kwargs)
    if not inspect.isroutine(op):  # a layer, whose weights are bound too
        op = copy.deepcopy(op)
    if words.get("out") is not None:
        raise InvalidArgument("out is given to each call: f = compile(op, x, ...); f(x, out=y)")
    if isinstance(x, Array):
        spec = x
    else:
        value = door.stored(x, "the first argument")
        spec = Array(value.shape, value.dtype)
    bound = tuple(replaced(value, _kept) for value in rest)
    named = {key: replaced(value, _kept) for key, value in words.items()}
    return Compiled(op, spec, bound, named, standing().precision)


def _first(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return the first argument, however it was given, and the others."""
    if args:
        return args[0], args[1:], dict(kwargs)
    words = dict(kwargs)
    for name in ("input", next(iter(inspect.signature(op).parameters), "x")):
        if name in words:
            return words.pop(name), (), words
    raise InvalidType("compile needs the first argument of the function: an array, or striderule.Array(shape, dtype)")


def _kept(value: Any) -> Any:
    """Return a copy that nobody else can change."""
    if isinstance(value, Array):
        raise InvalidArgument(f"only the first argument may be a stand-in; the others are bound, got {value!r}")
    if isinstance(value, np.ndarray):
        kept = value.copy(order="K")
        kept.setflags(write=False)
        return kept
    return copy.deepcopy(value)
