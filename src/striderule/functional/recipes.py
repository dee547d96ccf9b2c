"""Calls that were seen before: what was checked and planned for one is kept for the next like it.

Nearly all that a call checks, and its plan, depend on its words (``padding=1``), on the precision that holds around it
and on the shapes, strides and types of its arrays, not on what the arrays hold. So a function marked `remembered` runs
in full at the first call; on the way it may `offer` a `Recipe`, which does the rest with the arrays alone. Later calls
with the same words and like arrays go straight to the recipe, which looks at what may still differ: whether out
overlaps an operand, the bound of integers. Of small arrays that decide the way, as kernels of images do, the values are
looked at too (`remembered_by_values`): calls with other values are other calls.

Only plain calls are remembered: operands that are plain NumPy arrays in native byte order, and words that are numbers,
strings, types, or short tuples and lists of these. Everything else takes the way of the first call each time, with the
same result; so do calls under `explain`. Each function remembers the latest `MOST` kinds of calls.

A function takes part by the mark and the offer::

    @remembered
    def relu(x, inplace=False, *, algorithm=None, out=None):
        ...                                              # checks; a class of recipes whose roles are ("x", "out")
        return carried_out(Elementwise("relu", (), dtype), value, out)
"""

from __future__ import annotations

import functools
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import ContextVar
from math import isnan
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple, ParamSpec, TypeVar

import numpy as np

from striderule.codegen.target import forced
from striderule.functional import widening
from striderule.functional.door import Array
from striderule.functional.planned import noted
from striderule.functional.precision import standing
from striderule.functional.standin import stand_in

P = ParamSpec("P")
R = TypeVar("R")

# Kinds of calls that a function remembers; the eldest goes when another one comes.
MOST = 512
# Bytes of an array whose values tell calls apart; calls with larger ones are not remembered.
MOST_VALUES = 1 << 12
# The most entries of a tuple or list that is a word; longer ones may be arrays.
_SHORT = 8
# Types whose values are equal only where they mean the same, once the type is known: 1, True and 1.0 are told apart.
_PLAIN = frozenset({int, bool, str, type(None), type})
_UNKNOWN = object()
_Array = np.ndarray

_offers: ContextVar[_Offers | None] = ContextVar("offers", default=None)
_lock = threading.Lock()
# Every function that is marked: what it runs in full, and what it remembers.
_marked: dict[Callable[..., Any], tuple[Callable[..., Any], dict[Any, Any]]] = {}


class Recipe(ABC):
    """The rest of a call, once everything is checked and planned.

    `roles` are the names of the arguments that are arrays, in the order in which the methods take them: the function's
    first argument is the first, ``out`` the last. An array that was not given is None.
    """

    roles: ClassVar[tuple[str, ...]] = ("x", "out")
    __slots__ = ()

    @abstractmethod
    def perform(self, *arrays: Any) -> Any:
        """Return the result of a call that is checked."""

    @abstractmethod
    def run(self, *arrays: Any) -> Any:
        """Return the result of a later call, or None if it must be checked anew: `clear_of` says whether.

        The arrays have the shapes, strides and types of those that the recipe was made for.
        """

    def fixed(self, *between: Any) -> Callable[[Array, Array | None], Any]:
        """Return `run` as a function of the first array and out; those between never change again."""
        return lambda x, out: self.run(x, *between, out)


class Found(NamedTuple):
    """A recipe, and which of a call's arguments, positional ones first, plays which role: -1 for none."""

    recipe: Recipe
    places: tuple[int, ...]


class _Offers:
    """What is offered during one call. With `enough` the call ends at the offer, before anything is computed."""

    def __init__(self, *, enough: bool = False) -> None:
        self.recipes: list[Recipe] = []
        self.enough = enough


class _Enough(Exception):  # no error: it ends a call that was made for its recipe
    pass


def offer(recipe: Recipe) -> None:
    """Offer a recipe to the function under way, whose call is checked, before its result is computed.

    A function that offers several recipes in one call remembers none.
    """
    offers = _offers.get()
    if offers is not None:
        offers.recipes.append(recipe)
        if offers.enough:
            raise _Enough


