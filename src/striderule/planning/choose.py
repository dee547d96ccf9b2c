"""The decision: problem and words in, plan out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from striderule.errors import InvalidArgument
from striderule.planning import report
from striderule.planning.cost import COSTS, Cost, Work, work_of
from striderule.planning.machine import Machine
from striderule.planning.rules import PRECISIONS, RULES, keeps_promise

DEFAULT_MACHINE = Machine.of("avx2")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An algorithm that was considered: why it is not to be chosen (None: it may be), and what it would cost.

    `cost` is None where it cannot serve the problem at all.
    """

    name: str
    describes: str
    reason: str | None
    cost: Cost | None

    def to_dict(self) -> dict[str, Any]:
        """Return the candidate as plain data."""
        cost = None if self.cost is None else self.cost.to_dict()
        return {"algorithm": self.name, "describes": self.describes, "reason": self.reason, "cost": cost}


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided for a problem: the algorithm, what it costs, and why not the others. Printing it tells all."""

    problem: Any
    algorithm: str
    precision: str
    candidates: tuple[Candidate, ...]
    work: Work
    machine: Machine
    forced: bool = False

    @property
    def chosen(self) -> Candidate:
        """The candidate of the algorithm."""
        return next(candidate for candidate in self.candidates if candidate.name == self.algorithm)

    @property
    def cost(self) -> Cost:
        """What the chosen algorithm costs."""
        found = self.chosen.cost
        assert found is not None  # what cannot serve is not chosen
        return found

    @property
    def declined(self) -> tuple[tuple[str, str], ...]:
        """The algorithms that were not considered for their time, each with its reason."""
        others = (candidate for candidate in self.candidates if candidate.name != self.algorithm)
        return tuple((candidate.name, candidate.reason) for candidate in others if candidate.reason is not None)

    @property
    def share(self) -> float:
        """Share of the limit: the least time at the machine's peak and bandwidth over the predicted time."""
        return self.work.limit(self.machine) / self.cost.seconds

    @property
    def passes(self) -> tuple[Plan, ...]:
        """The plan itself: a call of one pass."""
        return (self,)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return report.plain(self)

    def __str__(self) -> str:
        """Return the plan in words and numbers, one line an item."""
        return report.text(self)


@dataclass(frozen=True, slots=True)
class Plans:
    """The plan of a call that computes in several passes, or leaves nothing to choose (no passes, and a `note`)."""

    operation: str
    passes: tuple[Plan, ...] = ()
    note: str = ""

    @property
    def algorithm(self) -> str:
        """The algorithms of the passes, each once; empty where there is nothing to choose."""
        return ", ".join(dict.fromkeys(plan.algorithm for plan in self.passes))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        passes = [plan.to_dict() for plan in self.passes]
        return {"operation": self.operation, "note": self.note, "passes": passes}

    def __str__(self) -> str:
        """Return the passes one after the other, in words and numbers; equal ones in a row are told once."""
        return report.text_of_passes(self)


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


def choose(
    problem: Any,
    precision: Any = None,
    algorithm: Any = None,
    machine: Machine = DEFAULT_MACHINE,
    dtype: str = "float32",
) -> Plan:
    """Return the plan for `problem`: the forced algorithm, or the one predicted to be the quickest that may serve.

    `dtype` is the type of the data where the problem names no arithmetic (pooling, unfold). Plans of the latest
    problems are kept, so that a call in a loop is planned once.

    Raises
    ------
    InvalidArgument
        For wrong words, and an algorithm that cannot serve the problem.

    Examples
    --------
    >>> from striderule.geometry.problem import Convolution
    >>> choose(Convolution.from_shapes((1, 3, 8, 8), (4, 3, 3, 3), zero_taps="skip")).algorithm
    'windows'
    """
    return _plan(problem, precision_word(precision), algorithm_word(algorithm), machine, dtype)


@lru_cache(maxsize=2048)
def _plan(problem: Any, promise: str, forced: str | None, machine: Machine, dtype: str) -> Plan:
    work = work_of(problem, dtype)
    candidates = tuple(_candidate(name, problem, promise, machine, work) for name in RULES)
    if forced is None:
        # By one image on one core of the default machine: neither batch nor threads nor measurements change the bits.
        one = _one_image(problem)
        model, single = machine.model, work_of(one, dtype)
        able = [found for found in candidates if found.reason is None]
        name = min(able, key=lambda found: COSTS[found.name](one, single, model).seconds).name
    else:
        name = forced
        reason = RULES[name].cannot(problem, machine)
        if reason is not None:
            raise InvalidArgument(f"algorithm={name!r} cannot serve this: {reason}; leave algorithm away to let choose")
    return Plan(problem, name, promise, candidates, work, machine, forced is not None)


def forget() -> None:
    """Forget the plans that are kept, where rules or costs were changed."""
    _plan.cache_clear()


def _candidate(name: str, problem: Any, promise: str, machine: Machine, work: Work) -> Candidate:
    rule = RULES[name]
    if rule.cannot(problem, machine) is not None:
        return Candidate(name, rule.describes, rule.cannot(problem, machine), None)
    cost = COSTS[name](problem, work, machine)
    reason = rule.declines(problem, machine) or keeps_promise(promise, work.dtype, cost.error)
    return Candidate(name, rule.describes, reason, cost)


def _one_image(problem: Any) -> Any:
    """Return the problem with a batch of one."""
    if hasattr(problem, "plain"):
        return replace(problem, plain=replace(problem.plain, batch=1))
    return replace(problem, batch=1)
