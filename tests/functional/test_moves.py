"""Operations that one call of machine code does: later calls give the same bits, and check what may still differ."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import striderule as sr
from striderule.algorithms import table
from striderule.codegen import workers
from striderule.errors import InvalidArgument
from striderule.functional import recipes

RANDOM = np.random.default_rng(4)


def noise(*shape, dtype="float32"):
    return RANDOM.standard_normal(shape).astype(dtype)


X = noise(2, 4, 6, 6)
C = tuple(np.abs(noise(4)) for _ in range(4))
# A function, its arrays, its words, and whether calls whose out is x take the short way.
CALLS = [
    (sr.relu, (X,), {}, True),
    (sr.relu, (X[0, 0],), {"inplace": False}, True),
    (sr.relu, ((9 * X).astype("int16"),), {}, True),
    (sr.leaky_relu, (X,), {"negative_slope": 0.3}, True),
    (sr.elu, (X.astype("float64"), 0.5), {}, True),
    (sr.hardtanh, (X.astype("float16"), -0.5, 0.25), {}, True),
    (sr.threshold, (X, 0.1, 20.0), {}, True),
    (sr.gelu, (X,), {"approximate": "tanh"}, True),
    (sr.tanh, ((9 * X).astype("int8"),), {}, False),
    (sr.softplus, (X[..., ::2],), {}, True),
    (sr.silu, (X.transpose(0, 2, 3, 1),), {}, True),
    (sr.prelu, (X, C[0]), {}, True),
    (sr.prelu, (X.transpose(3, 1, 2, 0), C[0]), {}, True),
    (sr.prelu, (X, C[0][:1]), {}, True),
    (sr.softmax, (X, 1), {}, True),
    (sr.softmax, (X, -1), {}, True),
    (sr.log_softmax, (X[..., ::-1].astype("float64"),), {"dim": 2}, True),
    (sr.batch_norm, (X, *C), {}, True),
    (sr.batch_norm, (X, *C[:2]), {"eps": 0.1}, True),
    (sr.local_response_norm, (X, 3), {}, False),
    (sr.pad, (X, 1), {}, False),
    (sr.pad, (X, (2, 1)), {"mode": "reflect"}, False),
    (sr.pixel_shuffle, (X, 2), {}, False),
    (sr.unfold, (X, 3), {}, False),
]
NAMES = [f"{function.__name__}-{number}" for number, (function, *_) in enumerate(CALLS)]
every_call = pytest.mark.parametrize(("function", "operands", "words", "same"), CALLS, ids=NAMES)
IN_PLACE = [call for call in CALLS if call[3]]


@pytest.fixture(autouse=True)
def nothing_remembered():
    recipes.forget()
    yield
    recipes.forget()


@pytest.fixture
def long_way(monkeypatch):
    """Count the calls that ask for an algorithm, which those that are remembered do not."""
    calls = []
    family = table.family
    monkeypatch.setattr(table, "family", lambda *args: calls.append(args) or family(*args))
    return calls


def alike(array, *, shift=0):
    """Return an array of other values at the same strides, in memory that begins `shift` bytes later."""
    reach = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
    room = np.zeros(sum(map(abs, reach)) + array.itemsize + shift, np.uint8)
    start = shift - sum(step for step in reach if step < 0)
    result = np.ndarray(array.shape, array.dtype, room.data, start, array.strides)
    result[...] = np.abs(9 * RANDOM.standard_normal(array.shape))
    result[...] += array
    return result


@every_call
def test_later_calls_give_the_same_bits_by_the_short_way(function, operands, words, same, long_way):
    first = function(*operands, **words)
    once = len(long_way)
    others = [alike(one) if isinstance(one, np.ndarray) else one for one in operands]
    found = [function(*operands, **words), function(*others, **words)]
    assert len(long_way) == once
    out = np.full_like(first, 7)
    for given in (operands, others):
        assert function(*given, **words, out=out) is out
        assert len(long_way) == 2 * once
        found.append(out.copy(order="K"))
    recipes.forget()
    for result, given in zip(found, (operands, others, operands, others), strict=True):
        expected = function(*given, **words)
        recipes.forget()
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
        assert result.strides == first.strides
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("function", "operands", "words", "same"), IN_PLACE, ids=[call[0].__name__ for call in IN_PLACE]
)
def test_out_may_be_x(function, operands, words, same, long_way):
    expected = function(*operands, **words)
    for _ in range(3):
        x = alike(operands[0])
        x[...] = operands[0]
        assert function(x, *operands[1:], **words, out=x) is x
        np.testing.assert_array_equal(x, expected)
    assert len(long_way) == 2
    x[...] = operands[0]
    function(x[...], *operands[1:], **words, out=x)
    np.testing.assert_array_equal(x, expected)


@every_call
def test_what_may_differ_is_looked_at_each_time(function, operands, words, same):
    expected = function(*operands, **words)
    x, *rest = operands
    whole = np.zeros(2 * x.size + 2 * expected.size + 8, expected.dtype)
    out = whole[: expected.size].reshape(expected.shape)
    for _ in range(2):
        np.testing.assert_array_equal(function(x, *rest, **words, out=out), expected)
    out.flags.writeable = False
    with pytest.raises(InvalidArgument, match="out is read-only"):
        function(x, *rest, **words, out=out)
    if x.flags.c_contiguous and x.dtype == expected.dtype:
        for shift in (1, expected.size - 1):
            inside = whole[shift : shift + x.size].reshape(x.shape)
            inside[...] = x
            with pytest.raises(InvalidArgument, match="out overlaps an input"):
                function(inside, *rest, **words, out=whole[: expected.size].reshape(expected.shape))
    for shift in (1, x.itemsize):
        moved = alike(x, shift=shift)
        moved[...] = x
        for _ in range(2):
            np.testing.assert_array_equal(function(moved, *rest, **words), expected)
        far = alike(expected, shift=shift)
        for _ in range(2):
            np.testing.assert_array_equal(function(x, *rest, **words, out=far), expected)


def test_sums_over_channels_do_not_read_what_they_have_written():
    expected = sr.local_response_norm(X, 3)
    for _ in range(2):
        x = X.copy()
        sr.local_response_norm(x, 3, out=np.empty_like(x))
        np.testing.assert_array_equal(sr.local_response_norm(x, 3, out=x), expected)


def test_slopes_are_read_at_each_call(long_way):
    slopes = C[0].copy()
    sr.prelu(X, slopes)
    slopes[:] = -2
    np.testing.assert_array_equal(sr.prelu(X, slopes), np.where(X > 0, X, -2 * X))
    assert len(long_way) == 1
    both = np.zeros(X.size + 2, np.float32)
    both[: X.size] = X.ravel()
    out = both[: X.size].reshape(X.shape)
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="out overlaps an input"):
            sr.prelu(X, both[X.size - 2 :], out=out)


def test_numbers_of_either_sign_of_zero_are_told_apart():
    x = np.full(3, -1, np.float32)
    for slope in (0.0, -0.0, 0.0, 0.5):
        assert (np.signbit(sr.leaky_relu(x, slope)) == np.signbit(-np.float32(slope))).all()


def test_large_arrays_are_shared_out(monkeypatch):
    x = noise(5, 90_001)
    before = workers.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 2):
            workers.set_num_threads(threads)
            results += [sr.relu(x), sr.gelu(x), sr.softmax(x, 1)]
    finally:
        workers.set_num_threads(before)
    for number, result in enumerate(results):
        np.testing.assert_array_equal(result, results[number % 3])
    np.testing.assert_array_equal(results[0], np.maximum(x, 0))
