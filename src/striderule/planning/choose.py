"""The decision: problem and words in, plan out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from striderule.errors import InvalidArgument
from striderule.planning import report
from striderule.planning.cost import COSTS
from striderule.planning.machine import Machine
from striderule.planning.rules import PRECISIONS, RULES, keeps_promise, takes_too_much
from striderule.planning.work import Cost, Work, work_of

DEFAULT_MACHINE = Machine.of("avx2")
# The batch that algorithms of training are chosen for, where weights are packed anew for every batch.
TRAINED = 16


class Circumstances(NamedTuple):
    """What a cost depends on besides the algorithm."""

    problem: Any
    work: Work
    machine: Machine
    packed: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """An algorithm that was considered: why it is not to be chosen (None: it may be), and what it would cost.

    An algorithm with variants is a candidate in each of them; `variant` is the word for it, or None. `under` is None
    where the algorithm cannot serve the problem at all.
    """

    name: str
    describes: str
    reason: str | None
    variant: str | None = None
    under: Circumstances | None = None

    @property
    def cost(self) -> Cost | None:
        """What it costs, None where it cannot serve: worked out when it is asked for, as it decides nothing."""
        if self.under is None:
            return None
        return next(cost for cost in _costs(self.name, self.under) if cost.variant == self.variant)

    @property
    def label(self) -> str:
        """What asks for exactly this: the algorithm, or algorithm and variant, as in ``winograd:F4``."""
        return self.name if self.variant is None else f"{self.name}:{self.variant}"

    def to_dict(self) -> dict[str, Any]:
        """Return the candidate as plain data."""
        cost = None if self.cost is None else self.cost.to_dict()
        known = {"algorithm": self.name, "variant": self.variant, "describes": self.describes}
        return known | {"qualifies": self.reason is None, "reason": self.reason, "cost": cost}


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided for a problem: the algorithm, what it costs, and why not the others. Printing it tells all.

    `chosen` is the candidate that computes, one of `candidates`. `packed` tells that the weights are packed before, as
    `striderule.compile` does: what that costs is not counted then.
    """

    problem: Any
    chosen: Candidate
    precision: str
    candidates: tuple[Candidate, ...]
    work: Work
    machine: Machine
    forced: bool = False
    packed: bool = False

    @property
    def algorithm(self) -> str:
        """The name of the algorithm."""
        return self.chosen.name

    @property
    def variant(self) -> str | None:
        """Which variant of the algorithm, or None where it has but one way."""
        return self.chosen.variant

    @property
    def cost(self) -> Cost:
        """What the chosen algorithm costs."""
        found = self.chosen.cost
        assert found is not None  # what cannot serve is not chosen
        return found

    @property
    def others(self) -> tuple[Candidate, ...]:
        """The candidates that were not chosen."""
        return tuple(candidate for candidate in self.candidates if candidate != self.chosen)

    @property
    def declined(self) -> tuple[tuple[str, str], ...]:
        """The candidates that were not considered for their time, by their labels, each with its reason."""
        return tuple((candidate.label, candidate.reason) for candidate in self.others if candidate.reason is not None)

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
    """Return a valid name or None (choose for me); a wrong one is answered with the right ones.

    A colon sets off a variant: ``winograd:F4``. Without one, the quickest variant that keeps the promise is chosen.
    """
    if algorithm is None:
        return None
    name, colon, variant = algorithm.partition(":") if isinstance(algorithm, str) else ("", "", "")
    if name not in RULES:
        raise InvalidArgument(f"algorithm must be None or one of {', '.join(sorted(RULES))}, got {algorithm!r}")
    known = RULES[name].variants
    if colon and variant not in known:
        words = ", ".join(f"{name}:{word}" for word in known) or "none"
        raise InvalidArgument(f"algorithm={algorithm!r} names no variant of {name}, which has {words}")
    return str(algorithm)


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
    *,
    packed: bool = False,
    images: int = 1,
) -> Plan:
    """Return the plan for `problem`: the forced algorithm, or the one predicted to be the quickest that may serve.

    Of an algorithm that is forced by its name alone the quickest variant that keeps the promise serves, else the one
    that errs least. `dtype` is the type of the data where the problem names no arithmetic (pooling, unfold). `packed`
    says that the weights are packed before, so that nobody waits for it. The choice is made for a batch of `images`,
    whatever that of the problem is; in training for `TRAINED`. Plans of the latest problems are kept, so that a call
    in a loop is planned once.

    Raises
    ------
    InvalidArgument
        For wrong words, and an algorithm that cannot serve the problem.

    Examples
    --------
    >>> from striderule.geometry.problem import Convolution
    >>> choose(Convolution.from_shapes((1, 3, 8, 8), (4, 3, 3, 3), zero_taps="skip")).algorithm
    'stencil'
    """
    return _plan(problem, precision_word(precision), algorithm_word(algorithm), machine, dtype, packed, images)


