"""bfloat16 through ml_dtypes: stored in 16 bits, computed with in float32, rounded once."""

import numpy as np
import pytest

pytest.importorskip("ml_dtypes")

import ml_dtypes

import striderule as sr
from functional.operations import CALLS
from striderule.algorithms.direct import call as calls
from striderule.codegen import target
from striderule.errors import InvalidType
from striderule.functional.bfloat16 import promoted

pytestmark = pytest.mark.conformance

BFLOAT = np.dtype(ml_dtypes.bfloat16)
# Functions of images.
REFUSING = ("correlate", "convolve")


def stored(value):
    return value.astype(BFLOAT) if value.dtype == np.float32 else value


def wide(value):
    return value.astype(np.float32) if value.dtype == BFLOAT else value


@pytest.mark.parametrize("algorithm", [None, "windows"])
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_every_operation_computes_in_float32_or_refuses(call, algorithm):
    """What float32 gives for the same numbers, rounded half to even."""
    short = {name: stored(value) for name, value in call.operands.items()}
    long = {name: wide(value) for name, value in short.items()}
    run = (lambda operands: call(operands)) if algorithm is None else (lambda operands: call.by(algorithm, operands))
    if call.name in REFUSING or call.name.startswith("filters."):
        with pytest.raises(
            InvalidType, match="has the element type bfloat16, which the functions of networks alone know"
        ):
            run(short)
        return
    got, expected = run(short), run(long)
    for one, other in zip(*((each if isinstance(each, tuple) else (each,)) for each in (got, expected)), strict=True):
        assert one.dtype == (BFLOAT if other.dtype == np.float32 else other.dtype)
        np.testing.assert_array_equal(one, other.astype(one.dtype))


@pytest.mark.parametrize("name", [machine.name for machine in target.available()])
def test_direct_convolution_reads_and_writes_it(monkeypatch, name):
    """Not by way of float32 arrays: the routine's operands and result are of 16 bits."""
    monkeypatch.setenv("STRIDERULE_TARGET", name)
    forms = []
    routine = calls.product_routine
    monkeypatch.setattr(calls, "product_routine", lambda form, machine: (forms.append(form), routine(form, machine))[1])
    monkeypatch.setattr(calls.proof.jit, "_routines", {})
    monkeypatch.setenv("STRIDERULE_CACHE", "0")
    calls._call_for.cache_clear()
    rng = np.random.default_rng(0)
    x, weight, residual = (
        rng.standard_normal(shape).astype(BFLOAT) for shape in ((2, 40, 9, 21), (9, 40, 3, 3), (2, 9, 9, 21))
    )
    bias = rng.standard_normal(9).astype("f")
    words = {"padding": 1, "activation": "relu", "algorithm": "direct"}
    expected = sr.conv2d(*map(wide, (x, weight)), bias, **words, residual=wide(residual))
    forms.clear()
    for image in (x, x[..., ::-1].copy()[..., ::-1], np.asfortranarray(x)):
        for dtype in ("bfloat16", "float32"):
            got = sr.conv2d(image, weight, bias, **words, residual=residual, dtype=dtype)
            assert got.dtype == dtype
            np.testing.assert_array_equal(got, expected.astype(dtype))
    assert {(form.source, form.weights, form.result) for form in forms} >= {("bfloat16", "bfloat16", "bfloat16")}
    calls._call_for.cache_clear()


def test_infinite_weights_meet_no_padding():
    x, weight = np.ones((1, 1, 4, 4), BFLOAT), np.full((1, 1, 3, 3), np.inf, BFLOAT)
    for algorithm in ("direct", "windows", "reference"):
        assert (sr.conv2d(x, weight, padding=1, algorithm=algorithm) == np.inf).all()


def test_calls_like_an_earlier_one():
    """Remembered and compiled calls; results in `out`, which may be the operand where it may be for float32."""
    x = np.linspace(-3, 3, 24).astype(BFLOAT).reshape(1, 2, 3, 4)
    weight = np.ones((3, 2, 2, 2), BFLOAT)
    first = sr.conv2d(x, weight)
    again = sr.conv2d(-x, weight)
    np.testing.assert_array_equal(again, -first)
    compiled = sr.compile(sr.conv2d, sr.Array(x.shape, "bfloat16"), weight)
    np.testing.assert_array_equal(compiled(x), first)
    np.testing.assert_array_equal(sr.compile(sr.conv2d, x, weight)(x), first)
    for function in (sr.relu, sr.max_pool2d):
        words = {} if function is sr.relu else {"kernel_size": 2}
        expected = function(wide(x), **words)
        for sign in (1, -1):
            np.testing.assert_array_equal(function(x * sign, **words), function(wide(x) * sign, **words).astype(BFLOAT))
        out = np.empty(expected.shape, BFLOAT)
        assert function(x, **words, out=out) is out
        np.testing.assert_array_equal(out, expected.astype(BFLOAT))
        compiled = sr.compile(function, sr.Array(x.shape, "bfloat16"), **words)
        np.testing.assert_array_equal(compiled(x), out)
    own = x.copy()
    sr.relu(own, out=own)
    np.testing.assert_array_equal(own, np.maximum(x, 0))