def awaited() -> bool:
    """Tell whether an offer would be heard."""
    return _offers.get() is not None


def unheard(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Return what a call gives that is a part of the one under way, whose offers are not the answer to that."""
    return _under(None, function, *args, **kwargs)


def carried_out(recipe: Recipe, *arrays: Any) -> Any:
    """Offer a recipe, and return the result that it gives for arrays that are checked."""
    offer(recipe)
    return recipe.perform(*arrays)


def clear_of(out: Array | None, *operands: Array | None, same: Array | None = None) -> bool:
    """Tell whether `out`, of known shape and type, can be written without a closer look; `check_out` takes that.

    It is, where it is writeable and apart from all operands, or is `same` itself.
    """
    if out is None:
        return True
    if not out.flags.writeable or (same is not None and same is not out and np.may_share_memory(out, same)):
        return False
    for operand in operands:  # noqa: SIM110 - a generator costs as much as a comparison
        if operand is not None and np.may_share_memory(out, operand):
            return False
    return True


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Let calls like an earlier one go straight to the recipe that was offered in that one.

    To bfloat16 the function gets float32 in its place, and what it gives is rounded back.
    """

    @functools.wraps(function)
    def widened(*args: P.args, **kwargs: P.kwargs) -> R:
        if widening.is_asked(args, kwargs):  # what is offered for float32 does not serve others
            result: R = _under(None, widening.by_float32, function, *args, **kwargs)
            return result
        return function(*args, **kwargs)

    return remembered_with_bfloat16(widened)


def remembered_with_bfloat16(function: Callable[P, R]) -> Callable[P, R]:
    """As `remembered`, for functions that know bfloat16 themselves, or refuse it."""
    return _remembered(function)


def remembered_by_values(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """As `remembered_with_bfloat16`, where the second argument, `name`, counts with its values if it is an array."""
    return functools.partial(_remembered, valued=name)


def _remembered(function: Callable[P, R], valued: str | None = None) -> Callable[P, R]:
    memory: dict[Any, tuple[Callable[..., Any], Callable[[tuple[Any, ...]], tuple[Any, ...]]]] = {}

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        values: tuple[Any, ...] = (*args, *kwargs.values())
        if noted.get() is not None:
            return function(*args, **kwargs)
        known = _key(values, kwargs)
        if valued:
            deciding: Any = args[1] if len(args) > 1 else kwargs.get(valued)
            if type(deciding) is _Array:
                known = (*known, deciding.tobytes() if deciding.nbytes <= MOST_VALUES else _UNKNOWN)
        ready = memory.get(known)
        if ready is None:
            offers = _Offers()
            result = _under(offers, function, *args, **kwargs)
            found = None if _unknown(known) else _matched(offers, wrapper, args, kwargs)
            if found:
                _keep(memory, known, (found.recipe.run, itemgetter(*found.places)))
            return result
        run, chosen = ready
        answer: R | None = run(*chosen((*values, None)))
        # What is offered now is not for the function that may have called this one.
        return unheard(function, *args, **kwargs) if answer is None else answer

    _marked[wrapper] = function, memory
    return wrapper


def _key(values: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells calls apart: words, and shapes, strides and types of the arrays among `values`."""
    key: list[Any] = [forced(), standing(), *kwargs]
    for value in values:
        kind = type(value)
        if kind is _Array:  # one by one, which is quicker than as a tuple
            key.append(value.shape)
            key.append(value.strides)
            key.append(value.dtype)
        elif kind in _PLAIN or (kind is float and value and not isnan(value)):  # 0.0 has a sign
            key += (kind, value)
        else:
            key.append(_word(value))
    return tuple(key)


def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a call is remembered by, or None if it is not."""
    known = _key((*args, *kwargs.values()), kwargs)
    return None if _unknown(known) else known


def again(function: Callable[..., Any], known: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the result of a call whose `key_of` is known."""
    ready = _marked[function][1].get(known) if function in _marked and noted.get() is None else None
    if ready is not None:
        run, chosen = ready
        answer = run(*chosen((*args, *kwargs.values(), None)))
        if answer is not None:
            return answer
    return function(*args, **kwargs)


def in_full(function: Callable[..., R]) -> Callable[..., R]:
    """Return what a function runs where it remembers nothing."""
    found: Callable[..., R] = _marked[function][0] if function in _marked else function
    return found


def _word(value: Any, depth: int = 2) -> Any:
    """Return a word as something to be found by, or `_UNKNOWN`."""
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if kind is float:  # 0.0 and -0.0 are equal, and differ
        return kind, value.hex()
    if isinstance(value, np.dtype):
        return np.dtype, value
    if kind in (tuple, list) and depth and len(value) <= _SHORT:
        kinds = tuple(map(type, value))
        if _PLAIN.issuperset(kinds):
            return kind, kinds, tuple(value)
        entries = tuple(_word(entry, depth - 1) for entry in value)
        return _UNKNOWN if _unknown(entries) else (kind, entries)
    return _UNKNOWN


def _unknown(entries: tuple[Any, ...]) -> bool:
    return any(entry is _UNKNOWN for entry in entries)  # not `in`, for types compare themselves with anything


def _under(offers: _Offers | None, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Return what a call gives, and note what it offers."""
    token = _offers.set(offers)
    try:
        return function(*args, **kwargs)
    finally:
        _offers.reset(token)


def _matched(
    offers: _Offers, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Found | None:
    """Return the recipe that a call offered and the places of its arrays, if all arrays are plain and have a role."""
    if len(offers.recipes) != 1:
        return None
    (recipe,) = offers.recipes
    values = (*args, *kwargs.values())
    arrays = [place for place, value in enumerate(values) if type(value) is np.ndarray]
    if not all(values[place].dtype.isnative for place in arrays):
        return None
    parameters = inspect.unwrap(function).__code__.co_varnames
    names = [*parameters[: len(args)], *(parameters[0] if name == "input" else name for name in kwargs)]
    places = []
    for role in recipe.roles:
        place = names.index(role) if role in names else None
        if place is None or values[place] is None:
            places.append(-1)
        elif place in arrays:
            places.append(place)
        else:
            return None
    return Found(recipe, tuple(places)) if sum(place >= 0 for place in places) == len(arrays) else None


def _keep(memory: dict[Any, Any], key: Any, value: Any) -> None:
    with _lock:
        while len(memory) >= MOST:
            del memory[next(iter(memory))]
        memory[key] = value


def recipe_of(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[Array, Array | None], Any] | None:
    """Return what computes later calls like this one from their first array and out, or None; nothing is computed.

    The other arrays are fixed. The call is checked, and its errors are raised.
    """
    found = _found(function, args, kwargs)
    if found is None:
        return None
    values = (*args, *kwargs.values(), None)
    return found.recipe.fixed(*(values[place] for place in found.places[1:-1]))


def with_addend(
    function: Any, x: Array, weight: Array, bias: Array | None, words: dict[str, Any]
) -> Callable[[Array, Array | None], Any] | None:
    """Return what computes a convolution of layers from x and the residual, for arrays like these, or None.

    Weight and bias are copied; `words` are the other arguments, the residual too if there is one.
    """
    found = _found(function, (x, weight, bias), words)
    if found is None:
        return None
    recipe: Any = found.recipe
    packed = recipe.packed(weight)
    # What is packed ignores the weight that it is given.
    taps = weight.copy() if packed is recipe else stand_in(weight.shape, weight.dtype)
    shift = None if bias is None else bias.copy()
    return lambda image, residual: packed.perform(image, taps, shift, residual, None)


def _found(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Found | None:
    """Return the recipe of a call without carrying it out, or None."""
    if function not in _marked:
        return None
    offers = _Offers(enough=True)
    try:
        _under(offers, _marked[function][0], *args, **kwargs)
    except _Enough:
        return _matched(offers, function, args, kwargs)
    return None


def forget() -> None:
    """Forget all calls, where rules or costs were changed."""
    with _lock:
        for _, memory in _marked.values():
            memory.clear()
