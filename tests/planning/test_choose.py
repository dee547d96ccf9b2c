"""What is chosen, and how wrong words are answered."""

from dataclasses import FrozenInstanceError

import pytest

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution
from striderule.planning import PRECISIONS, Plan, algorithm_word, choose, precision_word
from striderule.planning.rules import RULES

PROBLEM = Convolution.from_shapes((1, 3, 8), (4, 3, 3))


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
    with pytest.raises(InvalidArgument, match=r"^algorithm must be None or one of reference, windows, got "):
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
        for operation in ("convolution", "local_convolution", "transposed_convolution", "unfold", "fold"):
            assert callable(getattr(module, operation))
    with pytest.raises(InvalidArgument, match="algorithm must be None or one of reference, windows, got 'winograd'"):
        table.family("convolution", "winograd")
