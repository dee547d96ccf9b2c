"""Where no test has run the code for a target, each structure is tried once, and refused where NumPy disagrees."""

import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import striderule as sr
from oracles import anew
from oracles.trust import ENTRIES, answer, answers, close
from striderule.algorithms import memory
from striderule.algorithms.direct import convolution as direct
from striderule.algorithms.direct import proof
from striderule.algorithms.windows import convolution as windows
from striderule.codegen import jit, target, workers
from striderule.errors import CompilationFailed
from striderule.geometry.problem import Convolution

PROBLEM = Convolution.from_shapes((2, 3, 9, 20), (5, 3, 3, 3), padding=1)
ROUTINE = jit.Routine(0, "routine")


@pytest.fixture
def tried(monkeypatch):
    """Let no target count as proved; returns the list of the inputs that are tried."""
    for module, name, value in ((proof, "PROVED", ()), (proof, "_found", {}), (jit, "_routines", {})):
        monkeypatch.setattr(module, name, value)
    anew.forget()
    calls = []
    agree = proof.agree

    def noted(function, twin, *words, **named):
        calls.append(next(word for word in words if isinstance(word, np.ndarray)))
        return agree(function, twin, *words, **named)

    monkeypatch.setattr(proof, "agree", noted)
    yield calls
    anew.forget()


@pytest.fixture
def broken(tried, monkeypatch):
    """Let routines do nothing: their results stay zero."""
    monkeypatch.setattr(workers, "run", lambda *_: None)
    monkeypatch.setattr(memory, "empty", np.zeros)
    monkeypatch.setattr(memory, "scratch", lambda _, count, dtype: np.zeros(count, dtype))
    return tried


