"""Images in Dask's blocks: with the depth that `halo` gives, `map_overlap` computes what the whole image gives."""

import numpy as np
import pytest

pytest.importorskip("dask.array")

from dask import array

import striderule as sr

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gaussian", {"sigma": 1.3}),
        ("box", {"size": 4}),
        ("sobel", {}),
        # Blocks as small as here are computed by products unless it is said how.
        ("unsharp_mask", {"radius": 1, "amount": 0.5, "algorithm": "separable"}),
    ],
)
def test_filters_in_blocks(name, words):
    op = getattr(sr.filters, name)
    image = np.random.default_rng(1).random((60, 47))
    blocks = array.from_array(image, chunks=(17, 20))
    lazy = blocks.map_overlap(op, depth=sr.halo(op, blocks, **words), boundary="none", dtype=image.dtype, **words)
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), op(image, **words))


def test_a_kernel_of_even_size_and_another_border():
    image = np.random.default_rng(2).integers(0, 256, (50, 41), np.uint8)
    kernel = np.arange(12).reshape(3, 4)
    blocks = array.from_array(image, chunks=(20, 20))

    def filtered(x):
        return sr.correlate(x, kernel, boundary="mirror")

    depth = sr.halo(filtered, blocks)
    assert depth == {0: (1, 1), 1: (2, 1)}
    lazy = blocks.map_overlap(filtered, depth=depth, boundary="none", dtype=np.int64)
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), filtered(image))
