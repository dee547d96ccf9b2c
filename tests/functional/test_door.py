"""The door: what comes in, which type comes out, how numbers are narrowed, and memory that overlaps."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from striderule.errors import InvalidArgument, InvalidType, UnprovenRange
from striderule.functional import door

INTEGERS = [np.dtype(f"{sign}{size}") for sign in "iu" for size in (1, 2, 4, 8)]
BOOL = np.dtype(bool)


def limits(dtype):
    return (0, 1) if dtype == BOOL else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def test_arrays_come_in_as_views_in_native_order():
    x = np.arange(6.0).reshape(2, 3)[:, ::-1]
    assert np.shares_memory(door.array(x, "x"), x)
    assert door.array(x.astype(">f8"), "x").dtype == np.dtype("=f8")
    np.testing.assert_array_equal(door.array(x.astype(">f8"), "x"), x)
    assert door.array([[1, 2], (3, 4)], "x").tolist() == [[1, 2], [3, 4]]
    assert door.array([np.float32(1), np.ones(1)[0]], "x").dtype == np.float64
    for number in (1, True, 2.5, 1j, np.float16(1), np.True_):
        assert door.array(number, "x").shape == ()
    assert type(door.array(np.ones((1, 2)).view(np.matrix), "x")) is np.ndarray


@pytest.mark.parametrize("value", [2**70, [[2**70]], [1, None], ["a"], b"abc"])
def test_values_without_a_number_type_are_refused(value):
    with pytest.raises(InvalidType, match=r"^(an entry of )?x (has the element type|must be a NumPy array)"):
        door.array(value, "x")


def test_numbers():
    for value in (3, np.int8(3), np.array(3)):
        assert door.number(value, "fill") == 3
        assert type(door.number(value, "fill")) is int
    assert type(door.number(True, "fill")) is int
    assert door.number(np.complex64(1j), "fill") == 1j
    for value in ("3", None, [3], np.array([3]), np.datetime64(0, "s")):
        with pytest.raises(InvalidType, match=r"^fill must be a number, got"):
            door.number(value, "fill")


def test_types_of_results():
    for one, other in itertools.product([BOOL, *INTEGERS], repeat=2):
        wide = max(one.itemsize, other.itemsize) > 2
        assert door.result_type(one, other) == (np.int64 if wide else np.int32)
    assert door.result_type(np.dtype("f2"), np.dtype("i2")) == np.float32
    assert door.result_type(np.dtype("f2"), np.dtype("f2")) == np.float16
    assert door.float_of(np.dtype("u2")) == np.float32
    assert door.float_of(np.dtype("i4")) == np.float64
    assert door.float_of(np.dtype("f2")) == np.float16
    assert door.arithmetic_of(np.dtype("f2")) == np.float32
    assert door.arithmetic_of(BOOL) == np.int64
    assert door.arithmetic_of(np.dtype("c8")) == np.complex64
    assert door.dtype_word(None) is None
    assert door.dtype_word(">i4") == np.dtype("=i4")
    assert door.dtype_word(float) == np.float64


@pytest.mark.parametrize("source", INTEGERS)
def test_integers_to_integers(source):
    low, high = limits(source)
    near = {low, low + 1, -1, 0, 1, 2, 127, 128, 255, 256, 2**31 - 1, 2**31, high - 1, high}
    numbers = sorted(number for number in near if low <= number <= high)
    values = np.array(numbers, source)
    for target in (BOOL, *INTEGERS):
        bottom, top = limits(target)
        saturated = door.cast(values, target)
        assert saturated.dtype == target
        assert [int(v) for v in saturated] == [min(max(v, bottom), top) for v in numbers]
        wrapped = door.cast(values, target, "wrap")
        modulus = top - bottom + 1
        assert [int(v) for v in wrapped] == [(v - bottom) % modulus + bottom for v in numbers]
        if all(bottom <= v <= top for v in numbers):
            assert [int(v) for v in door.cast(values, target, "refuse")] == numbers
        else:
            with pytest.raises(
                UnprovenRange, match=rf"^the exact result does not fit {target}; pass dtype=numpy.int64"
            ):
                door.cast(values, target, "refuse")
        assert door.cast(values[:0], target, "refuse").dtype == target


floats = st.one_of(
    st.floats(-300, 300, width=16),
    st.integers(-(2**70), 2**70).map(float),
    st.integers(-300, 300).map(lambda n: n + 0.5),
    st.sampled_from([2.0**31, 2.0**32, 2.0**63, -(2.0**63), 2.0**64, 2.0**64 - 2048, 1e300, -1e300]),
)


@given(
    st.lists(floats, min_size=1, max_size=6), st.sampled_from([BOOL, *INTEGERS]), st.sampled_from(["f2", "f4", "f8"])
)
def test_floats_to_integers(numbers, target, source):
    with np.errstate(over="ignore"):
        values = np.array(numbers).astype(source)
    values = values[np.isfinite(values)]
    exact = [round(Fraction(float(v))) for v in values]  # Python rounds half to even too
    bottom, top = limits(target)
    saturated = door.cast(values, target)
    assert saturated.dtype == target
    assert [int(v) for v in saturated] == [min(max(v, bottom), top) for v in exact]
    wrapped = door.cast(values, target, "wrap")
    assert [int(v) for v in wrapped] == [(v - bottom) % (top - bottom + 1) + bottom for v in exact]
    if all(bottom <= v <= top for v in exact):
        assert [int(v) for v in door.cast(values, target, "refuse")] == exact
    else:
        with pytest.raises(UnprovenRange, match=r"^the exact result does not fit"):
            door.cast(values, target, "refuse")


@pytest.mark.parametrize("source", ["f2", "f4", "f8"])
def test_infinity_saturates_and_nan_is_refused(source):
    for target in (BOOL, *INTEGERS):
        bottom, top = limits(target)
        assert [int(v) for v in door.cast(np.array([np.inf, -np.inf], source), target)] == [top, bottom]
        with pytest.raises(
            InvalidArgument, match=rf"^the result holds infinity, which cannot wrap to {target}; use overflow="
        ):
            door.cast(np.array([np.inf], source), target, "wrap")
        with pytest.raises(
            InvalidArgument, match=rf"^the result holds NaN, which {target} cannot; ask for a float dtype"
        ):
            door.cast(np.array([1, np.nan], source), target)


def test_rounding_keeps_every_place():
    rng = np.random.default_rng(1)
    for _ in range(100):
        shape = tuple(rng.integers(1, 6, 4))
        x = rng.uniform(-9, 9, tuple(2 * n for n in shape)).transpose(rng.permutation(4))
        x = x[tuple(slice(None, None, int(step)) for step in rng.choice([-2, -1, 1, 2], 4))]
        if rng.random() < 0.3:
            x = np.broadcast_to(x[:, :1], x.shape)
        np.testing.assert_array_equal(door.cast(x, np.dtype("i4")), np.rint(x))
    long = np.arange(300_000) / 2
    np.testing.assert_array_equal(door.cast(long, np.dtype("i8")), np.rint(long))


def test_complex_numbers_keep_their_imaginary_part():
    assert door.cast(np.array([1j]), np.dtype("c8")).dtype == np.complex64
    for target in ("f8", "i4", "?"):
        with pytest.raises(InvalidArgument, match=r"would lose the imaginary part; take .real or abs"):
            door.cast(np.array([1j]), np.dtype(target))
    assert door.cast(np.array([3]), np.dtype("c8")).tolist() == [3]
    assert door.cast(np.array([1e300]), np.dtype("f4")).tolist() == [np.inf]


def test_overflow_words():
    assert door.overflow_word("saturate") == "saturate"
    assert door.overflow_word("wrap") == "wrap"
    for word in ("refuse", "clip", None, 3):
        with pytest.raises(InvalidArgument, match=r"^overflow must be 'saturate' or 'wrap', got"):
            door.overflow_word(word)


def test_finish_writes_into_out():
    out = np.zeros((2, 2), np.uint8)
    assert door.finish(np.array([[1.5, 2.5], [-1, 300]]), out.dtype, out=out) is out
    assert out.tolist() == [[2, 2], [0, 255]]
    assert door.finish(np.ones(2), np.dtype(float)).tolist() == [1, 1]
    assert door.finish(np.array(2.5), np.dtype(int)) == 2


def test_largest_magnitude():
    assert door.largest_magnitude(np.array([], int)) == 0
    assert door.largest_magnitude(np.array([True])) == 1
    assert door.largest_magnitude(np.array([3], np.int8)) == 128
    assert door.largest_magnitude(np.array([3], np.uint16)) == 65535
    assert door.largest_magnitude(np.array([-(2**63), 5])) == 2**63
    assert door.largest_magnitude(np.array([2**64 - 1], np.uint64)) == 2**64 - 1


def test_memory_that_overlaps_itself_is_found_exactly():
    rng = np.random.default_rng(2)
    store = np.zeros(4096, np.uint8)
    found = set()
    for _ in range(600):
        rank = int(rng.integers(1, 4))
        shape = tuple(int(n) for n in rng.integers(1, 5, rank))
        strides = tuple(int(s) for s in rng.integers(-9, 10, rank) * rng.choice([1, 2, 3]))
        dtype = np.dtype(rng.choice(["u1", "u2"]))
        out = as_strided(store[2048:].view(dtype), shape, strides)
        starts = [
            sum(i * s for i, s in zip(index, strides, strict=True)) for index in itertools.product(*map(range, shape))
        ]
        touched = [start + byte for start in starts for byte in range(dtype.itemsize)]
        apart = len(set(touched)) == len(touched)
        found.add(apart)
        if apart:
            door.check_out(out, shape, dtype, [])
        else:
            with pytest.raises(InvalidArgument, match=r"^out overlaps itself"):
                door.check_out(out, shape, dtype, [])
    assert found == {True, False}
    door.check_out(as_strided(store, (0, 3), (0, 0)), (0, 3), store.dtype, [store])


def test_memory_that_cannot_be_told_apart_in_time_counts_as_overlapping(monkeypatch):
    def gives_up(*args, **kwargs):
        raise np.exceptions.TooHardError

    store = np.zeros(4)
    monkeypatch.setattr(door.np, "shares_memory", gives_up)
    with pytest.raises(InvalidArgument, match=r"^out overlaps an input"):
        door.check_out(store[::2], (2,), store.dtype, [store[1::2]])
    door.check_out(store[:2], (2,), store.dtype, [store[2:]])  # apart as wholes: nothing is searched


def test_the_same_array_is_allowed_where_it_is_defined():
    x = np.ones((3, 4))
    door.check_out(x, x.shape, x.dtype, [x], same=True)
    door.check_out(None, x.shape, x.dtype, [x])
    for other in (x[:, ::-1], x.ravel()[:4], x.view(np.int64)):
        with pytest.raises(InvalidArgument, match=r"^out overlaps an input"):
            door.check_out(other, other.shape, other.dtype, [x], same=True)
