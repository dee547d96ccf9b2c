"""What is chosen, and how wrong words are answered."""

from dataclasses import FrozenInstanceError, replace

import pytest

from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.geometry.problem import Convolution, LocalConvolution
from striderule.planning import PRECISIONS, TRAINED, Machine, Plan, algorithm_word, choose, forget, precision_word
from striderule.planning.cost import COSTS
from striderule.planning.forms import KernelForm, Rank
from striderule.planning.rules import RULES, Rule, keeps_promise
from striderule.planning.work import Cost

PROBLEM = Convolution.from_shapes((1, 3, 8), (4, 3, 3))
SERVED_BY_ALL = Convolution.from_shapes((1, 6, 72), (6, 1, 9), groups=6)
# A stride leaves it to the definition's products.
LAYER = Convolution.from_shapes((1, 64, 112, 112), (64, 64, 3, 3), padding=1, stride=2)
TILED = Convolution.from_shapes((1, 64, 56, 56), (64, 64, 3, 3), padding=1)
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
        plan.chosen = None


@pytest.mark.parametrize("name", RULES)
def test_any_algorithm_can_be_forced(name):
    problem, machine = TILED if name == "winograd" else SERVED_BY_ALL, Machine.of("avx2", units=("dot16",))
    if name == "dots":
        problem = replace(problem, dtype="int64", stored=("int8", "int8"))
    if name == "separable":
        problem = replace(problem, zero_taps="skip", form=KernelForm(problem.kernel, 1, ranks=(Rank(1),)))
    if name == "stencil":
        problem = replace(problem, zero_taps="skip")
    plan = choose(problem, algorithm=name, machine=machine)
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
    for name in set(RULES) - {"separable", "stencil"}:  # that filter images alone
        module = table.family("convolution", name)
        assert module.__name__ == f"striderule.algorithms.{name}.convolution"
        assert callable(module.convolution)
    for operation in ("local_convolution", "transposed_convolution", "unfold", "fold"):
        assert all(callable(getattr(table.family("convolution", name), operation)) for name in ("reference", "windows"))
    with pytest.raises(
        InvalidArgument,
        match="direct' does not compute this operation; None, fourier, reference, separable, stencil, windows do",
    ):
        table.family("stencil", "direct")
    with pytest.raises(InvalidArgument, match=f"algorithm must be None or one of {NAMES}, got 'strassen'"):
        table.family("convolution", "strassen")


def test_the_cheapest_that_may_serve_is_chosen():
    plan = choose(LAYER, machine=Machine.of("avx2"))
    assert plan.algorithm == "direct"
    costs = {found.name: found.cost.seconds for found in plan.candidates if found.cost}
    assert costs["direct"] == min(costs.values())
    assert 0 < plan.share < 1


def test_training_chooses_for_a_batch_of_its_own_whatever_the_batch():
    machine = Machine.of("avx512")
    small = [Convolution.from_shapes((batch, 128, 8, 8), (128, 128, 3, 3), padding=1) for batch in (1, 3, 64)]
    chosen = {choose(one, "high", machine=machine, images=TRAINED).chosen.label for one in small}
    assert len(chosen) == 1
    assert chosen.pop().startswith("winograd")  # weights are transformed once for all images
    assert choose(small[-1], "high", machine=machine).algorithm == "direct"


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
    assert plan.algorithm == ("stencil" if getattr(problem, "zero_taps", "count") == "skip" else "windows")
    assert dict(plan.declined)["direct"].startswith(reason)
    with pytest.raises(InvalidArgument, match=f"algorithm='direct' cannot serve this: {reason}"):
        choose(problem, algorithm="direct", machine=machine)


@pytest.mark.parametrize("channels", [64, 512, 2048, 100_000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "complex64", "complex128"])
def test_direct_serves_sums_of_any_length_in_every_arithmetic(channels, dtype):
    """Only what a precision promises can speak against it: chunks are added in their order."""
    problem = Convolution.from_shapes((1, channels, 28, 28), (64, channels, 3, 3), dtype=dtype, stride=2)
    for precision in PRECISIONS:
        plan = choose(problem, precision, machine=Machine.of("avx2"))
        cost = choose(problem, algorithm="direct", machine=Machine.of("avx2")).cost
        kept = keeps_promise(precision, dtype, cost.error, cost.random_error)
        assert dict(plan.declined).get("direct") == kept
        assert plan.algorithm == ("windows" if kept else "direct")
    assert plan.algorithm == "direct"
    assert channels == 100_000 or keeps_promise("highest", dtype, cost.error, cost.random_error) is None


def test_small_problems_are_computed_as_the_definition_says(monkeypatch):
    quick = Rule("transforms", lambda *_: None, reordered=True)
    monkeypatch.setitem(RULES, "transforms", quick)
    monkeypatch.setitem(COSTS, "transforms", lambda *_: Cost(1, 1, 1, 1e-12, 1e-7, 1e-7))
    assert choose(LAYER, machine=Machine.of("avx2", cores=5)).algorithm == "transforms"
    small = choose(Convolution.from_shapes((500, 3, 9, 9), (4, 3, 3, 3)), machine=Machine.of("avx2", cores=5))
    assert small.algorithm != "transforms"
    assert dict(small.declined)["transforms"].startswith("problems under 100,000 multiply-adds are computed by")


