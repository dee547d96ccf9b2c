"""Image filters by every algorithm that may serve them: what spreads, tiny and long images, bits, refusals."""

import numpy as np
import pytest

import striderule as sr
from striderule.errors import InvalidArgument, InvalidType

BOUNDARIES = ("constant", "edge", "symmetric", "mirror", "wrap")
KERNELS = {
    "random 3x3": np.random.default_rng(1).standard_normal((3, 3)),
    "random 13x11": np.random.default_rng(2).standard_normal((13, 11)),
    "separable 9x9": np.outer(np.hanning(11)[1:-1], np.hanning(11)[1:-1]),
    "equal 7x5": np.full((7, 5), 1 / 35),
    "row 1x21": np.random.default_rng(3).standard_normal((1, 21)),
    "with zeros": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float),
}


def able(image, kernel, **words):
    """Return the labels of the algorithms that can serve a call."""
    plan = sr.explain(sr.correlate, image, kernel, **words)
    return [one.label for one in plan.candidates if one.cost is not None and one.name != "reference"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KERNELS)
def test_nan_and_infinity_stay_within_the_kernels_reach(name, dtype):
    """They come out where the kernel's taps that are not zero meet them, and every other result is untouched."""
    kernel = KERNELS[name].astype(dtype)
    rng = np.random.default_rng(4)
    image = rng.standard_normal((61, 75)).astype(dtype)
    algorithms = able(image, kernel, boundary="constant")
    cleans = {name: sr.correlate(image, kernel, boundary="constant", algorithm=name) for name in algorithms}
    for value, row, column in ((np.nan, 30, 40), (np.inf, 0, 74), (-np.inf, 60, 0)):
        spoilt = image.copy()
        spoilt[row, column] = value
        centre = [k // 2 for k in kernel.shape]
        met = np.zeros(image.shape, bool)
        for tap in np.argwhere(kernel):
            place = (row - tap[0] + centre[0], column - tap[1] + centre[1])
            if all(0 <= p < n for p, n in zip(place, image.shape, strict=True)):
                met[place] = True
        for algorithm, clean in cleans.items():
            result = sr.correlate(spoilt, kernel, boundary="constant", algorithm=algorithm)
            assert not np.isfinite(result[met]).any(), algorithm
            near = (1e-6 if dtype == "float32" else 1e-14) * np.abs(clean).max()
            np.testing.assert_allclose(result[~met], clean[~met], rtol=0, atol=near)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_images_of_no_one_and_two_pixels(boundary):
    kernel = KERNELS["random 13x11"]
    for size in ((0, 0), (0, 5), (5, 0)):
        assert sr.correlate(np.zeros(size), kernel, boundary=boundary).shape == size
    for size in ((1, 1), (1, 2), (2, 1), (2, 2)):
        image = np.arange(1.0, 1 + np.prod(size)).reshape(size)
        expected = sr.correlate(image, kernel, boundary=boundary, algorithm="reference")
        for algorithm in able(image, kernel, boundary=boundary):
            result = sr.correlate(image, kernel, boundary=boundary, algorithm=algorithm)
            np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(24_000, 3), (3, 24_000)])
@pytest.mark.parametrize("name", KERNELS)
def test_long_images(shape, name):
    """A slice of the long result is that of a slice of the image."""
    kernel = KERNELS[name]
    image = np.random.default_rng(5).standard_normal(shape)
    axis, first, last = int(np.argmax(shape)), 11_000, 11_200
    part = image.take(range(first, last), axis=axis)
    expected = sr.correlate(part, kernel, boundary="mirror", algorithm="windows")
    inner = range(30, 170)
    for algorithm in able(image, kernel, boundary="mirror"):
        result = sr.correlate(image, kernel, boundary="mirror", algorithm=algorithm)
        got = result.take(range(first, last), axis=axis).take(inner, axis=axis)
        np.testing.assert_allclose(got, expected.take(inner, axis=axis), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", KERNELS)
def test_the_same_bits_for_any_threads_and_number_of_planes(name):
    kernel = KERNELS[name].astype(np.float32)
    stack = np.random.default_rng(6).standard_normal((3, 150, 130)).astype(np.float32)
    before = sr.get_num_threads()
    for algorithm in able(stack[0], kernel):
        together = sr.correlate(stack, kernel, axes=(1, 2), algorithm=algorithm)
        try:
            for threads in (1, 2, 3):
                sr.set_num_threads(threads)
                for plane, whole in zip(stack, together, strict=True):
                    np.testing.assert_array_equal(sr.correlate(plane, kernel, algorithm=algorithm), whole)
        finally:
            sr.set_num_threads(before)


def test_what_cannot_be_filtered_is_refused():
    image = np.zeros((5, 6), np.uint8)
    with pytest.raises(InvalidArgument, match="kernel must hold finite numbers"):
        sr.correlate(image, [[np.nan]])
    with pytest.raises(InvalidArgument, match="channel_axis=-1"):
        sr.correlate(np.zeros((5, 6, 3)), np.ones((3, 3)))
    with pytest.raises(InvalidArgument, match="write 'mirror' for"):
        sr.correlate(image, np.ones((3, 3)), boundary="reflect")
    with pytest.raises((InvalidArgument, InvalidType), match="out must"):
        sr.correlate(image, np.ones((3, 3)), out=np.zeros((5, 5), np.float32))
    with pytest.raises(InvalidArgument, match="fill=300 does not fit"):
        sr.correlate(image, np.ones((3, 3)), boundary="constant", fill=300)