def operands(problem=PROBLEM, dtype="float32"):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((problem.batch, problem.in_channels, *problem.size))
    shape = (problem.out_channels, problem.in_channels // problem.groups, *problem.kernel)
    return x.astype(dtype), rng.standard_normal(shape).astype(dtype)


def test_each_structure_is_tried_once_on_one_image(tried):
    expected = windows.convolution(PROBLEM, *operands(), 0)
    for _ in range(3):
        np.testing.assert_allclose(direct.convolution(PROBLEM, *operands(), 0), expected, atol=1e-5)
    assert [len(x) for x in tried] == [1]
    double = replace(PROBLEM, dtype="float64")
    direct.convolution(double, *operands(double, "float64"), 0)
    assert [x.dtype for x in tried] == ["float32", "float64"]


def test_on_proved_targets_nothing_is_tried(tried, monkeypatch):
    monkeypatch.setattr(proof, "PROVED", target.TARGETS)
    direct.convolution(PROBLEM, *operands(), 0)
    assert tried == []


def test_wrong_code_is_refused_with_one_warning(broken):
    with pytest.warns(RuntimeWarning, match="gives other results than NumPy on .*, where no test has run it") as caught:
        got = direct.convolution(PROBLEM, *operands(), 0)
    assert len(caught) == 1
    assert (got == windows.convolution(PROBLEM, *operands(), 0)).all()
    assert len(broken) == 1
    for batch in (1, 5):  # the same structure again: warnings are errors here, so there is no second one
        problem = replace(PROBLEM, batch=batch)
        got = direct.convolution(problem, *operands(problem), 0)
        assert (got == windows.convolution(problem, *operands(problem), 0)).all()
    assert len(broken) == 1


def test_the_public_functions_give_way_too(broken):
    x, weight = operands()
    with pytest.warns(RuntimeWarning, match="gives other results than NumPy") as caught:
        results = [sr.conv2d(x, weight, padding=1, algorithm="direct") for _ in range(3)]
    assert len(caught) == 1
    assert all((one == sr.conv2d(x, weight, padding=1, algorithm="windows")).all() for one in results)


def test_every_routine_of_every_operation_is_tried(tried):
    """Whoever asks `jit` for a routine asks by way of `proof`; and as they are right, all of them pass."""
    answers()
    assert jit._routines
    assert set(proof._found) == set(jit._routines)
    assert all(proof._found.values())


def test_what_is_refused_computes_nothing(tried, monkeypatch):
    """Not even later, for other batches, from what algorithms keep of calls."""
    for name in ("run", "alone"):
        monkeypatch.setattr(workers, name, _in_trials(getattr(workers, name)))
    holds = proof._holds
    monkeypatch.setattr(proof, "_holds", lambda entry, trial: holds(entry, lambda: trial() is None))
    for number, (call, algorithm) in enumerate(ENTRIES):
        halves = {name: value[:1] if name in call.batched else value for name, value in call.operands.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert close(answer(number), answer(number, "windows")), str(call)
        assert close(answer(number), answer(number, "windows")), str(call)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call.by(algorithm, halves)
            call.by(algorithm)
    assert not any(proof._found.values())


def _in_trials(call):
    def run(*words):
        assert proof._trials, "a refused routine is run"
        return call(*words)

    return run


def test_threads_wait_for_one_trial(tried):
    expected = direct.convolution(PROBLEM, *operands(), 0)
    anew.forget()
    tried.clear()
    results, start = [], threading.Barrier(8)

    def call():
        start.wait()
        results.append(direct.convolution(PROBLEM, *operands(), 0))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tried) == 1
    assert len(results) == 8
    assert all((one == expected).all() for one in results)


@pytest.mark.parametrize(
    ("triple", "proved"),
    [
        ("x86_64-unknown-linux-gnu", True),
        ("aarch64-unknown-linux-gnu", True),
        ("x86_64-pc-windows-msvc", False),
        ("arm64-apple-darwin23.1.0", False),
    ],
)
def test_what_is_proved(triple, proved):
    found = target.runnable(triple, {"avx", "avx2", "fma"})
    assert found
    assert all(proof.is_proved(one) == proved for one in found)
    assert not any(proof.is_proved(replace(one, name="avx10")) for one in found)


def asked(trial, monkeypatch, name="routine"):
    monkeypatch.setattr(jit, "compiled", lambda *_: ROUTINE)
    return proof.compiled(name, 1, str, target.host(), trial)


def test_a_trial_may_ask_for_its_own_routine(tried, monkeypatch):
    def trial():
        return asked(trial, monkeypatch) is ROUTINE

    assert asked(trial, monkeypatch) is ROUTINE


def test_an_error_in_a_trial_reaches_the_caller_and_is_not_the_last_word(tried, monkeypatch):
    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asked(fails, monkeypatch)
    with pytest.raises(CompilationFailed, match="routine routine gives other results than NumPy"):
        asked(lambda: False, monkeypatch)
    with pytest.raises(CompilationFailed, match="routine routine gives other results than NumPy"):
        asked(fails, monkeypatch)


def test_a_trial_that_gave_way_on_the_way_proves_nothing(tried, monkeypatch):
    calls = []

    def outer():
        calls.append("outer")
        try:
            asked(lambda: False, monkeypatch, "inner")
        except CompilationFailed:
            return True  # NumPy computed both
        return False

    assert asked(outer, monkeypatch, "outer") is ROUTINE
    assert ("outer", 1, target.host()) not in proof._found
    asked(lambda: calls.append("again") or True, monkeypatch, "outer")
    assert calls == ["outer", "again"]


def test_drawn_arrays_are_like_the_given_ones():
    seen = []
    wide = np.zeros((6, 8), np.float32)
    given = [wide.T[::-1, ::2], np.broadcast_to(np.int8(3), (4, 2)), np.zeros((0, 3)), np.zeros(3, np.uint8)]

    def note(*arrays, flag):
        seen.append(arrays)
        return arrays[0] * 2, flag

    twice = lambda *arrays, flag: (arrays[0] + arrays[0], flag)  # noqa: E731
    assert proof.agree(note, twice, *given, flag=np.array([True]))
    for one, other in zip(seen[0], given, strict=True):
        assert (one.shape, one.strides, one.dtype) == (other.shape, other.strides, other.dtype)
    assert seen[0][0].any()
    assert (seen[0][0] == np.round(seen[0][0])).all()
    assert (seen[0][3] < 5).all()


@pytest.mark.parametrize(
    ("got", "expected", "close"),
    [
        (1.0, 1.0 + 1e-6, True),
        (1.0, 1.0 + 1e-4, False),
        (np.nan, np.nan, True),
        (np.nan, 1.0, False),
        (np.inf, -np.inf, False),
    ],
)
def test_floats_agree_to_rounding(got, expected, close):
    one, other = (np.array([number, 0.5], np.float32) for number in (got, expected))
    assert proof.agree(lambda: one, lambda: other) == close
    assert proof.agree(lambda: one, lambda: other.astype(np.float64)) == close
    assert not proof.agree(lambda: one, lambda: other.astype(np.complex64))
    assert not proof.agree(lambda: one, lambda: other[:1])


def test_integers_agree_exactly():
    one, other = np.array([1, 2]), np.array([1, 3])
    assert proof.agree(lambda: one, lambda: one.copy())
    assert not proof.agree(lambda: one, lambda: other)
