"""The precision that holds where a call names none."""

import asyncio
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import striderule as sr
from striderule.errors import InvalidArgument
from striderule.functional import precision, recipes
from striderule.planning import forget
from striderule.planning.cost import COSTS
from striderule.planning.rules import RULES, Rule
from striderule.planning.work import Cost

X, W = sr.Array((1, 8, 20, 20)), sr.Array((8, 8, 3, 3))


@pytest.fixture(autouse=True)
def _nothing_set():
    precision.forget()
    yield
    precision.forget()


def word(**words):
    return sr.explain(sr.conv2d, X, W, **words).precision


def test_the_call_goes_before_the_block_and_that_before_the_default():
    assert word() == sr.get_default_precision() == "highest"
    sr.set_default_precision("medium")
    assert word() == sr.get_default_precision() == "medium"
    with sr.precision("high"):
        assert (word(), word(precision="highest"), sr.get_default_precision()) == ("high", "highest", "medium")
        with sr.precision("medium"):
            assert word() == "medium"
        assert word() == "high"
    assert word() == "medium"


def test_a_block_ends_with_its_error():
    with pytest.raises(InvalidArgument, match="algorithm"), sr.precision("high"):
        sr.conv2d(np.ones((3, 3)), np.ones((2, 2)), algorithm="none")
    assert word() == "highest"


@pytest.mark.parametrize("wrong", ["low", "", None, 3, ["high"], "HIGH"])
def test_wrong_words_are_answered_with_the_right_ones(wrong):
    for function in (sr.precision, sr.set_default_precision):
        with pytest.raises(InvalidArgument, match=r"^precision must be one of highest, high, medium, got "):
            function(wrong)
    assert word() == "highest"


def test_threads_begin_with_the_default_and_have_blocks_of_their_own():
    found = {}

    def inside(name, barrier):
        with sr.precision(name):
            barrier.wait(10)
            found[name] = word()
            barrier.wait(10)

    def outside():
        found["new"] = word()

    barrier = threading.Barrier(2)
    with sr.precision("medium"):
        threads = [threading.Thread(target=inside, args=(name, barrier)) for name in ("high", "highest")]
        threads.append(threading.Thread(target=outside))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert word() == "medium"
    assert found == {"high": "high", "highest": "highest", "new": "highest"}


def test_tasks_have_blocks_of_their_own():
    async def task(name):
        with sr.precision(name):
            await asyncio.sleep(0)
            return word()

    async def both():
        return await asyncio.gather(task("high"), task("medium"))

    assert asyncio.run(both()) == ["high", "medium"]


OPERATIONS = [
    (sr.conv1d, (np.ones((2, 9)), np.ones((3, 2, 3)))),
    (sr.conv3d, (np.ones((5, 5, 5)), np.ones((3, 3, 3)))),
    (sr.conv_transpose2d, (np.ones((2, 4, 4)), np.ones((2, 3, 2, 2)))),
    (sr.depthwise_conv2d, (np.ones((2, 5, 5)), np.ones((2, 3, 3)))),
    (sr.pointwise_conv2d, (np.ones((2, 5, 5)), np.ones((3, 2)))),
    (sr.depthwise_separable_conv2d, (np.ones((2, 5, 5)), np.ones((2, 3, 3)), np.ones((4, 2)))),
    (sr.locally_connected1d, (np.ones((2, 5)), np.ones((3, 2, 3, 3)))),
    (sr.correlate, (np.ones((6, 6)), np.ones((3, 3)))),
    (sr.convolve, (np.ones((6, 6)), np.ones((3, 3)))),
    (sr.filters.gaussian, (np.ones((6, 6)), 1.0)),
    (sr.filters.sobel, (np.ones((6, 6)),)),
    (sr.nn.ConvLayer(2, 3, 3), (np.ones((2, 5, 5)),)),
]


