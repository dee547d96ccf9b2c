"""Filters of large images in blocks, and in place: the same values, to the last bit, as computed whole."""

import numpy as np
import pytest

from striderule import filters
from striderule.functional import bands

CALLS = [
    ("gaussian", {"sigma": 1.2}),
    ("gaussian", {"sigma": (1, 2), "order": (1, 0), "dtype": np.float32}),
    ("box", {"size": 5}),
    ("motion", {"length": 5, "angle": 30}),
    ("sharpen", {}),
    ("unsharp_mask", {"radius": 1}),
    ("emboss", {}),
    ("sobel", {}),
    ("scharr", {"axis": 0}),
    ("roberts", {}),
    ("laplace", {}),
    ("log", {"sigma": 1}),
    ("dog", {"sigma1": 1}),
    ("gradient_magnitude", {"sigma": 1}),
    # Blocks as small as here are computed by the definition's products, and the whole by passes unless it is told.
    ("gabor", {"frequency": 0.2, "sigma_x": 1, "sigma_y": 1, "algorithm": "windows"}),
]


@pytest.fixture
def small(monkeypatch):
    """Cut everything that has more than a few elements."""

    def set_room(room):
        monkeypatch.setattr(bands, "ROOM", room)
        monkeypatch.setattr(bands, "LARGE", 8)

    return set_room


@pytest.mark.parametrize(("name", "keywords"), CALLS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_blocks_equal_the_whole(name, keywords, dtype, small):
    op = getattr(filters, name)
    image = (np.random.default_rng(2).random((90, 47)) * 255).astype(dtype)
    for boundary in ("symmetric", "wrap", ("mirror", "constant")):
        words = keywords | {"boundary": boundary}
        small(1 << 20)
        expected = op(image, **words)
        small(1800)
        result = op(image, **words)
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)
        if boundary == "wrap":  # whose blocks read across the whole image
            out = np.empty_like(expected)
            assert op(image, **words, out=out) is out
            np.testing.assert_array_equal(out, expected)
        elif expected.dtype == dtype:
            source = image.copy()
            assert op(source, **words, out=source) is source
            np.testing.assert_array_equal(source, expected)


def test_colours_and_masks(small):
    rng = np.random.default_rng(3)
    image = rng.random((80, 30, 3), np.float32)
    mask = rng.random((80, 30)) < 0.8
    words = {"channel_axis": -1, "mask": mask}
    small(1 << 20)
    expected = filters.gaussian(image, 1, **words)
    small(6000)
    np.testing.assert_array_equal(filters.gaussian(image, 1, **words), expected)


LIKE = [
    ("gaussian", "scipy", {"sigma": 1}),
    ("sobel", "scipy", {"axis": 0}),
    ("prewitt", "scipy", {}),
    ("laplace", "scipy", {"boundary": "wrap"}),
    ("log", "scipy", {"sigma": 1}),
    ("gradient_magnitude", "scipy", {"sigma": 1}),
    ("gaussian", "skimage", {}),
    ("sobel", "skimage", {}),
    ("scharr", "scikit-image", {}),
    ("prewitt", "skimage", {"boundary": "constant"}),
    ("roberts", "skimage", {}),
    ("laplace", "skimage", {}),
    ("dog", "skimage", {"sigma1": 1}),
    # Sums that run on, or a look at the whole.
    ("box", "scipy", {"size": 3}),
    ("unsharp_mask", "skimage", {}),
    ("gaussian", "opencv", {"sigma": 1}),
]


@pytest.mark.parametrize(("name", "like", "keywords"), LIKE)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_follows_a_library_is_the_same_in_blocks_and_in_place(name, like, keywords, dtype, small, monkeypatch):
    op = getattr(filters, name)
    image = (np.random.default_rng(4).random((90, 40)) * 255).astype(dtype)
    words = keywords | {"like": like}
    monkeypatch.setattr(bands, "LARGE", 1 << 30)
    expected = op(image, **words)
    small(1200)
    np.testing.assert_array_equal(op(image, **words), expected)
    if expected.dtype == dtype:
        source = image.copy()
        assert op(source, **words, out=source) is source
        np.testing.assert_array_equal(source, expected)


def test_the_image_may_be_given_by_its_name(small):
    image = np.random.default_rng(5).random((60, 40))
    small(1 << 20)
    expected = filters.box(image, 3)
    small(500)
    np.testing.assert_array_equal(filters.box(image=image, size=3), expected)
    np.testing.assert_array_equal(filters.box(input=image, size=3), expected)


def test_wrong_arguments_are_answered_as_ever(small):
    small(50)
    image = np.ones((20, 20))
    with pytest.raises(ValueError, match="sigma"):
        filters.gaussian(image, -1)
    with pytest.raises(TypeError, match="cval"):
        filters.gaussian(image, 1, cval=3)


def test_several_results(small):
    rng = np.random.default_rng(6)
    image, mask = rng.random((70, 30)), rng.random((70, 30)) < 0.6
    words = {"mask": mask, "confidence": True}
    small(1 << 20)
    plain, sure = filters.gaussian(image, 1, **words)
    tensor = filters.structure_tensor(image, 1)
    small(2000)
    found = filters.gaussian(image, 1, **words)
    np.testing.assert_array_equal(found[0], plain)
    np.testing.assert_array_equal(found[1], sure)
    for part, expected in zip(filters.structure_tensor(image, 1), tensor, strict=True):
        np.testing.assert_array_equal(part, expected)
    out = image.copy()
    found = filters.gaussian(out, 1, out=out, **words)
    assert found[0] is out
    np.testing.assert_array_equal(out, plain)
    np.testing.assert_array_equal(found[1], sure)


def test_what_has_no_halo_is_computed_whole(small):
    image = np.random.default_rng(7).random((60, 40))
    small(1 << 20)
    edges, found = filters.canny(image, 1), filters.match_template(image, image[10:17, 5:11])
    small(500)
    np.testing.assert_array_equal(filters.canny(image, 1), edges)
    np.testing.assert_array_equal(filters.match_template(image, image[10:17, 5:11]), found)
