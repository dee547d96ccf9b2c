"""Padding words, boundaries, and which element stands at a position outside."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles.images import outside
from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry import BOUNDARIES, BOUNDARY_ALIASES, boundary_word, output_size, parse_boundary, parse_padding
from striderule.geometry.padding import boundary_indices, source_index

NUMPY_MODES = {"edge": "edge", "symmetric": "symmetric", "mirror": "reflect", "wrap": "wrap"}
small = st.integers(1, 7)


def padding_of(value, size=10, kernel=3, stride=1, dilation=1):
    """Return (before, after) of one axis."""
    sides = parse_padding(value, size=(size,), kernel=(kernel,), stride=(stride,), dilation=(dilation,))
    return sides[0]


@given(st.integers(1, 30), small, small, small)
def test_same_gives_the_ceiling_of_size_over_stride(size, kernel, stride, dilation):
    before, after = padding_of("same", size, kernel, stride, dilation)
    assert 0 <= after - before <= 1
    # Padding is never negative: with a stride wider than the kernel the last positions may be left over.
    assert output_size(size, kernel, stride, ((before, after),), dilation) == -(-size // stride)
    assert padding_of("same_lower", size, kernel, stride, dilation) == (after, before)
    # No padding is wasted: with one position less there is one window less, or there was none to begin with.
    if after:
        shorter = size + before + after - 1
        extent = dilation * (kernel - 1) + 1
        windows = 0 if shorter < extent else (shorter - extent) // stride + 1
        assert windows == -(-size // stride) - 1


@given(st.integers(1, 30), small, small, small)
def test_the_other_words(size, kernel, stride, dilation):
    extent = dilation * (kernel - 1) + 1
    assert padding_of("valid", size, kernel, stride, dilation) == (0, 0)
    # full: every window that meets the array in at least one position
    assert padding_of("full", size, kernel, stride, dilation) == (extent - 1, extent - 1)
    # causal: the window of output j ends at position j
    assert padding_of("causal", size, kernel, stride, dilation) == (extent - 1, 0)


def test_an_even_kernel_has_its_extra_position_after_or_before():
    assert padding_of("same", kernel=4) == (1, 2)
    assert padding_of("same_lower", kernel=4) == (2, 1)
    assert padding_of("SAME", kernel=4) == padding_of("same_upper", kernel=4) == (1, 2)


def test_words_and_numbers_mix_by_axis_and_side():
    three = {"size": (5, 6, 7), "kernel": (3, 4, 2), "stride": (1, 2, 1), "dilation": (1, 1, 3)}
    assert parse_padding(("same", (0, -2), "full"), **three) == ((1, 1), (0, -2), (3, 3))
    assert parse_padding([2, "causal", 1], **three) == ((2, 2), (3, 0), (1, 1))
    assert parse_padding(("full",), **three) == ((2, 2), (3, 3), (3, 3))
    assert parse_padding(((1, 2),), **three) == ((1, 2),) * 3
    assert parse_padding(-1, **three) == ((-1, -1),) * 3
    assert parse_padding(np.array([1, 2, 3]), **three) == ((1, 1), (2, 2), (3, 3))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("sane", "padding must be numbers or one of valid, same, same_lower, full, causal, got 'sane'$"),
        ("mirror", "got 'mirror'; 'mirror' is a boundary: write boundary='mirror'"),
        ("circular", "'circular' is a boundary: write boundary='circular'"),
        ((1, 2), r"got \(1, 2\); in one dimension a pair is written nested: \(\(before, after\),\)"),
        (((1, 2, 3),), r"padding of an axis must be one number or \(before, after\), got \(1, 2, 3\)"),
        (2**63, r"padding must be below 2\*\*63, got 9223372036854775808"),
        (((0, -(2**63)),), r"each|padding must be below 2\*\*63"),
        (("same", 1, 2), r"one for each of the 1 spatial axes, got \('same', 1, 2\)"),
    ],
)
def test_padding_refusals(value, message):
    with pytest.raises(InvalidArgument, match=message):
        padding_of(value)


@pytest.mark.parametrize("value", [None, 1.5, {"a": 1}, True, (("same", "valid"),)])
def test_padding_of_the_wrong_kind(value):
    with pytest.raises(InvalidType, match="padding must be an integer, got"):
        padding_of(value)


def test_vocabulary_and_aliases():
    assert set(BOUNDARIES) == {"constant", "edge", "symmetric", "mirror", "wrap"}
    expected = {
        "constant": {"zeros", "fill", "grid-constant"},
        "edge": {"replicate", "nearest"},
        "symmetric": {"symm", "grid-mirror"},
        "mirror": {"reflect_101", "reflect101"},
        "wrap": {"circular", "periodic", "grid-wrap"},
    }
    found = {word: {alias for alias, of in BOUNDARY_ALIASES.items() if of == word} for word in BOUNDARIES}
    assert found == expected
    for alias, word in BOUNDARY_ALIASES.items():
        assert boundary_word(alias) == boundary_word(alias.upper()) == boundary_word(word) == word


def test_boundary_grammar():
    assert parse_boundary("zeros", 2) == (("constant", "constant"),) * 2
    assert parse_boundary(["wrap", ("edge", "nearest")], 2) == (("wrap", "wrap"), ("edge", "edge"))
    assert parse_boundary((("wrap", "symm"),), 1) == (("wrap", "symmetric"),)


@pytest.mark.parametrize("value", ["reflect", "Reflect", ("wrap", "reflect"), ("wrap", ("edge", "reflect"))])
def test_reflect_is_refused_with_both_of_its_meanings(value):
    message = (
        r"boundary='reflect' means two things: write 'mirror' for cb\|abc\|ba \(NumPy, PyTorch\) or 'symmetric' for "
        r"cba\|abc\|cba \(SciPy, scikit-image\)"
    )
    with pytest.raises(InvalidArgument, match=message):
        parse_boundary(value, 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("mirrored", "boundary must be one of constant, edge, symmetric, mirror, wrap .* got 'mirrored'$"),
        ("same", "got 'same'; 'same' is a padding: write padding='same'"),
        (("wrap", "edge"), r"one entry for each of the 1 axes.*in one dimension a pair is written nested"),
        ((("wrap", "edge", "edge"),), r"boundary of an axis must be one word or \(before, after\), got"),
    ],
)
def test_boundary_refusals(value, message):
    with pytest.raises(InvalidArgument, match=message):
        parse_boundary(value, 1)


@pytest.mark.parametrize("value", [None, 0, (3,)])
def test_a_boundary_is_a_word(value):
    with pytest.raises(InvalidType, match="boundary must be a word or a tuple of words, got"):
        parse_boundary(value, 1)


@pytest.mark.parametrize("word", NUMPY_MODES)
def test_positions_outside_equal_numpy_pad(word):
    for size in range(1, 9):
        array = np.arange(size)
        for before, after in ((0, 0), (1, 0), (0, 3), (size, size), (3 * size + 1, 5), (25, 40)):
            expected = np.pad(array, (before, after), mode=NUMPY_MODES[word])
            assert boundary_indices(size, before, after, (word, word)) == expected.tolist()


@given(st.integers(-60, 60), st.integers(1, 8), st.sampled_from(sorted(BOUNDARIES)))
def test_positions_outside_equal_walking_home(position, size, word):
    assert source_index(position, size, word) == outside(position, size, word)


def test_far_positions_need_no_walk():
    assert source_index(-(2**62), 3, "wrap") == -(2**62) % 3
    assert source_index(2**62, 5, "edge") == 4
    assert source_index(7 * 10**15, 1, "mirror") == 0


def test_sides_differ_and_negative_padding_crops():
    assert boundary_indices(3, 2, 2, ("constant", "edge")) == [None, None, 0, 1, 2, 2, 2]
    assert boundary_indices(5, -1, -2, ("wrap", "wrap")) == [1, 2]
    assert boundary_indices(5, -2, 2, ("wrap", "mirror")) == [2, 3, 4, 3, 2]
    assert boundary_indices(0, 2, 1, ("constant", "constant")) == [None] * 3


def test_an_empty_axis_has_nothing_to_repeat():
    with pytest.raises(
        InvalidArgument, match="boundary='wrap' needs at least one element on the axis; use boundary='con"
    ):
        source_index(0, 0, "wrap")