@pytest.mark.parametrize(("op", "args"), OPERATIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_convolution_takes_the_word(op, args):
    with sr.precision("high"):
        assert {plan.precision for plan in sr.explain(op, *args).passes} == {"high"}
    assert {plan.precision for plan in sr.explain(op, *args).passes} == {"highest"}
    if not isinstance(op, sr.nn.ConvLayer):
        assert {plan.precision for plan in sr.explain(op, *args, precision="medium").passes} == {"medium"}


def test_layers_have_a_word_of_their_own():
    layer, x = sr.nn.ConvLayer(3, 4, 3, precision="high"), np.ones((3, 5, 5), np.float32)
    assert sr.explain(layer, x).precision == sr.compile(layer, x).plan.precision == "high"
    layer.precision = None
    with sr.precision("medium"):
        assert sr.explain(layer, x).precision == "medium"
    with pytest.raises(InvalidArgument, match="precision must be one of"):
        sr.nn.ConvLayer(3, 4, 3, precision="low")


def test_compile_keeps_the_word_that_holds():
    x, w = np.ones((1, 3, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)
    with sr.precision("high"):
        f = sr.compile(sr.conv2d, x, w)
        named = sr.compile(sr.conv2d, x, w, precision="medium")
    assert (f.plan.precision, named.plan.precision) == ("high", "medium")
    with sr.precision("medium"):
        again = pickle.loads(pickle.dumps(f))
        assert (again.plan.precision, sr.explain(f, x).precision) == ("high", "high")
    np.testing.assert_array_equal(again(x), f(x))


@pytest.fixture
def rough(monkeypatch):
    """An algorithm that `high` allows and `highest` does not, and that tells itself apart: it is far too rough."""
    plain = Cost(1, 1, 1, 1e-12, 4e-5, 4e-6, variant="one")
    twice = Cost(1, 1, 1, 1e-13, 4e-3, 4e-4, variant="two")
    rule = Rule("rough", lambda problem, _: None if hasattr(problem, "in_channels") else "no", variants=("one", "two"))
    monkeypatch.setitem(RULES, "rough", rule)
    monkeypatch.setitem(COSTS, "rough", lambda *_: (plain, twice))

    class Module:
        @staticmethod
        def convolution(problem, x, weight, fill=0, *, variant):
            return np.full(problem.output_shape, {"one": 1.0, "two": 2.0}[variant], np.float32)

    from striderule.algorithms import table

    real = table.family
    monkeypatch.setattr(table, "family", lambda name, word=None: Module if word == "rough" else real(name, word))
    monkeypatch.setitem(table.PACKAGES, "rough", "nowhere")
    forget(), recipes.forget()
    yield
    forget(), recipes.forget()


def test_what_is_remembered_is_remembered_for_its_word(rough):
    x, w = np.zeros((1, 8, 20, 20), np.float32), np.zeros((8, 8, 3, 3), np.float32)
    for _ in range(3):
        assert sr.conv2d(x, w)[0, 0, 0, 0] == 0
        for name, expected in (("high", 1), ("medium", 2), ("highest", 0)):
            with sr.precision(name):
                assert sr.conv2d(x, w)[0, 0, 0, 0] == expected
                assert sr.conv2d(x, w, precision="high")[0, 0, 0, 0] == 1
    sr.set_default_precision("medium")
    assert sr.conv2d(x, w)[0, 0, 0, 0] == 2
    f = sr.compile(sr.conv2d, x, w)
    sr.set_default_precision("highest")
    assert f(x)[0, 0, 0, 0] == f(x[:, :, ::-1])[0, 0, 0, 0] == 2
    assert sr.conv2d(x, w, algorithm="rough:two", precision="high")[0, 0, 0, 0] == 2


def said(text, command):
    environment = os.environ | {"STRIDERULE_PRECISION": text}
    run = [sys.executable, "-c", f"import striderule as sr; {command}"]
    return subprocess.run(run, capture_output=True, text=True, env=environment, check=False)


def test_the_environment_says_the_default():
    done = said("medium", "print(sr.get_default_precision(), sr.conv1d([1, 2], [1]))")
    assert done.stdout.strip() == "medium [1 2]", done.stderr
    done = said("low", "sr.conv1d([1, 2], [1])")
    expected = "InvalidArgument: STRIDERULE_PRECISION must be one of highest, high, medium, got 'low'"
    assert done.stderr.strip().endswith(expected)
