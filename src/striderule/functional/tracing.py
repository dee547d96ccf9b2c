"""What a call was found to be on its way down: kept for its gradient, which is a call of other geometry.

Functions `note` what they make of their arguments, problems and axes, and no arrays. `traced` returns that with the
result. Calls that are remembered (see `striderule.functional.recipes`) are traced once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from striderule.functional import recipes

# What the call under way noted; None where nobody asks.
_notes: ContextVar[list[Any] | None] = ContextVar("notes", default=None)
# What remembered calls noted, the eldest first.
_kept: dict[Any, tuple[Any, ...]] = {}


def asked() -> bool:
    """Tell whether somebody asks what the call under way finds: where finding out takes time."""
    return _notes.get() is not None


def note(found: Any) -> None:
    """Keep what a call was found to be, if somebody asks."""
    notes = _notes.get()
    if notes is not None:
        notes.append(found)


def traced(op: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    """Return the result of a call and what it noted."""
    known = recipes.key_of(args, kwargs)
    key = None if known is None else (op, known)
    notes = None if key is None else _kept.get(key)
    if notes is not None:
        return recipes.again(op, known, args, kwargs), notes
    result, notes = anew(recipes.in_full(op), kwargs, *args)
    if key is not None:
        while len(_kept) >= recipes.MOST:
            _kept.pop(next(iter(_kept)), None)
        _kept[key] = notes
    return result, notes


def anew(op: Callable[..., Any], words: dict[str, Any], *args: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the result of a call and what it noted, which may hold arrays, since it is not kept."""
    token = _notes.set([])
    try:
        result = op(*args, **words)
        return result, tuple(_notes.get() or ())
    finally:
        _notes.reset(token)


def forget() -> None:
    """Forget all calls, where rules or costs were changed."""
    _kept.clear()
