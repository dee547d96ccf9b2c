"""Filters of images against plain loops: geometry, numbers and memory."""

import itertools

import numpy as np
import pytest

from oracles.images import looped
from striderule.functional import images
from striderule.functional.images import convolve, correlate

BOUNDARIES = ("constant", "edge", "symmetric", "mirror", "wrap")
ALGORITHMS = ("windows", "reference")
FUNCTIONS = (correlate, convolve)


def draw_case(rng):
    """Return (image, kernel, keywords) of a small random filter of one to three axes."""
    rank = int(rng.integers(1, 4))
    size = tuple(int(n) for n in rng.integers(1, (12, 7, 5)[rank - 1], rank))
    taps = tuple(int(k) for k in rng.integers(1, (8, 5, 4)[rank - 1], rank))
    words = tuple(
        tuple(rng.choice(BOUNDARIES, 2).tolist()) if rng.random() < 0.7 else str(rng.choice(BOUNDARIES)) for _ in taps
    )
    keywords = {
        "boundary": words if rng.random() < 0.8 else str(rng.choice(BOUNDARIES)),
        "fill": int(rng.integers(-3, 4)),
        "stride": tuple(int(s) for s in rng.integers(1, 4, rank)),
        "dilation": tuple(int(d) for d in rng.integers(1, 4, rank)),
    }
    extents = [d * (k - 1) + 1 for d, k in zip(keywords["dilation"], taps, strict=True)]
    fits = all(e <= n for e, n in zip(extents, size, strict=True))
    keywords["mode"] = str(rng.choice(["same", "full", "valid"] if fits else ["same", "full"]))
    if keywords["mode"] == "same":
        keywords["origin"] = tuple(int(rng.integers(-(k // 2), (k - 1) // 2 + 1)) for k in taps)
    kernel = rng.integers(-4, 5, taps)
    kernel[rng.random(taps) < 0.2] = 0
    return rng.integers(-9, 10, size), kernel, keywords


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_drawn_integers_are_exact(function, algorithm):
    rng = np.random.default_rng(11)
    for _ in range(150):
        image, kernel, keywords = draw_case(rng)
        expected = looped(image, kernel, flip=function is convolve, **keywords)
        result = function(image, kernel, algorithm=algorithm, **keywords)
        assert result.dtype == np.int64
        np.testing.assert_array_equal(result, expected.astype(np.int64), err_msg=f"{image.shape} {kernel} {keywords}")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("dtype", "bound"), [("float16", 1e-2), ("float32", 1e-6), ("float64", 1e-14)])
def test_drawn_floats_keep_the_promise(dtype, bound, algorithm):
    rng = np.random.default_rng(5)
    for function in FUNCTIONS * 30:
        image, kernel, keywords = draw_case(rng)
        image, kernel = (rng.standard_normal(part.shape).astype(dtype) for part in (image, kernel))
        expected = looped(image, kernel, flip=function is convolve, **keywords).astype(float)
        scale = np.abs(looped(abs(image), abs(kernel), flip=function is convolve, **keywords).astype(float))
        result = function(image, kernel, algorithm=algorithm, **keywords)
        assert result.dtype == dtype
        assert np.all(np.abs(result - expected) <= bound * (1 + scale))


def test_every_pair_of_boundaries_on_every_side():
    image, kernel = np.array([[1, 20, 300], [5, 60, 700]]), np.array([[1, 0, 2], [0, 3, 5], [7, 0, 11]])
    for words in itertools.product(BOUNDARIES, repeat=4):
        boundary = (words[:2], words[2:])
        result = correlate(image, kernel, mode="full", boundary=boundary, fill=-4)
        expected = looped(image, kernel, mode="full", boundary=boundary, fill=-4)
        np.testing.assert_array_equal(result, expected.astype(np.int64), err_msg=str(boundary))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_kernels_much_larger_than_the_image(boundary, n):
    image, kernel = np.arange(1, n + 1), np.arange(1, 18)
    for mode in ("same", "full"):
        result = correlate(image, kernel, mode=mode, boundary=boundary, fill=2)
        np.testing.assert_array_equal(result, looped(image, kernel, mode=mode, boundary=boundary, fill=2).astype(int))


@pytest.mark.parametrize(("k", "tap"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3)])
def test_centre_of_even_and_odd_kernels(k, tap):
    """The tap k // 2 of the kernel as written lies on the pixel, in both functions."""
    image, kernel = np.zeros(15, int), np.arange(1, k + 1)
    image[7] = 1
    for function in FUNCTIONS:
        assert function(image, kernel)[7] == kernel[tap]


def test_convolve_is_correlate_of_the_flipped_kernel_at_the_mirrored_centre():
    rng = np.random.default_rng(2)
    image = rng.integers(0, 9, (9, 8))
    for k in (3, 4):
        kernel = rng.integers(0, 9, (k, k))
        shift = 0 if k % 2 else -1  # from k // 2 to (k - 1) // 2
        expected = correlate(image, kernel[::-1, ::-1], origin=shift)
        np.testing.assert_array_equal(convolve(image, kernel), expected)


def test_what_matlab_documents_of_even_kernels():
    """The examples on the pages of conv and imfilter."""
    signal = np.array([-1, 2, 3, -2, 0, 1, 2])
    result = convolve(signal, [2, 4, -1, 1], boundary="constant")
    np.testing.assert_array_equal(result, [15, 5, -9, 7, 6, 7, -1])
    # imfilter takes the second of these four taps as the centre, as if there were five.
    four = correlate(signal.astype(float), [0.25, 0.75, -0.75, -0.25], origin=-1)
    np.testing.assert_array_equal(four, correlate(signal.astype(float), [0, 0.25, 0.75, -0.75, -0.25]))


def test_stride_keeps_every_other_output():
    rng = np.random.default_rng(3)
    image, kernel = rng.standard_normal((11, 10)), rng.standard_normal((3, 4))
    for mode in ("same", "full", "valid"):
        whole = correlate(image, kernel, mode=mode)
        np.testing.assert_array_equal(correlate(image, kernel, mode=mode, stride=(3, 2)), whole[::3, ::2])


def test_dilation_is_a_kernel_with_zeros_between():
    rng = np.random.default_rng(4)
    image, kernel = rng.standard_normal((9, 9)), rng.standard_normal((3, 3))
    spread = np.zeros((5, 7))
    spread[::2, ::3] = kernel
    np.testing.assert_array_equal(correlate(image, kernel, dilation=(2, 3)), correlate(image, spread))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_axes_are_filtered_in_the_kernels_order_and_others_looped_over(algorithm):
    rng = np.random.default_rng(6)
    stack = rng.integers(0, 9, (2, 4, 3, 5))
    kernel = rng.integers(-3, 4, (3, 2))
    words = ("wrap", ("edge", "constant"))
    result = correlate(stack, kernel, axes=(3, 1), boundary=words, stride=(1, 2), algorithm=algorithm)
    assert result.shape == (2, 2, 3, 5)
    for t, c in itertools.product(range(2), range(3)):
        plane = stack[t, :, c, :].T
        expected = looped(plane, kernel, boundary=words, stride=(1, 2))
        np.testing.assert_array_equal(result[t, :, c, :].T, expected.astype(int))


def test_a_channel_axis_is_left_alone_wherever_it_is():
    rng = np.random.default_rng(7)
    photo = rng.integers(0, 256, (6, 7, 3), np.uint8)
    kernel = rng.integers(-3, 4, (3, 3))
    expected = np.stack([looped(photo[..., c], kernel).astype(int) for c in range(3)], axis=-1)
    for place in (-1, 0, 1):
        moved = np.moveaxis(photo, -1, place)
        np.testing.assert_array_equal(np.moveaxis(correlate(moved, kernel, channel_axis=place), place, -1), expected)


def test_one_axis_by_its_number():
    image = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(
        correlate(image, [1, 2, 4], axes=0), np.stack([looped(c, np.array([1, 2, 4])) for c in image.T], 1).astype(int)
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_memory_does_not_matter(algorithm):
    rng = np.random.default_rng(8)
    image, kernel = rng.standard_normal((6, 8)), rng.standard_normal((3, 3))
    expected = correlate(image, kernel)
    spaced = np.zeros((12, 24))
    spaced[::2, ::3] = image
    frozen = image.copy()
    frozen.flags.writeable = False
    variants = {
        "fortran": np.asfortranarray(image),
        "spaced": spaced[::2, ::3],
        "backwards": image[::-1, ::-1].copy()[::-1, ::-1],
        "big endian": image.astype(">f8"),
        "little endian": image.astype("<f8"),
        "read-only": frozen,
        "lists": image.tolist(),
    }
    for name, variant in variants.items():
        result = correlate(variant, kernel[::-1].copy()[::-1], algorithm=algorithm)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-14, err_msg=name)
        assert result.dtype.isnative
    repeated = np.broadcast_to(image[:1], (6, 8))
    np.testing.assert_array_equal(correlate(repeated, kernel), correlate(repeated.copy(), kernel))


def test_long_sums_are_combined_pairwise(monkeypatch):
    from striderule.algorithms.windows import stencil

    image, kernel = np.arange(20.0), np.arange(1.0, 15.0)
    for chain in (1, 2, 3, 5):
        monkeypatch.setattr(stencil, "CHAIN", chain)
        np.testing.assert_array_equal(correlate(image, kernel), looped(image, kernel).astype(float))


def test_the_result_has_the_memory_order_of_the_image():
    image = np.zeros((8, 9), np.float32, order="F")
    assert correlate(image, [[1.0, 1.0]]).flags.f_contiguous
    assert correlate(image.T, [[1.0, 1.0]]).flags.c_contiguous


def test_blocks_do_not_show(monkeypatch):
    """Whatever the block, each output is the same sum in the same order: the same bits."""
    from striderule.algorithms.windows import stencil

    rng = np.random.default_rng(9)
    cases = [
        (rng.standard_normal((17, 23, 3)).astype(np.float32), rng.standard_normal((4, 3)), {"channel_axis": -1}),
        (
            rng.standard_normal((3, 17, 11)),
            rng.standard_normal((3, 3, 2)),
            {"dilation": (1, 2, 3), "stride": (1, 2, 2)},
        ),
        (rng.standard_normal(200), rng.standard_normal(7), {"boundary": "wrap", "mode": "full"}),
        (rng.standard_normal(40), rng.standard_normal(4), {"boundary": "mirror", "mode": "full", "dilation": 30}),
        (rng.standard_normal((9, 40)), rng.standard_normal(3), {"axes": 0, "boundary": (("wrap", "constant"),)}),
    ]
    whole = [correlate(image, kernel, **keywords) for image, kernel, keywords in cases]
    for block in (1, 7, 50, 333):
        monkeypatch.setattr(stencil, "BLOCK", block)
        for (image, kernel, keywords), expected in zip(cases, whole, strict=True):
            np.testing.assert_array_equal(correlate(image, kernel, **keywords), expected)


def test_long_sums_of_float32_keep_the_promise():
    rng = np.random.default_rng(10)
    image, kernel = rng.standard_normal((70, 72)).astype(np.float32), rng.standard_normal((61, 67)).astype(np.float32)
    exact = correlate(image.astype(np.float64), kernel.astype(np.float64), boundary="wrap")
    result = correlate(image, kernel, boundary="wrap")
    assert np.linalg.norm(result - exact) <= 1e-6 * np.linalg.norm(exact)
    # The same sign everywhere: the bound is on the norm of |x| correlated with |w|.
    exact = correlate(abs(image).astype(np.float64), abs(kernel).astype(np.float64), boundary="wrap")
    assert np.linalg.norm(correlate(abs(image), abs(kernel), boundary="wrap") - exact) <= 1e-6 * np.linalg.norm(exact)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("shape", "kernel", "keywords", "expected"),
    [
        ((0,), (3,), {}, (0,)),
        ((0,), (3,), {"mode": "full"}, (0,)),
        ((0,), (1,), {"mode": "valid"}, (0,)),
        ((0, 5), (3, 3), {"boundary": "wrap"}, (0, 5)),
        ((0, 5), (3, 3), {"mode": "full", "stride": 2}, (0, 4)),
        ((0, 5, 5), (3, 3), {"axes": (1, 2), "mode": "valid"}, (0, 3, 3)),
        ((4, 5, 0), (3, 3), {"channel_axis": -1}, (4, 5, 0)),
    ],
)
def test_empty_images(shape, kernel, keywords, expected, algorithm):
    result = correlate(np.zeros(shape, np.uint8), np.ones(kernel, np.int8), algorithm=algorithm, **keywords)
    assert result.shape == expected
    assert result.dtype == np.int32


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_axes_of_one_pixel(boundary):
    image, kernel = np.full((1, 1, 4), 3), np.ones((3, 3, 3), int)
    result = correlate(image, kernel, boundary=boundary)
    np.testing.assert_array_equal(result, looped(image, kernel, boundary=boundary).astype(int))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_dilation_beyond_the_image(boundary):
    image, kernel = np.arange(1, 13).reshape(3, 4), np.arange(1, 10).reshape(3, 3)
    for dilation in ((3, 4), (4, 5), (11, 2), (50, 60)):
        for stride in (1, 2):
            keywords = {"boundary": boundary, "fill": 5, "dilation": dilation, "stride": stride}
            expected = looped(image, kernel, **keywords).astype(int)
            np.testing.assert_array_equal(correlate(image, kernel, **keywords), expected)
    # The workspace does not grow with the dilation.
    far = correlate(image, kernel, boundary=boundary, dilation=(1, 10**12))
    assert far.shape == (3, 4)


def test_a_single_tap_scales():
    image = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(correlate(image, [[2.5]]), 2.5 * image)
    np.testing.assert_array_equal(correlate(image, [[2.5]], mode="valid", stride=2), 2.5 * image[::2, ::2])


def test_a_kernel_of_zeros_gives_zeros_whatever_the_image_holds():
    image = np.array([[np.nan, np.inf], [1.0, -np.inf]])
    for algorithm in ALGORITHMS:
        np.testing.assert_array_equal(correlate(image, np.zeros((3, 3)), algorithm=algorithm), np.zeros((2, 2)))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nan_and_infinity_come_out_where_the_definition_puts_them(algorithm):
    rng = np.random.default_rng(12)
    for _ in range(20):
        image = rng.standard_normal((7, 8))
        spots = rng.random((7, 8))
        image[spots < 0.08] = np.nan
        image[(spots > 0.08) & (spots < 0.14)] = np.inf
        image[spots > 0.95] = -np.inf
        kernel = rng.standard_normal((3, 3)) * (rng.random((3, 3)) < 0.6)
        expected = looped(image, kernel, boundary=("edge", ("wrap", "mirror"))).astype(float)
        result = correlate(image, kernel, boundary=("edge", ("wrap", "mirror")), algorithm=algorithm)
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


def test_nan_as_fill_spreads_from_the_border_only():
    result = correlate(np.ones((4, 4)), np.ones((3, 3)), boundary="constant", fill=np.nan)
    assert np.isnan(result).sum() == 12
    np.testing.assert_array_equal(result[1:-1, 1:-1], 9)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("which", ["both", "image", "kernel"])
def test_complex_numbers_are_multiplied_without_conjugation(which, algorithm):
    rng = np.random.default_rng(13)
    image, kernel = rng.standard_normal((5, 6)), rng.standard_normal((2, 3))
    if which != "kernel":
        image = image + 1j * rng.standard_normal(image.shape)
    if which != "image":
        kernel = kernel + 1j * rng.standard_normal(kernel.shape)
    fill = 2 - 3j if which != "kernel" else 2
    for function in FUNCTIONS:
        for words in ("constant", "mirror"):
            expected = looped(image, kernel, flip=function is convolve, boundary=words, fill=fill).astype(complex)
            result = function(image, kernel, boundary=words, fill=fill, algorithm=algorithm)
            assert result.dtype == np.complex128
            np.testing.assert_allclose(result, expected, rtol=1e-13, atol=1e-13)


def test_a_real_tap_scales_both_parts_of_an_infinite_complex_pixel():
    image = np.array([complex(np.inf, 1.0)])
    result = correlate(image, [2.0], mode="valid")
    assert result.real[0] == np.inf
    assert result.imag[0] == 2.0


def test_the_first_argument_is_called_input_elsewhere():
    image = np.arange(5)
    np.testing.assert_array_equal(correlate(input=image, kernel=[1, 2, 1]), correlate(image, [1, 2, 1]))


def test_aliases_of_boundaries():
    image = np.arange(1, 6)
    for alias, word in {"nearest": "edge", "grid-wrap": "wrap", "zeros": "constant", "symm": "symmetric"}.items():
        np.testing.assert_array_equal(
            correlate(image, [1, 2, 5], boundary=alias), correlate(image, [1, 2, 5], boundary=word)
        )


def test_precision_words_are_accepted():
    for precision in (None, "highest", "high", "medium"):
        assert images.correlate([1.0, 2.0], [2.0], precision=precision).tolist() == [2.0, 4.0]
