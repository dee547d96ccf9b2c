"""Kernels against published tables and against their formulas, written anew as loops."""

import math

import numpy as np
import pytest

from striderule import kernels
from striderule.errors import InvalidArgument, InvalidType


def bell(x, sigma):
    return math.exp(-x * x / (2 * sigma * sigma))


def looped_gaussian(sigma, size):
    """The two-dimensional Gaussian as textbooks sample it: at whole numbers from the middle, divided by the sum."""
    middle = (size - 1) / 2
    rows = [[bell(i - middle, sigma) * bell(j - middle, sigma) for j in range(size)] for i in range(size)]
    total = sum(map(sum, rows))
    return np.array([[value / total for value in row] for row in rows])


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("sigma", [0.3, 1, 2.5])
def test_gaussian_is_the_textbook_one(sigma, size):
    kernel = kernels.gaussian(sigma, size=size)
    np.testing.assert_allclose(kernel, looped_gaussian(sigma, size), rtol=1e-14)
    assert kernel.dtype == np.float64
    assert kernel.sum() == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], rtol=1e-15)


@pytest.mark.parametrize(("sigma", "truncate", "size"), [(1, 4, 9), (2, 4, 17), (0.5, 4, 5), (1, 2.4, 5), (0.1, 4, 1)])
def test_gaussian_reaches_as_far_as_scipys(sigma, truncate, size):
    assert kernels.gaussian(sigma, truncate=truncate).shape == (size, size)


def test_gaussian_takes_one_value_for_each_axis():
    kernel = kernels.gaussian((1, 2), size=(3, 5), order=(1, 0))
    first, second = kernels.gaussian(1, 3, order=1, ndim=1), kernels.gaussian(2, 5, ndim=1)
    np.testing.assert_array_equal(kernel, np.outer(first, second))
    assert kernels.gaussian(1, ndim=3).shape == (9, 9, 9)
    assert kernels.gaussian([1.0]).shape == (9, 9)
    assert kernels.gaussian(np.float32(1)).shape == (9, 9)


def test_gaussian_of_sigma_zero_changes_nothing():
    np.testing.assert_array_equal(kernels.gaussian(0), [[1]])
    np.testing.assert_array_equal(kernels.gaussian(0, size=3, ndim=1), [0, 1, 0])
    np.testing.assert_array_equal(kernels.gaussian(0, size=4, ndim=1), [0, 0.5, 0.5, 0])
    np.testing.assert_array_equal(kernels.gaussian(1e-3, size=4, ndim=1), [0, 0.5, 0.5, 0])
    np.testing.assert_array_equal(kernels.gaussian(1e-200, size=3, ndim=1), [0, 1, 0])


@pytest.mark.parametrize("order", range(1, 6))
def test_gaussian_derivatives_by_differences(order):
    """The kernel at x is (-1)^n times the n-th derivative of the normalised bell at x: central differences show it."""
    sigma, size, h = 2.0, 17, 1e-2
    total = sum(bell(x, sigma) for x in range(-8, 9))
    kernel = kernels.gaussian(sigma, size, order=order, ndim=1)
    for i, weight in enumerate(kernel):
        x = i - 8
        steps = [(-1) ** k * math.comb(order, k) * bell(x + (order / 2 - k) * h, sigma) for k in range(order + 1)]
        assert weight == pytest.approx((-1) ** order * sum(steps) / h**order / total, abs=2e-5)


def test_first_derivative_answers_to_a_slope_with_its_value():
    slope = 3.0 * np.arange(9)
    assert kernels.gaussian(1, order=1, ndim=1) @ slope == pytest.approx(3, abs=0.005)