@lru_cache(maxsize=2048)
def _plan(
    problem: Any, promise: str, forced: str | None, machine: Machine, dtype: str, packed: bool, images: int
) -> Plan:
    # By so many images on one core of the default machine: neither batch nor threads nor measurements change the bits.
    one, work = _of_batch(problem, images), work_of(problem, dtype)
    asked, single = Circumstances(problem, work, machine, packed), work_of(one, dtype)
    candidates: list[Candidate] = []
    # Of every candidate that can serve: what decides about it, and whether it keeps the promise.
    decisive: dict[Candidate, tuple[Cost, bool]] = {}
    for name, rule in RULES.items():
        cannot = rule.cannot(problem, machine)
        if cannot is not None:
            candidates.append(Candidate(name, rule.describes, cannot))
            continue
        declined = rule.declines(problem, machine)
        for cost in _costs(name, Circumstances(one, single, machine.model, packed)):
            breaks = keeps_promise(promise, work.dtype, cost.error, cost.random_error)
            reason = declined or breaks or takes_too_much(rule, cost.workspace)
            candidate = Candidate(name, rule.describes, reason, cost.variant, asked)
            candidates.append(candidate)
            decisive[candidate] = cost, breaks is None
    if forced is None:
        chosen = min((one for one in decisive if one.reason is None), key=lambda one: decisive[one][0].seconds)
    else:
        chosen = _asked_for(forced, problem, machine, decisive)
    packed = packed and work.weights > 0
    return Plan(problem, chosen, promise, tuple(candidates), work, machine, forced is not None, packed)


def forget() -> None:
    """Forget the plans that are kept, where rules or costs were changed."""
    _plan.cache_clear()
    _costs.cache_clear()


@lru_cache(maxsize=512)
def _costs(name: str, under: Circumstances) -> tuple[Cost, ...]:
    """Return the costs of the variants of an algorithm."""
    found = COSTS[name](under.problem, under.work, under.machine)
    costs = found if isinstance(found, tuple) else (found,)
    return tuple(cost.with_packed_weights() for cost in costs) if under.packed else costs


def _asked_for(forced: str, problem: Any, machine: Machine, decisive: dict[Candidate, tuple[Cost, bool]]) -> Candidate:
    """Return the candidate that a user asks for by name."""
    name = forced.partition(":")[0]
    reason = RULES[name].cannot(problem, machine)
    own = [candidate for candidate in decisive if candidate.name == name]
    found = [candidate for candidate in own if forced in (name, candidate.label)]
    if reason is None and not found:
        reason = f"here it has {', '.join(candidate.label for candidate in own)}"
    if reason is not None:
        raise InvalidArgument(f"algorithm={forced!r} cannot serve this: {reason}; leave algorithm away to let choose")
    keeping = [candidate for candidate in found if decisive[candidate][1]]
    if keeping:
        return min(keeping, key=lambda candidate: decisive[candidate][0].seconds)
    return min(found, key=lambda candidate: decisive[candidate][0].error)


def _of_batch(problem: Any, images: int) -> Any:
    """Return the problem with another batch."""
    if hasattr(problem, "plain"):
        return replace(problem, plain=replace(problem.plain, batch=images))
    return replace(problem, batch=images)
