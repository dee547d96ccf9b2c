"""`vjp`: the result of a function and what pulls gradients back through it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from striderule.errors import InvalidArgument, InvalidType
from striderule.functional import bfloat16, door
from striderule.functional.door import Array
from striderule.functional.gradients.call import Call, Pull, Rule
from striderule.functional.gradients.without import WITHOUT

# The modules of rules, by what they differentiate; each has a dictionary `RULES` from names to rules.
FAMILIES = (
    "activation",
    "convolution",
    "dropout",
    "images",
    "interpolate",
    "linear",
    "losses",
    "moves",
    "normalization",
    "pooling",
    "separable",
    "softmax",
)
HOMES = ("striderule.functional.", "striderule.filters.")


class Pullback:
    """What pulls a gradient back through one call, made by `striderule.vjp`: ``pullback(gy)``."""

    __slots__ = ("__weakref__", "_given", "_name", "_pull", "dtype", "shape")

    def __init__(
        self, name: str, pull: Pull, given: tuple[tuple[str, Any], ...], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._name, self._pull, self._given = name, pull, given
        self.shape, self.dtype = shape, dtype

    def __call__(self, gy: Any) -> tuple[Array | None, ...]:
        """Return one gradient for each positional argument of the call: None where it has none."""
        # What fits as it is needs no closer look: small layers wait for every one.
        fits = type(gy) is np.ndarray and gy.dtype is self.dtype and gy.shape == self.shape
        gradient = gy if fits else self._opened(gy)
        found = self._pull(gradient)
        return tuple(
            [None if dtype is None else _as_given(found.get(name), dtype, gradient) for name, dtype in self._given]
        )

    def _opened(self, gy: Any) -> Array:
        """Return the gradient of the result in its type; refuse what is none."""
        gradient = door.array(gy, "gy", bfloat=True)
        if gradient.shape != self.shape:
            raise InvalidArgument(f"gy must have the shape of the result {self.shape}, got {gradient.shape}")
        if gradient.dtype.kind == "c":
            raise InvalidType("gy must be real, as the result is; got complex numbers")
        return gradient.astype(self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<pullback of {self._name}>"


def _as_given(found: Array | None, dtype: np.dtype[Any], gy: Array) -> Array | None:
    """Return a gradient in the type of its argument, in memory of its own."""
    if found is None:
        return None
    if type(found) is not np.ndarray or found.dtype is not dtype:
        found = np.asarray(found).astype(dtype, copy=False)
    # What owns its memory was made for it.
    if found is not gy and found.base is None:
        return found
    return found.copy() if np.may_share_memory(found, gy) else found


def vjp(op: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, Pullback]:
    """Return the result of a function, and what pulls the gradient of a number back from the result to the arguments.

    With y = op(x, w, ...) and L any number that depends on y, ``pullback(dL/dy)`` gives dL/dx, dL/dw, ...: the vector
    gy times the Jacobian matrix of the function, which is never formed.

    Parameters
    ----------
    op
        A differentiable function of striderule: convolutions of every kind, pooling, activations, `pad`, `unfold`,
        normalisations, `correlate`, `convolve`, filters... `striderule.functional.gradients.without` lists the others.
    *args, **kwargs
        What would be passed to it. Gradients are given for positional arguments alone. Arrays are kept for `pullback`,
        not copied: do not change them before.

    Returns
    -------
    y
        What ``op(*args, **kwargs)`` gives.
    pullback
        ``pullback(gy)`` takes an array of the shape of y (of the first result where there are several) and returns a
        tuple: for each positional argument an array of its shape and type, or None where it is no array of floats, or
        a running statistic. It may be called again.

    Raises
    ------
    InvalidType
        If `op` is no differentiable function of striderule, or an argument is complex.
    InvalidArgument
        What the function raises for these arguments; from `pullback`, if gy has another shape than y.

    Notes
    -----
    At kinks and ties the conventions are PyTorch's: relu has the gradient 0 at 0, of equal values a maximum belongs to
    the first. Where it is no convention of theirs: lengths of gradients and local standard deviations give 0 where they
    are 0. The formulas of convolutions are derived in `striderule.geometry.gradients`. Reverse mode: Goodfellow,
    Bengio and Courville, Deep Learning (2016), section 6.5.

    Examples
    --------
    >>> import striderule as sr
    >>> y, pullback = vjp(sr.conv1d, [1.0, 2.0, 4.0], [1.0, -1.0])
    >>> y
    array([-1., -2.])
    >>> pullback([1.0, 10.0])
    (array([  1.,   9., -10.]), array([21., 42.]))
    """
    rule = rule_of(op)
    names, arguments, passed = _arguments(op, args, kwargs)
    given = tuple((name, _float_type(arguments[name], name)) for name in names)
    narrow = [name for name, value in arguments.items() if _is_bfloat16(value)]
    for name in narrow:
        arguments[name] = arguments[name].astype(np.float32)
    result, pull = rule(Call(op, arguments, frozenset(name for name, dtype in given if dtype is not None), passed))
    first_result = result[0] if isinstance(result, tuple) else result
    if first_result.dtype.kind != "f":
        raise InvalidType(
            f"the result of {_name(op)} is {first_result.dtype}, which has no gradient; pass arrays of floats"
        )
    back = Pullback(_name(op), pull, given, first_result.shape, first_result.dtype)
    return _narrowed(result, arguments, narrow, given), back


def _arguments(
    op: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[str], dict[str, Any], frozenset[str]]:
    """Return the names of the positional arguments of a call, all arguments by name, and the names of those given."""
    signature, words = signature_of(op), dict(kwargs)
    first = next(iter(signature.parameters))
    if "input" in words and not args and first not in words and first != "input":
        words[first] = words.pop("input")
    try:
        bound = signature.bind(*args, **words)
    except TypeError as error:
        raise InvalidType(f"{_name(op)} does not take these arguments: {error}") from None
    names, passed = list(bound.arguments)[: len(args)], frozenset(bound.arguments)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    for name in [name for name, one in signature.parameters.items() if one.kind is one.VAR_POSITIONAL]:
        arguments |= {f"{name} {number}": value for number, value in enumerate(arguments[name])}
        names = [word for word in arguments if word.startswith(f"{name} ")]  # all that is given by place
    return names, arguments, passed


def differentiated(op: Callable[..., Any], arguments: dict[str, Any], wanted: frozenset[str]) -> tuple[Any, Pull]:
    """Return the result of a function, and its rule's `Pull`, for arguments by name: what rules and layers use."""
    return _known_rule(op)(Call(op, {**defaults_of(op), **arguments}, wanted, frozenset(arguments)))


