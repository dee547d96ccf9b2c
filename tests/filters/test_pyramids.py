"""Pyramids from their definition: a blur of the whole image, then interpolation, element by element."""

import math

import numpy as np
import pytest

from oracles.images import looped, outside
from striderule import filters, kernels
from striderule.errors import InvalidArgument


def looped_axis(x, axis, outputs, boundary):
    """Return x at `outputs` middles along an axis, interpolated linearly."""
    lines = np.moveaxis(x, axis, 0)
    result = np.zeros((outputs, *lines.shape[1:]))
    for i in range(outputs):
        where = (i + 0.5) * len(lines) / outputs - 0.5
        low = math.floor(where)
        for position, share in ((low, low + 1 - where), (low + 1, where - low)):
            if share:
                index = outside(position, len(lines), boundary)
                result[i] += share * (0 if index is None else lines[index])
    return np.moveaxis(result, 0, axis)


@pytest.mark.parametrize("boundary", ["symmetric", "mirror", "constant", "wrap", "edge"])
@pytest.mark.parametrize(("shape", "scale"), [((8, 6), 2), ((7, 5), 2), ((9, 6), 3), ((9, 8), 1.7), ((1, 4), 2)])
def test_against_loops(shape, scale, boundary):
    image = np.random.default_rng(1).random(shape)
    blur = kernels.gaussian(scale / 3)
    expected = looped(image, blur, boundary=boundary).astype(float)
    for axis, n in enumerate(shape):
        expected = looped_axis(expected, axis, math.ceil(n / scale), boundary)
    np.testing.assert_allclose(filters.pyramid_reduce(image, scale, boundary=boundary), expected, rtol=1e-12)
    expected = image
    for axis, n in enumerate(shape):
        expected = looped_axis(expected, axis, math.ceil(n * scale), boundary)
        # Axis by axis, as the outside of a constant border is not blurred along the other axis.
        line = kernels.gaussian(scale / 3, ndim=1).reshape((-1, 1) if axis == 0 else (1, -1))
        expected = looped(expected, line, boundary=boundary).astype(float)
    np.testing.assert_allclose(filters.pyramid_expand(image, scale, boundary=boundary), expected, rtol=1e-12)


def test_only_what_is_kept_may_be_nan():
    image = np.zeros((16, 16))
    image[3, 3] = np.nan
    reach = int(4 * 2 / 3 + 0.5)
    reduced = filters.pyramid_reduce(image)
    whole = np.isnan(filters.gaussian(image, 2 / 3))
    assert whole.sum() == (2 * reach + 1) ** 2
    assert np.isnan(reduced).sum() == (whole[::2, ::2] | whole[1::2, ::2] | whole[::2, 1::2] | whole[1::2, 1::2]).sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(16, 16), (13, 7), (5, 6, 4)])
def test_a_laplacian_pyramid_adds_up(shape, dtype):
    image = (np.random.default_rng(2).random(shape) * 200).astype(dtype)
    layers = filters.pyramid_laplacian(image)
    assert layers[-1].size == 1
    total = layers[-1].astype(np.float64)
    for layer in layers[-2::-1]:
        expanded = total
        for axis, n in enumerate(layer.shape):
            expanded = looped_axis(expanded, axis, n, "symmetric")
            line = np.moveaxis(kernels.gaussian(2 / 3, ndim=1).reshape(-1, *(1,) * (image.ndim - 1)), 0, axis)
            expanded = looped(expanded, line).astype(float)
        total = layer + expanded
    np.testing.assert_allclose(total, image, atol=1e-4 if dtype != np.float64 else 1e-11)


def test_layers_types_and_out():
    image = np.random.default_rng(3).integers(0, 256, (20, 12, 3), np.uint8)
    layers = filters.pyramid_gaussian(image, 2, channel_axis=-1)
    assert [layer.shape for layer in layers] == [(20, 12, 3), (10, 6, 3), (5, 3, 3)]
    assert {layer.dtype for layer in layers} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(layers[2], filters.pyramid_reduce(layers[1], channel_axis=2))
    layers[0][0] = 0
    assert image[0].any()  # the first layer is a copy
    out = np.empty((10, 6, 3), np.uint8)
    assert filters.pyramid_reduce(image, channel_axis=-1, out=out) is out
    exact = filters.pyramid_reduce(image.astype(float), channel_axis=-1)
    np.testing.assert_array_equal(out, np.rint(exact))
    assert filters.pyramid_reduce(np.zeros((0, 4))).shape == (0, 2)
    assert len(filters.pyramid_gaussian(np.ones((3, 3)), downscale=1.1)) < 5


def test_from_file_to_file(tmp_path):
    image = np.random.default_rng(5).integers(0, 256, (37, 30), np.uint8)
    mapped = np.memmap(tmp_path / "image", np.uint8, "w+", shape=image.shape)
    mapped[...] = image
    for function, shape in ((filters.pyramid_reduce, (19, 15)), (filters.pyramid_expand, (74, 60))):
        out = np.memmap(tmp_path / function.__name__, np.uint8, "w+", shape=shape)
        assert function(mapped, out=out) is out
        np.testing.assert_array_equal(out, function(image))


def test_around_gaps():
    image, mask = np.full((8, 8), 5.0), np.random.default_rng(4).random((8, 8)) < 0.5
    image[~mask] = np.nan
    result, share = filters.pyramid_reduce(image, mask=mask, confidence=True)
    np.testing.assert_allclose(result, 5.0, rtol=1e-12)
    np.testing.assert_allclose(share, filters.pyramid_reduce(mask.astype(float)), rtol=1e-12)
    larger = filters.pyramid_expand(image, nan="normalize", fill=np.nan, boundary="constant")
    np.testing.assert_allclose(larger[~np.isnan(larger)], 5.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: filters.pyramid_reduce(np.ones((3, 3)), 1), "downscale must be more than 1"),
        (lambda: filters.pyramid_expand(np.ones((3, 3)), 0.5), "upscale must be more than 1"),
        (lambda: filters.pyramid_gaussian(np.ones((3, 3)), -2), "max_layer must be at least 0"),
        (lambda: filters.pyramid_laplacian(np.ones((3, 3)), mask=np.ones((3, 3), bool)), "has no use for mask"),
        (lambda: filters.pyramid_reduce(np.ones((4, 4), np.uint8), 3, like="opencv"), "downscale must be 2"),
        (lambda: filters.pyramid_expand(np.ones((4, 4), np.uint8), like="opencv", boundary="wrap"), "one of its own"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()