PUBLISHED = {
    "sobel 0": (kernels.sobel(0), [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "sobel 1": (kernels.sobel(1), [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "scharr 0": (kernels.scharr(0), [[-3, -10, -3], [0, 0, 0], [3, 10, 3]]),
    "scharr -1": (kernels.scharr(-1), [[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]]),
    "prewitt 0": (kernels.prewitt(0), [[-1, -1, -1], [0, 0, 0], [1, 1, 1]]),
    "prewitt 1": (kernels.prewitt(1), [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]]),
    "roberts 0": (kernels.roberts(0), [[-1, 0], [0, 1]]),
    "roberts 1": (kernels.roberts(1), [[0, -1], [1, 0]]),
    "laplace": (kernels.laplace(), [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "laplace, all": (kernels.laplace(connectivity=2), [[1, 1, 1], [1, -8, 1], [1, 1, 1]]),
    "laplace, one axis": (kernels.laplace(1), [1, -2, 1]),
    "edge": (kernels.edge(), [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "sharpen": (kernels.sharpen(), [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "emboss": (kernels.emboss(), [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
    "identity": (kernels.identity(3), [[[1]]]),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_kernels(name):
    kernel, expected = PUBLISHED[name]
    np.testing.assert_array_equal(kernel, expected)
    assert kernel.dtype == np.int16
    assert kernel.flags.writeable


@pytest.mark.parametrize("name", ["sobel", "scharr", "prewitt"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_normalized_gradients_give_the_slope(name, ndim):
    ramp = np.indices((3,) * ndim)
    for axis in range(ndim):
        kernel = getattr(kernels, name)(axis, ndim, normalize=True)
        assert kernel.dtype == np.float64
        for other in range(ndim):
            assert (kernel * ramp[other]).sum() == pytest.approx(float(axis == other), abs=1e-15)


def test_scales_as_documented():
    step, ramp = np.array([[0, 1, 1]] * 3), np.array([[0, 1, 2]] * 3)
    for name, by_step, by_slope in (("sobel", 4, 8), ("scharr", 16, 32), ("prewitt", 3, 6)):
        kernel = getattr(kernels, name)(1)
        assert (kernel * step).sum() == by_step
        assert (kernel * ramp).sum() == by_slope


def test_laplace_counts_neighbours_by_connectivity():
    for connectivity, neighbours in ((1, 6), (2, 18), (3, 26)):
        kernel = kernels.laplace(3, connectivity=connectivity)
        assert kernel[1, 1, 1] == -neighbours
        assert (kernel == 1).sum() == neighbours
    np.testing.assert_array_equal(kernels.edge(3), -kernels.laplace(3, connectivity=3))


def test_log_is_the_sum_of_second_derivatives():
    sigma, size = 1.3, 11
    plane = looped_gaussian(sigma, size)
    i, j = np.indices(plane.shape) - size // 2
    expected = plane * ((i**2 + j**2) / sigma**4 - 2 / sigma**2)
    np.testing.assert_allclose(kernels.log(sigma, size=size), expected, rtol=1e-12)
    assert kernels.log(1, ndim=3).shape == (9, 9, 9)


def test_dog_is_the_difference():
    kernel = kernels.dog(1, 2)
    expected = -kernels.gaussian(2)
    expected[4:13, 4:13] += kernels.gaussian(1)
    np.testing.assert_array_equal(kernel, expected)
    assert kernel[8, 8] > 0
    assert kernels.dog(1).shape == kernels.gaussian(1.6).shape
    assert not kernels.dog(1, 1).any()


def test_unsharp_is_the_mask_as_one_kernel():
    kernel = kernels.unsharp(1, 0.5)
    expected = -0.5 * kernels.gaussian(1)
    expected[4, 4] += 1.5
    np.testing.assert_allclose(kernel, expected, rtol=1e-15)


def test_sharpen_with_fractions_and_more_axes():
    np.testing.assert_array_equal(kernels.sharpen(0.5, ndim=1), [-0.5, 2, -0.5])
    np.testing.assert_array_equal(kernels.sharpen(2, ndim=1), [-2, 5, -2])
    assert kernels.sharpen(1, 3)[1, 1, 1] == 7
    assert kernels.sharpen(1e6).dtype == np.float64


@pytest.mark.parametrize("size", [1, 2, 3, (2, 5), (1, 2, 3)])
def test_box_is_a_mean(size):
    kernel = kernels.box(size)
    assert kernel.shape == (size if isinstance(size, tuple) else (size, size))
    np.testing.assert_array_equal(kernel, 1 / kernel.size)


@pytest.mark.parametrize("radius", [0, 0.5, 1, 1.5, 2.9, 7])
def test_disk_holds_what_is_near(radius):
    kernel = kernels.disk(radius)
    reach = int(radius)
    inside = [[i * i + j * j <= radius**2 for j in range(-reach, reach + 1)] for i in range(-reach, reach + 1)]
    np.testing.assert_allclose(kernel, np.array(inside) / np.sum(inside), rtol=1e-14)
    assert kernels.disk(1, ndim=3).astype(bool).sum() == 7


def test_motion_along_rows_and_columns():
    for length in (1, 2, 3, 4.5, 9):
        row, column = kernels.motion(length), kernels.motion(length, 90)
        np.testing.assert_allclose(column, row.T, atol=1e-15)
        assert row.shape[0] == 1
        assert row.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernels.motion(3), 1 / 3 * np.ones((1, 3)))
    np.testing.assert_allclose(kernels.motion(4) * 8, [[1, 2, 2, 2, 1]])


@pytest.mark.parametrize("angle", [0, 10, 30, 45, 80, 90, 120, 170])
def test_motion_turns_counter_clockwise(angle):
    kernel = kernels.motion(15, angle)
    i, j = np.indices(kernel.shape) - (np.array(kernel.shape) // 2)[:, None, None]
    # The direction of a line is that of its second moments; rows go down.
    turn = 0.5 * math.degrees(math.atan2(-2 * (kernel * i * j).sum(), (kernel * (j**2 - i**2)).sum())) % 180
    assert min(abs(turn - angle), 180 - abs(turn - angle)) < 1
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-15)
    np.testing.assert_allclose(kernels.motion(15, angle + 180), kernel, atol=1e-12)


def test_gabor_is_a_bell_times_a_wave():
    frequency, theta, along, across, phase = 0.2, 0.6, 2.0, 3.0, 0.3
    kernel = kernels.gabor(frequency, theta, sigma_x=along, sigma_y=across, n_stds=2, offset=phase)
    rows, columns = (n // 2 for n in kernel.shape)
    for i in range(-rows, rows + 1):
        for j in range(-columns, columns + 1):
            u = j * math.cos(theta) + i * math.sin(theta)
            v = -j * math.sin(theta) + i * math.cos(theta)
            wave = complex(math.cos(2 * math.pi * frequency * u + phase), math.sin(2 * math.pi * frequency * u + phase))
            expected = bell(u, along) * bell(v, across) * wave / (2 * math.pi * along * across)
            assert kernel[i + rows, j + columns] == pytest.approx(expected, abs=1e-15)
    assert kernels.gabor(0.2, dtype=np.complex64).dtype == np.complex64


REFUSED = [
    (lambda: kernels.gaussian(-1), "sigma must be at least 0, got -1"),
    (lambda: kernels.gaussian(math.nan), "sigma must be finite"),
    (lambda: kernels.gaussian(1, size=0), "size must be at least 1 in every axis, got 0"),
    (lambda: kernels.gaussian((1, 2), ndim=3), r"sigma must be one number or one for each of the 3 axes, got \(1, 2\)"),
    (lambda: kernels.gaussian(1, order=17), "order must be between 0 and 16, got 17"),
    (lambda: kernels.gaussian(0, order=1), "sigma is too small for a derivative"),
    (lambda: kernels.gaussian(1e9), "more than 268435456"),
    (lambda: kernels.gaussian(1, truncate=-1), "truncate must be at least 0, got -1"),
    (lambda: kernels.box(0), "size must be at least 1"),
    (lambda: kernels.box(10**6), "more than 268435456"),
    (lambda: kernels.sobel(2), "axis must be between -2 and 1 for 2 axes, got 2"),
    (lambda: kernels.sobel(0, 0), "ndim must be at least 1, got 0"),
    (lambda: kernels.sobel(0, 17), "ndim must be at most 16, got 17"),
    (lambda: kernels.laplace(connectivity=3), "connectivity must be between 1 and ndim = 2, got 3"),
    (lambda: kernels.laplace(10), "ndim must be at most 9, got 10"),
    (lambda: kernels.dog(2, 1), "sigma2 must be at least sigma1 on every axis"),
    (lambda: kernels.disk(-1), "radius must be at least 0"),
    (lambda: kernels.motion(0.5), "length must be at least 1, got 0.5"),
    (lambda: kernels.gabor(0), "frequency must be more than 0, got 0"),
    (lambda: kernels.gabor(0.1, bandwidth=0), "bandwidth must be more than 0"),
    (lambda: kernels.gabor(1e-9), "more than 268435456"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_refusals(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.gaussian("1"), "sigma must be a number, got '1'"),
        (lambda: kernels.gaussian(np.ones((2, 2))), "each entry of sigma must be"),
        (lambda: kernels.box(2.5), "size must be an integer, got 2.5"),
        (lambda: kernels.sobel(None), "axis must be an integer, got None"),
        (lambda: kernels.motion([3]), "length must be a number"),
    ],
)
def test_wrong_kinds_are_refused(call, message):
    with pytest.raises(InvalidType, match=message):
        call()
