"""The frozen problems of pooling: sizes, positions, divisors, and every refusal by its message."""

import random

import numpy as np
import pytest

from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry.extension import Extension
from striderule.geometry.pooling import (
    AdaptivePooling,
    FractionalPooling,
    Pooling,
    Unpooling,
    flag,
    norm_value,
    starts_of,
)


def test_a_problem_is_a_value():
    one, other = (Pooling.from_shape("max", (1, 2, 9, 9), 3, padding=1) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(AttributeError):
        one.batch = 2


def test_stride_defaults_to_the_kernel():
    assert Pooling.from_shape("max", (1, 1, 7, 8), (2, 3)).stride == (2, 3)
    assert Pooling.from_shape("max", (1, 1, 7, 8), 2, ()).stride == (2, 2)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "ceil_mode", "expected"),
    [
        (5, 2, 2, 0, False, 2),
        (5, 2, 2, 0, True, 3),
        (112, 3, 2, 1, False, 56),
        (4, 2, 3, 0, True, 2),
        # The third window would start in the padding after the input, so it is left out.
        (3, 2, 2, 1, True, 2),
        (3, 1, 2, 0, True, 2),
    ],
)
def test_output_size(size, kernel, stride, padding, ceil_mode, expected):
    problem = Pooling.from_shape("max", (1, 1, size), kernel, stride, padding, 1, ceil_mode)
    assert problem.output_size == (expected,)


def test_padding_words_and_sides():
    problem = Pooling.from_shape("max", (1, 1, 7, 7), 3, 2, ("same", (0, 1)))
    assert problem.padding == ((1, 1), (0, 1))
    assert problem.padded_size == (9, 8)
    assert problem.output_shape == (1, 1, 4, 3)


def test_positions_skip_the_padding():
    problem = Pooling.from_shape("max", (1, 1, 5), 3, 2, 1, 2)
    assert [problem.positions(0, j) for j in range(problem.output_size[0])] == [(1, 3), (1, 3)]