def test_types_of_results_are_those_that_float16_has():
    x, mean, var = np.ones((2, 3, 4), BFLOAT), np.zeros(3, BFLOAT), np.ones(3, "f")
    assert sr.batch_norm(x, mean, var).dtype == BFLOAT
    assert sr.prelu(x, np.ones(3, "f")).dtype == np.float32
    assert sr.prelu(x, np.ones(3, BFLOAT)).dtype == BFLOAT
    pooled, places = sr.max_pool1d(x, 2, return_indices=True)
    assert (pooled.dtype, places.dtype) == (BFLOAT, np.int64)
    assert sr.batch_norm(x, mean, var, training=True, momentum=0.5).dtype == BFLOAT
    assert (mean == 0.5).all()
    assert (var == 0.5).all()


PROMOTED = {
    "bool": "bfloat16",
    "int8": "bfloat16",
    "uint8": "bfloat16",
    "bfloat16": "bfloat16",
    "int16": "float32",
    "float16": "float32",
    "float32": "float32",
    "int32": "float64",
    "int64": "float64",
    "float64": "float64",
    "complex64": "complex64",
    "complex128": "complex128",
}


@pytest.mark.parametrize("other", PROMOTED)
def test_with_other_types(other):
    """As float16 goes with them, but for float16; and as ml_dtypes says where that says anything."""
    x, weight = np.ones((1, 1, 4), BFLOAT), np.ones((1, 1, 2), other)
    assert sr.conv1d(x, weight).dtype == PROMOTED[other] == promoted(BFLOAT, np.dtype(other))
    assert sr.conv1d(weight, x[..., :1]).dtype == PROMOTED[other]
    assert (sr.conv1d(x, weight) == 2).all()
    try:
        assert np.promote_types(BFLOAT, other) == PROMOTED[other]
    except np.exceptions.DTypePromotionError:
        assert PROMOTED[other].startswith("float")


def test_results_of_it_from_other_types():
    x, weight = np.float32([[[1, 2**-8, 3]]]), np.float32([[[1, 1]]])
    assert sr.conv1d(x, weight, dtype="bfloat16").dtype == BFLOAT
    assert (sr.conv1d(x, weight, dtype=BFLOAT) == np.float32([1, 3]).astype(BFLOAT)).all()  # half to even
    assert sr.conv1d(x.astype("i1"), weight.astype("i1"), dtype="bfloat16").dtype == BFLOAT
    assert sr.conv1d(x.astype(BFLOAT), weight, dtype="int8").tolist() == [[[1, 3]]]


def test_explain_knows_it():
    plan = sr.explain(sr.conv2d, sr.Array((1, 64, 56, 56), "bfloat16"), sr.Array((64, 64, 3, 3), "bfloat16"))
    assert plan.problem.dtype == "float32"
    assert sr.explain(sr.max_pool2d, sr.Array((1, 4, 8, 8), "bfloat16"), 2).algorithm


@pytest.mark.skipif("bfloat16" not in target.host().units, reason="there are no such instructions here")
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_dot_products_of_bfloat16_are_those_of_float32(last):
    """Nothing is rounded but the sums, and the result once; infinite numbers are left to direct convolution."""
    rng = np.random.default_rng(11)
    x = rng.standard_normal((2, 33, 14, 15)).astype(BFLOAT)
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if last else x
    weight, bias = (rng.standard_normal(shape).astype(BFLOAT) for shape in ((20, 33, 3, 3), 20))
    words = {"padding": 1, "stride": 2, "precision": "medium"}
    assert sr.explain(sr.conv2d, x, weight, **words).chosen.label == "dots:bf16"
    expected = sr.conv2d(*(one.astype(float) for one in (x, weight, bias)), padding=1, stride=2)
    wide = sr.conv2d(x, weight, bias, **words, dtype="float32")
    np.testing.assert_allclose(wide, expected, atol=3e-5)
    got = sr.conv2d(x, weight, bias, **words)
    assert got.dtype == BFLOAT
    assert (got == wide.astype(BFLOAT)).all()
    assert (sr.compile(sr.conv2d, x, weight, bias, **words)(x) == got).all()
    x[1, 2, 3, 4] = np.inf
    other = sr.conv2d(x, weight, bias, **words)
    assert (other[0] == got[0]).all()
    plain = sr.conv2d(x, weight, bias, padding=1, stride=2, algorithm="direct")[1]
    assert other[1].tobytes() == plain.tobytes()
