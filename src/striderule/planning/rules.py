"""Which algorithm may serve which problem, and why not: stated once.

A rule answers None when the algorithm may be chosen, or the reason, in words for the user, when it may only be forced
or not be used at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rule:
    """What an algorithm is, and whether it offers itself for a problem."""

    describes: str
    declines: Callable[[Any], str | None]


# In order of preference: the first that does not decline is chosen.
RULES: dict[str, Rule] = {
    "windows": Rule("strided views and tensor products in NumPy", lambda _: None),
    "reference": Rule(
        "the definition as plain loops",
        lambda _: "it is the oracle: thousands of times slower, so it runs only when asked for by name",
    ),
}
