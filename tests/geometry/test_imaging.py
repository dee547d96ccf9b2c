"""How a kernel lies on an image."""

import pytest

from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry.imaging import (
    axis_number,
    centre_taps,
    check_kernel_fits,
    filtered_axes,
    image_output_size,
    kernel_sides,
    mode_word,
)


@pytest.mark.parametrize(
    ("rank", "axes", "channel_axis", "expected"),
    [
        (1, None, None, (0,)),
        (3, None, None, (0, 1, 2)),
        (3, None, -1, (0, 1)),
        (3, None, 0, (1, 2)),
        (3, 1, None, (1,)),
        (3, (2, 0), None, (2, 0)),
        (5, (-1, -2, -3), 1, (4, 3, 2)),
        (3, [0, 1], 2, (0, 1)),
    ],
)
def test_filtered_axes(rank, axes, channel_axis, expected):
    assert filtered_axes(rank, axes, channel_axis) == expected


@pytest.mark.parametrize(
    ("rank", "axes", "channel_axis", "message"),
    [
        (2, 2, None, "axes must be from -2 to 1 for an image of 2 axes, got 2"),
        (2, None, -3, "channel_axis must be from -2 to 1 for an image of 2 axes, got -3"),
        (3, (0, -3), None, r"axes must name each axis once, got \(0, -3\) for an image of 3 axes"),
        (3, (0, 2), -1, r"axes must not name the channel axis.* axes=\(0, 2\) and channel_axis=-1; leave channel_axis"),
        (3, (), None, r"at least one axis must be filtered, got axes=\(\)"),
        (1, None, 0, "at least one axis must be filtered, got axes=None and channel_axis=0 for an image of 1 axes"),
    ],
)
def test_axes_that_are_refused(rank, axes, channel_axis, message):
    with pytest.raises(InvalidArgument, match=message):
        filtered_axes(rank, axes, channel_axis)


def test_axis_must_be_an_integer():
    with pytest.raises(InvalidType, match=r"channel_axis must be an integer, got 1\.0"):
        axis_number(1.0, 3, "channel_axis")


def test_kernel_rank_names_both_ways_out():
    with pytest.raises(InvalidArgument) as refusal:
        check_kernel_fits((3, 3), (40, 50, 3), (0, 1, 2), None)
    text = str(refusal.value)
    assert "its shape (3, 3) has 2, but axes (0, 1, 2) of the image of shape (40, 50, 3)" in text
    assert "axes=(0, 1)" in text
    assert "channel_axis=-1" in text


def test_kernel_rank_with_a_channel_axis_names_axes_only():
    with pytest.raises(InvalidArgument, match=r"channel_axis=-1\); choose the filtered axes with axes=.*\(0, 1\)$"):
        check_kernel_fits((3,), (40, 50, 3), (0, 1), -1)


def test_kernel_without_taps():
    with pytest.raises(InvalidArgument, match=r"at least one tap on every axis, got the shape \(3, 0\)"):
        check_kernel_fits((3, 0), (5, 5), (0, 1), None)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("mirror", "mode must be one of full, same, valid, got 'mirror'; what lies outside .* by boundary='mirror'"),
        ("nearest", "boundary='nearest'"),
        ("reflect", r"boundary='mirror' \(cb\|abc\|ba\) or boundary='symmetric' \(cba\|abc\|cba\)"),
        ("circle", "mode must be one of full, same, valid, got 'circle'$"),
    ],
)
def test_mode_words_that_are_refused(mode, message):
    with pytest.raises(InvalidArgument, match=message):
        mode_word(mode)


def test_mode_must_be_a_word():
    with pytest.raises(InvalidType, match="mode must be one of full, same, valid, got 1"):
        mode_word(1)


@pytest.mark.parametrize("k", range(1, 7))
def test_centre_and_every_origin(k):
    origins = range(-(k // 2), (k - 1) // 2 + 1)
    assert [centre_taps((k,), o) for o in origins] == [(c,) for c in range(k)]
    # Flipped, the same tap of the kernel as written lies on the pixel for the same origin.
    assert [centre_taps((k,), o, flipped=True) for o in origins] == [(k - 1 - c,) for c in range(k)]
    for outside in (-(k // 2) - 1, (k - 1) // 2 + 1):
        for flipped in (False, True):
            with pytest.raises(InvalidArgument, match=f"origin must keep the centre on the kernel.*got {outside}"):
                centre_taps((k,), outside, flipped=flipped)


def test_sides_of_every_mode():
    assert kernel_sides("same", (3, 4), (1, 2)) == ((1, 1), (4, 2))
    assert kernel_sides("same", (3, 4), (1, 2), flipped=True) == ((1, 1), (2, 4))
    assert kernel_sides("same", (3, 4), (1, 2), (1, -1)) == ((2, 0), (2, 4))
    assert kernel_sides("full", (3, 4), (1, 2)) == ((2, 2), (6, 6))
    assert kernel_sides("valid", (3, 4), (1, 2)) == ((0, 0), (0, 0))


@pytest.mark.parametrize("mode", ["full", "valid"])
def test_origin_needs_a_centre(mode):
    with pytest.raises(InvalidArgument, match=f"only mode='same' has, got origin=1 with mode='{mode}'"):
        kernel_sides(mode, (3,), (1,), 1)


def test_output_sizes_against_counting():
    for n in range(6):
        for k in range(1, 5):
            for s in range(1, 4):
                for d in range(1, 3):
                    extent = d * (k - 1) + 1
                    touching = [p for p in range(1 - extent, n) if p + extent > 0 and n > 0]
                    inside = [p for p in range(n) if p + extent <= n]
                    sizes = (n,), (k,), (s,), (d,)
                    assert image_output_size("same", *sizes) == (len(range(0, n, s)),)
                    assert image_output_size("full", *sizes) == (len(touching[::s]),)
                    if extent <= max(n, 1):
                        assert image_output_size("valid", *sizes) == (len(inside[::s]),)
                        continue
                    with pytest.raises(
                        InvalidArgument, match=f"over {extent} pixels .*{k} taps, dilation {d}.* has {n}"
                    ):
                        image_output_size("valid", *sizes)
