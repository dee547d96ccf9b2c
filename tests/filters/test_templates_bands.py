"""Templates in large images: band by band the same values, to the last bit, as computed whole."""

import numpy as np
import pytest

from striderule import filters
from striderule.algorithms import table
from striderule.errors import InvalidArgument
from striderule.functional import bands


@pytest.fixture
def small(monkeypatch):
    """Cut everything that has more than a few elements, unless there is much room."""

    def set_room(room):
        monkeypatch.setattr(bands, "ROOM", room)
        monkeypatch.setattr(bands, "LARGE", 8 if room < 1 << 20 else 1 << 30)

    return set_room


def same(small, image, template, **words):
    small(1 << 20)
    expected = filters.match_template(image, template, **words)
    for room in (3_000, 17_000):
        small(room)
        found = filters.match_template(image, template, **words)
        for one, other in zip(np.atleast_1d(found), np.atleast_1d(expected), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    return expected


@pytest.mark.parametrize(
    ("dtype", "code"), [*((one, True) for one in (np.uint8, np.int32, np.float32, np.float64)), (np.uint8, False)]
)
def test_bands_equal_the_whole(dtype, code, small, monkeypatch):
    if not code:
        monkeypatch.setattr(table, "generated", lambda name: None)
    rng = np.random.default_rng(1)
    image = (rng.random((333, 41)) * 200 + 50).astype(dtype)
    for template in (image[100:107, 5:11], rng.random((3, 4)), rng.random((70, 2))):
        same(small, image, template)
        for boundary in ("constant", "wrap", (("mirror", "wrap"), "edge")):
            same(small, image, template, pad_input=True, boundary=boundary)
        same(small, image, template, like="skimage")


def test_the_largest_pixel_of_all_bands_decides(small):
    rng = np.random.default_rng(2)
    image = rng.integers(0, 100, (300, 40), dtype=np.uint16)
    template = rng.integers(0, 30_000, (6, 6))
    for top in (100, 65_000):
        image[250, 20] = top
        same(small, image, template)


def test_planes_masks_volumes_and_out(small):
    rng = np.random.default_rng(3)
    stack = rng.random((5, 170, 30), np.float32) + np.arange(5, dtype=np.float32)[:, None, None]
    mask = rng.random(stack.shape) < 0.9
    template = rng.random((5, 6))
    same(small, stack, template, axes=(1, 2))
    same(small, stack, template.T, axes=(2, 1), pad_input=True)
    same(small, np.moveaxis(stack, 0, -1), template, channel_axis=-1, dtype=np.float64)
    same(small, stack, rng.random((2, 5, 3)), pad_input=True, boundary="mirror")
    same(small, stack, template, axes=(1, 2), mask=mask, confidence=True)
    holes = np.where(mask, stack, np.float32(np.nan))
    same(small, holes, template, axes=(1, 2), nan="normalize", pad_input=True, fill=np.nan)
    expected = same(small, holes, template, axes=(1, 2))
    out = np.empty(expected.shape[::-1], np.float32).T
    assert filters.match_template(holes, template, axes=(1, 2), out=out) is out
    np.testing.assert_array_equal(out, expected)
    source = stack[0].copy()
    small(1 << 20)
    expected = filters.match_template(source, template, True)
    small(3_000)
    filters.match_template(source, template, True, out=source)
    np.testing.assert_array_equal(source, expected)


def test_wrong_arguments_write_nothing(small):
    small(500)
    image = np.random.default_rng(4).random((90, 20), np.float32)
    out = np.full((88, 18), 7, np.float32)
    with pytest.raises(InvalidArgument, match="template must be no larger"):
        filters.match_template(image, np.ones((99, 2)), out=out)
    with pytest.raises(InvalidArgument, match="shape of the result"):
        filters.match_template(image, np.eye(4), out=out)
    with pytest.raises(InvalidArgument, match="mask must have the shape"):
        filters.match_template(image, np.eye(3), out=out, mask=np.ones((3, 3), bool))
    assert (out == 7).all()
