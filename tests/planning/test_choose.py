"""What is chosen, and how wrong words are answered."""

from dataclasses import FrozenInstanceError, replace

import pytest

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution, Unfold
from striderule.planning import PRECISIONS, Machine, Plan, algorithm_word, choose, forget, precision_word
from striderule.planning.cost import COSTS, Cost
from striderule.planning.rules import RULES, Rule

PROBLEM = Convolution.from_shapes((1, 3, 8), (4, 3, 3))


@pytest.fixture(autouse=True)
def planned_anew():
    """Forget the plans that were kept: tests change the rules."""
    forget()
    yield
    forget()


def test_a_plan_names_the_chosen_and_says_why_not_the_others():
    plan = choose(PROBLEM)
    assert isinstance(plan, Plan)
    assert (plan.problem, plan.algorithm, plan.precision) == (PROBLEM, "windows", "highest")
    assert dict(plan.declined)["reference"].startswith("it is the oracle: thousands of times slower")
    assert len({plan, choose(PROBLEM)}) == 1
    with pytest.raises(FrozenInstanceError):
        plan.algorithm = "reference"


@pytest.mark.parametrize("name", RULES)
def test_any_algorithm_can_be_forced(name):
    plan = choose(PROBLEM, algorithm=name)
    assert plan.algorithm == name
    assert name not in dict(plan.declined)


@pytest.mark.parametrize("word", PRECISIONS)
def test_precision_words(word):
    assert choose(PROBLEM, word).precision == precision_word(word) == word
    assert precision_word(None) == "highest"


@pytest.mark.parametrize("word", ["window", "", 3, ["windows"], "Windows"])
def test_a_wrong_algorithm_is_answered_with_the_right_ones(word):
    with pytest.raises(InvalidArgument, match=r"^algorithm must be None or one of direct, reference, windows, got "):
        choose(PROBLEM, algorithm=word)


@pytest.mark.parametrize("word", ["double", "", 3, ["high"]])
def test_a_wrong_precision_is_answered_with_the_right_ones(word):
    with pytest.raises(InvalidArgument, match=r"^precision must be one of highest, high, medium, got "):
        choose(PROBLEM, precision=word)


def test_the_table_finds_every_algorithm():
    assert algorithm_word(None) is None
    assert set(table.PACKAGES) == set(RULES)
    assert table.family("convolution") is table.family("convolution", "windows")
    for name in RULES:
        module = table.family("convolution", name)
        assert module.__name__ == f"striderule.algorithms.{name}.convolution"
        assert callable(module.convolution)
    for operation in ("local_convolution", "transposed_convolution", "unfold", "fold"):
        assert all(callable(getattr(table.family("convolution", name), operation)) for name in ("reference", "windows"))
    with pytest.raises(
        InvalidArgument, match="algorithm='direct' does not compute this operation; None, reference, windows do"
    ):
        table.family("pooling", "direct")
    with pytest.raises(
        InvalidArgument, match="algorithm must be None or one of direct, reference, windows, got 'winograd'"
    ):
        table.family("convolution", "winograd")


LAYER = Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), padding=1)


def test_the_cheapest_that_may_serve_is_chosen():
    plan = choose(LAYER, machine=Machine.of("avx2"))
    assert plan.algorithm == "direct"
    costs = {found.name: found.cost.seconds for found in plan.candidates}
    assert costs["direct"] == min(costs.values())
    assert 0 < plan.share < 1


def test_neither_batch_nor_threads_nor_measurements_change_the_choice():
    for channels in (1, 3, 64):
        problems = [Convolution.from_shapes((n, channels, 12, 12), (8, channels, 3, 3)) for n in (0, 1, 7, 1000)]
        machines = [Machine.of("avx2", cores=n) for n in (1, 64)]
        machines.append(replace(machines[0], measured=(("float32", 1.0),), bandwidth=1.0))
        assert len({choose(problem, machine=machine).algorithm for problem in problems for machine in machines}) == 1


@pytest.mark.parametrize(
    ("problem", "machine", "reason"),
    [
        (LAYER, Machine.of("avx2", generated=False), "it is generated machine code, which this installation cannot"),
        (
            Convolution.from_shapes((1, 1024, 8, 8), (8, 1024, 3, 3)),
            Machine.of("avx2"),
            "it adds chains in their order, which may err too much for sums of more than 4,992 terms",
        ),
        (Unfold.from_shape((1, 2, 5, 5), 3), Machine.of("avx2"), "it serves dense convolutions of layers, and this"),
        (replace(LAYER, zero_taps="skip"), Machine.of("avx2"), "it counts every tap"),
        (replace(LAYER, dtype="int64"), Machine.of("avx2"), "it computes in float32 and float64, and this needs int64"),
    ],
)
def test_what_cannot_serve_says_why(problem, machine, reason):
    plan = choose(problem, machine=machine)
    assert plan.algorithm == "windows"
    assert dict(plan.declined)["direct"].startswith(reason)
    with pytest.raises(InvalidArgument, match=f"algorithm='direct' cannot serve this: {reason}"):
        choose(problem, algorithm="direct", machine=machine)


def test_small_problems_are_computed_as_the_definition_says(monkeypatch):
    quick = Rule("transforms", lambda *_: None, reordered=True)
    monkeypatch.setitem(RULES, "transforms", quick)
    monkeypatch.setitem(COSTS, "transforms", lambda *_: Cost(1, 1, 1, 1e-12, 1e-7))
    assert choose(LAYER, machine=Machine.of("avx2", cores=5)).algorithm == "transforms"
    small = choose(Convolution.from_shapes((500, 3, 9, 9), (4, 3, 3, 3)), machine=Machine.of("avx2", cores=5))
    assert small.algorithm != "transforms"
    assert dict(small.declined)["transforms"].startswith("problems under 100,000 multiply-adds are computed by")


def test_an_error_beyond_the_promise_is_declined(monkeypatch):
    monkeypatch.setitem(RULES, "rough", Rule("rough", lambda *_: None))
    monkeypatch.setitem(COSTS, "rough", lambda *_: Cost(1, 1, 1, 1e-12, 4e-5))
    machine = Machine.of("avx2", cores=6)
    assert "more than the 1e-05 that 'highest' promises" in dict(choose(LAYER, machine=machine).declined)["rough"]
    assert choose(LAYER, "high", machine=machine).algorithm == "rough"
