"""Image filters against SciPy over drawn parameters: values, types, centres and origins."""

import numpy as np
import pytest

from striderule.functional.images import convolve, correlate

pytestmark = pytest.mark.conformance

ndimage = pytest.importorskip("scipy.ndimage")
signal = pytest.importorskip("scipy.signal")

MODES = {"reflect": "symmetric", "mirror": "mirror", "nearest": "edge", "wrap": "wrap", "constant": "constant"}
SIGNAL_BOUNDARIES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}


def draw(rng, *, longest_kernel, complex_kinds=False):
    """Return (image, kernel): small, one to three axes, floats or complex."""
    rank = int(rng.integers(1, 4))
    image = rng.standard_normal(rng.integers(1, (30, 10, 6)[rank - 1] + 1, rank))
    kernel = rng.standard_normal(rng.integers(1, longest_kernel[rank - 1] + 1, rank))
    if complex_kinds and rng.random() < 0.7:
        image = image + 1j * rng.standard_normal(image.shape)
    if complex_kinds and rng.random() < 0.7:
        kernel = kernel + 1j * rng.standard_normal(kernel.shape)
    return image, kernel


def draw_origin(rng, shape):
    return tuple(int(rng.integers(-(k // 2), (k - 1) // 2 + 1)) for k in shape)


@pytest.mark.parametrize("name", ["correlate", "convolve"])
@pytest.mark.parametrize("mode", sorted(MODES))
def test_ndimage_with_every_mode_and_origin(mode, name):
    """Kernels of even and odd length, some longer than the image."""
    ours, theirs = {"correlate": correlate, "convolve": convolve}[name], getattr(ndimage, name)
    rng = np.random.default_rng([1, *map(ord, mode + name)])
    for _ in range(300):
        image, kernel = draw(rng, longest_kernel=(12, 6, 4))
        fill, origin = float(rng.integers(-3, 4)), draw_origin(rng, kernel.shape)
        expected = theirs(image, kernel, mode=mode, cval=fill, origin=origin)
        result = ours(image, kernel, boundary=MODES[mode], fill=fill, origin=origin)
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12, err_msg=f"{image.shape} {kernel.shape}")


@pytest.mark.parametrize("name", ["correlate", "convolve"])
def test_ndimage_integers_are_equal(name):
    ours, theirs = {"correlate": correlate, "convolve": convolve}[name], getattr(ndimage, name)
    rng = np.random.default_rng(2)
    for _ in range(300):
        rank = int(rng.integers(1, 4))
        image = rng.integers(-1000, 1000, rng.integers(1, 9, rank), np.int16)
        kernel = rng.integers(-50, 50, rng.integers(1, 5, rank), np.int8)
        mode, origin = str(rng.choice(sorted(MODES))), draw_origin(rng, kernel.shape)
        expected = theirs(image, kernel, output=np.int64, mode=mode, origin=origin)
        result = ours(image, kernel, boundary=MODES[mode], origin=origin)
        assert result.dtype == np.int32
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", ["correlate1d", "convolve1d"])
def test_ndimage_along_one_axis(name):
    ours, theirs = {"correlate1d": correlate, "convolve1d": convolve}[name], getattr(ndimage, name)
    rng = np.random.default_rng(3)
    for _ in range(300):
        image, _ = draw(rng, longest_kernel=(1, 1, 1))
        kernel = rng.standard_normal(int(rng.integers(1, 9)))
        axis, mode, origin = int(rng.integers(-image.ndim, image.ndim)), str(rng.choice(sorted(MODES))), 0
        origin = draw_origin(rng, kernel.shape)[0]
        expected = theirs(image, kernel, axis=axis, mode=mode, cval=2.0, origin=origin)
        result = ours(image, kernel, axes=axis, boundary=MODES[mode], fill=2.0, origin=origin)
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


def test_ndimage_with_channels_and_strides():
    """A kernel over two axes of a stack is one of length 1 on the others; a stride keeps some of the result."""
    rng = np.random.default_rng(4)
    for _ in range(200):
        image = rng.standard_normal(rng.integers(1, 8, 3))
        kernel = rng.standard_normal(rng.integers(1, 5, 2))
        axis, mode = int(rng.integers(0, 3)), str(rng.choice(sorted(MODES)))
        stride = tuple(int(s) for s in rng.integers(1, 4, 2))
        whole = ndimage.correlate(image, np.expand_dims(kernel, axis), mode=mode)
        steps = [slice(None, None, s) for s in stride]
        steps.insert(axis, slice(None))
        result = correlate(image, kernel, channel_axis=axis, boundary=MODES[mode], stride=stride)
        np.testing.assert_allclose(result, whole[tuple(steps)], rtol=1e-12, atol=1e-12)


def test_ndimage_complex_numbers():
    """SciPy's correlate conjugates the kernel; ours does not."""
    rng = np.random.default_rng(5)
    for _ in range(200):
        image, kernel = draw(rng, longest_kernel=(9, 5, 3), complex_kinds=True)
        mode = str(rng.choice(sorted(set(MODES) - {"constant"})))
        boundary = MODES[mode]
        np.testing.assert_allclose(
            correlate(image, kernel.conj(), boundary=boundary),
            ndimage.correlate(image, kernel, mode=mode),
            rtol=1e-11,
            atol=1e-11,
        )
        np.testing.assert_allclose(
            convolve(image, kernel, boundary=boundary),
            ndimage.convolve(image, kernel, mode=mode),
            rtol=1e-11,
            atol=1e-11,
        )


@pytest.mark.parametrize("name", ["correlate", "convolve"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_signal_in_any_rank(mode, name):
    """scipy.signal puts the centre of convolve's even kernels on (k - 1) // 2: origin -1 for us."""
    ours, theirs = {"correlate": correlate, "convolve": convolve}[name], getattr(signal, name)
    rng = np.random.default_rng([6, *map(ord, mode + name)])
    for _ in range(300):
        image, kernel = draw(rng, longest_kernel=(9, 5, 4), complex_kinds=True)
        kernel = kernel[tuple(slice(0, n) for n in image.shape)]  # signal swaps the arguments of longer kernels
        origin = tuple(k % 2 - 1 for k in kernel.shape) if mode == "same" and name == "convolve" else 0
        expected = theirs(image, kernel, mode=mode, method="direct")
        taps = kernel.conj() if name == "correlate" else kernel
        result = ours(image, taps, mode=mode, boundary="constant", origin=origin)
        np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["correlate2d", "convolve2d"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_signal_in_two_dimensions_with_boundaries(mode, name):
    """Both of these put the centre of even kernels on (k - 1) // 2."""
    ours, theirs = {"correlate2d": correlate, "convolve2d": convolve}[name], getattr(signal, name)
    rng = np.random.default_rng([7, *map(ord, mode + name)])
    for _ in range(200):
        image = rng.standard_normal(rng.integers(1, 12, 2))
        kernel = rng.standard_normal([int(rng.integers(1, min(n, 6) + 1)) for n in image.shape])
        boundary, fill = str(rng.choice(sorted(SIGNAL_BOUNDARIES))), float(rng.integers(-2, 3))
        origin = tuple(k % 2 - 1 for k in kernel.shape) if mode == "same" else 0
        expected = theirs(image, kernel, mode=mode, boundary=boundary, fillvalue=fill)
        result = ours(image, kernel, mode=mode, boundary=SIGNAL_BOUNDARIES[boundary], fill=fill, origin=origin)
        np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-11)


def test_signal_with_the_kernel_spread_by_hand():
    rng = np.random.default_rng(8)
    for _ in range(200):
        image, kernel = draw(rng, longest_kernel=(5, 3, 2))
        dilation = tuple(int(d) for d in rng.integers(1, 4, kernel.ndim))
        spread = np.zeros([d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape, strict=True)])
        spread[tuple(slice(None, None, d) for d in dilation)] = kernel
        result = convolve(image, kernel, mode="full", boundary="constant", dilation=dilation)
        np.testing.assert_allclose(result, signal.convolve(image, spread, method="direct"), rtol=1e-11, atol=1e-11)


def test_missing_pixels_against_the_quotient_of_two_filters():
    """Normalised convolution made of two of SciPy's filters, as its users write it today."""
    rng = np.random.default_rng(9)
    for _ in range(200):
        image, kernel = draw(rng, longest_kernel=(7, 4, 3))
        kernel = np.abs(kernel) + 0.1
        mode = str(rng.choice(sorted(MODES)))
        missing = rng.random(image.shape) < 0.4
        valid = (~missing).astype(float)
        weighed = ndimage.correlate(np.where(missing, 0, image), kernel, mode=mode)
        # SciPy's constant outside of 1 says that the zeros there are data.
        support = ndimage.correlate(valid, kernel, mode=mode, cval=1.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = np.where(support > 1e-9, kernel.sum() * weighed / support, np.nan)
        result = correlate(np.where(missing, np.nan, image), kernel, boundary=MODES[mode], nan="normalize")
        np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)