def test_counted_positions_by_walking_every_window():
    draw = random.Random(0)
    seen = 0
    while seen < 500:
        size, kernel, stride, dilation = (draw.randint(1, 9) for _ in range(4))
        pads = (draw.randint(0, kernel // 2), draw.randint(0, kernel // 2))
        include, ceil_mode = draw.random() < 0.5, draw.random() < 0.5
        arguments = ((1, 1, size), kernel, stride, (pads,), dilation, ceil_mode)
        try:
            problem = Pooling.from_shape("average", *arguments, count_include_pad=include)
        except InvalidArgument:
            continue
        seen += 1
        for j, count in enumerate(problem.counted(0)):
            places = [j * stride - pads[0] + t * dilation for t in range(kernel)]
            inside = [p for p in places if p < size + pads[1]] if include else [p for p in places if 0 <= p < size]
            assert count == len(inside)


def test_adaptive_windows():
    problem = AdaptivePooling.from_shape("max", (1, 1, 7), 3)
    assert problem.segments(0) == ((0, 3), (2, 5), (4, 7))
    assert problem.positions(0, 1) == (2, 3, 4)
    assert AdaptivePooling.from_shape("max", (2, 3, 4, 5), (None,)).output_shape == (2, 3, 4, 5)


def test_fractional_starts_in_the_type_of_the_array():
    assert starts_of(10, 2, 0, 0.5) == ()
    assert starts_of(10, 2, 1, 0.5) == (8,)
    assert starts_of(10, 2, 9, 0.0) == tuple(range(9))
    for letter, kind in (("e", np.float16), ("f", np.float32), ("d", np.float64)):
        for sample in np.random.default_rng(0).random(50).astype(kind):
            step = kind(100 - 3) / kind(40 - 1)
            starts = [int((kind(j) + sample) * step) - int(sample * step) for j in range(39)]
            assert starts_of(100, 3, 40, float(sample), letter) == (*starts, 97)


def test_fractional_windows_end_at_the_border():
    problem = FractionalPooling.from_shape((1, 1, 9, 8), 2, output_ratio=(0.5, 0.7))
    assert problem.output_size == (4, 5)
    assert problem.starts(0, 0.3)[-1] == 7
    assert [problem.sample_column(axis) for axis in range(2)] == [1, 0]
    assert FractionalPooling.from_shape((1, 1, 9, 8, 7), 2, 3).sample_column(2) == 2


def test_unpooled_sizes():
    assert Unpooling.from_shape((1, 1, 3, 4), 2).output_size == (6, 8)
    assert Unpooling.from_shape((1, 1, 3, 4), 3, 2, 1).output_size == (5, 7)
    assert Unpooling.from_shape((1, 1, 3), 2, output_size=(1, 1, 7)).output_size == (7,)
    assert Unpooling.from_shape((1, 1, 3), 2, (), output_size=5).output_size == (5,)


def test_flags_and_norms():
    assert flag(np.True_, "ceil_mode") is True
    assert norm_value(np.float32(2)) == 2.0
    assert norm_value(float("inf")) == float("inf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pooling.from_shape("max", (1, 1, 5), 0), "kernel_size must be at least 1"),
        (lambda: Pooling.from_shape("max", (1, 1, 5), 2, 0), "stride must be at least 1"),
        (lambda: Pooling.from_shape("max", (1, 1, 5), 2, 1, 0, 0), "dilation must be at least 1"),
        (lambda: Pooling.from_shape("max", (1, 1, 5), 2, 1, 2), "at most half the kernel size, got padding"),
        (lambda: Pooling.from_shape("max", (1, 1, 5), 2, 1, -1), "must be at least 0.*slicing"),
        (lambda: Pooling.from_shape("max", (1, 1, 0), 2), "at least one element on every spatial axis"),
        (lambda: Pooling.from_shape("max", (1, 1, 3), 4), "the output would have the size .0,.*extent"),
        (lambda: Pooling.from_shape("average", (1, 1, 3), 2, divisor_override=0), "divisor_override must not be 0"),
        (lambda: Pooling.from_shape("lp", (1, 1, 3), 2, norm=0), "norm_type must be a number other than 0"),
        (lambda: Pooling.from_shape("lp", (1, 1, 3), 2, norm=float("nan")), "norm_type must be a number other than 0"),
        (lambda: AdaptivePooling.from_shape("max", (1, 1, 3), -1), "output_size must be at least 0"),
        (lambda: AdaptivePooling.from_shape("max", (1, 1, 3), (1, 2)), "output_size must be one integer or one for"),
        (lambda: AdaptivePooling.from_shape("max", (1, 1, 0), 1), "at least one element on every spatial axis"),
        (lambda: AdaptivePooling.from_shape("max", (1, 1, 3), 2**62), "more elements than can be addressed"),
        (lambda: FractionalPooling.from_shape((1, 1, 5), 2), "needs output_size or output_ratio"),
        (lambda: FractionalPooling.from_shape((1, 1, 5), 2, 5), "output_size \\+ kernel_size - 1 must be at most"),
        (lambda: FractionalPooling.from_shape((1, 1, 5), 2, None, 1.5), "above 0 and at most 1"),
        (lambda: FractionalPooling.from_shape((1, 1, 5), 2, None, (0.5, 0.5)), "output_ratio must be one number"),
        (lambda: Unpooling.from_shape((1, 1, 3), 2, output_size=9), "differ from .6,. by less than the stride"),
        (lambda: Unpooling.from_shape((1, 1, 3), 2, padding=-1), "must be at least 0"),
        (lambda: Unpooling.from_shape((1, 1, 1), 2, padding=2), "use a smaller padding"),
        (lambda: Extension.from_pad((3,), (1, 2, 3)), "even number of entries"),
        (lambda: Extension.from_pad((3,), (1, 2, 3, 4)), "at most 2 entries for each of the 1 axes"),
        (lambda: Extension.from_pad((3, 4, 5), 1), "does not say which of the 3 axes are spatial"),
        (lambda: Extension.from_pad((3,), (3, 0), "reflect"), "at most 2 on axis 0.*mode='mirror' has no limit"),
        (lambda: Extension.from_pad((3,), (4, 0), "circular"), "at most 3 on axis 0.*mode='wrap' has no limit"),
        (lambda: Extension.from_pad((0,), (1, 0), "edge"), "cannot extend axis 0"),
        (lambda: Extension.from_pad((3,), (-4, 0)), "crops more than the 3 elements of axis 0"),
        (lambda: Extension.from_pad((3,), (1, 0), "reflekt"), "mode must be one of constant, reflect"),
        (lambda: Extension.from_pad((3,), (2**62, 0)), "more elements than can be addressed"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InvalidArgument, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pooling.from_shape("max", (1, 1, 5), 2.0), "kernel_size must be an integer"),
        (lambda: Pooling.from_shape("max", (1, 1, 5), 2, ceil_mode=1), "ceil_mode must be True or False"),
        (lambda: Pooling.from_shape("lp", (1, 1, 5), 2, norm="2"), "norm_type must be a number"),
        (lambda: FractionalPooling.from_shape((1, 1, 5), 2, None, "half"), "output_ratio must be a number"),
        (lambda: Extension.from_pad((3,), (1, 0), 3), "mode must be a word"),
        (lambda: Extension.from_pad((3,), (1.0, 0)), "each entry of pad must be an integer"),
    ],
)
def test_refused_kinds(make, message):
    with pytest.raises(InvalidType, match=message):
        make()


def test_extension_of_every_spatial_axis():
    assert Extension.from_pad((4, 5), 1).output_shape == (6, 7)
    assert Extension.from_pad((2, 3, 4, 5), 1).output_shape == (2, 3, 6, 7)
    assert Extension.from_pad((2, 3, 4, 5), (1, 2)).output_shape == (2, 3, 4, 8)
