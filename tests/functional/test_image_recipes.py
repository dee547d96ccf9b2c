"""Image filters that are called again: the same bits as planned anew, the same errors, and never a stale kernel."""

import numpy as np
import pytest

import striderule as sr
from oracles.memories import KINDS, other_memory
from striderule import filters
from striderule.algorithms.windows import stencil as windows
from striderule.errors import InvalidArgument, UnprovenRange
from striderule.functional import parts, planned, recipes

RANDOM = np.random.default_rng(5)


def drawn(*shape, dtype="float32"):
    values = RANDOM.standard_normal(shape)
    return (values * 60 + 120).clip(0, 255).astype(dtype) if np.dtype(dtype).kind in "iu" else values.astype(dtype)


SMALL, WIDE, BLOCK = drawn(3, 3), drawn(5, 4), drawn(3, 3, 3)
SLOPE = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
CALLS = {
    "correlate": lambda x, **words: sr.correlate(x, SMALL, **words),
    "convolve": lambda x, **words: sr.convolve(x, WIDE, boundary=("wrap", ("mirror", "edge")), **words),
    "rank 1": lambda x, **words: sr.correlate(x, SLOPE, **words),
    "list": lambda x, **words: sr.correlate(x, [[0, -1, 0], [-1, 4.5, -1], [0, -1, 0]], **words),
    "row": lambda x, **words: sr.correlate(x, SMALL[0], axes=1, boundary="constant", fill=3, **words),
    "valid": lambda x, **words: sr.correlate(x, SMALL, mode="valid", stride=(2, 1), **words),
    "columns first": lambda x, **words: sr.convolve(x, WIDE, axes=(1, 0), **words),
    "windows": lambda x, **words: sr.correlate(x, SMALL, algorithm="windows", **words),
    "sobel": filters.sobel,
    "sobel 1": lambda x, **words: filters.sobel(x, axis=1, **words),
    "scharr 0": lambda x, **words: filters.scharr(x, 0, normalize=True, **words),
    "prewitt": lambda x, **words: filters.prewitt(image=x, **words),
    "roberts": lambda x, **words: filters.roberts(input=x, **words),
    "roberts 1": lambda x, **words: filters.roberts(x, 1, boundary="wrap", **words),
    "laplace": filters.laplace,
    "sharpen": lambda x, **words: filters.sharpen(x, 0.7, **words),
    "unsharp": lambda x, **words: filters.unsharp_mask(x, 1.5, **words),
    "log": lambda x, **words: filters.log(x, 1, **words),
    "dog": lambda x, **words: filters.dog(x, 1, **words),
    "motion": lambda x, **words: filters.motion(x, 5, 30, **words),
    "gaussian": lambda x, **words: filters.gaussian(x, 1.2, order=(0, 1), **words),
    "box": lambda x, **words: filters.box(x, (3, 5), **words),
}
# Of these every call is planned.
PLANNED = {"windows"}


@pytest.fixture
def plans(monkeypatch):
    """Count the plans that are made."""
    made = []
    monkeypatch.setattr(parts, "plan_for", lambda *words: made.append(words) or planned.plan_for(*words))
    return made


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_later_calls_give_the_same_bits_and_are_not_planned(name, dtype, plans):
    call, image = CALLS[name], drawn(21, 34, dtype=dtype)
    first, once = call(image), len(plans)
    assert once
    other = drawn(21, 34, dtype=dtype)
    again, recent = call(image), call(other)
    out = np.full_like(first, 7)
    for _ in range(2):
        assert call(image, out=out) is out
        np.testing.assert_array_equal(out, first)
        out[...] = 7
    assert len(plans) == (5 * once if name in PLANNED else 2 * once)
    for result in (again, recent):
        assert (result.dtype, result.shape, result.strides) == (first.dtype, first.shape, first.strides)
        result[...] = result  # it is the caller's own
    np.testing.assert_array_equal(again, first)
    recipes.forget()
    np.testing.assert_array_equal(recent, call(other))


