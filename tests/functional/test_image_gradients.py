"""Gradients of `correlate` and `convolve` in the image and in the kernel, for every boundary and around gaps."""

import numpy as np
import pytest

import striderule as sr

BOUNDARIES = [
    "symmetric", "mirror", "edge", "wrap", "constant",
    (("constant", "edge"), ("wrap", "mirror")), ("symmetric", "wrap"),
]  # fmt: skip
PLACES = [
    {}, {"origin": (0, -1)}, {"mode": "full"}, {"mode": "valid"}, {"dilation": 2}, {"stride": 2},
    {"mode": "full", "stride": (2, 3), "dilation": (1, 2)},
]  # fmt: skip
KERNELS = {
    "drawn": np.array([[0.5, -1.0, 2.0], [1.5, 0.75, -0.25], [-0.5, 0.3, 1.0]]),
    "symmetric": np.outer([1.0, 2.0, 1.0], [-1.0, 0.5, 1.0]),
    "even": np.array([[0.5, 1.0, 0.3, 0.7], [0.2, 0.4, 0.9, 0.1]]),
}


def first(result):
    return result[0] if isinstance(result, tuple) else result


def check(op, operands, words, tolerance=1e-7):
    """Compare the gradients with central differences in a drawn direction each; NaN tells that nothing was there."""
    rng = np.random.default_rng(3)
    y, pullback = sr.vjp(op, *operands, **words)
    gy = rng.standard_normal(first(y).shape)
    for place, gradient in enumerate(pullback(gy)):
        assert np.isfinite(gradient).all()
        direction, step = rng.standard_normal(operands[place].shape), 1e-5
        sides = []
        for sign in (1, -1):
            moved = list(operands)
            moved[place] = operands[place] + sign * step * direction
            sides.append(first(op(*moved, **words)))
        expected = float(np.nansum(gy * (sides[0] - sides[1]))) / (2 * step)
        scale = float(np.linalg.norm(gradient) * np.linalg.norm(direction)) + 1
        assert abs(float((gradient * direction).sum()) - expected) < tolerance * scale, place


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
def test_central_differences(boundary, place):
    image = np.random.default_rng(0).standard_normal((8, 7))
    number = BOUNDARIES.index(boundary) + PLACES.index(place)
    kernels = list(KERNELS.values())
    for kernel in [kernels[number % 3]] if place else kernels:
        op = (sr.correlate, sr.convolve)[number % 2]
        check(op, [image, kernel], {"boundary": boundary, "fill": 0.5, **place})


@pytest.mark.parametrize("number", range(len(PLACES)))
def test_around_missing_pixels(number):
    place, boundary = PLACES[number], ("mirror", "constant")[number % 2]
    rng = np.random.default_rng(1)
    image, mask = rng.standard_normal((8, 9)), rng.random((8, 9)) > 0.3
    mask[2:5, 2:6] = False
    for kernel in (KERNELS["drawn"], KERNELS["even"]):
        words = {"boundary": boundary, "fill": 0.5, "mask": mask, "confidence": len(place) == 1, **place}
        check(sr.correlate, [image, kernel], words)
        _, pullback = sr.vjp(sr.correlate, image, kernel, **words)
        assert not pullback(np.ones(pullback.shape))[0][~mask].any()


def test_a_missing_outside_and_pixels_that_are_no_numbers():
    image = np.random.default_rng(2).standard_normal((7, 6, 5))
    image[2, 3:5, 1:3] = np.nan
    kernel = np.random.default_rng(3).standard_normal((3, 2, 3))
    words = {"nan": "normalize", "boundary": "constant", "fill": np.nan}
    y, pullback = sr.vjp(sr.correlate, image, kernel, **words)
    gx, gw = pullback(np.ones(y.shape))
    assert not gx[np.isnan(image)].any()
    filled, there = np.nan_to_num(image), ~np.isnan(image)
    y, pullback = sr.vjp(sr.correlate, filled, kernel, mask=there, **words)
    for one, other in zip(pullback(np.ones(y.shape)), (gx, gw), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    check(sr.correlate, [filled, kernel], {"mask": there, **words})


def test_axes_and_channels():
    rng = np.random.default_rng(4)
    check(sr.correlate, [rng.standard_normal((6, 7, 3)), KERNELS["drawn"]], {"channel_axis": -1})
    mask = rng.random((6, 7)) > 0.2
    check(sr.convolve, [rng.standard_normal((6, 7, 3)), KERNELS["even"]], {"channel_axis": -1, "mask": mask})
    check(sr.correlate, [rng.standard_normal((2, 6, 7, 3)), KERNELS["even"]], {"axes": (2, 1), "stride": 2})
    check(sr.correlate, [rng.standard_normal(9), np.array([1.0, -2.0, 0.0, 3.0])], {"boundary": "edge"})
    check(sr.correlate, [rng.standard_normal((4, 5, 6)), rng.standard_normal((2, 3, 2))], {"boundary": "mirror"})


def test_kernels_larger_than_the_image():
    kernel = np.random.default_rng(5).standard_normal(11)
    for boundary in ("symmetric", "mirror", "wrap", "edge"):
        check(sr.correlate, [np.random.default_rng(6).standard_normal(4), kernel], {"boundary": boundary})
        check(
            sr.correlate, [np.random.default_rng(6).standard_normal(4), kernel + kernel[::-1]], {"boundary": boundary}
        )


def test_what_has_no_gradient_gets_none():
    image, kernel = np.arange(12, dtype=np.uint8).reshape(3, 4), np.ones((2, 2))
    y, pullback = sr.vjp(sr.correlate, image, kernel)
    gx, gw = pullback(np.ones(y.shape))
    assert gx is None
    assert gw[1, 1] == image.sum()
    with pytest.raises(sr.errors.InvalidType, match="which has no gradient"):
        sr.vjp(sr.correlate, image, np.ones((2, 2), int))


def test_the_image_may_be_written_over():
    image = np.random.default_rng(7).standard_normal((6, 6))
    kernel, gy = KERNELS["drawn"], np.ones((6, 6))
    expected = sr.vjp(sr.correlate, image, kernel)[1](gy)
    y, pullback = sr.vjp(sr.correlate, image, kernel, out=image)
    assert y is image
    for one, other in zip(pullback(gy), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kernel", ["stencil", "separable", "large"])
@pytest.mark.parametrize("boundary", ["symmetric", "mirror", "constant"])
def test_float32_through_the_fast_routines(kernel, boundary):
    rng = np.random.default_rng(8)
    taps = {
        "stencil": rng.standard_normal((3, 3)),
        "separable": np.outer(np.hanning(15)[1:-1], np.hanning(11)[1:-1]),
        "large": rng.standard_normal((31, 31)) / 31,
    }[kernel]
    image, gy = rng.standard_normal((200, 230)), rng.standard_normal((200, 230))
    expected = sr.vjp(sr.correlate, image, taps, boundary=boundary)[1](gy)
    narrow = [one.astype(np.float32) for one in (image, taps, gy)]
    found = sr.vjp(sr.correlate, *narrow[:2], boundary=boundary)[1](narrow[2])
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float32
        assert np.linalg.norm(one - other) <= 3e-6 * np.linalg.norm(other)
