"""How far operations read: against the sizes of kernels, for filters, chains and what has no halo."""

import numpy as np
import pytest

import striderule as sr
from striderule.errors import InvalidArgument, InvalidType

FLAT = sr.Array((300, 200))


def test_a_kernel_is_read_as_it_lies_on_the_image():
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (3, 3), (4, 7), (1, 30)]:
        kernel = rng.random(shape) + 1
        for dilation in (1, 3):
            expected = {axis: (k // 2 * dilation, (k - 1 - k // 2) * dilation) for axis, k in enumerate(shape)}
            assert sr.halo(sr.correlate, FLAT, kernel, dilation=dilation) == expected
            turned = {axis: (after, before) for axis, (before, after) in expected.items()}
            assert sr.halo(sr.convolve, FLAT, kernel, dilation=dilation) == turned
    assert sr.halo(sr.correlate, FLAT, np.ones((5, 3)), origin=(2, -1)) == {0: (4, 0), 1: (0, 2)}


def test_taps_that_are_zero_read_nothing():
    assert sr.halo(sr.correlate, FLAT, [[0, 0, 1, 1, 0]]) == {0: (0, 0), 1: (0, 1)}
    assert sr.halo(sr.correlate, FLAT, [[0, 0, 0]]) == {0: (0, 0), 1: (0, 0)}


def test_taps_off_the_middle_are_seen_under_every_boundary():
    corners = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]])
    for boundary in ("constant", "wrap"):
        assert sr.halo(lambda x, b=boundary: sr.correlate(x, corners, boundary=b), FLAT) == {0: (1, 1), 1: (1, 1)}


@pytest.mark.parametrize(
    ("name", "arguments", "depth"),
    [
        ("gaussian", (2.0,), (8, 8)),
        ("gaussian", (40.0,), (160, 160)),
        ("box", (4,), (2, 1)),
        ("box", (201,), (100, 100)),
        ("sobel", (), (1, 1)),
        ("laplace", (), (1, 1)),
        ("log", (1.5,), (6, 6)),
        ("dog", (1.0, 2.0), (8, 8)),
        ("gradient_magnitude", (1.0,), (4, 4)),
        ("sharpen", (), (1, 1)),
        ("unsharp_mask", (1.0,), (4, 4)),
    ],
)
def test_filters(name, arguments, depth):
    assert sr.halo(getattr(sr.filters, name), FLAT, *arguments) == {0: depth, 1: depth}


def test_axes_that_are_not_filtered_read_nothing():
    volume = sr.Array((20, 300, 200, 3))
    assert sr.halo(sr.filters.gaussian, volume, (1, 2), axes=(2, 1)) == {0: (0, 0), 1: (8, 8), 2: (4, 4), 3: (0, 0)}


def test_what_is_given_for_the_image_alone_is_left_away():
    words = {"out": np.empty((300, 200)), "mask": np.ones((300, 200), bool), "nan": "normalize", "dtype": np.uint8}
    assert sr.halo(sr.filters.box, FLAT, 3, **words) == {0: (1, 1), 1: (1, 1)}


def test_what_has_no_halo_is_refused():
    with pytest.raises(InvalidArgument, match="must give floats of the image's shape"):
        sr.halo(sr.correlate, FLAT, np.ones((3, 3)), stride=2)
    with pytest.raises(InvalidArgument, match="must give floats of the image's shape"):
        sr.halo(lambda x: x > 0, FLAT)
    with pytest.raises(InvalidArgument, match="depend on more than"):
        sr.halo(lambda x: x - x.mean(), sr.Array((30,)))
    with pytest.raises(InvalidType, match="op must be a function"):
        sr.halo("gaussian", FLAT)
    with pytest.raises(InvalidType, match="image must have a shape"):
        sr.halo(sr.filters.sobel, [[1, 2], [3, 4]])
    with pytest.raises(InvalidArgument, match="sigma"):
        sr.halo(sr.filters.gaussian, FLAT, -1)


def test_several_results_count_together():
    assert sr.halo(lambda x: (sr.filters.box(x, 3), sr.filters.box(x, 5)), FLAT) == {0: (2, 2), 1: (2, 2)}


@pytest.mark.parametrize("boundary", ["symmetric", "mirror", "edge", "constant"])
@pytest.mark.parametrize("call", [("gaussian", (1.3,)), ("box", (4,)), ("sobel", ()), ("unsharp_mask", (1, 0.5))])
def test_blocks_with_their_halo_give_what_the_whole_gives(boundary, call):
    op, arguments = getattr(sr.filters, call[0]), call[1]
    # Blocks of so many elements that they are not computed by products because they are small.
    image = np.random.default_rng(1).random((120, 94))
    depth = sr.halo(op, image, *arguments, boundary=boundary)
    expected, found = op(image, *arguments, boundary=boundary), np.empty_like(image)
    for rows in (range(37), range(37, 80), range(80, 120)):
        for columns in (range(40), range(40, 94)):
            block = [
                slice(max(0, part[0] - depth[axis][0]), part[-1] + 1 + depth[axis][1])
                for axis, part in enumerate((rows, columns))
            ]
            wanted = [
                slice(part[0] - s.start, part[-1] + 1 - s.start) for part, s in zip((rows, columns), block, strict=True)
            ]
            result = op(image[tuple(block)], *arguments, boundary=boundary)
            found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = result[tuple(wanted)]
    np.testing.assert_array_equal(found, expected)