@pytest.mark.parametrize("name", ["correlate", "rank 1", "sobel", "gaussian", "laplace"])
def test_every_layout_and_number_of_threads_gives_the_same_bits(name, plans):
    call, image = CALLS[name], drawn(40, 50)
    expected, before = call(image), sr.get_num_threads()
    try:
        for threads in (1, 3):
            sr.set_num_threads(threads)
            for kind in range(KINDS):
                for _ in range(2):
                    np.testing.assert_array_equal(call(other_memory(image, kind)), expected)
    finally:
        sr.set_num_threads(before)
    shifted = np.empty(image.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(image.shape)
    shifted[...] = image
    out = np.empty(expected.nbytes + 1, np.uint8)[1:].view(expected.dtype).reshape(expected.shape)
    for _ in range(2):
        np.testing.assert_array_equal(call(shifted), expected)
        call(image, out=out)
        np.testing.assert_array_equal(out, expected)


def test_colours_and_volumes():
    picture, volume = drawn(20, 24, 3, dtype="uint8"), drawn(9, 12, 17)
    for call in (
        lambda: sr.correlate(picture, SMALL, channel_axis=-1),
        lambda: filters.sobel(picture, channel_axis=-1),
        lambda: filters.sobel(picture, axes=(0, 1), axis=0),
        lambda: filters.laplace(picture.transpose(2, 0, 1), channel_axis=0),
        lambda: sr.convolve(volume, BLOCK),
        lambda: filters.sobel(volume),
        lambda: filters.laplace(volume, axes=(2, 0)),
    ):
        first, again = call(), call()
        assert first.strides == again.strides
        np.testing.assert_array_equal(first, again)


def test_gradients_with_directions(plans):
    for dtype in ("uint8", "float64"):
        for words in ({}, {"derivatives": True, "boundary": "wrap"}):
            image, other = drawn(20, 31, dtype=dtype), drawn(20, 31, dtype=dtype)
            first, made = filters.gradient(image, **words), len(plans)
            found = filters.gradient(image, **words), filters.gradient(other, **words)
            turned = [filters.gradient(image.T, axes=(1, 0), **words) for _ in range(2)]
            assert len(plans) == made + 1
            recipes.forget()
            for one, expected in zip(found, (first, filters.gradient(other, **words)), strict=True):
                np.testing.assert_array_equal(one, expected)
            for one in turned:
                np.testing.assert_array_equal([part.T for part in one], first)


@pytest.mark.parametrize("function", [sr.correlate, sr.convolve])
def test_the_values_of_a_kernel_are_looked_at_each_time(function, plans):
    image, kernel = drawn(15, 18), SMALL.copy()
    for change in (0, 1.5, 0, -2):
        kernel[1, 2] = change
        expected = function(image, kernel.copy(), algorithm="windows")
        for _ in range(2):
            np.testing.assert_allclose(function(image, kernel), expected, rtol=1e-5, atol=1e-5)
    kernel[...] = SLOPE
    np.testing.assert_array_equal(function(image, kernel), function(image, SLOPE.astype(np.float32)))
    kernel[...] = 0
    assert not function(image, kernel).any()
    for bad in (np.nan, np.inf):
        kernel[0, 0] = bad
        for _ in range(2):
            with pytest.raises(InvalidArgument, match="kernel must hold finite numbers"):
                function(image, kernel)
    # A list is found by its entries, and tells types as they are.
    taps = [[0, 1, 0], [1, 2, 1]]
    whole = function(image.astype(np.uint8), taps)
    taps[1][1] = 3
    assert not np.array_equal(function(image.astype(np.uint8), taps), whole)
    taps[1][1] = 2.0
    assert (whole.dtype, function(image.astype(np.uint8), taps).dtype) == (np.int32, np.float32)


def test_kernels_that_lie_otherwise_are_the_same_kernel(plans):
    image = drawn(15, 18)
    expected = sr.correlate(image, SMALL)
    large = drawn(80, 80)
    for like in (
        np.asfortranarray(SMALL),
        SMALL[::-1].copy()[::-1],
        SMALL.astype(">f4"),
        np.repeat(SMALL, 2, 1)[:, ::2],
    ):
        for _ in range(2):
            np.testing.assert_array_equal(sr.correlate(image, like), expected)
    made = len(plans)
    for _ in range(2):  # too large to be looked at
        sr.correlate(image, large)
    assert len(plans) == made + 2


def test_wide_integers_are_looked_at_each_time():
    image, kernel = np.full((4, 5), 2, np.int64), np.full((3, 3), 3)
    for _ in range(2):
        assert sr.correlate(image, kernel)[0, 0] == 54
        assert sr.correlate(image * 2**50, kernel)[0, 0] == 54 * 2**50
        with pytest.raises(UnprovenRange):
            sr.correlate(image * 2**60, kernel)


def test_errors_are_the_same_each_time():
    image = drawn(20, 30)
    calls = (lambda x, **words: sr.correlate(x, SMALL, **words), filters.sobel, filters.laplace, filters.gaussian)
    for call, arguments in zip(calls, ({}, {}, {}, {"sigma": 1}), strict=True):
        whole = np.zeros((3, 20, 30), np.float32)
        whole[0] = image
        call(whole[0], out=whole[1], **arguments)
        read_only = np.empty((20, 30), np.float32)
        read_only.setflags(write=False)
        for _ in range(2):
            with pytest.raises(InvalidArgument, match="out overlaps an input"):
                call(whole[0], out=whole.reshape(-1)[60:660].reshape(20, 30), **arguments)
            with pytest.raises(InvalidArgument, match="out is read-only"):
                call(image, out=read_only, **arguments)
            with pytest.raises(TypeError, match="nonsense"):
                call(image, nonsense=1, **arguments)
    taps = np.zeros((3, 3), np.float32)
    out = np.empty_like(taps)
    sr.correlate(taps, SMALL, out=out)
    for _ in range(2):
        kernel = SMALL.copy()
        with pytest.raises(InvalidArgument, match="out overlaps an input"):
            sr.correlate(taps, kernel, out=kernel)


def test_not_a_number_becomes_no_integer_in_any_call():
    image = drawn(20, 30)
    bad = image.copy()
    bad[3, 3] = np.nan
    for call in (lambda x: sr.correlate(x, SMALL, dtype=np.uint8), lambda x: filters.sobel(x, dtype=np.uint8)):
        expected = call(image)
        for _ in range(2):
            with pytest.raises(InvalidArgument, match="the result holds NaN"):
                call(bad)
            np.testing.assert_array_equal(call(image), expected)


def test_missing_pixels_are_looked_for_each_time():
    image = drawn(20, 30)
    holes = image.copy()
    holes[4, 5] = np.nan
    for call in (lambda x, **words: sr.correlate(x, SMALL, **words), filters.sobel, filters.laplace):
        plain = call(image)
        for _ in range(2):
            np.testing.assert_array_equal(call(image, nan="normalize"), plain)
            assert np.isfinite(call(holes, nan="normalize")).all()
            assert not np.isfinite(call(holes)).all()
            masked = call(image, mask=np.isfinite(holes))
            assert not np.array_equal(masked, plain)
    result, share = filters.sobel(image, confidence=True)
    assert result.shape == share.shape == image.shape
    assert filters.sobel(image).shape == image.shape


def test_images_that_were_written_over_teach_nothing():
    """They are computed from a copy, which stands otherwise than the image."""
    for call in (lambda x, **words: sr.correlate(x, SMALL, **words), lambda x, **words: filters.box(x, 3, **words)):
        wide = drawn(40, 80)
        expected = call(wide[:, ::2].copy())
        image, out = wide.copy()[:, ::2], np.zeros_like(wide)[:, ::2]
        assert call(image, out=image) is image
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(call(wide[:, ::2], out=out), expected)
        assert call(image, out=image) is image


def test_settings_are_obeyed(monkeypatch, plans):
    image = drawn(64, 70)
    calls = (lambda: sr.correlate(image, SMALL), lambda: filters.sobel(image))
    for call in calls:
        expected = call()
        made = len(plans)
        with sr.precision("high"):
            call()
        assert len(plans) == made + 1
        assert sr.explain(call) is not None
        np.testing.assert_array_equal(call(), expected)
    assert sr.explain(sr.correlate, image, SMALL).algorithm == "stencil"
    assert sr.explain(sr.correlate, image, SMALL, algorithm="windows").algorithm == "windows"
    asked = []
    monkeypatch.setattr(windows, "stencil", lambda *words: asked.append(words) or np.zeros_like(image))
    assert not sr.correlate(image, SMALL, algorithm="windows").any()
    assert asked


def test_compiled_filters_give_the_same_bits():
    kernel = SMALL.copy()
    for op, rest, words in (
        (sr.correlate, (kernel,), {"boundary": "wrap"}),
        (filters.sobel, (), {}),
        (filters.gaussian, (1,), {}),
        (filters.gradient_magnitude, (1,), {}),
        (filters.structure_tensor, (), {}),
    ):
        image = drawn(30, 20)
        f = sr.compile(op, image, *rest, **words)
        expected = op(image, *rest, **words)
        for _ in range(2):
            np.testing.assert_array_equal(f(image), expected)
    f = sr.compile(sr.correlate, image, kernel)
    expected = sr.correlate(image, kernel)
    kernel[...] = 0
    np.testing.assert_array_equal(f(image), expected)


def test_as_many_kernels_as_one_likes(monkeypatch):
    monkeypatch.setattr(recipes, "MOST", 8)
    image = drawn(10, 12)
    for _ in range(20):
        kernel = drawn(3, 3)
        np.testing.assert_allclose(
            sr.correlate(image, kernel), sr.correlate(image, kernel, algorithm="windows"), rtol=1e-4, atol=1e-5
        )
    assert len(recipes._marked[sr.correlate][1]) == 8
