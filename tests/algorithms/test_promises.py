"""Every algorithm and variant keeps what it claims: errors against float64, special values, the same bits.

Candidates come from the table of rules, so a new one is tested as it is listed. What one claims follows from the two
errors that its cost states; measured ones stay below what it states, and below 0.8 of each promise that it claims.
"""

import numpy as np
import pytest
from benchmarks.accuracy import DATA, Case, candidates, drawn_cases, errors, promised, served

import striderule as sr
from striderule.codegen import target
from striderule.planning.rules import PROMISES

# For the plain loops of the reference, which would take minutes for the others.
TINY = {"tiny": Case("conv2d", (1, 3, 6, 7), (4, 3, 3, 3), {"padding": 1})}
SHARE = 0.8
# On the two widest kinds of vectors, each with draws of its own; on the second some of the problems will do.
WIDTHS = [(one.name, seed) for seed, one in enumerate(target.available()[:2])]


@pytest.fixture(autouse=True, scope="module")
def _exact_once():
    """Compute what is exact once for all candidates: it takes as long as they do."""
    exact, known = Case.exact, {}

    def kept(case, x, weight):
        key = str(case), x.tobytes(), weight.tobytes()
        key = tuple(map(hash, key))
        if key not in known:
            known[key] = exact(case, x, weight)
        return known[key]

    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(Case, "exact", kept)
        yield


def cases_of(label, seed):
    """Return the drawn problems that a candidate serves, and the small one."""
    found = served(label, drawn_cases(np.random.default_rng(seed)) | TINY)
    if not found:
        pytest.skip("it serves none of these problems here")
    return found


def some_of(label, seed):
    """Return about a third of the problems, others for each seed."""
    found = list(cases_of(label, seed).items())
    return dict(found[seed % min(3, len(found)) :: 3])


@pytest.mark.parametrize(("width", "seed"), WIDTHS)
@pytest.mark.parametrize("label", candidates())
def test_errors_stay_within_what_is_claimed(label, width, seed, monkeypatch):
    monkeypatch.setenv("STRIDERULE_TARGET", width)
    target.forget()
    for name, case in (some_of(label, seed) if seed else cases_of(label, seed)).items():
        cost, words = case.plan(algorithm=label).cost, promised(case, label)
        for kind, drawn in DATA.items():
            x, weight = drawn(np.random.default_rng(seed), case.x, case.weight)
            found = errors(case, x, weight, case.compute(x, weight, algorithm=label))
            where = f"{label} on {width}: {name}, {kind}: {found}, {cost}"
            assert found.of_absolute <= cost.error, where
            assert all(found.of_absolute <= SHARE * PROMISES[word][1] for word in words), where
            if kind == "random":
                assert found.of_result <= cost.random_error, where
                assert all(found.of_result <= SHARE * PROMISES[word][0] for word in words), where


@pytest.mark.parametrize("exponent", [-120, -60, 60, 115])
@pytest.mark.parametrize("label", candidates())
def test_very_small_and_very_large_numbers_keep_the_promise(label, exponent):
    """Of sums that float32 holds; parts of numbers, or sums of transforms, that it does not hold must not show."""
    for name, case in some_of(label, abs(exponent) // 60).items():
        x, weight = DATA["random"](np.random.default_rng(3), case.x, case.weight)
        x, weight = np.ldexp(x, exponent), np.ldexp(weight, -10 if exponent > 100 else 0)
        found = errors(case, x, weight, case.compute(x, weight, algorithm=label))
        words = promised(case, label)
        assert all(found.of_result <= SHARE * PROMISES[word][0] for word in words), f"{label}: {name}: {found}"


@pytest.mark.parametrize("label", candidates())
def test_one_number_near_the_top_of_the_range_makes_no_infinity(label):
    for name, case in some_of(label, 2).items():
        x, weight = DATA["random"](np.random.default_rng(6), case.x, case.weight)
        x.flat[x.size // 2] = np.finfo(np.float32).max
        found = errors(case, x, weight / 1024, case.compute(x, weight / 1024, algorithm=label))
        assert all(found.of_absolute <= SHARE * PROMISES[word][1] for word in promised(case, label)), f"{label}: {name}"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("label", candidates())
def test_special_values_come_out_where_the_definition_puts_them(label, value):
    other = "reference" if label == "windows" else "windows"
    for name, case in (TINY if label == "windows" else some_of(label, 0 if np.isnan(value) else 1)).items():
        for number in (0, 1):
            x, weight = operands = DATA["random"](np.random.default_rng(4), case.x, case.weight)
            operands[number].flat[operands[number].size // 2] = value
            with np.errstate(invalid="ignore"):
                found, expected = (case.compute(x, weight, algorithm=word) for word in (label, other))
            for tells in (np.isnan, np.isposinf, np.isneginf):
                np.testing.assert_array_equal(tells(found), tells(expected), f"{label}: {name}")


@pytest.mark.parametrize("label", candidates())
def test_the_same_bits_for_any_batch_threads_and_packing(label):
    before = sr.get_num_threads()
    for name, case in some_of(label, 0).items():
        x, weight = DATA["random"](np.random.default_rng(5), (3, *case.x[1:]), case.weight)
        try:
            sr.set_num_threads(1)
            expected = case.compute(x, weight, algorithm=label)
            sr.set_num_threads(2)
            found = case.compute(x, weight, algorithm=label)
            compiled = sr.compile(getattr(sr, case.operation), x, weight, **case.words, algorithm=label)(x)
        finally:
            sr.set_num_threads(before)
        alone = np.concatenate([case.compute(x[n : n + 1], weight, algorithm=label) for n in range(3)])
        for other in (found, compiled, alone):
            np.testing.assert_array_equal(other, expected, f"{label}: {name}")