@cache
def _known_rule(op: Callable[..., Any]) -> Rule:
    return rule_of(op)


@cache
def defaults_of(op: Callable[..., Any]) -> dict[str, Any]:
    """Return what a function takes for arguments that are not given, in the order of all of its parameters."""
    return {name: one.default for name, one in signature_of(op).parameters.items()}


def rule_of(op: Callable[..., Any]) -> Rule:
    """Return the rule of differentiation of a function of striderule; refuse anything else."""
    name, home = getattr(op, "__name__", None), getattr(op, "__module__", None)
    ours = isinstance(home, str) and home.startswith(HOMES)
    if not (ours and name and getattr(sys.modules.get(str(home)), name, None) is op):
        raise InvalidType(
            f"vjp differentiates the functions of striderule, got {op!r}; for a function of your own write a layer "
            "(striderule.nn.Layer with forward and backward)"
        )
    rule = rules().get(name) or getattr(op, "__gradient__", None)
    if rule is None:
        reason = WITHOUT.get(name) or WITHOUT.get(f"filters.{name}")
        raise InvalidType(f"{name} has no gradient" + ("" if reason is None else f": {reason}"))
    found: Rule = rule
    return found


@cache
def rules() -> dict[str, Rule]:
    """Return the rules of all families."""
    found: dict[str, Rule] = {}
    for family in FAMILIES:
        found.update(importlib.import_module(f"striderule.functional.gradients.{family}").RULES)
    return found


@cache
def signature_of(op: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a function."""
    return inspect.signature(op)


def _name(op: Any) -> str:
    return str(getattr(op, "__name__", op))


def _is_bfloat16(value: Any) -> bool:
    return isinstance(value, np.ndarray) and bfloat16.holds(value.dtype)


def _float_type(value: Any, name: str) -> np.dtype[Any] | None:
    """Return the type of an array (or list) of floats; None for everything else."""
    if not isinstance(value, np.ndarray | list):
        return None
    dtype = door.array(value, name, bfloat=True).dtype
    if dtype.kind == "c":
        raise InvalidType(f"vjp takes real arrays, and {name} is complex; differentiate its real and imaginary parts")
    return dtype if dtype.kind == "f" or bfloat16.holds(dtype) else None


def _narrowed(result: Any, arguments: dict[str, Any], narrow: list[str], given: tuple[tuple[str, Any], ...]) -> Any:
    """Return what was computed in float32 for bfloat16 in that type again, as the function itself gives it."""
    if not narrow:
        return result
    wide = [value.dtype for name, value in arguments.items() if isinstance(value, np.ndarray) and name not in narrow]
    if any(dtype.kind == "f" and dtype.itemsize >= 4 for dtype in wide):
        return result
    kind = next(dtype for _, dtype in given if dtype is not None and bfloat16.holds(dtype))
    parts = result if isinstance(result, tuple) else (result,)
    rounded = tuple(part.astype(kind) if part.dtype == np.float32 else part for part in parts)
    return rounded if isinstance(result, tuple) else rounded[0]
