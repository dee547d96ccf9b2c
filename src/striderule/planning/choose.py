"""The decision: problem and words in, plan out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striderule.errors import InvalidArgument
from striderule.planning.rules import RULES

PRECISIONS = ("highest", "high", "medium")


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided for a problem: the algorithm, the promise on the error, and why not the others."""

    problem: Any
    algorithm: str
    precision: str
    declined: tuple[tuple[str, str], ...]


def algorithm_word(algorithm: Any) -> str | None:
    """Return a valid algorithm name or None (choose for me); a wrong name is answered with the right ones."""
    if algorithm is None or (isinstance(algorithm, str) and algorithm in RULES):
        return algorithm
    raise InvalidArgument(f"algorithm must be None or one of {', '.join(sorted(RULES))}, got {algorithm!r}")


def precision_word(precision: Any) -> str:
    """Return the precision word; None is ``highest``."""
    if precision is None:
        return PRECISIONS[0]
    if isinstance(precision, str) and precision in PRECISIONS:
        return precision
    raise InvalidArgument(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")


def choose(problem: Any, precision: Any = None, algorithm: Any = None) -> Plan:
    """Return the plan for `problem`: the forced algorithm, or the first whose rule does not decline.

    >>> choose("any problem").algorithm
    'windows'
    """
    word, promise = algorithm_word(algorithm), precision_word(precision)
    reasons = {name: rule.declines(problem) for name, rule in RULES.items()}
    chosen = word or next(name for name, reason in reasons.items() if reason is None)
    declined = tuple((name, reason) for name, reason in reasons.items() if reason is not None and name != chosen)
    return Plan(problem, chosen, promise, declined)
