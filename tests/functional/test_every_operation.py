"""What holds for every public function on arrays, whatever it computes: swept over all of them."""

import inspect
import warnings

import numpy as np
import pytest

import striderule as sr
from functional.operations import CALLS, WITHOUT_ARRAYS
from public_names import public_functions
from striderule.errors import InvalidArgument, InvalidType, StrideruleError
from striderule.functional import door

TYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]
FIRST = list({call.name: call for call in reversed(CALLS)}.values())  # one call of each function
every_call = pytest.mark.parametrize("call", CALLS, ids=str)
every_function = pytest.mark.parametrize("call", FIRST, ids=str)


class Lazy:
    """Stands for an array that is not in memory: it tells when somebody loads it."""

    shape, ndim, dtype = (4, 4), 2, np.dtype("f4")

    def __array__(self, *args, **kwargs):
        raise AssertionError("loaded")


Lazy.__module__ = "dask.array.core"


def oddities(a):
    """Yield arrays of the same values in other memory."""
    turned = (slice(None, None, -1),) * a.ndim
    yield "negative strides", a[turned].copy()[turned]
    yield "Fortran order", np.asfortranarray(a)
    yield "foreign byte order", a.astype(a.dtype.newbyteorder())
    every_other = np.zeros([2 * n for n in a.shape], a.dtype)[(slice(None, None, 2),) * a.ndim]
    every_other[...] = a
    yield "gaps", every_other
    shifted = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    shifted[...] = a
    yield "unaligned", shifted
    closed = a.copy()
    closed.flags.writeable = False
    yield "read-only", closed


def of_type(values, dtype):
    kind = np.dtype(dtype).kind
    if kind in "biu":
        whole = np.rint(values * 2) + 3
        return (np.abs(whole) if kind in "bu" else whole).astype(dtype)
    return (values + 1j * values[::-1] if kind == "c" else values).astype(dtype)


def answer(call, operands, **words):
    """Return the result, or the error's kind and message."""
    try:
        return call(operands, **words)
    except StrideruleError as error:
        return f"{type(error).__name__}: {error}"


def assert_same(one, other):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


def assert_close(one, other):
    assert one.dtype == other.dtype
    tolerance = {"e": 2e-3, "f": 1e-5, "F": 1e-5}.get(one.dtype.char, 1e-12)
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=3 * tolerance)


def test_every_public_function_is_swept():
    apart = {"errors", "figures", "geometry", "kernels", "models", "nn", "tour"}
    public = {name for name in public_functions() if name.split(".")[0] not in apart}
    assert public - {call.name for call in CALLS} == WITHOUT_ARRAYS


@every_call
def test_memory_does_not_matter(call):
    plain = call()
    for name, operand in call.operands.items():
        before = operand.copy()
        for _, other in oddities(operand):
            assert_same(call({name: other}), plain)
        assert_same(operand, before)


@every_call
def test_results_are_arrays_of_their_own(call):
    result = call()
    assert type(result) is np.ndarray
    assert result.flags.writeable
    assert result.dtype.isnative
    assert not any(np.may_share_memory(result, operand) for operand in call.operands.values())


@pytest.mark.parametrize("call", [call for call in CALLS if call.batched], ids=str)
def test_the_size_of_the_batch_does_not_matter(call):
    plain = call()
    none = call({name: call.operands[name][:0] for name in call.batched})
    assert none.shape == (0, *plain.shape[1:])
    assert none.dtype == plain.dtype
    many = {name: np.tile(call.operands[name], (67,) + (1,) * (call.operands[name].ndim - 1)) for name in call.batched}
    assert_same(call(many)[-3:], plain)
    for n in range(3):
        assert_same(call({name: call.operands[name][n : n + 1] for name in call.batched}), plain[n : n + 1])


@pytest.mark.parametrize(("number", "call"), list(enumerate(CALLS)), ids=[str(call) for call in CALLS])
def test_the_loops_agree_for_every_type(number, call):
    single = {name: call.operands[name][:1] for name in call.batched}  # the loops are slow
    # float32, and two or so of the other types: together the calls, of which most kinds have several, meet all. The
    # tests of each algorithm have all of its types.
    others = [dtype for dtype in TYPES if dtype != "f4"]
    for dtype in ("f4", *others[number % 6 :: 6]):
        chosen = {
            name: operand if name in ("mask", "indices") else of_type(operand, dtype)
            for name, operand in {**call.operands, **single}.items()
        }
        fast, loops = answer(call, chosen), answer(call.by_loops, chosen)
        if isinstance(fast, str) or isinstance(loops, str):
            assert fast == loops
        elif np.asarray(fast).dtype.kind in "iu" and np.asarray(loops).dtype.kind in "iu":
            assert_close(*past_ties(call, chosen, fast, loops))
        else:
            assert_close(fast, loops)


def past_ties(call, operands, fast, loops):
    """Return both but for results that were rounded from within 1e-5 of a tie: there one more or less is right."""
    wide = {name: one.astype(np.float64) if one.dtype.kind in "iu" else one for name, one in operands.items()}
    if np.array_equal(fast, loops) or not isinstance(exact := answer(call.by_loops, wide), np.ndarray):
        return fast, loops
    tied = (np.abs(exact % 1 - 0.5) < 1e-5) & (np.abs(fast - loops.astype(np.int64)) == 1)
    return np.where(tied, loops, fast).astype(fast.dtype), loops


