"""Times beside those of other libraries, where these are installed: what the chapters on filters print."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

# Each way runs so many seconds in all, in turns with the others, and its quickest run counts.
SECONDS, TURNS = 0.15, 3


def race(ours: Callable[[], Any], **others: Callable[[Any], Any]) -> dict[str, float | None]:
    """Time a call and what other libraries do for the same picture, and print the milliseconds of each.

    Parameters
    ----------
    ours
        The call.
    **others
        ``module=lambda module: call`` for each other library, with ``_`` for the dots of the module's name; what is not
        installed is said to be missing.

    Returns
    -------
    dict
        Seconds of the quickest run by name; None for what is not installed.

    Examples
    --------
    >>> times = race(lambda: sum(range(1000)), no_such_module=lambda module: None)  # doctest: +ELLIPSIS
    striderule      ... ms
    no.such.module  not installed here
    >>> times["no.such.module"] is None
    True
    """
    ways: dict[str, Callable[[], Any] | None] = {"striderule": ours}
    for name, call in others.items():
        module = _module(name.replace("_", "."))
        ways[name.replace("_", ".")] = None if module is None else _bound(call, module)
    present = {name: way for name, way in ways.items() if way is not None}
    best = dict.fromkeys(present, float("inf"))
    for _ in range(TURNS):
        for name, way in present.items():
            best[name] = min(best[name], _quickest(way))
    width = max(map(len, ways))
    for name in ways:
        print(f"{name:{width}}  {_told(best.get(name), best['striderule'], own=name == 'striderule')}")
    return {name: best.get(name) for name in ways}


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _bound(call: Callable[[Any], Any], module: Any) -> Callable[[], Any]:
    return lambda: call(module)


def _quickest(way: Callable[[], Any]) -> float:
    best, start = float("inf"), time.perf_counter()
    now = start
    while now - start < SECONDS / TURNS:
        way()
        after = time.perf_counter()
        best, now = min(best, after - now), after
    return best


def _told(seconds: float | None, ours: float, *, own: bool) -> str:
    if seconds is None:
        return "not installed here"
    times = "" if own else f", {seconds / ours:.1f} times as long"
    return f"{1e3 * seconds:8.2f} ms{times}"