def test_an_error_beyond_the_promise_is_declined(monkeypatch):
    monkeypatch.setitem(RULES, "rough", Rule("rough", lambda *_: None))
    monkeypatch.setitem(COSTS, "rough", lambda *_: Cost(1, 1, 1, 1e-12, 4e-5, 1e-6))
    machine = Machine.of("avx2", cores=6)
    assert "more than the 1e-05 that 'highest' promises" in dict(choose(LAYER, machine=machine).declined)["rough"]
    assert choose(LAYER, "high", machine=machine).algorithm == "rough"


@pytest.fixture
def tiled(monkeypatch):
    """An algorithm with two variants: the quicker one errs more, and packs its weights for longer."""
    small = Cost(1, 1, 1, 2e-9, 4e-6, 5e-7, variant="small", packing=0.5e-9)
    large = Cost(1, 1, 1, 1e-9, 3e-5, 2e-6, variant="large", packing=0.1e-9)
    monkeypatch.setitem(RULES, "tiled", Rule("tiled", lambda *_: None, reordered=True, variants=("small", "large")))
    monkeypatch.setitem(COSTS, "tiled", lambda *_: (small, large))
    return small, large


def test_the_quickest_variant_that_keeps_the_promise_is_chosen(tiled):
    small, large = tiled
    highest, high = choose(LAYER), choose(LAYER, "high")
    assert (highest.algorithm, highest.variant, highest.cost) == ("tiled", "small", small)
    assert (high.algorithm, high.variant, high.cost) == ("tiled", "large", large)
    assert "its error may reach 3.0e-05" in dict(highest.declined)["tiled:large"]
    assert not {name for name, _ in high.declined} & {"tiled:small", "tiled:large"}
    assert [one.label for one in high.candidates if one.name == "tiled"] == ["tiled:small", "tiled:large"]
    found = highest.to_dict()["candidates"]
    assert {one["variant"]: one["qualifies"] for one in found if one["variant"]} == {"small": True, "large": False}


def test_a_variant_is_asked_for_behind_a_colon(tiled):
    assert choose(LAYER, algorithm="tiled").variant == "small"
    assert choose(LAYER, algorithm="tiled:large").variant == "large"
    # Whoever asks for it by name gets it, and without a promise kept the nearest.
    tiny = Convolution.from_shapes((1, 3, 8, 8), (4, 3, 3, 3))
    assert choose(tiny, algorithm="tiled").variant == "small"
    assert choose(replace(LAYER, dtype="float64"), algorithm="tiled").variant == "small"
    with pytest.raises(InvalidArgument, match="'tiled:big' names no variant of tiled, which has tiled:small, til"):
        choose(LAYER, algorithm="tiled:big")
    with pytest.raises(InvalidArgument, match="algorithm='direct:big' names no variant of direct, which has none"):
        choose(LAYER, algorithm="direct:big")


def test_a_variant_that_cannot_serve_says_what_can(tiled, monkeypatch):
    monkeypatch.setitem(COSTS, "tiled", lambda *_: tiled[:1])
    with pytest.raises(InvalidArgument, match="'tiled:large' cannot serve this: here it has tiled:small; leave"):
        choose(LAYER, algorithm="tiled:large")


def test_weights_packed_before_are_not_waited_for(monkeypatch):
    monkeypatch.setitem(RULES, "slow packer", Rule("", lambda *_: None))
    monkeypatch.setitem(COSTS, "slow packer", lambda *_: Cost(1, 1, 1, 1.0 + 1e-12, 1e-7, 1e-7, packing=1.0))
    assert choose(LAYER).algorithm == "direct"
    plan = choose(LAYER, packed=True)
    assert (plan.algorithm, plan.packed, plan.cost.packing) == ("slow packer", True, 0.0)
    assert plan.cost.seconds == pytest.approx(1e-12, rel=1e-3)
    assert "weights     packed before" in str(plan)
    assert "weights     packed by each call, 1.0 s of the time" in str(choose(LAYER, algorithm="slow packer"))


def test_a_large_workspace_is_taken_only_when_asked_for():
    problem = Convolution.from_shapes((1, 1024, 14, 14), (1024, 1024, 3, 3), padding=1)
    plan = choose(problem, machine=Machine.of("avx512"))
    reasons = {one.label: one.reason for one in plan.candidates}
    # Sixteen points of 1024 x 1024 weights are 64 MiB, and what is transformed of the input comes to it.
    assert "MiB, and 64 MiB is the most unless it is asked for" in reasons["winograd:F2"]
    assert choose(problem, algorithm="winograd:F2", machine=Machine.of("avx512")).algorithm == "winograd"
    # Weights that are packed before are no workspace of the call, and a batch is not one image.
    packed = choose(problem, machine=Machine.of("avx512"), packed=True)
    assert {one.label: one.reason for one in packed.candidates}["winograd:F2"] is None
    small = Convolution.from_shapes((64, 64, 56, 56), (64, 64, 3, 3), padding=1)
    assert choose(small, machine=Machine.of("avx512")).algorithm == "winograd"