@every_call
def test_nan_and_infinity_stand_where_the_loops_put_them_and_warn_of_nothing(call):
    rng = np.random.default_rng(7)
    operands = {}
    for name, operand in call.operands.items():
        if operand.dtype.kind != "f" or name in ("kernel", "kernels", "running_var"):
            continue  # an image kernel must be finite
        operands[name] = operand.copy()
        places = rng.random(operand.shape) < 0.08
        operands[name][places] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], int(places.sum()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_close(call(operands), call.by_loops(operands))


@every_function
def test_out_receives_the_result(call):
    plain = call()
    for out in (
        np.empty_like(plain),
        np.empty([2 * n for n in plain.shape], plain.dtype)[(slice(None, None, -2),) * plain.ndim],
    ):
        assert call(out=out) is out
        assert_same(out, plain)


@every_function
def test_out_that_does_not_fit_is_refused_and_left_alone(call):
    plain = call()
    closed = np.full(plain.shape, 7, plain.dtype)
    closed.flags.writeable = False
    refused = [
        (np.full((*plain.shape, 2), 7, plain.dtype), r"^out must have the shape of the result"),
        (np.full(plain.shape, 7, np.int16), r"^out must have the type of the result"),
        (np.full(plain.shape, 7, plain.dtype.newbyteorder()), r"^out must have the type of the result"),
        (closed, r"^out is read-only"),
        (
            np.lib.stride_tricks.as_strided(np.full(1, 7, plain.dtype), plain.shape, (0,) * plain.ndim),
            "overlaps itself",
        ),
    ]
    if plain.dtype.newbyteorder() == plain.dtype:  # of one byte
        del refused[2]
    for out, message in refused:
        with pytest.raises(InvalidArgument, match=message):
            call(out=out)
        assert (out == np.asarray(7, out.dtype)).all()
    with pytest.raises(InvalidType, match=r"^out must be a NumPy array, got list"):
        call(out=[0.0])


@every_function
def test_out_must_not_overlap_what_is_read(call):
    plain = call()
    for name, operand in call.operands.items():
        if operand.dtype != plain.dtype:
            continue
        store = np.zeros(max(operand.size, plain.size) + 8, operand.dtype)
        inside = store[: operand.size].reshape(operand.shape)
        inside[...] = operand
        before = store.copy()
        with pytest.raises(InvalidArgument, match=r"^out overlaps an input"):
            call({name: inside}, out=store[2 : 2 + plain.size].reshape(plain.shape))
        assert_same(store, before)


@every_function
def test_arrays_that_are_no_arrays_are_refused(call):
    for name, operand in call.operands.items():
        bad = [
            (
                Lazy(),
                InvalidType,
                r"must be a NumPy array, got dask.*: lazy and foreign arrays are not loaded; compute it",
            ),
            (np.empty(operand.shape, object), InvalidType, r"has the element type object; use booleans, integers"),
            (operand.astype(np.longdouble), InvalidType, r"has the element type float128; use booleans, integers"),
            (np.ma.array(operand), InvalidType, r"is a masked array, whose mask would be lost"),
            ("abc", StrideruleError, r"."),
            ([[1, 2], [3]], InvalidArgument, r"."),
        ]
        if np.dtype(np.longdouble).itemsize == 8:
            del bad[2]
        for value, kind, message in bad:
            with pytest.raises(kind, match=message) as caught:
                call({name: value})
            assert name.removesuffix("s") in str(caught.value)


@every_function
def test_words_that_are_wrong_are_refused(call):
    taken = inspect.signature(call.function).parameters
    wrong = {
        "algorithm": ["fft", 3, ["windows"]],
        "precision": ["low", 3],
        "boundary": ["reflect", "bogus", 3, None, ("edge",) * 7],
        "fill": ["a", None, [1]],
        "layout": ["bad", None, 3],
        "activation": ["nope", 3, ("relu", 1, 2), ()],
        "overflow": ["x", None],
        "nan": ["x", None, 3],
        "dtype": ["spam", object, "M8[s]", "S4"],
        "stride": [0, -1, 1.5, "a", (1,) * 5, 2**70],
        "dilation": [0, -1, 1.5, "a", None, 2**70],
        "padding": [1.5, "bogus", None, 2**70, (1,) * 7],
        "groups": [0, -1, 3, 1.0, "a", None],
        "kernel_size": [0, -1, 1.5, "a", None, 10**9],
        "axes": [7, "a", (0, 0), 1.5],
        "channel_axis": [9, "a", 1.5],
    }
    for argument, values in wrong.items():
        if argument in taken or argument == "algorithm":
            for value in values:
                with pytest.raises(StrideruleError):
                    call(**{argument: value})
    with pytest.raises(TypeError, match="bananas"):
        call(bananas=1)


@every_function
def test_the_first_array_may_be_called_input(call):
    first, *others = call.operands
    rest = {name: call.operands[name] for name in others}
    assert_same(call.function(input=call.operands[first], **rest, **call.words), call())
    with pytest.raises(InvalidType, match="both"):
        call(input=call.operands[first])


def test_door_is_where_lazy_arrays_stop():
    with pytest.raises(InvalidType, match=r"dask.array.map_overlap"):
        door.array(Lazy(), "x")
    with pytest.raises(InvalidType, match=r"^kernels must be a NumPy array, got builtins.NoneType"):
        sr.filters.bank(np.ones((4, 4)), None)
