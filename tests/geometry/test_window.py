"""Sizes against counting, and the forms that arguments and answers take."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry import dilated_extent, output_size, pool_output_size, transposed_output_size, unfold_size
from striderule.geometry.arguments import check_count, is_sequence, per_axis
from striderule.geometry.window import side_pairs

small = st.integers(1, 9)
signed = st.integers(-4, 9)


def starts(size, kernel, stride, before, after, dilation):
    """Return where windows start, found by trying every position of the padded axis."""
    there = set(range(-before, size + after))
    taps = [t * dilation for t in range(kernel)]
    return [j for j in range(-before, size + after, stride) if all(j + t in there for t in taps)]


@given(st.integers(0, 20), small, small, signed, signed, small)
def test_output_size_counts_the_windows(size, kernel, stride, before, after, dilation):
    expected = len(starts(size, kernel, stride, before, after, dilation))
    if not expected:
        with pytest.raises(InvalidArgument, match="no output is left on axis 0"):
            output_size(size, kernel, stride, ((before, after),), dilation)
    else:
        assert output_size(size, kernel, stride, ((before, after),), dilation) == expected


@given(st.integers(1, 12), small, small, st.integers(0, 4), st.integers(0, 4), small, st.integers(0, 3))
def test_transposed_size_is_the_reach_of_the_last_window(size, kernel, stride, before, after, dilation, extra):
    last = (size - 1) * stride + (kernel - 1) * dilation
    expected = len(range(before, last + 1 - after)) + extra if last + 1 - after >= before else None
    if expected is None or last + 1 - before - after + extra < 1:
        return
    assert transposed_output_size(size, kernel, stride, ((before, after),), dilation, extra) == expected


@given(st.integers(1, 20), st.integers(1, 6), small, st.integers(0, 3), st.integers(1, 3), st.booleans())
def test_pooling_drops_a_window_that_starts_in_the_padding_after(size, kernel, stride, padding, dilation, ceil_mode):
    # torch.nn.MaxPool2d: "sliding windows are allowed to go off-bounds if they start within the left padding or the
    # input; windows that would start in the right padded region are ignored"
    reach = dilation * (kernel - 1)
    padded = size + 2 * padding
    if padded < reach + 1 or 2 * padding > reach + 1:  # pooling pads by half a window at most
        return
    count, start = 0, 0
    while start + reach < padded or (ceil_mode and start + reach - stride + 1 < padded and start < size + padding):
        count, start = count + 1, start + stride
    assert pool_output_size(size, kernel, stride, padding, dilation, ceil_mode) == count


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "floor", "ceil"),
    [
        (5, 2, 2, 0, 2, 3),
        (6, 3, 2, 0, 2, 3),
        (7, 3, 2, 1, 4, 4),
        (112, 3, 2, 0, 55, 56),
        (4, 2, 3, 1, 2, 2),
        (3, 1, 2, 0, 2, 2),
    ],
)
def test_pooling_in_floor_and_ceil_mode(size, kernel, stride, padding, floor, ceil):
    assert pool_output_size(size, kernel, stride, padding) == floor
    assert pool_output_size(size, kernel, stride, padding, ceil_mode=True) == ceil


def test_pooling_steps_by_its_kernel_unless_told():
    assert pool_output_size((9, 9), (3, 2)) == (3, 4)


def test_answers_have_the_form_of_the_arguments():
    assert output_size(5, 3) == 3
    assert output_size((5,), 3) == (3,)
    assert output_size([5, 6, 7], 3, (1, 2, 3)) == (3, 2, 2)
    assert output_size(5, (3, 2)) == (3, 4)
    assert output_size(np.int64(5), np.array([3, 2])) == (3, 4)
    assert output_size((5, 6), 3, padding=((1, 0), 2)) == (4, 8)
    assert output_size((8, 8), 3, padding=((1, 0),)) == (7, 7)
    assert output_size(8, 3, padding=((1, 0),)) == 7
    assert dilated_extent((3,), (2,)) == (5,)
    assert unfold_size((5, 6), 3, 2) == 4
    assert unfold_size(5, 3) == 3


def test_sizes_are_exact_beyond_floats():
    assert output_size(2**62 + 1, 2) == 2**62
    assert output_size(2**62, 3, padding=2**61) == 2**63 - 2
    assert transposed_output_size(2**60 + 1, 1, 4) == 2**62 + 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: output_size(5, 0), "kernel must be at least 1 in every axis, got 0"),
        (lambda: output_size((5, 5), 3, stride=(2, 0)), r"stride must be at least 1 in every axis, got \(2, 0\)"),
        (lambda: output_size(5, 3, dilation=-1), "dilation must be at least 1 in every axis, got -1"),
        (lambda: output_size(-1, 3), "size must be at least 0 in every axis, got -1"),
        (
            lambda: output_size((5, 5), (3, 3, 3)),
            r"all arguments must speak of the same number of axes, got \[2, 3\]",
        ),
        (
            lambda: output_size(2, 5, padding=1),
            r"no output is left on axis 0: size 2 with padding \(1, 1\) is shorter than the window's extent 5; "
            "pad more or use a smaller kernel or dilation",
        ),
        (lambda: output_size(0, 3, 3), r"no output is left on axis 0: size 0 with padding \(0, 0\)"),
        (lambda: pool_output_size((4, 1), 2), "no output is left on axis 1: size 1"),
        (
            lambda: transposed_output_size(2, 3, padding=2),
            r"no output is left on axis 0: padding \(2, 2\) crops all that size 2 and extent 3 give; "
            "use a smaller padding",
        ),
        (lambda: transposed_output_size(2, 3, output_padding=-1), "output_padding must be at least 0"),
        (
            lambda: output_size((5, 5), 3, padding=(1, (1, 2, 3))),
            r"must be one number or \(before, after\), got \(1, 2, 3\)",
        ),
        (lambda: side_pairs((1, 2, 3), 2), r"must be one value or one for each of the 2 spatial axes, got \(1, 2, 3\)"),
        (lambda: side_pairs((1, 2), 1), r"in one dimension a pair is written nested: \(\(before, after\),\)"),
        (lambda: per_axis((1, 2, 3), 2, "stride"), r"one for each of the 2 spatial axes, got 3 entries: \(1, 2, 3\)"),
        (lambda: per_axis(2**63, 2, "stride"), r"stride must be below 2\*\*63, got 9223372036854775808"),
    ],
)
def test_refusals_say_the_rule(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


@pytest.mark.parametrize("value", [2.0, True, None, "3", np.True_, {1: 2}, b"1", (1.5, 2)])
def test_only_integers_are_integers(value):
    with pytest.raises(InvalidType, match="must be an integer, got"):
        per_axis(value, 2, "stride")


def test_one_entry_serves_every_axis():
    assert per_axis([3], 3, "stride") == (3, 3, 3)
    assert per_axis(np.array(3), 2, "stride") == (3, 3)
    assert per_axis(np.array([3, 4], np.uint8), 2, "stride") == (3, 4)
    assert is_sequence([1])
    assert not is_sequence("ab")
    assert not is_sequence(np.array(3))


def test_counts_that_cannot_be_addressed_are_refused():
    check_count((2**20, 2**30), "the output")
    check_count((0, 5), "the output")
    for shape in ((2**30, 2**30), (0, 2**62, 2**62), (2**59,)):
        with pytest.raises(
            InvalidArgument, match=r"the output would have the shape .* more elements than can be addressed"
        ):
            check_count(shape, "the output")
