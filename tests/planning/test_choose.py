"""What is chosen, and how wrong words are answered."""

from dataclasses import FrozenInstanceError, replace

import pytest

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution, LocalConvolution
from striderule.planning import PRECISIONS, Machine, Plan, algorithm_word, choose, forget, precision_word
from striderule.planning.cost import COSTS, Cost
from striderule.planning.rules import RULES, Rule, keeps_promise

PROBLEM = Convolution.from_shapes((1, 3, 8), (4, 3, 3))
SERVED_BY_ALL = Convolution.from_shapes((1, 6, 72), (6, 1, 9), groups=6)
LAYER = Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), padding=1)
NAMES = ", ".join(sorted(RULES))


@pytest.fixture(autouse=True)
def planned_anew():
    """Forget the plans that were kept: tests change the rules."""
    forget()
    yield
    forget()


def test_a_plan_names_the_chosen_and_says_why_not_the_others():
    plan = choose(LAYER)
    assert isinstance(plan, Plan)
    assert (plan.problem, plan.algorithm, plan.precision) == (LAYER, "direct", "highest")
    assert dict(plan.declined)["reference"].startswith("it is the oracle: thousands of times slower")
    assert len({plan, choose(LAYER)}) == 1
    with pytest.raises(FrozenInstanceError):
        plan.algorithm = "reference"


@pytest.mark.parametrize("name", RULES)
def test_any_algorithm_can_be_forced(name):
    plan = choose(SERVED_BY_ALL, algorithm=name)
    assert plan.algorithm == name
    assert name not in dict(plan.declined)


@pytest.mark.parametrize("word", PRECISIONS)
def test_precision_words(word):
    assert choose(PROBLEM, word).precision == precision_word(word) == word
    assert precision_word(None) == "highest"


@pytest.mark.parametrize("word", ["window", "", 3, ["windows"], "Windows"])
def test_a_wrong_algorithm_is_answered_with_the_right_ones(word):
    with pytest.raises(InvalidArgument, match=f"^algorithm must be None or one of {NAMES}, got "):
        choose(PROBLEM, algorithm=word)


@pytest.mark.parametrize("word", ["double", "", 3, ["high"]])
def test_a_wrong_precision_is_answered_with_the_right_ones(word):
    with pytest.raises(InvalidArgument, match=r"^precision must be one of highest, high, medium, got "):
        choose(PROBLEM, precision=word)


def test_the_table_finds_every_algorithm():
    assert algorithm_word(None) is None
    assert set(table.PACKAGES) == set(RULES)
    assert table.family("convolution") is table.family("convolution", "direct")
    for name in RULES:
        module = table.family("convolution", name)
        assert module.__name__ == f"striderule.algorithms.{name}.convolution"
        assert callable(module.convolution)
    for operation in ("local_convolution", "transposed_convolution", "unfold", "fold"):
        assert all(callable(getattr(table.family("convolution", name), operation)) for name in ("reference", "windows"))
    with pytest.raises(
        InvalidArgument,
        match="algorithm='direct' does not compute this operation; None, fourier, reference, windows do",
    ):
        table.family("stencil", "direct")
    with pytest.raises(InvalidArgument, match=f"algorithm must be None or one of {NAMES}, got 'winograd'"):
        table.family("convolution", "winograd")


def test_the_cheapest_that_may_serve_is_chosen():
    plan = choose(LAYER, machine=Machine.of("avx2"))
    assert plan.algorithm == "direct"
    costs = {found.name: found.cost.seconds for found in plan.candidates if found.cost}
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
            LocalConvolution.from_shapes((1, 2, 5), (3, 2, 3, 3), tile="output"),
            Machine.of("avx2"),
            "it serves dense and transposed convolutions of layers, and this is another operation",
        ),
        (replace(LAYER, zero_taps="skip"), Machine.of("avx2"), "it counts every tap"),
        (
            replace(LAYER, dtype="longdouble"),
            Machine.of("avx2"),
            "it computes in float32, float64, int64, complex64, complex128, and this needs longdouble",
        ),
    ],
)
def test_what_cannot_serve_says_why(problem, machine, reason):
    plan = choose(problem, machine=machine)
    assert plan.algorithm == "windows"
    assert dict(plan.declined)["direct"].startswith(reason)
    with pytest.raises(InvalidArgument, match=f"algorithm='direct' cannot serve this: {reason}"):
        choose(problem, algorithm="direct", machine=machine)


@pytest.mark.parametrize("channels", [64, 512, 2048, 100_000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "complex64", "complex128"])
def test_direct_serves_sums_of_any_length_in_every_arithmetic(channels, dtype):
    """Only what a precision promises can speak against it: chunks are added in their order."""
    problem = Convolution.from_shapes((1, channels, 14, 14), (64, channels, 3, 3), dtype=dtype)
    for precision in PRECISIONS:
        plan = choose(problem, precision, machine=Machine.of("avx2"))
        cost = choose(problem, algorithm="direct", machine=Machine.of("avx2")).cost
        kept = keeps_promise(precision, dtype, cost.error)
        assert dict(plan.declined).get("direct") == kept
        assert plan.algorithm == ("windows" if kept else "direct")
    assert plan.algorithm == "direct"
    assert channels == 100_000 or keeps_promise("highest", dtype, cost.error) is None


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
